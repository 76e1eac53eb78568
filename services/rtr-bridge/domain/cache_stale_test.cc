// What becomes of the served set when sources have nothing that counts, and of payloads whose time is over.
#include <gmock/gmock.h>

#include <optional>

#include "services/rtr-bridge/domain/cache_fixture.h"
#include "tests/testutil/status_matchers.h"

namespace virp::rtr_bridge {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;
using testing::ManyRoas;
using testing::ReadingOf;
using testing::Roa;
using testing::SetOf;

using CacheStaleTest = testing::CacheRun;

TEST_F(CacheStaleTest, TheLastSetStaysUntilItExpiresByItself) {
  Cache& cache = Make();
  cache.TakeGood(0, ReadingOf(SetOf({{"10.0.0.0/8", 8, 1, In(hours(30))}, {"11.0.0.0/8", 8, 1, In(hours(40))}})));
  const UnixNanos read = clock_.NowNanos();
  cache.TakeFailure(0, Unavailable("no route to it"));
  clock_.Advance(hours(25));
  cache.Tick();
  EXPECT_EQ(served(), 2U);
  CacheStatus status = cache.status();
  EXPECT_EQ(status.state, ServingState::kStale);
  EXPECT_EQ(status.stale_since, clock_.NowNanos());
  EXPECT_EQ(cache.TrueAt(), read);
  EXPECT_TRUE(status.serving.has_value());
  EXPECT_EQ(recorder_.Count("\"serving_stale\""), 1U);
  EXPECT_EQ(recorder_.observations.back().tier, frame::Tier::kYellow);

  clock_.Advance(hours(5));
  ASSERT_TRUE(cache.NextTick().has_value());
  EXPECT_LE(*cache.NextTick(), clock_.NowNanos());
  cache.Tick();
  EXPECT_EQ(served(), 1U);

  clock_.Advance(hours(10));
  cache.Tick();
  EXPECT_EQ(snapshot_, nullptr) << "error 2: an empty set would say that there is nothing to know";
  EXPECT_EQ(cache.snapshot(), nullptr);
  status = cache.status();
  EXPECT_EQ(status.state, ServingState::kStopped);
  EXPECT_FALSE(status.serving.has_value());
  EXPECT_THAT(status.merge_problem.message(), HasSubstr("0 of 1 sources"));
  EXPECT_EQ(recorder_.Count("\"serving_stopped\""), 1U);
}

TEST_F(CacheStaleTest, AnOperatorMayWantError2AtOnce) {
  options_.when_stale = WhenStale::kStop;
  Cache& cache = Make();
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(3))));
  cache.TakeFailure(0, Unavailable("no route to it"));
  clock_.Advance(hours(25));
  cache.Tick();
  EXPECT_EQ(snapshot_, nullptr);
  EXPECT_EQ(recorder_.Count("\"serving_stale\""), 0U);
  EXPECT_EQ(recorder_.Count("\"serving_stopped\""), 1U);

  const std::size_t generations = told_.size();
  cache.TakeUnchanged(0);
  EXPECT_EQ(served(), 3U);
  EXPECT_EQ(cache.status().state, ServingState::kCurrent);
  EXPECT_EQ(cache.status().stale_since, std::nullopt);
  ASSERT_EQ(told_.size(), generations + 1);
  EXPECT_EQ(told_.back().number, 1U) << "routers go on with the serial that they have";
  EXPECT_EQ(recorder_.Count("\"serving_current\""), 1U);
}

TEST_F(CacheStaleTest, AfterItSourcesAreServedAgain) {
  Cache& cache = Make();
  cache.TakeGood(0, ReadingOf(SetOf({{"10.0.0.0/8", 8, 1, In(hours(25))}, {"11.0.0.0/8", 8, 1, In(hours(25))}})));
  cache.TakeFailure(0, Unavailable("no route to it"));
  clock_.Advance(hours(26));
  cache.Tick();
  EXPECT_EQ(snapshot_, nullptr);
  cache.TakeGood(0, ReadingOf(SetOf({{"12.0.0.0/8", 8, 1, In(hours(25))}})));
  EXPECT_EQ(served(), 1U) << "what went because its time was over is no loss";
  EXPECT_EQ(recorder_.Count("\"serving_current\""), 1U);
}

TEST_F(CacheStaleTest, WithoutAQuorumPayloadsExpireAllTheSame) {
  Cache& cache = Make(2, {MergePolicy::kQuorum, 2});
  const vrp::Payloads set = SetOf({{"10.0.0.0/8", 8, 1, In(hours(26))}, {"11.0.0.0/8", 8, 1}});
  cache.TakeGood(0, ReadingOf(set));
  cache.TakeGood(1, ReadingOf(set));
  clock_.Advance(hours(23));
  cache.TakeUnchanged(0);
  clock_.Advance(hours(2));
  cache.Tick();
  EXPECT_EQ(served(), 2U);
  clock_.Advance(hours(1));
  cache.Tick();
  EXPECT_EQ(served(), 1U);
}

