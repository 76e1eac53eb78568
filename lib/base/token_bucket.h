// A rate with a burst: `burst` tokens at first, `rate` more each second, never more than `burst`.
#pragma once

#include <algorithm>
#include <chrono>

#include "lib/base/clock.h"

namespace virp {

// Not thread-safe. A rate of 0 gives the burst and then nothing.
class TokenBucket {
 public:
  TokenBucket(double rate_per_second, double burst, const Clock& clock)
      : rate_(rate_per_second), burst_(burst), clock_(clock), tokens_(burst), filled_(clock.Steady()) {}

  // Takes `count` tokens, or none when there are fewer.
  bool Take(double count = 1.0) {
    Fill();
    if (tokens_ < count) return false;
    tokens_ -= count;
    return true;
  }

  // Takes `count` tokens whether they are there or not: what is missing is waited for by the next.
  void Charge(double count) {
    Fill();
    tokens_ -= count;
  }

  // How long until Take(count) succeeds if nobody else takes any: zero when it would now, nanoseconds::max() when
  // never.
  std::chrono::nanoseconds Until(double count = 1.0) {
    Fill();
    if (tokens_ >= count) return std::chrono::nanoseconds(0);
    if (count > burst_ || rate_ <= 0) return std::chrono::nanoseconds::max();
    // Rounded up, so that waiting this long is enough.
    return std::chrono::nanoseconds(static_cast<std::int64_t>((count - tokens_) / rate_ * 1e9) + 1);
  }

  double tokens() {
    Fill();
    return tokens_;
  }

 private:
  void Fill() {
    const auto now = clock_.Steady();
    tokens_ = std::min(burst_, tokens_ + std::chrono::duration<double>(now - filled_).count() * rate_);
    filled_ = now;
  }

  const double rate_;
  const double burst_;
  const Clock& clock_;
  double tokens_;
  std::chrono::steady_clock::time_point filled_;
};

}  // namespace virp
