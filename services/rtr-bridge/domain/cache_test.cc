#include "services/rtr-bridge/domain/cache.h"

#include <gmock/gmock.h>

#include <optional>

#include "lib/base/error_info.h"
#include "services/rtr-bridge/domain/cache_fixture.h"
#include "tests/testutil/status_matchers.h"

namespace virp::rtr_bridge {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ManyRoas;
using testing::ReadingOf;
using testing::Roa;
using testing::SetOf;
using testutil::ReasonIs;

using CacheTest = testing::CacheRun;

TEST_F(CacheTest, ServesOnceEverySourceWasTried) {
  Cache& cache = Make(2);
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(3))));
  EXPECT_THAT(told_, IsEmpty());
  cache.TakeFailure(1, Unavailable("no route to it"));
  ASSERT_EQ(told_.size(), 1U);
  EXPECT_EQ(told_[0].number, 1U);
  EXPECT_EQ(told_[0].counts.vrps4, 3U);
  EXPECT_EQ(told_[0].announced, 3U);
  EXPECT_EQ(recorder_.Count("generation_served"), 1U);
  EXPECT_EQ(recorder_.Count("\"source_failed\""), 1U);
}

TEST_F(CacheTest, AnEmptySetIsServed) {
  Make().TakeGood(0, ReadingOf({}));
  ASSERT_EQ(told_.size(), 1U);
  EXPECT_EQ(served(), 0U);
}

TEST_F(CacheTest, DataThatAreTheSameMakeNoGeneration) {
  Cache& cache = Make();
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(3))));
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(3))));
  cache.TakeUnchanged(0);
  EXPECT_EQ(told_.size(), 1U);
}

// A feed has named its set already; what is made of several sets, or of what is left of one, has its own name.
TEST_F(CacheTest, EveryGenerationHasTheNameOfItsSet) {
  const auto feed = [](vrp::Payloads payloads) {
    Reading reading = ReadingOf(std::move(payloads));
    reading.live = reading.sha256_of_set = true;
    return reading;
  };
  const auto expect = [&](const std::vector<Roa>& roas) {
    ASSERT_FALSE(told_.empty());
    EXPECT_EQ(told_.back().sha256, vrp::HashOf(SetOf(roas)));
  };
  Cache& cache = Make(2);
  cache.TakeFailure(1, Unavailable("not yet"));
  const std::vector<Roa> one{{"10.0.0.0/8", 8, 1, In(minutes(5))}, {"10.0.0.0/8", 8, 2}}, other{{"11.0.0.0/8", 8, 1}};
  cache.TakeGood(0, feed(SetOf(one)));
  expect(one);
  cache.TakeGood(1, feed(SetOf(other)));
  expect({one[0], one[1], other[0]});
  cache.TakeGood(1, feed({}));
  expect(one);
  clock_.Advance(minutes(6));
  cache.Tick();
  expect({one[1]});
}

TEST_F(CacheTest, AFailedSourceKeepsItsDataUntilTheyExpireAndIsOnRecordOnce) {
  Cache& cache = Make(2);
  cache.TakeGood(0, ReadingOf(SetOf({{"10.0.0.0/8", 8, 1}})));
  cache.TakeGood(1, ReadingOf(SetOf({{"11.0.0.0/8", 8, 1}})));
  EXPECT_EQ(served(), 2U);
  clock_.Advance(hours(23));
  for (int i = 0; i < 3; ++i) cache.TakeFailure(1, Unavailable("HTTP status 500"));
  cache.TakeUnchanged(0);
  cache.Tick();
  EXPECT_EQ(served(), 2U);
  EXPECT_EQ(recorder_.Count("\"source_failed\""), 1U);
  clock_.Advance(hours(2));
  cache.Tick();
  EXPECT_EQ(served(), 1U);
  EXPECT_EQ(recorder_.Count("\"expired\":true"), 1U);
  cache.TakeGood(1, ReadingOf(SetOf({{"11.0.0.0/8", 8, 1}})));
  EXPECT_EQ(served(), 2U);
  EXPECT_EQ(recorder_.Count("source_recovered"), 1U);
}

