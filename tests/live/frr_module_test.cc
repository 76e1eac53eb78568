// The module inside a real bgpd, a collector, an O-Node: what bgpd does is signed in it, arrives in the chain as what
// it means, and claims follow.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lib/chain/control.h"
#include "lib/frame/payload.h"
#include "services/collector/transport/frame_listener.h"
#include "tests/e2e/platform_fixture.h"
#include "tests/testutil/frr_lab.h"
#include "tests/testutil/status_matchers.h"

namespace virp::e2e {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testutil::FrrLab;
using testutil::WaitUntil;
using verify::v1::Verdict;

using Lines = std::vector<std::string>;

constexpr std::chrono::seconds kPatience = FrrLab::kPatience;
constexpr const char* kSource = "edge-a.bgpd";
constexpr const char* kPrefix = "203.0.113.0/24";

// "TIER what happened", short enough to be read beside others.
std::string Line(std::string_view text, std::uint32_t tier) {
  frame::PayloadReader reader;
  const auto read = reader.Read(text);
  if (!read.ok()) return "unreadable: " + std::string(text);
  const frame::Value payload = *read;
  const auto string = [&](std::string_view key) { return std::string(payload.Path(key).AsString().value_or("none")); };
  const auto number = [&](std::string_view key) { return payload.Path(key).AsUnsigned().value_or(0); };
  const std::string event = string("event");
  std::string out = fmt::format("{} {}", frame::TierName(static_cast<frame::Tier>(tier)), event);
  if (event == "peer_state_change") out += fmt::format(" {}>{}", string("old_state"), string("new_state"));
  if (event == "peer_down") out += fmt::format(" {}", string("reason"));
  if (event == "route_announce")
    out += fmt::format(" {} {} by {} med {}", string("rib"), string("prefix"), string("as_path"), number("med"));
  if (event == "route_withdraw") out += fmt::format(" {} {}", string("rib"), string("prefix"));
  if (event == "bestpath_change")
    out += fmt::format(" {} {}>{}", string("prefix"), string("old.peer_addr"), string("new.peer_addr"));
  if (event == "table_complete") out += " " + string("rib");
  if (payload["red_rule"].present()) out += " by " + string("red_rule");
  if (payload["restated"].present()) out += " restated";
  return out;
}

class FrrModuleTest : public PlatformTest {
 protected:
  FrrModuleTest() { site_.AddKey(kSource, frame::Suite::kHmacSha256); }

  void SetUp() override {
    ASSERT_EQ(::mkdir(folder_.c_str(), 0750), 0);
    StartONode();
    RegisterBoth();
    testutil::LabSource source{.name = kSource, .vantage = source::v1::VANTAGE_DAEMON, .types = {1, 2, 3, 4, 22, 24}};
    source.router = "edge-a";
    source.bgp_id = "192.0.2.1";
    source.min_frame_version = 1;
    ASSERT_EQ(onode_->Register(source).name(), kSource);
  }
  void TearDown() override {
    lab_.reset();
    StopIntake();
  }

  void StartIntake(frame::Spelling spelling) {
    options_.listen = "unix:" + socket_;
    options_.source = kSource;
    options_.spelling = spelling;
    StartCollector({&runs_});
    liveness_->Add(kSource, collector::Path::kFrames, false);
    intake_ = std::make_unique<collector::FrameIntake>(options_, *outbox_, runs_, *liveness_, *keys_, clock_);
    auto listener = collector::FrameListener::Start(*intake_, *outbox_, *liveness_, clock_);
    ASSERT_OK(listener);
    listener_ = *std::move(listener);
  }
  void StopIntake() {
    listener_.reset();
    StopCollector();
    intake_.reset();
  }

  void MakeLab(const Lines& more) {
    Lines lines = {fmt::format(" virp source-name {}", kSource),
                   fmt::format(" virp hmac-key {}/keys/{}/1.hmac", dir_, kSource), " virp onode-socket " + socket_};
    lines.insert(lines.end(), more.begin(), more.end());
    lines.emplace_back(" virp enable");
    lab_ = std::make_unique<FrrLab>(testutil::FrrModule{VIRP_FRR_MODULE, lines});
  }
  void StartLab(const Lines& more = {}) {
    MakeLab(more);
    ASSERT_OK(lab_->Start());
  }
  std::string Peer() { return lab_->edge_b().address(); }
  std::string Status(std::string_view what = "status") {
    return lab_->edge_a().Show(fmt::format("show bgp virp {}", what)).value_or("bgpd does not answer");
  }
  std::uint64_t Figure(const char* key) {
    const auto json = nlohmann::json::parse(Status("status json"), nullptr, /*allow_exceptions=*/false);
    return json.is_object() ? json.value(key, std::uint64_t{0}) : 0;
  }

