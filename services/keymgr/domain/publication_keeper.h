// Keeps what relying parties see equal to what the ledger says, and fresh: publishes when that is due, tries again
// after a failure, and makes one-time keys ahead of need.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/rpki/point.h"
#include "services/keymgr/domain/rpki_authority.h"

namespace virp::keymgr {

struct PublicationTimes {
  std::chrono::milliseconds spacing{5'000};      // between publications: what comes meanwhile is in the next one
  std::chrono::milliseconds first_retry{1'000};  // after a failure; doubled each time
  std::chrono::milliseconds last_retry{60'000};
  std::chrono::minutes chain_check{60};
};

struct PublicationHealth {
  std::string problem;          // of the newest try, or of our own chain; empty when all is well
  std::uint64_t published = 0;  // since the start
  std::uint64_t failed = 0;     // tries
};

class PublicationKeeper {
 public:
  // All outlive it. `open`: whether this manager leads and is not sealed.
  PublicationKeeper(RpkiAuthority& authority, rpki::OneTimeKeys& one_time_keys, const Clock& clock,
                    std::function<bool()> open, PublicationTimes times = {});

  // Does one thing that is due; whether there may be more to do at once. For one thread.
  absl::StatusOr<bool> Round();

  // Unavailable while what relying parties have is stale: to them no router has a key. Thread-safe, as is health().
  absl::Status Ready() const;
  PublicationHealth health() const;

 private:
  absl::Status PublishIfDue(bool& published);
  absl::Status CheckChain();

  RpkiAuthority& authority_;
  rpki::OneTimeKeys& one_time_keys_;
  const Clock& clock_;
  const std::function<bool()> open_;
  const PublicationTimes times_;
  std::chrono::steady_clock::time_point not_before_{}, next_chain_check_{};
  std::chrono::milliseconds retry_{0};
  absl::Status chain_;
  mutable Mutex mutex_;
  PublicationHealth health_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virp::keymgr
