// virpctl: asks, checks and runs a VIRP system from the command line. Here are its options; commands.h says what it
// does.
#include <CLI/CLI.hpp>
#include <functional>
#include <iostream>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "tools/virpctl/commands.h"
#include "tools/virpctl/memory.h"
#include "tools/virpctl/output.h"

#ifndef VIRP_VERSION
#define VIRP_VERSION "unknown"
#endif

namespace virp::virpctl {
namespace {

// What all options write to, and the command that was chosen.
struct State {
  Options options;
  std::string output = "table";
  PkiOptions pki;
  KeyOptions keys;
  FrameOptions frame;
  ClaimOptions claim;
  ObservationOptions observations;
  ChainOptions chain;
  ChangeOptions change;
  OfflineOptions offline;
  std::string prefix;
  bool ask_nobody = false;
  int timeout = 10;
  std::function<absl::StatusOr<Exit>()> run;
};

CLI::App* Group(CLI::App& app, const std::string& name, const std::string& help) {
  CLI::App* const group = app.add_subcommand(name, help);
  group->require_subcommand(1);
  return group;
}

// A command. CLI11 calls it after everything was read; it is run later, outside of the parser.
CLI::App* Command(CLI::App& app, State& state, const std::string& name, const std::string& help,
                  std::function<absl::StatusOr<Exit>()> run) {
  CLI::App* const command = app.add_subcommand(name, help);
  command->callback([&state, run = std::move(run)] { state.run = run; });
  return command;
}

void AddConnection(CLI::App& app, State& s) {
  Connection& to = s.options.connection;
  app.add_option("--onode", to.onode, "host:port of the O-Node")->envname("VIRPCTL_ONODE")->capture_default_str();
  app.add_option("--tls-certificate", to.certificate, "PEM file: our certificate")->envname("VIRPCTL_TLS_CERTIFICATE");
  app.add_option("--tls-key", to.key, "PEM file: its private key")->envname("VIRPCTL_TLS_KEY");
  app.add_option("--tls-roots", to.roots, "PEM file: authorities")->envname("VIRPCTL_TLS_ROOTS");
  app.add_option("--trust-domain", to.trust_domain, "Trust domain of the SPIFFE ids")->envname("VIRPCTL_TRUST_DOMAIN");
  app.add_option("--origin", to.origin, "Name of the chain; may be left out when there is one")
      ->envname("VIRPCTL_ORIGIN");
  app.add_option("--trust", s.options.trust,
                 "Verifier key of a chain, or file with one on each line; may be repeated. Without it the keys of the "
                 "first contact are believed, and offline none")
      ->allow_extra_args(false)
      ->envname("VIRPCTL_TRUST");
  app.add_option("--state", s.options.state,
                 "Folder that keeps the largest checkpoint seen of each chain; ~/.local/state/virpctl when left out")
      ->envname("VIRPCTL_STATE");
  app.add_option("--timeout", s.timeout, "Seconds for one call")
      ->envname("VIRPCTL_TIMEOUT")
      ->check(CLI::Range(1, 3600))
      ->capture_default_str();
  app.add_option("--output", s.output, "table or json")
      ->envname("VIRPCTL_OUTPUT")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
}

void AddLocal(CLI::App& app, State& s) {
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

  CLI::App* const keys = Group(app, "keys", "Key directories of sources and chains");
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

void AddClaims(CLI::App& app, State& s) {
  CLI::App* const claim = Group(app, "claim", "Asks whether a claim is backed by evidence");
  CLI::App* const peer =
      Command(*claim, s, "peer", "A BGP session is in a state", [&s] { return ClaimPeer(s.options, s.claim); });
  CLI::App* const route =
      Command(*claim, s, "route", "A router has a route", [&s] { return ClaimRoute(s.options, s.claim); });
  for (CLI::App* const command : {peer, route}) {
    command->add_option("--router", s.claim.router, "Registered name of the router")->required();
    command->add_option("--vrf", s.claim.vrf, "VRF")->default_str("default");
    command->add_option("--max-age", s.claim.max_age, "How old the last confirmation may be, such as 30s");
    command->add_option("--min-sources", s.claim.min_sources, "Sources that must agree");
    command->add_option("--level", s.claim.level, "committed, checkpointed or witnessed");
    command->add_option("--save", s.claim.save, "Write answer and proofs to this file, for verify --offline");
  }
  peer->add_option("--peer", s.claim.peer, "Address of the peer")->required();
  peer->add_option("--peer-as", s.claim.as, "AS of the peer");
  peer->add_option("--state", s.claim.state, "BGP state")->default_str("Established");
  peer->add_flag("--not", s.claim.negate, "The session is in another state");
  route->add_option("--prefix", s.claim.prefix, "Prefix with length")->required();
  route->add_option("--rib", s.claim.rib, "adj-in-pre, adj-in-post, loc, adj-out-pre, adj-out-post, best");
  route->add_option("--origin-as", s.claim.as, "Last AS of the path");
  route->add_option("--next-hop", s.claim.next_hop, "Next hop");
  route->add_option("--peer", s.claim.peer, "Peer that it was learnt from");
  route->add_flag("--absent", s.claim.negate, "There is no such route");

  CLI::App* const observations = Group(app, "observations", "What sources said");
  CLI::App* const list =
      Command(*observations, s, "list", "Newest first", [&s] { return ObservationsList(s.options, s.observations); });
  list->add_option("--source", s.observations.source, "Only of this source");
  list->add_option("--subject", s.observations.subject, "Only about this subject");
  list->add_option("--type", s.observations.types, "Only of this type number; may be repeated")
      ->allow_extra_args(false);
  list->add_option("--tier", s.observations.tier, "green, yellow, red or black: at least");
  list->add_option("--limit", s.observations.limit, "At most so many")
      ->check(CLI::Range(1U, 100'000U))
      ->capture_default_str();

  CLI::App* const subjects = Command(app, s, "subjects", "What anything was said about",
                                     [&s] { return SubjectsList(s.options, s.prefix, s.observations.limit); });
  subjects->add_option("--prefix", s.prefix, "Beginning of the subject's text");
  subjects->add_option("--limit", s.observations.limit, "At most so many")
      ->check(CLI::Range(1U, 1'000U))
      ->capture_default_str();
}

void AddChain(CLI::App& app, State& s) {
  Command(app, s, "status", "How the O-Node and its chain are", [&s] { return Status(s.options); });
  CLI::App* const chain = Group(app, "chain", "The chain of evidence");
  Command(*chain, s, "show", "Size, keys and newest checkpoint", [&s] { return ChainShow(s.options); });
  CLI::App* const verify =
      Command(*chain, s, "verify", "Lets the O-Node check its chain", [&s] { return ChainVerify(s.options, s.chain); });
  verify->add_option("--begin", s.chain.begin, "First entry");
  verify->add_option("--end", s.chain.end, "Entry after the last; 0 is the end of the chain");
  verify->add_flag("--subjects", s.chain.subjects, "Also what payloads say: slower");
  CLI::App* const prove =
      Command(*chain, s, "prove", "Proof file of one entry", [&s] { return ChainProve(s.options, s.chain); });
  prove->add_option("sequence", s.chain.sequence, "Number of the entry")->required();
  prove->add_option("--save", s.chain.save, "Write it to this file");
  CLI::App* const save =
      Command(*chain, s, "export", "Writes the whole chain up to its checkpoint, for verify --offline",
              [&s] { return ChainExport(s.options, s.chain); });
  save->add_option("file", s.chain.save, "File to write: a tar of tlog-tiles")->required();
}

void AddSources(CLI::App& app, State& s) {
  CLI::App* const sources = Group(app, "sources", "Who may speak");
  CLI::App* const add =
      Command(*sources, s, "register", "Registers a source", [&s] { return SourcesRegister(s.options, s.change); });
  add->add_option("--file", s.change.file, "JSON of a virp.source.v1.Source")->required();
  Command(*sources, s, "list", "All sources", [&s] { return SourcesList(s.options); });
  CLI::App* const get =
      Command(*sources, s, "get", "One source", [&s] { return SourcesGet(s.options, s.change.source); });
  get->add_option("name", s.change.source, "Its name")->required();

  CLI::App* const alarms = Group(app, "alarms", "What went wrong with a source's channel");
  Command(*alarms, s, "list", "All that are not cleared", [&s] { return AlarmsList(s.options); });
  CLI::App* const clear =
      Command(*alarms, s, "clear", "Clears alarms of a source", [&s] { return AlarmsClear(s.options, s.change); });
  clear->add_option("source", s.change.source, "Source")->required();
  clear->add_option("--cause", s.change.cause, "Only this cause");
  for (CLI::App* const command : {add, clear}) {
    command->add_option("--reason", s.change.reason, "Why; goes into the chain");
    command->add_option("--request-id", s.change.request_id, "UUID, to repeat a request whose answer was lost");
    command->add_flag("--validate-only", s.change.validate_only, "Change nothing");
  }
}

// A chain that contradicts what was seen of it: both notes are the proof, keep them.
void PrintNotes(const Options& options, const absl::Status& status) {
  const auto notes = GetMetadata(status);
  const auto note = [&notes](const char* which) {
    const auto found = notes.find(which);
    return found == notes.end() ? std::string() : found->second;
  };
  if (options.json) {
    frame::JsonWriter json;
    json.BeginObject().Field("result", GetReason(status)).Field("detail", Message(status));
    PrintJson(json.Field("kept", note("kept")).Field("shown", note("shown")).EndObject());
    return;
  }
  Print(GetReason(status) + "\n");
  if (!note("kept").empty()) Print("\nseen before:\n" + note("kept"));
  if (!note("shown").empty()) Print("\nshown now:\n" + note("shown"));
}

int Run(State& state) {
  state.options.json = state.output == "json";
  state.options.connection.timeout = std::chrono::seconds(state.timeout);
  const absl::StatusOr<Exit> exit = state.run();
  if (exit.ok()) return static_cast<int>(*exit);
  std::cerr << "virpctl: " << Message(exit.status());
  const std::string reason = GetReason(exit.status());
  if (!reason.empty()) std::cerr << " (" << reason << ")";
  std::cerr << "\n";
  const std::optional<Exit> answer = ExitOf(exit.status());
  if (!answer) return static_cast<int>(Exit::kError);
  PrintNotes(state.options, exit.status());
  return static_cast<int>(*answer);
}

}  // namespace
}  // namespace virp::virpctl

int main(int argc, char** argv) {
  using namespace virp::virpctl;
  State state;
  CLI::App app(
      "Asks, checks and runs a VIRP system. Exit codes: 0 confirmed or verified, 1 refuted or broken, 2 error, 3 "
      "cannot say.");
  app.set_version_flag("--version", VIRP_VERSION);
  app.fallthrough();  // options of the connection may stand anywhere
  app.require_subcommand(1);
  AddConnection(app, state);
  AddChain(app, state);
  AddClaims(app, state);
  AddSources(app, state);
  AddLocal(app, state);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(Exit::kError);
  }
  return Run(state);
}
