// How much each source may say at this edge: by limits that are configured here, and by the O-Node's word.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/base/rate_limiter.h"

namespace virp::collector {

// Thread-safe. Names are of sources that are configured here.
class EdgeLimits {
 public:
  // How long one OVER_LIMIT counts: the deliverer offers what it holds every five seconds and is told again.
  static constexpr std::chrono::seconds kToldHolds{15};

  EdgeLimits(RateLimitTable own, const Clock& clock) : clock_(clock), own_(std::move(own), clock) {}

  // The O-Node refused a frame of this source as OVER_LIMIT.
  void Told(std::string_view source);

  // How long until this source may say more; zero when it may now.
  std::chrono::nanoseconds Until(std::string_view source);
  // The same by our own limits alone. For frames that others signed: the spool keeps what the O-Node does not take yet,
  // and only who configured a limit here wants them pushed back at the door.
  std::chrono::nanoseconds UntilByOwn(std::string_view source) { return own_.Until(source); }

  // OK, or ResourceExhausted OVER_LIMIT with the time to wait, which counts as pushed back.
  absl::Status Admit(std::string_view source);
  absl::Status AdmitByOwn(std::string_view source);  // by UntilByOwn

  // Takes from the source's account what was spooled of it.
  void Charge(std::string_view source, std::uint64_t entries, std::uint64_t bytes) {
    own_.Charge(source, entries, bytes);
  }

  void Replace(RateLimitTable own) { own_.Replace(std::move(own)); }

  std::uint64_t pushed_back() const { return pushed_back_; }
  // Sources over the O-Node's limit, by its word.
  std::vector<std::string> ToldSources() const;

 private:
  absl::Status PushBack(std::string_view source, std::chrono::nanoseconds wait);

  const Clock& clock_;
  std::atomic<std::uint64_t> pushed_back_{0};
  RateLimiter own_;
  std::atomic<bool> any_told_{false};
  mutable Mutex mutex_;
  std::map<std::string, std::chrono::steady_clock::time_point, std::less<>> told_
      ABSL_GUARDED_BY(mutex_);  // until when
};

}  // namespace virp::collector
