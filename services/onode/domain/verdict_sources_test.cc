// Verdicts on what several sources say.
#include "services/onode/domain/claim_test_util.h"

namespace virp::onode {
namespace {

using chain::ChannelState;
using testutil::PeerStateJson;

constexpr UnixNanos kSecond = 1'000'000'000;

class TwoSources : public ::testing::Test {
 protected:
  TwoSources() {
    scene.AddDaemon("edge-a.bgpd", frame::Suite::kEd25519);
    scene.AddBmp("edge-a.bmp", Scene::kCollector2);
    scene.AddCollector("collector-1");
    scene.AddCollector("collector-2", Scene::kCollector2);
  }
  void BeatBoth() {
    scene.Beat("collector-1", {{"edge-a.bgpd"}});
    scene.Beat("collector-2", {{"edge-a.bmp"}});
  }
  Scene scene;
};

TEST_F(TwoSources, TwoIndependentSourcesAgree) {
  scene.PeerUp("edge-a.bgpd");
  const Answer one = scene.Ask(PeerIs(), {.min_sources = 2});
  EXPECT_EQ(one.verdict, Verdict::kInsufficient);
  EXPECT_EQ(one.reason, kReasonMinSources);
  EXPECT_EQ(one.origin_strength, OriginStrength::kSourceSigned);
  scene.PeerUp("edge-a.bmp");
  const Answer two = scene.Ask(PeerIs(), {.min_sources = 2});
  EXPECT_EQ(two.verdict, Verdict::kConfirmed);
  EXPECT_EQ(two.origin_strength, OriginStrength::kCollectorAsserted);  // the weaker of both
  EXPECT_EQ(scene.Ask(PeerIs(), {.min_sources = 2, .independence = Independence::kCollector}).verdict,
            Verdict::kConfirmed);
  EXPECT_EQ(scene.Ask(PeerIs(), {.min_sources = 2, .independence = Independence::kRouter}).reason, kReasonMinSources);
  EXPECT_EQ(scene.Ask(PeerIs(), {.min_sources = 3}).reason, kReasonMinSources);
}

// Both routers of a session, each with a source of its own.
class BothEnds : public ::testing::Test {
 protected:
  BothEnds() {
    scene.AddCollector("collector-1");
    Add("edge-a.bgpd", {"edge-a", {"192.0.2.1"}, {"192.0.2.1"}, {"default"}});
    Add("edge-b.bgpd", {"edge-b", {"192.0.2.9"}, {"192.0.2.2"}, {"default"}});
  }
  void Add(const std::string& name, const chain::RouterScope& router) {
    chain::Registration r = scene.Template(name, frame::Suite::kEd25519);
    r.routers = {router};
    scene.Register(r);
  }
  static Acceptance Both() { return {.min_sources = 2, .independence = Independence::kRouter}; }

