#include "services/onode/domain/cache_audit.h"

#include <gtest/gtest.h>

#include <map>
#include <utility>

#include "lib/base/status.h"
#include "lib/crypto/sha256.h"

namespace virp::onode {
namespace {

constexpr std::uint64_t kEntries = 2 * 65'536 + 300;  // two full tiles of level 1 and a part of the third

// Tiles as a store holds them, over leaves that are made from their numbers.
class TileAuditTest : public ::testing::Test {
 protected:
  using Key = std::pair<unsigned, std::uint64_t>;

  static Hash LeafOf(std::uint64_t sequence) { return crypto::Sha256(std::to_string(sequence)); }
  static const std::map<Key, std::string>& Honest() {
    static const std::map<Key, std::string> tiles = [] {
      std::map<Key, std::string> out;
      chain::TileBuilder tree;
      for (std::uint64_t i = 0; i < kEntries; ++i) {
        for (chain::Tile& tile : tree.Append(LeafOf(i))) out[{tile.level, tile.index}] = std::move(tile.hashes);
      }
      return out;
    }();
    return tiles;
  }

  std::optional<chain::Break> Audit() const {
    TileAudit audit([this](unsigned level, std::uint64_t index) -> absl::StatusOr<std::string> {
      const auto at = tiles_.find({level, index});
      if (at == tiles_.end()) return NotFound("no such tile");
      return at->second;
    });
    chain::Frontier frontier;
    for (std::uint64_t i = 0; i < kEntries; ++i) {
      frontier.Append(LeafOf(i));
      const auto found = audit.Add(LeafOf(i), frontier);
      EXPECT_TRUE(found.ok()) << found.status();
      if (found.value()) return *found;
    }
    return std::nullopt;
  }
  void ExpectBreakAt(std::uint64_t sequence) const {
    const auto found = Audit();
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(found->sequence, sequence) << found->detail;
    EXPECT_EQ(found->kind, chain::BreakKind::kIndex);
  }

  std::map<Key, std::string> tiles_ = Honest();
};

TEST_F(TileAuditTest, HonestTilesOfAllLevelsPass) {
  EXPECT_FALSE(Audit().has_value());
}

TEST_F(TileAuditTest, AWrongLeafIsNamedByItsEntry) {
  tiles_[{0, 300}][5 * sizeof(Hash) + 31] ^= 1;
  ExpectBreakAt(300 * 256 + 5);
}

TEST_F(TileAuditTest, AWrongHashAboveIsNamedByTheFirstEntryBelowItsTile) {
  tiles_[{1, 1}][255 * sizeof(Hash)] ^= 1;
  ExpectBreakAt(65'536);
}

TEST_F(TileAuditTest, AMissingOrShortenedTileIsNamed) {
  tiles_.erase({1, 0});
  ExpectBreakAt(0);
  tiles_ = Honest();
  tiles_[{0, 2}].resize(8'160);
  ExpectBreakAt(2 * 256 + 255);
  tiles_ = Honest();
  tiles_[{1, 0}].clear();
  ExpectBreakAt(0);
}

}  // namespace
}  // namespace virp::onode
