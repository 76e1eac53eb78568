#include "services/collector/transport/house.h"

#include <condition_variable>
#include <mutex>
#include <utility>

#include "lib/base/status.h"
#include "lib/frame/payload.h"
#include "lib/service/logging.h"
#include "services/collector/transport/access.h"

namespace virp::collector {
namespace {

constexpr std::chrono::milliseconds kTick{100};
constexpr std::uint64_t kSnapshotBytes = 64ULL << 20;

}  // namespace

void AlarmingObserver::OnRefused(std::string_view source, frame::Reason reason) {
  service::LogWarning("the O-Node refused a frame for good", {{"source", source}, {"reason", frame::ReasonName(reason)}});
}

void AlarmingObserver::OnAuditFailure(std::string_view what) {
  service::LogError("the O-Node's chain does not hold what it acknowledged; nothing is freed from the spool", {{"what", what}});
  const MutexLock lock(mutex_);
  failures_.emplace_back(what);
}

absl::Status AlarmingObserver::Flush() {
  std::vector<std::string> failures;
  {
    const MutexLock lock(mutex_);
    failures.swap(failures_);
  }
  for (const std::string& failure : failures) {
    chain::Alarm alarm;
    alarm.source = own_source_;
    alarm.cause = "AUDIT_FAILED";
    alarm.reason = failure;
    Observation observation;
    observation.type = frame::Type::kChannelAlarm;
    observation.tier = frame::Tier::kYellow;
    observation.payload = chain::BuildAlarm(alarm);
    RETURN_IF_ERROR(outbox_.Emit(own_source_, {observation}).status());
  }
  return absl::OkStatus();
}

absl::Status KeepHouse(const std::stop_token& stop, Heart& heart, Outbox& outbox, frame::KeyDirectory& keys, AlarmingObserver& observer) {
  std::mutex mutex;
  std::condition_variable_any wake;
  int ticks = 0;
  while (!stop.stop_requested()) {
    // A full spool or a missing key is told each second, not each tick.
    const bool tell = ++ticks % 10 == 0;
    for (const absl::Status& done : {heart.Tick(), observer.Flush(), outbox.SnapshotIfDue(kSnapshotBytes), tell ? keys.Refresh() : absl::OkStatus()}) {
      if (!done.ok() && tell) service::LogStatus(service::LogLevel::kError, "the collector cannot do its housekeeping", done);
    }
    std::unique_lock lock(mutex);
    wake.wait_for(lock, stop, kTick, [] { return false; });
  }
  return absl::OkStatus();
}

void AddMetrics(service::Metrics& metrics, Outbox& outbox, const deliver::Deliverer& deliverer, const Liveness& liveness) {
  const auto bytes = metrics.AddGauge("spool_bytes", "Bytes of the spool on disk.");
  const auto limit = metrics.AddGauge("spool_limit_bytes", "Bound of the spool.");
  const auto frames = metrics.AddGauge("spool_frames", "Records in the spool that are not freed.");
  const auto delivered = metrics.AddGauge("delivered_number", "Highest delivery number that the O-Node answered.");
  const auto audited = metrics.AddGauge("audited_entries", "Size of the largest checkpoint that was audited.");
  const auto failed = metrics.AddGauge("audit_failed", "1 while the O-Node's chain does not hold what it acknowledged.");
  const auto connected = metrics.AddGauge("delivering", "1 while a delivery is open.");
  const auto held = metrics.AddGauge("held_frames", "Frames held back for a passing reason.");
  const auto refused = metrics.AddGauge("refused_frames", "Frames refused for good since the start.");
  const auto sources = metrics.AddGauge("sources_connected", "Sources whose producer is connected.");
  metrics.OnCollect([=, &outbox, &deliverer, &liveness] {
    const deliver::SpoolStats spool = outbox.spool().stats();
    const deliver::DelivererStatus delivery = deliverer.status();
    bytes.Set(static_cast<double>(spool.bytes));
    limit.Set(static_cast<double>(spool.limit));
    frames.Set(static_cast<double>(spool.last + 1 - spool.first));
    delivered.Set(static_cast<double>(delivery.answered));
    audited.Set(static_cast<double>(delivery.audited_size));
    failed.Set(delivery.audit_problem.empty() ? 0 : 1);
    connected.Set(delivery.connected_to.empty() ? 0 : 1);
    refused.Set(static_cast<double>(delivery.refused_lasting));
    double waiting = 0;
    for (const auto& [source, count] : delivery.held) waiting += static_cast<double>(count);
    held.Set(waiting);
    double up = 0;
    for (const SourceLiveness& source : liveness.Sources()) up += source.connected ? 1 : 0;
    sources.Set(up);
  });
}

void AddListenerMetrics(service::Metrics& metrics, const FrameListener& listener) {
  const service::MetricLabels labels{{"source", listener.options().source}};
  const auto open = metrics.AddGauge("listener_connections", "Connections of producers of signed frames.", labels);
  const auto accepted = metrics.AddGauge("listener_accepted_connections", "Connections accepted since the start.", labels);
  const auto refused = metrics.AddGauge("listener_refused_connections", "Connections closed at the door since the start.", labels);
  const auto refused_by_tls = metrics.AddGauge("listener_failed_handshakes", "TLS handshakes that failed or showed nobody who may connect.", labels);
  const auto ended = metrics.AddGauge("listener_ended_connections", "Connections ended because of what came over them.", labels);
  const auto frames = metrics.AddGauge("listener_frames", "Frames taken since the start.", labels);
  const auto duplicates = metrics.AddGauge("listener_duplicate_frames", "Frames of version 1 that were taken before.", labels);
  metrics.OnCollect([=, &listener] {
    const ListenerCounters& counters = listener.counters();
    open.Set(static_cast<double>(listener.connections()));
    accepted.Set(static_cast<double>(counters.accepted));
    refused.Set(static_cast<double>(counters.refused));
    refused_by_tls.Set(static_cast<double>(counters.refused_by_tls));
    ended.Set(static_cast<double>(counters.ended_by_error));
    frames.Set(static_cast<double>(counters.frames));
    duplicates.Set(static_cast<double>(counters.duplicates));
  });
}

deliver::ChannelFactory ChannelsTo(const service::TlsFiles& tls, const service::AccessOptions& access, const service::Security& security) {
  return [tls, access, denied = security.denied](const std::string& address) -> absl::StatusOr<std::shared_ptr<grpc::Channel>> {
    service::ChannelOptions options;
    options.target = address;
    options.tls = tls;
    options.server.role = service::Role::kOnode;
    ASSIGN_OR_RETURN(options.identities, service::LoadIdentities(access));
    options.denied = denied;
    return service::MakeChannel(options);
  };
}

absl::StatusOr<std::unique_ptr<service::BreakGlassServer>> StartBreakGlass(const std::string& socket, const std::string& own_source, Outbox& outbox,
                                                                           const std::vector<service::ServedService>& services) {
  if (socket.empty()) return nullptr;
  const auto hook = [own_source, &outbox](const service::BreakGlassUse& use) -> absl::Status {
    service::LogWarning("break-glass socket used", {{"method", use.method}, {"uid", use.peer.uid}, {"pid", use.peer.pid}});
    if (!use.refused.ok()) return absl::OkStatus();
    Observation observation;
    observation.type = frame::Type::kActionOutcome;
    observation.tier = frame::Tier::kYellow;
    frame::JsonWriter json;
    json.BeginObject().Field("domain", "virp").Field("subject", "break-glass").Field("event", "break_glass").Field("method", use.method);
    json.Field("uid", std::uint64_t{use.peer.uid}).EndObject();
    observation.payload = json.Take();
    const auto receipts = outbox.Emit(own_source, {observation});
    // The spool fills up just when certificates have lapsed and nothing is delivered; the line above stands for the entry then.
    if (absl::IsResourceExhausted(receipts.status())) return absl::OkStatus();
    RETURN_IF_ERROR(receipts.status());
    return outbox.Sync(receipts->back().number);
  };
  service::BreakGlassOptions options;
  options.socket = socket;
  options.methods = BreakGlassMethods();
  return service::BreakGlassServer::Start(std::move(options), hook, services);
}

}  // namespace virp::collector
