#include "services/onode/domain/tree_reader.h"

#include <gmock/gmock.h>

#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <utility>

#include "lib/base/status.h"
#include "tests/testutil/status_matchers.h"

namespace virp::onode {
namespace {

using testutil::StatusIs;

// A store's full tiles, beside the reader that is fed with the same leaves.
class TreeReaderTest : public ::testing::Test {
 protected:
  void Grow(std::uint64_t leaves, std::size_t cache_tiles) {
    reader_.emplace(
        [this](unsigned level, std::uint64_t index) -> absl::StatusOr<std::string> {
          ++reads_;
          const auto at = full_.find({level, index});
          if (at == full_.end()) return NotFound("no tile {}/{}", level, index);
          return at->second;
        },
        cache_tiles);
    roots_ = {chain::EmptyRoot()};
    chain::TileBuilder tiles;
    for (std::uint64_t i = 0; i < leaves; ++i) {
      leaves_.push_back(chain::LeafHash(std::to_string(i)));
      for (chain::Tile& tile : tiles.Append(leaves_.back())) full_[{tile.level, tile.index}] = std::move(tile.hashes);
      reader_->Append(leaves_.back());
      roots_.push_back(tiles.Root());
    }
  }
  absl::Status CheckInclusion(std::uint64_t index, std::uint64_t size) {
    ASSIGN_OR_RETURN(const std::vector<Hash> path, reader_->Inclusion(index, size));
    return chain::VerifyInclusion(leaves_[index], index, size, path, roots_[size]);
  }

  std::vector<Hash> leaves_, roots_;  // roots_[n]: of the first n leaves
  std::map<std::pair<unsigned, std::uint64_t>, std::string> full_;
  std::atomic<int> reads_{0};
  std::optional<TreeReader> reader_;
};

TEST_F(TreeReaderTest, ProofsAtEverySizeOfAGrownTree) {
  constexpr std::uint64_t kLeaves = 66'000;  // two full levels of tiles, and partial ones of three
  Grow(kLeaves, 4);
  EXPECT_EQ(reader_->Root(), roots_[kLeaves]);
  for (std::uint64_t size = 1; size <= kLeaves; size = size * 5 / 3 + 1) {
    for (const std::uint64_t n : {size, kLeaves - size + 1}) {
      for (const std::uint64_t index : {std::uint64_t{0}, n / 3, n / 2, n - 1}) {
        EXPECT_OK(CheckInclusion(index, n)) << index << " of " << n;
        ASSERT_OK_AND_ASSIGN(const auto proof, reader_->Consistency(index + 1, n));
        EXPECT_OK(chain::VerifyConsistency(index + 1, roots_[index + 1], n, roots_[n], proof))
            << index + 1 << " to " << n;
      }
      ASSERT_OK_AND_ASSIGN(const chain::Frontier frontier, reader_->FrontierAt(n));
      EXPECT_EQ(frontier.size(), n);
      EXPECT_EQ(frontier.Root(), roots_[n]);
    }
  }
}

TEST_F(TreeReaderTest, TilesThatAreKeptAreNotReadAgain) {
  Grow(256 * 4 + 10, 4);
  ASSERT_OK(CheckInclusion(300, 1'000));
  EXPECT_EQ(reads_, 0) << "they were kept when they became full";
}

TEST_F(TreeReaderTest, WhatTheStoreHasLostOrShortenedIsSaid) {
  Grow(600, 0);
  full_.erase({0, 0});
  full_[{0, 1}].resize(31 * sizeof(Hash));
  EXPECT_THAT(reader_->Subtree(0, 7), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(reader_->Subtree(0, 300), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(reader_->Subtree(0, 600), StatusIs(absl::StatusCode::kNotFound)) << "never appended";
  EXPECT_OK(reader_->Subtree(0, 599));
}

TEST_F(TreeReaderTest, AStoreThatLiesMakesProofsThatFail) {
  Grow(1'000, 0);
  full_[{0, 1}][100] ^= 1;
  EXPECT_THAT(CheckInclusion(300, 1'000), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_OK(CheckInclusion(800, 1'000)) << "on the right edge, which is here";
}

TEST_F(TreeReaderTest, FromManyThreads) {
  Grow(256 * 20, 4);
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (std::uint64_t i = 0; i < 400; ++i) {
        ASSERT_OK(CheckInclusion((i * 97 + t * 1'001) % leaves_.size(), leaves_.size()));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace virp::onode
