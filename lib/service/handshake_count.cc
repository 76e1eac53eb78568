#include "lib/service/handshake_count.h"

#include <algorithm>

namespace virp::service {

// Eight spans are a timeout and a half: verifying takes its time, too.
HandshakeCount::HandshakeCount(std::chrono::milliseconds timeout, const Clock& clock)
    : span_(std::max(std::chrono::nanoseconds(timeout) * 3 / (2 * kYoung), std::chrono::nanoseconds(1))),
      clock_(clock) {
  span_now_ = clock_.Steady().time_since_epoch() / span_;
}

void HandshakeCount::Turn() {
  const std::int64_t now = clock_.Steady().time_since_epoch() / span_;
  // The ring is empty after one turn, however long ago anybody looked.
  span_now_ = std::max(span_now_, now - static_cast<std::int64_t>(young_.size()));
  while (span_now_ < now) {
    std::uint64_t& oldest = young_[static_cast<std::size_t>(++span_now_) % young_.size()];
    settled_ += oldest;
    oldest = 0;
  }
}

void HandshakeCount::Accepted() {
  const MutexLock lock(mutex_);
  Turn();
  ++young_[static_cast<std::size_t>(span_now_) % young_.size()];
}

std::uint64_t HandshakeCount::failed() {
  const MutexLock lock(mutex_);
  Turn();
  const std::uint64_t verified = verified_;  // after what was accepted: never too many
  told_ = std::max(told_, settled_ - std::min(settled_, verified));
  return told_;
}

}  // namespace virp::service
