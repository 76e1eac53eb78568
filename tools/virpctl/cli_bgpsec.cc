// BGPsec paths: signing and verifying them by hand.
#include "tools/virpctl/cli.h"

namespace virp::virpctl {

void AddBgpsec(CLI::App& app, State& s) {
  constexpr std::uint32_t kLastAsn = 4'294'967'295;
  CLI::App* const bgpsec = Group(app, "bgpsec", "BGPsec paths (RFC 8205): proves router keys by what they sign");
  CLI::App* const sign =
      Command(*bgpsec, s, "sign", "Signs a path, AS by AS", [&s] { return BgpsecSign(s.options, s.bgpsec); });
  CLI::App* const verify = Command(*bgpsec, s, "verify", "Verifies the path of an UPDATE or attribute",
                                   [&s] { return BgpsecVerify(s.options, s.bgpsec); });
  for (CLI::App* const command : {sign, verify}) {
    command->add_option("--prefix", s.bgpsec.prefix, "What is announced; an UPDATE says it itself");
    command->add_option("--to", s.bgpsec.target, "AS that the route is sent to")
        ->required()
        ->check(CLI::Range(1U, kLastAsn));
    command->add_flag("--hex", s.bgpsec.hex, "The file holds hex digits");
  }
  sign->add_option("file", s.bgpsec.file, "UPDATE or attribute that was received, to be sent on; - is standard input");
  sign->add_option("--key", s.bgpsec.keys, "AS=FILE: who signs next, with a private key; may be repeated, origin first")
      ->required()
      ->allow_extra_args(false);
  sign->add_option("--pcount", s.bgpsec.pcount, "pCount of the last AS")->check(CLI::Range(0, 255))->default_str("1");
  sign->add_flag("--confederation", s.bgpsec.confederation, "Sets the last AS's Confed_Segment flag");
  sign->add_option("--save", s.bgpsec.save, "File for the attribute's value");
  verify->add_option("file", s.bgpsec.file, "UPDATE, or value of the attribute; - is standard input")->required();
  verify->add_option("--key", s.bgpsec.keys, "AS=FILE: certificate or public key of this AS; may be repeated")
      ->allow_extra_args(false);
  verify->add_option("--peer", s.bgpsec.peer, "AS that sent it; the path's first when left out")
      ->check(CLI::Range(1U, kLastAsn));
  verify->add_flag("--confederation", s.bgpsec.confederation, "That AS is in our confederation");
  verify->add_flag("--transparent", s.bgpsec.transparent, "That AS may send pCount 0, as route servers do");
}

}  // namespace virp::virpctl
