// Proofs over the committed tree, from the store's tiles, and entries proven against a root. Tiles are not believed: each
// proof is checked against the root that the caller derived from checked entries.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "lib/base/bytes.h"
#include "lib/base/mutex.h"
#include "lib/chain/merkle.h"
#include "services/onode/domain/chain_store.h"

namespace virp::onode {

// Thread-safe. Keeps at most `cache_tiles` full tiles of 8 KiB, and the open tile of each level.
class TreeReader {
 public:
  TreeReader(ChainStore& store, ChainId chain, std::size_t cache_tiles = 4'096)
      : store_(store), chain_(chain), cache_tiles_(cache_tiles) {}

  // The next committed leaf. Call for every leaf from 0 on, before a proof over it is asked for.
  void Append(const Hash& leaf);

  // Hash over leaves [index << level, (index + 1) << level), all of which were appended.
  absl::StatusOr<Hash> Subtree(unsigned level, std::uint64_t index);

  absl::StatusOr<std::vector<Hash>> Inclusion(std::uint64_t index, std::uint64_t size);
  absl::StatusOr<std::vector<Hash>> Consistency(std::uint64_t old_size, std::uint64_t size);

 private:
  using Key = std::pair<unsigned, std::uint64_t>;  // level of the tile and its index
  struct Cached {
    std::string hashes;
    std::list<Key>::iterator used;
  };
  struct OpenTile {
    std::uint64_t index = 0;
    std::string hashes;
  };
  absl::StatusOr<std::string> TileHashes(const Key& key, std::size_t first, std::size_t count);
  void Remember(const Key& key, std::string hashes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  ChainStore& store_;
  const ChainId chain_;
  const std::size_t cache_tiles_;
  Mutex mutex_;
  std::vector<OpenTile> open_ ABSL_GUARDED_BY(mutex_);  // by level
  std::list<Key> order_ ABSL_GUARDED_BY(mutex_);        // most recently used first
  absl::flat_hash_map<Key, Cached> cache_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virp::onode
