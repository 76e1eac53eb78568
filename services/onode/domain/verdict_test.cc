// Every verdict of docs/claims.md, reached by a history that a network could have. Routes and
// several sources have files of their own.
#include "services/onode/domain/claim_test_util.h"

namespace virp::onode {
namespace {

using chain::ChannelState;
using testutil::PeerDownJson;
using testutil::PeerStateJson;
using Says = SourceOpinion::Says;

constexpr UnixNanos kSecond = 1'000'000'000;

// A daemon that collector-1 relays, and the collector's beats.
class OneDaemon : public ::testing::Test {
 protected:
  OneDaemon() {
    scene.AddDaemon("edge-a.bgpd");
    scene.AddCollector("collector-1");
  }
  void Beat() { scene.Beat("collector-1", {{"edge-a.bgpd"}}); }
  SourceOpinion Daemon(const Answer& answer) { return OpinionOf(answer, "edge-a.bgpd"); }

  Scene scene;
};

TEST_F(OneDaemon, ConfirmedWithWhatItRestsOn) {
  const std::uint64_t up = scene.PeerUp("edge-a.bgpd");
  scene.Advance(5 * kSecond);
  const UnixNanos beat_time = scene.Receipt();
  scene.now = beat_time;
  const std::uint64_t beat = scene.Beat("collector-1", {{"edge-a.bgpd"}});
  scene.Advance(4 * kSecond);

  const Answer answer = scene.Ask(PeerIs());
  EXPECT_EQ(answer.verdict, Verdict::kConfirmed) << answer.explanation;
  EXPECT_EQ(answer.chain_size, scene.entries.size());
  EXPECT_EQ(answer.evaluated_at, scene.now);
  EXPECT_EQ(answer.confirmed_at, beat_time);
  EXPECT_EQ(answer.valid_until, beat_time + 30 * kSecond);
  EXPECT_EQ(answer.origin_strength, OriginStrength::kSharedKey);
  const SourceOpinion daemon = Daemon(answer);
  EXPECT_TRUE(daemon.counted);
  EXPECT_EQ(daemon.says, Says::kAgrees);
  EXPECT_EQ(daemon.entry, up);
  EXPECT_EQ(daemon.beat_entry, beat);
  EXPECT_FALSE(daemon.path_liveness_only);
  // The collector covers no router, so it has no say.
  EXPECT_EQ(answer.opinions.size(), 1U);
}

TEST_F(OneDaemon, NegationAndOtherStates) {
  scene.PeerUp("edge-a.bgpd");
  PeerClaim not_up = PeerIs();
  not_up.negate = true;
  EXPECT_EQ(scene.VerdictOn(not_up), Verdict::kRefuted);
  EXPECT_EQ(scene.VerdictOn(PeerIs("Idle")), Verdict::kRefuted);
  EXPECT_EQ(scene.VerdictOn(PeerIs("down")), Verdict::kRefuted);
  scene.Say("edge-a.bgpd", frame::Type::kPeerStatusChanged, PeerStateJson({}, "Established", "Idle"));
  EXPECT_EQ(scene.VerdictOn(not_up), Verdict::kConfirmed);
  EXPECT_EQ(scene.VerdictOn(PeerIs("Idle")), Verdict::kConfirmed);
  EXPECT_EQ(scene.VerdictOn(PeerIs("down")), Verdict::kConfirmed);
}

// Type 2 says that the peer is not Established any more, not what it is instead.
TEST_F(OneDaemon, DownIsNoStateOfItsOwn) {
  scene.PeerUp("edge-a.bgpd");
  scene.PeerLost("edge-a.bgpd");
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kRefuted);
  EXPECT_EQ(scene.VerdictOn(PeerIs("down")), Verdict::kConfirmed);
  PeerClaim not_idle = PeerIs("Idle");
  EXPECT_EQ(scene.VerdictOn(not_idle), Verdict::kNoEvidence);
  not_idle.negate = true;
  EXPECT_EQ(scene.VerdictOn(not_idle), Verdict::kNoEvidence);
  EXPECT_EQ(Daemon(scene.Ask(not_idle)).left_out, kLeftOutAttributeUnknown);
}

TEST_F(OneDaemon, TypeTwoOfAPeerThatWasNotEstablishedSetsNothing) {
  scene.PeerUp("edge-a.bgpd");
  scene.Say("edge-a.bgpd", frame::Type::kPeerBackwardTransition, PeerDownJson({}, "OpenSent"), frame::Tier::kYellow);
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kConfirmed);
}

