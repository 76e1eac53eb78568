// Tiles of a chain's tree (C2SP tlog-tiles; docs/formats/chain.md, "Tiles"): how a tree of any size is stored and
// served in pieces of 8,192 bytes. Tile `index` of level L holds the 256 hashes over leaves [(index << 8 | i) << 8L,
// ...) for i from 0 to 255; a full tile never changes. Entries go in bundles of 256, each behind its length in two
// bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/bytes.h"
#include "lib/chain/entry.h"
#include "lib/chain/merkle.h"

namespace virp::chain {

inline constexpr std::size_t kFullTileSize = kTileWidth * sizeof(Hash);
inline constexpr unsigned kMaxTileLevel = 7;  // level 8 begins above kMaxTreeSize
inline constexpr std::size_t kMaxBundle = kTileWidth * (2 + kMaxEntry);

struct Tile {
  unsigned level = 0;
  std::uint64_t index = 0;
  std::string hashes;  // 32 bytes each, leftmost first; 256 of them when full
  bool operator==(const Tile&) const = default;
};

// Where a tile or a bundle is found: "tile/0/x001/x234/067", "tile/1/000.p/5", "tile/entries/000".
struct TileName {
  bool entries = false;  // a bundle; `level` is 0 then
  unsigned level = 0;
  std::uint64_t index = 0;
  unsigned width = kTileWidth;  // hashes or entries in it: 1 to 256; below 256 it is partial
  bool operator==(const TileName&) const = default;
};
std::string TilePath(const TileName& name);

// Bundles of entries. AppendToBundle: InvalidArgument for an entry above 65,535 bytes.
absl::Status AppendToBundle(std::string& bundle, std::string_view entry);
// The entries of a bundle, borrowed from it; InvalidArgument unless they are exactly `width`.
absl::StatusOr<std::vector<std::string_view>> SplitBundle(std::string_view bundle, unsigned width);

// One tile with the nodes inside it, 16 KiB: any hash that a proof takes from the tile is there without more hashing.
class TileNodes {
 public:
  void Append(const Hash& hash);  // one node hash on average; only while width() < 256
  void Clear() { width_ = 0; }
  unsigned width() const { return width_; }
  // The hash over [position << height, ...) of the tile's own hashes; the caller keeps it within width().
  const Hash& At(unsigned height, std::uint64_t position) const { return nodes_[Offset(height) + position]; }
  std::string_view hashes() const { return {reinterpret_cast<const char*>(nodes_.data()), width_ * sizeof(Hash)}; }
  // InvalidArgument unless `bytes` are 1 to 256 hashes.
  static absl::StatusOr<TileNodes> FromBytes(std::string_view bytes);

 private:
  static constexpr std::size_t Offset(unsigned height) { return 2 * kTileWidth - (2 * kTileWidth >> height); }
  std::vector<Hash> nodes_ = std::vector<Hash>(2 * kTileWidth - 1);
  unsigned width_ = 0;
};

// The right edge of a tree: at each level the tile that is not full yet. Contains the frontier, tells which tiles an
// append completes, and answers for everything that no full tile holds. At most 8 tiles; copying it takes a few
// microseconds, so a writer hands copies to readers. Not thread-safe while it is appended to.
class TileBuilder {
 public:
  // Appends a leaf and gives the tiles that became full, lower level first: mostly none.
  std::vector<Tile> Append(const Hash& leaf);
  std::uint64_t size() const { return size_; }
  Hash Root() const { return frontier().Root(); }
  Frontier frontier() const;
  // The hash over leaves [index << level, (index + 1) << level) if it is here: not if a full tile of that level holds
  // it, or if it is not complete.
  std::optional<Hash> Subtree(unsigned level, std::uint64_t index) const;
  // The tiles that are not full, level 0 first: what an export of this tree ends with.
  std::vector<Tile> Partial() const;

 private:
  std::uint64_t size_ = 0;
  std::vector<TileNodes> levels_;  // where all tiles of a level are full, the next one, empty
};

// Full tiles of one tree, worked out and kept in memory, the least recently used one going first. Thread-safe.
class TileCache {
 public:
  explicit TileCache(std::size_t max_tiles);  // 16 KiB each
  ~TileCache();
  std::shared_ptr<const TileNodes> Find(unsigned level, std::uint64_t index);
  void Put(unsigned level, std::uint64_t index, std::shared_ptr<const TileNodes> nodes);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace virp::chain
