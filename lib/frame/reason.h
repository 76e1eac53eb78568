// Why a frame was not appended: one code per rule of acceptance (docs/formats/frame.md, "Acceptance"), used alike by
// collector, deliverers and O-Node, in counters, in Deliver results and in quarantine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/status.h"

namespace virp::frame {

enum class Reason : std::uint8_t {
  kNone = 0,
  kMalformed = 1,
  kTooLarge = 2,
  kSourceUnknown = 3,
  kNotBound = 4,
  kSourceSuspended = 5,
  kDowngrade = 6,
  kKeyVersionUnknown = 7,
  kWrongSuite = 8,
  kLateKey = 9,
  kKeyCompromised = 10,
  kBadTag = 11,
  kEpochOld = 12,
  kEpochAhead = 13,
  kReplayed = 14,
  kEquivocation = 15,
  kOverLimit = 16,
};
inline constexpr std::size_t kReasons = 17;

// The code as written in metrics, logs and results: "SOURCE_UNKNOWN" and so on; "NONE" for kNone.
std::string_view ReasonName(Reason reason);
std::optional<Reason> ReasonFromName(std::string_view name);

// A passing reason can go away without the producer (registration, resumption, a new key, time, room): the deliverer
// holds that source's frames. All others last: the frame is dropped and counted, and its number shows as a gap.
constexpr bool IsPassing(Reason reason) {
  switch (reason) {
    case Reason::kSourceUnknown:
    case Reason::kNotBound:
    case Reason::kSourceSuspended:
    case Reason::kKeyVersionUnknown:
    case Reason::kLateKey:
    case Reason::kEpochAhead:
    case Reason::kOverLimit:
      return true;
    default:
      return false;
  }
}

// The reason that Decode or FrameSize attached to a status; kMalformed for a failed status without one.
Reason ReasonOf(const absl::Status& status);

}  // namespace virp::frame
