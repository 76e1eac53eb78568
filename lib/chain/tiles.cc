#include "lib/chain/tiles.h"

#include <list>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "lib/base/mutex.h"
#include "lib/base/status.h"

namespace virp::chain {
namespace {

// "x001/x234/067": groups of three digits, all but the last marked, so that no directory grows beyond 1,000 names.
std::string IndexPath(std::uint64_t index) {
  std::string out = fmt::format("{:03}", index % 1000);
  for (index /= 1000; index != 0; index /= 1000) out = fmt::format("x{:03}/{}", index % 1000, out);
  return out;
}

}  // namespace

std::string TilePath(const TileName& name) {
  std::string out = name.entries ? "tile/entries/" : fmt::format("tile/{}/", name.level);
  out += IndexPath(name.index);
  if (name.width < kTileWidth) out += fmt::format(".p/{}", name.width);
  return out;
}

absl::Status AppendToBundle(std::string& bundle, std::string_view entry) {
  if (entry.size() > kMaxEntry) return InvalidArgument("an entry of {} bytes; at most {}", entry.size(), kMaxEntry);
  AppendBe(bundle, static_cast<std::uint16_t>(entry.size()));
  bundle += entry;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string_view>> SplitBundle(std::string_view bundle, unsigned width) {
  std::vector<std::string_view> entries;
  entries.reserve(std::min<std::size_t>(width, kTileWidth));
  while (!bundle.empty() && entries.size() < width) {
    if (bundle.size() < 2) break;
    const std::size_t size = LoadBe<std::uint16_t>(bundle.data());
    if (bundle.size() - 2 < size) break;
    entries.push_back(bundle.substr(2, size));
    bundle.remove_prefix(2 + size);
  }
  if (!bundle.empty() || entries.size() != width) {
    return InvalidArgument("a bundle of {} entries breaks off, or goes on, after {}", width, entries.size());
  }
  return entries;
}

void TileNodes::Append(const Hash& hash) {
  nodes_[width_] = hash;
  std::size_t position = width_++;
  for (unsigned height = 0; height < kTileHeight && (position & 1) != 0; ++height, position >>= 1) {
    nodes_[Offset(height + 1) + (position >> 1)] = NodeHash(At(height, position - 1), At(height, position));
  }
}

absl::StatusOr<TileNodes> TileNodes::FromBytes(std::string_view bytes) {
  if (bytes.empty() || bytes.size() > kFullTileSize || bytes.size() % sizeof(Hash) != 0) {
    return InvalidArgument("a tile holds 1 to 256 hashes of 32 bytes, got {} bytes", bytes.size());
  }
  TileNodes nodes;
  for (; !bytes.empty(); bytes.remove_prefix(sizeof(Hash))) {
    nodes.Append(*HashFromBytes(bytes.substr(0, sizeof(Hash))));
  }
  return nodes;
}

std::vector<Tile> TileBuilder::Append(const Hash& leaf) {
  std::vector<Tile> completed;
  Hash hash = leaf;
  for (unsigned level = 0;; ++level) {
    if (level == levels_.size()) levels_.emplace_back();
    TileNodes& nodes = levels_[level];
    nodes.Append(hash);
    if (nodes.width() < kTileWidth) break;
    completed.push_back({level, size_ >> (kTileHeight * level) >> kTileHeight, std::string(nodes.hashes())});
    hash = nodes.At(kTileHeight, 0);
    nodes.Clear();
  }
  ++size_;
  return completed;
}

Frontier TileBuilder::frontier() const {
  Frontier out;
  for (unsigned bit = 64; bit-- > 0;) {
    if (((size_ >> bit) & 1) == 0) continue;
    const unsigned height = bit % kTileHeight;
    const TileNodes& nodes = levels_[bit / kTileHeight];
    // The bits above fill the left of the tile; this one is the next complete subtree.
    (void)out.AppendSubtree(bit, nodes.At(height, (nodes.width() >> height) - 1));
  }
  return out;
}

std::optional<Hash> TileBuilder::Subtree(unsigned level, std::uint64_t index) const {
  const unsigned tile_level = level / kTileHeight;
  const unsigned height = level % kTileHeight;
  if (tile_level >= levels_.size()) return std::nullopt;
  const TileNodes& nodes = levels_[tile_level];
  const std::uint64_t tile = size_ >> (kTileHeight * tile_level) >> kTileHeight;
  const std::uint64_t position = index - (tile << (kTileHeight - height));
  if (index >> (kTileHeight - height) != tile || position >= nodes.width() >> height) return std::nullopt;
  return nodes.At(height, position);
}

std::vector<Tile> TileBuilder::Partial() const {
  std::vector<Tile> out;
  for (unsigned level = 0; level < levels_.size(); ++level) {
    if (levels_[level].width() == 0) continue;
    out.push_back({level, size_ >> (kTileHeight * level) >> kTileHeight, std::string(levels_[level].hashes())});
  }
  return out;
}

struct TileCache::Impl {
  using Key = std::pair<unsigned, std::uint64_t>;
  using Item = std::pair<Key, std::shared_ptr<const TileNodes>>;

  explicit Impl(std::size_t max) : max_tiles(max) {}
  const std::size_t max_tiles;
  Mutex mutex;
  std::list<Item> by_use ABSL_GUARDED_BY(mutex);  // last used first
  absl::flat_hash_map<Key, std::list<Item>::iterator> by_key ABSL_GUARDED_BY(mutex);
};

TileCache::TileCache(std::size_t max_tiles) : impl_(std::make_unique<Impl>(max_tiles)) {}
TileCache::~TileCache() = default;

std::shared_ptr<const TileNodes> TileCache::Find(unsigned level, std::uint64_t index) {
  const MutexLock lock(impl_->mutex);
  const auto at = impl_->by_key.find(Impl::Key(level, index));
  if (at == impl_->by_key.end()) return nullptr;
  impl_->by_use.splice(impl_->by_use.begin(), impl_->by_use, at->second);
  return at->second->second;
}

void TileCache::Put(unsigned level, std::uint64_t index, std::shared_ptr<const TileNodes> nodes) {
  const Impl::Key key(level, index);
  const MutexLock lock(impl_->mutex);
  if (impl_->max_tiles == 0 || impl_->by_key.contains(key)) return;
  if (impl_->by_use.size() == impl_->max_tiles) {
    impl_->by_key.erase(impl_->by_use.back().first);
    impl_->by_use.pop_back();
  }
  impl_->by_use.emplace_front(key, std::move(nodes));
  impl_->by_key[key] = impl_->by_use.begin();
}

}  // namespace virp::chain
