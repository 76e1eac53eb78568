#include "services/onode/transport/wire.h"

#include <algorithm>

#include "lib/base/status.h"
#include "lib/chain/proof.h"
#include "lib/service/wire.h"

namespace virp::onode {

absl::StatusOr<chain::v1::Entry> EntryOf(const EntryRow& row, const Chain& chain) {
  ASSIGN_OR_RETURN(const chain::Entry entry, chain::DecodeEntry(row.bytes));
  ASSIGN_OR_RETURN(const frame::Frame frame, frame::Decode(entry.frame, entry.header.spelling));
  chain::v1::Entry out;
  out.set_entry(row.bytes);
  out.set_leaf_hash(std::string(View(row.leaf)));
  out.set_sequence(entry.header.sequence);
  out.set_source_epoch(entry.header.source_epoch);
  out.set_source_sequence(entry.header.source_sequence);
  *out.mutable_received_at() = service::TimestampOf(entry.header.received_us * 1'000);
  *out.mutable_observed_at() = service::TimestampOf(frame.header.timestamp);
  out.set_type(static_cast<std::uint32_t>(frame.header.type));
  out.set_tier(static_cast<std::uint32_t>(frame.header.tier));
  out.set_key_version(entry.header.key_version);
  out.set_result(entry.header.result);
  out.set_payload(std::string(frame.payload));
  out.set_spelling(std::string(frame::SpellingName(entry.header.spelling)));
  const auto source =
      chain.Read([&](const ChainState& state) { return state.book.FindByShortId(entry.header.source); });
  if (source == nullptr) {
    std::string id;
    AppendBe(id, entry.header.source);
    out.set_source(HexEncode(id));
    return out;
  }
  out.set_source(source->registration.source);
  if ((entry.header.result & (chain::kScopeViolation | chain::kOpaque)) == 0) {
    frame::PayloadReader reader;
    const auto payload = reader.Read(frame.payload);
    const std::optional<frame::Value> value = payload.ok() ? std::optional(*payload) : std::nullopt;
    out.set_subject(chain::ReadStatement(source->registration, frame.header.type, value).subject);
  }
  return out;
}

absl::StatusOr<std::string> ProofOf(Chain& chain, std::uint64_t sequence, const StoredCheckpoint& checkpoint) {
  if (sequence >= checkpoint.size)
    return OutOfRange("the checkpoint of {} entries does not cover entry {}", checkpoint.size, sequence);
  ASSIGN_OR_RETURN(EntryRow row, chain.ReadChecked(sequence));
  chain::Proof proof;
  proof.index = sequence;
  proof.entry = std::move(row.bytes);
  proof.checkpoint = checkpoint.note;
  ASSIGN_OR_RETURN(proof.path, chain.tree().Inclusion(sequence, checkpoint.size));
  // What does not verify here would not verify anywhere: better to say so than to hand it out.
  const absl::Status verified = chain::VerifyProof(proof, chain.vault().Verifiers()).status();
  if (!verified.ok()) return DataLoss("the proof of entry {} does not verify: {}", sequence, Message(verified));
  return chain::EncodeProof(proof);
}

std::chrono::steady_clock::time_point DeadlineOf(std::chrono::system_clock::time_point callers,
                                                 std::chrono::milliseconds most) {
  const auto left = callers - std::chrono::system_clock::now();
  return std::chrono::steady_clock::now() +
         std::min<std::chrono::nanoseconds>(std::max<std::chrono::nanoseconds>(left, std::chrono::nanoseconds(0)),
                                            most);
}

}  // namespace virp::onode
