// virp-collector: composition root.
#include "absl/cleanup/cleanup.h"
#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/deliver/deliverer.h"
#include "lib/deliver/grpc_connection.h"
#include "lib/keys/key_supply.h"
#include "lib/service/logging.h"
#include "lib/service/metrics.h"
#include "lib/service/program.h"
#include "lib/service/rate_limits.h"
#include "lib/service/refusal_log.h"
#include "lib/service/run.h"
#include "lib/service/server.h"
#include "services/collector/config.h"
#include "services/collector/domain/forgery_alarms.h"
#include "services/collector/domain/heart.h"
#include "services/collector/transport/access.h"
#include "services/collector/transport/bmp_report.h"
#include "services/collector/transport/collector_handler.h"
#include "services/collector/transport/frame_listener.h"
#include "services/collector/transport/house.h"

namespace virp::collector {
namespace {

absl::StatusOr<deliver::DelivererOptions> DeliveryOf(const Config& config) {
  ASSIGN_OR_RETURN(const service::TlsFilesState files, service::InspectTlsFiles(config.tls));
  deliver::DelivererOptions options;
  options.identity = files.leaf.uri_sans.front();  // InspectTlsFiles: exactly one
  options.origin = config.origin;
  options.addresses = config.onodes;
  options.state_directory = config.spool + "/audit";
  for (const std::string& text : config.checkpoint_keys) {
    ASSIGN_OR_RETURN(const chain::VerifierKey key, chain::VerifierKey::Parse(text));
    options.verifiers.push_back(key);
  }
  return options;
}

// Without a file this edge has no limits of its own.
absl::StatusOr<RateLimitTable> LimitsOf(const Config& config) {
  if (config.limits.empty()) return RateLimitTable{};
  ASSIGN_OR_RETURN(service::RateLimits limits, service::ReadRateLimits(config.limits));
  return std::move(limits.sources);
}

// Nothing is lost by it, but who waited for the drain wants to know why.
void LogUndelivered(const deliver::Deliverer& deliverer, const deliver::Spool& spool) {
  const deliver::DelivererStatus status = deliverer.status();
  std::vector<std::string> held;
  for (const auto& [source, frames] : status.held) held.push_back(fmt::format("{} of {}", frames, source));
  service::LogWarning("not all of the spool was delivered; the next start goes on with it",
                      {{"durable", spool.stats().durable_frame},
                       {"answered", status.answered},
                       {"held", fmt::format("{}", fmt::join(held, ", "))},
                       {"connected_to", status.connected_to},
                       {"problem", status.problem}});
}

absl::StatusOr<int> Run(const Config& config) {
  const SystemClock clock;
  service::SetUpLogging("collector", config.common);

  ASSIGN_OR_RETURN(const auto supply, keys::KeySupply::Open(config.keys, config.key_supply, clock));
  const frame::KeyProvider& keys = supply->keys();
  RunBook runs;
  Submissions submissions;
  deliver::SpoolOptions spool;
  spool.directory = config.spool + "/frames";
  spool.max_bytes = config.spool_limit;
  BmpIngest bmp(config.bmp, clock);
  ASSIGN_OR_RETURN(RateLimitTable own_limits, LimitsOf(config));
  EdgeLimits limits(std::move(own_limits), clock);
  RouteFold fold(limits, clock);
  ForgeryAlarms forgeries(config.name);
  ASSIGN_OR_RETURN(
      const auto outbox,
      deliver::Outbox::Open(spool, keys, clock, {&runs, &submissions, &bmp.state(), &fold, &forgeries}, &fold));
  Liveness liveness(clock);
  for (const FrameListenerOptions& listener : config.frames) {
    liveness.Add(listener.source, Path::kFrames, false);
    for (const auto& [id, source] : listener.producers) liveness.Add(source, Path::kFrames, false);
  }
  for (const ProducerBinding& producer : config.producers) {
    for (const std::string& source : producer.sources) liveness.Add(source, Path::kSubmit, true);
  }

  service::RefusalLog refusals(clock);
  ASSIGN_OR_RETURN(const service::Security security,
                   service::LoadSecurity(config.access, AccessTable(), config.reflection, clock, refusals.OnRefusal(),
                                         refusals.OnDenyListChanged()));
  deliver::GrpcConnector connector(service::ChannelsTo(service::Role::kOnode, config.tls, config.access, security));
  AlarmingObserver observer(config.name, *outbox, &limits, [&bmp](std::string_view source) { bmp.LostFrame(source); });
  ASSIGN_OR_RETURN(auto delivery, DeliveryOf(config));
  ASSIGN_OR_RETURN(const auto deliverer,
                   deliver::Deliverer::Make(std::move(delivery), outbox->spool(), connector, observer, clock));

  CollectorHandler handler(config.name, *outbox, submissions, liveness, bmp, *deliverer, config.producers,
                           security.callers, clock, &limits);
  const std::vector<service::ServedService> services{{&handler, "virp.collector.v1.CollectorService"}};
  service::ServerOptions server_options;
  server_options.listen = FormatHostPort(config.listen);
  server_options.tls = config.tls;
  server_options.reflection = config.reflection;
  ASSIGN_OR_RETURN(const auto server, service::ServerRunner::Start(server_options, security, clock, services));
  ASSIGN_OR_RETURN(const auto break_glass, StartBreakGlass(config.break_glass_socket, config.name, *outbox, services));

  const ListenerTls listener_tls{config.tls, security.callers};
  std::vector<std::unique_ptr<FrameIntake>> intakes;
  std::vector<std::unique_ptr<FrameListener>> listeners;
  for (const FrameListenerOptions& options : config.frames) {
    const auto on_forgery = [&forgeries](std::string_view source, std::string_view bytes) {
      forgeries.Note(source, bytes);
    };
    intakes.push_back(
        std::make_unique<FrameIntake>(options, *outbox, runs, liveness, keys, clock, on_forgery, &limits));
    ASSIGN_OR_RETURN(auto listener, FrameListener::Start(*intakes.back(), *outbox, liveness, clock, &listener_tls));
    listeners.push_back(std::move(listener));
  }
  const absl::Cleanup stop_bmp = [&bmp] { bmp.Stop(); };  // it uses what is declared above
  if (!config.bmp.bmp.routers.empty()) RETURN_IF_ERROR(bmp.Start(*outbox, liveness));

  service::Metrics metrics("collector");
  AddMetrics(metrics, *outbox, *deliverer, liveness);
  AddBmpMetrics(metrics, bmp);
  AddLimitMetrics(metrics, fold, limits);
  supply->AddMetrics(metrics);
  for (const auto& listener : listeners) AddListenerMetrics(metrics, *listener);
  refusals.AddMetrics(metrics, server.get());
  service::Readiness readiness;
  readiness.Add("certificates", [&] { return server->Ready(); });
  readiness.Add("spool", [&] {
    RETURN_IF_ERROR(outbox->spool().problem());
    return outbox->spool().stats().full ? ResourceExhausted("the spool has no room: nothing is taken")
                                        : absl::OkStatus();
  });
  ASSIGN_OR_RETURN(const auto admin, service::StartAdmin(config.common, metrics, readiness));

  Heart heart(config.name, *outbox, liveness, clock);
  Pulse pulse("the heart", clock);
  service::Runner runner;
  const auto read_limits = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(RateLimitTable now, LimitsOf(config));
    limits.Replace(std::move(now));
    return absl::OkStatus();
  };
  service::ReloadOnHangup(runner, [&] { return supply->files().Refresh(); }, read_limits, *server);
  runner.OnWatchdog([&]() -> absl::Status {
    RETURN_IF_ERROR(outbox->spool().CheckAlive());
    RETURN_IF_ERROR(deliverer->CheckAlive());
    return CheckPulses({&pulse});
  });
  runner.OnDrain("readiness", [&] { readiness.SetDraining(); });
  runner.OnDrain("server", [&] { server->Drain(config.common.drain_delay, config.common.drain_grace); });
  runner.OnDrain("listeners", [&] {
    for (const auto& listener : listeners) listener->Stop();
    bmp.Stop();
  });
  runner.OnDrain("delivery", [&] {
    // On a disk that fails delivery cannot note what it was answered, and waiting for it helps nobody.
    const bool flushed = outbox->spool().problem().ok() &&
                         deliverer->Flush(std::chrono::steady_clock::now() + config.common.drain_grace);
    if (!flushed) LogUndelivered(*deliverer, outbox->spool());
    deliverer->Stop();
  });
  runner.OnDrain("snapshot", [&] {
    service::LogStatus(service::LogLevel::kInfo, "snapshot of the spool's state", outbox->Snapshot());
  });
  runner.tasks().Start("heart", [&](const std::stop_token& stop) {
    return KeepHouse(stop, {heart, *outbox, fold, liveness, supply->files(), observer, forgeries, clock, pulse});
  });
  supply->Start(service::ChannelsTo(service::Role::kKeymgr, config.tls, config.access, security));
  const absl::Cleanup stop_supply = [&supply] { supply->Stop(); };
  deliverer->Start();
  server->SetServing(true);
  service::LogInfo("serving", {{"address", server->address()},
                               {"admin_port", admin->port()},
                               {"bmp_ports", fmt::format("{}", fmt::join(bmp.ports(), " "))}});
  return runner.Run();
}

}  // namespace
}  // namespace virp::collector

int main(int argc, char** argv) {
  return virp::service::RunProgram<virp::collector::Config>("virp-collector", argc, argv, virp::collector::ReadConfig,
                                                            virp::collector::Run);
}
