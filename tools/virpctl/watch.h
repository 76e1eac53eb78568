// A stream that does not end, over connections that do: where to go on, when to give up.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/backoff.h"
#include "lib/base/clock.h"
#include "lib/base/sleeper.h"

namespace virp::virpctl {

// The place in a chain up to which everything was seen.
class WatchPosition {
 public:
  explicit WatchPosition(std::uint64_t next) : next_(next) {}
  // Whether the entry was not seen before.
  bool Take(std::uint64_t sequence) {
    if (sequence < next_) return false;
    next_ = sequence + 1;
    return true;
  }
  std::uint64_t next() const { return next_; }

 private:
  std::uint64_t next_;
};

struct WatchHooks {
  // Follows one stream from position.next() to its end, taking what it sees. True when that is enough; false or an
  // error when the stream ended. `again`: not for the first time.
  std::function<absl::StatusOr<bool>(bool again)> follow;
  std::function<void(const std::string&)> say;  // to the person who watches
  const Clock& clock;
  Sleeper& sleeper;
  RandomUnit random = SystemRandomUnit();
};

// Follows again and again, with growing pauses while nothing comes of it. OK when it was enough or `stop` was
// requested; otherwise the error that does not pass: everything but UNAVAILABLE, RESOURCE_EXHAUSTED (a reader that was
// too slow), CANCELLED (by the server), ABORTED and DEADLINE_EXCEEDED.
absl::Status KeepWatching(const WatchHooks& hooks, const WatchPosition& position, const std::stop_token& stop);

}  // namespace virp::virpctl
