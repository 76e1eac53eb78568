// Two real FRR bgpd, BMP, collector, O-Node: each event of a BGP session gives exactly the observations that it should,
// once, in the chain, and claims follow them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "lib/frame/payload.h"
#include "services/collector/transport/bmp_ingest.h"
#include "tests/live/live_fixture.h"

namespace virp::e2e {
namespace {

using ::testing::Property;
using ::testing::SizeIs;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

constexpr std::string_view kMarks = "198.51.100.";  // prefixes that only mark a place in what is observed

// "TIER what happened", short enough to be read beside others.
std::string Line(const chain::v1::Entry& entry) {
  frame::PayloadReader reader;
  const auto payload = reader.Read(entry.payload());
  if (!payload.ok()) return "unreadable: " + entry.payload();
  const auto text = [&](std::string_view key) { return std::string((*payload)[key].AsString().value_or("?")); };
  const std::string event = text("event");
  std::string out(frame::TierName(static_cast<frame::Tier>(entry.tier())));
  if (event == "peer_state_change") {
    out += fmt::format(" {}>{}", text("old_state"), text("new_state"));
  } else if (event == "peer_down") {
    out += " down: " + text("reason");
    if ((*payload)["shutdown_message"].present()) out += fmt::format(" \"{}\"", text("shutdown_message"));
  } else if (event == "route_announce") {
    out += fmt::format(" announce {} {} by {} med {}", text("rib"), text("prefix"), text("as_path"),
                       (*payload)["med"].AsUnsigned().value_or(0));
  } else if (event == "route_withdraw") {
    out += fmt::format(" withdraw {} {}", text("rib"), text("prefix"));
  } else {
    out += " " + event;
    if (event == "table_complete") out += " " + text("rib");
  }
  for (const std::string_view flag : {"inferred", "restated"}) {
    if ((*payload)[flag].present()) out.append(" ").append(flag);
  }
  return out;
}

std::string Announced(std::string_view prefix, int med) {
  return fmt::format("GREEN announce adj-in-pre {} by 64500 64501 64510 med {}", prefix, med);
}
std::string Withdrawn(std::string_view prefix) {
  return fmt::format("GREEN withdraw adj-in-pre {}", prefix);
}

constexpr const char* kUp = "GREEN Idle>Established";
constexpr const char* kLost = "YELLOW Established>Idle";

class FrrLiveTest : public LiveTest {
 protected:
  FrrLiveTest() : LiveTest("edge-a.bmp") {}

  void SetUp() override {
    StartONode();
    RegisterBoth();
    StartIntake();
  }
  void TearDown() override { StopIntake(); }

  void StartLab(testutil::FrrPrePolicy pre_policy = testutil::FrrPrePolicy::kKept) {
    lab_ = std::make_unique<FrrLab>(port_, pre_policy);
    ASSERT_OK(lab_->Start());
    ASSERT_TRUE(Connected());
    EXPECT_THAT(News(1), ElementsAre("GREEN Unknown>Established"));
  }

  void StartIntake() {
    collector::BmpIngestOptions options;
    options.bmp.collector_source = "collector-1";
    options.bmp.quiet = 2s;
    options.listen = {{"127.0.0.1", static_cast<std::uint16_t>(port_)}};
    collector::BmpRouterOptions router;
    router.source = "edge-a.bmp";
    router.addresses = {IpAddress::V4(0x7f000001)};
    router.sys_name = "edge-a";
    router.mode = collector::BmpMode::kRoutes;
    options.bmp.routers.push_back(router);
    ingest_ = std::make_unique<collector::BmpIngest>(std::move(options), clock_);
    StartCollector({&ingest_->state()});
    ASSERT_OK(ingest_->Start(*outbox_, *liveness_));
    port_ = ingest_->ports().at(0);
  }
  void StopIntake() {
    if (ingest_ != nullptr) ingest_->Stop();
    StopCollector();
    ingest_.reset();
  }

  collector::BmpRouterStatus Status() const { return ingest_->Status().at(0); }
  // The session is up and what the router dumped was compared with what had been reported.
  bool Connected() const {
    return WaitUntil(kPatience, [&] { return Status().connected; });
  }