  const testutil::BgpPeer far_{"192.0.2.1", 64500, "192.0.2.9"};  // as edge-b sees edge-a
  Scene scene;
};

TEST_F(BothEnds, TheOtherEndCountsWhereRoutersAreToBeIndependent) {
  scene.PeerUp("edge-a.bgpd");
  EXPECT_EQ(scene.Ask(PeerIs(), Both()).reason, kReasonMinSources);
  scene.PeerUp("edge-b.bgpd", far_);
  EXPECT_EQ(scene.VerdictOn(PeerIs(), Both()), Verdict::kConfirmed);
  EXPECT_EQ(scene.VerdictOn(PeerIs("down"), Both()), Verdict::kRefuted);
  EXPECT_EQ(scene.Ask(PeerIs(), {.min_sources = 2}).reason, kReasonMinSources) << "only when it is asked for";
  EXPECT_EQ(scene.Ask(PeerIs(), {.min_sources = 2}).opinions.size(), 1u);

  scene.Advance(5 * kSecond);
  scene.PeerLost("edge-b.bgpd", far_);
  scene.now = scene.Receipt() + 3 * kSecond;
  EXPECT_EQ(scene.VerdictOn(PeerIs(), Both()), Verdict::kConflict);
  scene.PeerLost("edge-a.bgpd");
  EXPECT_EQ(scene.VerdictOn(PeerIs(), Both()), Verdict::kRefuted);
}

TEST_F(BothEnds, WhatTheOtherEndCannotTellItDoesNotSay) {
  scene.PeerUp("edge-a.bgpd");
  scene.PeerUp("edge-b.bgpd", {"192.0.2.7", 64500, "192.0.2.9"});  // of another session
  EXPECT_EQ(scene.Ask(PeerIs(), Both()).reason, kReasonMinSources);
  scene.PeerUp("edge-b.bgpd", far_);
  EXPECT_EQ(scene.VerdictOn(PeerIs(), Both()), Verdict::kConfirmed);
  PeerClaim claim = PeerIs();
  claim.peer_as = 64501;  // it names its neighbour's AS, not its own
  EXPECT_EQ(scene.Ask(claim, Both()).opinions.back().left_out, kLeftOutAttributeUnknown);
  EXPECT_EQ(scene.Ask(PeerIs("Idle"), Both()).opinions.back().left_out, kLeftOutAttributeUnknown);
  // Two sessions between the two: which one is meant is not said.
  chain::Registration r = scene.book.FindByName("edge-a.bgpd")->registration;
  r.routers[0].addresses.emplace_back("192.0.2.7");
  scene.Change(r);
  EXPECT_EQ(scene.Ask(PeerIs(), Both()).opinions.back().left_out, kLeftOutAttributeUnknown);
}

TEST_F(TwoSources, SourcesBehindOneCollectorAreOne) {
  scene.AddBmp("edge-a.bmp-2", Scene::kCollector2);
  scene.PeerUp("edge-a.bmp");
  scene.PeerUp("edge-a.bmp-2");
  EXPECT_EQ(scene.Ask(PeerIs(), {.min_sources = 2}).reason, kReasonMinSources);  // the collector signs for both
  EXPECT_EQ(scene.Ask(PeerIs(), {.min_sources = 2, .independence = Independence::kCollector}).reason,
            kReasonMinSources);
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kConfirmed);
}

TEST_F(TwoSources, DisagreementIsConflictAndSettlesFirst) {
  scene.PeerUp("edge-a.bgpd");
  scene.PeerUp("edge-a.bmp");
  scene.Advance(5 * kSecond);
  scene.PeerLost("edge-a.bgpd");
  scene.now = scene.Receipt();
  const UnixNanos lost = scene.now;
  scene.Advance(kSecond);
  const Answer young = scene.Ask(PeerIs());
  EXPECT_EQ(young.verdict, Verdict::kConflict);
  EXPECT_EQ(young.reason, kReasonSettling);
  EXPECT_EQ(young.valid_until, lost + 2 * kSecond - 1);
  scene.now = lost + 2 * kSecond;
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kConflict);
  EXPECT_EQ(scene.Ask(PeerIs()).reason, "");
  EXPECT_EQ(scene.Ask(PeerIs(), {.max_dissent = 1}).verdict, Verdict::kConfirmed);
  EXPECT_EQ(scene.Ask(PeerIs("down"), {.max_dissent = 1}).verdict, Verdict::kConfirmed);
  EXPECT_EQ(scene.Ask(PeerIs(), {.min_sources = 2, .max_dissent = 1}).reason, kReasonMinSources);
  EXPECT_EQ(scene.Ask(PeerIs(), {.exclude_sources = {"edge-a.bmp"}}).verdict, Verdict::kRefuted);
  scene.PeerLost("edge-a.bmp");
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kRefuted);
}

