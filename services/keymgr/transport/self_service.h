// How often who is no operator may cause audit records: they are kept for ever, and an agent that is broken, or not its
// owner's any more, repeats itself without end.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "lib/base/clock.h"
#include "lib/base/error_info.h"
#include "lib/base/hash_map.h"
#include "lib/base/mutex.h"
#include "lib/base/status.h"

namespace virp::keymgr {

// Of each caller and thing, `burst` at once, and one in `every` in the long run. Thread-safe.
class SelfService {
 public:
  SelfService(const Clock& clock, int burst, std::chrono::seconds every)
      : clock_(clock), burst_(burst), every_(every) {}

  // ResourceExhausted with reason TOO_OFTEN. Ask whether the thing is the caller's first: what is named here is kept.
  absl::Status Take(std::string_view caller, std::string_view thing = {}) {
    const auto now = clock_.Steady();
    const MutexLock lock(mutex_);
    if (free_at_.size() >= kMostKept) absl::erase_if(free_at_, [&](const auto& one) { return one.second <= now; });
    // When all that was taken is free again.
    auto& free_at = free_at_[std::string(caller).append("\n").append(thing)];
    free_at = std::max(free_at, now);
    if (free_at + every_ > now + burst_ * every_) {
      return WithReason(ResourceExhausted("{} does this too often; once in {} s is enough", caller, every_.count()),
                        "TOO_OFTEN");
    }
    free_at += every_;
    return absl::OkStatus();
  }

 private:
  static constexpr std::size_t kMostKept = 65'536;  // then those are dropped that count no more

  const Clock& clock_;
  const int burst_;
  const std::chrono::seconds every_;
  Mutex mutex_;
  StringMap<std::chrono::steady_clock::time_point> free_at_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virp::keymgr
