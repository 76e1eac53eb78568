#include "lib/chain/source_book.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/chain/test_chain.h"

namespace virp::chain {
namespace {

using frame::Reason;
using frame::Spelling;
using frame::Suite;
using frame::Tier;
using frame::Type;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using Where = Placement::Where;

constexpr std::uint64_t kStart = TestChain::kStart;
constexpr std::uint64_t kSecond = TestChain::kSecond;
constexpr std::uint64_t kEpoch = kStart + 1;  // TestChain's default
constexpr char kEdge[] = "edge-a.bgpd";
constexpr char kCollector[] = "collector-1";
constexpr char kStranger[] = "collector-2";

// A chain with a daemon, the collector that carries it, and another collector that has nothing to do with it.
class SourceBookTest : public ::testing::Test {
 protected:
  SourceBookTest() {
    chain.Register(chain.Template(kEdge));
    for (const char* name : {kCollector, kStranger}) {
      Registration r = chain.Template(name, Suite::kEd25519);
      r.vantage = Vantage::kService;
      r.types = {19, 22, 23, 24};
      r.routers.clear();
      if (name == kStranger) r.carried_by = {"spiffe://example.net/collector/collector-2"};
      chain.Register(r);
    }
  }
  TestChain::Result Send(std::uint64_t number, std::uint64_t epoch = 0) {
    return chain.Send(kEdge, {.number = number, .epoch = epoch});
  }
  TestChain::Result Beat(const char* signer, const char* about, std::uint64_t epoch, std::uint64_t last) {
    Heartbeat beat;
    beat.sources.push_back({frame::SourceIdOf(about), epoch, last, true, 0, 0, false});
    return chain.Send(signer, {.type = Type::kHeartbeat, .payload = BuildHeartbeat(beat)});
  }
  const EpochState& Epoch(std::uint64_t epoch = kEpoch) const { return chain.channel(kEdge).epochs.at(epoch); }
  std::vector<std::pair<std::uint64_t, std::uint64_t>> Missing(std::uint64_t epoch = kEpoch) const {
    std::vector<std::pair<std::uint64_t, std::uint64_t>> out;
    const auto& epochs = chain.channel(kEdge).epochs;
    if (!epochs.contains(epoch)) return out;
    for (const auto& range : epochs.at(epoch).missing) out.emplace_back(range.from, range.to);
    return out;
  }
  static SourceEvent Event(SourceEvent::Event event, std::uint64_t epoch = 0, std::uint64_t from = 0,
                           std::uint64_t to = 0) {
    return {.event = event, .source = kEdge, .registration = {}, .epoch = epoch, .from = from, .to = to};
  }
  KeyEvent Roll(std::uint32_t version, Suite suite = Suite::kHmacSha256) {
    return {.source = kEdge, .key = chain.MakeKey(kEdge, version, suite)};
  }
  using Pair = std::pair<std::uint64_t, std::uint64_t>;

