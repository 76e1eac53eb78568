#include "services/collector/domain/edge_limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/base/error_info.h"

namespace virp::collector {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(EdgeLimits, WithoutATableNothingIsLimited) {
  FakeClock clock;
  EdgeLimits limits({}, clock);
  limits.Charge("a", 1'000'000, 1'000'000'000);
  EXPECT_EQ(limits.Until("a"), 0ns);
  EXPECT_TRUE(limits.Admit("a").ok());
}

TEST(EdgeLimits, WhatWasChargedIsWaitedFor) {
  FakeClock clock;
  EdgeLimits limits({{}, {{"a", {.entries_per_second = 10, .burst = 10}}}}, clock);
  limits.Charge("a", 30, 1);
  EXPECT_GT(limits.Until("a"), 2s);
  EXPECT_LT(limits.Until("a"), 2200ms);
  EXPECT_EQ(limits.UntilByOwn("a"), limits.Until("a"));
  EXPECT_EQ(limits.Until("b"), 0ns);
  clock.Advance(2200ms);
  EXPECT_EQ(limits.Until("a"), 0ns);
}

TEST(EdgeLimits, TheONodesWordHoldsForAWhileAndCanBeRenewed) {
  FakeClock clock;
  EdgeLimits limits({}, clock);
  limits.Told("a");
  EXPECT_EQ(limits.Until("a"), EdgeLimits::kToldHolds);
  EXPECT_EQ(limits.UntilByOwn("a"), 0ns);
  EXPECT_THAT(limits.ToldSources(), ElementsAre("a"));
  EXPECT_EQ(limits.Until("b"), 0ns);
  clock.Advance(10s);
  limits.Told("a");
  clock.Advance(10s);
  EXPECT_EQ(limits.Until("a"), 5s);
  clock.Advance(5s);
  EXPECT_EQ(limits.Until("a"), 0ns);
  EXPECT_THAT(limits.ToldSources(), IsEmpty());
}

TEST(EdgeLimits, PushBackSaysHowLong) {
  FakeClock clock;
  EdgeLimits limits({{.bytes_per_day = 10}, {}}, clock);
  limits.Charge("a", 1, 10);
  const absl::Status over = limits.AdmitByOwn("a");
  EXPECT_EQ(GetReason(over), "OVER_LIMIT");
  EXPECT_EQ(GetRetryAfter(over), 5min) << "the rest of the day is not slept through";
  EXPECT_FALSE(limits.Admit("a").ok());
  EXPECT_EQ(limits.pushed_back(), 2);
  clock.Advance(24h);
  EXPECT_TRUE(limits.Admit("a").ok()) << "another day";
  limits.Charge("a", 1, 10);
  limits.Replace({});
  EXPECT_TRUE(limits.Admit("a").ok());
}

}  // namespace
}  // namespace virp::collector
