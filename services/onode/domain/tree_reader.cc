#include "services/onode/domain/tree_reader.h"

#include <algorithm>

#include "lib/base/status.h"

namespace virp::onode {
namespace {

constexpr std::size_t kHashSize = 32;

Hash HashAt(std::string_view hashes, std::size_t at) {
  Hash hash;
  std::copy_n(hashes.data() + at * kHashSize, kHashSize, reinterpret_cast<char*>(hash.data()));
  return hash;
}

// Root over a power-of-two run of hashes.
Hash Combine(std::string_view hashes) {
  std::vector<Hash> row(hashes.size() / kHashSize);
  for (std::size_t i = 0; i < row.size(); ++i) row[i] = HashAt(hashes, i);
  for (; row.size() > 1; row.resize(row.size() / 2)) {
    for (std::size_t i = 0; i < row.size() / 2; ++i) row[i] = chain::NodeHash(row[2 * i], row[2 * i + 1]);
  }
  return row[0];
}

}  // namespace

void TreeReader::Append(const Hash& leaf) {
  const MutexLock lock(mutex_);
  Hash hash = leaf;
  for (unsigned level = 0;; ++level) {
    if (open_.size() <= level) open_.emplace_back();
    OpenTile& tile = open_[level];
    tile.hashes.append(View(hash));
    if (tile.hashes.size() < chain::kTileWidth * kHashSize) return;
    hash = Combine(tile.hashes);
    Remember({level, tile.index}, std::move(tile.hashes));
    tile = {tile.index + 1, {}};
  }
}

void TreeReader::Remember(const Key& key, std::string hashes) {
  if (cache_.contains(key)) return;
  order_.push_front(key);
  cache_[key] = {std::move(hashes), order_.begin()};
  if (order_.size() <= cache_tiles_) return;
  cache_.erase(order_.back());
  order_.pop_back();
}

absl::StatusOr<std::string> TreeReader::TileHashes(const Key& key, std::size_t first, std::size_t count) {
  const auto [level, index] = key;
  {
    const MutexLock lock(mutex_);
    if (level < open_.size() && open_[level].index == index) {
      if (open_[level].hashes.size() < (first + count) * kHashSize) {
        return OutOfRange("tile {}/{} has no hashes {} to {} yet", level, index, first, first + count);
      }
      return open_[level].hashes.substr(first * kHashSize, count * kHashSize);
    }
    const auto cached = cache_.find(key);
    if (cached != cache_.end()) {
      order_.splice(order_.begin(), order_, cached->second.used);
      return cached->second.hashes.substr(first * kHashSize, count * kHashSize);
    }
  }
  ASSIGN_OR_RETURN(std::string hashes, store_.ReadTile(chain_, level, index));
  if (hashes.size() != chain::kTileWidth * kHashSize) return DataLoss("tile {}/{} has {} bytes", level, index, hashes.size());
  std::string wanted = hashes.substr(first * kHashSize, count * kHashSize);
  const MutexLock lock(mutex_);
  Remember(key, std::move(hashes));
  return wanted;
}

absl::StatusOr<Hash> TreeReader::Subtree(unsigned level, std::uint64_t index) {
  const unsigned tile_level = level / chain::kTileHeight;
  const unsigned height = level % chain::kTileHeight;
  const std::uint64_t first = index << height;
  ASSIGN_OR_RETURN(const std::string hashes,
                   TileHashes({tile_level, first / chain::kTileWidth}, first % chain::kTileWidth, std::size_t{1} << height));
  return Combine(hashes);
}

absl::StatusOr<std::vector<Hash>> TreeReader::Inclusion(std::uint64_t index, std::uint64_t size) {
  return chain::InclusionProof(index, size, [this](unsigned level, std::uint64_t at) { return Subtree(level, at); });
}

absl::StatusOr<std::vector<Hash>> TreeReader::Consistency(std::uint64_t old_size, std::uint64_t size) {
  return chain::ConsistencyProof(old_size, size, [this](unsigned level, std::uint64_t at) { return Subtree(level, at); });
}

}  // namespace virp::onode
