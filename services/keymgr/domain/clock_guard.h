// Whether the wall clock may be believed. What a key manager does by the time it cannot take back: a destroyed key, a
// certificate of next year, a publication of the past. So it does nothing while the clock stands elsewhere than all
// that it knows: its own records, what the chain says of the time, and how long it has been running.
#pragma once

#include <chrono>
#include <optional>

#include "absl/status/status.h"
#include "lib/base/clock.h"

namespace virp::keymgr {

struct ClockLimits {
  std::chrono::nanoseconds most_off = std::chrono::hours(1);  // from what is known; zero: nothing is looked at
  // At the start, with nobody to ask: how long nothing may have been recorded before the clock counts as ahead.
  std::chrono::nanoseconds most_silence = std::chrono::hours(24);
};

// Not thread-safe; the ledger's lock holds it.
class ClockGuard {
 public:
  explicit ClockGuard(const ClockLimits& limits) : limits_(limits) {}

  // The time of the newest record; 0 when there is none. It is over: a clock before it is behind.
  void NoteRecord(UnixNanos time) { record_ = time; }
  // The receive time of the chain's newest entry, learnt now. An entry of the last hour proves the clock.
  void NoteChain(UnixNanos time, std::chrono::steady_clock::time_point learnt) { chain_ = Mark{time, learnt}; }
  // An operator's word that the clock is right. What was known before counts no more.
  void Accept(UnixNanos wall, std::chrono::steady_clock::time_point steady);

  // FailedPrecondition: where the clock stands, and what says otherwise. A clock that was believed once is believed as
  // long as it goes on as the steady clock does.
  absl::Status Check(UnixNanos wall, std::chrono::steady_clock::time_point steady);

 private:
  // A time, and when it was that.
  struct Mark {
    UnixNanos wall = 0;
    std::chrono::steady_clock::time_point steady;
    UnixNanos At(std::chrono::steady_clock::time_point then) const;
  };
  bool IsNear(UnixNanos a, UnixNanos b) const;

  const ClockLimits limits_;
  UnixNanos record_ = 0;
  std::optional<Mark> chain_, believed_;
};

}  // namespace virp::keymgr
