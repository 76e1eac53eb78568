// How long to wait before trying again: exponential with full jitter, so that many clients that lost the same server do
// not return together.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <random>

namespace virp {

// Numbers in [0, 1), evenly spread.
using RandomUnit = std::function<double()>;

// Seeded by the operating system; for jitter, not for secrets. Not thread-safe.
inline RandomUnit SystemRandomUnit() {
  return [engine = std::minstd_rand(std::random_device{}())]() mutable {
    return std::uniform_real_distribution<double>(0.0, 1.0)(engine);
  };
}

struct BackoffOptions {
  std::chrono::nanoseconds initial = std::chrono::milliseconds(100);
  std::chrono::nanoseconds max = std::chrono::seconds(30);
  double multiplier = 2.0;
};

// Not thread-safe.
class Backoff {
 public:
  explicit Backoff(BackoffOptions options, RandomUnit random = SystemRandomUnit())
      : options_(options), random_(std::move(random)), ceiling_(options.initial) {}

  // Evenly spread over [0, ceiling]; the ceiling grows from `initial` by `multiplier` to `max`.
  std::chrono::nanoseconds Next() {
    const auto out =
        std::chrono::nanoseconds(static_cast<std::int64_t>(static_cast<double>(ceiling_.count()) * random_()));
    const double grown = static_cast<double>(ceiling_.count()) * options_.multiplier;
    ceiling_ = grown < static_cast<double>(options_.max.count())
                   ? std::chrono::nanoseconds(static_cast<std::int64_t>(grown))
                   : options_.max;
    return std::min(out, options_.max);
  }

  // After a success: begin anew.
  void Reset() { ceiling_ = options_.initial; }

 private:
  const BackoffOptions options_;
  RandomUnit random_;
  std::chrono::nanoseconds ceiling_;
};

}  // namespace virp
