// When to dial a router that listens: at once, and after a failure with growing pauses.
#pragma once

#include <chrono>

#include "lib/base/backoff.h"
#include "lib/base/clock.h"

namespace virp::collector {

// Not thread-safe. One router.
class BmpDialer {
 public:
  using Time = std::chrono::steady_clock::time_point;

  explicit BmpDialer(RandomUnit random = SystemRandomUnit())
      : backoff_({.initial = std::chrono::milliseconds(500), .max = std::chrono::seconds(30)}, std::move(random)) {}

  bool ShouldDial(Time now) const { return !busy_ && now >= next_; }
  void Began() { busy_ = true; }
  // A session was accepted: the next failure is a first one.
  void Succeeded() { backoff_.Reset(); }
  void Ended(Time now) {
    busy_ = false;
    next_ = now + std::max<std::chrono::nanoseconds>(backoff_.Next(), std::chrono::milliseconds(100));
  }

 private:
  Backoff backoff_;
  bool busy_ = false;
  Time next_{};
};

}  // namespace virp::collector
