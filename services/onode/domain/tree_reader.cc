#include "services/onode/domain/tree_reader.h"

#include <bit>
#include <memory>
#include <string>

#include "lib/base/status.h"

namespace virp::onode {

void TreeReader::Append(const Hash& leaf) {
  const MutexLock lock(mutex_);
  for (const chain::Tile& full : edge_.Append(leaf)) {
    auto nodes = chain::TileNodes::FromBytes(full.hashes);
    if (nodes.ok()) cache_.Put(full.level, full.index, std::make_shared<const chain::TileNodes>(*std::move(nodes)));
  }
}

chain::TileBuilder TreeReader::Edge() const {
  const MutexLock lock(mutex_);
  return edge_;
}

Hash TreeReader::Root() const {
  const MutexLock lock(mutex_);
  return edge_.Root();
}

absl::StatusOr<Hash> TreeReader::Subtree(unsigned level, std::uint64_t index) {
  {
    const MutexLock lock(mutex_);
    if (const auto hash = edge_.Subtree(level, index)) return *hash;
  }
  const unsigned tile_level = level / chain::kTileHeight;
  const unsigned height = level % chain::kTileHeight;
  const std::uint64_t first = index << height;
  const std::uint64_t tile = first / chain::kTileWidth;
  std::shared_ptr<const chain::TileNodes> nodes = cache_.Find(tile_level, tile);
  if (nodes == nullptr) {
    ASSIGN_OR_RETURN(const std::string hashes, read_(tile_level, tile));
    ASSIGN_OR_RETURN(chain::TileNodes read, chain::TileNodes::FromBytes(hashes));
    if (read.width() != chain::kTileWidth) return DataLoss("tile {}/{} has {} hashes", tile_level, tile, read.width());
    nodes = std::make_shared<const chain::TileNodes>(std::move(read));
    cache_.Put(tile_level, tile, nodes);
  }
  return nodes->At(height, index % (chain::kTileWidth >> height));
}

absl::StatusOr<std::vector<Hash>> TreeReader::Inclusion(std::uint64_t index, std::uint64_t size) {
  return chain::InclusionProof(index, size, [this](unsigned level, std::uint64_t at) { return Subtree(level, at); });
}

absl::StatusOr<std::vector<Hash>> TreeReader::Consistency(std::uint64_t old_size, std::uint64_t size) {
  return chain::ConsistencyProof(old_size, size,
                                 [this](unsigned level, std::uint64_t at) { return Subtree(level, at); });
}

absl::StatusOr<chain::Frontier> TreeReader::FrontierAt(std::uint64_t size) {
  std::string bytes;
  std::uint64_t first = 0;
  for (int level = 63; level >= 0; --level) {
    if ((size >> level & 1) == 0) continue;
    ASSIGN_OR_RETURN(const Hash hash, Subtree(static_cast<unsigned>(level), first >> level));
    bytes.append(View(hash));
    first += std::uint64_t{1} << level;
  }
  return chain::Frontier::FromBytes(size, bytes);
}

}  // namespace virp::onode