TEST_F(CacheTest, AFeedThatIsUpDoesNotExpire) {
  Cache& cache = Make();
  Reading reading = ReadingOf(SetOf(ManyRoas(2)));
  reading.live = true;
  cache.TakeGood(0, std::move(reading));
  clock_.Advance(hours(100));
  cache.Tick();
  EXPECT_EQ(served(), 2U);
  EXPECT_FALSE(cache.status().sources[0].expired_at(clock_.NowNanos()));
  cache.TakeFailure(0, Unavailable("the stream ended"));
  clock_.Advance(hours(25));
  EXPECT_TRUE(cache.status().sources[0].expired_at(clock_.NowNanos()));
}

TEST_F(CacheTest, APayloadGoesInItsSecondWithoutAnyReading) {
  Cache& cache = Make();
  const auto end = static_cast<vrp::Expires>(clock_.NowNanos() / 1'000'000'000 + 600);
  cache.TakeGood(0, ReadingOf(SetOf({{"10.0.0.0/8", 8, 1, end}, {"11.0.0.0/8", 8, 1}})));
  EXPECT_EQ(served(), 2U);
  ASSERT_TRUE(cache.NextTick().has_value());
  EXPECT_EQ(*cache.NextTick(), UnixNanos{end} * 1'000'000'000);
  clock_.Advance(minutes(10));
  cache.Tick();
  EXPECT_EQ(served(), 1U);
}

TEST_F(CacheTest, WhatAGuardHoldsWaitsForAPersonOrForItsTime) {
  options_.hold_max = hours(1);
  Cache& cache = Make();
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(100))));
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(10))));
  EXPECT_EQ(served(), 100U);
  CacheStatus status = cache.status();
  ASSERT_TRUE(status.held.has_value());
  EXPECT_EQ(status.held->number, 2U);
  EXPECT_THAT(status.held->reasons, ::testing::ElementsAre(HasSubstr("90 of 100")));
  EXPECT_EQ(recorder_.Count("generation_held"), 1U);
  EXPECT_EQ(recorder_.observations.back().tier, frame::Tier::kYellow);

  const Hash seen = status.held->sha256;
  EXPECT_THAT(cache.Accept(3, seen, {"spiffe://x/operator/a", "why", "id"}), ReasonIs("NOT_HELD"));
  ASSERT_OK(cache.Accept(2, seen, {"spiffe://x/operator/a", "the upstream moved", "id"}));
  EXPECT_EQ(served(), 10U);
  EXPECT_EQ(recorder_.Count("the upstream moved"), 1U);
  EXPECT_FALSE(cache.status().held.has_value());

  cache.TakeGood(0, ReadingOf({}));
  EXPECT_EQ(served(), 10U);
  clock_.Advance(minutes(30));
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(1))));  // another one to hold: the time runs from the first
  clock_.Advance(minutes(30));
  cache.Tick();
  EXPECT_EQ(served(), 1U);
}

TEST_F(CacheTest, WhatIsHeldIsForgottenWhenTheSourceIsBackToWhatIsServed) {
  Cache& cache = Make();
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(100))));
  cache.TakeGood(0, ReadingOf({}));
  ASSERT_TRUE(cache.status().held.has_value());
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(100))));
  EXPECT_FALSE(cache.status().held.has_value());
  EXPECT_EQ(told_.size(), 1U);
}

TEST_F(CacheTest, QuorumServesWhatEnoughSourcesHaveAndNothingLess) {
  Cache& cache = Make(3, {MergePolicy::kQuorum, 2});
  cache.TakeGood(0, ReadingOf(SetOf({{"10.0.0.0/8", 8, 1}, {"11.0.0.0/8", 8, 1}})));
  cache.TakeGood(1, ReadingOf(SetOf({{"10.0.0.0/8", 8, 1}})));
  cache.TakeGood(2, ReadingOf(SetOf({{"12.0.0.0/8", 8, 1}})));
  EXPECT_EQ(served(), 1U);
  EXPECT_EQ(PrefixOf(snapshot_->payloads().vrps4[0]).ToString(), "10.0.0.0/8");
  // With one source left there is no quorum: what is served stays.
  clock_.Advance(hours(23));
  cache.TakeUnchanged(0);
  clock_.Advance(hours(2));
  cache.Tick();
  EXPECT_EQ(served(), 1U);
  EXPECT_FALSE(cache.status().merge_problem.ok());
  EXPECT_EQ(cache.status().state, ServingState::kStale);
}