  TestChain chain;
};

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
  const Channel& channel = chain.channel(kEdge);
  EXPECT_TRUE(channel.OpenedAfter(kEpoch + 1, poisoned));
  EXPECT_TRUE(channel.OpenedAfter(poisoned, kEpoch));
  EXPECT_FALSE(channel.OpenedAfter(kEpoch, kEpoch));
  EXPECT_FALSE(channel.OpenedAfter(12345, kEpoch)) << "never opened";
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
  const auto old = chain.Sign("old.bgpd", {.number = 7, .epoch = t, .time = t + 20 * kSecond, .spelling = Spelling::kV1Le});
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

// ---- standing and keys ----

TEST_F(SourceBookTest, OnlyBoundCarriersDeliver) {
  const auto source = chain.book.FindByName(kEdge);
  const auto header = chain.Sign(kEdge, {}).header;
  EXPECT_EQ(SourceBook::CheckSource(*source, header, TestChain::kCarrier, chain.now), Reason::kNone);
  EXPECT_EQ(SourceBook::CheckSource(*source, header, "spiffe://example.net/collector/collector-2", chain.now),
            Reason::kNotBound);
  EXPECT_EQ(SourceBook::CheckSource(*chain.book.FindByName(chain.origin()), header, "", chain.now), Reason::kNotBound);
}

TEST_F(SourceBookTest, ASuspendedSourceIsRefusedUntilItIsResumed) {
  chain.Event(Event(SourceEvent::Event::kSuspended));
  EXPECT_EQ(Send(1).reason(), Reason::kSourceSuspended);
  const auto header = chain.Sign(kEdge, {}).header;
  EXPECT_EQ(SourceBook::CheckSource(*chain.book.FindByName(kEdge), header, "", chain.now), Reason::kNotBound)
      << "comes first";
  chain.Event(Event(SourceEvent::Event::kResumed));
  EXPECT_EQ(Send(1).reason(), Reason::kNone);
}

TEST_F(SourceBookTest, KeyVersionsHaveTheirTimes) {
  KeyEvent roll = Roll(2);
  roll.key.accept_from = kStart + 200 * kSecond;
  roll.previous_sign_until = kStart + 230 * kSecond;
  roll.previous_accept_until = kStart + 500 * kSecond;
  chain.Event(roll);
  const auto send = [&](std::uint32_t version, std::uint64_t time) {
    return chain.Send(kEdge, {.time = time, .key_version = version}).reason();
  };
  chain.now = kStart + 250 * kSecond;
  chain.keys.Make(kEdge, 3, Suite::kHmacSha256);
  EXPECT_EQ(send(3, chain.now), Reason::kKeyVersionUnknown);
  EXPECT_EQ(send(2, kStart + 139 * kSecond), Reason::kKeyVersionUnknown) << "more than the skew before accept-from";
  EXPECT_EQ(send(2, kStart + 140 * kSecond), Reason::kNone);
  EXPECT_EQ(send(1, kStart + 230 * kSecond), Reason::kNone);
  EXPECT_EQ(send(1, kStart + 231 * kSecond), Reason::kLateKey) << "signed after sign-until";
  chain.now = kStart + 500 * kSecond;
  EXPECT_EQ(send(1, kStart + 230 * kSecond), Reason::kNone);
  chain.now += 1000;
  EXPECT_EQ(send(1, kStart + 230 * kSecond), Reason::kLateKey) << "received after accept-until";
  EXPECT_EQ(send(2, chain.now), Reason::kNone);
}

TEST_F(SourceBookTest, AWindowIsNarrowedAndNeverWidened) {
  KeyEvent second = Roll(2), third = Roll(3);
  second.key.accept_until = kStart + 100 * kSecond;
  third.previous_accept_until = kStart + 900 * kSecond;
  third.previous_sign_until = kStart + 50 * kSecond;
  chain.Event(second);
  chain.Event(third);
  const KeyState& key = chain.book.FindByName(kEdge)->keys.at(2);
  EXPECT_EQ(key.statement.accept_until, kStart + 100 * kSecond);
  EXPECT_EQ(key.sign_until, kStart + 50 * kSecond);
}

TEST_F(SourceBookTest, AnOperatorAdmitsLateFramesByNumber) {
  KeyEvent roll = Roll(2);
  roll.previous_sign_until = kStart;
  chain.Event(roll);
  EXPECT_EQ(Send(1).reason(), Reason::kLateKey);
  chain.Event(Event(SourceEvent::Event::kLateAdmitted, kEpoch, 1, 2));
  const auto admitted = Send(1);
  EXPECT_EQ(admitted.reason(), Reason::kNone);
  EXPECT_EQ(admitted.admission.flags, kAdmittedLate);
  EXPECT_EQ(Send(2).reason(), Reason::kNone);
  EXPECT_EQ(Send(3).reason(), Reason::kLateKey);
  EXPECT_EQ(Send(1, kEpoch + 1).reason(), Reason::kLateKey) << "of that epoch";
}

TEST_F(SourceBookTest, ACompromisedKeyIsRefusedByReceiveTimeAndTurnsTheChannelBlack) {
  Send(1);
  KeyEvent compromised{.event = KeyEvent::Event::kCompromised, .source = kEdge, .version = 1};
  compromised.compromised_since = chain.now + kSecond;
  chain.Event(compromised);
  EXPECT_EQ(chain.channel(kEdge).State(), ChannelState::kBlack);
  EXPECT_EQ(Send(2).reason(), Reason::kNone) << "received before";
  chain.Advance(kSecond);
  EXPECT_EQ(chain.Send(kEdge, {.time = kStart}).reason(), Reason::kKeyCompromised)
      << "whatever the frame says of its time";
  chain.Event(AlarmCleared{kEdge, std::string(kCauseKeyCompromised), "op", "", ""});
  EXPECT_EQ(chain.channel(kEdge).State(), ChannelState::kOk);
  EXPECT_EQ(Send(3).reason(), Reason::kKeyCompromised) << "clearing gives no key back";
  chain.Event(Roll(2));
  EXPECT_EQ(chain.Send(kEdge, {.key_version = 2}).reason(), Reason::kNone);
  compromised.compromised_since = chain.now + 100 * kSecond;
  chain.Event(compromised);
  EXPECT_EQ(chain.book.FindByName(kEdge)->keys.at(1).compromised_since, kStart + 2 * kSecond)
      << "the earlier time stays";
}

TEST_F(SourceBookTest, TheSuiteBelongsToTheVersionAndNeverGoesBack) {
  chain.Event(Roll(2, Suite::kEd25519));
  EXPECT_EQ(chain.Send(kEdge, {.key_version = 1}).reason(), Reason::kNone) << "the old version keeps its time";
  EXPECT_EQ(chain.Send(kEdge, {.key_version = 2}).reason(), Reason::kNone);
  chain.keys.Make(kEdge, 2, Suite::kHmacSha256);
  EXPECT_EQ(chain.Send(kEdge, {.key_version = 2}).reason(), Reason::kWrongSuite);
  EXPECT_EQ(chain.book.CheckKeyEvent(Roll(3)).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(chain.TryOwn(Type::kKeyEvent, BuildKeyEvent(Roll(3))).ok());
  EXPECT_TRUE(chain.book.CheckKeyEvent(Roll(3, Suite::kEd25519)).ok());
}

TEST_F(SourceBookTest, KeyEventsThatCannotBeAreRefused) {
  chain.Event(Roll(5));
  EXPECT_EQ(chain.book.CheckKeyEvent(Roll(5)).code(), absl::StatusCode::kFailedPrecondition) << "versions rise";
  EXPECT_EQ(chain.book.CheckKeyEvent(Roll(4)).code(), absl::StatusCode::kFailedPrecondition);
  KeyEvent other = Roll(6);
  other.source = "nobody";
  EXPECT_EQ(chain.book.CheckKeyEvent(other).code(), absl::StatusCode::kNotFound);
  const KeyEvent unknown{.event = KeyEvent::Event::kCompromised, .source = kEdge, .version = 9};
  EXPECT_EQ(chain.book.CheckKeyEvent(unknown).code(), absl::StatusCode::kNotFound);
}

TEST_F(SourceBookTest, OnlyTheONodesKeyEventsChangeKeys) {
  const auto record = chain.Send(kCollector, {.type = Type::kKeyEvent, .payload = BuildKeyEvent(Roll(2))});
  EXPECT_EQ(record.admission.flags, 0) << "a record";
  EXPECT_THAT(chain.book.FindByName(kEdge)->keys, SizeIs(1));
}

// ---- flags ----

TEST_F(SourceBookTest, AClockAheadOfReceiptIsSuspect) {
  EXPECT_EQ(chain.Send(kEdge, {.time = chain.now + 60 * kSecond}).admission.flags, 0);
  EXPECT_EQ(chain.Send(kEdge, {.time = chain.Receipt() + 60 * kSecond + 1}).admission.flags, kClockSuspect);
  EXPECT_EQ(chain.Send(kEdge, {.time = ~std::uint64_t{0}}).admission.flags, kClockSuspect);
  EXPECT_EQ(chain.channel(kEdge).clock_offset_ns, std::numeric_limits<std::int64_t>::max());
}

TEST_F(SourceBookTest, AClockThatFellBackIsSuspectADelayIsNot) {
  chain.Send(kEdge, {.time = kStart});
  chain.Advance(3600 * kSecond);
  EXPECT_EQ(chain.Send(kEdge, {.time = kStart + 1}).admission.flags, 0) << "delayed by an hour";
  chain.Send(kEdge, {.time = chain.now});
  EXPECT_EQ(chain.Send(kEdge, {.time = chain.now - 60 * kSecond}).admission.flags, 0);
  EXPECT_EQ(chain.Send(kEdge, {.time = chain.now - 60 * kSecond - 1}).admission.flags, kClockSuspect);
  EXPECT_EQ(chain.Send(kEdge, {.number = 1, .epoch = kEpoch + 9, .time = kStart}).admission.flags, 0) << "a new epoch";
}

TEST_F(SourceBookTest, ALateFrameIsMeasuredAgainstLowerNumbersOnly) {
  chain.Send(kEdge, {.number = 1, .time = kStart});
  chain.Advance(7200 * kSecond);
  chain.Send(kEdge, {.number = 9, .time = chain.now});
  EXPECT_EQ(chain.Send(kEdge, {.number = 5, .time = kStart + 1800 * kSecond}).admission.flags, 0);
  EXPECT_EQ(chain.Send(kEdge, {.number = 3, .time = kStart + 5}).admission.flags, 0) << "5 has a higher number";
  EXPECT_EQ(chain.Send(kEdge, {.number = 7, .time = kStart + 5}).admission.flags, kClockSuspect) << "5 has a lower one";
  EXPECT_EQ(chain.Send(kEdge, {.number = 2, .time = kStart + 3600 * kSecond}).admission.flags, 0);
  EXPECT_EQ(chain.Send(kEdge, {.number = 8, .time = kStart + 1800 * kSecond}).admission.flags, kClockSuspect)
      << "measured against 2, which came late itself";
  EXPECT_THAT(Missing(), ElementsAre(Pair(4, 4), Pair(6, 6)));
}

TEST_F(SourceBookTest, TypesOutsideTheRegistrationAreOutOfScope) {
  EXPECT_EQ(chain.Send(kEdge, {.type = Type::kCacheSerialChange, .payload = "{}"}).admission.flags, kScopeViolation);
  for (const Type only_own : {Type::kSourceEvent, Type::kAlarmCleared, Type::kDecision}) {
    EXPECT_EQ(chain.Send(kEdge, {.type = only_own, .payload = "{}"}).admission.flags, kScopeViolation);
  }
  EXPECT_EQ(chain.Send(kEdge, {.payload = "not json"}).admission.flags, kOpaque);
  EXPECT_EQ(chain.Send(kEdge, {.payload = R"({"router_id":"198.51.100.1","peer_addr":"192.0.2.2"})"}).admission.flags,
            kScopeViolation);
}

TEST_F(SourceBookTest, SubjectsAreLinkedUnlessTheEntryIsFlagged) {
  const std::uint64_t subject = SubjectIdOf("bgp/edge-a/default/peer/192.0.2.2");
  EXPECT_EQ(chain.book.LastOfSubject(subject), kNone);
  const auto first = Send(1);
  EXPECT_EQ(chain.book.LastOfSubject(subject), *first.entry);
  const auto second = Send(2);
  EXPECT_EQ(DecodeEntry(chain.entries[*second.entry])->header.subject_previous, *first.entry);
  Beat(kStranger, kEdge, kEpoch, 1);
  EXPECT_EQ(chain.book.LastOfSubject(SubjectIdOf("source/collector-2")), 3U)
      << "its registration, not the flagged beat";
}

// ---- channel states ----

TEST_F(SourceBookTest, AVerifiedFrameOfTierBlackTurnsItsOwnChannelBlack) {
  chain.Send(kEdge, {.tier = Tier::kBlack});
  EXPECT_EQ(chain.channel(kEdge).State(), ChannelState::kBlack);
  EXPECT_EQ(chain.channel(kCollector).State(), ChannelState::kOk);
  Send(2);
  EXPECT_EQ(chain.channel(kEdge).State(), ChannelState::kBlack) << "good news clears nothing";
  chain.Event(AlarmCleared{kEdge, "EQUIVOCATION", "op", "", ""});
  EXPECT_EQ(chain.channel(kEdge).State(), ChannelState::kBlack) << "another cause";
  chain.Event(AlarmCleared{kEdge, std::string(kCauseTierBlack), "op", "", ""});
  EXPECT_EQ(chain.channel(kEdge).State(), ChannelState::kOk);
}

TEST_F(SourceBookTest, AlarmsOfTheONodeHaveTheStateThatTheyState) {
  Send(1);
  chain.Event(Alarm{kEdge, std::string(kCauseBadTag), ChannelState::kAlarmed, 2, "", "", "", "", ""});
  EXPECT_EQ(chain.channel(kEdge).State(), ChannelState::kAlarmed);
  chain.Event(Alarm{kEdge, std::string(kCauseEquivocation), ChannelState::kBlack, 1, "", "", "", "", ""});
  EXPECT_EQ(chain.channel(kEdge).State(), ChannelState::kBlack);
  chain.Event(Alarm{kEdge, std::string(kCauseEquivocation), ChannelState::kAlarmed, 1, "", "", "", "", ""});
  EXPECT_EQ(chain.channel(kEdge).State(), ChannelState::kBlack) << "a cause is never lowered, only cleared";
  EXPECT_EQ(chain.channel(kEdge).alarms.at("EQUIVOCATION").count, 2U);
  chain.Event(AlarmCleared{kEdge, std::string(kCauseEquivocation), "op", "", ""});
  EXPECT_EQ(chain.channel(kEdge).State(), ChannelState::kAlarmed);
}

TEST_F(SourceBookTest, AlarmsOfOthersAreAtMostAlarmedAndOnlyForTheirOwn) {
  Send(1);
  const std::string black = BuildAlarm({kEdge, "EQUIVOCATION", ChannelState::kBlack, 1, "", "", "", "", ""});
  EXPECT_EQ(chain.Send(kStranger, {.type = Type::kChannelAlarm, .payload = black}).admission.flags, kScopeViolation);
  EXPECT_EQ(chain.channel(kEdge).State(), ChannelState::kOk);
  EXPECT_EQ(chain.Send(kCollector, {.type = Type::kChannelAlarm, .payload = black}).admission.flags, 0);
  EXPECT_EQ(chain.channel(kEdge).State(), ChannelState::kAlarmed);
  const std::string nobody = BuildAlarm({"edge-z.bgpd", "X", ChannelState::kAlarmed, 1, "", "", "", "", ""});
  EXPECT_EQ(chain.Send(kCollector, {.type = Type::kChannelAlarm, .payload = nobody}).admission.flags, 0);
  const auto cleared = chain.Send(
      kCollector, {.type = Type::kAlarmCleared, .payload = BuildAlarmCleared({kEdge, "EQUIVOCATION", "", "", ""})});
  EXPECT_EQ(cleared.admission.flags, kScopeViolation);
  EXPECT_EQ(chain.channel(kEdge).State(), ChannelState::kAlarmed) << "only the O-Node clears";
}

TEST_F(SourceBookTest, OnlyBadTagsAndNoGoodFrameIsAKeyMismatch) {
  chain.Event(Alarm{kEdge, std::string(kCauseBadTag), ChannelState::kAlarmed, 1, "", "", "", "", ""});
  EXPECT_EQ(chain.channel(kEdge).State(), ChannelState::kKeyMismatch);
  Send(1);
  EXPECT_EQ(chain.channel(kEdge).State(), ChannelState::kAlarmed);
}

TEST_F(SourceBookTest, CausesOfOthersAreBounded) {
  for (int i = 0; i < 200; ++i) {
    const std::string alarm =
        BuildAlarm({kEdge, fmt::format("CAUSE_{}", i), ChannelState::kAlarmed, 1, "", "", "", "", ""});
    chain.Send(kCollector, {.type = Type::kChannelAlarm, .payload = alarm});
  }
  EXPECT_LE(chain.channel(kEdge).alarms.size(), 65U);
  EXPECT_EQ(chain.channel(kEdge).alarms.at("OTHER").count, 200U - 64U);
  chain.Event(Alarm{kEdge, std::string(kCauseOperator), ChannelState::kBlack, 1, "", "", "", "", ""});
  EXPECT_TRUE(chain.channel(kEdge).alarms.contains("OPERATOR"));
}

// ---- registrations ----

TEST_F(SourceBookTest, RegistrationsThatCannotBeAreRefused) {
  const auto check = [&](Registration r, SourceEvent::Event event = SourceEvent::Event::kRegistered) {
    return chain.book.CheckSourceEvent({.event = event, .source = r.source, .registration = r});
  };
  Registration fresh = chain.Template("edge-b.bgpd");
  EXPECT_TRUE(check(fresh).ok());
  EXPECT_EQ(check(fresh, SourceEvent::Event::kChanged).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(check(chain.Template(kEdge)).code(), absl::StatusCode::kAlreadyExists);
  Registration wrong = fresh;
  wrong.types.push_back(26);
  EXPECT_EQ(check(wrong).code(), absl::StatusCode::kInvalidArgument);
  wrong = fresh;
  wrong.types.clear();
  EXPECT_EQ(check(wrong).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(chain.book.CheckSourceEvent({.source = "x", .registration = fresh}).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(chain.book.CheckSourceEvent({.source = "x"}).code(), absl::StatusCode::kInvalidArgument);

  Registration changed = chain.book.FindByName(kEdge)->registration;
  changed.types = {1};
  EXPECT_TRUE(check(changed, SourceEvent::Event::kChanged).ok());
  changed.key = chain.MakeKey(kEdge, 7, Suite::kHmacSha256);
  EXPECT_EQ(check(changed, SourceEvent::Event::kChanged).code(), absl::StatusCode::kFailedPrecondition);

  Registration own = chain.book.FindByName(chain.origin())->registration;
  EXPECT_TRUE(check(own, SourceEvent::Event::kChanged).ok());
  own.carried_by = {TestChain::kCarrier};
  EXPECT_EQ(check(own, SourceEvent::Event::kChanged).code(), absl::StatusCode::kFailedPrecondition);
  SourceEvent suspend = Event(SourceEvent::Event::kSuspended);
  suspend.source = chain.origin();
  EXPECT_EQ(chain.book.CheckSourceEvent(suspend).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(SourceBookTest, AChangeMakesANewSourceAndLeavesTheOldOneToItsReaders) {
  const auto table = chain.book.table();
  const auto before = chain.book.FindByName(kEdge);
  const std::uint64_t generation = chain.book.generation();
  Registration changed = before->registration;
  changed.types = {1};
  chain.Event(SourceEvent{.event = SourceEvent::Event::kChanged, .source = kEdge, .registration = changed});
  EXPECT_GT(chain.book.generation(), generation);
  EXPECT_EQ(before->registration.types.size(), 6U);
  EXPECT_EQ(table->at(kEdge), before);
  EXPECT_EQ(chain.book.FindByName(kEdge)->registration.types.size(), 1U);
  EXPECT_EQ(chain.book.table()->at(kEdge), chain.book.FindByName(kEdge));
  EXPECT_EQ(chain.book.FindById(frame::SourceIdOf(kEdge)), chain.book.FindByName(kEdge));
  frame::SourceId other = frame::SourceIdOf(kEdge);
  other[15] ^= 1;
  EXPECT_EQ(chain.book.FindById(other), nullptr) << "all 16 bytes count";
  EXPECT_THAT(chain.book.Sources(), SizeIs(4));
  EXPECT_EQ(chain.book.Sources()[0]->registration.source, kCollector);
}

TEST_F(SourceBookTest, RequestsAreRemembered) {
  SourceEvent suspend = Event(SourceEvent::Event::kSuspended);
  suspend.request_id = "r-1";
  chain.Event(suspend);
  const std::uint64_t first = chain.book.size() - 1;
  EXPECT_EQ(chain.book.FindRequest("r-1"), first);
  chain.Event(suspend);
  EXPECT_EQ(chain.book.FindRequest("r-1"), first) << "the entry that answered it";
  EXPECT_EQ(chain.book.FindRequest("r-2"), std::nullopt);
  EXPECT_EQ(chain.book.FindRequest(""), std::nullopt);
}

// ---- the O-Node's own source and what Apply refuses ----

TEST_F(SourceBookTest, TheONodeHasNoGapsAndANewEpochPerTakeOver) {
  const std::uint64_t own = frame::ShortIdOf(chain.origin());
  EXPECT_EQ(chain.book.FindChannel(own)->epochs.begin()->second.missing.size(), 0U);
  chain.Advance(kSecond);
  chain.TakeOver();
  chain.Event(Event(SourceEvent::Event::kSuspended));
  EXPECT_EQ(chain.book.FindChannel(own)->newest_epoch, chain.now);
  EXPECT_EQ(chain.book.FindChannel(own)->held, 5U);
  EXPECT_FALSE(chain.TryOwn(Type::kGap, BuildGap({chain.origin(), chain.now, 2, 3, Gap::Why::kMissing})).ok());
}

TEST_F(SourceBookTest, TheONodesOwnKeyRolls) {
  chain.Event(KeyEvent{.source = chain.origin(), .key = chain.MakeKey(chain.origin(), 2, Suite::kEd25519)});
  chain.UseOwnKey(2);
  chain.Event(Event(SourceEvent::Event::kSuspended));
  EXPECT_TRUE(chain.book.FindByName(kEdge)->suspended);
}

TEST_F(SourceBookTest, AChainBeginsWithTheONodesRegistration) {
  SourceBook empty("virp.example.net/other");
  frame::PayloadReader reader;
  const Entry entry = DecodeEntry(chain.entries[0]).value();
  const frame::Frame frame = frame::Decode(entry.frame, entry.header.spelling).value();
  const auto payload = reader.Read(frame.payload).value();
  const absl::Status status = empty.Apply(entry, frame, Statement{}, payload);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(Message(status)), HasSubstr("own registration"));
  EXPECT_EQ(empty.size(), 0U);
  SourceBook same(chain.origin());
  EXPECT_TRUE(same.Apply(entry, frame, Statement{}, payload).ok());
  EXPECT_EQ(same.size(), 1U);
}

TEST_F(SourceBookTest, GapEntriesThatSayTheWrongThingAreRefused) {
  Send(1);
  Beat(kCollector, kEdge, kEpoch, 4);
  const auto refused = [&](Gap gap) { return !chain.TryOwn(Type::kGap, BuildGap(gap)).ok(); };
  EXPECT_TRUE(refused({kEdge, kEpoch, 1, 3, Gap::Why::kMissing})) << "1 is held";
  EXPECT_TRUE(refused({kEdge, kEpoch, 3, 3, Gap::Why::kMissing})) << "2 is missing too";
  EXPECT_TRUE(refused({kEdge, kEpoch, 2, 3, Gap::Why::kOverflow})) << "not the O-Node's word";
  EXPECT_TRUE(refused({"nobody", kEpoch, 1, 3, Gap::Why::kMissing}));
  EXPECT_TRUE(refused({kEdge, kEpoch - 1, 1, 3, Gap::Why::kMissing})) << "an epoch that cannot begin";
  EXPECT_TRUE(refused({kEdge, kEpoch + 1, 2, 3, Gap::Why::kMissing})) << "an epoch begins at 1";
  EXPECT_TRUE(refused({kEdge, kEpoch + 1, 1, 3, Gap::Why::kMissing})) << "the old one's tail is due first";
  EXPECT_TRUE(refused({kEdge, chain.now + 61 * kSecond, 1, 3, Gap::Why::kMissing})) << "too far ahead";
  EXPECT_FALSE(refused({kEdge, kEpoch, 2, 4, Gap::Why::kMissing}));
  EXPECT_FALSE(refused({kEdge, kEpoch + 1, 1, 3, Gap::Why::kMissing}));
}

TEST_F(SourceBookTest, AnEntryThatBreaksARuleLeavesTheBookAsItWas) {
  Send(1);
  const Entry good = DecodeEntry(chain.entries.back()).value();
  const frame::Frame frame = frame::Decode(good.frame, good.header.spelling).value();
  Entry bad = good;
  bad.header.sequence = chain.book.size();
  const SourceBook before = chain.book;
  EXPECT_EQ(chain.book.Apply(bad, frame, Statement{}, std::nullopt).code(), absl::StatusCode::kDataLoss) << "repeated";
  bad.header.received_us = 0;
  EXPECT_FALSE(chain.book.Apply(bad, frame, Statement{}, std::nullopt).ok()) << "received before the entry before";
  bad.header.source ^= 1;
  EXPECT_FALSE(chain.book.Apply(bad, frame, Statement{}, std::nullopt).ok()) << "unknown source";
  EXPECT_TRUE(before == chain.book);
}

// ---- copies ----

TEST_F(SourceBookTest, CopiesAreIndependent) {
  Send(1);
  Send(5);
  const SourceBook copy = chain.book;
  EXPECT_TRUE(copy == chain.book);
  Send(3);
  chain.Event(Event(SourceEvent::Event::kSuspended));
  EXPECT_FALSE(copy == chain.book);
  EXPECT_EQ(copy.FindChannel(frame::ShortIdOf(kEdge))->epochs.at(kEpoch).missing.size(), 1U);
  EXPECT_FALSE(copy.FindByName(kEdge)->suspended);
  chain.book = copy;
  EXPECT_EQ(chain.book.size(), copy.size());
  EXPECT_FALSE(chain.book.FindByName(kEdge)->suspended);
}

}  // namespace
}  // namespace virp::chain
