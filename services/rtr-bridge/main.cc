// virp-rtr-bridge: composition root.
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

// The parts in the order in which they are made: each uses those above it, so the last one goes first.
class Bridge {
 public:
  explicit Bridge(const Config& config)
      : config_(config), witness_(config.evidence.name), log_(witness_, clock_, config.session_log) {}
  ~Bridge() {
    if (routers_ != nullptr) routers_->Stop();
  }

  absl::Status Start() {
    RETURN_IF_ERROR(StartEvidence());
    ASSIGN_OR_RETURN(state_, StateDirectory::Open(config_.state));
    ASSIGN_OR_RETURN(routers_, RouterServer::Start(config_.routers, log_, clock_));
    MakeCache();
    Restore(*state_, *cache_);
    RETURN_IF_ERROR(MakeSources());
    if (config_.serves_grpc()) RETURN_IF_ERROR(StartApi());
    ASSIGN_OR_RETURN(http_, HttpPart::Start(config_.http, config_.evidence.name, board_, *cache_,
                                            evidence_ != nullptr ? &evidence_->supply().keys() : nullptr, clock_));
    return StartAdmin();
  }
  absl::StatusOr<int> Serve();

 private:
  absl::Status StartEvidence();
  void MakeCache();
  absl::Status MakeSources();
  absl::Status StartApi();
  absl::Status StartAdmin();
  void OnReload();
  void OnDrain();
  void LogServing() const;
  Recorder& recorder() { return evidence_ != nullptr ? static_cast<Recorder&>(evidence_->recorder()) : no_recorder_; }

  const Config& config_;
  const SystemClock clock_;
  service::RefusalLog refusals_{clock_};
  const Witness witness_;
  service::Security security_;
  NoRecorder no_recorder_;
  std::unique_ptr<EvidencePart> evidence_;  // null: it keeps none
  std::unique_ptr<StateDirectory> state_;
  SessionLog log_;
  std::unique_ptr<RouterServer> routers_;
  Board board_;
  std::unique_ptr<Cache> cache_;
  std::unique_ptr<SourceRunner> sources_;
  std::unique_ptr<RtrHandler> handler_;  // with the next two, where there is a certificate
  std::unique_ptr<service::ServerRunner> server_;
  std::unique_ptr<service::BreakGlassServer> break_glass_;
  std::unique_ptr<HttpPart> http_;
  service::Metrics metrics_{"rtr_bridge"};
  service::Readiness readiness_;
  std::unique_ptr<service::PageServer> admin_;
  Pulse pulse_{"the house", clock_};
  service::Runner runner_;
};

