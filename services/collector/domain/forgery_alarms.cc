#include "services/collector/domain/forgery_alarms.h"

#include <utility>
#include <vector>

#include "lib/base/saved.h"
#include "lib/base/status.h"
#include "lib/chain/control.h"
#include "lib/crypto/sha256.h"
#include "lib/frame/payload.h"

namespace virp::collector {

absl::Status EmitAlarms(deliver::Outbox& outbox, std::string_view own_source, const std::vector<chain::Alarm>& alarms) {
  std::vector<deliver::Observation> observations;
  for (const chain::Alarm& alarm : alarms) {
    deliver::Observation& observation = observations.emplace_back();
    observation.type = frame::Type::kChannelAlarm;
    observation.tier = frame::Tier::kYellow;
    observation.payload = chain::BuildAlarm(alarm);
  }
  return observations.empty() ? absl::OkStatus() : outbox.Emit(own_source, observations).status();
}

void ForgeryAlarms::Note(std::string_view source, std::string_view bytes) {
  const Hash digest = crypto::Sha256(bytes);
  const MutexLock lock(mutex_);
  alarms_.Note(source, chain::kCauseBadTag, chain::ChannelState::kAlarmed, digest, digest);
}

absl::Status ForgeryAlarms::Emit(deliver::Outbox& outbox, UnixNanos now) {
  const MutexLock lock(mutex_);
  chain::AlarmAggregator after = alarms_;
  RETURN_IF_ERROR(EmitAlarms(outbox, own_source_, after.TakeDue(now)));
  alarms_ = std::move(after);
  return absl::OkStatus();
}

// A snapshot has the frame of an alarm behind it and says that it was signed, or neither.
void ForgeryAlarms::BeforeSave() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  mutex_.lock();
}
void ForgeryAlarms::AfterSave() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  mutex_.unlock();
}

std::string ForgeryAlarms::Save() const ABSL_NO_THREAD_SAFETY_ANALYSIS {
  const auto entered = alarms_.entered();
  std::string out;
  AppendSaved(out, entered.size());
  for (const chain::AlarmAggregator::Standing& standing : entered) {
    AppendSaved(out, standing.source);
    AppendSaved(out, standing.at);
  }
  return out;
}

// Load and ReplayFrame come from Outbox::Open, under its lock, before any other thread has this.
absl::Status ForgeryAlarms::Load(std::string_view saved) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  alarms_ = {};
  if (saved.empty()) return absl::OkStatus();  // of a collector that did not keep it
  StateReader reader{saved};
  for (std::uint64_t left = reader.Number(); left > 0 && !reader.broken; --left) {
    const std::string_view source = reader.Text();
    const UnixNanos at = reader.Number();
    if (!reader.broken) alarms_.Entered(source, chain::kCauseBadTag, chain::ChannelState::kAlarmed, at);
  }
  return reader.broken || !reader.left.empty() ? DataLoss(
                                                     "the times of the last alarms in the spool's snapshot are "
                                                     "damaged; keep a copy of the spool folder and see "
                                                     "docs/operations/collector.md, \"When the spool is damaged\"")
                                               : absl::OkStatus();
}

absl::Status ForgeryAlarms::ReplayFrame(std::string_view source, const frame::Frame& frame,
                                        std::uint64_t) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  if (source != own_source_ || frame.header.type != frame::Type::kChannelAlarm) return absl::OkStatus();
  frame::PayloadReader reader;
  const auto payload = reader.Read(frame.payload);
  const auto alarm = payload.ok() ? chain::ParseAlarm(*payload) : payload.status();
  if (!alarm.ok() || alarm->cause != chain::kCauseBadTag) return absl::OkStatus();
  alarms_.Entered(alarm->source, alarm->cause, alarm->state, frame.header.timestamp);
  return absl::OkStatus();
}

}  // namespace virp::collector
