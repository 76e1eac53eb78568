#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "lib/base/clock.h"

namespace virp::testutil {

// The system's clock, which a test may set forward: everything runs on, and hours pass in no time. Thread-safe.
class SkippingClock final : public Clock {
 public:
  UnixNanos NowNanos() const override { return system_.NowNanos() + static_cast<UnixNanos>(skipped_.load()); }
  std::chrono::steady_clock::time_point Steady() const override {
    return system_.Steady() + std::chrono::nanoseconds(skipped_.load());
  }
  void Skip(std::chrono::nanoseconds by) { skipped_ += by.count(); }

 private:
  const SystemClock system_;
  std::atomic<std::int64_t> skipped_{0};
};

}  // namespace virp::testutil
