#include "services/collector/transport/house.h"

#include <condition_variable>
#include <mutex>
#include <utility>

#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/service/logging.h"

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

deliver::ChannelFactory ChannelsTo(const service::TlsFiles& tls, const service::Security& security, const std::string& trust_domain,
                                   const std::string& identity_map) {
  return [tls, denied = security.denied, trust_domain, identity_map](const std::string& address) -> absl::StatusOr<std::shared_ptr<grpc::Channel>> {
    service::ChannelOptions options;
    options.target = address;
    options.tls = tls;
    options.server.role = service::Role::kOnode;
    absl::StatusOr<service::IdentityMap> identities = service::IdentityMap::Default(trust_domain);
    if (!identity_map.empty()) {
      ASSIGN_OR_RETURN(const std::string text, ReadFile(identity_map, 1 << 20));
      identities = service::IdentityMap::FromJson(text);
    }
    RETURN_IF_ERROR(identities.status());
    options.identities = std::make_shared<const service::IdentityMap>(*std::move(identities));
    options.denied = denied;
    return service::MakeChannel(options);
  };
}

}  // namespace virp::collector
