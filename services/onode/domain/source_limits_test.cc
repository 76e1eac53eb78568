#include "services/onode/domain/source_limits.h"

#include <gtest/gtest.h>

namespace virp::onode {
namespace {

using namespace std::chrono_literals;

class SourceLimitsTest : public ::testing::Test {
 protected:
  bool Offer(std::uint64_t number, std::uint64_t epoch = 7) { return limits_.Admit("a", epoch, number, 1, 100); }

  FakeClock clock_;
  SourceLimits limits_{
      std::make_shared<RateLimiter>(RateLimitTable{{.entries_per_second = 10, .burst = 3}, {}}, clock_), clock_};
};

TEST_F(SourceLimitsTest, BehindARefusedFrameNothingIsAcceptedUntilItCameAgain) {
  for (const std::uint64_t number : {1u, 2u, 3u}) EXPECT_TRUE(Offer(number));
  EXPECT_FALSE(Offer(4));
  EXPECT_EQ(limits_.Limited(), std::vector<std::string>{"a"});
  clock_.Advance(1s);
  EXPECT_FALSE(Offer(5)) << "would leave a gap where nothing was lost";
  EXPECT_FALSE(Offer(1, 8)) << "a later epoch is behind it, too";
  EXPECT_TRUE(Offer(4));
  EXPECT_TRUE(limits_.Limited().empty());
  EXPECT_TRUE(Offer(5));
}

TEST_F(SourceLimitsTest, LateFramesDoNotWaitForTheRefusedOne) {
  for (const std::uint64_t number : {5u, 6u, 7u}) EXPECT_TRUE(Offer(number));
  EXPECT_FALSE(Offer(8));
  clock_.Advance(200ms);
  EXPECT_TRUE(Offer(4));
  EXPECT_FALSE(limits_.Admit("a", 7, 9, 1, 1)) << "number 8 did not come again yet";
}

TEST_F(SourceLimitsTest, AFrameThatNeverComesAgainStopsNobodyForEver) {
  for (const std::uint64_t number : {1u, 2u, 3u}) EXPECT_TRUE(Offer(number));
  EXPECT_FALSE(Offer(4));
  clock_.Advance(SourceLimits::kPatience);
  EXPECT_TRUE(Offer(5));
}

TEST_F(SourceLimitsTest, OthersGoOn) {
  for (const std::uint64_t number : {1u, 2u, 3u}) EXPECT_TRUE(Offer(number));
  EXPECT_FALSE(Offer(4));
  EXPECT_TRUE(limits_.Admit("b", 7, 1, 1, 100));
}

TEST(SourceLimits, WithoutALimiterNothingIsLimited) {
  const FakeClock clock;
  SourceLimits limits(nullptr, clock);
  for (std::uint64_t i = 1; i < 10'000; ++i) EXPECT_TRUE(limits.Admit("a", 1, i, 1, 1'000'000));
}

}  // namespace
}  // namespace virp::onode