TEST_F(CacheTest, FirstGoodTakesTheNextSourceWhenTheFirstHasExpired) {
  Cache& cache = Make(2, {MergePolicy::kFirstGood, 1});
  cache.TakeGood(0, ReadingOf(SetOf({{"10.0.0.0/8", 8, 1}})));
  cache.TakeGood(1, ReadingOf(SetOf({{"11.0.0.0/8", 8, 1}})));
  EXPECT_EQ(PrefixOf(snapshot_->payloads().vrps4[0]).ToString(), "10.0.0.0/8");
  clock_.Advance(hours(23));
  cache.TakeUnchanged(1);
  clock_.Advance(hours(2));
  cache.Tick();
  EXPECT_EQ(PrefixOf(snapshot_->payloads().vrps4[0]).ToString(), "11.0.0.0/8");
}

TEST_F(CacheTest, NothingIsServedUnfiltered) {
  Cache& cache = Make(1, {}, true);
  cache.TakeSlurm(InvalidArgument("no JSON"));
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(3))));
  EXPECT_THAT(told_, IsEmpty());
  auto slurm = std::make_shared<vrp::Slurm>();
  slurm->prefix_filters.push_back({*Prefix::Parse("10.0.0.0/24"), std::nullopt});
  cache.TakeSlurm(slurm);
  EXPECT_EQ(served(), 2U);
  cache.TakeSlurm(InvalidArgument("no JSON"));
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(4))));
  EXPECT_EQ(served(), 3U) << "the last good files stay applied";
  cache.TakeSlurm(InvalidArgument("no JSON"));
  EXPECT_EQ(recorder_.Count("\"slurm_failed\""), 2U) << "each time that it begins";
  cache.TakeSlurm(slurm);
  EXPECT_EQ(recorder_.Count("\"slurm_recovered\""), 2U);
}

