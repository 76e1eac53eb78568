#include "services/keymgr/domain/clock_guard.h"

#include <fmt/chrono.h>

#include <algorithm>
#include <ctime>
#include <string>
#include <string_view>

#include "lib/base/status.h"

namespace virp::keymgr {
namespace {

UnixNanos Nanos(std::chrono::nanoseconds duration) {
  return static_cast<UnixNanos>(duration.count());
}

std::string TimeText(UnixNanos time) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(time / 1'000'000'000)));
}

}  // namespace

UnixNanos ClockGuard::Mark::At(std::chrono::steady_clock::time_point then) const {
  return wall + Nanos(then - steady);
}

bool ClockGuard::IsNear(UnixNanos a, UnixNanos b) const {
  return std::max(a, b) - std::min(a, b) <= Nanos(limits_.most_off);
}

void ClockGuard::Accept(UnixNanos wall, std::chrono::steady_clock::time_point steady) {
  record_ = wall;
  chain_.reset();
  believed_ = Mark{wall, steady};
}

absl::Status ClockGuard::Check(UnixNanos wall, std::chrono::steady_clock::time_point steady) {
  if (limits_.most_off.count() == 0) return absl::OkStatus();
  const auto refuse = [&](std::string_view what, UnixNanos known) {
    return FailedPrecondition(
        "the clock says {}, but {} {}: nothing is done by such a time. Set the clock; if it is right, Unseal says so",
        TimeText(wall), what, TimeText(known));
  };
  const UnixNanos chain = chain_ ? chain_->At(steady) : 0;
  if (chain == 0 || !IsNear(wall, chain)) {
    const UnixNanos over = std::max(record_, chain);
    if (wall + Nanos(limits_.most_off) < over) return refuse("what is recorded already is of", over);
    if (believed_ && !IsNear(wall, believed_->At(steady)))
      return refuse("by how long it has been running it is", believed_->At(steady));
    if (!believed_ && over != 0 && wall > over + Nanos(limits_.most_silence))
      return refuse("nothing is recorded since", over);
  }
  believed_ = Mark{wall, steady};
  return absl::OkStatus();
}

}  // namespace virp::keymgr
