#include "services/rtr-bridge/domain/session_log.h"

#include <algorithm>
#include <utility>

namespace virp::rtr_bridge {
namespace {

constexpr UnixNanos kKept = 3'600'000'000'000;  // an hour
constexpr std::size_t kMostKept = 10'000;

Serial SerialOf(const rtr::ServedData& data) {
  return {data.session, data.serial};
}

}  // namespace

void SessionLog::Add(deliver::Observation observation) {
  if (waiting_.size() < limit_) {
    waiting_.push_back(std::move(observation));
  } else {
    ++lost_;
  }
}

void SessionLog::Take(const SessionName& name, const rtr::ServerSessionState& state,
                      const std::vector<rtr::SessionEvent>& events, Told& told) {
  using Kind = rtr::SessionEvent::Kind;
  if (events.empty() || !state.version) return;  // of strangers that never spoke a version there are no records
  const MutexLock lock(mutex_);
  for (const rtr::SessionEvent& event : events) {
    if (event.kind == Kind::kVersionAgreed && !std::exchange(told.opened, true)) {
      Add(witness_.SessionOpened(name, *state.version));
    } else if (event.kind == Kind::kEndOfDataSent && told.sent != event.data) {
      told.sent = event.data;
      Add(witness_.SessionSent(name, *state.version, SerialOf(event.data), event.data.hash));
    } else if (event.kind == Kind::kConfirmed && told.confirmed != event.data) {
      told.confirmed = event.data;
      Add(witness_.SessionConfirmed(name, *state.version, SerialOf(event.data)));
    }
  }
}

void SessionLog::TakeClosed(const RouterView& view, const Told& told) {
  const MutexLock lock(mutex_);
  if (told.opened) Add(witness_.SessionClosed(view.name, view.close_reason));
  if (closed_.size() >= kMostKept) closed_.erase(closed_.begin());
  closed_.push_back(view);
}

SessionLog::Batch SessionLog::Drain() {
  const MutexLock lock(mutex_);
  return {std::exchange(waiting_, {}), std::exchange(lost_, 0)};
}

std::vector<RouterView> SessionLog::Closed(UnixNanos now) const {
  const MutexLock lock(mutex_);
  std::vector<RouterView> out;
  std::copy_if(closed_.begin(), closed_.end(), std::back_inserter(out),
               [&](const RouterView& view) { return *view.closed + kKept > now; });
  return out;
}

}  // namespace virp::rtr_bridge
