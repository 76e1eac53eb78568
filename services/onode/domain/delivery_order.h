// One stream of deliveries: what of it may enter, so that it enters in order or not at all.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "lib/frame/reason.h"

namespace virp::onode {

// Which sources of a stream wait, because a frame of theirs was refused for a passing reason. By the time that the
// frames behind it are looked at the reason may have passed: the source is registered, resumed, has its key. Taken
// then, they would leave a gap where nothing was lost, and frames of version 1, which cannot come late, would be
// refused for good when they are offered again. So what lies behind is refused for the same reason until that frame has
// come again. Not thread-safe.
class HeldSources {
 public:
  // Sources of one stream beyond it are not waited for: a deliverer that makes up names is not remembered without end.
  static constexpr std::size_t kMost = 4'096;

  // The reason for which the frame that this one is behind was refused; kNone when it is behind none.
  frame::Reason Behind(std::string_view source, std::uint64_t epoch, std::uint64_t number) const;

  // What became of a frame that was looked at: why it was refused, or kNone.
  void Note(std::string_view source, std::uint64_t epoch, std::uint64_t number, frame::Reason reason);

 private:
  struct Refused {
    std::pair<std::uint64_t, std::uint64_t> place;  // epoch and number
    frame::Reason reason = frame::Reason::kNone;
  };
  absl::flat_hash_map<std::uint64_t, Refused> refused_;  // the first of each source, by its short id
};

// Set by the chain.
struct DeliveryOrder {
  // Once a batch was not processed, none behind it is: what is missing in between would be entered as a gap.
  std::atomic<bool> broken{false};
  HeldSources held;  // the sequencer's own
};

}  // namespace virp::onode
