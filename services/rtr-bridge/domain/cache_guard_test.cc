// What guards hold, over time: who accepts what, and what comes in steps. And how closely generations follow.
#include <gmock/gmock.h>

#include "lib/base/error_info.h"
#include "services/rtr-bridge/domain/cache_fixture.h"
#include "services/rtr-bridge/domain/pace.h"
#include "tests/testutil/status_matchers.h"

namespace virp::rtr_bridge {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::ManyRoas;
using testing::ReadingOf;
using testing::Roa;
using testing::SetOf;
using testutil::ReasonIs;

using CacheGuardTest = testing::CacheRun;

const Request kSomebody{"spiffe://x/operator/a", "seen", "id"};

TEST_F(CacheGuardTest, OnlyWhatWasLookedAtIsAccepted) {
  Cache& cache = Make();
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(100))));
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(88))));
  const HeldGeneration seen = *cache.status().held;
  std::vector<Roa> hijack = ManyRoas(88);
  hijack.push_back({"192.0.2.0/24", 24, 64666});
  cache.TakeGood(0, ReadingOf(SetOf(hijack)));
  EXPECT_THAT(cache.Accept(seen.number, seen.sha256, kSomebody), ReasonIs("NOT_HELD"));
  EXPECT_EQ(served(), 100U);
  const HeldGeneration now = *cache.status().held;
  ASSERT_OK(cache.Accept(now.number, now.sha256, kSomebody));
  EXPECT_EQ(served(), 89U);
}

// The source is good again, and the pace puts the next look off: the end of the hold falls into that time.
TEST_F(CacheGuardTest, WhatTheSourceHasTakenBackIsNotServedForItsTime) {
  options_.hold_max = hours(1);
  options_.pace = {seconds(10), 2};
  Cache& cache = Make();
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(100))));
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(50))));
  ASSERT_TRUE(cache.status().held.has_value());
  clock_.Advance(hours(1) - seconds(5));
  for (const int more : {49, 48, 47}) cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(more))));
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(100))));
  clock_.Advance(seconds(5));
  for (int turns = 0; turns < 20 && cache.NextTick() && *cache.NextTick() <= clock_.NowNanos() + 60'000'000'000;
       ++turns) {
    if (*cache.NextTick() > clock_.NowNanos())
      clock_.Advance(std::chrono::nanoseconds(*cache.NextTick() - clock_.NowNanos()));
    cache.Tick();
    ASSERT_EQ(served(), 100U);
  }
  EXPECT_FALSE(cache.status().held.has_value());
}

TEST_F(CacheGuardTest, SomethingWorseBeginsItsOwnTime) {
  options_.hold_max = hours(1);
  Cache& cache = Make();
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(100))));
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(88))));
  clock_.Advance(minutes(59));
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(5))));
  clock_.Advance(minutes(2));
  cache.Tick();
  EXPECT_EQ(served(), 100U);
  clock_.Advance(minutes(58));
  cache.Tick();
  EXPECT_EQ(served(), 5U);
}

TEST_F(CacheGuardTest, AnotherFaultBeginsItsOwnTimeToo) {
  options_.hold_max = hours(1);
  ASSERT_OK_AND_ASSIGN(options_.guards.must_stay_valid, ParseRoutesToKeep("keep", "10.0.0.0/24 64496\n"));
  Cache& cache = Make();
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(100))));
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(80))));
  clock_.Advance(minutes(59));
  std::vector<Roa> without = ManyRoas(80);
  without.erase(without.begin());
  cache.TakeGood(0, ReadingOf(SetOf(without)));
  clock_.Advance(minutes(2));
  cache.Tick();
  EXPECT_EQ(served(), 100U);
}

TEST_F(CacheGuardTest, WhatNoSourceStandsForIsNotHeldAnyMore) {
  options_.hold_max = hours(30);
  Cache& cache = Make();
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(100))));
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(10))));
  ASSERT_TRUE(cache.status().held.has_value());
  cache.TakeFailure(0, Unavailable("no route to it"));
  clock_.Advance(hours(31));  // the source expired, then the hold is over
  cache.Tick();
  EXPECT_EQ(served(), 100U);
  EXPECT_FALSE(cache.status().held.has_value());
}

