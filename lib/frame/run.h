// Runs of a version 1 producer (docs/formats/frame.md, "Runs of version 1"). Version 1 frames carry no boot epoch, so
// whoever receives them works one out: the time stamp of the first frame of a run. Pure rules over a small state that
// its owner keeps durably; no I/O, no clock.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/frame/frame.h"
#include "lib/frame/reason.h"

namespace virp::frame {

inline constexpr UnixNanos kRunSkew = 60'000'000'000;  // how far time may fall inside a run, or a new run be ahead

struct RunDecision {
  enum class Step : std::uint8_t {
    kGoesOn,     // the next frame of the current run
    kNewRun,     // the first frame of a new run
    kDuplicate,  // these bytes were accepted before; nothing is to be done
    kRefused,    // `reason` says why: REPLAYED or EPOCH_AHEAD
  };
  Step step = Step::kRefused;
  std::uint64_t epoch = 0;  // of the run that the frame belongs to when it is accepted
  Reason reason = Reason::kNone;
  bool accepted() const { return step == Step::kGoesOn || step == Step::kNewRun; }
  bool operator==(const RunDecision&) const = default;
};

// What is remembered of one version 1 source. A value: copy, compare, serialise. Not thread-safe.
//
// No frame is accepted twice, whatever is replayed when, and across any number of restarts of the producer: a frame of
// the current run has a number that is not above the last one, a frame of an earlier run is not later than all of
// those.
class RunState {
 public:
  // Recognises the same bytes again among this many frames accepted last; an older one is REPLAYED instead.
  static constexpr std::size_t kRemembered = 1024;

  // What a frame with a good tag is. With `now`, a run that would begin more than kRunSkew ahead of it is EPOCH_AHEAD;
  // without, as when the rules are applied again to a chain, the receipt decides nothing.
  RunDecision Decide(const Frame& frame, std::optional<UnixNanos> now) const;

  // Takes in a frame that Decide accepted with this very state.
  void Accept(const Frame& frame, const RunDecision& decision);

  // The operator's way out when an accepted frame had a time far ahead: the run ends, and later than `now` is late
  // enough for the next one.
  void Reset(UnixNanos now);

  std::uint64_t epoch() const { return epoch_; }  // 0: nothing accepted yet
  std::uint32_t last_sequence() const { return last_sequence_; }
  UnixNanos latest_time() const;  // of all frames accepted

  // At most 20 KiB; equal states give equal bytes. Parse: DataLoss when these are not such bytes.
  std::string Serialize() const;
  static absl::StatusOr<RunState> Parse(std::string_view bytes);

  bool operator==(const RunState&) const = default;

 private:
  // The first half of a tag tells frames of one source apart as well as their bytes do.
  using Mark = std::array<std::uint8_t, 16>;
  static Mark MarkOf(const Frame& frame);

  std::uint64_t epoch_ = 0;
  std::uint32_t last_sequence_ = 0;
  UnixNanos latest_in_run_ = 0;
  UnixNanos latest_before_run_ = 0;
  std::vector<Mark> marks_;  // a ring once it is full
  std::size_t oldest_ = 0;   // in marks_
};

}  // namespace virp::frame