TEST_F(OneDaemon, PeerAsMustAgree) {
  scene.PeerUp("edge-a.bgpd");
  PeerClaim claim = PeerIs();
  claim.peer_as = 64501;
  EXPECT_EQ(scene.VerdictOn(claim), Verdict::kConfirmed);
  claim.peer_as = 64999;
  EXPECT_EQ(scene.VerdictOn(claim), Verdict::kRefuted);
  claim.negate = true;  // a session with somebody else proves nothing about this one
  EXPECT_EQ(scene.VerdictOn(claim), Verdict::kRefuted);
  scene.PeerUp("edge-a.bgpd", {.as = std::nullopt});
  claim.negate = false;
  EXPECT_EQ(scene.VerdictOn(claim), Verdict::kNoEvidence);
}

TEST_F(OneDaemon, NoEvidenceForWhatNobodySaid) {
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kNoEvidence);
  scene.PeerUp("edge-a.bgpd");
  PeerClaim other = PeerIs();
  other.router = "edge-z";
  EXPECT_EQ(scene.VerdictOn(other), Verdict::kNoEvidence);
  other = PeerIs();
  other.vrf = "blue";
  EXPECT_EQ(scene.VerdictOn(other), Verdict::kNoEvidence);
  EXPECT_EQ(scene.Ask(PeerIs(), {.exclude_sources = {"edge-a.bgpd"}}).verdict, Verdict::kNoEvidence);
}

TEST_F(OneDaemon, FrozenChainAnswersNothingElse) {
  scene.PeerUp("edge-a.bgpd");
  scene.frozen = true;
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kChainFrozen);
}

TEST_F(OneDaemon, BlackChannelAndItsClearing) {
  scene.PeerUp("edge-a.bgpd");
  scene.RaiseAlarm("edge-a.bgpd", "EQUIVOCATION", ChannelState::kBlack);
  const Answer answer = scene.Ask(PeerIs());
  EXPECT_EQ(answer.verdict, Verdict::kChannelCompromised);
  EXPECT_EQ(Daemon(answer).left_out, kLeftOutBlack);
  EXPECT_FALSE(Daemon(answer).counted);
  scene.ClearAlarm("edge-a.bgpd", "EQUIVOCATION");
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kConfirmed);
}

TEST_F(OneDaemon, AFrameOfTierBlackTakesItsSourceOut) {
  scene.PeerUp("edge-a.bgpd");
  scene.Say("edge-a.bgpd", frame::Type::kPeerStatusChanged, PeerStateJson({.address = "192.0.2.9"}, "Idle", "Active"),
            frame::Tier::kBlack);
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kChannelCompromised);
}

TEST_F(OneDaemon, AlarmedChannelsCountUnlessTheAskerRefuses) {
  scene.PeerUp("edge-a.bgpd");
  scene.RaiseAlarm("edge-a.bgpd", "BAD_TAG", ChannelState::kAlarmed);
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kConfirmed);
  EXPECT_EQ(Daemon(scene.Ask(PeerIs())).channel, ChannelState::kAlarmed);
  const Answer answer = scene.Ask(PeerIs(), {.accept_alarmed = false});
  EXPECT_EQ(answer.verdict, Verdict::kInsufficient);
  EXPECT_EQ(answer.reason, kReasonMinSources);
  EXPECT_EQ(Daemon(answer).left_out, kLeftOutAlarmed);
}

