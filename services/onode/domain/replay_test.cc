#include "services/onode/domain/replay.h"

#include <gtest/gtest.h>

#include "lib/base/status.h"
#include "services/onode/domain/claim_test_util.h"

namespace virp::onode {
namespace {

class Replays : public ::testing::Test {
 protected:
  Replays() {
    scene.AddDaemon("d");
    scene.AddKey("d", 2);
    for (int i = 0; i < 10; ++i) scene.PeerUp("d", {.address = fmt::format("192.0.2.{}", i + 2)});
  }
  ReplayCache::EntrySource Source(std::size_t page = 3) {
    return [this, page](std::uint64_t first) -> absl::StatusOr<std::vector<std::string>> {
      if (budget == 0) return DeadlineExceeded("no time left");
      --budget;
      std::vector<std::string> out;
      for (std::uint64_t i = first; i < scene.entries.size() && out.size() < page; ++i) out.push_back(scene.entries[i]);
      reads += out.size();
      return out;
    };
  }
  Hash Head(std::uint64_t size) const { return size == 0 ? chain::GenesisOf(scene.origin()) : scene.leaves[size - 1]; }

  Scene scene;
  std::size_t reads = 0;
  std::size_t budget = 1'000;
  ReplayCache cache{"virp.example.net/test", {}};
};

TEST_F(Replays, GivesTheStateOfEverySize) {
  for (std::uint64_t size = 0; size <= scene.entries.size(); ++size) {
    const auto state = cache.At(size, Head(size), Source());
    ASSERT_TRUE(state.ok()) << state.status();
    EXPECT_EQ((*state)->size(), size);
    EXPECT_EQ((*state)->facts().size(), size);
    EXPECT_EQ((*state)->head(), Head(size));
  }
  // Each went on where the one before had ended, and what is kept is not read again.
  EXPECT_LE(reads, 3 * scene.entries.size());
  reads = 0;
  EXPECT_TRUE(cache.At(scene.entries.size(), Head(scene.entries.size()), Source()).ok());
  EXPECT_EQ(reads, 0U);
}

TEST_F(Replays, AReaderKeepsItsStateWhileOthersGoOn) {
  const auto old = cache.At(5, Head(5), Source());
  ASSERT_TRUE(old.ok());
  const auto newer = cache.At(8, Head(8), Source());
  ASSERT_TRUE(newer.ok());
  EXPECT_EQ((*old)->size(), 5U);
  EXPECT_EQ((*newer)->size(), 8U);
}

TEST_F(Replays, ACutShortReplayGoesOnFromWhereItWas) {
  budget = 2;
  EXPECT_EQ(cache.At(10, Head(10), Source()).status().code(), absl::StatusCode::kDeadlineExceeded);
  budget = 1'000;
  reads = 0;
  EXPECT_TRUE(cache.At(10, Head(10), Source()).ok());
  EXPECT_LE(reads, 6U);
}

TEST_F(Replays, OtherEntriesThanTheChainsAreFoundOut) {
  EXPECT_EQ(cache.At(10, Head(9), Source()).status().code(), absl::StatusCode::kDataLoss);
  scene.entries[6][200] = static_cast<char>(scene.entries[6][200] ^ 1);
  const absl::Status status = cache.At(10, Head(10), Source()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  scene.entries.resize(8);
  EXPECT_FALSE(cache.At(10, Head(10), Source()).ok());
}

TEST_F(Replays, ACompromisedKeyIsSettledBeforeTheStateIsHandedOut) {
  scene.Compromise("d", 2, 1);
  const std::uint64_t size = scene.entries.size();
  const auto before = cache.At(size - 1, Head(size - 1), Source());
  const auto after = cache.At(size, Head(size), Source());
  ASSERT_TRUE(before.ok());
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_FALSE((*after)->facts().NeedsRefold());
  EXPECT_TRUE((*before)->facts().FindSubject("bgp/edge-a/default/peer/192.0.2.2").has_value());
  EXPECT_FALSE((*after)->facts().FindSubject("bgp/edge-a/default/peer/192.0.2.2").has_value());
  EXPECT_EQ((*after)->facts().subjects(), (*before)->facts().subjects());  // listed still, with nothing to show
}

TEST_F(Replays, KeepsNoMoreThanItMay) {
  ReplayCache small("virp.example.net/test", {.states = 2, .bytes = std::size_t{1} << 30});
  for (const std::uint64_t size : {9U, 7U, 5U}) ASSERT_TRUE(small.At(size, Head(size), Source()).ok());
  reads = 0;
  ASSERT_TRUE(small.At(5, Head(5), Source()).ok());
  ASSERT_TRUE(small.At(7, Head(7), Source()).ok());
  EXPECT_EQ(reads, 0U);
  ASSERT_TRUE(small.At(9, Head(9), Source()).ok());
  EXPECT_GT(reads, 0U);
}

}  // namespace
}  // namespace virp::onode
