#include "services/rtr-bridge/domain/source_table.h"

#include <algorithm>
#include <utility>

#include "lib/base/status.h"

namespace virp::rtr_bridge {
namespace {

constexpr UnixNanos kSecond = 1'000'000'000;

std::int64_t SecondsOf(UnixNanos now) {
  return static_cast<std::int64_t>(now / kSecond);
}

}  // namespace

void SourceTable::TakeGood(std::size_t source, Reading reading, UnixNanos now) {
  SourceState& state = sources_[source];
  if (reading.step != nullptr) {
    const auto before = reading.step->before.lock();
    if (before != nullptr) expiries_.Follow(before, reading.step->left, reading.step->came, reading.payloads);
  }
  state.reading = std::move(reading);
  state.last_good = state.last_attempt = now;
  state.problem = absl::OkStatus();
}

void SourceTable::TakeUnchanged(std::size_t source, UnixNanos now) {
  SourceState& state = sources_[source];
  state.last_good = state.last_attempt = now;
  state.problem = absl::OkStatus();
}

void SourceTable::TakeFailure(std::size_t source, absl::Status why, UnixNanos now) {
  SourceState& state = sources_[source];
  state.last_attempt = now;
  state.problem = std::move(why);
  if (state.reading && std::exchange(state.reading->live, false)) state.last_good = now;  // it was good until now
}

void SourceTable::NoteTold(std::size_t source, bool failed, bool expired) {
  sources_[source].told_failed = failed;
  sources_[source].told_expired = expired;
}

bool SourceTable::all_tried() const {
  return std::all_of(sources_.begin(), sources_.end(),
                     [](const SourceState& at) { return at.last_attempt.has_value(); });
}

std::vector<std::size_t> SourceTable::UsableAt(UnixNanos now) const {
  std::vector<std::size_t> usable;
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    if (!sources_[i].usable_at(now)) continue;
    usable.push_back(i);
    if (rule_.policy == MergePolicy::kFirstGood) break;
  }
  return usable;
}

absl::StatusOr<SourceTable::Merged> SourceTable::Merge(UnixNanos now) const {
  Merged out;
  out.sources = UsableAt(now);
  const std::size_t needed = rule_.policy == MergePolicy::kQuorum ? rule_.quorum : 1;
  if (out.sources.size() < needed)
    return Unavailable("{} of {} sources have data in use, {} needed", out.sources.size(), sources_.size(), needed);

  const std::int64_t second = SecondsOf(now);
  std::vector<std::shared_ptr<const vrp::Payloads>> live;
  for (const std::size_t source : out.sources) {
    const std::shared_ptr<const vrp::Payloads>& whole = sources_[source].reading->payloads;
    const vrp::Expires next = expiries_.Of(whole);
    live.push_back(vrp::IsExpired(next, second)
                       ? std::make_shared<const vrp::Payloads>(vrp::WithoutExpired(*whole, second))
                       : whole);
  }
  if (live.size() == 1) {
    out.payloads = live.front();
    return out;
  }
  std::vector<const vrp::Payloads*> sets;
  for (const auto& set : live) sets.push_back(set.get());
  vrp::Built built = vrp::AtLeast(needed, sets);
  out.payloads = std::make_shared<const vrp::Payloads>(std::move(built.payloads));
  out.left_out = std::move(built.refused);
  return out;
}

std::optional<UnixNanos> SourceTable::NextExpiry(UnixNanos now) const {
  std::optional<UnixNanos> next;
  const auto take = [&](UnixNanos at) {
    if (at > now && (!next || at < *next)) next = at;
  };
  for (const std::size_t source : UsableAt(now)) {
    const SourceState& state = sources_[source];
    const vrp::Expires expires = expiries_.Behind(state.reading->payloads, SecondsOf(now));
    if (expires != vrp::kNeverExpires) take(expires * kSecond);
    if (state.expire && !state.reading->live)
      take(*state.last_good + static_cast<UnixNanos>(state.expire->count()) + 1);
  }
  return next;
}

UnixNanos SourceTable::TrueAt(UnixNanos now) const {
  std::vector<std::size_t> used = UsableAt(now);
  const bool stale = used.empty();  // then the last set is served, if any
  for (std::size_t i = 0; stale && i < sources_.size(); ++i) {
    if (sources_[i].reading) used.push_back(i);
  }
  UnixNanos earliest = now;
  for (const std::size_t source : used) {
    const SourceState& state = sources_[source];
    earliest = std::min(earliest, state.reading->built.value_or(state.reading->live ? now : *state.last_good));
  }
  return earliest;
}

}  // namespace virp::rtr_bridge