  // What the module has in the chain beyond what was taken before, in order, waited for until a line has `last` in it.
  // Without statements of tables, which come a second after a session has shown its own.
  Lines News(const std::string& last) {
    Lines out;
    const bool came = WaitUntil(kPatience, [&] {
      const auto entries = Entries();
      out.clear();
      for (std::size_t i = taken_; i < entries.size(); ++i) {
        const std::string line = Line(entries[i].payload(), entries[i].tier());
        if (line.find("table_complete") == std::string::npos && line.find("heartbeat") == std::string::npos)
          out.push_back(line);
        if (line.find(last) == std::string::npos) continue;
        taken_ = i + 1;
        return true;
      }
      return false;
    });
    EXPECT_TRUE(came) << "no " << last << "; " << Status();
    return out;
  }
  std::vector<chain::v1::Entry> Entries() {
    const auto stub = verify::v1::VerifyService::NewStub(pki_.Channel(*server_, Role::kReader));
    verify::v1::ListObservationsRequest request;
    request.mutable_filter()->set_source(kSource);
    request.set_page_size(1'000);
    verify::v1::ListObservationsResponse response;
    grpc::ClientContext context;
    const grpc::Status status = stub->ListObservations(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return {response.observations().rbegin(), response.observations().rend()};
  }

  Verdict Ask(const verify::v1::Claim& claim) {
    Beat();
    const auto stub = verify::v1::VerifyService::NewStub(pki_.Channel(*server_, Role::kReader));
    verify::v1::VerifyClaimRequest request;
    *request.mutable_claim() = claim;
    verify::v1::VerifyClaimResponse response;
    grpc::ClientContext context;
    const grpc::Status status = stub->VerifyClaim(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    response.mutable_answer()->clear_proofs();
    last_answer_ = response.answer().ShortDebugString();
    return response.answer().verdict();
  }
  Verdict AskPeer() {
    verify::v1::Claim claim;
    claim.mutable_peer()->set_router("edge-a");
    claim.mutable_peer()->set_peer_address(Peer());
    return Ask(claim);
  }
  Verdict AskRoute(const std::string& rib) {
    verify::v1::Claim claim;
    claim.mutable_route()->set_router("edge-a");
    claim.mutable_route()->set_rib(rib);
    claim.mutable_route()->set_prefix(kPrefix);
    claim.mutable_route()->set_origin_as(64510);
    return Ask(claim);
  }

  const std::string folder_ = dir_ + "/run", socket_ = folder_ + "/frames.sock";
  collector::FrameListenerOptions options_;
  collector::RunBook runs_;
  std::unique_ptr<collector::FrameIntake> intake_;
  std::unique_ptr<collector::FrameListener> listener_;
  std::unique_ptr<FrrLab> lab_;
  std::size_t taken_ = 0;
  std::string last_answer_;
};

std::string Announced(int med) {
  return fmt::format("GREEN route_announce adj-in-post {} by 64501 64510 med {}", kPrefix, med);
}

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

class FrrModuleNativeTest : public FrrModuleTest {
 protected:
  void StartNativeLab(Lines more = {}) {
    more.insert(more.begin(), {" virp frame-version 2", fmt::format(" virp state-file {}/epoch", folder_)});
    StartLab(more);
  }
  // The payloads of that type in the chain.
  Lines Payloads(std::uint32_t type) {
    Lines out;
    for (const auto& entry : Entries()) {
      if (entry.type() == type) out.push_back(entry.payload());
    }
    return out;
  }
  // The same, of however many entries.
  Lines All(std::uint32_t type) {
    const auto stub = verify::v1::VerifyService::NewStub(pki_.Channel(*server_, Role::kReader));
    verify::v1::ListObservationsRequest request;
    request.mutable_filter()->set_source(kSource);
    request.mutable_filter()->add_types(type);
    verify::v1::ListObservationsResponse response;
    Lines out;
    do {
      grpc::ClientContext context;
      const grpc::Status status = stub->ListObservations(&context, request, &response);
      EXPECT_TRUE(status.ok()) << status.error_message();
      for (const auto& entry : response.observations()) out.push_back(entry.payload());
      request.set_page_token(response.next_page_token());
    } while (!request.page_token().empty());
    return out;
  }
  void AnnounceMany(int count) {
    Lines lines = {"router bgp 64501", "address-family ipv4 unicast"};
    for (int i = 0; i < count; ++i)
      lines.push_back(fmt::format("network 10.{}.{}.{}/32", i >> 16, (i >> 8) & 255, i & 255));
    ASSERT_OK(lab_->edge_b().Configure(lines));
    ASSERT_OK(lab_->AwaitRoute(lines.back().substr(8), true));
    ASSERT_TRUE(WaitUntil(kPatience, [&] { return Figure("pending") == 0; }));
  }
};

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
  ASSERT_OK(lab_->edge_a().Configure({"router bgp 64500", "no virp enable"}));
  ASSERT_TRUE(WaitUntil(kPatience, [&] { return listener_->connections() == 0; }));
  EXPECT_THAT(Payloads(24).back(), AllOf(HasSubstr(R"("connected":false)"), HasSubstr(R"("state":"disabled")")));
  EXPECT_NE(AskPeer(), verify::v1::VERDICT_CONFIRMED) << last_answer_;

  ASSERT_OK(lab_->edge_a().Configure({"router bgp 64500", "virp enable"}));
  EXPECT_THAT(News("restated"), ElementsAre("GREEN peer_state_change Unknown>Established restated"));
  EXPECT_EQ(AskPeer(), verify::v1::VERDICT_CONFIRMED) << last_answer_;
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
