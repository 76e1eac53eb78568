#include "services/collector/transport/house.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <set>
#include <utility>

#include "lib/base/edge_watch.h"
#include "lib/base/status.h"
#include "lib/chain/break_glass.h"
#include "lib/service/logging.h"
#include "services/collector/transport/access.h"

namespace virp::collector {
namespace {

constexpr std::chrono::milliseconds kTick{100};
constexpr std::uint64_t kSnapshotBytes = 64ULL << 20;
constexpr int kDueBatches = 16;  // of the fold, in one tick

}  // namespace

void AlarmingObserver::OnRefused(std::string_view source, frame::Reason reason) {
  service::LogWarning("the O-Node refused a frame for good",
                      {{"source", source}, {"reason", frame::ReasonName(reason)}});
  const MutexLock lock(mutex_);
  losers_.emplace(source);
}

void AlarmingObserver::OnOverLimit(std::string_view source) {
  if (limits_ != nullptr) limits_->Told(source);
}

void AlarmingObserver::OnAuditFailure(std::string_view what) {
  service::LogError("the O-Node's chain does not hold what it acknowledged; nothing is freed from the spool",
                    {{"what", what}});
  const MutexLock lock(mutex_);
  const auto known =
      std::find_if(failures_.begin(), failures_.end(), [&](const Failure& failure) { return failure.what == what; });
  if (known != failures_.end()) {
    ++known->count;
  } else if (failures_.size() < kMostFailures) {
    failures_.push_back({std::string(what), 1});
  } else {
    ++more_failures_;
  }
}

void AlarmingObserver::TellLosses() {
  std::set<std::string> losers;
  {
    const MutexLock lock(mutex_);
    losers.swap(losers_);
  }
  for (const std::string& source : losers) {
    if (lost_) lost_(source);
  }
}

absl::Status AlarmingObserver::Flush() {
  TellLosses();
  std::vector<chain::Alarm> alarms;
  const auto add = [&](std::string reason, std::uint64_t count) {
    chain::Alarm& alarm = alarms.emplace_back();
    alarm.source = own_source_;
    alarm.cause = "AUDIT_FAILED";
    alarm.reason = std::move(reason);
    alarm.count = count;
  };
  const MutexLock lock(mutex_);
  for (const Failure& failure : failures_) add(failure.what, failure.count);
  if (more_failures_ > 0) add("further findings, each in the log", more_failures_);
  RETURN_IF_ERROR(EmitAlarms(outbox_, own_source_, alarms));
  failures_.clear();
  more_failures_ = 0;
  return absl::OkStatus();
}

namespace {

// Summaries, and states of paths while there is room: what the outbox's gate owes, durably.
absl::Status EmitDue(deliver::Outbox& outbox) {
  std::uint64_t last = 0;
  for (int i = 0; i < kDueBatches; ++i) {
    ASSIGN_OR_RETURN(const std::uint64_t number, outbox.EmitDue());
    if (number == 0) break;
    last = number;
  }
  return last == 0 ? absl::OkStatus() : outbox.Sync(last);
}

// A BMP source counts as connected once the dump that followed its connect was compared.
void TellCompared(const Liveness& liveness, RouteFold& fold) {
  for (const SourceLiveness& source : liveness.Sources()) {
    if (source.path == Path::kBmp && source.connected) fold.Compared(source.source);
  }
}

// Says who is over the O-Node's limit, when it begins and when it ends.
void WatchLimits(const EdgeLimits* limits, EdgeWatch& watch) {
  if (limits == nullptr) return;
  watch.Look(
      limits->ToldSources(),
      [](const std::string& source) {
        service::LogWarning("a source is over the O-Node's limit; its frames wait, its routes are summarised",
                            {{"source", source}});
      },
      [](const std::string& source) {
        service::LogInfo("a source is within the O-Node's limit again", {{"source", source}});
      });
}

}  // namespace

absl::Status KeepHouse(const std::stop_token& stop, const Household& house) {
  EdgeWatch limits;
  std::mutex mutex;
  std::condition_variable_any wake;
  int ticks = 0;
  const AtWork work(house.pulse);
  while (!stop.stop_requested()) {
    house.pulse.Beat();
    // Only a new start puts that right, and systemd sees to it.
    RETURN_IF_ERROR(Annotate(house.outbox.spool().problem(), "the spool takes nothing any more"));
    // A full spool or a missing key is told each second, not each tick.
    const bool tell = ++ticks % 10 == 0;
    TellCompared(house.liveness, house.fold);
    WatchLimits(house.observer.limits(), limits);
    for (const absl::Status& done :
         {house.heart.Tick(), house.observer.Flush(), house.forgeries.Emit(house.outbox, house.clock.NowNanos()),
          EmitDue(house.outbox), house.outbox.SnapshotIfDue(kSnapshotBytes),
          tell ? house.keys.Refresh() : absl::OkStatus()}) {
      if (!done.ok() && tell)
        service::LogStatus(service::LogLevel::kError, "the collector cannot do its housekeeping", done);
    }
    std::unique_lock lock(mutex);
    wake.wait_for(lock, stop, kTick, [] { return false; });
  }
  return absl::OkStatus();
}

void AddMetrics(service::Metrics& metrics, deliver::Outbox& outbox, const deliver::Deliverer& deliverer,
                const Liveness& liveness) {
  const auto bytes = metrics.AddGauge("spool_bytes", "Bytes of the spool on disk.");
  const auto limit = metrics.AddGauge("spool_limit_bytes", "Bound of the spool.");
  const auto full = metrics.AddGauge("spool_full", "1 while nothing is taken for want of room.");
  const auto frames = metrics.AddGauge("spool_frames", "Records in the spool that are not freed.");
  const auto delivered = metrics.AddGauge("delivered_number", "Highest delivery number that the O-Node answered.");
  const auto audited = metrics.AddGauge("audited_entries", "Size of the largest checkpoint that was audited.");
  const auto failed =
      metrics.AddGauge("audit_failed", "1 while the O-Node's chain does not hold what it acknowledged.");
  const auto connected = metrics.AddGauge("delivering", "1 while a delivery is open.");
  const auto held = metrics.AddGauge("held_frames", "Frames held back for a passing reason.");
  const auto refused = metrics.AddCounter("refused_frames_total", "Frames refused for good.");
  const auto sources = metrics.AddGauge("sources_connected", "Sources whose producer is connected.");
  metrics.OnCollect([=, &outbox, &deliverer, &liveness] {
    const deliver::SpoolStats spool = outbox.spool().stats();
    const deliver::DelivererStatus delivery = deliverer.status();
    bytes.Set(spool.bytes);
    limit.Set(spool.limit);
    full.Set(spool.full ? 1 : 0);
    frames.Set(spool.last_frame + 1 - spool.first);
    delivered.Set(delivery.answered);
    audited.Set(delivery.audited_size);
    failed.Set(delivery.audit_problem.empty() ? 0 : 1);
    connected.Set(delivery.connected_to.empty() ? 0 : 1);
    refused.Set(delivery.refused_lasting);
    double waiting = 0;
    for (const auto& [source, count] : delivery.held) waiting += static_cast<double>(count);
    held.Set(waiting);
    double up = 0;
    for (const SourceLiveness& source : liveness.Sources()) up += source.connected ? 1 : 0;
    sources.Set(up);
  });
}

void AddLimitMetrics(service::Metrics& metrics, const RouteFold& fold, const EdgeLimits& limits) {
  const auto over = metrics.AddGauge("sources_over_limit", "Sources over the O-Node's limit, by its word.");
  const auto folded = metrics.AddCounter("folded_observations_total", "Observations folded into summaries.");
  const auto summaries = metrics.AddCounter("summaries_total", "Summaries signed.");
  const auto stated = metrics.AddCounter("folded_stated_total", "Paths and tables stated after they had been folded.");
  const auto waiting = metrics.AddGauge("folded_waiting", "Paths that changed and wait to be stated.");
  const auto tables = metrics.AddGauge("summarised_tables", "Tables whose changes are being folded.");
  const auto pushed = metrics.AddCounter("pushed_back_total", "Times that a producer was made to wait for its limit.");
  metrics.OnCollect([=, &fold, &limits] {
    const RouteFoldCounters counters = fold.counters();
    over.Set(limits.ToldSources().size());
    folded.Set(counters.folded);
    summaries.Set(counters.summaries);
    stated.Set(counters.stated);
    waiting.Set(counters.waiting);
    tables.Set(counters.tables);
    pushed.Set(limits.pushed_back());
  });
}

void AddListenerMetrics(service::Metrics& metrics, const FrameListener& listener) {
  const service::MetricLabels labels{{"source", listener.options().source}, {"listen", listener.options().listen}};
  const auto with_reason = [&](std::string_view reason) {
    service::MetricLabels all = labels;
    all["reason"] = reason;
    return all;
  };
  const auto open = metrics.AddGauge("listener_connections", "Connections of producers of signed frames.", labels);
  const auto accepted = metrics.AddCounter("listener_accepted_connections_total", "Connections accepted.", labels);
  std::array<service::Counter, kDoorReasons.size()> refused;
  for (std::size_t i = 0; i < refused.size(); ++i) {
    refused[i] = metrics.AddCounter("listener_refused_connections_total", "Connections closed at the door, by reason.",
                                    with_reason(kDoorReasons[i]));
  }
  const auto refused_by_tls = metrics.AddCounter(
      "listener_failed_handshakes_total", "TLS handshakes that failed or showed nobody who may connect.", labels);
  std::array<service::Counter, kEndReasons.size()> ended;
  for (std::size_t i = 0; i < ended.size(); ++i) {
    ended[i] =
        metrics.AddCounter("listener_ended_connections_total",
                           "Connections ended because of what came over them, by reason.", with_reason(kEndReasons[i]));
  }
  const auto frames = metrics.AddCounter("listener_frames_total", "Frames taken.", labels);
  const auto duplicates =
      metrics.AddCounter("listener_duplicate_frames_total", "Frames of version 1 that were taken before.", labels);
  metrics.OnCollect([=, &listener] {
    const ListenerCounters& counters = listener.counters();
    open.Set(listener.connections());
    accepted.Set(counters.accepted);
    for (std::size_t i = 0; i < refused.size(); ++i) refused[i].Set(counters.refused_by.count(i));
    refused_by_tls.Set(counters.refused_by_tls);
    for (std::size_t i = 0; i < ended.size(); ++i) ended[i].Set(counters.ended_by.count(i));
    frames.Set(counters.frames);
    duplicates.Set(counters.duplicates);
  });
}

absl::StatusOr<std::unique_ptr<service::BreakGlassServer>> StartBreakGlass(
    const std::string& socket, const std::string& own_source, deliver::Outbox& outbox,
    const std::vector<service::ServedService>& services) {
  const auto record = [own_source, &outbox](const service::BreakGlassUse& use) -> absl::Status {
    deliver::Observation observation;
    observation.type = frame::Type::kActionOutcome;
    observation.tier = frame::Tier::kYellow;
    observation.payload = chain::BuildBreakGlass({use.method, use.peer.uid, static_cast<std::uint64_t>(use.peer.pid)});
    const auto receipts = outbox.Emit(own_source, {observation});
    // The spool fills up just when certificates have lapsed and nothing is delivered; the line above stands for the
    // entry then.
    if (absl::IsResourceExhausted(receipts.status())) return absl::OkStatus();
    RETURN_IF_ERROR(receipts.status());
    return outbox.Sync(receipts->back().number);
  };
  return service::StartBreakGlass(socket, BreakGlassMethods(), services, record);
}

}  // namespace virp::collector
