#include "tools/virpctl/cli.h"

#include <iostream>
#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "tools/virpctl/memory.h"
#include "tools/virpctl/output.h"

#ifndef VIRP_VERSION
#define VIRP_VERSION "unknown"
#endif

namespace virp::virpctl {

CLI::App* Group(CLI::App& app, const std::string& name, const std::string& help) {
  CLI::App* const group = app.add_subcommand(name, help);
  group->require_subcommand(1);
  return group;
}

void AddChange(const Commands& commands, std::string& reason, std::string& request_id) {
  for (CLI::App* const command : commands) {
    command->add_option("--reason", reason, "Why; goes into the audit record")->required();
    command->add_option("--request-id", request_id, "Of a request whose answer was lost, to repeat it");
  }
}

void AddYes(const Commands& commands, bool& yes) {
  for (CLI::App* const command : commands) command->add_flag("--yes", yes, "Do not ask whether to go on");
}

// CLI11 calls it after everything was read; it is run later, outside of the parser.
CLI::App* Command(CLI::App& app, State& state, const std::string& name, const std::string& help,
                  std::function<absl::StatusOr<Exit>()> run) {
  CLI::App* const command = app.add_subcommand(name, help);
  command->callback([&state, run = std::move(run)] { state.run = run; });
  return command;
}

namespace {

// Whoever means a session's state would otherwise ask about Established, and remember checkpoints in a folder "Idle".
std::string IsNoPeerState(const std::string& folder) {
  for (const std::string& state : PeerStates()) {
    if (CLI::detail::to_lower(folder) != CLI::detail::to_lower(state)) continue;
    return fmt::format("'{0}' is the state of a session, and --state a folder: say --peer-state {0}, or ./{0}", folder);
  }
  return "";
}

void AddConnection(CLI::App& app, State& s) {
  Connection& to = s.options.connection;
  app.add_option("--onode", to.onode, "host:port of the O-Node")->envname("VIRPCTL_ONODE")->capture_default_str();
  app.add_option("--collector", s.options.collector, "host:port of the collector, for commands about one")
      ->envname("VIRPCTL_COLLECTOR")
      ->capture_default_str();
  app.add_option("--keymgr", s.options.keymgr, "host:port of the key manager, for commands about keys that it has")
      ->envname("VIRPCTL_KEYMGR")
      ->capture_default_str();
  app.add_option("--rtr-bridge", s.options.rtr_bridge, "host:port of the RTR bridge, for commands about one")
      ->envname("VIRPCTL_RTR_BRIDGE")
      ->capture_default_str();
  app.add_option("--tls-certificate", to.certificate, "PEM file: our certificate")->envname("VIRPCTL_TLS_CERTIFICATE");
  app.add_option("--tls-key", to.key, "PEM file: its private key")->envname("VIRPCTL_TLS_KEY");
  app.add_option("--tls-roots", to.roots, "PEM file: authorities")->envname("VIRPCTL_TLS_ROOTS");
  app.add_option("--trust-domain", to.trust_domain, "Trust domain of the SPIFFE ids")->envname("VIRPCTL_TRUST_DOMAIN");
  app.add_option("--identity-map", to.identity_map,
                 "JSON file: which SPIFFE ids have which role, as the services have it; spiffe://DOMAIN/ROLE/NAME when "
                 "left out")
      ->envname("VIRPCTL_IDENTITY_MAP");
  app.add_option("--origin", to.origin, "Name of the chain; may be left out when there is one")
      ->envname("VIRPCTL_ORIGIN");
  app.add_option("--trust", s.options.trust,
                 "Verifier key of a chain, or file with one on each line; may be repeated. Without it the keys of the "
                 "first contact are believed, and offline none")
      ->allow_extra_args(false)
      ->envname("VIRPCTL_TRUST");
  app.add_option("--state", s.options.state,
                 "Folder that keeps the largest checkpoint seen of each chain; ~/.local/state/virpctl when left out")
      ->check(IsNoPeerState)
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
  std::cerr << "virpctl: " << PrintableLines(Message(exit.status()));
  const std::string reason = GetReason(exit.status());
  if (!reason.empty()) std::cerr << " (" << Printable(reason) << ")";
  std::cerr << "\n";
  const std::optional<Exit> answer = ExitOf(exit.status());
  if (!answer) return static_cast<int>(Exit::kError);
  PrintNotes(state.options, exit.status());
  return static_cast<int>(*answer);
}

}  // namespace

std::unique_ptr<CLI::App> MakeApp(State& state) {
  auto app = std::make_unique<CLI::App>(
      "Asks, checks and runs a VIRP system. Exit codes: 0 confirmed or verified, 1 refuted or broken, 2 error, 3 "
      "cannot say.",
      "virpctl");
  app->set_version_flag("--version", VIRP_VERSION);
  app->fallthrough();  // options of the connection may stand anywhere
  app->require_subcommand(1);
  AddConnection(*app, state);
  AddEvidence(*app, state);
  AddSources(*app, state);
  AddLocal(*app, state);
  AddBgpsec(*app, state);
  AddRouter(*app, state);
  AddRtr(*app, state);
  return app;
}

int Main(int argc, const char* const* argv) {
  State state;
  const std::unique_ptr<CLI::App> app = MakeApp(state);
  try {
    app->parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app->exit(error) == 0 ? 0 : static_cast<int>(Exit::kError);
  }
  return Run(state);
}

}  // namespace virp::virpctl
