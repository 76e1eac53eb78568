// virp-rtr-bridge: composition root.
#include "absl/cleanup/cleanup.h"
#include "lib/base/status.h"
#include "lib/crypto/random.h"
#include "lib/service/logging.h"
#include "lib/service/metrics.h"
#include "lib/service/program.h"
#include "lib/service/refusal_log.h"
#include "lib/service/run.h"
#include "lib/service/server.h"
#include "services/rtr-bridge/break_glass.h"
#include "services/rtr-bridge/config.h"
#include "services/rtr-bridge/evidence_part.h"
#include "services/rtr-bridge/http_part.h"
#include "services/rtr-bridge/storage/state_file.h"
#include "services/rtr-bridge/transport/access.h"
#include "services/rtr-bridge/transport/bridge_metrics.h"
#include "services/rtr-bridge/transport/rtr_handler.h"

namespace virp::rtr_bridge {
namespace {

constexpr std::chrono::milliseconds kHouseTick{100};

std::uint16_t RandomSession() {
  return LoadBe<std::uint16_t>(crypto::RandomBytes(2).data());
}

SourceTable TableOf(const Config& config) {
  std::vector<SourceState> sources;
  for (const SourceOptions& source : config.sources) {
    SourceState& state = sources.emplace_back();
    state.name = source.name;
    state.location = source.location;
    state.expire = source.expire;
  }
  return {std::move(sources), config.merge};
}

// What was served before this start. A state that does not do is no reason not to serve: sessions then begin anew.
void Restore(const StateDirectory& directory, Cache& cache) {
  const auto state = directory.Read();
  if (state.ok() && state->empty()) return;
  const absl::Status restored = state.ok() ? cache.Restore(*state) : state.status();
  if (restored.ok()) return;
  service::LogStatus(service::LogLevel::kWarning, "the state of the last run is not used: routers will reload",
                     restored);
}

// Says what is wrong when it begins, and when it becomes something else.
class Trouble {
 public:
  explicit Trouble(std::string_view what) : what_(what) {}
  void Note(absl::Status now) {
    if (!now.ok() && now != told_) service::LogStatus(service::LogLevel::kError, what_, now);
    told_ = std::move(now);
  }

