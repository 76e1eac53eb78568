#include "lib/deliver/audit.h"

#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/chain/entry.h"

namespace virp::deliver {
namespace {

constexpr std::string_view kSeparator = "\nfrontier ";

}  // namespace

absl::StatusOr<Audit> Audit::Open(std::string directory, std::string origin, std::vector<chain::VerifierKey> keys) {
  RETURN_IF_ERROR(MakeDirectory(directory));
  Audit audit(std::move(directory), std::move(origin), std::move(keys));
  const auto kept = ReadFile(audit.directory_ + "/audited", std::size_t{1} << 20);
  if (absl::IsNotFound(kept.status())) return audit;
  RETURN_IF_ERROR(kept.status());
  const auto at = kept->rfind(kSeparator);
  if (at == std::string::npos) return DataLoss("{}/audited has no frontier", audit.directory_);
  audit.note_ = kept->substr(0, at);
  ASSIGN_OR_RETURN(const chain::Checkpoint checkpoint, audit.Verify(audit.note_));
  ASSIGN_OR_RETURN(const std::string frontier, HexDecode(std::string_view(*kept).substr(at + kSeparator.size())));
  ASSIGN_OR_RETURN(audit.frontier_, chain::Frontier::FromBytes(checkpoint.size, frontier));
  if (audit.frontier_.Root() != checkpoint.root)
    return DataLoss("{}/audited: note and frontier do not fit", audit.directory_);
  return audit;
}

absl::StatusOr<chain::Checkpoint> Audit::Verify(std::string_view note) const {
  auto checkpoint = chain::OpenCheckpoint(note, keys_);
  if (!checkpoint.ok()) return DataLoss("a checkpoint that no pinned key signed: {}", Message(checkpoint.status()));
  if (checkpoint->origin != origin_)
    return DataLoss("a checkpoint of chain {} where {} was expected", checkpoint->origin, origin_);
  return checkpoint;
}

absl::StatusOr<chain::Frontier> Audit::FrontierOf(const std::vector<Hash>& hashes,
                                                  const chain::Checkpoint& checkpoint) const {
  std::string bytes;
  for (const Hash& hash : hashes) bytes.append(View(hash));
  auto frontier = chain::Frontier::FromBytes(checkpoint.size, bytes);
  if (!frontier.ok() || frontier->Root() != checkpoint.root)
    return DataLoss("the tree at size {} is not that of the signed root", checkpoint.size);
  return frontier;
}

absl::Status Audit::Mismatch(std::string_view note, const absl::Status& why) const {
  // Both notes are the proof; the name keeps the first mismatch of a size.
  const std::string path = fmt::format("{}/mismatch-{}", directory_, frontier_.size());
  const std::string content = fmt::format("{}\n--- kept:\n{}\n--- shown:\n{}", Message(why), note_, note);
  if (const absl::Status kept = ReplaceFile(path, content); !kept.ok())
    return Annotate(why, fmt::format("(and {})", Message(kept)));
  return why;
}

absl::Status Audit::Begin(const Welcome& welcome) {
  expected_.clear();
  if (welcome.checkpoint.empty()) {
    if (note_.empty()) return absl::OkStatus();
    return Mismatch(
        "", DataLoss("the O-Node shows no checkpoint, one of {} entries was audited: rolled back", frontier_.size()));
  }
  const auto checkpoint = Verify(welcome.checkpoint);
  if (!checkpoint.ok()) return Mismatch(welcome.checkpoint, checkpoint.status());
  if (checkpoint->size < frontier_.size()) {
    return Mismatch(welcome.checkpoint,
                    DataLoss("the O-Node's largest checkpoint has {} entries, one of {} was audited: rolled back",
                             checkpoint->size, frontier_.size()));
  }
  auto frontier = FrontierOf(welcome.frontier, *checkpoint);
  if (!frontier.ok()) return Mismatch(welcome.checkpoint, frontier.status());
  if (frontier_.size() > 0) {
    const absl::Status grows = chain::VerifyConsistency(frontier_.size(), frontier_.Root(), checkpoint->size,
                                                        checkpoint->root, welcome.consistency);
    if (!grows.ok()) {
      return Mismatch(welcome.checkpoint,
                      DataLoss("the checkpoint of {} entries does not extend the audited one of {}: {}",
                               checkpoint->size, frontier_.size(), Message(grows)));
    }
  }
  return Accept(welcome.checkpoint, *std::move(frontier));
}

absl::Status Audit::Expect(std::uint64_t chain_sequence, const Hash& leaf, std::string_view header,
                           std::string_view frame) {
  std::string bytes;
  bytes.reserve(header.size() + frame.size());
  bytes.append(header).append(frame);
  const auto entry = chain::DecodeEntry(bytes);
  const bool holds = entry.ok() && entry->frame == frame && entry->header.sequence == chain_sequence &&
                     entry->header.origin_id == chain::OriginIdOf(origin_) && chain::LeafHash(bytes) == leaf;
  if (!holds) return DataLoss("entry {} is acknowledged for a frame that it does not hold", chain_sequence);
  const auto [at, added] = expected_.try_emplace(chain_sequence, leaf);
  if (!added && at->second != leaf)
    return DataLoss("two acknowledgements name entry {} with different hashes", chain_sequence);
  return absl::OkStatus();
}

absl::StatusOr<chain::Frontier> Audit::AddLeaves(const CheckpointNotice& notice,
                                                 const chain::Checkpoint& checkpoint) const {
  chain::Frontier frontier = frontier_;
  if (notice.leaf_hashes.size() != checkpoint.size - frontier.size()) {
    return DataLoss("{} leaf hashes from {} to {}", notice.leaf_hashes.size(), frontier.size(), checkpoint.size);
  }
  auto expected = expected_.lower_bound(frontier.size());
  for (const Hash& leaf : notice.leaf_hashes) {
    if (expected != expected_.end() && expected->first == frontier.size()) {
      if (expected->second != leaf)
        return DataLoss("entry {} is not the one that was acknowledged there", frontier.size());
      ++expected;
    }
    frontier.Append(leaf);
  }
  if (frontier.Root() != checkpoint.root)
    return DataLoss("the leaf hashes up to {} do not lead to the signed root", checkpoint.size);
  return frontier;
}

absl::Status Audit::CheckInclusions(const CheckpointNotice& notice, const chain::Checkpoint& checkpoint) const {
  for (const Inclusion& inclusion : notice.inclusions) {
    const auto expected = expected_.find(inclusion.chain_sequence);
    if (expected == expected_.end()) continue;
    const absl::Status held = chain::VerifyInclusion(expected->second, inclusion.chain_sequence, checkpoint.size,
                                                     inclusion.path, checkpoint.root);
    if (!held.ok())
      return DataLoss("entry {} is not the one that was acknowledged there: {}", inclusion.chain_sequence,
                      Message(held));
  }
  return absl::OkStatus();
}

absl::Status Audit::Check(const CheckpointNotice& notice) {
  const auto checkpoint = Verify(notice.note);
  if (!checkpoint.ok()) return Mismatch(notice.note, checkpoint.status());
  if (notice.first != frontier_.size() || checkpoint->size < frontier_.size()) {
    return Mismatch(notice.note, DataLoss("a notice from {} to {} where {} was audited", notice.first, checkpoint->size,
                                          frontier_.size()));
  }
  const bool by_leaves = !notice.leaf_hashes.empty() || checkpoint->size == frontier_.size();
  auto frontier = by_leaves ? AddLeaves(notice, *checkpoint) : FrontierOf(notice.frontier, *checkpoint);
  absl::Status fits = frontier.status();
  if (fits.ok() && !by_leaves && frontier_.size() > 0) {
    fits = chain::VerifyConsistency(frontier_.size(), frontier_.Root(), checkpoint->size, checkpoint->root,
                                    notice.consistency);
  }
  if (fits.ok()) fits = CheckInclusions(notice, *checkpoint);
  if (!fits.ok()) return Mismatch(notice.note, absl::IsDataLoss(fits) ? fits : DataLoss("{}", Message(fits)));

  if (by_leaves) expected_.erase(expected_.lower_bound(frontier_.size()), expected_.lower_bound(checkpoint->size));
  for (const Inclusion& inclusion : notice.inclusions) expected_.erase(inclusion.chain_sequence);
  return Accept(notice.note, *std::move(frontier));
}

absl::Status Audit::Accept(std::string note, chain::Frontier frontier) {
  if (frontier.size() > frontier_.size() || note_.empty()) {
    RETURN_IF_ERROR(
        ReplaceFile(directory_ + "/audited", fmt::format("{}{}{}", note, kSeparator, HexEncode(frontier.ToBytes()))));
  }
  note_ = std::move(note);
  frontier_ = std::move(frontier);
  return absl::OkStatus();
}

}  // namespace virp::deliver
