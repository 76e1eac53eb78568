#include "lib/chain/tiles.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/base/status.h"
#include "lib/crypto/sha256.h"

namespace virp::chain {
namespace {

using Leaves = std::span<const Hash>;

std::vector<Hash> SomeLeaves(std::size_t count) {
  std::vector<Hash> leaves;
  leaves.reserve(count);
  for (std::size_t i = 0; i < count; ++i) leaves.push_back(LeafHash(std::to_string(i)));
  return leaves;
}

Hash WholeSubtree(Leaves leaves, unsigned level, std::uint64_t index) {
  return RootOf(leaves.subspan(index << level, std::size_t{1} << level));
}

TEST(TilePath, Spellings) {
  EXPECT_EQ(TilePath({false, 0, 0, 256}), "tile/0/000");
  EXPECT_EQ(TilePath({false, 3, 1'234'067, 256}), "tile/3/x001/x234/067");
  EXPECT_EQ(TilePath({false, 0, 1'234'067, 1}), "tile/0/x001/x234/067.p/1");
  EXPECT_EQ(TilePath({true, 0, 1'000, 256}), "tile/entries/x001/000");
  EXPECT_EQ(TilePath({true, 0, 999, 255}), "tile/entries/999.p/255");
}

TEST(Bundle, RoundTrip) {
  std::string bundle;
  const std::vector<std::string> entries = {"one", "", std::string(kMaxEntry, 'x'), "four"};
  for (const std::string& entry : entries) ASSERT_TRUE(AppendToBundle(bundle, entry).ok());
  EXPECT_EQ(HexEncode(bundle.substr(0, 7)), "00036f6e650000");
  const auto split = SplitBundle(bundle, 4);
  ASSERT_TRUE(split.ok()) << split.status();
  EXPECT_THAT(*split, ::testing::ElementsAreArray(entries));
  EXPECT_FALSE(SplitBundle(bundle, 3).ok());
  EXPECT_FALSE(SplitBundle(bundle, 5).ok());
  EXPECT_FALSE(AppendToBundle(bundle, std::string(kMaxEntry + 1, 'x')).ok());
  bundle.resize(9);
  EXPECT_FALSE(SplitBundle(bundle, 3).ok());
  for (std::size_t size = 1; size < 7; ++size) EXPECT_FALSE(SplitBundle(bundle.substr(0, size), 2).ok()) << size;
  EXPECT_TRUE(SplitBundle(bundle.substr(0, 7), 2).ok());
  EXPECT_TRUE(SplitBundle("", 0).ok());
  EXPECT_FALSE(SplitBundle("", 1).ok());
}

TEST(TileNodes, InnerHashes) {
  const std::vector<Hash> leaves = SomeLeaves(256);
  TileNodes nodes;
  std::string bytes;
  for (unsigned width = 1; width <= 256; ++width) {
    nodes.Append(leaves[width - 1]);
    bytes += View(leaves[width - 1]);
    ASSERT_EQ(nodes.width(), width);
    for (unsigned height = 0; height <= kTileHeight; ++height) {
      for (std::uint64_t at = 0; at < width >> height; at += 1 + at / 3) {
        ASSERT_EQ(nodes.At(height, at), WholeSubtree(leaves, height, at)) << width << " " << height << " " << at;
      }
    }
  }
  EXPECT_EQ(nodes.hashes(), bytes);
  EXPECT_EQ(TileNodes::FromBytes(bytes)->At(kTileHeight, 0), RootOf(leaves));
  EXPECT_FALSE(TileNodes::FromBytes("").ok());
  EXPECT_FALSE(TileNodes::FromBytes(bytes.substr(1)).ok());
  EXPECT_FALSE(TileNodes::FromBytes(bytes + bytes.substr(0, 32)).ok());
}

TEST(TileBuilder, CompletesTheRightTiles) {
  const std::vector<Hash> leaves = SomeLeaves(256 * 256 + 300);
  TileBuilder builder;
  Frontier frontier;
  std::vector<std::pair<unsigned, std::uint64_t>> order;
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    for (const Tile& tile : builder.Append(leaves[i])) {
      EXPECT_EQ((i + 1) % (std::size_t{1} << (kTileHeight * (tile.level + 1))), 0u);
      ASSERT_EQ(tile.hashes.size(), kFullTileSize);
      order.emplace_back(tile.level, tile.index);
      const std::uint64_t at = i % kTileWidth;
      const Hash hash = HashFromBytes(std::string_view(tile.hashes).substr(at * 32, 32)).value();
      EXPECT_EQ(hash, WholeSubtree(leaves, kTileHeight * tile.level, (tile.index << kTileHeight) + at));
    }
    frontier.Append(leaves[i]);
    ASSERT_EQ(builder.size(), i + 1);
    if (i % 37 == 0 || i > 65'500) {
      ASSERT_EQ(builder.frontier(), frontier) << i;
      ASSERT_EQ(builder.Root(), frontier.Root());
    }
  }
  ASSERT_EQ(order.size(), 258u);
  for (std::uint64_t i = 0; i < 256; ++i) EXPECT_EQ(order[i], (std::pair<unsigned, std::uint64_t>(0, i)));
  EXPECT_EQ(order[256], (std::pair<unsigned, std::uint64_t>(1, 0)));
  EXPECT_EQ(order[257], (std::pair<unsigned, std::uint64_t>(0, 256)));
  const std::vector<Tile> partial = builder.Partial();
  ASSERT_EQ(partial.size(), 3u);
  EXPECT_EQ(partial[0].hashes.size(), 44u * 32);
  EXPECT_EQ(partial[0].index, 257u);
  EXPECT_EQ(partial[1], (Tile{1, 1, std::string(View(WholeSubtree(leaves, 8, 256)))}));
  EXPECT_EQ(partial[2], (Tile{2, 0, std::string(View(WholeSubtree(leaves, 16, 0)))}));
}

TEST(TileCache, KeepsTheLastUsed) {
  TileCache cache(2);
  const auto nodes = std::make_shared<const TileNodes>();
  cache.Put(0, 1, nodes);
  cache.Put(0, 2, nodes);
  EXPECT_NE(cache.Find(0, 1), nullptr);
  cache.Put(1, 1, nodes);
  EXPECT_EQ(cache.Find(0, 2), nullptr);
  EXPECT_NE(cache.Find(0, 1), nullptr);
  EXPECT_NE(cache.Find(1, 1), nullptr);
  cache.Put(1, 1, nodes);
  EXPECT_NE(cache.Find(0, 1), nullptr);
  TileCache none(0);
  none.Put(0, 0, nodes);
  EXPECT_EQ(none.Find(0, 0), nullptr);
}

}  // namespace
}  // namespace virp::chain