TEST_F(CacheTest, WhatSourcesTogetherDoNotMakeIsTold) {
  const auto with_providers = [](std::uint32_t first) {
    vrp::Payloads set;
    vrp::Aspa& aspa = set.aspas.emplace_back();
    aspa.customer = 64496;
    for (std::uint32_t i = 0; i < 10'000; ++i) aspa.providers.push_back(first + i);
    return set;
  };
  Cache& cache = Make(2);
  cache.TakeGood(0, ReadingOf(with_providers(100'000)));
  cache.TakeGood(1, ReadingOf(with_providers(200'000)));
  EXPECT_EQ(served(), 0U);
  EXPECT_THAT(cache.status().left_out, ::testing::ElementsAre(HasSubstr("64496")));
}

TEST_F(CacheTest, ARestartGoesOnWithSessionsSerialsAndGeneration) {
  Make().TakeGood(0, ReadingOf(SetOf(ManyRoas(3))));
  cache_->TakeGood(0, ReadingOf(SetOf(ManyRoas(4))));
  const auto before = told_.back();
  const std::string frame = cache_->generations().back().frame;
  EXPECT_FALSE(frame.empty());

  Cache& again = Make();
  ASSERT_OK(again.Restore(state_.written));
  again.TakeGood(0, ReadingOf(SetOf(ManyRoas(4))));
  EXPECT_EQ(told_.back().number, before.number);
  EXPECT_EQ(told_.back().serials, before.serials);
  EXPECT_EQ(snapshot_->window(1), 1U);
  again.TakeGood(0, ReadingOf(SetOf(ManyRoas(5))));
  EXPECT_EQ(told_.back().number, before.number + 1);
  EXPECT_EQ(told_.back().serials[1].serial, before.serials[1].serial + 1);
}

TEST_F(CacheTest, ARestartOverOtherDataBeginsNewSessions) {
  Make().TakeGood(0, ReadingOf(SetOf(ManyRoas(3))));
  const auto before = told_.back();
  Cache& again = Make();
  ASSERT_OK(again.Restore(state_.written));
  again.TakeGood(0, ReadingOf(SetOf(ManyRoas(4))));
  EXPECT_EQ(told_.back().number, before.number + 1);
  for (std::size_t version = 0; version < rtr::kVersions; ++version)
    EXPECT_NE(told_.back().serials[version].session, before.serials[version].session);
}

// The set itself is not kept over a restart. An accident upstream must not come through because of one.
TEST_F(CacheTest, TheGuardsHoldAfterARestartToo) {
  Make().TakeGood(0, ReadingOf(SetOf(ManyRoas(100))));
  Cache& again = Make();
  ASSERT_OK(again.Restore(state_.written));
  again.TakeGood(0, ReadingOf(SetOf(ManyRoas(10))));
  EXPECT_EQ(told_.size(), 1U) << "routers keep what they have";
  const CacheStatus status = again.status();
  EXPECT_FALSE(status.serving.has_value());
  ASSERT_TRUE(status.held.has_value());
  EXPECT_THAT(status.held->reasons, ::testing::ElementsAre(HasSubstr("90 of 100")));
  EXPECT_EQ(recorder_.Count("generation_held"), 1U);
  ASSERT_OK(again.Accept(2, status.held->sha256, {"spiffe://x/operator/a", "half of it was ours", "id"}));
  EXPECT_EQ(served(), 10U);
}

TEST_F(CacheTest, WhatWasServedIsServedAgainWhateverTheGuardsSay) {
  Make().TakeGood(0, ReadingOf(SetOf(ManyRoas(100))));
  options_.guards.min_records = 200;
  Cache& again = Make();
  ASSERT_OK(again.Restore(state_.written));
  again.TakeGood(0, ReadingOf(SetOf(ManyRoas(99))));
  ASSERT_TRUE(again.status().held.has_value());
  again.TakeGood(0, ReadingOf(SetOf(ManyRoas(100))));
  EXPECT_EQ(served(), 100U);
  EXPECT_FALSE(again.status().held.has_value());
}

// What the operator switched off is no loss.
TEST_F(CacheTest, AKindThatIsNoLongerServedIsNotHeld) {
  vrp::Payloads both = SetOf(ManyRoas(10));
  for (std::uint32_t customer = 1; customer <= 10; ++customer) {
    vrp::Aspa& aspa = both.aspas.emplace_back();
    aspa.customer = customer;
    aspa.providers = {64496};
  }
  Make().TakeGood(0, ReadingOf(both));
  options_.drop_aspas = true;
  Cache& again = Make();
  ASSERT_OK(again.Restore(state_.written));
  again.TakeGood(0, ReadingOf(both));
  EXPECT_EQ(served(), 10U);
}

TEST_F(CacheTest, TheStateOfAnotherReplicaIsNotGoneOnWith) {
  options_.history.owner = "bridge-1";
  Make().TakeGood(0, ReadingOf(SetOf(ManyRoas(100))));
  options_.history.owner = "bridge-2";
  Cache& again = Make();
  EXPECT_FALSE(again.Restore(state_.written).ok());
  EXPECT_THAT(again.generations(), IsEmpty()) << "they are the other's";
  again.TakeGood(0, ReadingOf(SetOf(ManyRoas(10))));
  EXPECT_EQ(served(), 10U);
}

// The chain then says what is served since when, with the serials that are told, and that frame can be proven.
TEST_F(CacheTest, ARestartPutsWhatIsServedOnRecordAgain) {
  Make().TakeGood(0, ReadingOf(SetOf(ManyRoas(3))));
  Cache& again = Make();
  ASSERT_OK(again.Restore(state_.written));
  again.TakeGood(0, ReadingOf(SetOf(ManyRoas(3))));
  EXPECT_EQ(recorder_.Count("generation_served"), 2U);
  EXPECT_EQ(recorder_.Count("\"resumed\":true"), 1U);
  EXPECT_EQ(again.generations().back().frame, "frame 2");
}

TEST_F(CacheTest, ADamagedStateIsRefusedAndTheCacheBeginsAnew) {
  Make().TakeGood(0, ReadingOf(SetOf(ManyRoas(3))));
  for (std::size_t at = 0; at < state_.written.size(); at += 7) {
    std::string damaged = state_.written;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    EXPECT_FALSE(Make().Restore(damaged).ok()) << at;
  }
  Make().TakeGood(0, ReadingOf(SetOf(ManyRoas(3))));
  EXPECT_EQ(served(), 3U);
}

// A serial that a router was told must never come to mean something else after a restart.
TEST_F(CacheTest, WhileTheStateCannotBeWrittenTheSessionsAreOthers) {
  Cache& cache = Make();
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(3))));
  const auto written = told_.back().serials;
  state_.broken = true;
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(4))));
  const auto unwritten = told_.back().serials;
  for (std::size_t version = 0; version < rtr::kVersions; ++version)
    EXPECT_NE(unwritten[version].session, written[version].session);
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(5))));
  EXPECT_EQ(told_.back().serials[1].session, unwritten[1].session) << "once is enough";
}

