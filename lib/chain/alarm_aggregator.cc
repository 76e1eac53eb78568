#include "lib/chain/alarm_aggregator.h"

#include <algorithm>

namespace virp::chain {

void AlarmAggregator::Note(std::string_view source, std::string_view cause, ChannelState state, const Hash& first,
                           const Hash& last) {
  Pending& pending = pending_[{std::string(source), std::string(cause)}];
  if (pending.count == 0) {
    pending.first = std::string(View(first));
    pending.state = state;
  }
  pending.state = std::max(pending.state, state);
  pending.last = std::string(View(last));
  ++pending.count;
}

void AlarmAggregator::Entered(std::string_view source, std::string_view cause, ChannelState state, UnixNanos at) {
  Pending& pending = pending_[{std::string(source), std::string(cause)}];
  pending.entered = at;
  pending.entered_state = state;
}

std::vector<AlarmAggregator::Standing> AlarmAggregator::entered() const {
  std::vector<Standing> out;
  for (const auto& [name, pending] : pending_) {
    if (pending.entered != 0) out.push_back({name.first, name.second, pending.entered});
  }
  return out;
}

void AlarmAggregator::Cleared(std::string_view source, std::string_view cause) {
  const auto found = pending_.find(std::pair{std::string(source), std::string(cause)});
  if (found == pending_.end()) return;
  found->second.entered = 0;
  found->second.entered_state = ChannelState::kOk;
}

std::vector<Alarm> AlarmAggregator::TakeDue(UnixNanos now) {
  std::vector<Alarm> due;
  for (auto& [name, pending] : pending_) {
    if (pending.count == 0) continue;
    const bool worse = pending.state > pending.entered_state;
    // A time far ahead was told by a clock that was wrong: it must not keep anybody silent until then.
    const bool lately = now < pending.entered + kIntervalNanos && pending.entered < now + kIntervalNanos;
    if (!worse && lately) continue;
    Alarm& alarm = due.emplace_back();
    alarm.source = name.first;
    alarm.cause = name.second;
    alarm.state = pending.state;
    alarm.count = pending.count;
    alarm.first_sha256 = pending.first;
    alarm.last_sha256 = pending.last;
    pending.count = 0;
    pending.entered = now;
    pending.entered_state = std::max(pending.entered_state, pending.state);
  }
  return due;
}

}  // namespace virp::chain
