// What a running collector does beside taking in: beats, snapshots, keys read again, alarms about its O-Node, metrics.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "lib/base/mutex.h"
#include "lib/base/pulse.h"
#include "lib/deliver/deliverer.h"
#include "lib/deliver/grpc_connection.h"
#include "lib/frame/key_directory.h"
#include "lib/service/access.h"
#include "lib/service/break_glass.h"
#include "lib/service/credentials.h"
#include "lib/service/metrics.h"
#include "services/collector/domain/edge_limits.h"
#include "services/collector/domain/forgery_alarms.h"
#include "services/collector/domain/heart.h"
#include "services/collector/domain/route_fold.h"
#include "services/collector/transport/frame_listener.h"

namespace virp::collector {

// Signs alarms, as the collector's own source, about what the audit of the O-Node found. Thread-safe.
class AlarmingObserver final : public deliver::DeliveryObserver {
 public:
  // `limits`, if given, is told what the O-Node says; `lost` of sources that lost a frame for good, by Flush.
  using OnLost = std::function<void(std::string_view source)>;
  AlarmingObserver(std::string own_source, deliver::Outbox& outbox, EdgeLimits* limits = nullptr, OnLost lost = nullptr)
      : own_source_(std::move(own_source)), outbox_(outbox), limits_(limits), lost_(std::move(lost)) {}
  void OnRefused(std::string_view source, frame::Reason reason) override;
  void OnOverLimit(std::string_view source) override;
  void OnAuditFailure(std::string_view what) override;
  const EdgeLimits* limits() const { return limits_; }
  // Enters what was found since the last call: the outbox must not be called from within the deliverer.
  absl::Status Flush();

 private:
  // While the spool takes nothing, findings are kept one by one up to here and counted beyond.
  static constexpr std::size_t kMostFailures = 16;
  struct Failure {
    std::string what;
    std::uint64_t count = 0;
  };
  void TellLosses();

  const std::string own_source_;
  deliver::Outbox& outbox_;
  EdgeLimits* const limits_;
  const OnLost lost_;
  Mutex mutex_;
  std::vector<Failure> failures_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t more_failures_ ABSL_GUARDED_BY(mutex_) = 0;
  std::set<std::string> losers_ ABSL_GUARDED_BY(mutex_);
};

struct Household {
  Heart& heart;
  deliver::Outbox& outbox;
  RouteFold& fold;
  const Liveness& liveness;
  frame::KeyDirectory& keys;
  AlarmingObserver& observer;
  ForgeryAlarms& forgeries;
  const Clock& clock;
  Pulse& pulse;  // beats with each round
};

// Several times a second until stopped.
absl::Status KeepHouse(const std::stop_token& stop, const Household& household);

// docs/metrics.md, "Collector".
void AddMetrics(service::Metrics& metrics, deliver::Outbox& outbox, const deliver::Deliverer& deliverer,
                const Liveness& liveness);

// The same for what is folded and pushed back over limits.
void AddLimitMetrics(service::Metrics& metrics, const RouteFold& fold, const EdgeLimits& limits);

// The same for one listener, which outlives the metrics.
void AddListenerMetrics(service::Metrics& metrics, const FrameListener& listener);

// Null when `socket` is empty. Every use is a line of the log and, while the spool takes it, an observation of the
// collector's own source.
absl::StatusOr<std::unique_ptr<service::BreakGlassServer>> StartBreakGlass(
    const std::string& socket, const std::string& own_source, deliver::Outbox& outbox,
    const std::vector<service::ServedService>& services);

}  // namespace virp::collector
