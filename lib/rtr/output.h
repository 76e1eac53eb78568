// What a session has to send: its own small PDUs and shared bodies of answers, in order, without copying the latter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/rtr/encoded.h"

namespace virp::rtr {

// Not thread-safe.
class OutputQueue {
 public:
  // Whole PDUs.
  void Append(std::string_view pdus);
  void Append(std::shared_ptr<const Bytes> pdus);  // held until it is sent; null is nothing

  // Shared pieces that are not sent to their end: which, and their whole sizes.
  std::vector<std::pair<const Bytes*, std::size_t>> shared() const;

  bool empty() const { return segments_.empty(); }
  std::size_t size() const { return static_cast<std::size_t>(appended_ - consumed_); }

  // Fills `pieces` with what is to be sent next, in order; returns how many were filled. They are valid until the next
  // call that is not const.
  std::size_t Peek(std::span<std::string_view> pieces) const;
  // The first `bytes` (at most size()) of what Peek showed were sent.
  void Consume(std::size_t bytes);

  // Drops all but the rest of a PDU that was sent in part.
  void CutToPdu();
  void Clear();

  // Octets over the whole life: of what was appended and not cut off again, and of what was consumed.
  std::uint64_t appended() const { return appended_; }
  std::uint64_t consumed() const { return consumed_; }

 private:
  struct Segment {
    std::shared_ptr<const Bytes> shared;  // or `own`
    std::string own;
    std::size_t start = 0;  // what is before was sent

    std::string_view whole() const { return shared != nullptr ? shared->view() : std::string_view(own); }
    std::string_view rest() const { return whole().substr(start); }
  };
  std::deque<Segment> segments_;
  std::uint64_t appended_ = 0;
  std::uint64_t consumed_ = 0;
};

}  // namespace virp::rtr
