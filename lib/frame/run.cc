#include "lib/frame/run.h"

#include <algorithm>
#include <cstring>

#include "lib/base/bytes.h"
#include "lib/base/status.h"

namespace virp::frame {
namespace {

using Step = RunDecision::Step;

constexpr std::uint8_t kFormat = 1;
constexpr std::size_t kFixedSize = 1 + 8 + 4 + 8 + 8 + 2;

// Whether a is more than the skew above b.
bool ExceedsBySkew(UnixNanos a, UnixNanos b) {
  return a > b && a - b > kRunSkew;
}

}  // namespace

RunState::Mark RunState::MarkOf(const Frame& frame) {
  Mark out{};
  std::memcpy(out.data(), frame.tag.data(), std::min(out.size(), frame.tag.size()));
  return out;
}

UnixNanos RunState::latest_time() const {
  return std::max(latest_in_run_, latest_before_run_);
}

RunDecision RunState::Decide(const Frame& frame, std::optional<UnixNanos> now) const {
  const UnixNanos time = frame.header.timestamp;
  if (epoch_ != 0 && frame.header.sequence > last_sequence_) {
    // Later than all earlier runs: else an old frame with a high number, replayed soon after a restart, would go on.
    if (time > latest_before_run_ && !ExceedsBySkew(latest_in_run_, time))
      return {Step::kGoesOn, epoch_, Reason::kNone};
  } else if (time > latest_time()) {
    if (now.has_value() && ExceedsBySkew(time, *now)) return {Step::kRefused, 0, Reason::kEpochAhead};
    return {Step::kNewRun, time, Reason::kNone};
  }
  if (std::find(marks_.begin(), marks_.end(), MarkOf(frame)) != marks_.end())
    return {Step::kDuplicate, 0, Reason::kNone};
  return {Step::kRefused, 0, Reason::kReplayed};
}

void RunState::Accept(const Frame& frame, const RunDecision& decision) {
  if (decision.step == Step::kNewRun) {
    latest_before_run_ = latest_time();
    latest_in_run_ = 0;
    epoch_ = decision.epoch;
  }
  last_sequence_ = static_cast<std::uint32_t>(frame.header.sequence);
  latest_in_run_ = std::max(latest_in_run_, frame.header.timestamp);
  if (marks_.size() < kRemembered) {
    marks_.push_back(MarkOf(frame));
  } else {
    marks_[oldest_] = MarkOf(frame);
    oldest_ = (oldest_ + 1) % kRemembered;
  }
}

void RunState::Reset(UnixNanos now) {
  latest_before_run_ = std::min(latest_time(), now);
  latest_in_run_ = 0;
  last_sequence_ = 0;
  epoch_ = 0;
}

std::string RunState::Serialize() const {
  std::string out;
  out.reserve(kFixedSize + marks_.size() * sizeof(Mark));
  AppendBe<std::uint8_t>(out, kFormat);
  AppendBe<std::uint64_t>(out, epoch_);
  AppendBe<std::uint32_t>(out, last_sequence_);
  AppendBe<std::uint64_t>(out, latest_in_run_);
  AppendBe<std::uint64_t>(out, latest_before_run_);
  AppendBe<std::uint16_t>(out, static_cast<std::uint16_t>(marks_.size()));
  for (std::size_t i = 0; i < marks_.size(); ++i) {  // oldest first, so that the ring's position does not show
    const Mark& mark = marks_[(oldest_ + i) % marks_.size()];
    out.append(reinterpret_cast<const char*>(mark.data()), mark.size());
  }
  return out;
}

absl::StatusOr<RunState> RunState::Parse(std::string_view bytes) {
  if (bytes.size() < kFixedSize || LoadBe<std::uint8_t>(bytes.data()) != kFormat) {
    return DataLoss("run state of {} bytes does not begin as format {} does", bytes.size(), kFormat);
  }
  const std::size_t count = LoadBe<std::uint16_t>(bytes.data() + 29);
  if (count > kRemembered || bytes.size() != kFixedSize + count * sizeof(Mark)) {
    return DataLoss("run state of {} bytes cannot have {} marks", bytes.size(), count);
  }
  RunState out;
  out.epoch_ = LoadBe<std::uint64_t>(bytes.data() + 1);
  out.last_sequence_ = LoadBe<std::uint32_t>(bytes.data() + 9);
  out.latest_in_run_ = LoadBe<std::uint64_t>(bytes.data() + 13);
  out.latest_before_run_ = LoadBe<std::uint64_t>(bytes.data() + 21);
  out.marks_.resize(count);
  bytes.remove_prefix(kFixedSize);
  for (Mark& mark : out.marks_) {
    std::copy_n(bytes.begin(), mark.size(), mark.begin());
    bytes.remove_prefix(mark.size());
  }
  return out;
}

}  // namespace virp::frame