TEST_F(OneDaemon, SuspendedSourcesAreLeftOut) {
  scene.PeerUp("edge-a.bgpd");
  scene.Suspend("edge-a.bgpd");
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kNoEvidence);
  EXPECT_EQ(Daemon(scene.Ask(PeerIs())).left_out, kLeftOutSuspended);
  scene.Resume("edge-a.bgpd");
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kConfirmed);
}

TEST_F(OneDaemon, OutOfScopeAfterAChangedRegistration) {
  scene.PeerUp("edge-a.bgpd");
  chain::Registration r = scene.book.FindByName("edge-a.bgpd")->registration;
  r.routers[0].name = "edge-b";
  scene.Change(r);
  const Answer answer = scene.Ask(PeerIs());
  EXPECT_EQ(answer.verdict, Verdict::kNoEvidence);
  EXPECT_TRUE(answer.opinions.empty());
}

TEST_F(OneDaemon, AnotherRoutersPeerSupportsNothing) {
  scene.PeerUp("edge-a.bgpd", {.router_id = "198.51.100.1"});
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kNoEvidence);
  PeerClaim other = PeerIs();
  other.router = "198.51.100.1";
  EXPECT_EQ(scene.VerdictOn(other), Verdict::kNoEvidence);
}

// ---- liveness and age ----

TEST_F(OneDaemon, SilentWithoutACoveringBeatForThreeIntervals) {
  scene.PeerUp("edge-a.bgpd");
  scene.now = scene.Receipt();
  const UnixNanos said = scene.now;
  scene.now = said + 30 * kSecond;
  EXPECT_EQ(scene.VerdictOn(PeerIs(), {.max_age = std::chrono::minutes(5)}), Verdict::kConfirmed);
  EXPECT_EQ(scene.Ask(PeerIs(), {.max_age = std::chrono::minutes(5)}).valid_until, said + 30 * kSecond);
  scene.now += 1;
  EXPECT_EQ(scene.VerdictOn(PeerIs(), {.max_age = std::chrono::minutes(5)}), Verdict::kSourceSilent);
  Beat();
  EXPECT_EQ(scene.VerdictOn(PeerIs(), {.max_age = std::chrono::minutes(5)}), Verdict::kConfirmed);
}

TEST_F(OneDaemon, ABeatThatStatesLessDoesNotCover) {
  scene.PeerUp("edge-a.bgpd");
  scene.Advance(40 * kSecond);
  scene.Beat("collector-1", {{"edge-a.bgpd", true, 0}});
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kSourceSilent);
  scene.Beat("collector-1", {{"edge-a.bgpd", true, 1}});
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kConfirmed);
}

TEST_F(OneDaemon, LosingTheConnectionIsSilenceAtOnce) {
  scene.PeerUp("edge-a.bgpd");
  Beat();
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kConfirmed);
  scene.Advance(kSecond);
  scene.Beat("collector-1", {{"edge-a.bgpd", false}});
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kSourceSilent);
  EXPECT_EQ(scene.Ask(PeerIs()).valid_until, 0U);  // time alone does not mend it
  scene.Advance(kSecond);
  Beat();
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kConfirmed);
}

// Two collectors hear one daemon: what the one lost, the other reports connected later.
TEST_F(OneDaemon, AnotherCollectorsLaterWordHealsALostConnection) {
  chain::Registration r = scene.book.FindByName("edge-a.bgpd")->registration;
  r.carried_by = {Scene::kCollector1, Scene::kCollector2};
  scene.Change(r);
  scene.AddCollector("collector-2", Scene::kCollector2);
  scene.PeerUp("edge-a.bgpd");
  scene.Beat("collector-2", {{"edge-a.bgpd"}});
  scene.Advance(kSecond);
  scene.Beat("collector-1", {{"edge-a.bgpd", false}});
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kSourceSilent);
  scene.Advance(kSecond);
  scene.Beat("collector-2", {{"edge-a.bgpd"}});
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kConfirmed);
}

