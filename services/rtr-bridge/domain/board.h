// What is served now, for those who read it: answers about it are made once, by the first who asks.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

#include "lib/base/mutex.h"
#include "lib/rtr/history.h"
#include "lib/vrp/validate.h"
#include "services/rtr-bridge/domain/generation.h"

namespace virp::rtr_bridge {

// One generation; a new view of it when nothing but expiries has changed. Immutable and thread-safe.
class ServedView {
 public:
  // `payloads`: the snapshot's, with the expiries that sources name now.
  ServedView(std::shared_ptr<const rtr::Snapshot> snapshot, Generation generation,
             std::shared_ptr<const vrp::Payloads> payloads, std::uint64_t renewals)
      : snapshot_(std::move(snapshot)),
        generation_(std::move(generation)),
        payloads_(std::move(payloads)),
        renewals_(renewals) {}

  const rtr::Snapshot& snapshot() const { return *snapshot_; }
  const Generation& generation() const { return generation_; }
  const std::shared_ptr<const vrp::Payloads>& payloads() const { return payloads_; }
  std::uint64_t renewals() const { return renewals_; }  // of expiries alone, since the start
  const vrp::RouteValidator& validator() const {
    std::call_once(validator_made_, [this] { validator_ = std::make_unique<vrp::RouteValidator>(payloads_); });
    return *validator_;
  }

 private:
  const std::shared_ptr<const rtr::Snapshot> snapshot_;
  const Generation generation_;
  const std::shared_ptr<const vrp::Payloads> payloads_;
  const std::uint64_t renewals_;
  mutable std::once_flag validator_made_;
  mutable std::unique_ptr<const vrp::RouteValidator> validator_;
};

// Thread-safe.
class Board {
 public:
  void Publish(std::shared_ptr<const rtr::Snapshot> snapshot, const Generation& generation) {
    const std::shared_ptr<const vrp::Payloads> payloads(snapshot, &snapshot->payloads());
    const MutexLock lock(mutex_);
    Show(std::move(snapshot), generation, payloads);
  }
  // The generation that is served goes on, with other expiries.
  void Renew(std::shared_ptr<const rtr::Snapshot> snapshot, const Generation& generation,
             std::shared_ptr<const vrp::Payloads> payloads) {
    const MutexLock lock(mutex_);
    ++renewals_;
    Show(std::move(snapshot), generation, std::move(payloads));
  }
  // Nothing is served any more.
  void Clear() {
    std::shared_ptr<const ServedView> gone;
    {
      const MutexLock lock(mutex_);
      view_.swap(gone);
    }
    changed_.notify_all();
  }
  // Null while nothing is served.
  std::shared_ptr<const ServedView> view() const {
    const MutexLock lock(mutex_);
    return view_;
  }
  // Waits until there is another view than this, or the time is over; the view of then, null included.
  std::shared_ptr<const ServedView> WaitForOther(const ServedView* known, std::chrono::nanoseconds patience) const {
    const MutexLock lock(mutex_);
    changed_.wait_for(mutex_, patience, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return view_.get() != known; });
    return view_;
  }

 private:
  void Show(std::shared_ptr<const rtr::Snapshot> snapshot, const Generation& generation,
            std::shared_ptr<const vrp::Payloads> payloads) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    view_ = std::make_shared<const ServedView>(std::move(snapshot), generation, std::move(payloads), renewals_);
    changed_.notify_all();
  }

  mutable Mutex mutex_;
  mutable std::condition_variable_any changed_;
  std::uint64_t renewals_ ABSL_GUARDED_BY(mutex_) = 0;
  std::shared_ptr<const ServedView> view_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virp::rtr_bridge