absl::Status Bridge::StartEvidence() {
  if (config_.serves_grpc()) {
    ASSIGN_OR_RETURN(security_, service::LoadSecurity(config_.access, AccessTable(), config_.reflection, clock_,
                                                      refusals_.OnRefusal(), refusals_.OnDenyListChanged()));
  }
  if (!config_.keeps_evidence()) {
    service::LogWarning("no name is given: this bridge keeps no evidence of what it serves");
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(evidence_, EvidencePart::Make(config_, witness_, security_, clock_));
  return absl::OkStatus();
}

void Bridge::MakeCache() {
  CacheOptions options = config_.cache;
  options.history.owner = config_.keeps_evidence() ? config_.evidence.name : state_->Place();
  const auto on_snapshot = [this](const std::shared_ptr<const rtr::Snapshot>& snapshot, const Generation& generation) {
    routers_->Publish(snapshot);
    if (snapshot == nullptr) return board_.Clear();
    board_.Publish(snapshot, generation);
    service::LogInfo(
        "a generation is served",
        {{"generation", generation.number}, {"announced", generation.announced}, {"withdrawn", generation.withdrawn}});
  };
  const auto on_renewal = [this](const std::shared_ptr<const rtr::Snapshot>& snapshot, const Generation& generation,
                                 const std::shared_ptr<const vrp::Payloads>& payloads) {
    board_.Renew(snapshot, generation, payloads);
  };
  cache_ = std::make_unique<Cache>(std::move(options), TableOf(config_), !config_.slurm.empty(), RandomSession,
                                   witness_, recorder(), *state_, clock_, on_snapshot, on_renewal);
}

absl::Status Bridge::MakeSources() {
  FeedChannels feeds;
  if (config_.serves_grpc()) {
    feeds.key_manager = service::ChannelsTo(service::Role::kKeymgr, config_.tls, config_.access, security_);
    feeds.bridge = service::ChannelsTo(service::Role::kRtrBridge, config_.tls, config_.access, security_);
  }
  ASSIGN_OR_RETURN(sources_,
                   SourceRunner::Make(config_.sources, {.paths = config_.slurm}, std::move(feeds), *cache_, clock_));
  return absl::OkStatus();
}

absl::Status Bridge::StartApi() {
  RtrHandlerParts parts{.name = config_.evidence.name,
                        .cache = *cache_,
                        .board = board_,
                        .routers = *routers_,
                        .sessions = log_,
                        .sources = *sources_,
                        .clock = clock_,
                        .callers = security_.callers,
                        .prove = {}};
  if (evidence_ != nullptr) {
    parts.deliverer = &evidence_->deliverer();
    parts.spool = &evidence_->outbox().spool();
    parts.prove = [this](const std::string& frame) { return evidence_->Prove(frame); };
  }
  handler_ = std::make_unique<RtrHandler>(std::move(parts));
  service::ServerOptions options;
  options.listen = FormatHostPort(config_.listen);
  options.tls = config_.tls;
  options.reflection = config_.reflection;
  const std::vector<service::ServedService> services{{handler_.get(), "virp.rtr.v1.RtrService"}};
  ASSIGN_OR_RETURN(server_, service::ServerRunner::Start(options, security_, clock_, services));
  ASSIGN_OR_RETURN(break_glass_, StartBreakGlass(config_.break_glass_socket, recorder(), services));
  return absl::OkStatus();
}

absl::Status Bridge::StartAdmin() {
  readiness_.Add("data",
                 [this] { return board_.view() != nullptr ? absl::OkStatus() : Unavailable("nothing is loaded yet"); });
  MetricParts measured{
      .cache = *cache_, .routers = *routers_, .sources = *sources_, .clock = clock_, .http = http_->server()};
  if (evidence_ != nullptr) {
    measured.recorder = &evidence_->recorder();
    measured.keys = &evidence_->supply();
  }
  if (server_ != nullptr) {
    measured.refusals = &refusals_;
    measured.server = server_.get();
    readiness_.Add("certificates", [this] { return server_->Ready(); });
  }
  AddMetrics(metrics_, measured);
  ASSIGN_OR_RETURN(admin_, service::StartAdmin(config_.common, metrics_, readiness_));
  return absl::OkStatus();
}

void Bridge::OnReload() {
  // This thread feeds the watchdog: it does not wait for other people's servers.
  runner_.OnReload("sources", [this] {
    sources_->RefreshAll(std::chrono::milliseconds(0));
    return absl::OkStatus();
  });
  runner_.OnReload("routers' keys", [this] { return routers_->Reload(); });
  if (evidence_ != nullptr) runner_.OnReload("keys", [this] { return evidence_->supply().files().Refresh(); });
}

void Bridge::OnDrain() {
  runner_.OnDrain("readiness", [this] { readiness_.SetDraining(); });
  runner_.OnDrain("sources", [this] { sources_->Stop(); });
  runner_.OnDrain("http", [this] { http_->Drain(); });
  runner_.OnDrain("routers", [this] {
    routers_->Drain(config_.for_good ? rtr::ErrorCode::kCacheShutdown : rtr::ErrorCode::kCacheRestart,
                    config_.drain_patience);
  });
  runner_.OnDrain("server", [this] {
    if (server_ == nullptr) return;
    break_glass_.reset();
    handler_->Drain();
    server_->Drain(config_.common.drain_delay, config_.common.drain_grace);
  });
  runner_.OnDrain("evidence", [this] {
    routers_->Stop();
    if (evidence_ != nullptr) evidence_->Drain(log_, config_.common.drain_grace);
  });
}

absl::StatusOr<int> Bridge::Serve() {
  OnReload();
  OnDrain();
  runner_.OnWatchdog([this]() -> absl::Status {
    RETURN_IF_ERROR(routers_->CheckAlive());
    if (evidence_ != nullptr) RETURN_IF_ERROR(evidence_->CheckAlive());
    return CheckPulses({&pulse_});
  });
  runner_.tasks().Start("house", [this](const std::stop_token& stop) {
    return KeepHouse(stop, *cache_, log_, evidence_.get(), *http_, pulse_);
  });
  if (evidence_ != nullptr) evidence_->Start();
  sources_->Start();
  if (server_ != nullptr) server_->SetServing(true);
  LogServing();
  return runner_.Run();
}

void Bridge::LogServing() const {
  std::vector<std::string> listeners;
  for (const RouterServer::Bound& listener : routers_->listeners()) listeners.push_back(listener.address);
  service::LogInfo("serving", {{"routers", fmt::format("{}", fmt::join(listeners, " "))},
                               {"address", server_ != nullptr ? server_->address() : "none"},
                               {"http", http_->address()},
                               {"admin_port", admin_->port()}});
}

absl::StatusOr<int> Run(const Config& config) {
  service::SetUpLogging("rtr-bridge", config.common);
  Bridge bridge(config);
  RETURN_IF_ERROR(bridge.Start());
  return bridge.Serve();
}

}  // namespace
}  // namespace virp::rtr_bridge

int main(int argc, char** argv) {
  return virp::service::RunProgram<virp::rtr_bridge::Config>("virp-rtr-bridge", argc, argv,
                                                             virp::rtr_bridge::ReadConfig, virp::rtr_bridge::Run);
}
