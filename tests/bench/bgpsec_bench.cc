// Validation of BGPsec paths beside what the openssl program says this machine verifies in P-256.
//
//   bgpsec_bench [--hops 4] [--seconds 3] [--rounds 5]
//
// Both run in turns and count their own CPU time. Prints signatures a second of each, the medians, and the ratio to the
// limit of 0.85.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <map>
#include <memory>

#include "lib/bgpsec/validate.h"
#include "tests/bench/bench_util.h"

namespace virp::bench {
namespace {

constexpr double kLimit = 0.85;

// Lines of `openssl speed -mr` for ECDSA: "+F4:index:bits:signs a second:verifies a second".
double OpenSslVerifies(int seconds) {
  const std::string command = fmt::format("openssl speed -mr -seconds {} ecdsap256 2>/dev/null", seconds);
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  std::array<char, 256> line{};
  double signs = 0, verifies = 0;
  unsigned index = 0, bits = 0;
  while (pipe != nullptr && std::fgets(line.data(), line.size(), pipe.get()) != nullptr) {
    if (std::sscanf(line.data(), "+F4:%u:%u:%lf:%lf", &index, &bits, &signs, &verifies) == 4 && bits == 256)
      return verifies;
  }
  fmt::print(stderr, "openssl speed ecdsap256 said nothing that is understood\n");
  std::exit(1);
}

struct Router {
  std::uint32_t asn;
  crypto::P256PrivateKey key = crypto::P256PrivateKey::Generate();
};

class Lab {
 public:
  explicit Lab(std::uint32_t hops) {
    for (std::uint32_t i = 0; i < hops; ++i) {
      const Router router{64'500 + i};
      const bgpsec::Ski ski = bgpsec::SkiOf(router.key.public_key());
      keys_.emplace(std::pair(router.asn, ski), router.key.public_key());
      const auto sign = [&router](const Hash& digest) { return router.key.SignDigest(digest); };
      path_ = bgpsec::Sign(path_, {{.asn = router.asn}, ski, sign}, router.asn + 1, nlri_).value();
    }
  }

  // Signatures a second of CPU.
  double Verifies(int seconds) const {
    const bgpsec::Receiver receiver{.asn = path_.segments.front().asn + 1, .peer_asn = path_.segments.front().asn};
    const auto find = [this](std::uint32_t asn, const bgpsec::Ski& ski) {
      std::vector<crypto::P256PublicKey> found;
      if (const auto it = keys_.find({asn, ski}); it != keys_.end()) found.push_back(it->second);
      return found;
    };
    const double begin = OwnCpuSeconds();
    std::size_t signatures = 0;
    while (OwnCpuSeconds() - begin < seconds) {
      const auto verdict = bgpsec::Validate(path_, nlri_, receiver, find);
      if (!verdict.ok() || verdict->validity != bgpsec::Validity::kValid) std::abort();
      signatures += verdict->verified;
    }
    return static_cast<double>(signatures) / (OwnCpuSeconds() - begin);
  }

 private:
  std::map<std::pair<std::uint32_t, bgpsec::Ski>, crypto::P256PublicKey> keys_;
  bgpsec::Nlri nlri_{1, 1, std::string("\x18\xc0\x00\x02", 4)};
  bgpsec::Path path_;
};

}  // namespace
}  // namespace virp::bench

int main(int argc, char** argv) {
  std::uint32_t hops = 4;
  int seconds = 3, rounds = 5;
  CLI::App app("BGPsec path validation");
  app.add_option("--hops", hops, "signatures of a path")->check(CLI::Range(1, 100));
  app.add_option("--seconds", seconds, "of one measurement")->check(CLI::Range(1, 60));
  app.add_option("--rounds", rounds, "of each; medians are printed")->check(CLI::Range(1, 100));
  CLI11_PARSE(app, argc, argv);
  const virp::bench::Lab lab(hops);
  std::vector<double> ours, theirs;
  for (int round = 0; round < rounds; ++round) {
    theirs.push_back(virp::bench::OpenSslVerifies(seconds));
    ours.push_back(lab.Verifies(seconds));
    fmt::print("openssl {:>7.0f}/s, paths {:>7.0f} signatures/s\n", theirs.back(), ours.back());
  }
  const double ratio = virp::bench::Median(ours) / virp::bench::Median(theirs);
  fmt::print("paths of {} ASes: {:.0f} signatures/s of CPU, openssl speed ecdsap256 {:.0f}/s; ratio {:.2f}, limit {}\n",
             hops, virp::bench::Median(ours), virp::bench::Median(theirs), ratio, virp::bench::kLimit);
  return ratio < virp::bench::kLimit ? 1 : 0;
}
