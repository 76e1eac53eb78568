// Who may say what: standing, keys, flags, channel states, registrations, and what no book accepts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/chain/source_book_fixture.h"

namespace virp::chain {
namespace {

using frame::Reason;
using frame::Suite;
using frame::Tier;
using frame::Type;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

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

TEST_F(SourceBookTest, AWindowEndsAVersionThatWasEnteredBeforeAndIsNeverWidened) {
  chain.Event(Roll(2));
  KeyEvent window{.event = KeyEvent::Event::kWindow, .source = kEdge, .version = 1};
  window.sign_until = chain.now + 10 * kSecond;
  window.accept_until = chain.now + 20 * kSecond;
  chain.Event(window);
  EXPECT_EQ(chain.Send(kEdge, {.time = window.sign_until}).reason(), Reason::kNone);
  EXPECT_EQ(chain.Send(kEdge, {.time = *window.sign_until + 1}).reason(), Reason::kLateKey) << "signed too late";
  EXPECT_EQ(chain.Send(kEdge, {.time = *window.sign_until + 1, .key_version = 2}).reason(), Reason::kNone);
  KeyEvent wider = window;
  wider.sign_until = chain.now + 90 * kSecond;
  wider.accept_until = chain.now + 95 * kSecond;
  chain.Event(wider);
  EXPECT_EQ(chain.Send(kEdge, {.time = *window.sign_until + 1}).reason(), Reason::kLateKey);
  chain.Advance(30 * kSecond);
  EXPECT_EQ(chain.Send(kEdge, {.time = window.sign_until}).reason(), Reason::kLateKey) << "received too late";
  window.version = 9;
  EXPECT_EQ(chain.book.CheckKeyEvent(window).code(), absl::StatusCode::kNotFound);
  window.source = chain.book.origin();
  window.version = 1;
  EXPECT_EQ(chain.book.CheckKeyEvent(window).code(), absl::StatusCode::kFailedPrecondition);
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
  const auto refused = [&](const Gap& gap) { return !chain.TryOwn(Type::kGap, BuildGap(gap)).ok(); };
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