 private:
  const std::string_view what_;
  absl::Status told_;
};

// gRPC, when there is a certificate.
struct Api {
  service::Security security;
  std::unique_ptr<RtrHandler> handler;
  std::unique_ptr<service::ServerRunner> server;
};

absl::Status KeepHouse(const std::stop_token& stop, Cache& cache, SessionLog& log, EvidencePart* evidence,
                       HttpPart& http, Pulse& pulse) {
  const AtWork work(pulse);
  Trouble records("evidence cannot be kept");
  Trouble state("sessions and serials cannot be written down: after a restart routers reload");
  Trouble sources("too few sources have data that still count");
  while (!stop.stop_requested()) {
    pulse.Beat();
    cache.Tick();
    http.Tick();
    const CacheStatus status = cache.status();
    state.Note(status.state_problem);
    sources.Note(status.stale_since ? status.merge_problem : absl::OkStatus());
    if (evidence != nullptr) {
      records.Note(evidence->Tick(log));
    } else {
      static_cast<void>(log.Drain());
    }
    std::this_thread::sleep_for(kHouseTick);
  }
  return absl::OkStatus();
}

absl::StatusOr<int> Run(const Config& config) {
  const SystemClock clock;
  service::SetUpLogging("rtr-bridge", config.common);
  service::RefusalLog refusals(clock);
  const Witness witness(config.evidence.name);
  Api api;
  if (config.serves_grpc()) {
    ASSIGN_OR_RETURN(api.security, service::LoadSecurity(config.access, AccessTable(), config.reflection, clock,
                                                         refusals.OnRefusal(), refusals.OnDenyListChanged()));
  }
  std::unique_ptr<EvidencePart> evidence;
  if (config.keeps_evidence()) {
    ASSIGN_OR_RETURN(evidence, EvidencePart::Make(config, witness, api.security, clock));
  } else {
    service::LogWarning("no name is given: this bridge keeps no evidence of what it serves");
  }
  NoRecorder no_recorder;
  Recorder& recorder = evidence != nullptr ? static_cast<Recorder&>(evidence->recorder()) : no_recorder;

  ASSIGN_OR_RETURN(const auto state, StateDirectory::Open(config.state));
  SessionLog log(witness, clock, config.session_log);
  ASSIGN_OR_RETURN(const auto routers, RouterServer::Start(config.routers, log, clock));
  Board board;
  CacheOptions cache_options = config.cache;
  cache_options.history.owner = config.keeps_evidence() ? config.evidence.name : state->Place();
  Cache cache(
      std::move(cache_options), TableOf(config), !config.slurm.empty(), RandomSession, witness, recorder, *state, clock,
      [&](const std::shared_ptr<const rtr::Snapshot>& snapshot, const Generation& generation) {
        routers->Publish(snapshot);
        if (snapshot == nullptr) return board.Clear();
        board.Publish(snapshot, generation);
        service::LogInfo("a generation is served", {{"generation", generation.number},
                                                    {"announced", generation.announced},
                                                    {"withdrawn", generation.withdrawn}});
      },
      [&](const std::shared_ptr<const rtr::Snapshot>& snapshot, const Generation& generation,
          const std::shared_ptr<const vrp::Payloads>& payloads) { board.Renew(snapshot, generation, payloads); });
  const absl::Cleanup stop_routers = [&routers] { routers->Stop(); };
  Restore(*state, cache);
  FeedChannels feeds;
  if (config.serves_grpc()) {
    feeds.key_manager = service::ChannelsTo(service::Role::kKeymgr, config.tls, config.access, api.security);
    feeds.bridge = service::ChannelsTo(service::Role::kRtrBridge, config.tls, config.access, api.security);
  }
  ASSIGN_OR_RETURN(const auto sources,
                   SourceRunner::Make(config.sources, {config.slurm}, std::move(feeds), cache, clock));

  std::unique_ptr<service::BreakGlassServer> break_glass;
  if (config.serves_grpc()) {
    RtrHandlerParts parts{.name = config.evidence.name,
                          .cache = cache,
                          .board = board,
                          .routers = *routers,
                          .sessions = log,
                          .sources = *sources,
                          .clock = clock,
                          .callers = api.security.callers,
                          .prove = {}};
    if (evidence != nullptr) {
      parts.deliverer = &evidence->deliverer();
      parts.spool = &evidence->outbox().spool();
      parts.prove = [&](const std::string& frame) { return evidence->Prove(frame); };
    }
    api.handler = std::make_unique<RtrHandler>(std::move(parts));
    service::ServerOptions options;
    options.listen = FormatHostPort(config.listen);
    options.tls = config.tls;
    options.reflection = config.reflection;
    const std::vector<service::ServedService> services{{api.handler.get(), "virp.rtr.v1.RtrService"}};
    ASSIGN_OR_RETURN(api.server, service::ServerRunner::Start(options, api.security, clock, services));
    ASSIGN_OR_RETURN(break_glass, StartBreakGlass(config.break_glass_socket, recorder, services));
  }

  ASSIGN_OR_RETURN(const auto http, HttpPart::Start(config.http, config.evidence.name, board, cache,
                                                    evidence != nullptr ? &evidence->supply().keys() : nullptr, clock));
  service::Metrics metrics("rtr_bridge");
  MetricParts measured{
      .cache = cache, .routers = *routers, .sources = *sources, .clock = clock, .http = http->server()};
  if (evidence != nullptr) {
    measured.recorder = &evidence->recorder();
    measured.keys = &evidence->supply();
  }
  if (api.server != nullptr) {
    measured.refusals = &refusals;
    measured.server = api.server.get();
  }
  AddMetrics(metrics, measured);
  service::Readiness readiness;
  readiness.Add("data",
                [&] { return board.view() != nullptr ? absl::OkStatus() : Unavailable("nothing is loaded yet"); });
  if (api.server != nullptr) readiness.Add("certificates", [&] { return api.server->Ready(); });
  ASSIGN_OR_RETURN(const auto admin, service::StartAdmin(config.common, metrics, readiness));

  Pulse pulse("the house", clock);
  service::Runner runner;
  runner.OnReload("sources", [&] {
    sources->RefreshAll(
        std::chrono::milliseconds(0));  // this thread feeds the watchdog: it does not wait for other people's servers
    return absl::OkStatus();
  });
  runner.OnReload("routers' keys", [&] { return routers->Reload(); });
  if (evidence != nullptr) runner.OnReload("keys", [&] { return evidence->supply().files().Refresh(); });
  runner.OnWatchdog([&]() -> absl::Status {
    RETURN_IF_ERROR(routers->CheckAlive());
    if (evidence != nullptr) RETURN_IF_ERROR(evidence->CheckAlive());
    return CheckPulses({&pulse});
  });
  runner.OnDrain("readiness", [&] { readiness.SetDraining(); });
  runner.OnDrain("sources", [&] { sources->Stop(); });
  runner.OnDrain("http", [&] { http->Drain(); });
  runner.OnDrain("routers", [&] {
    routers->Drain(config.for_good ? rtr::ErrorCode::kCacheShutdown : rtr::ErrorCode::kCacheRestart,
                   config.drain_patience);
  });
  runner.OnDrain("server", [&] {
    if (api.server == nullptr) return;
    break_glass.reset();
    api.handler->Drain();
    api.server->Drain(config.common.drain_delay, config.common.drain_grace);
  });
  runner.OnDrain("evidence", [&] {
    routers->Stop();
    if (evidence != nullptr) evidence->Drain(log, config.common.drain_grace);
  });
  runner.tasks().Start(
      "house", [&](const std::stop_token& stop) { return KeepHouse(stop, cache, log, evidence.get(), *http, pulse); });
  if (evidence != nullptr) evidence->Start();
  sources->Start();
  if (api.server != nullptr) api.server->SetServing(true);
  std::vector<std::string> listeners;
  for (const RouterServer::Bound& listener : routers->listeners()) listeners.push_back(listener.address);
  service::LogInfo("serving", {{"routers", fmt::format("{}", fmt::join(listeners, " "))},
                               {"address", api.server != nullptr ? api.server->address() : "none"},
                               {"http", http->address()},
                               {"admin_port", admin->port()}});
  return runner.Run();
}

}  // namespace
}  // namespace virp::rtr_bridge

int main(int argc, char** argv) {
  return virp::service::RunProgram<virp::rtr_bridge::Config>("virp-rtr-bridge", argc, argv,
                                                             virp::rtr_bridge::ReadConfig, virp::rtr_bridge::Run);
}