TEST_F(TwoSources, SilentOnesAreLeftOutAsLongAsEnoughRemain) {
  scene.PeerUp("edge-a.bmp");
  scene.Advance(40 * kSecond);
  scene.PeerLost("edge-a.bgpd");
  const Answer answer = scene.Ask(PeerIs());
  EXPECT_EQ(answer.verdict, Verdict::kRefuted);  // the silent one's older word is no dissent
  EXPECT_EQ(OpinionOf(answer, "edge-a.bmp").left_out, kLeftOutSilent);
  EXPECT_EQ(scene.Ask(PeerIs(), {.min_sources = 2}).verdict, Verdict::kSourceSilent);
  EXPECT_EQ(scene.Ask(PeerIs(), {.require_sources = {"edge-a.bmp"}}).verdict, Verdict::kSourceSilent);
  EXPECT_EQ(scene.Ask(PeerIs(), {.require_sources = {"edge-a.bgpd"}}).verdict, Verdict::kRefuted);
}

TEST_F(TwoSources, RequiredSources) {
  scene.PeerUp("edge-a.bgpd");
  EXPECT_EQ(scene.Ask(PeerIs(), {.require_sources = {"edge-a.bgpd"}}).verdict, Verdict::kConfirmed);
  EXPECT_EQ(scene.Ask(PeerIs(), {.require_sources = {"edge-a.bmp"}}).reason, kReasonMinSources);
  EXPECT_EQ(scene.Ask(PeerIs(), {.require_sources = {"nobody"}}).reason, kReasonMinSources);
}

TEST_F(TwoSources, BlackTakesOneSourceAndNoOther) {
  scene.PeerUp("edge-a.bgpd");
  scene.PeerUp("edge-a.bmp");
  scene.RaiseAlarm("edge-a.bmp", "OPERATOR", ChannelState::kBlack);
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kConfirmed);
  EXPECT_EQ(scene.Ask(PeerIs(), {.min_sources = 2}).verdict, Verdict::kChannelCompromised);
  // Three there never were: that is not because of BLACK.
  EXPECT_EQ(scene.Ask(PeerIs(), {.min_sources = 3}).verdict, Verdict::kInsufficient);
}

TEST_F(TwoSources, OneDoubtfulSourceMakesTheAnswerIncomplete) {
  scene.PeerUp("edge-a.bgpd");
  scene.PeerUp("edge-a.bmp");
  scene.Lose("edge-a.bmp");
  scene.Beat("edge-a.bmp");
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kIncomplete);
  EXPECT_EQ(scene.Ask(PeerIs(), {.exclude_sources = {"edge-a.bmp"}}).verdict, Verdict::kConfirmed);
}

TEST_F(TwoSources, ValidUntilLooksBeyondSourcesThatDropOut) {
  scene.PeerUp("edge-a.bgpd");
  scene.Advance(10 * kSecond);
  scene.PeerUp("edge-a.bmp");
  scene.now = scene.Receipt();
  const Answer answer = scene.Ask(PeerIs());
  EXPECT_EQ(answer.verdict, Verdict::kConfirmed);
  EXPECT_EQ(answer.valid_until, scene.now + 30 * kSecond);
  const UnixNanos until = answer.valid_until;
  scene.now = until;
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kConfirmed);
  scene.now = until + 1;
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kSourceSilent);
}

TEST_F(TwoSources, Version1LivenessIsOfThePathOnly) {
  chain::Registration r = scene.Template("old.bgpd");
  r.min_frame_version = 1;
  scene.Register(r);
  auto frame = scene.Numbered("old.bgpd", 1, frame::Type::kPeerStatusChanged, PeerStateJson({}, "Idle", "Established"));
  frame.spelling = frame::Spelling::kV1Le;
  frame.epoch = scene.now;
  frame.time = scene.now;
  ASSERT_TRUE(scene.Send("old.bgpd", frame).entry.has_value());
  scene.Advance(40 * kSecond);
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kSourceSilent);
  scene.Beat("collector-1", {{"old.bgpd", true, 1, frame.time}});
  const Answer answer = scene.Ask(PeerIs());
  EXPECT_EQ(answer.verdict, Verdict::kConfirmed);
  EXPECT_TRUE(OpinionOf(answer, "old.bgpd").path_liveness_only);
}

}  // namespace
}  // namespace virp::onode
