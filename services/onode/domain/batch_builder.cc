#include "services/onode/domain/batch_builder.h"

#include <algorithm>

#include "lib/base/status.h"
#include "lib/crypto/sha256.h"

namespace virp::onode {
namespace {

using chain::Placement;
using frame::Reason;

FrameNumber NumberOf(const Candidate& candidate) {
  return {candidate.source->short_id, candidate.epoch, candidate.frame.header.sequence};
}

frame::Suite SuiteOf(const chain::Source& source, std::uint32_t key_version, const frame::Header& header) {
  const auto key = source.keys.find(key_version);
  return key == source.keys.end() ? header.suite : key->second.statement.suite;
}

// Entry 0 registers the source that signs it.
std::shared_ptr<const chain::Source> SelfRegistering(const frame::Value& payload) {
  auto event = chain::ParseSourceEvent(payload);
  if (!event.ok() || !event->registration) return nullptr;
  auto source = std::make_shared<chain::Source>();
  source->registration = *event->registration;
  source->id = frame::SourceIdOf(event->source);
  source->short_id = frame::ShortIdOf(event->source);
  source->keys[event->registration->key.version].statement = event->registration->key;
  return source;
}

}  // namespace

BatchBuilder::BatchBuilder(ChainTip tip, OwnKey own, std::uint64_t own_epoch, HeldReader held, SourceLimits* limits,
                           const ExpectedBuilds* builds)
    : tip_(std::move(tip)),
      own_(std::move(own)),
      own_epoch_(own_epoch),
      held_(std::move(held)),
      limits_(limits),
      builds_(builds) {
  batch_.old_size = tip_.tree.size();
  batch_.old_head = tip_.head;
}

absl::StatusOr<std::optional<HeldEntry>> BatchBuilder::FindHeld(const FrameNumber& number) const {
  if (const auto row = in_batch_.find(number); row != in_batch_.end()) {
    const EntryRow& entry = batch_.rows[row->second];
    return HeldEntry{entry.sequence, entry.leaf, entry.bytes};
  }
  if (const auto read = read_ahead_.find(number); read != read_ahead_.end()) return read->second;
  ASSIGN_OR_RETURN(HeldEntries found, held_({number}));
  const auto entry = found.find(number);
  if (entry == found.end()) return std::nullopt;
  return std::move(entry->second);
}

absl::Status BatchBuilder::ReadAhead(std::span<const std::unique_ptr<Candidate>> candidates, KeyCache& keys) {
  read_ahead_.clear();
  std::vector<FrameNumber> numbers;
  for (const auto& candidate : candidates) {
    Refresh(*candidate, keys);
    if (!MayBeHeld(*candidate)) continue;
    const FrameNumber number = NumberOf(*candidate);
    if (!in_batch_.contains(number) && read_ahead_.try_emplace(number).second) numbers.push_back(number);
  }
  if (numbers.empty()) return absl::OkStatus();
  auto found = held_(numbers);
  if (!found.ok()) {
    read_ahead_.clear();  // nothing is known of them
    return found.status();
  }
  for (auto& [number, entry] : *found) read_ahead_[number] = std::move(entry);
  return absl::OkStatus();
}

void BatchBuilder::Refresh(Candidate& candidate, KeyCache& keys) const {
  if (candidate.shaped && candidate.generation != tip_.book.generation())
    Recheck(candidate, *tip_.book.table(), tip_.book.generation(), keys);
}

// Whether an entry may hold this number of its source, be it with these bytes or with others.
bool BatchBuilder::MayBeHeld(const Candidate& candidate) const {
  if (!candidate.shaped || candidate.source == nullptr || !candidate.bound) return false;
  const chain::Channel* channel = tip_.book.FindChannel(candidate.source->short_id);
  if (channel == nullptr) return false;
  const auto epoch = channel->epochs.find(candidate.epoch);
  if (epoch == channel->epochs.end()) return channel->WasOpened(candidate.epoch);
  return candidate.frame.header.sequence < epoch->second.next;
}

// A held frame is answered as a duplicate before any reason but those of shape and binding.
absl::StatusOr<std::optional<FrameOutcome>> BatchBuilder::AnswerHeld(const Candidate& candidate) const {
  if (!MayBeHeld(candidate)) return std::nullopt;
  ASSIGN_OR_RETURN(const auto held, FindHeld(NumberOf(candidate)));
  if (!held || held->frame() != candidate.delivery.frame) return std::nullopt;
  return FrameOutcome{
      candidate.delivery.number,  FrameOutcome::Result::kDuplicate, held->sequence, held->leaf, Reason::kNone,
      std::string(held->header())};
}

FrameOutcome BatchBuilder::Refuse(const Candidate& candidate, Reason reason, chain::AlarmAggregator& alarms) const {
  if (reason == Reason::kBadTag && candidate.source != nullptr) {
    const Hash digest = crypto::Sha256(candidate.delivery.frame);
    alarms.Note(candidate.source->registration.source, "BAD_TAG", chain::ChannelState::kAlarmed, digest, digest);
  }
  return {candidate.delivery.number, FrameOutcome::Result::kRefused, 0, {}, reason};
}

// The number is held with other bytes, under a good tag: only the key holder can do that.
absl::StatusOr<FrameOutcome> BatchBuilder::Settle(const Candidate& candidate, chain::AlarmAggregator& alarms) const {
  if (candidate.frame.header.spelling != frame::Spelling::kV2) return Refuse(candidate, Reason::kReplayed, alarms);
  ASSIGN_OR_RETURN(const auto held, FindHeld(NumberOf(candidate)));
  if (!held)
    return Internal("source {}: number {} counts as held and is not in the store", candidate.delivery.source,
                    candidate.frame.header.sequence);
  alarms.Note(candidate.source->registration.source, "EQUIVOCATION", chain::ChannelState::kBlack,
              crypto::Sha256(held->frame()), crypto::Sha256(candidate.delivery.frame));
  return Refuse(candidate, Reason::kEquivocation, alarms);
}

absl::StatusOr<FrameOutcome> BatchBuilder::Add(Candidate& candidate, HeldSources& held, UnixNanos now, KeyCache& keys,
                                               chain::AlarmAggregator& alarms) {
  if (!candidate.shaped) return Refuse(candidate, candidate.reason, alarms);
  Refresh(candidate, keys);
  const std::string& source = candidate.delivery.source;
  const std::uint64_t number = candidate.frame.header.sequence;
  ASSIGN_OR_RETURN(auto outcome, AnswerHeld(candidate));
  if (!outcome && candidate.reason != Reason::kNone) outcome = Refuse(candidate, candidate.reason, alarms);
  if (!outcome) {
    ASSIGN_OR_RETURN(outcome, Enter(candidate, held.Behind(source, candidate.epoch, number), now, alarms));
  }
  held.Note(source, candidate.epoch, number, outcome->reason);
  return *std::move(outcome);
}

// `behind`: why a frame in front of it was refused, which has not come again.
absl::StatusOr<FrameOutcome> BatchBuilder::Enter(const Candidate& candidate, Reason behind, UnixNanos now,
                                                 chain::AlarmAggregator& alarms) {
  const chain::Source& source = *candidate.source;
  const std::string& name = source.registration.source;
  const frame::Header& header = candidate.frame.header;
  const auto parsed = reader_.Read(candidate.frame.payload);
  const std::optional<frame::Value> payload = parsed.ok() ? std::optional(*parsed) : std::nullopt;
  const chain::Statement statement = chain::ReadStatement(source.registration, header.type, payload);
  // Decided for the receive time that the entry gets, since a verifier has no other.
  const UnixNanos receipt = NextReceived(now) * 1'000;
  const chain::Admission admission =
      tip_.book.Admit(source, header, candidate.epoch, candidate.key_version, receipt, statement, payload);
  // Refused for good is only what comes in its turn.
  const bool own_reason = behind == Reason::kNone || frame::IsPassing(admission.reason);
  const Reason reason = own_reason ? admission.reason : behind;
  if (reason != Reason::kNone) return Refuse(candidate, reason, alarms);
  if (admission.placement.where == Placement::Where::kHeld) return Settle(candidate, alarms);
  const std::size_t entries = 1 + admission.placement.gaps.size();
  if (limits_ != nullptr &&
      !limits_->Admit(name, candidate.epoch, header.sequence, entries, candidate.delivery.frame.size())) {
    return Refuse(candidate, Reason::kOverLimit, alarms);
  }
  for (chain::Gap gap : admission.placement.gaps) {
    gap.source = name;
    RETURN_IF_ERROR(AddOwn(frame::Type::kGap, frame::Tier::kYellow, chain::BuildGap(gap), now).status());
  }
  ASSIGN_OR_RETURN(const std::uint64_t sequence, Append(candidate.frame, candidate.epoch, source, candidate.key_version,
                                                        admission.flags, receipt / 1'000, statement, payload));
  const EntryRow& row = batch_.rows.back();
  const bool violates = (row.index.result & chain::kScopeViolation) != 0;
  const bool black = header.tier == frame::Tier::kBlack;
  if (violates || black) {
    const Hash digest = crypto::Sha256(candidate.delivery.frame);
    if (violates) alarms.Note(name, "SCOPE_VIOLATION", chain::ChannelState::kAlarmed, digest, digest);
    if (black) alarms.Note(name, "TIER_BLACK", chain::ChannelState::kBlack, digest, digest);
  }
  if (header.type == frame::Type::kHeartbeat && payload && !violates)
    CheckBuild(source, candidate.delivery.frame, *payload, alarms);
  return FrameOutcome{candidate.delivery.number,
                      FrameOutcome::Result::kAppended,
                      sequence,
                      row.leaf,
                      Reason::kNone,
                      row.bytes.substr(0, chain::kEntryHeaderSize)};
}

// One alarm for as long as it stands: it comes again when it is cleared and the build is not listed.
void BatchBuilder::CheckBuild(const chain::Source& source, std::string_view beat, const frame::Value& payload,
                              chain::AlarmAggregator& alarms) const {
  const std::string& name = source.registration.source;
  if (builds_ == nullptr || builds_->Expects(name, payload["build_id"].AsString().value_or(""))) return;
  const chain::Channel* channel = tip_.book.FindChannel(source.short_id);
  if (channel != nullptr && channel->alarms.contains(std::string(chain::kCauseBuildUnexpected))) return;
  const Hash digest = crypto::Sha256(beat);
  alarms.Note(name, chain::kCauseBuildUnexpected, chain::ChannelState::kAlarmed, digest, digest);
}

std::uint64_t BatchBuilder::NextReceived(UnixNanos now) const {
  return std::max(now / 1'000, tip_.book.last_received_us());
}

absl::StatusOr<std::uint64_t> BatchBuilder::AddOwn(frame::Type type, frame::Tier tier, const std::string& payload,
                                                   UnixNanos now) {
  frame::Header header;
  header.type = type;
  header.tier = tier;
  header.suite = own_.key->suite();
  header.timestamp = now;
  header.sequence = own_sequence_ + 1;
  header.key_version = own_.version;
  header.boot_epoch = own_epoch_;
  header.source_id = frame::SourceIdOf(tip_.book.origin());
  ASSIGN_OR_RETURN(std::string bytes, frame::EncodeUnsigned(header, payload));
  ASSIGN_OR_RETURN(const std::string tag, own_.key->Sign(bytes));
  bytes += tag;
  ASSIGN_OR_RETURN(const frame::Frame frame, frame::Decode(bytes, frame::Spelling::kV2));
  ASSIGN_OR_RETURN(const frame::Value value, own_reader_.Read(frame.payload));
  std::shared_ptr<const chain::Source> self = tip_.book.FindByName(tip_.book.origin());
  if (self == nullptr) self = SelfRegistering(value);
  if (self == nullptr) return Internal("the chain's first entry is not its own registration");
  const std::optional<frame::Value> parsed = value;
  const chain::Statement statement = chain::ReadStatement(self->registration, type, parsed);
  const std::uint64_t received_us = NextReceived(now);
  const std::uint8_t flags = tip_.book.Flags(*self, frame.header, own_epoch_, received_us * 1'000, statement, parsed);
  ASSIGN_OR_RETURN(const std::uint64_t sequence,
                   Append(frame, own_epoch_, *self, own_.version, flags, received_us, statement, parsed));
  ++own_sequence_;
  return sequence;
}

absl::StatusOr<std::uint64_t> BatchBuilder::Append(const frame::Frame& frame, std::uint64_t epoch,
                                                   const chain::Source& source, std::uint32_t key_version,
                                                   std::uint8_t flags, std::uint64_t received_us,
                                                   const chain::Statement& statement,
                                                   const std::optional<frame::Value>& payload) {
  chain::EntryHeader header;
  header.origin_id = chain::OriginIdOf(tip_.book.origin());
  header.sequence = tip_.tree.size();
  header.previous = tip_.head;
  header.received_us = received_us;
  header.source = source.short_id;
  header.source_epoch = epoch;
  header.source_sequence = frame.header.sequence;
  header.source_previous = tip_.book.LastOfSource(source.short_id);
  header.key_version = key_version;
  header.kind = chain::KindOf(frame.header.type);
  header.checked_by = SuiteOf(source, key_version, frame.header);
  header.spelling = frame.header.spelling;
  header.result = flags;
  const bool silent = (header.result & (chain::kScopeViolation | chain::kOpaque)) != 0;
  const std::uint64_t subject = silent ? 0 : statement.subject_id;
  header.subject_previous = subject == 0 ? chain::kNone : tip_.book.LastOfSubject(subject);

  EntryRow row;
  row.sequence = header.sequence;
  row.bytes = chain::EncodeEntry(header, frame.bytes);
  row.leaf = chain::LeafHash(row.bytes);
  row.index = {
      header.source, epoch, header.source_sequence, subject, header.received_us, static_cast<std::uint8_t>(header.kind),
      header.result};
  ASSIGN_OR_RETURN(const chain::Entry entry, chain::DecodeEntry(row.bytes));
  // Not DataLoss, which freezes the chain: what is stored is whole, only this entry is not to be.
  if (const absl::Status applied = tip_.book.Apply(entry, frame, statement, payload); !applied.ok()) {
    return Internal("an entry that was accepted does not apply: {}", Message(applied));
  }
  for (chain::Tile& tile : tip_.tree.Append(row.leaf))
    batch_.tiles.push_back({tile.level, tile.index, std::move(tile.hashes)});
  tip_.head = row.leaf;
  bytes_ += row.bytes.size();
  in_batch_[{header.source, epoch, header.source_sequence}] = batch_.rows.size();
  batch_.rows.push_back(std::move(row));
  return header.sequence;
}

AppendBatch BatchBuilder::Take(std::uint64_t term) {
  batch_.term = term;
  batch_.new_head = tip_.head;
  batch_.new_frontier = tip_.tree.frontier().ToBytes();
  AppendBatch taken = std::exchange(batch_, {});
  batch_.old_size = tip_.tree.size();
  batch_.old_head = tip_.head;
  bytes_ = 0;
  in_batch_.clear();
  read_ahead_.clear();
  return taken;
}

}  // namespace virp::onode
