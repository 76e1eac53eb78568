// How closely generations may follow each other: a few at once, then one in each interval. Whoever asks once a minute
// must not find that the window of changes has moved on. Plain values: not thread-safe.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>

#include "lib/base/clock.h"

namespace virp::rtr_bridge {

struct PaceOptions {
  std::chrono::nanoseconds interval{0};  // 0: no limit
  std::size_t burst = 5;                 // at least 1: that many may come at once after a quiet time
};

class Pace {
 public:
  explicit Pace(const PaceOptions& options)
      : interval_(static_cast<UnixNanos>(options.interval.count())),
        ahead_(interval_ * (std::max<std::size_t>(options.burst, 1) - 1)) {}

  // When the next one may come: at most an interval from now, however the clock was set.
  UnixNanos ReadyAt(UnixNanos now) const {
    return std::min(idle_at_ > ahead_ ? idle_at_ - ahead_ : 0, now + interval_);
  }
  void Take(UnixNanos now) { idle_at_ = std::clamp(idle_at_, now, now + ahead_) + interval_; }

 private:
  UnixNanos interval_, ahead_;
  UnixNanos idle_at_ = 0;  // from then on all of a burst may come again
};

}  // namespace virp::rtr_bridge
