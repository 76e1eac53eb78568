// Whether a source may have another entry now. What is over its limit is refused for a passing reason: the deliverer
// keeps it and offers it again, and other sources go on.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/base/rate_limiter.h"

namespace virp::onode {

// Thread-safe; asked by the sequencer only.
class SourceLimits {
 public:
  // How long a source's frames behind a refused one are refused without the refused one coming again. A deliverer
  // offers what it holds every few seconds; one that lost it opens a new epoch, or leaves a gap.
  static constexpr std::chrono::seconds kPatience{60};

  // Without a limiter nothing is limited.
  SourceLimits(std::shared_ptr<RateLimiter> limiter, const Clock& clock)
      : limiter_(std::move(limiter)), clock_(clock) {}

  // May this verified frame become an entry now? Takes it from the source's account when it may. Frames behind a
  // refused one are refused until that one came again: accepted out of turn they would leave a gap where nothing was
  // lost.
  bool Admit(std::string_view source, std::uint64_t epoch, std::uint64_t number, std::uint64_t entries,
             std::uint64_t bytes);

  // Sources that are over their limit now, by name.
  std::vector<std::string> Limited() const;

 private:
  struct Refused {
    std::pair<std::uint64_t, std::uint64_t> place;  // epoch and number
    std::chrono::steady_clock::time_point expires;
  };

  const std::shared_ptr<RateLimiter> limiter_;
  const Clock& clock_;
  mutable Mutex mutex_;
  std::map<std::string, Refused, std::less<>> refused_ ABSL_GUARDED_BY(mutex_);  // by source
};

}  // namespace virp::onode
