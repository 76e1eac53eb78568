// Waiting as something that can be injected and ended: a thread that sleeps must still stop at once, and a test must
// not sleep at all.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <vector>

#include "lib/base/clock.h"
#include "lib/base/mutex.h"

namespace virp {

class Sleeper {
 public:
  virtual ~Sleeper() = default;
  // True when the time has passed, false when `stop` was requested before.
  virtual bool SleepFor(std::chrono::nanoseconds duration, const std::stop_token& stop) = 0;
};

// Thread-safe.
class SystemSleeper final : public Sleeper {
 public:
  bool SleepFor(std::chrono::nanoseconds duration, const std::stop_token& stop) override {
    std::mutex mutex;
    std::condition_variable_any wake;
    std::unique_lock lock(mutex);
    wake.wait_for(lock, stop, duration, [] { return false; });
    return !stop.stop_requested();
  }
};

// Moves the clock instead of waiting, and remembers how often and how long. Thread-safe.
class FakeSleeper final : public Sleeper {
 public:
  explicit FakeSleeper(FakeClock& clock) : clock_(clock) {}
  bool SleepFor(std::chrono::nanoseconds duration, const std::stop_token& stop) override {
    if (stop.stop_requested()) return false;
    clock_.Advance(duration);
    const MutexLock lock(mutex_);
    slept_.push_back(duration);
    return true;
  }
  std::vector<std::chrono::nanoseconds> slept() const {
    const MutexLock lock(mutex_);
    return slept_;
  }

 private:
  FakeClock& clock_;
  mutable Mutex mutex_;
  std::vector<std::chrono::nanoseconds> slept_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virp