  // What edge-a.bmp has in the chain beyond what was taken before, in order; waits for `count` of them. Without
  // statements of tables: when a dump ends for being quiet depends on the machine's pace.
  Lines News(std::size_t count) {
    Lines out;
    WaitUntil(kPatience, [&] {
      const std::vector<chain::v1::Entry> entries = Entries();
      out.clear();
      for (std::size_t i = taken_; i < entries.size(); ++i) {
        const std::string line = Line(entries[i]);
        if (line.find(kMarks) == std::string::npos && line.find("table_complete") == std::string::npos)
          out.push_back(line);
      }
      const bool enough = out.size() >= count;
      if (enough) taken_ = entries.size();
      return enough;
    });
    return out;
  }
  // All statements of tables so far, in order; waits for `count`.
  Lines Tables(std::size_t count) {
    Lines out;
    WaitUntil(kPatience, [&] {
      out.clear();
      for (const chain::v1::Entry& entry : Entries()) {
        const std::string line = Line(entry);
        if (line.find("table_complete") != std::string::npos) out.push_back(line);
      }
      return out.size() >= count;
    });
    return out;
  }
  // News after everything that the router has said so far was heard: a marker is announced and waited for.
  Lines AllNews() {
    const std::string mark = fmt::format("{}{}/32", kMarks, ++marks_);
    EXPECT_OK(lab_->Announce(mark, 1));
    const bool seen = WaitUntil(kPatience, [&] {
      for (const chain::v1::Entry& entry : Entries()) {
        if (entry.payload().find(mark) != std::string::npos) return true;
      }
      return false;
    });
    EXPECT_TRUE(seen) << mark << " did not come; edge-a's log: " << lab_->edge_a().log();
    return News(0);
  }

  void AnnounceThree() {
    for (const char* prefix : {kPrefix, "203.0.114.0/24", "203.0.115.0/24"}) ASSERT_OK(lab_->Announce(prefix, 10));
    EXPECT_THAT(AllNews(), SizeIs(3));
  }
  // One stays, one goes, one changes, one is new: while nobody looks.
  void ChangeAllThree() {
    ASSERT_OK(lab_->Withdraw("203.0.114.0/24"));
    ASSERT_OK(lab_->Announce("203.0.115.0/24", 20));
    ASSERT_OK(lab_->Announce("203.0.116.0/24", 10));
    ASSERT_OK(lab_->AwaitRoute("203.0.116.0/24", true));
    ASSERT_OK(lab_->AwaitRoute("203.0.114.0/24", false));
  }
  static auto WhatChanged() {
    return UnorderedElementsAre(Announced("203.0.115.0/24", 20), Announced("203.0.116.0/24", 10),
                                Withdrawn("203.0.114.0/24") + " inferred");
  }

  Verdict AskPeer() {
    verify::v1::Claim claim;
    claim.mutable_peer()->set_router("edge-a");
    claim.mutable_peer()->set_peer_address(lab_->edge_b().address());
    return Ask(claim);
  }
  Verdict AskRoute(const std::string& prefix = kPrefix, bool absent = false) {
    verify::v1::Claim claim;
    claim.mutable_route()->set_router("edge-a");
    claim.mutable_route()->set_rib("adj-in-pre");
    claim.mutable_route()->set_prefix(prefix);
    claim.mutable_route()->set_absent(absent);
    if (!absent) claim.mutable_route()->set_origin_as(64510);
    return Ask(claim);
  }

  std::unique_ptr<collector::BmpIngest> ingest_;

 private:
  int port_ = 0;
  int marks_ = 0;

