#include "services/onode/domain/cache_audit.h"

#include <algorithm>
#include <utility>

#include "lib/base/status.h"
#include "lib/chain/entry.h"
#include "lib/frame/frame.h"
#include "lib/frame/payload.h"

namespace virp::onode {
namespace {

using chain::Break;
using chain::BreakKind;

std::optional<Break> IndexBreak(std::uint64_t sequence, std::string detail) {
  return Break{sequence, BreakKind::kIndex, std::move(detail)};
}

// The predecessor's note that entry 1 carries; empty when it is another entry.
std::string PredecessorIn(std::string_view entry_bytes) {
  const auto entry = chain::DecodeEntry(entry_bytes);
  const auto frame = entry.ok() ? frame::Decode(entry->frame, entry->header.spelling) : entry.status();
  if (!frame.ok() || frame->header.type != frame::Type::kForeignCheckpoint) return "";
  frame::PayloadReader reader;
  const auto payload = reader.Read(frame->payload);
  if (!payload.ok() || (*payload)["event"].AsString() != "predecessor") return "";
  return std::string((*payload)["note"].AsString().value_or(""));
}

}  // namespace

absl::StatusOr<std::optional<Break>> TileAudit::Add(const Hash& leaf, const chain::Frontier& frontier) {
  leaves_ += View(leaf);
  if (leaves_.size() < chain::kFullTileSize) return std::optional<Break>();
  const std::uint64_t size = frontier.size();
  ASSIGN_OR_RETURN(auto broken, CheckLeaves(size / chain::kTileWidth - 1));
  leaves_.clear();
  for (unsigned level = 1; !broken && level <= chain::kMaxTileLevel; ++level) {
    const unsigned height = chain::kTileHeight * (level + 1);
    if ((size & ((std::uint64_t{1} << height) - 1)) != 0) break;
    ASSIGN_OR_RETURN(broken, CheckAbove(level, (size >> height) - 1, frontier.Root()));
  }
  return broken;
}

absl::StatusOr<std::optional<Break>> TileAudit::CheckLeaves(std::uint64_t index) {
  const std::uint64_t first = index * chain::kTileWidth;
  const auto stored = read_(0, index);
  if (absl::IsNotFound(stored.status())) return IndexBreak(first, fmt::format("full tile 0/{} is not stored", index));
  RETURN_IF_ERROR(stored.status());
  if (*stored == leaves_) return std::optional<Break>();
  std::size_t at = 0;
  while (at < stored->size() && (*stored)[at] == leaves_[at]) ++at;
  const std::uint64_t sequence = first + at / sizeof(Hash);
  return IndexBreak(sequence, fmt::format("tile 0/{} has another leaf hash for entry {}", index, sequence));
}

absl::StatusOr<std::optional<Break>> TileAudit::CheckAbove(unsigned level, std::uint64_t index, const Hash& root) {
  const std::uint64_t first = index << (chain::kTileHeight * (level + 1));
  const auto stored = read_(level, index);
  if (absl::IsNotFound(stored.status()))
    return IndexBreak(first, fmt::format("full tile {}/{} is not stored", level, index));
  RETURN_IF_ERROR(stored.status());
  chain::Frontier tile;
  for (std::size_t at = 0; at + sizeof(Hash) <= stored->size(); at += sizeof(Hash)) {
    tile.Append(HashFromBytes(std::string_view(*stored).substr(at, sizeof(Hash))).value_or(Hash{}));
  }
  // Complete subtrees of one height are the leaves of a tree with the same root as the whole.
  roots_[level].Append(tile.Root());
  if (tile.size() == chain::kTileWidth && roots_[level].Root() == root) return std::optional<Break>();
  return IndexBreak(first, fmt::format("tile {}/{} is not what the entries below it hash to", level, index));
}

absl::StatusOr<std::optional<Break>> CheckHeadCaches(ChainStore& store, const ChainInfo& info, const ChainHead& head,
                                                     const chain::ChainWalk& walk) {
  if (walk.head() != head.head)
    return IndexBreak(walk.size(), "the stored head is not the leaf hash of the newest entry");
  if (walk.frontier().ToBytes() != head.frontier)
    return IndexBreak(walk.size(), "the stored frontier is not that of the entries");
  ASSIGN_OR_RETURN(const auto chains, store.ListChains());
  const auto row =
      std::find_if(chains.begin(), chains.end(), [&](const ChainInfo& chain) { return chain.id == info.id; });
  if (row == chains.end() || row->origin != info.origin)
    return IndexBreak(0, "the store has another origin for this chain");
  if (walk.size() < 2) return std::optional<Break>();
  ASSIGN_OR_RETURN(const EntryRow second, store.ReadEntry(info.id, 1));
  if (PredecessorIn(second.bytes) == row->predecessor) return std::optional<Break>();
  return IndexBreak(1, "the stored note of the predecessor is not the one in the chain");
}

}  // namespace virp::onode