TEST_F(OneDaemon, BeatsOfStrangersCountForNothing) {
  scene.AddCollector("collector-2", Scene::kCollector2);
  scene.PeerUp("edge-a.bgpd");
  scene.Advance(40 * kSecond);
  scene.Beat("collector-2", {{"edge-a.bgpd"}});
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kSourceSilent);
  Beat();
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kConfirmed);
  scene.Suspend("collector-1");
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kSourceSilent);
  scene.Resume("collector-1");
  EXPECT_EQ(scene.Ask(PeerIs(), {.exclude_sources = {"collector-1"}}).verdict, Verdict::kSourceSilent);
  scene.RaiseAlarm("collector-1", "BAD_TAG", ChannelState::kAlarmed);
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kConfirmed);
  EXPECT_EQ(scene.Ask(PeerIs(), {.accept_alarmed = false}).verdict, Verdict::kSourceSilent);
  scene.RaiseAlarm("collector-1", "OPERATOR", ChannelState::kBlack);
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kSourceSilent);
}

TEST_F(OneDaemon, TheDaemonsOwnBeat) {
  scene.PeerUp("edge-a.bgpd");
  scene.Advance(40 * kSecond);
  const std::uint64_t beat = scene.Beat("edge-a.bgpd");
  const Answer answer = scene.Ask(PeerIs());
  EXPECT_EQ(answer.verdict, Verdict::kConfirmed);
  EXPECT_EQ(Daemon(answer).beat_entry, beat);
}

TEST_F(OneDaemon, StaleByTheAskersOwnLimits) {
  scene.PeerUp("edge-a.bgpd");
  scene.Advance(10 * kSecond);
  EXPECT_EQ(scene.Ask(PeerIs(), {.max_age = std::chrono::seconds(5)}).verdict, Verdict::kStale);
  EXPECT_EQ(scene.Ask(PeerIs(), {.max_age = std::chrono::seconds(11)}).verdict, Verdict::kConfirmed);
  Beat();  // confirms the state, but does not make the event younger
  EXPECT_EQ(scene.Ask(PeerIs(), {.max_age = std::chrono::seconds(5)}).verdict, Verdict::kConfirmed);
  EXPECT_EQ(scene.Ask(PeerIs(), {.max_event_age = std::chrono::seconds(5)}).verdict, Verdict::kStale);
  EXPECT_EQ(scene.Ask(PeerIs(), {.max_event_age = std::chrono::seconds(11)}).verdict, Verdict::kConfirmed);
}

TEST_F(OneDaemon, ARestatedFactHasNoEventAge) {
  scene.Say("edge-a.bgpd", frame::Type::kPeerStatusChanged, PeerStateJson({}, "Established", "Established", true));
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kConfirmed);
  EXPECT_EQ(scene.Ask(PeerIs(), {.max_event_age = std::chrono::hours(1)}).verdict, Verdict::kStale);
}

// A clock ahead by 50 s is within the skew; ages count from the receipt then.
TEST_F(OneDaemon, AgesCountFromTheEarlierOfFrameTimeAndReceipt) {
  auto frame =
      scene.Numbered("edge-a.bgpd", 1, frame::Type::kPeerStatusChanged, PeerStateJson({}, "Idle", "Established"));
  frame.time = scene.now + 50 * kSecond;
  scene.Send("edge-a.bgpd", frame);
  scene.Advance(31 * kSecond);
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kSourceSilent);
}

TEST_F(OneDaemon, NobodyIsAskedAsOfATimeBeforeTheNewestEntry) {
  scene.PeerUp("edge-a.bgpd");
  scene.Advance(60 * kSecond);
  scene.Beat("collector-1", {});  // about nobody; it only moves the chain's time
  const UnixNanos newest = scene.Receipt();
  scene.now -= 60 * kSecond;
  const Answer answer = scene.Ask(PeerIs());
  EXPECT_EQ(answer.verdict, Verdict::kSourceSilent);
  EXPECT_EQ(answer.evaluated_at, newest);
}

