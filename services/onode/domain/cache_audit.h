// What a store keeps beside its entries to be quick, held against the entries: full tiles, the head's frontier, the
// chain's origin and predecessor. No verdict rests on them; proofs and their readers would fail, and nobody would know
// why.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "lib/chain/merkle.h"
#include "lib/chain/tiles.h"
#include "lib/chain/walk.h"
#include "services/onode/domain/chain_store.h"

namespace virp::onode {

// Follows a walk from entry 0. Tiles of level 0 are compared hash by hash. Those above are bound by the root that the
// walk has where they end, so that nothing is hashed twice. Not thread-safe.
class TileAudit {
 public:
  explicit TileAudit(TileReader read) : read_(std::move(read)) {}

  // `frontier` has just taken in this leaf hash. Errors of the reader but NotFound.
  absl::StatusOr<std::optional<chain::Break>> Add(const Hash& leaf, const chain::Frontier& frontier);

 private:
  absl::StatusOr<std::optional<chain::Break>> CheckLeaves(std::uint64_t index);
  absl::StatusOr<std::optional<chain::Break>> CheckAbove(unsigned level, std::uint64_t index, const Hash& root);

  const TileReader read_;
  std::string leaves_;                                           // of the tile that is being filled
  std::array<chain::Frontier, chain::kMaxTileLevel + 1> roots_;  // by level: over the tiles' roots so far
};

// Head, frontier, origin and predecessor's note, after a whole walk.
absl::StatusOr<std::optional<chain::Break>> CheckHeadCaches(ChainStore& store, const ChainInfo& info,
                                                            const ChainHead& head, const chain::ChainWalk& walk);

}  // namespace virp::onode
