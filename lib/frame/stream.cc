#include "lib/frame/stream.h"

#include <array>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/frame/reason.h"

namespace virp::frame {
namespace {

constexpr std::array kV1Spellings{Spelling::kV1Le, Spelling::kV1Be, Spelling::kV1Producer};
constexpr std::size_t kVersionAt = 4;

constexpr std::uint8_t Bit(Spelling spelling) {
  return static_cast<std::uint8_t>(1U << static_cast<std::uint8_t>(spelling));
}

absl::Status BadTag() {
  return WithReason(Unauthenticated("no reading of the first frame has a tag by a key that is accepted here"),
                    ReasonName(Reason::kBadTag));
}

// A whole frame of known spelling, if its bytes are there.
absl::StatusOr<std::optional<Frame>> CutKnown(std::string_view pending, Spelling spelling) {
  ASSIGN_OR_RETURN(const std::size_t size, FrameSize(pending, spelling));
  if (size == 0 || pending.size() < size) return std::nullopt;
  ASSIGN_OR_RETURN(const Frame frame, Decode(pending.substr(0, size), spelling));
  return frame;
}

}  // namespace

FrameSplitter::FrameSplitter(Spelling spelling) : spelling_(spelling) {}
FrameSplitter::FrameSplitter(Verifier verify) : verify_(std::move(verify)) {}

void FrameSplitter::Add(std::string_view bytes, Time now) {
  if (!end_.ok() || bytes.empty()) return;
  buffer_.erase(0, start_);
  start_ = 0;
  if (buffer_.empty()) pending_since_ = now;
  buffer_ += bytes;
  last_add_ = now;
}

absl::StatusOr<std::optional<Frame>> FrameSplitter::Next(Time now) {
  if (!end_.ok()) return end_;
  const std::string_view pending = Pending();
  if (pending.empty()) return std::nullopt;
  auto frame = Cut(pending);
  if (!frame.ok()) return End(frame.status());
  if (!frame->has_value()) {
    if (now - pending_since_ < kPatience) return std::nullopt;
    return End(WithReason(DeadlineExceeded("frame {} was begun {} s ago, {} of its bytes are here and its end is not",
                                           frames_, kPatience.count(), pending.size()),
                          ReasonName(Reason::kMalformed)));
  }
  start_ += (*frame)->bytes.size();
  pending_since_ = last_add_;
  tried_ = 0;
  ++frames_;
  return frame;
}

absl::Status FrameSplitter::Finish() {
  if (!end_.ok() || Pending().empty()) return end_;
  if (tried_ != 0) return End(BadTag());
  return End(WithReason(
      InvalidArgument("the connection was closed inside frame {}, after {} bytes of it", frames_, Pending().size()),
      ReasonName(Reason::kMalformed)));
}

absl::Status FrameSplitter::End(absl::Status why) {
  end_ = std::move(why);
  buffer_ = {};
  start_ = 0;
  return end_;
}

absl::StatusOr<std::optional<Frame>> FrameSplitter::Cut(std::string_view pending) {
  return verify_ == nullptr ? CutKnown(pending, *spelling_) : CutAuto(pending);
}

absl::StatusOr<std::optional<Frame>> FrameSplitter::CutAuto(std::string_view pending) {
  if (pending.size() > kVersionAt && pending[kVersionAt] == 2) return CutKnown(pending, Spelling::kV2);
  return spelling_.has_value() ? CutKnown(pending, *spelling_) : FindSpelling(pending);
}

// The first version 1 frame: every reading whose length fits is tried as soon as its bytes are there, the shortest
// first.
absl::StatusOr<std::optional<Frame>> FrameSplitter::FindSpelling(std::string_view pending) {
  bool waiting = false;
  absl::Status too_large;
  for (const Spelling candidate : kV1Spellings) {
    const auto size = FrameSize(pending, candidate);
    if (!size.ok() && ReasonOf(size.status()) != Reason::kTooLarge) return size.status();
    if (!size.ok()) {
      too_large = size.status();
    } else if (*size == 0 || pending.size() < *size) {
      waiting = true;
    } else if (std::optional<Frame> frame = TryCandidate(pending.substr(0, *size), candidate)) {
      return frame;
    }
  }
  if (waiting) return std::nullopt;
  return tried_ != 0 ? BadTag() : too_large;
}

std::optional<Frame> FrameSplitter::TryCandidate(std::string_view bytes, Spelling candidate) {
  if ((tried_ & Bit(candidate)) != 0) return std::nullopt;
  absl::StatusOr<Frame> frame = Decode(bytes, candidate);
  if (!frame.ok() || !verify_(*frame)) {
    tried_ |= Bit(candidate);
    return std::nullopt;
  }
  if (candidate == Spelling::kV1Le && frame->payload.empty()) {
    // Without a payload both byte orders read the same length, and the tag fits both. Counting starts at 1, so the
    // smaller number is the right one; the next frame with a payload will settle it for the stream.
    const absl::StatusOr<Frame> other = Decode(bytes, Spelling::kV1Be);
    return other.ok() && other->header.sequence < frame->header.sequence ? *other : *frame;
  }
  spelling_ = candidate;
  return *std::move(frame);
}

}  // namespace virp::frame
