#include "services/rtr-bridge/domain/recorder.h"

#include <algorithm>
#include <utility>

#include "lib/base/status.h"
#include "lib/chain/build_id.h"
#include "lib/chain/control.h"

namespace virp::rtr_bridge {
namespace {

constexpr std::size_t kFrameBytes = 1 << 20;
constexpr std::size_t kMostAtOnce = 1'000;  // all or none: where there is room for a part it is not lost

}  // namespace

OutboxRecorder::OutboxRecorder(const Witness& witness, deliver::Outbox& outbox, RecordsState& state, const Clock& clock)
    : witness_(witness),
      outbox_(outbox),
      state_(state),
      clock_(clock),
      since_(clock.NowNanos()),
      complete_until_(since_) {}

absl::Status OutboxRecorder::EmitMarked(const std::vector<deliver::Observation>& observations,
                                        const RecordsState::Mark& mark) {
  std::vector<deliver::Outbox::Item> items;
  for (const deliver::Observation& observation : observations) items.push_back({witness_.name(), &observation});
  ASSIGN_OR_RETURN(const auto receipts, outbox_.Emit(items, [&](const auto&) { return state_.NoteOf(mark); }));
  RETURN_IF_ERROR(outbox_.Sync(receipts.back().number + 1));  // the note is behind the frames
  state_.Set(mark);
  return absl::OkStatus();
}

absl::Status OutboxRecorder::TellStart() {
  if (started_) return absl::OkStatus();
  const MutexLock lock(start_);
  if (started_) return absl::OkStatus();
  const auto last = state_.last();
  const bool crashed = last && !last->stopped;
  std::vector<deliver::Observation> observations{witness_.Started(!last     ? PreviousEnd::kNone
                                                                  : crashed ? PreviousEnd::kCrashed
                                                                            : PreviousEnd::kStopped)};
  if (crashed) observations.push_back(witness_.RecordsLost({Why::kCrash, std::nullopt, last->complete_until, since_}));
  RETURN_IF_ERROR(EmitMarked(observations, {.stopped = false, .complete_until = since_}));
  started_ = true;
  return absl::OkStatus();
}

absl::StatusOr<std::string> OutboxRecorder::Record(const deliver::Observation& observation) {
  const ReaderLock going_on(end_);
  if (ended_) return FailedPrecondition("the bridge ends: its last record is made");
  const auto spooled = [&]() -> absl::StatusOr<std::string> {
    RETURN_IF_ERROR(TellStart());
    ASSIGN_OR_RETURN(const auto receipts, outbox_.Emit(witness_.name(), {observation}));
    const std::uint64_t number = receipts.front().number;
    RETURN_IF_ERROR(outbox_.Sync(number));
    ASSIGN_OR_RETURN(const auto frames, outbox_.spool().Read(number - 1, 1, kFrameBytes));
    return frames.empty() ? std::string() : std::string(frames.front().bytes);
  }();
  if (!spooled.ok()) {
    CountLost(Why::kNoRoom, 1);
    return spooled.status();
  }
  const MutexLock lock(mutex_);
  ++recorded_;
  return spooled;
}

absl::Status OutboxRecorder::Flush(SessionLog& log) {
  const MutexLock turn(turn_);
  if (stopped_) return absl::OkStatus();
  return FlushAll(log, false);
}

absl::Status OutboxRecorder::FlushAll(SessionLog& log, bool last) {
  RETURN_IF_ERROR(TellStart());  // until then the log keeps what it is told
  const SessionLog::Batch batch = log.Drain(last);
  CountLost(Why::kNoRoom, batch.lost);
  CountLost(Why::kOverLimit, batch.over_limit);
  RETURN_IF_ERROR(SpoolAll(batch.observations));
  RETURN_IF_ERROR(TellLost());
  complete_until_ = std::max(complete_until_, batch.complete_until);
  return absl::OkStatus();
}

absl::Status OutboxRecorder::SpoolAll(const std::vector<deliver::Observation>& observations) {
  for (std::size_t at = 0; at < observations.size(); at += kMostAtOnce) {
    const std::size_t count = std::min(kMostAtOnce, observations.size() - at);
    const auto first = observations.begin() + static_cast<std::ptrdiff_t>(at);
    const absl::Status spooled = EmitMarked({first, first + static_cast<std::ptrdiff_t>(count)},
                                            {.stopped = false, .complete_until = complete_until_});
    if (!spooled.ok()) {
      CountLost(Why::kNoRoom, observations.size() - at);
      return spooled;
    }
    const MutexLock lock(mutex_);
    recorded_ += count;
  }
  return absl::OkStatus();
}

bool OutboxRecorder::HasRoom() const {
  const MutexLock lock(mutex_);
  return !untold_.contains(Why::kNoRoom);
}

void OutboxRecorder::CountLost(Why why, std::uint64_t count) {
  if (count == 0) return;
  const UnixNanos now = clock_.NowNanos();
  const MutexLock lock(mutex_);
  Untold& untold = untold_[why];
  if (untold.count == 0) untold.since = now;
  untold.count += count;
  untold.until = now;
  lost_ += count;
}

absl::Status OutboxRecorder::TellLost() {
  std::map<Why, Untold> untold;
  {
    const MutexLock lock(mutex_);
    untold = untold_;
  }
  if (untold.empty()) return absl::OkStatus();
  std::vector<deliver::Observation> observations;
  for (const auto& [why, of] : untold)
    observations.push_back(witness_.RecordsLost({why, of.count, of.since, of.until}));
  ASSIGN_OR_RETURN(const auto receipts, outbox_.Emit(witness_.name(), observations));
  {
    const MutexLock lock(mutex_);
    for (const auto& [why, of] : untold) {
      Untold& now = untold_[why];
      now.count -= of.count;
      now.since = of.until;
      if (now.count == 0) untold_.erase(why);
    }
  }
  return outbox_.Sync(receipts.back().number);
}

// It carries its own frames: as long as it beats, it is connected.
absl::Status OutboxRecorder::Beat() {
  const MutexLock turn(turn_);
  const auto now = clock_.Steady();
  if (stopped_ || now < next_beat_) return absl::OkStatus();
  RETURN_IF_ERROR(TellStart());
  deliver::Observation beat;
  beat.type = frame::Type::kHeartbeat;
  beat.payload = chain::BuildOwnHeartbeat({});
  RETURN_IF_ERROR(EmitMarked({beat}, {.stopped = false, .complete_until = complete_until_}));
  next_beat_ = now + kBeatInterval;
  return absl::OkStatus();
}

absl::Status OutboxRecorder::Stop(SessionLog& log) {
  const MutexLock turn(turn_);
  if (std::exchange(stopped_, true)) return absl::OkStatus();
  {
    const WriterLock end(end_);
    ended_ = true;
  }
  RETURN_IF_ERROR(FlushAll(log, true));
  const UnixNanos now = clock_.NowNanos();
  return EmitMarked({witness_.Stopped()}, {.stopped = true, .complete_until = now});
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
