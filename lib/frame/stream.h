// Frames from a byte stream (Unix socket, TCP): split anywhere, many per connection (docs/formats/frame.md, "Streams").
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/frame/frame.h"

namespace virp::frame {

// Cuts one connection's bytes into frames. Add what arrived, then take frames with Next until there is none. There is
// no resynchronising: the first error ends the stream for good. Holds at most one frame and the largest piece that was
// added at once, so memory is bounded by what the caller reads at once. Not thread-safe; time comes from the caller.
class FrameSplitter {
 public:
  using Time = std::chrono::steady_clock::time_point;
  // Whether one of the source's accepted keys made this frame's tag. Called for candidates of the first version 1 frame
  // only, at most three times for one frame.
  using Verifier = std::function<bool(const Frame&)>;

  static constexpr std::chrono::seconds kPatience{10};

  // Every frame has this spelling.
  explicit FrameSplitter(Spelling spelling);

  // Finds out ("auto"): version 2 by its version byte, each time; the spelling of version 1 by the tag of its first
  // frame, for v1-be and v1-producer have equal headers and only the tag tells where the frame ends.
  explicit FrameSplitter(Verifier verify);

  // Bytes that arrived now. Ignored after the end.
  void Add(std::string_view bytes, Time now);

  // The next frame, or nothing when its bytes are not at hand. The frame borrows from the splitter and is valid until
  // the next Add. Tags are not checked here but for the first frame of "auto". Errors end the stream, are returned by
  // every later call, and have a reason (ReasonOf):
  //   InvalidArgument MALFORMED: bytes that are no frame;  ResourceExhausted TOO_LARGE: a length beyond the limit;
  //   Unauthenticated BAD_TAG: no reading of the first frame has a tag by an accepted key;
  //   DeadlineExceeded MALFORMED: a frame was begun kPatience ago and its end is not here or not certain.
  absl::StatusOr<std::optional<Frame>> Next(Time now);

  // The peer closed. OK between frames; inside one, the error that Next would return when no more bytes can come.
  absl::Status Finish();

  // The version 1 spelling that is configured or was found out.
  std::optional<Spelling> spelling() const { return spelling_; }
  std::size_t buffered() const { return buffer_.size() - start_; }
  std::uint64_t frames() const { return frames_; }

 private:
  std::string_view Pending() const { return std::string_view(buffer_).substr(start_); }
  absl::StatusOr<std::optional<Frame>> Cut(std::string_view pending);
  absl::StatusOr<std::optional<Frame>> CutAuto(std::string_view pending);
  absl::StatusOr<std::optional<Frame>> FindSpelling(std::string_view pending);
  std::optional<Frame> TryCandidate(std::string_view bytes, Spelling candidate);
  absl::Status End(absl::Status why);

  std::optional<Spelling> spelling_;
  Verifier verify_;  // empty: configured
  std::string buffer_;
  std::size_t start_ = 0;  // of the frame that is pending
  Time last_add_{};
  Time pending_since_{};
  std::uint8_t tried_ = 0;  // candidates of the pending frame whose tag failed, a bit per spelling
  std::uint64_t frames_ = 0;
  absl::Status end_;
};

}  // namespace virp::frame