// ---- completeness ----

TEST_F(OneDaemon, ASwallowedFrameIsSeenByTheNumberAfterIt) {
  scene.PeerUp("edge-a.bgpd");
  scene.Lose("edge-a.bgpd");  // "the peer went down"
  scene.PeerUp("edge-a.bgpd", {.address = "192.0.2.9"});
  const Answer answer = scene.Ask(PeerIs());
  EXPECT_EQ(answer.verdict, Verdict::kIncomplete);
  EXPECT_EQ(Daemon(answer).doubt, kDoubtGap);
  ASSERT_EQ(Daemon(answer).missing.size(), 1U);
  EXPECT_EQ(Daemon(answer).missing[0].from, 2U);
  EXPECT_EQ(Daemon(answer).missing[0].to, 2U);
  PeerClaim other = PeerIs();
  other.peer = "192.0.2.9";
  EXPECT_EQ(scene.VerdictOn(other), Verdict::kConfirmed);  // stated after the gap
}

TEST_F(OneDaemon, AGapHealsWhenItIsFilled) {
  scene.PeerUp("edge-a.bgpd");
  scene.Lose("edge-a.bgpd");
  scene.Beat("edge-a.bgpd");
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kIncomplete);
  scene.Send("edge-a.bgpd", scene.Numbered("edge-a.bgpd", 2, frame::Type::kBgpProcess, testutil::AnnounceJson({}, {})));
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kConfirmed);
}

TEST_F(OneDaemon, ALateFrameCountsByItsOwnNumber) {
  scene.PeerUp("edge-a.bgpd");
  scene.Lose("edge-a.bgpd");
  scene.PeerUp("edge-a.bgpd");
  scene.Send("edge-a.bgpd", scene.Numbered("edge-a.bgpd", 2, frame::Type::kPeerBackwardTransition, PeerDownJson({})));
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kConfirmed);  // 3 is newer than 2, though it came first
}

TEST_F(OneDaemon, AGapHealsByTheSubjectsNextStatement) {
  scene.PeerUp("edge-a.bgpd");
  scene.Lose("edge-a.bgpd");
  scene.Say("edge-a.bgpd", frame::Type::kPeerStatusChanged, PeerStateJson({}, "Established", "Established", true));
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kConfirmed);
}

TEST_F(OneDaemon, ATailThatABeatStatesAndThatHasNotArrived) {
  scene.PeerUp("edge-a.bgpd");
  scene.Beat("collector-1", {{"edge-a.bgpd", true, 3}});
  const Answer answer = scene.Ask(PeerIs());
  EXPECT_EQ(answer.verdict, Verdict::kIncomplete);
  EXPECT_EQ(Daemon(answer).doubt, kDoubtTail);
  ASSERT_EQ(Daemon(answer).missing.size(), 1U);
  EXPECT_EQ(Daemon(answer).missing[0].gap_entry, chain::kNone);
  scene.Announce("edge-a.bgpd");
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kIncomplete);
  scene.Announce("edge-a.bgpd");
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kConfirmed);
}

TEST_F(OneDaemon, TheSourcesOwnLossRecord) {
  scene.PeerUp("edge-a.bgpd");
  scene.Lose("edge-a.bgpd", 2);
  scene.Say("edge-a.bgpd", frame::Type::kGap,
            chain::BuildGap({"edge-a.bgpd", scene.epoch("edge-a.bgpd"), 2, 3, chain::Gap::Why::kOverflow}),
            frame::Tier::kYellow);
  const Answer answer = scene.Ask(PeerIs());
  EXPECT_EQ(answer.verdict, Verdict::kIncomplete);
  EXPECT_EQ(Daemon(answer).doubt, kDoubtLossRecord);
}

