// The module inside a real bgpd, a collector, an O-Node: what bgpd does is signed in it, arrives in the chain as what
// it means, and claims follow.
#include "tests/live/frr_module_fixture.h"

namespace virp::e2e {
namespace {

TEST_F(FrrModuleTest, WhatBgpdDoesIsInTheChainAsPublished) {
  StartIntake(frame::Spelling::kV1Le);
  StartLab();
  EXPECT_THAT(News(">Established"), Not(Contains(HasSubstr("YELLOW"))));
  EXPECT_EQ(AskPeer(), verify::v1::VERDICT_CONFIRMED) << last_answer_;

  const std::string best = fmt::format("GREEN bestpath_change {}", kPrefix);
  ASSERT_OK(lab_->Announce(kPrefix, 10));
  EXPECT_THAT(News("bestpath"), ElementsAre(Announced(10), fmt::format("{} none>{}", best, Peer())));
  EXPECT_EQ(AskRoute("adj-in-post"), verify::v1::VERDICT_CONFIRMED) << last_answer_;
  EXPECT_EQ(AskRoute("best"), verify::v1::VERDICT_CONFIRMED) << last_answer_;
  // A path that is replaced is not withdrawn, and what is said of it is what it became.
  ASSERT_OK(lab_->Announce(kPrefix, 20));
  EXPECT_THAT(News("bestpath"), ElementsAre(Announced(20), fmt::format("{0} {1}>{1}", best, Peer())));
  ASSERT_OK(lab_->Withdraw(kPrefix));
  EXPECT_THAT(News("bestpath"), ElementsAre(fmt::format("GREEN route_withdraw adj-in-post {}", kPrefix),
                                            fmt::format("{} {}>none", best, Peer())));
  EXPECT_EQ(AskRoute("adj-in-post"), verify::v1::VERDICT_REFUTED) << last_answer_;

  // The session is lost: the routes go with it, and nobody withdraws them.
  ASSERT_OK(lab_->Announce(kPrefix, 10));
  News("bestpath");
  ASSERT_OK(lab_->ShutDown(lab_->edge_b(), "planned maintenance"));
  Lines lost = News("bestpath");
  ASSERT_GE(lost.size(), 3u);
  EXPECT_EQ(lost[0], "YELLOW peer_state_change Established>Clearing");
  EXPECT_EQ(lost[1], "YELLOW peer_down remote notification: Cease/Administrative Shutdown");
  lost.erase(lost.begin(), lost.begin() + 2);
  EXPECT_THAT(lost, Each(HasSubstr("GREEN")));
  EXPECT_THAT(lost, Not(Contains(HasSubstr("route_withdraw"))));
  EXPECT_EQ(AskPeer(), verify::v1::VERDICT_REFUTED) << last_answer_;
  EXPECT_EQ(AskRoute("adj-in-post"), verify::v1::VERDICT_REFUTED) << last_answer_;
  EXPECT_EQ(VerifyChain(/*subjects=*/true).result(), chain::v1::VerifyReport::RESULT_VERIFIED);
}

// bgpd's connections collide when both sides dial: the one that loses tells nothing.
TEST_F(FrrModuleTest, ASecondConnectionFromThePeersAddressIsNoLoss) {
  StartIntake(frame::Spelling::kV1Le);
  StartLab();
  News(">Established");
  ASSERT_OK(lab_->IntrudeAtEdgeA(/*says_open=*/true));
  ASSERT_OK(lab_->IntrudeAtEdgeA(/*says_open=*/false));
  ASSERT_OK(lab_->Announce(kPrefix, 10));
  EXPECT_THAT(News("bestpath"), ElementsAre(Announced(10), HasSubstr("bestpath_change")));
  EXPECT_EQ(AskPeer(), verify::v1::VERDICT_CONFIRMED) << last_answer_;
}

// The published minimal receiver's logic, with looped reads, verifies every frame.
TEST_F(FrrModuleTest, AReceiverOfAnotherMakeVerifiesEveryFrame) {
  testutil::Process receiver({.command = {"/usr/bin/python3", "-B", VIRP_SOURCE_DIR "/tests/interop/receive_frames.py",
                                          socket_, fmt::format("{}/keys/{}/1.hmac", dir_, kSource)},
                              .environment = {},
                              .log = dir_ + "/received"});
  ASSERT_OK(receiver.Start());
  StartLab();
  for (int i = 1; i < 100; ++i) ASSERT_OK(lab_->Announce(fmt::format("198.51.100.{}/32", i), i));
  ASSERT_OK(lab_->AwaitRoute("198.51.100.99/32", true));
  ASSERT_OK(lab_->ShutDown(lab_->edge_b()));
  ASSERT_OK(lab_->AwaitSession("Active"));
  ASSERT_TRUE(WaitUntil(kPatience, [&] { return Figure("pending") == 0; }));
  const std::uint64_t said = Figure("sequence");
  ASSERT_OK(lab_->edge_a().Configure({"router bgp 64500", "no virp enable"}));
  const auto ended = receiver.AwaitExit(kPatience);
  ASSERT_OK(ended);
  EXPECT_EQ(*ended, 0) << receiver.log();
  const std::string log = receiver.log();
  EXPECT_THAT(log, Not(HasSubstr("BAD")));
  EXPECT_EQ(static_cast<std::uint64_t>(std::count(log.begin(), log.end(), '\n')),
            said + 1);  // and the word that it is off
  EXPECT_THAT(log, HasSubstr(R"("reason":"SHUTDOWN")"));
}

TEST_F(FrrModuleTest, AStartThatFailsLeavesBgpdRunning) {
  MakeLab({" no virp hmac-key"});
  ASSERT_OK(lab_->Start());
  EXPECT_THAT(Status(), AllOf(HasSubstr("State: off"), HasSubstr("Off because: no key")));
  ASSERT_OK(lab_->Announce(kPrefix, 10));
  ASSERT_OK(lab_->AwaitRoute(kPrefix, true));
  // What was missing is given: it begins.
  StartIntake(frame::Spelling::kV1Le);
  ASSERT_OK(
      lab_->edge_a().Configure({"router bgp 64500", fmt::format("virp hmac-key {}/keys/{}/1.hmac", dir_, kSource)}));
  EXPECT_THAT(Status(), HasSubstr("State: enabled"));
  EXPECT_THAT(News("bestpath"), ElementsAre("GREEN peer_state_change Unknown>Established restated",
                                            Announced(10) + " restated", HasSubstr("bestpath_change")));
  EXPECT_THAT(Status("statistics"), HasSubstr("Type 1 (peer_status): 1"));
}

TEST_F(FrrModuleNativeTest, ItBeatsAndEachRunHasALaterEpoch) {
  StartIntake(frame::Spelling::kV2);
  StartNativeLab();
  News(">Established");
  EXPECT_EQ(AskPeer(), verify::v1::VERDICT_CONFIRMED) << last_answer_;
  const Lines beats = Payloads(24);
  ASSERT_FALSE(beats.empty());
  EXPECT_THAT(beats[0], AllOf(HasSubstr(R"("highest_sequence":1,"lost":0,"queued":0,"established":0,"build_id":")"),
                              HasSubstr(R"(","config_hash":")")));
  const std::uint64_t first = Figure("epoch");
  ASSERT_OK(lab_->edge_a().Stop());
  EXPECT_THAT(Line(Entries().back().payload(), 0), HasSubstr("heartbeat")) << "the last word";
  ASSERT_OK(lab_->edge_a().Start());
  ASSERT_OK(lab_->AwaitSession("Established"));
  EXPECT_GT(Figure("epoch"), first);
  News(">Established");
  EXPECT_EQ(AskPeer(), verify::v1::VERDICT_CONFIRMED) << last_answer_;
  EXPECT_EQ(VerifyChain(/*subjects=*/true).result(), chain::v1::VerifyReport::RESULT_VERIFIED);
}

TEST_F(FrrModuleNativeTest, WhatIsOffOrKilledConfirmsNothing) {
  StartIntake(frame::Spelling::kV2);
  StartNativeLab();
  News(">Established");
  EXPECT_EQ(AskPeer(), verify::v1::VERDICT_CONFIRMED) << last_answer_;
  ASSERT_OK(lab_->Announce(kPrefix, 10));
  News("bestpath");
  EXPECT_EQ(AskRoute("best"), verify::v1::VERDICT_CONFIRMED) << last_answer_;
  ASSERT_OK(lab_->edge_a().Configure({"router bgp 64500", "no virp enable"}));
  ASSERT_TRUE(WaitUntil(kPatience, [&] { return listener_->connections() == 0; }));
  EXPECT_THAT(Payloads(24).back(), AllOf(HasSubstr(R"("connected":false)"), HasSubstr(R"("state":"disabled")")));
  EXPECT_NE(AskPeer(), verify::v1::VERDICT_CONFIRMED) << last_answer_;
  ASSERT_OK(lab_->Withdraw(kPrefix));
  ASSERT_OK(lab_->AwaitRoute(kPrefix, false));

  ASSERT_OK(lab_->edge_a().Configure({"router bgp 64500", "virp enable"}));
  EXPECT_THAT(News("restated"), ElementsAre("GREEN peer_state_change Unknown>Established restated"));
  EXPECT_EQ(AskPeer(), verify::v1::VERDICT_CONFIRMED) << last_answer_;
  EXPECT_NE(AskRoute("best"), verify::v1::VERDICT_CONFIRMED) << "it went while nobody looked: " << last_answer_;
  lab_->edge_a().Kill();
  ASSERT_TRUE(WaitUntil(kPatience, [&] { return listener_->connections() == 0; }));
  EXPECT_NE(AskPeer(), verify::v1::VERDICT_CONFIRMED) << last_answer_;
}

TEST_F(FrrModuleNativeTest, ACollectorThatComesBackMissesNothing) {
  StartIntake(frame::Spelling::kV2);
  StartNativeLab();
  News(">Established");
  StopIntake();
  ASSERT_OK(lab_->Announce(kPrefix, 10));
  ASSERT_OK(lab_->AwaitRoute(kPrefix, true));
  StartIntake(frame::Spelling::kV2);
  EXPECT_THAT(News("bestpath"), ElementsAre(Announced(10), HasSubstr("bestpath_change")));
  EXPECT_EQ(AskRoute("adj-in-post"), verify::v1::VERDICT_CONFIRMED) << last_answer_;
  EXPECT_THAT(Payloads(22), IsEmpty());
}

// More than the ring holds happens while nobody listens: it is told which numbers are missing, and what holds is said
// again.
TEST_F(FrrModuleNativeTest, WhatWasLostIsToldAndHeals) {
  StartNativeLab({" virp ring-size 1"});
  AnnounceMany(6000);
  ASSERT_OK(lab_->Announce(kPrefix, 10));
  ASSERT_OK(lab_->AwaitRoute(kPrefix, true));
  EXPECT_GT(Figure("lost"), 0u);
  StartIntake(frame::Spelling::kV2);
  const auto stated = [&] {
    const Lines tables = Payloads(3);
    return !tables.empty() && AskRoute("adj-in-post") == verify::v1::VERDICT_CONFIRMED;
  };
  EXPECT_TRUE(WaitUntil(kPatience, stated)) << last_answer_ << Status("status json");
  std::uint64_t lost = 0;
  frame::PayloadReader reader;
  for (const std::string& payload : All(22)) {
    EXPECT_THAT(payload, HasSubstr("OVERFLOW"));
    const auto gap = chain::ParseGap(*reader.Read(payload));
    ASSERT_OK(gap);
    lost += gap->to - gap->from + 1;
  }
  EXPECT_EQ(lost, Figure("lost"));
}

}  // namespace
}  // namespace virp::e2e
