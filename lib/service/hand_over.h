// For objects of ours that gRPC calls from its threads. gRPC orders their construction before every call and every call
// before their destruction, but by locks and counts inside its own library, where TSan does not look. HandOver says the
// same again in our code. It orders no two calls, so a race between calls is still found.
#pragma once

#include <atomic>

namespace virp::service {

class HandOver {
 public:
  void Made() { made_.store(true, std::memory_order_release); }                     // last in the constructor
  void Gone() const { static_cast<void>(calls_.load(std::memory_order_acquire)); }  // first in the destructor

  // For the time of one call.
  class Call {
   public:
    explicit Call(HandOver& object) : object_(object) {
      static_cast<void>(object_.made_.load(std::memory_order_acquire));
    }
    ~Call() { object_.calls_.fetch_add(1, std::memory_order_release); }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

   private:
    HandOver& object_;
  };

 private:
  std::atomic<bool> made_ = false;
  std::atomic<unsigned> calls_ = 0;
};

}  // namespace virp::service