TEST_F(OneDaemon, AnEpochThatEndedWithoutRestatement) {
  scene.PeerUp("edge-a.bgpd");
  Beat();
  scene.Advance(kSecond);
  scene.Restart("edge-a.bgpd");
  scene.Beat("edge-a.bgpd");
  const Answer answer = scene.Ask(PeerIs());
  EXPECT_EQ(answer.verdict, Verdict::kIncomplete);
  EXPECT_EQ(Daemon(answer).doubt, kDoubtEpochEnded);
  scene.PeerUp("edge-a.bgpd");
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kConfirmed);
}

TEST_F(OneDaemon, AnEpochOfWhichOnlyABeatTells) {
  scene.PeerUp("edge-a.bgpd");
  scene.Advance(kSecond);
  scene.Beat("collector-1", {{"edge-a.bgpd", true, 0, scene.now}});
  EXPECT_EQ(Daemon(scene.Ask(PeerIs())).doubt, kDoubtEpochEnded);
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kIncomplete);
}

TEST_F(OneDaemon, APoisonedEpochIsOverAtOnce) {
  scene.PeerUp("edge-a.bgpd");
  chain::SourceEvent reset;
  reset.event = chain::SourceEvent::Event::kEpochReset;
  reset.source = "edge-a.bgpd";
  reset.epoch = scene.epoch("edge-a.bgpd");
  scene.Event(reset);
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kIncomplete);
}

// What cannot be read may have said anything that its type can say, and nothing else.
TEST_F(OneDaemon, AnOpaqueFramePutsItsKindOfFactsInDoubt) {
  scene.PeerUp("edge-a.bgpd");
  scene.Say("edge-a.bgpd", frame::Type::kBgpRouteUpdate, "{\"broken");
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kConfirmed);
  scene.Say("edge-a.bgpd", frame::Type::kPeerBackwardTransition, "{\"peer\":\"\xff\"}");
  const Answer answer = scene.Ask(PeerIs());
  EXPECT_EQ(answer.verdict, Verdict::kIncomplete);
  EXPECT_EQ(Daemon(answer).doubt, kDoubtUnreadable);
  scene.PeerUp("edge-a.bgpd");
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kConfirmed);
}

// ---- keys ----

TEST_F(OneDaemon, ACompromisedKeysWordsGoAndOlderOnesComeBackInDoubt) {
  scene.AddKey("edge-a.bgpd", 2);
  scene.PeerUp("edge-a.bgpd");
  const UnixNanos stolen = scene.Receipt() + kSecond;
  scene.Advance(2 * kSecond);
  scene.PeerLost("edge-a.bgpd");
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kRefuted);
  scene.Compromise("edge-a.bgpd", 2, stolen);
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kChannelCompromised);  // BLACK until somebody clears it
  scene.ClearAlarm("edge-a.bgpd", "KEY_COMPROMISED");
  const Answer answer = scene.Ask(PeerIs());
  EXPECT_EQ(answer.verdict, Verdict::kIncomplete);  // who knows what those numbers would have said
  EXPECT_EQ(Daemon(answer).doubt, kDoubtUnreadable);
  EXPECT_EQ(Daemon(answer).says, Says::kAgrees);
  scene.AddKey("edge-a.bgpd", 3);
  scene.PeerUp("edge-a.bgpd");
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kConfirmed);
}

TEST_F(OneDaemon, WhatOnlyACompromisedKeySaidIsNotNoEvidence) {
  scene.AddKey("edge-a.bgpd", 2);
  scene.PeerUp("edge-a.bgpd");
  scene.Compromise("edge-a.bgpd", 2, 1);
  scene.ClearAlarm("edge-a.bgpd", "KEY_COMPROMISED");
  const Answer answer = scene.Ask(PeerIs());
  EXPECT_EQ(answer.verdict, Verdict::kChannelCompromised);
  EXPECT_EQ(Daemon(answer).left_out, kLeftOutKeyCompromised);
  PeerClaim other = PeerIs();
  other.peer = "192.0.2.9";
  EXPECT_EQ(scene.VerdictOn(other), Verdict::kNoEvidence);
}