 protected:
};

TEST_F(FrrLiveTest, AnnounceChangeWithdraw) {
  StartLab();
  EXPECT_EQ(AskPeer(), verify::v1::VERDICT_CONFIRMED) << last_answer_;
  ASSERT_OK(lab_->Announce(kPrefix, 10));
  EXPECT_THAT(AllNews(), ElementsAre(Announced(kPrefix, 10)));
  EXPECT_EQ(AskRoute(), verify::v1::VERDICT_CONFIRMED) << last_answer_;

  ASSERT_OK(lab_->Announce(kPrefix, 20));
  EXPECT_THAT(AllNews(), ElementsAre(Announced(kPrefix, 20)));
  ASSERT_OK(lab_->Withdraw(kPrefix));
  EXPECT_THAT(AllNews(), ElementsAre(Withdrawn(kPrefix)));
  EXPECT_EQ(AskRoute(), verify::v1::VERDICT_REFUTED) << last_answer_;
  EXPECT_THAT(Tables(1), ElementsAre("GREEN table_complete adj-in-pre"));
  EXPECT_EQ(AskRoute(kPrefix, /*absent=*/true), verify::v1::VERDICT_CONFIRMED) << last_answer_;
  // The statement says where it began, and none of its paths is left behind by that.
  const auto entries = Entries();
  EXPECT_THAT(entries, Contains(Property(&chain::v1::Entry::payload, HasSubstr(R"("first_sequence":)"))));
  EXPECT_EQ(AskRoute(fmt::format("{}1/32", kMarks)), verify::v1::VERDICT_CONFIRMED) << last_answer_;
  EXPECT_EQ(VerifyChain(/*subjects=*/true).result(), chain::v1::VerifyReport::RESULT_VERIFIED);
}

TEST_F(FrrLiveTest, AdministrativeShutdownByEitherSide) {
  StartLab();
  ASSERT_OK(lab_->Announce(kPrefix, 10));
  EXPECT_THAT(AllNews(), ElementsAre(Announced(kPrefix, 10)));
  ASSERT_OK(lab_->ShutDown(lab_->edge_b(), "planned maintenance"));
  EXPECT_THAT(
      News(2),
      ElementsAre(kLost, "YELLOW down: remote notification: Cease/Administrative Shutdown \"planned maintenance\""));
  EXPECT_EQ(AskPeer(), verify::v1::VERDICT_REFUTED) << last_answer_;
  EXPECT_EQ(AskRoute(), verify::v1::VERDICT_REFUTED) << last_answer_;

  ASSERT_OK(lab_->BringUp(lab_->edge_b()));
  ASSERT_OK(lab_->AwaitSession("Established"));
  EXPECT_THAT(AllNews(), ElementsAre(kUp, Announced(kPrefix, 10)));
  ASSERT_OK(lab_->ShutDown(lab_->edge_a()));
  EXPECT_THAT(News(2), ElementsAre(kLost, "YELLOW down: local, no notification"));  // FRR sends one and does not say so
}

TEST_F(FrrLiveTest, KilledPeer) {
  StartLab();
  ASSERT_OK(lab_->Announce(kPrefix, 10));
  EXPECT_THAT(AllNews(), ElementsAre(Announced(kPrefix, 10)));
  lab_->edge_b().Kill();
  EXPECT_THAT(News(2), ElementsAre(kLost, "YELLOW down: remote, no notification"));
  EXPECT_EQ(AskPeer(), verify::v1::VERDICT_REFUTED) << last_answer_;
  ASSERT_OK(lab_->edge_b().Start());
  ASSERT_OK(lab_->AwaitSession("Established"));
  EXPECT_THAT(AllNews(), ElementsAre(kUp));
  EXPECT_EQ(AskPeer(), verify::v1::VERDICT_CONFIRMED) << last_answer_;
  EXPECT_EQ(AskRoute(), verify::v1::VERDICT_REFUTED) << last_answer_;
}

TEST_F(FrrLiveTest, ReconnectReportsWhatChangedMeanwhileAndNothingElse) {
  StartLab();
  AnnounceThree();
  ASSERT_OK(lab_->CloseBmp());
  ASSERT_TRUE(WaitUntil(kPatience, [&] { return !Status().session_up; }));
  ChangeAllThree();
  EXPECT_THAT(News(0), IsEmpty());
  EXPECT_NE(AskPeer(), verify::v1::VERDICT_CONFIRMED) << last_answer_;
  ASSERT_OK(lab_->OpenBmp());
  ASSERT_TRUE(Connected());
  EXPECT_THAT(AllNews(), WhatChanged());
  EXPECT_EQ(AskPeer(), verify::v1::VERDICT_CONFIRMED) << last_answer_;
  EXPECT_EQ(AskRoute("203.0.114.0/24", /*absent=*/true), verify::v1::VERDICT_CONFIRMED) << last_answer_;
  EXPECT_THAT(Tables(1), ElementsAre("GREEN table_complete adj-in-pre"));  // once, not again
}

TEST_F(FrrLiveTest, CollectorRestartReportsWhatChangedMeanwhileAndNothingElse) {
  StartLab();
  AnnounceThree();
  EXPECT_THAT(Tables(1), SizeIs(1));
  StopIntake();
  ChangeAllThree();
  EXPECT_THAT(News(0), IsEmpty());
  StartIntake();
  ASSERT_TRUE(Connected());
  Lines news = AllNews();
  EXPECT_EQ(std::erase(news, "GREEN Unknown>Established restated"), 1u);  // as at every start
  EXPECT_THAT(news, WhatChanged());
  EXPECT_EQ(AskPeer(), verify::v1::VERDICT_CONFIRMED) << last_answer_;
  EXPECT_EQ(AskRoute("203.0.114.0/24", /*absent=*/true), verify::v1::VERDICT_CONFIRMED) << last_answer_;
  EXPECT_THAT(Tables(1), SizeIs(1));
  EXPECT_EQ(VerifyChain(/*subjects=*/true).result(), chain::v1::VerifyReport::RESULT_VERIFIED);
}

TEST_F(FrrLiveTest, KilledMonitoredRouter) {
  StartLab();
  ASSERT_OK(lab_->Announce(kPrefix, 10));
  EXPECT_THAT(AllNews(), ElementsAre(Announced(kPrefix, 10)));
  lab_->edge_b().Kill();
  EXPECT_THAT(News(2), SizeIs(2));
  ASSERT_OK(lab_->edge_b().Start());
  ASSERT_OK(lab_->AwaitSession("Established"));
  EXPECT_THAT(AllNews(), ElementsAre(kUp));

  // Nobody is left to say that the peer is gone: nothing is said, and nothing confirmed.
  lab_->edge_a().Kill();
  ASSERT_TRUE(WaitUntil(kPatience, [&] { return !Status().session_up; }));
  lab_->edge_b().Kill();
  EXPECT_NE(AskPeer(), verify::v1::VERDICT_CONFIRMED) << last_answer_;
  EXPECT_THAT(News(0), IsEmpty());
  // It comes back and has no session with the peer any more.
  ASSERT_OK(lab_->edge_a().Start());
  // bgpd says so when a first attempt to connect fails in time; else it is concluded.
  EXPECT_THAT(News(2), ElementsAre(StartsWith(kLost), StartsWith("YELLOW down: ")));
  ASSERT_TRUE(Connected());
  EXPECT_EQ(AskPeer(), verify::v1::VERDICT_REFUTED) << last_answer_;
  ASSERT_OK(lab_->edge_b().Start());
  ASSERT_OK(lab_->AwaitSession("Established"));
  EXPECT_THAT(AllNews(), ElementsAre(kUp));
}

// Without `soft-reconfiguration inbound` bgpd has nothing to show of adj-in-pre, and says End-of-RIB of it all the
// same.
TEST_F(FrrLiveTest, AViewThatIsNeverShownIsNotStatedComplete) {
  StartLab(testutil::FrrPrePolicy::kNotKept);
  ASSERT_OK(lab_->Announce(kPrefix, 10));
  ASSERT_OK(lab_->AwaitRoute(kPrefix, true));
  ASSERT_OK(lab_->CloseBmp());
  ASSERT_TRUE(WaitUntil(kPatience, [&] { return !Status().session_up; }));
  ASSERT_OK(lab_->OpenBmp());
  ASSERT_TRUE(Connected());  // so the dump is over
  EXPECT_THAT(News(0), IsEmpty());
  EXPECT_THAT(Tables(0), IsEmpty());
  const auto view = Status().peers.at(0).views[static_cast<std::size_t>(bmp::Rib::kAdjInPre)];
  EXPECT_TRUE(view.reported);  // its End-of-RIB came
  EXPECT_FALSE(view.complete);
  EXPECT_NE(AskRoute(kPrefix, /*absent=*/true), verify::v1::VERDICT_CONFIRMED) << last_answer_;
  EXPECT_NE(AskRoute(), verify::v1::VERDICT_REFUTED) << last_answer_;
}

// Whoever can open a connection from the neighbor's address must not make the session look lost.
TEST_F(FrrLiveTest, ASecondConnectionFromThePeersAddressIsNoLoss) {
  StartLab();
  ASSERT_OK(lab_->Announce(kPrefix, 10));
  EXPECT_THAT(AllNews(), ElementsAre(Announced(kPrefix, 10)));
  for (const bool says_open : {false, true}) {
    ASSERT_OK(lab_->IntrudeAtEdgeA(says_open));
    ASSERT_OK(lab_->AwaitSession("Established"));
    EXPECT_THAT(AllNews(), IsEmpty());
  }
  EXPECT_EQ(AskPeer(), verify::v1::VERDICT_CONFIRMED) << last_answer_;
  EXPECT_EQ(AskRoute(), verify::v1::VERDICT_CONFIRMED) << last_answer_;
}

}  // namespace
}  // namespace virp::e2e
