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
