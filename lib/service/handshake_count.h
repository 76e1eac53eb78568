// How many TLS handshakes of a gRPC server failed. gRPC 1.51 tells nobody, but each connection comes through our gate,
// and each handshake that gets far enough asks our verifier about the certificate, once.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "lib/base/clock.h"
#include "lib/base/mutex.h"

namespace virp::service {

// What was accepted longer ago than a handshake may take, less what was verified, has failed: garbage, no certificate,
// another authority's, silence, a port scan. Thread-safe.
class HandshakeCount {
 public:
  // `timeout` ends a handshake; `clock` outlives this.
  HandshakeCount(std::chrono::milliseconds timeout, const Clock& clock);

  void Accepted();
  void Verified() { ++verified_; }  // the chain is good; whether the identity is known is another question

  // Never too many and never less than before; a failure is in it once its connection is twice `timeout` old and the
  // handshakes of that time are over. So it may lack as many as have succeeded within that time.
  std::uint64_t failed();

 private:
  static constexpr int kYoung = 8;  // spans of time within which a handshake may go on
  void Turn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::chrono::nanoseconds span_;
  const Clock& clock_;
  std::atomic<std::uint64_t> verified_{0};
  Mutex mutex_;
  std::array<std::uint64_t, kYoung + 1> young_ ABSL_GUARDED_BY(mutex_){};  // accepted, by span; a ring
  std::int64_t span_now_ ABSL_GUARDED_BY(mutex_) = 0;
  std::uint64_t settled_ ABSL_GUARDED_BY(mutex_) = 0;  // accepted before all of them
  std::uint64_t told_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace virp::service