TEST_F(CacheStaleTest, WhatExpiresByItselfIsNoLossThatAGuardHolds) {
  Cache& cache = Make();
  std::vector<Roa> roas = ManyRoas(100);
  for (int i = 0; i < 50; ++i) roas[static_cast<std::size_t>(i)].expires = In(minutes(10));
  cache.TakeGood(0, ReadingOf(SetOf(roas)));
  clock_.Advance(minutes(10));
  cache.Tick();
  EXPECT_EQ(served(), 50U);
  EXPECT_FALSE(cache.status().held.has_value());
}

TEST_F(CacheStaleTest, ItGoesAlsoWhileAGuardHoldsSomethingElse) {
  Cache& cache = Make();
  std::vector<Roa> roas = ManyRoas(100);
  roas[1].expires = roas[2].expires = In(minutes(10));
  cache.TakeGood(0, ReadingOf(SetOf(roas)));
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(1))));
  ASSERT_TRUE(cache.status().held.has_value());
  const HeldGeneration seen = *cache.status().held;
  clock_.Advance(minutes(10));
  ASSERT_TRUE(cache.NextTick().has_value());
  cache.Tick();
  EXPECT_EQ(served(), 98U);
  ASSERT_TRUE(cache.status().held.has_value());
  EXPECT_EQ(cache.status().held->number, seen.number + 1);
  EXPECT_EQ(cache.status().held->since, seen.since);
  ASSERT_OK(cache.Accept(seen.number, seen.sha256, {"a", "b", "c"})) << "it is the set that was looked at";
  EXPECT_EQ(served(), 1U);
}

TEST_F(CacheStaleTest, WhatIsHeldRenewsWhatIsServed) {
  Cache& cache = Make();
  std::vector<Roa> roas = ManyRoas(100);
  for (Roa& roa : roas) roa.expires = In(minutes(10));
  cache.TakeGood(0, ReadingOf(SetOf(roas)));
  for (Roa& roa : roas) roa.expires = In(hours(10));
  roas.resize(50);
  cache.TakeGood(0, ReadingOf(SetOf(roas)));
  ASSERT_TRUE(cache.status().held.has_value());
  clock_.Advance(minutes(10));
  cache.Tick();
  EXPECT_EQ(served(), 50U) << "what the source has still is not expired";
}

// Its last failure may come between the moment and the tick.
TEST_F(CacheStaleTest, ASourceThatFailsAsItExpiresExpires) {
  Cache& cache = Make(2);
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(20))));
  cache.TakeGood(1, ReadingOf(SetOf({{"2001:db8::/32", 48, 1}})));
  clock_.Advance(hours(23));
  cache.TakeUnchanged(0);
  clock_.Advance(hours(1) + seconds(1));
  cache.TakeFailure(1, Unavailable("no route to it"));
  cache.Tick();
  EXPECT_EQ(served(), 20U);
}

// Expiry of what a guard must keep is not to be argued with.
TEST_F(CacheStaleTest, TooFewRecordsByExpiryAreServed) {
  options_.guards.min_records = 100;
  Cache& cache = Make();
  std::vector<Roa> roas = ManyRoas(100);
  roas[0].expires = In(minutes(10));
  cache.TakeGood(0, ReadingOf(SetOf(roas)));
  clock_.Advance(minutes(10));
  cache.Tick();
  EXPECT_EQ(served(), 99U);
  EXPECT_FALSE(cache.status().held.has_value());
}

// Another bridge may serve on what its own sources do not give any more.
TEST_F(CacheStaleTest, AFeedThatIsUpIsAsOldAsItSays) {
  Cache& cache = Make();
  const UnixNanos start = clock_.NowNanos();
  Reading reading = ReadingOf(SetOf(ManyRoas(3)));
  reading.live = true;
  reading.built = start;
  clock_.Advance(hours(5));
  cache.TakeGood(0, reading);
  EXPECT_EQ(cache.TrueAt(), start);
  reading.built = clock_.NowNanos() + 1'000'000'000;
  cache.TakeGood(0, reading);
  EXPECT_EQ(cache.TrueAt(), clock_.NowNanos()) << "its clock is ahead";
  reading.built.reset();
  cache.TakeGood(0, reading);
  clock_.Advance(hours(1));
  EXPECT_EQ(cache.TrueAt(), clock_.NowNanos()) << "it does not say, and would tell what changes";
}

TEST_F(CacheStaleTest, WhatAFeedHadExpiresOnceItIsCutOff) {
  Cache& cache = Make(2);
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(20))));
  Reading reading = ReadingOf(SetOf({{"2001:db8::/32", 48, 1}}));
  reading.live = true;
  cache.TakeGood(1, std::move(reading));
  EXPECT_EQ(served(), 21U);
  clock_.Advance(hours(1));
  cache.TakeUnchanged(0);
  cache.TakeFailure(1, Unavailable("the stream ended"));
  clock_.Advance(hours(23));
  cache.TakeUnchanged(0);
  clock_.Advance(hours(1) + seconds(1));
  cache.Tick();
  EXPECT_EQ(served(), 20U);
}

}  // namespace
}  // namespace virp::rtr_bridge
