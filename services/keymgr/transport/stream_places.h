// Places for streams, each of which holds a thread of the server: so many in all, and so many for one caller, so that
// none takes the others' away.
#pragma once

#include <cstddef>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "lib/base/error_info.h"
#include "lib/base/hash_map.h"
#include "lib/base/mutex.h"
#include "lib/base/status.h"

namespace virp::keymgr {

// Thread-safe.
class StreamPlaces {
 public:
  StreamPlaces(std::size_t most, std::size_t most_each) : most_(most), most_each_(most_each) {}

  // Held while it lives.
  class Place {
   public:
    Place(StreamPlaces& places, std::string caller) : places_(&places), caller_(std::move(caller)) {}
    Place(Place&& other) noexcept : places_(std::exchange(other.places_, nullptr)), caller_(std::move(other.caller_)) {}
    Place& operator=(Place&&) = delete;
    ~Place() {
      if (places_ != nullptr) places_->Leave(caller_);
    }

   private:
    StreamPlaces* places_;
    std::string caller_;
  };

  // ResourceExhausted with reason STREAMS when there is none left, for anybody or for this caller.
  absl::StatusOr<Place> Take(std::string caller) {
    const MutexLock lock(mutex_);
    if (taken_ >= most_) return WithReason(ResourceExhausted("{} streams are open already", taken_), "STREAMS");
    std::size_t& own = each_[caller];
    if (own >= most_each_)
      return WithReason(ResourceExhausted("{} has {} streams open already", caller, own), "STREAMS");
    ++own;
    ++taken_;
    return Place(*this, std::move(caller));
  }
  std::size_t taken() const {
    const MutexLock lock(mutex_);
    return taken_;
  }

 private:
  void Leave(const std::string& caller) {
    const MutexLock lock(mutex_);
    --taken_;
    if (--each_[caller] == 0) each_.erase(caller);
  }

  const std::size_t most_, most_each_;
  mutable Mutex mutex_;
  std::size_t taken_ ABSL_GUARDED_BY(mutex_) = 0;
  StringMap<std::size_t> each_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virp::keymgr
