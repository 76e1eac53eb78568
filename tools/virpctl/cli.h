// virpctl's options: how the command line is read into the structs of commands.h. Apart from main(), so that a test can
// walk all commands and demand that each is documented.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/virpctl/commands.h"
#include "tools/virpctl/router_options.h"
#include "tools/virpctl/rpki_options.h"
#include "tools/virpctl/rtr_options.h"

namespace virp::virpctl {

// What all options write to, and the command that was chosen.
struct State {
  Options options;
  std::string output = "table";
  PkiOptions pki;
  KeyOptions keys;
  FrameOptions frame;
  BgpsecOptions bgpsec;
  TcpAoOptions tcp_ao;
  RouterOptions router;
  RouterReportOptions router_report;
  RouterKeyOptions router_keys;
  RpkiOptions rpki;
  RtrOptions rtr;
  RtrMonitorOptions rtr_monitor;
  RtrBenchOptions rtr_bench;
  RtrBridgeOptions rtr_bridge;
  OKeyOptions o_key;
  KeymgrOptions keymgr;
  ClaimOptions claim;
  ObservationOptions observations;
  ChainOptions chain;
  ChangeOptions change;
  BindOptions bind;
  OfflineOptions offline;
  DoctorOptions doctor;
  std::string prefix, source;
  std::uint32_t limit = 100;
  bool ask_nobody = false;
  bool refuses_strangers = false;
  int timeout = 10;
  std::function<absl::StatusOr<Exit>()> run;
};

// All commands; `state` outlives it.
std::unique_ptr<CLI::App> MakeApp(State& state);
// Reads the command line, runs the command, returns the exit code.
int Main(int argc, const char* const* argv);

// Parts of it, each in a file of its own.
CLI::App* Group(CLI::App& app, const std::string& name, const std::string& help);
CLI::App* Command(CLI::App& app, State& state, const std::string& name, const std::string& help,
                  std::function<absl::StatusOr<Exit>()> run);
using Commands = std::initializer_list<CLI::App*>;
// What each change at a key manager takes: --reason and --request-id.
void AddChange(const Commands& commands, std::string& reason, std::string& request_id);
// --yes, of what says first what it is about to do.
void AddYes(const Commands& commands, bool& yes);
std::vector<std::string> PeerStates();  // that claim peer takes
void AddEvidence(CLI::App& app, State& state);
void AddSources(CLI::App& app, State& state);
void AddBgpsec(CLI::App& app, State& state);
void AddTcpAo(CLI::App& keys, State& state);
void AddRouter(CLI::App& app, State& state);
void AddRouterKeys(CLI::App& keys, State& state);
void AddRpki(CLI::App& keys, State& state);
void AddRtr(CLI::App& app, State& state);
void AddOKeys(CLI::App& keys, State& state);
void AddKeymgr(CLI::App& keys, State& state);
void AddLocal(CLI::App& app, State& state);

}  // namespace virp::virpctl
