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

// One generation. Immutable and thread-safe.
class ServedView {
 public:
  ServedView(std::shared_ptr<const rtr::Snapshot> snapshot, Generation generation)
      : snapshot_(std::move(snapshot)), generation_(std::move(generation)) {}

  const rtr::Snapshot& snapshot() const { return *snapshot_; }
  const Generation& generation() const { return generation_; }
  // The payloads, kept alive by whoever holds them.
  std::shared_ptr<const vrp::Payloads> payloads() const { return {snapshot_, &snapshot_->payloads()}; }
  const vrp::RouteValidator& validator() const {
    std::call_once(validator_made_, [this] { validator_ = std::make_unique<vrp::RouteValidator>(payloads()); });
    return *validator_;
  }

 private:
  const std::shared_ptr<const rtr::Snapshot> snapshot_;
  const Generation generation_;
  mutable std::once_flag validator_made_;
  mutable std::unique_ptr<const vrp::RouteValidator> validator_;
};

// Thread-safe.
class Board {
 public:
  void Publish(std::shared_ptr<const rtr::Snapshot> snapshot, const Generation& generation) {
    auto view = std::make_shared<const ServedView>(std::move(snapshot), generation);
    {
      const MutexLock lock(mutex_);
      view_.swap(view);
    }
    changed_.notify_all();
  }
  // Null while nothing is loaded.
  std::shared_ptr<const ServedView> view() const {
    const MutexLock lock(mutex_);
    return view_;
  }
  // Waits until another generation than this is served, or the time is over; what is served then.
  std::shared_ptr<const ServedView> WaitForOther(const ServedView* known, std::chrono::nanoseconds patience) const {
    const MutexLock lock(mutex_);
    changed_.wait_for(mutex_, patience, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return view_.get() != known; });
    return view_;
  }

 private:
  mutable Mutex mutex_;
  mutable std::condition_variable_any changed_;
  std::shared_ptr<const ServedView> view_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virp::rtr_bridge
