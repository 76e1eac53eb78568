// Where a frame belongs: numbers, epochs, version 1.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/chain/source_book_fixture.h"

namespace virp::chain {
namespace {

using frame::Reason;
using frame::Spelling;
using frame::Suite;
using frame::Tier;
using frame::Type;
using ::testing::ElementsAre;
using ::testing::SizeIs;
using Where = Placement::Where;

// ---- numbers ----

TEST_F(SourceBookTest, NumbersGoOnFromOne) {
  EXPECT_EQ(Send(1).where(), Where::kNext);
  EXPECT_EQ(Send(2).where(), Where::kNext);
  EXPECT_EQ(Epoch().next, 3U);
  EXPECT_EQ(chain.channel(kEdge).held, 2U);
  EXPECT_EQ(chain.book.LastOfSource(frame::ShortIdOf(kEdge)), chain.book.size() - 1);
}

TEST_F(SourceBookTest, AJumpIsAcceptedWithOneGapEntryInFront) {
  Send(1);
  const auto jump = Send(5);
  EXPECT_EQ(jump.where(), Where::kAfterGap);
  ASSERT_THAT(jump.admission.placement.gaps, SizeIs(1));
  const Gap& gap = jump.admission.placement.gaps[0];
  EXPECT_EQ(gap.source, kEdge);
  EXPECT_EQ(gap.epoch, kEpoch);
  EXPECT_THAT(Missing(), ElementsAre(Pair(2, 4)));
  EXPECT_EQ(Epoch().missing[0].gap_entry, *jump.entry - 1);
  EXPECT_EQ(Epoch().missing[0].why, Gap::Why::kMissing);
}

TEST_F(SourceBookTest, AnEpochThatBeginsLateHasAGapFromOne) {
  EXPECT_EQ(Send(4).where(), Where::kAfterGap);
  EXPECT_THAT(Missing(), ElementsAre(Pair(1, 3)));
}

TEST_F(SourceBookTest, ALateFrameIsAcceptedOnceInsideAGap) {
  Send(1);
  Send(6);
  EXPECT_EQ(Send(4).where(), Where::kLate);
  EXPECT_THAT(Missing(), ElementsAre(Pair(2, 3), Pair(5, 5)));
  EXPECT_EQ(Send(4).where(), Where::kHeld);
  EXPECT_EQ(Send(2).where(), Where::kLate);
  EXPECT_EQ(Send(5).where(), Where::kLate);
  EXPECT_EQ(Send(3).where(), Where::kLate);
  EXPECT_THAT(Missing(), ElementsAre());
  EXPECT_EQ(Send(7).where(), Where::kNext);
}

TEST_F(SourceBookTest, AHeldNumberIsHeld) {
  Send(1);
  Send(2);
  EXPECT_EQ(Send(1).where(), Where::kHeld);
  EXPECT_EQ(Send(2).where(), Where::kHeld);
  EXPECT_EQ(chain.channel(kEdge).held, 2U);
}

TEST_F(SourceBookTest, TheLastNumberOfAllIsRefused) {
  EXPECT_EQ(Send(kNone).reason(), Reason::kMalformed) << "no number could follow";
  EXPECT_EQ(Send(kNone - 1).where(), Where::kAfterGap);
  EXPECT_EQ(Send(kNone).reason(), Reason::kMalformed);
  EXPECT_EQ(Send(7).where(), Where::kLate);
}

TEST_F(SourceBookTest, ALossRecordNamesTheReasonOfWhatIsMissing) {
  Send(1);
  Send(10);
  const Gap loss{kEdge, kEpoch, 3, 5, Gap::Why::kOverflow};
  const auto sent = chain.Send(kEdge, {.type = Type::kGap, .payload = BuildGap(loss), .tier = Tier::kYellow});
  EXPECT_EQ(sent.admission.flags, 0);
  EXPECT_THAT(Missing(), ElementsAre(Pair(2, 2), Pair(3, 5), Pair(6, 9)));
  EXPECT_EQ(Epoch().missing[0].why, Gap::Why::kMissing);
  EXPECT_EQ(Epoch().missing[1].why, Gap::Why::kOverflow);
  EXPECT_EQ(Epoch().missing[2].why, Gap::Why::kMissing);
  EXPECT_EQ(Send(4).where(), Where::kLate) << "what turns up after all is taken";
}

TEST_F(SourceBookTest, ALossRecordMakesNothingMissingAndHasNoWordOnOthers) {
  Send(1);
  chain.Send(kEdge, {.type = Type::kGap, .payload = BuildGap({kEdge, kEpoch, 1, 100, Gap::Why::kShutdown})});
  EXPECT_THAT(Missing(), ElementsAre());
  EXPECT_EQ(Epoch().next, 3U);
  const auto other =
      chain.Send(kStranger, {.type = Type::kGap, .payload = BuildGap({kEdge, kEpoch, 1, 1, Gap::Why::kOverflow})});
  EXPECT_EQ(other.admission.flags, kScopeViolation);
  const auto missing =
      chain.Send(kEdge, {.type = Type::kGap, .payload = BuildGap({kEdge, kEpoch, 1, 1, Gap::Why::kMissing})});
  EXPECT_EQ(missing.admission.flags, kScopeViolation) << "MISSING is for the O-Node to say";
}

// ---- epochs ----

TEST_F(SourceBookTest, ANewEpochBeginsAtOneAndEndsTheOld) {
  Send(1);
  EXPECT_EQ(Send(1, kEpoch + 5).where(), Where::kNext);
  EXPECT_EQ(chain.channel(kEdge).newest_epoch, kEpoch + 5);
  EXPECT_THAT(chain.channel(kEdge).epochs, SizeIs(1)) << "nothing is missing in the old one";
  EXPECT_EQ(Send(2).reason(), Reason::kEpochOld);
  EXPECT_EQ(Send(1).reason(), Reason::kEpochOld) << "held or not: duplicates are found by their bytes, before";
  EXPECT_EQ(Send(1, kEpoch - 1).reason(), Reason::kEpochOld) << "never seen, but older";
}

TEST_F(SourceBookTest, LateFramesOfAnOldEpochFillItsGaps) {
  Send(1);
  Send(3);
  Send(1, kEpoch + 5);
  EXPECT_EQ(Send(2).where(), Where::kLate);
  EXPECT_THAT(chain.channel(kEdge).epochs, SizeIs(1)) << "filled and forgotten";
  EXPECT_EQ(Send(2).reason(), Reason::kEpochOld);
}

TEST_F(SourceBookTest, WhatABeatStatedOfTheOldEpochIsAGapBeforeTheNew) {
  Send(1);
  EXPECT_EQ(Beat(kCollector, kEdge, kEpoch, 4).admission.flags, 0);
  EXPECT_EQ(Epoch().stated, 4U);
  const auto next = Send(3, kEpoch + 5);
  ASSERT_THAT(next.admission.placement.gaps, SizeIs(2));
  EXPECT_EQ(next.admission.placement.gaps[0].epoch, kEpoch);
  EXPECT_EQ(next.admission.placement.gaps[0].from, 2U);
  EXPECT_EQ(next.admission.placement.gaps[0].to, 4U);
  EXPECT_EQ(next.admission.placement.gaps[1].epoch, kEpoch + 5);
  EXPECT_EQ(Send(4).where(), Where::kLate);
  EXPECT_EQ(Send(5).reason(), Reason::kEpochOld) << "beyond what was stated";
}

TEST_F(SourceBookTest, ARunThatOnlyBeatsSpokeOfIsAGapToo) {
  Send(1);
  Beat(kCollector, kEdge, kEpoch + 1, 3);
  Beat(kCollector, kEdge, kEpoch + 2, 2);
  const auto next = Send(1, kEpoch + 2);
  ASSERT_THAT(next.admission.placement.gaps, SizeIs(1));
  EXPECT_EQ(next.admission.placement.gaps[0].epoch, kEpoch + 1);
  EXPECT_THAT(Missing(kEpoch + 1), ElementsAre(Pair(1, 3)));
  EXPECT_EQ(Epoch(kEpoch + 2).stated, 2U) << "a beat that was ahead of the first frame";
  EXPECT_EQ(Send(3, kEpoch + 1).where(), Where::kLate);
}

TEST_F(SourceBookTest, OnlyBeatsThatCountStateNumbers) {
  Send(1);
  EXPECT_EQ(Beat(kStranger, kEdge, kEpoch, 9).admission.flags, kScopeViolation);
  EXPECT_EQ(Epoch().stated, 0U);
  EXPECT_EQ(Beat(kEdge, kEdge, kEpoch, 7).admission.flags, 0) << "of itself";
  EXPECT_EQ(Epoch().stated, 7U);
  EXPECT_EQ(Beat(kCollector, "edge-z.bgpd", kEpoch, 9).admission.flags, 0) << "of a source of another chain";
  Beat(kCollector, kEdge, chain.now + 3600 * kSecond, 9);
  EXPECT_TRUE(chain.channel(kEdge).stated_ahead.empty()) << "of an epoch that could not be opened";
  Beat(kCollector, kEdge, kEpoch, kNone);
  EXPECT_LT(Epoch().stated, kNone - 1) << "there is a number after it";
}

TEST_F(SourceBookTest, BeatsOfRunsUnseenAreBounded) {
  Send(1);
  for (std::uint64_t i = 1; i <= 50; ++i) Beat(kCollector, kEdge, kEpoch + i, 1);
  EXPECT_LE(chain.channel(kEdge).stated_ahead.size(), 8U);
}

TEST_F(SourceBookTest, AnEpochFarAheadChangesNothing) {
  Send(1);
  const SourceBook before = chain.book;
  EXPECT_EQ(Send(1, chain.now + 61 * kSecond).reason(), Reason::kEpochAhead);
  EXPECT_TRUE(before == chain.book);
  EXPECT_EQ(Send(1, chain.now + 59 * kSecond).where(), Where::kNext);
}

TEST_F(SourceBookTest, AResetLetsLowerEpochsBeginButNoneTwice) {
  Send(1, kEpoch);
  Send(2, kEpoch);
  const std::uint64_t poisoned = chain.now + 50 * kSecond;
  Send(1, poisoned);
  EXPECT_EQ(Send(1, kEpoch + 1).reason(), Reason::kEpochOld);
  chain.Event(Event(SourceEvent::Event::kEpochReset, poisoned));
  EXPECT_EQ(Send(2, poisoned).where(), Where::kNext) << "until the source begins anew";
  EXPECT_EQ(Send(3, kEpoch).reason(), Reason::kEpochOld) << "a run that ended stays ended";
  EXPECT_EQ(Send(1, kEpoch - 1).reason(), Reason::kEpochOld) << "below the last good one";
  EXPECT_EQ(Send(1, kEpoch + 1).where(), Where::kNext);
  EXPECT_EQ(Send(3, poisoned).reason(), Reason::kEpochOld) << "it was there once";
  EXPECT_EQ(Send(1, kEpoch + 2).where(), Where::kNext);
  EXPECT_THAT(*chain.channel(kEdge).opened, ::testing::ElementsAre(kEpoch, poisoned, kEpoch + 1, kEpoch + 2));
}

TEST_F(SourceBookTest, AResetOfNothingIsRefused) {
  EXPECT_EQ(chain.book.CheckSourceEvent(Event(SourceEvent::Event::kEpochReset, 1)).code(),
            absl::StatusCode::kFailedPrecondition);
  Send(1);
  EXPECT_EQ(chain.book.CheckSourceEvent(Event(SourceEvent::Event::kEpochReset, kEpoch + 1)).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(chain.book.CheckSourceEvent(Event(SourceEvent::Event::kEpochReset, kEpoch)).ok());
}

// ---- version 1 ----

class Version1Test : public SourceBookTest {
 protected:
  Version1Test() {
    Registration r = chain.Template("old.bgpd");
    r.min_frame_version = 1;
    chain.Register(r);
  }
  TestChain::Result Send(std::uint64_t number, std::uint64_t run, std::uint64_t time) {
    return chain.Send("old.bgpd", {.number = number, .epoch = run, .time = time, .spelling = Spelling::kV1Le});
  }
  const std::uint64_t t = kStart;
};

TEST_F(Version1Test, ARunIsNamedByItsFirstTimeAndGoesOnWhileNumbersRise) {
  EXPECT_EQ(Send(1, t, t).where(), Where::kNext);
  EXPECT_EQ(Send(2, t, t + 5).where(), Where::kNext);
  EXPECT_EQ(Send(5, t, t + 6).where(), Where::kAfterGap);
  EXPECT_EQ(Send(6, t, t + 6 - 59).where(), Where::kNext) << "time may fall by the skew";
}

TEST_F(Version1Test, WhatIsNoRunIsReplayed) {
  chain.now = kStart + 600 * kSecond;
  EXPECT_EQ(Send(1, t, t + 1).reason(), Reason::kReplayed) << "a run is named by its first frame's time";
  Send(1, t, t);
  Send(2, t, t + 100 * kSecond);
  Send(9, t, t + 100 * kSecond);
  EXPECT_EQ(Send(10, t, t + 39 * kSecond).reason(), Reason::kReplayed) << "time fell by more than the skew";
  EXPECT_EQ(Send(5, t, t + 100 * kSecond).reason(), Reason::kReplayed) << "version 1 has no late frames";
  EXPECT_EQ(Send(2, t, t + 101 * kSecond).where(), Where::kHeld);
  EXPECT_EQ(Send(1, t + 100 * kSecond, t + 100 * kSecond).reason(), Reason::kReplayed) << "not later than every frame";
  EXPECT_EQ(Send(1, t - 5, t - 5).reason(), Reason::kReplayed);
  EXPECT_EQ(Send(1, t + 101 * kSecond, t + 101 * kSecond).where(), Where::kNext) << "a new run";
  EXPECT_EQ(Send(10, t, t + 102 * kSecond).reason(), Reason::kReplayed) << "the old run is over";
}

TEST_F(Version1Test, AnOldFrameWithAHighNumberDoesNotFitIntoTheNextRun) {
  Send(1, t, t);
  const auto old =
      chain.Sign("old.bgpd", {.number = 7, .epoch = t, .time = t + 20 * kSecond, .spelling = Spelling::kV1Le});
  chain.Offer("old.bgpd", old.bytes, Spelling::kV1Le, t, 1);
  EXPECT_EQ(Send(1, t + 30 * kSecond, t + 30 * kSecond).where(), Where::kNext);
  EXPECT_EQ(chain.Offer("old.bgpd", old.bytes, Spelling::kV1Le, t + 30 * kSecond, 1).reason(), Reason::kReplayed)
      << "its number rises and its time fell by less than the skew";
  EXPECT_EQ(Send(2, t + 30 * kSecond, t + 21 * kSecond).where(), Where::kNext);
}

TEST_F(Version1Test, ARunMayBeginInTheMiddleAndAfterTheWrapAtZero) {
  EXPECT_EQ(Send(7, t, t).where(), Where::kAfterGap);
  EXPECT_EQ(Send(0xffff'ffff, t, t + 1).where(), Where::kAfterGap);
  EXPECT_EQ(Send(0, t, t + 2).where(), Where::kHeld) << "0 is below the next number";
  EXPECT_EQ(Send(0, t + 2, t + 2).where(), Where::kNext);
  EXPECT_EQ(Send(1, t + 2, t + 3).where(), Where::kNext);
}

TEST_F(Version1Test, AGapThatOpensTheRunLeavesItsFirstFrameTheProof) {
  const auto source = chain.book.FindByName("old.bgpd");
  chain.Own(Type::kGap, BuildGap({"old.bgpd", t, 1, 4, Gap::Why::kMissing}));
  EXPECT_EQ(Send(5, t, t + 1).reason(), Reason::kReplayed);
  EXPECT_EQ(Send(5, t, t).where(), Where::kNext);
}

TEST_F(Version1Test, AResetLetsATrueTimeBeginARun) {
  Send(1, t, t);
  Send(2, t, t + 400 * 86400 * kSecond);
  EXPECT_EQ(chain.channel("old.bgpd").alarms.size(), 0U);
  chain.Advance(kSecond);
  EXPECT_EQ(Send(1, chain.now, chain.now).reason(), Reason::kReplayed) << "one frame of next year bars every run";
  SourceEvent reset = Event(SourceEvent::Event::kEpochReset, t);
  reset.source = "old.bgpd";
  chain.Event(reset);
  EXPECT_EQ(Send(1, t + 5, t + 5).reason(), Reason::kReplayed) << "a recording from before the reset";
  chain.Advance(kSecond);
  EXPECT_EQ(Send(1, chain.now, chain.now).where(), Where::kNext);
}

TEST_F(Version1Test, Version1AfterVersion2IsADowngrade) {
  EXPECT_EQ(Send(1, t, t).reason(), Reason::kNone);
  EXPECT_EQ(chain.Send("old.bgpd", {.number = 1, .epoch = t + 9}).reason(), Reason::kNone);
  EXPECT_EQ(Send(1, t + 10, t + 10).reason(), Reason::kDowngrade);
  EXPECT_EQ(chain.Send(kEdge, {.number = 1, .epoch = t, .time = t, .spelling = Spelling::kV1Be}).reason(),
            Reason::kDowngrade)
      << "below the registered minimum";
}

TEST_F(Version1Test, Version1MaySendItsTypesOnly) {
  const auto sent = chain.Send(
      "old.bgpd",
      {.type = Type::kHeartbeat, .payload = "{}", .number = 1, .epoch = t, .time = t, .spelling = Spelling::kV1Le});
  EXPECT_EQ(sent.admission.flags, kScopeViolation);
}

TEST_F(Version1Test, AcceptedVersionsAreTheNewestFirst) {
  KeyEvent roll = Roll(2);
  roll.source = "old.bgpd";
  roll.key = chain.MakeKey("old.bgpd", 2, Suite::kHmacSha256);
  roll.previous_sign_until = kStart + 100 * kSecond;
  chain.Event(roll);
  const auto source = chain.book.FindByName("old.bgpd");
  frame::Header header;
  header.spelling = Spelling::kV1Le;
  header.timestamp = kStart;
  EXPECT_THAT(SourceBook::AcceptedVersions(*source, header, chain.now), ElementsAre(2, 1));
  header.timestamp = kStart + 101 * kSecond;
  EXPECT_THAT(SourceBook::AcceptedVersions(*source, header, chain.now), ElementsAre(2));
  header.suite = Suite::kEd25519;
  EXPECT_THAT(SourceBook::AcceptedVersions(*source, header, chain.now), ElementsAre());
}

}  // namespace
}  // namespace virp::chain
