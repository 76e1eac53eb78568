#include "services/rtr-bridge/domain/recorder.h"

#include <utility>

#include "lib/base/status.h"
#include "lib/chain/control.h"

namespace virp::rtr_bridge {
namespace {

constexpr std::size_t kFrameBytes = 1 << 20;

}  // namespace

absl::StatusOr<std::string> OutboxRecorder::Record(const deliver::Observation& observation) {
  const auto spooled = [&]() -> absl::StatusOr<std::string> {
    ASSIGN_OR_RETURN(const auto receipts, outbox_.Emit(witness_.name(), {observation}));
    const std::uint64_t number = receipts.front().number;
    RETURN_IF_ERROR(outbox_.Sync(number));
    ASSIGN_OR_RETURN(const auto frames, outbox_.spool().Read(number - 1, 1, kFrameBytes));
    return frames.empty() ? std::string() : std::string(frames.front().bytes);
  }();
  if (!spooled.ok()) {
    CountLost(1);
    return spooled.status();
  }
  const MutexLock lock(mutex_);
  ++recorded_;
  return spooled;
}

absl::Status OutboxRecorder::Flush(SessionLog& log) {
  SessionLog::Batch batch = log.Drain();
  if (batch.lost != 0) CountLost(batch.lost);
  if (!batch.observations.empty()) {
    const auto receipts = outbox_.Emit(witness_.name(), batch.observations);
    if (!receipts.ok()) {
      CountLost(batch.observations.size());
      return receipts.status();
    }
    RETURN_IF_ERROR(outbox_.Sync(receipts->back().number));
    const MutexLock lock(mutex_);
    recorded_ += batch.observations.size();
  }
  return TellLost();
}

void OutboxRecorder::CountLost(std::uint64_t count) {
  const MutexLock lock(mutex_);
  if (untold_ == 0) untold_since_ = clock_.NowNanos();
  untold_ += count;
  lost_ += count;
}

absl::Status OutboxRecorder::TellLost() {
  std::uint64_t count = 0;
  UnixNanos since = 0;
  {
    const MutexLock lock(mutex_);
    count = untold_;
    since = untold_since_;
  }
  if (count == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto receipts, outbox_.Emit(witness_.name(), {witness_.RecordsLost(count, since)}));
  RETURN_IF_ERROR(outbox_.Sync(receipts.front().number));
  const MutexLock lock(mutex_);
  untold_ -= count;
  return absl::OkStatus();
}

// It carries its own frames: as long as it beats, it is connected.
absl::Status OutboxRecorder::Beat() {
  const auto now = clock_.Steady();
  {
    const MutexLock lock(mutex_);
    if (now < next_beat_) return absl::OkStatus();
  }
  deliver::Observation beat;
  beat.type = frame::Type::kHeartbeat;
  beat.payload = chain::BuildHeartbeat({});
  ASSIGN_OR_RETURN(const auto receipts, outbox_.Emit(witness_.name(), {beat}));
  RETURN_IF_ERROR(outbox_.Sync(receipts.front().number));
  const MutexLock lock(mutex_);
  next_beat_ = now + kBeatInterval;
  return absl::OkStatus();
}

std::uint64_t OutboxRecorder::recorded() const {
  const MutexLock lock(mutex_);
  return recorded_;
}
std::uint64_t OutboxRecorder::lost() const {
  const MutexLock lock(mutex_);
  return lost_;
}

}  // namespace virp::rtr_bridge
