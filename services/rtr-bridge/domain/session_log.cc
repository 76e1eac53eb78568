#include "services/rtr-bridge/domain/session_log.h"

#include <algorithm>
#include <utility>

namespace virp::rtr_bridge {
namespace {

constexpr UnixNanos kKept = 3'600'000'000'000;  // an hour
constexpr std::size_t kMostKept = 10'000, kMostStrangers = 1'000;
constexpr std::chrono::minutes kMinute{1};
constexpr std::chrono::seconds kLook{1};

Serial SerialOf(const rtr::ServedData& data) {
  return {data.session, data.serial};
}

}  // namespace

void SessionLog::Add(deliver::Observation observation) {
  if (waiting_.size() < options_.most_waiting) {
    waiting_.push_back(std::move(observation));
  } else {
    ++lost_;
  }
}

deliver::Observation SessionLog::Made(const SessionName& name, const Said& said) const {
  switch (said.kind) {
    case Kind::kOpened:
      return witness_.SessionOpened(name, said.version);
    case Kind::kSent:
      return witness_.SessionSent(name, said.version, said.serial, said.sha256);
    case Kind::kConfirmed:
      return witness_.SessionConfirmed(name, said.version, said.serial);
    case Kind::kClosed:
      break;
  }
  return witness_.SessionClosed(name, said.why);
}

void SessionLog::Tell(const SessionName& name, const Said& said) {
  const Time now = clock_.Steady();
  if (now - all_since_ >= kMinute) {
    all_since_ = now;
    all_records_ = 0;
  }
  const bool too_many = all_records_ >= options_.all_routers;
  const auto key = std::pair(name.peer, name.identity);
  auto minute = minutes_.find(key);
  if (minute != minutes_.end() && now - minute->second.since >= kMinute) {
    EndMinute(minute);
    minute = minutes_.end();
  }
  if (minute == minutes_.end()) {
    if (too_many) {
      ++over_limit_;
      return;
    }
    minute = minutes_.try_emplace(key).first;
    minute->second.since = now;
    minute->second.name = name;
  }
  if (too_many || minute->second.summary || minute->second.records >= options_.per_router)
    return Summarise(minute->second, name, said);
  ++minute->second.records;
  ++all_records_;
  Add(Made(name, said));
}

void SessionLog::Summarise(Minute& minute, const SessionName& name, const Said& said) {
  const UnixNanos now = clock_.NowNanos();
  if (!minute.summary) minute.summary.emplace().first = now;
  SessionSummary& summary = *minute.summary;
  summary.last = now;
  minute.name = name;
  first_summarised_ = std::min(first_summarised_.value_or(summary.first), summary.first);
  switch (said.kind) {
    case Kind::kOpened:
      ++summary.opened;
      break;
    case Kind::kSent:
      ++summary.sent;
      minute.sent = {name, said, now};
      break;
    case Kind::kConfirmed:
      ++summary.confirmed;
      minute.confirmed = {name, said, now};
      break;
    case Kind::kClosed:
      ++summary.closed;
      break;
  }
}

SessionLog::Minutes::iterator SessionLog::EndMinute(Minutes::iterator minute) {
  const Minute& over = minute->second;
  if (over.summary) Add(witness_.SessionsSummarised(over.name, *over.summary));
  if (const auto& at = over.sent; at)
    Add(witness_.SessionSent(at->name, at->said.version, at->said.serial, at->said.sha256, at->told));
  if (const auto& at = over.confirmed; at)
    Add(witness_.SessionConfirmed(at->name, at->said.version, at->said.serial, at->told));
  return minutes_.erase(minute);
}

void SessionLog::EndMinutes(Time now, bool all) {
  if (now < next_look_ && !all) return;
  next_look_ = now + kLook;
  first_summarised_.reset();
  for (auto minute = minutes_.begin(); minute != minutes_.end();) {
    if (all || now - minute->second.since >= kMinute) {
      minute = EndMinute(minute);
      continue;
    }
    if (const auto& summary = minute->second.summary; summary)
      first_summarised_ = std::min(first_summarised_.value_or(summary->first), summary->first);
    ++minute;
  }
}

void SessionLog::Take(const SessionName& name, const rtr::ServerSessionState& state,
                      const std::vector<rtr::SessionEvent>& events, Told& told) {
  using Event = rtr::SessionEvent::Kind;
  if (events.empty() || !state.version) return;  // of strangers that never spoke a version there are no records
  const MutexLock lock(mutex_);
  for (const rtr::SessionEvent& event : events) {
    if (event.kind == Event::kVersionAgreed && !std::exchange(told.opened, true)) {
      Tell(name, {Kind::kOpened, *state.version, {}, {}, {}});
    } else if (event.kind == Event::kEndOfDataSent && told.sent != event.data) {
      told.sent = event.data;
      Tell(name, {Kind::kSent, *state.version, SerialOf(event.data), event.data.hash, {}});
    } else if (event.kind == Event::kConfirmed && told.confirmed != event.data) {
      told.confirmed = event.data;
      Tell(name, {Kind::kConfirmed, *state.version, SerialOf(event.data), event.data.hash, {}});
    }
  }
}

void SessionLog::TakeClosed(const RouterView& view, const Told& told) {
  const MutexLock lock(mutex_);
  if (told.opened) Tell(view.name, {Kind::kClosed, 0, {}, {}, view.close_reason});
  std::deque<RouterView>& kept = told.opened ? closed_ : strangers_;
  if (kept.size() >= (told.opened ? kMostKept : kMostStrangers)) kept.pop_front();
  kept.push_back(view);
}

SessionLog::Batch SessionLog::Drain(bool last) {
  const MutexLock lock(mutex_);
  EndMinutes(clock_.Steady(), last);
  Batch batch;
  batch.observations = std::exchange(waiting_, {});
  batch.lost = std::exchange(lost_, 0);
  batch.over_limit = std::exchange(over_limit_, 0);
  batch.complete_until = first_summarised_.value_or(clock_.NowNanos());
  return batch;
}

std::vector<RouterView> SessionLog::Closed(UnixNanos now) const {
  const auto is_recent = [&](const RouterView& view) { return *view.closed + kKept > now; };
  const MutexLock lock(mutex_);
  std::vector<RouterView> routers, strangers, out;
  std::copy_if(closed_.begin(), closed_.end(), std::back_inserter(routers), is_recent);
  std::copy_if(strangers_.begin(), strangers_.end(), std::back_inserter(strangers), is_recent);
  std::merge(std::make_move_iterator(routers.begin()), std::make_move_iterator(routers.end()),
             std::make_move_iterator(strangers.begin()), std::make_move_iterator(strangers.end()),
             std::back_inserter(out), [](const auto& a, const auto& b) { return *a.closed < *b.closed; });
  return out;
}

}  // namespace virp::rtr_bridge
