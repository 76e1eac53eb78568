#include "lib/chain/tiles.h"

#include <charconv>
#include <list>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "lib/base/mutex.h"
#include "lib/base/status.h"

namespace virp::chain {
namespace {

constexpr std::string_view kTiles = "tile/";
constexpr std::string_view kEntries = "entries/";
constexpr std::string_view kPartial = ".p/";

// "x001/x234/067": groups of three digits, all but the last marked, so that no directory grows beyond 1,000 names.
std::string IndexPath(std::uint64_t index) {
  std::string out = fmt::format("{:03}", index % 1000);
  for (index /= 1000; index != 0; index /= 1000) out = fmt::format("x{:03}/{}", index % 1000, out);
  return out;
}

// Takes a decimal number off the front; nothing when there is none or it is above `max`. Spelling is checked later, by
// writing the name again.
std::optional<std::uint64_t> TakeNumber(std::string_view& text, std::uint64_t max) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || value > max) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

bool TakePrefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

std::optional<std::uint64_t> TakeIndex(std::string_view& text, std::uint64_t max) {
  std::uint64_t index = 0;
  for (bool more = true; more;) {
    more = TakePrefix(text, "x");
    const auto group = TakeNumber(text, 999);
    if (!group || index > max / 1000 || (more && !TakePrefix(text, "/"))) return std::nullopt;
    index = index * 1000 + *group;
  }
  return index <= max ? std::optional(index) : std::nullopt;
}

std::optional<TileName> ReadTileName(std::string_view text) {
  TileName name;
  if (!TakePrefix(text, kTiles)) return std::nullopt;
  name.entries = TakePrefix(text, kEntries);
  if (!name.entries) {
    const auto level = TakeNumber(text, kMaxTileLevel);
    if (!level || !TakePrefix(text, "/")) return std::nullopt;
    name.level = static_cast<unsigned>(*level);
  }
  const auto index = TakeIndex(text, (kMaxTreeSize - 1) >> (kTileHeight * name.level) >> kTileHeight);
  if (!index) return std::nullopt;
  name.index = *index;
  if (TakePrefix(text, kPartial)) {
    const auto width = TakeNumber(text, kTileWidth - 1);
    if (!width || *width == 0) return std::nullopt;
    name.width = static_cast<unsigned>(*width);
  }
  return text.empty() ? std::optional(name) : std::nullopt;
}

absl::StatusOr<std::string> ReadExactly(TileSource& source, unsigned level, std::uint64_t index, unsigned width) {
  ASSIGN_OR_RETURN(std::string bytes, source.ReadTile(level, index, width));
  if (bytes.size() != width * sizeof(Hash)) {
    return DataLoss("tile {} has {} bytes", TilePath({false, level, index, width}), bytes.size());
  }
  return bytes;
}

// The first `width` hashes of a tile as the roots of the full tiles below it.
absl::StatusOr<TileNodes> FromTilesBelow(TileSource& source, unsigned level, std::uint64_t index, unsigned width) {
  TileNodes nodes;
  for (unsigned i = 0; i < width; ++i) {
    ASSIGN_OR_RETURN(const std::string below, ReadExactly(source, level - 1, index * kTileWidth + i, kTileWidth));
    ASSIGN_OR_RETURN(const TileNodes full, TileNodes::FromBytes(below));
    nodes.Append(full.At(kTileHeight, 0));
  }
  return nodes;
}

}  // namespace

std::string TilePath(const TileName& name) {
  std::string out = name.entries ? fmt::format("{}{}", kTiles, kEntries) : fmt::format("{}{}/", kTiles, name.level);
  out += IndexPath(name.index);
  if (name.width < kTileWidth) out += fmt::format("{}{}", kPartial, name.width);
  return out;
}

absl::StatusOr<TileName> ParseTilePath(std::string_view path) {
  const std::optional<TileName> name = path.size() > 64 ? std::nullopt : ReadTileName(path);
  if (!name || TilePath(*name) != path) {
    return InvalidArgument("not the path of a tile or bundle, such as tile/0/x001/234 or tile/entries/000.p/5");
  }
  return *name;
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

absl::StatusOr<TileBuilder> TileBuilder::Load(std::uint64_t size, TileSource& source) {
  if (size > kMaxTreeSize) return InvalidArgument("a tree of {} entries; at most 2^63", size);
  TileBuilder edge;
  edge.size_ = size;
  std::uint64_t count = size;  // hashes at this level
  for (unsigned level = 0; count != 0; ++level, count >>= kTileHeight) {
    TileNodes& nodes = edge.levels_.emplace_back();
    const auto width = static_cast<unsigned>(count % kTileWidth);
    if (width == 0) continue;
    const absl::StatusOr<std::string> bytes = ReadExactly(source, level, count / kTileWidth, width);
    if (bytes.ok()) {
      ASSIGN_OR_RETURN(nodes, TileNodes::FromBytes(*bytes));
    } else if (level > 0 && absl::IsNotFound(bytes.status())) {
      ASSIGN_OR_RETURN(nodes, FromTilesBelow(source, level, count / kTileWidth, width));
    } else {
      return bytes.status();
    }
  }
  return edge;
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

SubtreeReader TileReader(const TileBuilder& edge, TileSource& source, TileCache* shared) {
  // A proof takes many hashes from few tiles, so without a shared cache each reader has a small one of its own.
  constexpr std::size_t kOwnTiles = 16;
  const auto own = shared == nullptr ? std::make_shared<TileCache>(kOwnTiles) : nullptr;
  return [&edge, &source, shared, own](unsigned level, std::uint64_t index) -> absl::StatusOr<Hash> {
    if (level > 63 || index >= edge.size() >> level) {
      return OutOfRange("subtree {} of level {} is not complete in a tree of {} entries", index, level, edge.size());
    }
    if (const std::optional<Hash> hash = edge.Subtree(level, index)) return *hash;
    TileCache& cache = shared != nullptr ? *shared : *own;
    const unsigned tile_level = level / kTileHeight;
    const unsigned height = level % kTileHeight;
    const std::uint64_t tile = index >> (kTileHeight - height);
    std::shared_ptr<const TileNodes> nodes = cache.Find(tile_level, tile);
    if (nodes == nullptr) {
      ASSIGN_OR_RETURN(const std::string bytes, ReadExactly(source, tile_level, tile, kTileWidth));
      ASSIGN_OR_RETURN(TileNodes loaded, TileNodes::FromBytes(bytes));
      nodes = std::make_shared<const TileNodes>(std::move(loaded));
      cache.Put(tile_level, tile, nodes);
    }
    return nodes->At(height, index - (tile << (kTileHeight - height)));
  };
}

}  // namespace virp::chain
