// Proofs over the committed tree, from the store's tiles, and entries proven against a root. Tiles are not believed:
// each proof is checked against the root that the caller derived from checked entries.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/bytes.h"
#include "lib/base/mutex.h"
#include "lib/chain/merkle.h"
#include "lib/chain/tiles.h"
#include "services/onode/domain/chain_store.h"

namespace virp::onode {

// Thread-safe. Keeps at most `cache_tiles` full tiles of 16 KiB, and the tree's right edge.
class TreeReader {
 public:
  explicit TreeReader(TileReader read, std::size_t cache_tiles = 4'096) : read_(std::move(read)), cache_(cache_tiles) {}

  // The next committed leaf: every leaf from 0 on, before a proof over it is asked for.
  void Append(const Hash& leaf);
  chain::TileBuilder Edge() const;  // a copy
  Hash Root() const;

  // Hash over leaves [index << level, (index + 1) << level), all of which were appended.
  absl::StatusOr<Hash> Subtree(unsigned level, std::uint64_t index);

  absl::StatusOr<std::vector<Hash>> Inclusion(std::uint64_t index, std::uint64_t size);
  absl::StatusOr<std::vector<Hash>> Consistency(std::uint64_t old_size, std::uint64_t size);
  // The tree at a size, for whoever goes on from there: hashes of its complete subtrees, biggest first.
  absl::StatusOr<chain::Frontier> FrontierAt(std::uint64_t size);

 private:
  const TileReader read_;
  chain::TileCache cache_;
  mutable Mutex mutex_;
  chain::TileBuilder edge_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virp::onode
