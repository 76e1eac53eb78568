#include "services/collector/domain/frame_intake.h"

#include <algorithm>

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"

namespace virp::collector {
namespace {

absl::Status NoKey(std::string_view source) {
  return WithReason(
      FailedPrecondition("no key for frames of source {} is here: its key folder needs the version that it signs with "
                         "(<version>.pub or <version>.hmac, and <version>.json)",
                         source),
      frame::ReasonName(frame::Reason::kKeyVersionUnknown));
}

}  // namespace

std::string RunBook::Save() const {
  const MutexLock lock(mutex_);
  std::string out;
  for (const auto& [source, run] : runs_) {
    const std::string bytes = run.Serialize();
    AppendBe<std::uint32_t>(out, static_cast<std::uint32_t>(source.size()));
    AppendBe<std::uint32_t>(out, static_cast<std::uint32_t>(bytes.size()));
    out += source;
    out += bytes;
  }
  return out;
}

absl::Status RunBook::Load(std::string_view saved) {
  const MutexLock lock(mutex_);
  runs_.clear();
  while (!saved.empty()) {
    if (saved.size() < 8) return DataLoss("the saved runs are cut short");
    const std::size_t name = LoadBe<std::uint32_t>(saved.data());
    const std::size_t size = LoadBe<std::uint32_t>(saved.data() + 4);
    if (saved.size() < 8 + name + size) return DataLoss("the saved runs are cut short");
    ASSIGN_OR_RETURN(runs_[std::string(saved.substr(8, name))], frame::RunState::Parse(saved.substr(8 + name, size)));
    saved.remove_prefix(8 + name + size);
  }
  return absl::OkStatus();
}

absl::Status RunBook::ReplayFrame(std::string_view source, const frame::Frame& frame, std::uint64_t /*epoch*/) {
  if (frame.header.spelling == frame::Spelling::kV2) return absl::OkStatus();
  const MutexLock lock(mutex_);
  frame::RunState& run = runs_[std::string(source)];
  const frame::RunDecision decision = run.Decide(frame, std::nullopt);
  if (decision.accepted()) run.Accept(frame, decision);
  return absl::OkStatus();
}

frame::RunDecision RunBook::Decide(std::string_view source, const frame::Frame& frame, UnixNanos now) const {
  const MutexLock lock(mutex_);
  const auto run = runs_.find(source);
  return run == runs_.end() ? frame::RunState().Decide(frame, now) : run->second.Decide(frame, now);
}

void RunBook::Accept(std::string_view source, const frame::Frame& frame, const frame::RunDecision& decision) {
  const MutexLock lock(mutex_);
  runs_[std::string(source)].Accept(frame, decision);
}

std::string FrameIntake::SourceOf(const frame::Frame& frame) const {
  if (frame.header.spelling == frame::Spelling::kV1Producer) {
    const auto producer = options_.producers.find(frame.header.producer_id);
    return producer == options_.producers.end() ? options_.source : producer->second;
  }
  if (frame.header.spelling != frame::Spelling::kV2) return options_.source;
  if (frame::SourceIdOf(options_.source) == frame.header.source_id) return options_.source;
  return "";
}

bool FrameIntake::TagIsGood(const frame::Frame& frame) const {
  const std::string source = SourceOf(frame);
  if (source.empty()) return false;
  const auto versions = keys_.Versions(source);
  return std::any_of(versions.begin(), versions.end(), [&](const frame::KeyVersion& version) {
    const bool named = frame.header.spelling != frame::Spelling::kV2 || version.version == frame.header.key_version;
    return named && version.key->suite() == frame.header.suite && version.key->Verify(frame.signed_part, frame.tag);
  });
}

absl::Status FrameIntake::CheckKeys() const {
  const auto has_key = [this](const std::string& source) { return !keys_.Versions(source).empty(); };
  if (has_key(options_.source)) return absl::OkStatus();
  for (const auto& [id, source] : options_.producers) {
    if (has_key(source)) return absl::OkStatus();
  }
  return NoKey(options_.source);
}

absl::Status FrameIntake::CheckTag(const std::string& source, const frame::Frame& frame) const {
  if (TagIsGood(frame)) return absl::OkStatus();
  const bool named = frame.header.spelling == frame::Spelling::kV2;
  const bool unknown = named ? keys_.Find(source, frame.header.key_version) == nullptr : keys_.Versions(source).empty();
  if (unknown) return NoKey(source);
  Forged(source, frame.bytes);
  return WithReason(Unauthenticated("a frame of source {} whose tag is not by its key", source),
                    frame::ReasonName(frame::Reason::kBadTag));
}

absl::StatusOr<FrameIntake::Taken> FrameIntake::Take(const frame::Frame& frame) {
  const std::string source = SourceOf(frame);
  if (source.empty())
    return WithReason(InvalidArgument("a frame of another source than {}, for which this listener is", options_.source),
                      "SOURCE_UNKNOWN");
  RETURN_IF_ERROR(CheckTag(source, frame));
  // What others signed is not folded. The O-Node's word alone does not keep it out: the spool holds it until it is
  // taken.
  if (limits_ != nullptr) RETURN_IF_ERROR(limits_->AdmitByOwn(source));
  const MutexLock lock(mutex_);
  deliver::Outbox::Relayed relayed;
  if (frame.header.spelling == frame::Spelling::kV2) {
    ASSIGN_OR_RETURN(relayed, outbox_.Relay(source, frame, frame.header.boot_epoch));
  } else {
    const frame::RunDecision decision = runs_.Decide(source, frame, clock_.NowNanos());
    if (decision.step == frame::RunDecision::Step::kDuplicate) return Taken{};
    if (!decision.accepted()) {
      return WithReason(FailedPrecondition("number {} of source {} does not go on from what was heard",
                                           frame.header.sequence, source),
                        frame::ReasonName(decision.reason));
    }
    ASSIGN_OR_RETURN(relayed, outbox_.Relay(source, frame, decision.epoch));
    runs_.Accept(source, frame, decision);
  }
  if (limits_ != nullptr) limits_->Charge(source, 1, frame.bytes.size());
  if (relayed.news) liveness_.SawBytes(source);
  return Taken{relayed.number, relayed.news};
}

}  // namespace virp::collector