TEST_F(OneDaemon, BeatsOfACompromisedKeyCountForNothing) {
  scene.PeerUp("edge-a.bgpd");
  scene.Advance(20 * kSecond);
  Beat();
  scene.Advance(20 * kSecond);
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kConfirmed);
  scene.Compromise("collector-1", 1, scene.now - 25 * kSecond);
  scene.ClearAlarm("collector-1", "KEY_COMPROMISED");
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kSourceSilent);
}

TEST_F(OneDaemon, UntilTheRefoldACompromisedSourceCountsNowhere) {
  scene.PeerUp("edge-a.bgpd");
  scene.Compromise("edge-a.bgpd", 1, 1);
  scene.ClearAlarm("edge-a.bgpd", "KEY_COMPROMISED");
  PastState state(scene.origin());
  for (const std::string& entry : scene.entries) ASSERT_TRUE(state.Add(entry).ok());
  ASSERT_TRUE(state.facts().NeedsRefold());
  const auto answer = state.facts().Evaluate(PeerIs(), {}, state.sources(), scene.now, false, 0, scene.Reader());
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->verdict, Verdict::kChannelCompromised);
  // A reader that hands out other entries is found out.
  EXPECT_EQ(state.Settle([&](std::uint64_t) -> absl::StatusOr<std::string> { return scene.entries[0]; }).code(),
            absl::StatusCode::kDataLoss);
  EXPECT_TRUE(state.facts().NeedsRefold());
  EXPECT_TRUE(state.Settle(scene.Reader()).ok());
  EXPECT_FALSE(state.facts().NeedsRefold());
}

// ---- tier and level ----

TEST_F(OneDaemon, TiersWorseThanTolerated) {
  scene.Say("edge-a.bgpd", frame::Type::kPeerStatusChanged, PeerStateJson({}, "Established", "Idle"),
            frame::Tier::kRed);
  const Answer answer = scene.Ask(PeerIs("Idle"));
  EXPECT_EQ(answer.verdict, Verdict::kInsufficient);
  EXPECT_EQ(answer.reason, kReasonTier);
  EXPECT_EQ(Daemon(answer).left_out, kLeftOutTier);
  EXPECT_EQ(scene.Ask(PeerIs("Idle"), {.worst_tier = frame::Tier::kRed}).verdict, Verdict::kConfirmed);
  scene.PeerLost("edge-a.bgpd");  // YELLOW is tolerated unless told otherwise
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kRefuted);
  EXPECT_EQ(scene.Ask(PeerIs(), {.worst_tier = frame::Tier::kGreen}).reason, kReasonTier);
}

TEST_F(OneDaemon, LevelsOfTheChain) {
  scene.PeerUp("edge-a.bgpd");
  scene.checkpointed = scene.entries.size();
  EXPECT_EQ(scene.Ask(PeerIs(), {.level = ChainLevel::kCheckpointed}).verdict, Verdict::kConfirmed);
  Beat();  // the answer rests on it too, and no checkpoint covers it yet
  const Answer answer = scene.Ask(PeerIs(), {.level = ChainLevel::kCheckpointed});
  EXPECT_EQ(answer.verdict, Verdict::kInsufficient);
  EXPECT_EQ(answer.reason, kReasonLevel);
  scene.checkpointed = scene.entries.size();
  EXPECT_EQ(scene.Ask(PeerIs(), {.level = ChainLevel::kCheckpointed}).verdict, Verdict::kConfirmed);
  EXPECT_EQ(scene.Ask(PeerIs(), {.level = ChainLevel::kWitnessed}).reason, kReasonLevel);
}

}  // namespace
}  // namespace virp::onode