TEST_F(CacheGuardTest, ASetDoesNotGoInSmallSteps) {
  Cache& cache = Make();
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(1'000))));
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(950))));
  clock_.Advance(minutes(20));
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(901))));
  EXPECT_EQ(served(), 901U);
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(890))));
  EXPECT_EQ(served(), 901U);
  ASSERT_TRUE(cache.status().held.has_value());
  EXPECT_THAT(cache.status().held->reasons, ElementsAre(HasSubstr("110 of 1000 IPv4 VRPs would go within 20m")));
  // What somebody accepts is what the next steps are held against.
  ASSERT_OK(cache.Accept(cache.status().held->number, cache.status().held->sha256, kSomebody));
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(810))));
  EXPECT_EQ(served(), 810U);
}

TEST_F(CacheGuardTest, AnHourLaterItIsAnotherDay) {
  Cache& cache = Make();
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(1'000))));
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(910))));
  clock_.Advance(hours(1));
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(830))));
  EXPECT_EQ(served(), 830U);
}

TEST_F(CacheGuardTest, AFewRecordsOfASmallTableMayGoOneByOne) {
  Cache& cache = Make();
  for (int left = 20; left >= 10; --left) cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(left))));
  EXPECT_EQ(served(), 10U);
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(9))));
  EXPECT_EQ(served(), 10U);
}

TEST_F(CacheGuardTest, ManyChangesBecomeFewGenerations) {
  options_.pace = {seconds(10), 3};
  Cache& cache = Make();
  for (int count = 1; count <= 20; ++count) cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(count))));
  EXPECT_EQ(told_.size(), 3U);
  EXPECT_EQ(served(), 3U);
  ASSERT_TRUE(cache.NextTick().has_value());
  EXPECT_LE(*cache.NextTick(), clock_.NowNanos() + 10'000'000'000);
  clock_.Advance(seconds(10));
  cache.Tick();
  EXPECT_EQ(told_.size(), 4U);
  EXPECT_EQ(served(), 20U);
  clock_.Advance(minutes(1));
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(21))));
  EXPECT_EQ(served(), 21U) << "after a quiet time the first change is served at once";
}

TEST_F(CacheGuardTest, WhatExpiresEachSecondGoesTogether) {
  options_.pace = {seconds(10), 3};
  Cache& cache = Make();
  std::vector<Roa> roas = ManyRoas(60);
  for (std::size_t i = 0; i < roas.size(); ++i) roas[i].expires = In(seconds(i + 1));
  cache.TakeGood(0, ReadingOf(SetOf(roas)));
  for (int second = 0; second < 60; ++second) {
    clock_.Advance(seconds(1));
    cache.Tick();
  }
  EXPECT_LE(told_.size(), 9U);
  EXPECT_LE(served(), 10U);
}

TEST_F(CacheGuardTest, APersonIsNotKeptWaiting) {
  options_.pace = {seconds(10), 2};
  Cache& cache = Make();
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(100))));
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(10))));
  const HeldGeneration seen = *cache.status().held;
  ASSERT_OK(cache.Accept(seen.number, seen.sha256, kSomebody));
  EXPECT_EQ(served(), 10U);
}

TEST(PaceTest, AClockThatIsSetBackKeepsNobodyWaitingLong) {
  constexpr UnixNanos kNow = 1'000'000'000'000;
  Pace pace({seconds(10), 2});
  for (int i = 0; i < 50; ++i) pace.Take(kNow + 500'000'000'000);
  EXPECT_EQ(pace.ReadyAt(kNow), kNow + 10'000'000'000);
  pace.Take(kNow);
  EXPECT_LE(pace.ReadyAt(kNow + 10'000'000'000), kNow + 10'000'000'000);
  EXPECT_LE(Pace({}).ReadyAt(kNow), kNow);
}

}  // namespace
}  // namespace virp::rtr_bridge
