// Signs and spools the bridge's records, and beats for its source.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/deliver/outbox.h"
#include "services/rtr-bridge/domain/evidence.h"
#include "services/rtr-bridge/domain/records_state.h"
#include "services/rtr-bridge/domain/session_log.h"

namespace virp::rtr_bridge {

inline constexpr std::chrono::seconds kBeatInterval{10};

// The first record of a start says how the one before ended; when that was not in order, a second one says since when
// records are lost. Nothing else is signed before them. Thread-safe.
class OutboxRecorder final : public Recorder {
 public:
  // All outlive it. `state` takes part in the outbox's snapshots.
  OutboxRecorder(const Witness& witness, deliver::Outbox& outbox, RecordsState& state, const Clock& clock);

  absl::StatusOr<std::string> Record(const deliver::Observation& observation) override;
  bool HasRoom() const override;
  // Spools what the routers' connections have told since the last call; what was lost becomes a record once there is
  // room.
  absl::Status Flush(SessionLog& log);
  // Beats when it is time, durably.
  absl::Status Beat();
  // The last Flush, and the record that this start ended in order. Later calls do nothing, and nothing is recorded
  // behind it: Record then is FailedPrecondition.
  absl::Status Stop(SessionLog& log);

  std::uint64_t recorded() const;
  std::uint64_t lost() const;  // over this start

 private:
  using Why = LostRecords::Why;

  absl::Status TellStart();
  absl::Status FlushAll(SessionLog& log, bool last) ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  absl::Status SpoolAll(const std::vector<deliver::Observation>& observations) ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  // Durable on return, with the mark.
  absl::Status EmitMarked(const std::vector<deliver::Observation>& observations, const RecordsState::Mark& mark);
  absl::Status TellLost();
  void CountLost(Why why, std::uint64_t count);

  const Witness& witness_;
  deliver::Outbox& outbox_;
  RecordsState& state_;
  const Clock& clock_;
  const UnixNanos since_;  // of this start
  std::atomic<bool> started_{false};

  Mutex turn_;  // one Flush, Beat or Stop at a time; taken before mutex_
  bool stopped_ ABSL_GUARDED_BY(turn_) = false;
  UnixNanos complete_until_ ABSL_GUARDED_BY(turn_);
  std::chrono::steady_clock::time_point next_beat_ ABSL_GUARDED_BY(turn_){};
  Mutex start_;  // told once
  // Shared by each Record on its way; taken before mutex_.
  SharedMutex end_;
  bool ended_ ABSL_GUARDED_BY(end_) = false;

  mutable Mutex mutex_;
  struct Untold {
    std::uint64_t count = 0;
    UnixNanos since = 0, until = 0;
  };
  std::uint64_t recorded_ ABSL_GUARDED_BY(mutex_) = 0;
  std::uint64_t lost_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<Why, Untold> untold_ ABSL_GUARDED_BY(mutex_);  // lost ones that are on no record yet
};

// Where a bridge without a chain sends its records: nowhere, and says so by its metrics.
class NoRecorder final : public Recorder {
 public:
  absl::StatusOr<std::string> Record(const deliver::Observation&) override { return std::string(); }
  bool HasRoom() const override { return true; }
};

}  // namespace virp::rtr_bridge
