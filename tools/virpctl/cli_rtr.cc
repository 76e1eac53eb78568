// RTR caches, whoever made them, and the RTR bridge.
#include "tools/virpctl/cli.h"

namespace virp::virpctl {
namespace {

// How a cache is talked to; `prefix` "--" or, of one of two, "--primary-".
void AddAccess(CLI::App& command, const std::string& prefix, RtrAccess& to) {
  const auto add = [&](const char* name, std::string& value, const char* help) {
    command.add_option(prefix + name, value, help);
  };
  add("ca", to.roots, "PEM file: authorities of a TLS or web server; the system's when left out");
  add("server-name", to.server_name, "Name in a TLS server's certificate; the host when left out");
  add("certificate", to.certificate, "PEM file: certificate shown to a TLS server");
  add("key", to.key, "PEM file: its private key");
  add("ssh-key", to.ssh_key, "File of our private SSH key");
  add("ssh-password", to.ssh_password, "File with our SSH password");
  add("known-hosts", to.known_hosts, "File with the SSH server's key; ~/.ssh/known_hosts when left out");
  command.add_flag(prefix + "insecure", to.insecure, "Take whoever answers: check neither certificate nor SSH key");
  command.add_option(prefix + "min-version", to.min_version, "Lowest RTR version to come down to")
      ->check(CLI::Range(0, 2))
      ->capture_default_str();
  command.add_option(prefix + "max-version", to.max_version, "RTR version to ask in first")
      ->check(CLI::Range(0, 2))
      ->capture_default_str();
}

void AddPatience(CLI::App& command, std::uint32_t& patience) {
  command.add_option("--patience", patience, "Seconds for one whole answer")
      ->check(CLI::Range(1, 86'400))
      ->capture_default_str();
}

void AddDump(CLI::App& group, State& s) {
  CLI::App* const dump =
      Command(group, s, "dump", "What a cache sends, as JSON", [&s] { return RtrDump(s.options, s.rtr); });
  dump->add_option("cache", s.rtr.place, "tcp://HOST:PORT, tls://HOST:PORT or ssh://USER@HOST:PORT")->required();
  AddAccess(*dump, "--", s.rtr.access);
  AddPatience(*dump, s.rtr.patience);
  dump->add_flag("--strict", s.rtr.strict, "Fail where a strict router would");
  dump->add_option("--session", s.rtr.session, "What changed in this session");
  dump->add_option("--serial", s.rtr.serial, "What changed since this serial");
  dump->add_option("--save", s.rtr.save, "File for it; standard output when left out");
}

void AddValidate(CLI::App& group, State& s) {
  CLI::App* const validate = Command(group, s, "validate", "What becomes of routes (RFC 6811)",
                                     [&s] { return RtrValidate(s.options, s.rtr); });
  validate->add_option("routes", s.rtr.routes, "PREFIX AS, any number of them; - for lines of standard input")
      ->required();
  validate->add_option("--from", s.rtr.place,
                       "What validates them: a cache as `dump` takes it, an http(s) URL or path of an export; the RTR "
                       "bridge when left out");
  AddAccess(*validate, "--", s.rtr.access);
  AddPatience(*validate, s.rtr.patience);
}

void AddBridge(CLI::App& group, State& s) {
  using Do = absl::StatusOr<Exit> (*)(const Options&, const RtrBridgeOptions&);
  const auto add = [&](const char* name, const char* help, Do run) {
    return Command(group, s, name, help, [&s, run] { return run(s.options, s.rtr_bridge); });
  };
  RtrBridgeOptions& to = s.rtr_bridge;
  add("status", "Sources, what is served and what is held", &RtrStatus);
  CLI::App* const sessions = add("sessions", "Routers that are connected", &RtrSessions);
  CLI::App* const generations = add("generations", "What was served, newest first", &RtrGenerations);
  CLI::App* const generation = add("generation", "One of them, with the proof of its record", &RtrGeneration);
  CLI::App* const refresh = add("refresh", "Reads the sources again now", &RtrRefresh);
  CLI::App* const served =
      add("served", "What a router had been served by a time, and what it had confirmed, from the chain", &RtrServed);
  sessions->add_flag("--closed", to.closed, "Also those that left within the last hour");
  for (CLI::App* const command : {sessions, generations, served})
    command->add_option("--limit", to.limit, "At most so many")->check(CLI::Range(1, 100'000))->capture_default_str();
  generation->add_option("number", to.generation, "Number of the generation")->required();
  generation->add_option("--save", to.save, "File for the proof, for verify --offline");
  AddChange({refresh}, to.reason, to.request_id);
  CLI::Option* const accept =
      refresh->add_option("--accept", to.accept, "Number of the generation that is held: serve it all the same");
  accept->needs(refresh->add_option("--set", to.accept_set, "Its held set, as `status` shows it")->needs(accept));
  served->add_option("source", to.source, "Name of the bridge as a source")->required();
  served->add_option("router", to.router, "Address of the router")->required();
  served->add_option("--by", to.by, "Time such as 2026-12-01T06:00:00Z; now when left out");
}

void AddMonitor(CLI::App& group, State& s) {
  RtrMonitorOptions& to = s.rtr_monitor;
  CLI::App* const monitor = Command(group, s, "monitor", "Compares two caches or exports, for good or once",
                                    [&s] { return RtrMonitor(s.options, s.rtr_monitor); });
  monitor->add_option("primary", to.places[0], "A cache as `dump` takes it, an http(s) URL or path of an export")
      ->required();
  monitor->add_option("secondary", to.places[1], "The same")->required();
  AddAccess(*monitor, "--primary-", to.access[0]);
  AddAccess(*monitor, "--secondary-", to.access[1]);
  AddPatience(*monitor, to.patience);
  monitor->add_flag("--once", to.once, "Compare once; exit 1 when they differ");
  monitor->add_option("--interval", to.interval, "How often both are read")->capture_default_str();
  monitor->add_option("--grace", to.grace, "How long what is gone from one is no difference")->capture_default_str();
  monitor->add_option("--threshold", to.thresholds, "Seconds of visibility to count differences by; may be repeated")
      ->allow_extra_args(false)
      ->default_str("0, 56, 256, 596, 851, 1024, 1706, 3411");
  monitor->add_option("--listen", to.listen, "HOST:PORT of /metrics and /diff.json; 127.0.0.1:9866 when left out");
  monitor->add_option("--save", to.save, "File for the differences");
}

void AddBench(CLI::App& group, State& s) {
  RtrBenchOptions& to = s.rtr_bench;
  CLI::App* const bench =
      Command(group, s, "bench", "Many routers at one cache", [&s] { return RtrBench(s.options, s.rtr_bench); });
  bench->add_option("cache", to.place, "As `dump` takes it")->required();
  AddAccess(*bench, "--", to.access);
  AddPatience(*bench, to.patience);
  bench->add_option("--routers", to.routers, "How many")->check(CLI::Range(1, 20'000))->capture_default_str();
  bench->add_option("--refreshes", to.refreshes, "So many changes are waited for, and timed");
}

}  // namespace

void AddRtr(CLI::App& app, State& s) {
  CLI::App* const rtr = Group(app, "rtr", "RTR caches: what they serve, and the RTR bridge");
  AddDump(*rtr, s);
  AddValidate(*rtr, s);
  AddMonitor(*rtr, s);
  AddBench(*rtr, s);
  AddBridge(*rtr, s);
}

}  // namespace virp::virpctl
