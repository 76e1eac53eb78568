// Notices a peer that takes nothing any more of what was handed to the kernel for it: the kernel keeps a connection for
// ever whose peer has closed its window and answers probes.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace virp::rtr_bridge {

// Not thread-safe.
class StallWatch {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // Nothing waited when it was asked last, and nothing was given since: there is no need to ask.
  bool Idle(std::uint64_t given) const { return given == given_ && waiting_ == 0; }
  // `given`: octets handed on, ever. `waiting`: octets that have not arrived, as the transport counts them; framing may
  // make that more than what was given. True when octets wait, and none arrived for `limit`; times never go back.
  bool Stalled(std::uint64_t given, std::uint64_t waiting, Time now, std::chrono::milliseconds limit) {
    const bool arrived = waiting_ + (given - given_) > waiting;
    given_ = given;
    waiting_ = waiting;
    if (waiting == 0) {
      since_.reset();
    } else if (arrived || !since_) {
      since_ = now;
    }
    return since_ && now >= *since_ + limit;
  }

 private:
  std::uint64_t given_ = 0, waiting_ = 0;
  std::optional<Time> since_;
};

}  // namespace virp::rtr_bridge
