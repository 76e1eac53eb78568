#include "lib/chain/tiles.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <thread>

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

// Keeps what a store keeps: full tiles; and, when asked to, partial tiles of level 0 out of the leaves.
class MapSource : public TileSource {
 public:
  absl::StatusOr<std::string> ReadTile(unsigned level, std::uint64_t index, unsigned width) override {
    ++reads;
    if (const auto at = full.find({level, index}); at != full.end()) return at->second.substr(0, width * sizeof(Hash));
    if (level != 0 || (index * kTileWidth + width) > leaves.size()) return NotFound("no tile {}/{}", level, index);
    std::string out;
    for (unsigned i = 0; i < width; ++i) out += View(leaves[index * kTileWidth + i]);
    return out;
  }
  std::map<std::pair<unsigned, std::uint64_t>, std::string> full;
  Leaves leaves;
  int reads = 0;
};

struct Tree {
  explicit Tree(const std::vector<Hash>& leaves) {
    for (const Hash& leaf : leaves) {
      for (Tile& tile : builder.Append(leaf)) {
        EXPECT_TRUE(source.full.emplace(std::pair(tile.level, tile.index), std::move(tile.hashes)).second);
      }
    }
  }
  TileBuilder builder;
  MapSource source;
};

TEST(TilePath, Spellings) {
  EXPECT_EQ(TilePath({false, 0, 0, 256}), "tile/0/000");
  EXPECT_EQ(TilePath({false, 3, 1'234'067, 256}), "tile/3/x001/x234/067");
  EXPECT_EQ(TilePath({false, 0, 1'234'067, 1}), "tile/0/x001/x234/067.p/1");
  EXPECT_EQ(TilePath({true, 0, 1'000, 256}), "tile/entries/x001/000");
  EXPECT_EQ(TilePath({true, 0, 999, 255}), "tile/entries/999.p/255");
  for (const bool entries : {false, true}) {
    for (const std::uint64_t index : {0ull, 1ull, 999ull, 1'000ull, 999'999ull, 1'000'000ull, (1ull << 55) - 1}) {
      for (const unsigned width : {1u, 17u, 255u, 256u}) {
        const TileName name{entries, 0, index, width};
        const auto again = ParseTilePath(TilePath(name));
        ASSERT_TRUE(again.ok()) << TilePath(name);
        EXPECT_EQ(*again, name);
      }
    }
  }
  EXPECT_EQ(ParseTilePath("tile/6/127").value(), (TileName{false, 6, 127, 256}));
}

TEST(TilePath, EverythingElseIsRefused) {
  for (const std::string path : {"",
                                 "tile",
                                 "tile/",
                                 "tile/0",
                                 "tile/0/",
                                 "/tile/0/000",
                                 "tile//000",
                                 "tile/0/0",
                                 "tile/0/00",
                                 "tile/0/0000",
                                 "tile/0/1000",
                                 "tile/00/000",
                                 "tile/8/000",
                                 "tile/7/128",
                                 "tile/x/000",
                                 "tile/-1/000",
                                 "tile/0/-01",
                                 "tile/0/+01",
                                 "tile/0/x000/000",
                                 "tile/0/x001",
                                 "tile/0/x001/",
                                 "tile/0/x001/x000",
                                 "tile/0/001/000",
                                 "tile/0/x001/1",
                                 "tile/0/000.p",
                                 "tile/0/000.p/",
                                 "tile/0/000.p/0",
                                 "tile/0/000.p/256",
                                 "tile/0/000.p/01",
                                 "tile/0/000.p/1/",
                                 "tile/0/000/",
                                 "tile/0/000 ",
                                 "tile/entries/0",
                                 "tile/entries",
                                 "tile/entries/000.p/0",
                                 "Tile/0/000",
                                 "tile/0/../000",
                                 "tile/0/x001//000",
                                 "tile/0/000.q/1",
                                 "tile/0/x018/x014/x398/x509/x481/x984",
                                 "tile/0/x036/x028/x797/x018/x963/968",
                                 "tile/0/x999/x999/x999/x999/x999/x999/x999/x999/x999/999"}) {
    EXPECT_EQ(ParseTilePath(path).status().code(), absl::StatusCode::kInvalidArgument) << path;
  }
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

TEST(TileBuilder, LoadsAtAnySize) {
  const std::vector<Hash> leaves = SomeLeaves(66'000);
  for (const std::size_t size : {0u, 1u, 255u, 256u, 257u, 511u, 512u, 5'000u, 65'535u, 65'536u, 65'537u, 66'000u}) {
    Tree tree(std::vector<Hash>(leaves.begin(), leaves.begin() + static_cast<std::ptrdiff_t>(size)));
    tree.source.leaves = Leaves(leaves).first(size);
    auto loaded = TileBuilder::Load(size, tree.source);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    EXPECT_EQ(loaded->size(), size);
    EXPECT_EQ(loaded->Root(), tree.builder.Root());
    EXPECT_EQ(loaded->Partial(), tree.builder.Partial());
    // And it goes on as the other does.
    for (std::size_t i = size; i < std::min(size + 300, leaves.size()); ++i) {
      ASSERT_EQ(loaded->Append(leaves[i]), tree.builder.Append(leaves[i]));
    }
    EXPECT_EQ(loaded->Root(), tree.builder.Root());
  }
}

TEST(TileBuilder, LoadPassesErrorsOn) {
  Tree tree(SomeLeaves(600));
  EXPECT_TRUE(absl::IsNotFound(TileBuilder::Load(600, tree.source).status())) << "no leaves there";
  class Bad : public TileSource {
    absl::StatusOr<std::string> ReadTile(unsigned, std::uint64_t, unsigned) override { return std::string(31, 'x'); }
  } bad;
  EXPECT_TRUE(absl::IsDataLoss(TileBuilder::Load(600, bad).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(TileBuilder::Load(kMaxTreeSize + 1, bad).status()));
}

TEST(TileReader, ProofsAtEverySizeOfAGrownTree) {
  const std::vector<Hash> leaves = SomeLeaves(66'000);
  Tree tree(leaves);  // keeps full tiles only, as a store does: all else comes from the builder
  TileCache cache(32);
  std::vector<Hash> roots(leaves.size() + 1);
  Frontier frontier;
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    frontier.Append(leaves[i]);
    roots[i + 1] = frontier.Root();
  }
  for (TileCache* with : {static_cast<TileCache*>(nullptr), &cache}) {
    const SubtreeReader read = TileReader(tree.builder, tree.source, with);
    for (std::uint64_t size = 1; size <= leaves.size(); size = size * 5 / 3 + 1) {
      for (const std::uint64_t n : {size, leaves.size() - size + 1}) {
        for (const std::uint64_t index : {std::uint64_t{0}, n / 3, n / 2, n - 1}) {
          const auto path = InclusionProof(index, n, read);
          ASSERT_TRUE(path.ok()) << path.status();
          EXPECT_TRUE(VerifyInclusion(leaves[index], index, n, *path, roots[n]).ok()) << index << " of " << n;
          const auto proof = ConsistencyProof(index + 1, n, read);
          ASSERT_TRUE(proof.ok()) << proof.status();
          EXPECT_TRUE(VerifyConsistency(index + 1, roots[index + 1], n, roots[n], *proof).ok())
              << index + 1 << " to " << n;
        }
      }
    }
  }
}

TEST(TileReader, WhatIsNotComplete) {
  const std::vector<Hash> leaves = SomeLeaves(300);
  Tree tree(leaves);
  const SubtreeReader read = TileReader(tree.builder, tree.source, nullptr);
  EXPECT_EQ(read(8, 0).value(), WholeSubtree(leaves, 8, 0));
  EXPECT_TRUE(absl::IsOutOfRange(read(8, 1).status()));
  EXPECT_TRUE(absl::IsOutOfRange(read(0, 300).status()));
  EXPECT_TRUE(absl::IsOutOfRange(read(63, 0).status()));
  EXPECT_TRUE(absl::IsOutOfRange(read(64, 0).status()));
  EXPECT_TRUE(absl::IsOutOfRange(read(200, 0).status()));
  tree.source.full.begin()->second.pop_back();
  EXPECT_TRUE(absl::IsDataLoss(read(0, 0).status()));
}

TEST(TileReader, ALyingSourceMakesProofsThatFail) {
  const std::vector<Hash> leaves = SomeLeaves(1'000);
  Tree tree(leaves);
  tree.source.full[{0, 1}][100] ^= 1;
  const auto path = InclusionProof(300, 1'000, TileReader(tree.builder, tree.source, nullptr));
  ASSERT_TRUE(path.ok());
  EXPECT_TRUE(absl::IsDataLoss(VerifyInclusion(leaves[300], 300, 1'000, *path, tree.builder.Root())));
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

TEST(TileCache, FromManyThreads) {
  const std::vector<Hash> leaves = SomeLeaves(256 * 20);
  Tree tree(leaves);
  class Counting : public TileSource {  // thread-safe: the map is only read
   public:
    explicit Counting(const Tree& tree) : tree_(tree) {}
    absl::StatusOr<std::string> ReadTile(unsigned level, std::uint64_t index, unsigned) override {
      return tree_.source.full.at({level, index});
    }

   private:
    const Tree& tree_;
  } source(tree);
  TileCache cache(4);
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const SubtreeReader read = TileReader(tree.builder, source, &cache);
      for (std::uint64_t i = 0; i < 400; ++i) {
        const std::uint64_t index = (i * 97 + t * 1'001) % leaves.size();
        const auto path = InclusionProof(index, leaves.size(), read);
        ASSERT_TRUE(path.ok());
        ASSERT_TRUE(VerifyInclusion(leaves[index], index, leaves.size(), *path, tree.builder.Root()).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace virp::chain
