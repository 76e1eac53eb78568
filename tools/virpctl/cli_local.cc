// Commands that need no O-Node.
#include "tools/virpctl/cli.h"

namespace virp::virpctl {

namespace {

void AddDoctor(CLI::App& app, State& s) {
  CLI::App* const doctor =
      Command(app, s, "doctor",
              "Looks at clock, certificates, O-Node, kernel and FRR, and at what the options name. Exits with 0 when "
              "nothing failed, 1 when something did, 3 when something could not be told",
              [&s] { return Doctor(s.options, s.doctor); });
  const auto list = [doctor](const char* name, std::vector<std::string>& to, const char* help) {
    doctor->add_option(name, to, help)->allow_extra_args(false);
  };
  list("--keys", s.doctor.keys, "Key directory: modes, owners, dates; this and the others may be repeated");
  list("--socket", s.doctor.sockets, "Socket of a service: others must not use it");
  list("--break-glass", s.doctor.break_glass, "Break-glass socket: only its owner may use it");
  list("--listening", s.doctor.listening, "HOST:PORT on which somebody must listen");
  list("--free", s.doctor.free, "HOST:PORT on which nobody may listen");
  doctor
      ->add_option("--store", s.doctor.store,
                   "URL of a store: sqlite:PATH or postgresql://...; with a password only "
                   "in the variable")
      ->envname("VIRPCTL_STORE");
  doctor->add_option("--frr", s.doctor.frr, "Path of bgpd; /usr/lib/frr/bgpd, if it is there, when left out");
}

}  // namespace

void AddLocal(CLI::App& app, State& s) {
  AddDoctor(app, s);
  CLI::App* const pki = Group(app, "pki", "Certificates for development");
  CLI::App* const init = Command(*pki, s, "init", "Makes a certificate authority", [&s] {
    if (s.pki.days == 0) s.pki.days = 3650;
    if (s.pki.name.empty()) s.pki.name = "VIRP development CA";
    return PkiInit(s.options, s.pki);
  });
  CLI::App* const issue = Command(*pki, s, "issue", "Issues a certificate: spiffe://TRUST-DOMAIN/ROLE/NAME", [&s] {
    if (s.pki.days == 0) s.pki.days = 90;
    return PkiIssue(s.options, s.pki);
  });
  for (CLI::App* const command : {init, issue}) {
    command->add_option("--dir", s.pki.directory, "Folder of the authority")->required();
    command->add_option("--days", s.pki.days, "Lifetime")->check(CLI::Range(1, 36500));
  }
  init->add_option("--name", s.pki.name, "Common name of the authority");
  issue->add_option("--name", s.pki.name, "Name of the identity")->required();
  issue->add_option("--role", s.pki.role, "onode, collector, producer, operator, reader, ...")->required();
  issue->add_option("--dns", s.pki.dns, "DNS name; may be repeated")->allow_extra_args(false);
  issue->add_option("--ip", s.pki.ips, "Address; may be repeated")->allow_extra_args(false);
  issue->add_option("--out", s.pki.out, "Folder for the certificate; the authority's when left out");

  CLI::App* const keys = Group(app, "keys", "Keys: in directories, and of a key manager");
  AddRouterKeys(*keys, s);
  AddRpki(*keys, s);
  AddOKeys(*keys, s);
  AddKeymgr(*keys, s);
  AddTcpAo(*keys, s);
  CLI::App* const create = Command(*keys, s, "create", "Makes a key", [&s] { return KeysCreate(s.options, s.keys); });
  CLI::App* const list =
      Command(*keys, s, "list", "Lists public halves and commitments", [&s] { return KeysList(s.options, s.keys); });
  CLI::App* const verifier = Command(*keys, s, "verifier", "Shows the verifier key of a chain",
                                     [&s] { return KeysVerifier(s.options, s.keys); });
  for (CLI::App* const command : {create, list, verifier}) {
    command->add_option("--dir,--keys", s.keys.directory, "Key directory")->required();
  }
  create->add_option("name", s.keys.name, "Source, or origin of a chain")->required();
  create->add_option("--key-version", s.keys.version, "Version of the key")
      ->check(CLI::Range(1U, 4'294'967'295U))
      ->capture_default_str();
  create->add_option("--suite", s.keys.suite, "ed25519 or hmac")->capture_default_str();
  list->add_option("name", s.keys.name, "Only this one");
  verifier->add_option("name", s.keys.name, "Origin of the chain")->required();

  CLI::App* const frame = Group(app, "frame", "Observation frames");
  CLI::App* const decode =
      Command(*frame, s, "decode", "Shows what a frame says", [&s] { return FrameDecode(s.options, s.frame); });
  decode->add_option("file", s.frame.file, "File with one frame; - is standard input")->required();
  decode->add_option("--spelling", s.frame.spelling, "v1-le, v1-be, v1-producer or v2")->default_str("v2");
  decode->add_flag("--hex", s.frame.hex, "The file holds hex digits");
  CLI::Option* const check = decode->add_option("--keys", s.frame.keys, "Key directory to check the tag with");
  check->needs(decode->add_option("--source", s.frame.source, "Source whose key it is"));

  CLI::App* const verify = Command(app, s, "verify", "Checks a proof file, claim bundle or export without any O-Node",
                                   [&s] { return VerifyOffline(s.options, s.offline); });
  verify->add_flag("--offline", s.ask_nobody, "Ask nobody (there is no other way)");
  verify->add_option("file", s.offline.file, "Proof file, claim bundle or export")->required();
  verify->add_option("--keys", s.offline.keys, "Export: key directory with the HMAC keys of its sources");
  verify->add_flag("--no-tags", s.offline.no_tags, "Export: leave the frames' tags to the O-Node's word");
  verify->add_flag("--subjects", s.offline.subjects, "Export: also what payloads say; slower");
}

}  // namespace virp::virpctl