// A writing between two generations may fail while the file knows the sessions: it says nothing of what it knows.
TEST_F(CacheTest, SessionsThatTheFileKnowsGetNoSerialThatItDoesNotKnow) {
  Cache& cache = Make();
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(3))));
  const auto written = told_.back().serials;
  state_.broken = true;
  cache.Tick();  // the record of it is to be kept
  ASSERT_FALSE(cache.status().state_problem.ok());
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(4))));
  const auto unwritten = told_.back().serials;
  EXPECT_NE(unwritten[1].session, written[1].session);

  // Nor where nobody knows whether the file has them.
  state_.doubtful = true;
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(5))));
  const auto doubtful = told_.back().serials;
  EXPECT_NE(doubtful[1].session, unwritten[1].session);
  state_.doubtful = false;
  clock_.Advance(std::chrono::seconds(10));
  cache.Tick();
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(6))));
  EXPECT_EQ(told_.back().serials[1].session, doubtful[1].session);
}

TEST_F(CacheTest, AStateThatCannotBeWrittenIsToldAndTriedAgain) {
  Cache& cache = Make();
  state_.broken = true;
  cache.TakeGood(0, ReadingOf(SetOf(ManyRoas(3))));
  EXPECT_THAT(cache.status().state_problem.message(), HasSubstr("the disk is gone"));
  const auto serials = told_.back().serials;
  state_.broken = false;
  clock_.Advance(std::chrono::seconds(10));
  cache.Tick();
  EXPECT_TRUE(cache.status().state_problem.ok());
  Cache& again = Make();
  ASSERT_OK(again.Restore(state_.written));
  again.TakeGood(0, ReadingOf(SetOf(ManyRoas(3))));
  EXPECT_EQ(told_.back().serials, serials) << "it has the sessions that routers were told";
}

// The frame is made behind the state, which must not wait for it.
TEST_F(CacheTest, TheRecordOfAGenerationOutlivesARestart) {
  Make().TakeGood(0, ReadingOf(SetOf(ManyRoas(3))));
  cache_->Tick();
  Cache& again = Make();
  ASSERT_OK(again.Restore(state_.written));
  ASSERT_EQ(again.generations().size(), 1U);
  EXPECT_EQ(again.generations()[0].frame, "frame 1");
}

TEST_F(CacheTest, ServesWhenThereIsNoRoomForTheRecord) {
  recorder_.full = true;
  Make().TakeGood(0, ReadingOf(SetOf(ManyRoas(3))));
  EXPECT_EQ(served(), 3U);
  EXPECT_TRUE(cache_->generations().back().frame.empty());
  cache_->Tick();
  recorder_.full = false;
  cache_->Tick();
  EXPECT_EQ(cache_->generations().back().frame, "frame 1");
  EXPECT_EQ(recorder_.Count("\"late\":true"), 1U);
  cache_->Tick();
  EXPECT_EQ(recorder_.observations.size(), 1U);
}

}  // namespace
}  // namespace virp::rtr_bridge
