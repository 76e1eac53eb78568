// Where time comes from. Domain code takes a Clock& and never asks the system itself, so tests can set the time.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace virp {

// Nanoseconds since the Unix epoch (UTC), as frames carry it.
using UnixNanos = std::uint64_t;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual UnixNanos NowNanos() const = 0;                            // wall clock, may step
  virtual std::chrono::steady_clock::time_point Steady() const = 0;  // for intervals and deadlines
};

class SystemClock final : public Clock {
 public:
  UnixNanos NowNanos() const override {
    return static_cast<UnixNanos>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
            .count());
  }
  std::chrono::steady_clock::time_point Steady() const override { return std::chrono::steady_clock::now(); }
};

// A clock that stands still until a test moves it. Thread-safe.
class FakeClock final : public Clock {
 public:
  explicit FakeClock(UnixNanos start = 1'750'000'000'000'000'000ULL) : nanos_(start) {}
  UnixNanos NowNanos() const override { return nanos_.load(); }
  std::chrono::steady_clock::time_point Steady() const override {
    return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(steady_.load()));
  }
  void Advance(std::chrono::nanoseconds by) {
    nanos_ += static_cast<UnixNanos>(by.count());
    steady_ += by.count();
  }
  void SetWall(UnixNanos now) { nanos_ = now; }  // a step of the wall clock; intervals are not affected

 private:
  std::atomic<UnixNanos> nanos_;
  std::atomic<std::int64_t> steady_{1'000'000'000};
};

}  // namespace virp
