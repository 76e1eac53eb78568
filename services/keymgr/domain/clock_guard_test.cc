#include "services/keymgr/domain/clock_guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/testutil/status_matchers.h"

namespace virp::keymgr {
namespace {

using std::chrono::hours;
using testing::HasSubstr;
using testutil::StatusIs;

constexpr UnixNanos kHour = 3'600'000'000'000;

class ClockGuardTest : public testing::Test {
 protected:
  absl::Status Check() { return guard_.Check(clock_.NowNanos(), clock_.Steady()); }
  void Step(std::int64_t by) { clock_.SetWall(clock_.NowNanos() + static_cast<UnixNanos>(by * std::int64_t{kHour})); }
  void Chain(UnixNanos time) { guard_.NoteChain(time, clock_.Steady()); }
  auto Refused(const std::string& why) { return StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(why)); }

  FakeClock clock_;
  const UnixNanos start_ = clock_.NowNanos();
  ClockGuard guard_{ClockLimits{}};
};

TEST_F(ClockGuardTest, NothingIsKnownAtTheVeryFirstStart) {
  EXPECT_OK(Check());
}

TEST_F(ClockGuardTest, ABootWithADeadClockIsBehindItsOwnRecords) {
  guard_.NoteRecord(start_);
  clock_.SetWall(0);
  EXPECT_THAT(Check(), Refused("1970-01-01T00:00:00Z, but what is recorded already is of 2025-06-15"));
  clock_.SetWall(start_ - kHour);
  EXPECT_OK(Check()) << "an hour of difference is nobody's harm";
}

TEST_F(ClockGuardTest, ABootFarAheadWaitsForTheChainOrAPerson) {
  guard_.NoteRecord(start_);
  Step(24 * 500);
  EXPECT_THAT(Check(), Refused("nothing is recorded since 2025-06-15"));
  Chain(start_);
  EXPECT_FALSE(Check().ok()) << "the chain's newest entry is as old";
  Chain(clock_.NowNanos() - kHour / 2);
  EXPECT_OK(Check()) << "everything was down for that long";
}

TEST_F(ClockGuardTest, ADayOfSilenceIsNoReason) {
  guard_.NoteRecord(start_);
  Step(24);
  EXPECT_OK(Check());
}

TEST_F(ClockGuardTest, TheChainsTimeIsOverToo) {
  guard_.NoteRecord(start_ - 100 * kHour);
  Chain(start_ + 2 * kHour);
  EXPECT_THAT(Check(), Refused("what is recorded already"));
}

TEST_F(ClockGuardTest, AStepWhileItRunsIsNotFollowed) {
  guard_.NoteRecord(start_);
  EXPECT_OK(Check());
  for (const int by : {24 * 365 * 20, 2, -2}) {
    const UnixNanos before = clock_.NowNanos();
    Step(by);
    EXPECT_FALSE(Check().ok()) << by;
    clock_.Advance(hours(24 * 30));
    EXPECT_FALSE(Check().ok()) << by << ": time alone proves nothing";
    clock_.SetWall(before + 24 * 30 * kHour);
    EXPECT_OK(Check()) << by << ": it came right by itself";
  }
}

TEST_F(ClockGuardTest, ALongRunOfSmallStepsIsATimeServersWork) {
  guard_.NoteRecord(start_);
  for (int i = 0; i < 100; ++i) {
    EXPECT_OK(Check());
    clock_.SetWall(clock_.NowNanos() + kHour / 10);
    clock_.Advance(hours(10));
  }
}

TEST_F(ClockGuardTest, AMachineThatSleptIsBelievedOnceTheChainGoesOn) {
  EXPECT_OK(Check());
  Step(72);
  EXPECT_FALSE(Check().ok());
  Chain(clock_.NowNanos() - kHour / 60);
  EXPECT_OK(Check());
}

TEST_F(ClockGuardTest, WhatAPersonSaysCounts) {
  guard_.NoteRecord(start_);
  clock_.SetWall(start_ - 24 * 365 * kHour);
  EXPECT_FALSE(Check().ok());
  guard_.Accept(clock_.NowNanos(), clock_.Steady());
  EXPECT_OK(Check());
  Step(24 * 365);
  EXPECT_FALSE(Check().ok());
}

TEST_F(ClockGuardTest, IsNotAskedWhereTestsMakeTimePass) {
  ClockGuard off({.most_off = std::chrono::nanoseconds(0)});
  off.NoteRecord(start_);
  EXPECT_OK(off.Check(0, clock_.Steady()));
}

}  // namespace
}  // namespace virp::keymgr
