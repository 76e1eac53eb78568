// Signs and spools the bridge's records, and beats for its source.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/deliver/outbox.h"
#include "services/rtr-bridge/domain/evidence.h"
#include "services/rtr-bridge/domain/session_log.h"

namespace virp::rtr_bridge {

inline constexpr std::chrono::seconds kBeatInterval{10};

// Thread-safe.
class OutboxRecorder final : public Recorder {
 public:
  // All outlive it.
  OutboxRecorder(const Witness& witness, deliver::Outbox& outbox, const Clock& clock)
      : witness_(witness), outbox_(outbox), clock_(clock) {}

  absl::StatusOr<std::string> Record(const deliver::Observation& observation) override;
  // Spools what the routers' connections have told since the last call; what was lost becomes a record once there is
  // room.
  absl::Status Flush(SessionLog& log);
  // Beats when it is time, durably.
  absl::Status Beat();

  std::uint64_t recorded() const;
  std::uint64_t lost() const;  // over this start

 private:
  void CountLost(std::uint64_t count);
  absl::Status TellLost();

  const Witness& witness_;
  deliver::Outbox& outbox_;
  const Clock& clock_;
  mutable Mutex mutex_;
  std::uint64_t recorded_ ABSL_GUARDED_BY(mutex_) = 0;
  std::uint64_t lost_ ABSL_GUARDED_BY(mutex_) = 0;
  std::uint64_t untold_ ABSL_GUARDED_BY(mutex_) = 0;  // lost ones that are on no record yet
  UnixNanos untold_since_ ABSL_GUARDED_BY(mutex_) = 0;
  std::chrono::steady_clock::time_point next_beat_ ABSL_GUARDED_BY(mutex_){};
};

// Where a bridge without a chain sends its records: nowhere, and says so by its metrics.
class NoRecorder final : public Recorder {
 public:
  absl::StatusOr<std::string> Record(const deliver::Observation&) override { return std::string(); }
};

}  // namespace virp::rtr_bridge
