#include "lib/base/rate_limiter.h"

#include <gtest/gtest.h>

namespace virp {
namespace {

using namespace std::chrono_literals;

TEST(RateLimiter, NothingIsLimitedWithoutALimit) {
  FakeClock clock;
  RateLimiter limiter({}, clock);
  for (int i = 0; i < 1'000; ++i) EXPECT_TRUE(limiter.Admit("a", 1'000'000, 1'000'000'000));
  EXPECT_EQ(limiter.Until("a"), 0ns);
}

TEST(RateLimiter, EachNameHasItsOwnBurstAndRate) {
  FakeClock clock;
  RateLimiter limiter({{.entries_per_second = 10, .burst = 20}, {{"big", {.entries_per_second = 1'000}}}}, clock);
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(limiter.Admit("a", 1, 1)) << i;
  EXPECT_FALSE(limiter.Admit("a", 1, 1));
  EXPECT_TRUE(limiter.Admit("b", 1, 1));
  for (int i = 0; i < 1'000; ++i) EXPECT_TRUE(limiter.Admit("big", 1, 1)) << i;
  EXPECT_FALSE(limiter.Admit("big", 1, 1));
  clock.Advance(limiter.Until("a"));
  EXPECT_TRUE(limiter.Admit("a", 1, 1));
  EXPECT_FALSE(limiter.Admit("a", 1, 1));
}

TEST(RateLimiter, ABatchAboveTheBurstPassesAndIsPaidForAfterwards) {
  FakeClock clock;
  RateLimiter limiter({{.entries_per_second = 10, .burst = 10}, {}}, clock);
  EXPECT_TRUE(limiter.Admit("a", 1'010, 1));
  EXPECT_FALSE(limiter.Admit("a", 1, 1));
  clock.Advance(100s);
  EXPECT_FALSE(limiter.Admit("a", 1, 1));
  clock.Advance(1s);
  EXPECT_TRUE(limiter.Admit("a", 1, 1));
}

TEST(RateLimiter, BytesOfADayComeBackAtMidnight) {
  FakeClock clock(1'750'000'000'000'000'000);  // 15:06:40 UTC
  RateLimiter limiter({{.bytes_per_day = 1'000}, {}}, clock);
  EXPECT_TRUE(limiter.Admit("a", 1, 999));
  EXPECT_TRUE(limiter.Admit("a", 1, 500));
  EXPECT_FALSE(limiter.Admit("a", 1, 1));
  EXPECT_EQ(limiter.Until("a"), 32'000s);
  clock.Advance(31'999s);
  EXPECT_FALSE(limiter.Admit("a", 1, 1));
  clock.Advance(1s);
  EXPECT_TRUE(limiter.Admit("a", 1, 1'000));
  EXPECT_FALSE(limiter.Admit("a", 1, 1));
}

TEST(RateLimiter, WhatIsChargedIsTakenWhetherThereIsRoomOrNot) {
  FakeClock clock(1'750'000'000'000'000'000);
  RateLimiter limiter({{.entries_per_second = 10, .burst = 10, .bytes_per_day = 100}, {}}, clock);
  limiter.Charge("a", 10, 1);
  EXPECT_FALSE(limiter.Admit("a", 1, 1));
  limiter.Charge("a", 90, 99);
  clock.Advance(9100ms);
  EXPECT_EQ(limiter.Until("a"), 32'000s - 9100ms) << "the day's bytes are spent as well";
  clock.Advance(32'000s);
  limiter.Charge("a", 1, 99);  // of the new day
  EXPECT_TRUE(limiter.Admit("a", 1, 1));
  EXPECT_FALSE(limiter.Admit("a", 1, 1));
}

TEST(RateLimiter, ANewTableCountsAtOnce) {
  FakeClock clock;
  RateLimiter limiter({{.entries_per_second = 1}, {}}, clock);
  EXPECT_TRUE(limiter.Admit("a", 1, 1));
  EXPECT_FALSE(limiter.Admit("a", 1, 1));
  limiter.Replace({{}, {}});
  EXPECT_TRUE(limiter.Admit("a", 1, 1));
}

}  // namespace
}  // namespace virp
