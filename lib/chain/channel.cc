#include "lib/chain/channel.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

#include "lib/base/status.h"

namespace virp::chain {
namespace {

using Where = Placement::Where;

constexpr std::uint64_t kMaxNumber = kNone - 1;  // so that the number after it exists
constexpr std::uint64_t kMaxStated = kMaxNumber - 1;
constexpr std::size_t kMaxStatedAhead = 8;          // runs that a beat told of and nobody has seen
constexpr std::size_t kMaxCauses = 64;              // distinct causes per channel
constexpr std::string_view kOtherCauses = "OTHER";  // beyond them

// a > b + margin, without overflow.
bool ExceedsBy(std::uint64_t a, std::uint64_t b, std::uint64_t margin) {
  return a > b && a - b > margin;
}

// a - b, saturated: clocks may be centuries apart.
std::int64_t OffsetOf(std::uint64_t a, std::uint64_t b) {
  const auto limit = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  return a >= b ? static_cast<std::int64_t>(std::min(a - b, limit))
                : -static_cast<std::int64_t>(std::min(b - a, limit));
}

bool IsVersion1(const frame::Header& header) {
  return header.spelling != frame::Spelling::kV2;
}

Placement Refuse(frame::Reason reason) {
  return {Where::kRefused, {}, reason};
}

auto RangeFrom(const std::vector<MissingRange>& missing, std::uint64_t number) {
  return std::lower_bound(missing.begin(), missing.end(), number,
                          [](const MissingRange& range, std::uint64_t n) { return range.to < n; });
}

const EpochState* FindEpoch(const Channel& channel, std::uint64_t epoch) {
  const auto found = channel.epochs.find(epoch);
  return found == channel.epochs.end() ? nullptr : &found->second;
}

// The gaps that the chain owes before `epoch` may begin: what beats stated of the epochs before it.
std::vector<Gap> DueBefore(const Channel& channel, std::uint64_t epoch) {
  std::vector<Gap> due;
  const EpochState* newest = FindEpoch(channel, channel.newest_epoch);
  if (newest != nullptr && newest->stated >= newest->next)
    due.push_back({"", newest->epoch, newest->next, newest->stated});
  for (const auto& [ahead, stated] : channel.stated_ahead) {
    if (ahead < epoch) due.push_back({"", ahead, 1, stated});
  }
  return due;
}

// Whether an epoch that was never opened may be now; frame::Reason::kNone when it may.
frame::Reason MayOpen(const Channel& channel, std::uint64_t epoch, UnixNanos receipt) {
  if (epoch <= channel.floor_epoch || channel.WasOpened(epoch)) return frame::Reason::kEpochOld;
  if (ExceedsBy(epoch, receipt, kSkewNanos)) return frame::Reason::kEpochAhead;
  return frame::Reason::kNone;
}

// Version 1: the first frame of a run names the run by its time, and is later than all that came before.
bool BeginsRun(const Channel& channel, const frame::Header& header, std::uint64_t epoch) {
  return header.timestamp == epoch && header.timestamp > channel.latest_time_ever;
}

Placement PlaceInNewEpoch(const Channel& channel, const frame::Header& header, std::uint64_t epoch, UnixNanos receipt) {
  if (const auto reason = MayOpen(channel, epoch, receipt); reason != frame::Reason::kNone) {
    return Refuse(IsVersion1(header) && reason == frame::Reason::kEpochOld ? frame::Reason::kReplayed : reason);
  }
  if (IsVersion1(header) && !BeginsRun(channel, header, epoch)) return Refuse(frame::Reason::kReplayed);
  Placement out{Where::kNext, DueBefore(channel, epoch), frame::Reason::kNone};
  if (header.sequence > 1) out.gaps.push_back({"", epoch, 1, header.sequence - 1});
  if (!out.gaps.empty()) out.where = Where::kAfterGap;
  return out;
}

Placement PlaceInNewest(const Channel& channel, const EpochState& state, const frame::Header& header) {
  const std::uint64_t number = header.sequence;
  const bool v1 = IsVersion1(header);
  if (number < state.next) {
    if (state.FindMissing(number) == nullptr) return {Where::kHeld, {}, frame::Reason::kNone};
    return v1 ? Refuse(frame::Reason::kReplayed) : Placement{Where::kLate, {}, frame::Reason::kNone};
  }
  if (v1) {
    // As frame::RunState has it, from the chain alone. A gap entry may have opened the run before its first frame;
    // after that, time falls by no more than the skew, and never to that of an earlier run: its frames would fit in
    // again.
    const bool goes_on = state.latest_time == 0 ? BeginsRun(channel, header, state.epoch)
                                                : header.timestamp > state.latest_before &&
                                                      !ExceedsBy(state.latest_time, header.timestamp, kSkewNanos);
    if (!goes_on) return Refuse(frame::Reason::kReplayed);
  }
  if (number == state.next) return {Where::kNext, {}, frame::Reason::kNone};
  return {Where::kAfterGap, {{"", state.epoch, state.next, number - 1}}, frame::Reason::kNone};
}

EpochState& OpenEpoch(Channel& channel, std::uint64_t epoch) {
  const auto before = channel.epochs.find(channel.newest_epoch);
  if (before != channel.epochs.end() && before->second.missing.empty()) channel.epochs.erase(before);
  channel.newest_epoch = epoch;
  channel.floor_epoch = epoch;
  channel.opened.Mutable().push_back(epoch);
  EpochState& state = channel.epochs[epoch];
  state.epoch = epoch;
  state.latest_before = channel.latest_time_ever;
  auto& ahead = channel.stated_ahead;
  if (const auto stated = ahead.find(epoch); stated != ahead.end()) state.stated = stated->second;
  ahead.erase(ahead.begin(), ahead.upper_bound(epoch));
  return state;
}

// Takes `number` out of the range that holds it. The frame's time counts for all later numbers that are still missing.
void Fill(EpochState& state, std::uint64_t number, UnixNanos time) {
  auto& missing = state.missing;
  auto at = missing.begin() + std::distance(missing.cbegin(), RangeFrom(missing, number));
  MissingRange right = *at;
  right.from = number + 1;
  right.latest_before = std::max(right.latest_before, time);
  const bool left_remains = at->from < number, right_remains = right.from <= right.to;
  if (left_remains) {
    at->to = number - 1;
    ++at;
    if (right_remains) at = missing.insert(at, right) + 1;
  } else if (right_remains) {
    *at++ = right;
  } else {
    at = missing.erase(at);
  }
  // latest_before never falls, so the first that is not below ends it.
  for (; at != missing.end() && at->latest_before < time; ++at) at->latest_before = time;
}

}  // namespace

const MissingRange* EpochState::FindMissing(std::uint64_t number) const {
  const auto at = RangeFrom(missing, number);
  return at != missing.end() && at->from <= number ? &*at : nullptr;
}

ChannelState Channel::State() const {
  ChannelState worst = ChannelState::kOk;
  for (const auto& [cause, alarm] : alarms) worst = std::max(worst, alarm.state);
  const bool mismatch = worst == ChannelState::kAlarmed && held == 0 && alarms.contains(std::string(kCauseBadTag));
  return mismatch ? ChannelState::kKeyMismatch : worst;
}

bool Channel::WasOpened(std::uint64_t epoch) const {
  if (epoch == newest_epoch) return epoch != 0;
  if (reset_epoch == 0) return std::binary_search(opened->begin(), opened->end(), epoch);
  return std::find(opened->begin(), opened->end(), epoch) != opened->end();
}

Placement PlaceFrame(const Channel& channel, const frame::Header& header, std::uint64_t epoch, UnixNanos receipt) {
  const bool v1 = IsVersion1(header);
  if (header.sequence > kMaxNumber || (header.sequence == 0 && !v1)) return Refuse(frame::Reason::kMalformed);
  const EpochState* state = FindEpoch(channel, epoch);
  if (state != nullptr && epoch == channel.newest_epoch) return PlaceInNewest(channel, *state, header);
  if (state != nullptr && !v1 && state->FindMissing(header.sequence) != nullptr) {
    return {Where::kLate, {}, frame::Reason::kNone};
  }
  return PlaceInNewEpoch(channel, header, epoch, receipt);
}

bool IsClockSuspect(const Channel* channel, const frame::Header& header, std::uint64_t epoch, UnixNanos receipt) {
  if (ExceedsBy(header.timestamp, receipt, kSkewNanos)) return true;
  const EpochState* state = channel == nullptr ? nullptr : FindEpoch(*channel, epoch);
  if (state == nullptr) return false;
  const MissingRange* late = state->FindMissing(header.sequence);
  return ExceedsBy(late != nullptr ? late->latest_before : state->latest_time, header.timestamp, kSkewNanos);
}

void EnterFrame(Channel& channel, const frame::Header& header, std::uint64_t epoch, UnixNanos receipt,
                std::uint64_t entry) {
  const auto found = channel.epochs.find(epoch);
  EpochState& state = found != channel.epochs.end() ? found->second : OpenEpoch(channel, epoch);
  if (header.sequence >= state.next || state.latest_time == 0) {
    channel.clock_offset_ns = OffsetOf(header.timestamp, receipt);
  }
  if (header.sequence >= state.next || header.sequence == 0) {
    state.next = header.sequence + 1;
  } else {
    Fill(state, header.sequence, header.timestamp);
  }
  state.latest_time = std::max(state.latest_time, header.timestamp);
  channel.latest_time_ever = std::max(channel.latest_time_ever, header.timestamp);
  channel.last_entry = entry;
  ++channel.held;
  if (epoch != channel.newest_epoch && state.missing.empty()) channel.epochs.erase(epoch);
}

std::string WhyNoGap(const Channel& channel, const Gap& gap, UnixNanos receipt) {
  const EpochState* state = FindEpoch(channel, gap.epoch);
  if (state != nullptr && gap.epoch == channel.newest_epoch) {
    if (gap.from == state->next) return "";
    return fmt::format("the gap begins at {}, the next number of epoch {} is {}", gap.from, gap.epoch, state->next);
  }
  if (MayOpen(channel, gap.epoch, receipt) != frame::Reason::kNone) {
    return fmt::format("the gap is for epoch {}, which is neither the newest nor one that can begin", gap.epoch);
  }
  if (gap.from != 1) return fmt::format("the gap begins epoch {} at {} instead of 1", gap.epoch, gap.from);
  if (const auto due = DueBefore(channel, gap.epoch); !due.empty()) {
    return fmt::format("before epoch {} there is no gap for {} to {} of epoch {}", gap.epoch, due[0].from, due[0].to,
                       due[0].epoch);
  }
  return "";
}

void EnterGap(Channel& channel, const Gap& gap, std::uint64_t entry) {
  const auto found = channel.epochs.find(gap.epoch);
  EpochState& state = found != channel.epochs.end() ? found->second : OpenEpoch(channel, gap.epoch);
  state.missing.push_back({gap.from, gap.to, entry, state.latest_time, gap.why});
  state.next = gap.to + 1;
}

void EnterLoss(Channel& channel, const Gap& loss) {
  const auto found = channel.epochs.find(loss.epoch);
  if (found == channel.epochs.end()) return;
  auto& missing = found->second.missing;
  auto at = missing.begin() + std::distance(missing.cbegin(), RangeFrom(missing, loss.from));
  for (; at != missing.end() && at->from <= loss.to; ++at) {
    if (at->why == loss.why) continue;
    if (at->from < loss.from) {  // its first part is not meant
      MissingRange before = *at;
      before.to = loss.from - 1;
      at->from = loss.from;
      at = missing.insert(at, before) + 1;
    }
    if (at->to > loss.to) {  // nor is its last
      MissingRange after = *at;
      after.from = loss.to + 1;
      at->to = loss.to;
      at = missing.insert(at + 1, after) - 1;
    }
    at->why = loss.why;
  }
}

bool BeatSaysMore(const Channel& channel, std::uint64_t epoch, std::uint64_t last_sequence, UnixNanos receipt) {
  if (const EpochState* state = FindEpoch(channel, epoch)) return std::min(last_sequence, kMaxStated) > state->stated;
  if (last_sequence == 0 || MayOpen(channel, epoch, receipt) != frame::Reason::kNone) return false;
  const auto ahead = channel.stated_ahead.find(epoch);
  return ahead == channel.stated_ahead.end() || std::min(last_sequence, kMaxStated) > ahead->second;
}

void EnterBeat(Channel& channel, std::uint64_t epoch, std::uint64_t last_sequence) {
  const auto found = channel.epochs.find(epoch);
  std::uint64_t& stated = found != channel.epochs.end() ? found->second.stated : channel.stated_ahead[epoch];
  stated = std::min(last_sequence, kMaxStated);
  if (channel.stated_ahead.size() > kMaxStatedAhead) channel.stated_ahead.erase(channel.stated_ahead.begin());
}

void ResetEpochs(Channel& channel, std::uint64_t epoch, UnixNanos receipt) {
  channel.reset_epoch = epoch;
  channel.floor_epoch = 0;
  for (const std::uint64_t opened : *channel.opened) {
    if (opened < epoch) channel.floor_epoch = std::max(channel.floor_epoch, opened);
  }
  channel.stated_ahead.clear();
  channel.latest_time_ever = std::min(channel.latest_time_ever, receipt);
}

void RaiseAlarm(Channel& channel, std::string_view cause, ChannelState state, std::uint64_t count,
                std::uint64_t entry) {
  auto found = channel.alarms.find(std::string(cause));
  if (found == channel.alarms.end()) {
    const bool room = channel.alarms.size() < kMaxCauses || state == ChannelState::kBlack;
    found = channel.alarms.try_emplace(std::string(room ? cause : kOtherCauses)).first;
    found->second.cause = found->first;
  }
  ActiveAlarm& alarm = found->second;
  alarm.state = std::max(alarm.state, state);
  alarm.entry = entry;
  alarm.count += std::min(count, ~std::uint64_t{0} - alarm.count);
}

}  // namespace virp::chain
