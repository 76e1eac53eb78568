// Each way around is refused, and somebody sees it. docs/bypass.md is the table; rows without a real bgpd are tested
// where it says.
#include <fcntl.h>
#include <sys/mman.h>

#include "tests/live/bypass_fixture.h"

namespace virp::e2e {
namespace {

constexpr std::size_t kTierAt = 6, kTimeAt = 8, kSequenceAt = 16, kSourceAt = 40;  // version 2

// Frames that the module signed, changed by whoever carries them.
TEST_F(BypassTest, ARelayThatEditsFramesIsRefusedAndAlarmed) {
  StartNativeLab();  // nobody listens yet
  const auto up = Record(1, R"("new_state":"Established")");
  ASSERT_OK(lab_->ShutDown(lab_->edge_b()));
  const auto all = Record(2, "peer_down");  // from the first frame on: it is a new connection
  lab_->edge_a().Kill();
  ASSERT_FALSE(up.empty());
  ASSERT_GT(all.size(), up.size());
  const std::string& yellow = all.back();
  ASSERT_EQ(yellow[kTierAt], 1);

  StartIntake(frame::Spelling::kV2);
  const FileDescriptor relay = Stranger();
  for (const std::string& bytes : up) ASSERT_TRUE(Send(relay, bytes));
  News(">Established");
  ASSERT_EQ(AskPeer(), verify::v1::VERDICT_CONFIRMED) << last_answer_;
  const std::size_t held = Entries().size();

  const auto at = [&](std::size_t place, std::string_view bytes) {
    std::string out = yellow;
    return out.replace(place, bytes.size(), bytes);
  };
  const std::vector<std::pair<const char*, std::string>> edits = {
      {"GREEN for YELLOW", at(kTierAt, std::string_view("\0", 1))},
      {"edited payload", at(yellow.find("peer_down"), "peer_Down")},
      {"back-dated", at(kTimeAt, std::string_view(up.front()).substr(kTimeAt, 8))},
      {"under a number that was used", at(kSequenceAt, std::string_view(up.front()).substr(kSequenceAt, 8))},
      {"without its tag", yellow.substr(0, yellow.size() - 32) + std::string(32, '\0')},
  };
  std::uint64_t refused = 0;
  for (const auto& [what, bytes] : edits) {
    const FileDescriptor wire = Stranger();
    ASSERT_TRUE(Send(wire, bytes));
    EXPECT_TRUE(Closed(wire)) << what;
    EXPECT_TRUE(WaitUntil(kPatience, [&] { return EndedBy("BAD_TAG") == refused + 1; })) << what;
    ++refused;
  }
  {
    const FileDescriptor wire = Stranger();
    ASSERT_TRUE(Send(wire, at(kSourceAt, std::string(16, 'x'))));
    EXPECT_TRUE(Closed(wire));
    EXPECT_TRUE(WaitUntil(kPatience, [&] { return EndedBy("SOURCE_UNKNOWN") == 1; }));
  }
  EXPECT_EQ(Entries().size(), held);
  EXPECT_THAT(Alarms(), ElementsAre("BAD_TAG")) << "once for all of them";
  EXPECT_EQ(AskPeer(), verify::v1::VERDICT_CONFIRMED) << last_answer_;
  EXPECT_THAT(last_answer_, HasSubstr(R"(channel_state: "ALARMED")"));

  // The same again, unchanged: no second observation, and no connection that counts.
  const FileDescriptor replay = Stranger();
  for (const std::string& bytes : up) ASSERT_TRUE(Send(replay, bytes));
  EXPECT_TRUE(WaitUntil(kPatience, [&] { return listener_->counters().frames == 2 * up.size(); }));
  Beat();  // after which all of that was answered by the O-Node
  EXPECT_EQ(Entries().size(), held);
  // And the truth, when it comes, counts.
  for (std::size_t i = up.size(); i < all.size(); ++i) ASSERT_TRUE(Send(relay, all[i]));
  News("peer_down");
  EXPECT_EQ(AskPeer(), verify::v1::VERDICT_REFUTED) << last_answer_;
}

// edge-a's module signs with edge-b's key.
TEST_F(BypassTest, AnotherRoutersKeyIsRefusedAndAlarmed) {
  RegisterOther();
  StartIntake(frame::Spelling::kV2);
  StartNativeLab({" virp hmac-key " + KeyOf(kOtherSource)});
  ASSERT_TRUE(WaitUntil(kPatience, [&] { return EndedBy("BAD_TAG") > 0; }));
  EXPECT_EQ(AskPeer(), verify::v1::VERDICT_NO_EVIDENCE) << last_answer_;
  EXPECT_THAT(Entries(), IsEmpty());
  EXPECT_THAT(Alarms(), Contains("BAD_TAG"));
  EXPECT_THAT(Alarms(kOtherSource), IsEmpty());
  EXPECT_TRUE(WaitUntil(kPatience, [&] { return Figure("socketErrors") > 0; })) << Status("status json");
  EXPECT_THAT(lab_->edge_a().log(), HasSubstr("the collector closed the connection"));
}

TEST_F(BypassTest, AKeyFileThatIsSwappedSilencesTheSource) {
  const std::string key = folder_ + "/own.key";
  std::filesystem::copy_file(KeyOf(kSource), key);
  StartIntake(frame::Spelling::kV2);
  StartNativeLab({" virp hmac-key " + key});
  News(">Established");
  ASSERT_EQ(AskPeer(), verify::v1::VERDICT_CONFIRMED) << last_answer_;
  std::ofstream(key + ".new") << std::string(64, 'f');
  ASSERT_EQ(::chmod((key + ".new").c_str(), 0600), 0);
  ASSERT_EQ(::rename((key + ".new").c_str(), key.c_str()), 0);
  // It is read anew within a second; what is signed with it is refused, and the source counts as gone.
  for (int i = 1; EndedBy("BAD_TAG") == 0 && i < 250; ++i) {
    ASSERT_OK(lab_->Announce(fmt::format("198.51.100.{}/32", i), i));
    ASSERT_OK(lab_->AwaitRoute(fmt::format("198.51.100.{}/32", i), true));
  }
  EXPECT_GT(EndedBy("BAD_TAG"), 0u);
  EXPECT_TRUE(WaitUntil(kPatience, [&] { return AskPeer() == verify::v1::VERDICT_SOURCE_SILENT; })) << last_answer_;
  EXPECT_THAT(Alarms(), Contains("BAD_TAG"));
}

// bgpd claims to be another router, under its own key.
TEST_F(BypassTest, AModuleThatNamesAnotherRouterSupportsNothing) {
  RegisterOther();
  StartIntake(frame::Spelling::kV2);
  StartNativeLab();
  News(">Established");
  ASSERT_OK(lab_->edge_a().Configure({"router bgp 64500", "bgp router-id 192.0.2.2"}));
  ASSERT_OK(lab_->Announce(kPrefix, 10));
  EXPECT_TRUE(WaitUntil(kPatience, [&] {
    const auto causes = Alarms();
    return !causes.empty() && causes.front() == "SCOPE_VIOLATION";
  }));
  EXPECT_EQ(Ask(PeerUp("edge-b")), verify::v1::VERDICT_NO_EVIDENCE) << last_answer_;
  EXPECT_THAT(Payloads(1).back(), HasSubstr(R"("router_id":"192.0.2.2")"));
}

// A program beside bgpd, under the same user.
TEST_F(BypassTest, ASecondWriterOnTheSocketIsRefusedAndTheModuleGoesOn) {
  StartIntake(frame::Spelling::kV1Le);
  StartLab();
  News(">Established");
  const FileDescriptor stranger = Stranger();
  EXPECT_TRUE(Closed(stranger));
  EXPECT_EQ(listener_->counters().refused_by.count("SECOND_CONNECTION"), 1u);
  ASSERT_OK(lab_->Announce(kPrefix, 10));
  EXPECT_THAT(News("bestpath"), ElementsAre(Announced(10), HasSubstr("bestpath_change")));
  EXPECT_EQ(AskPeer(), verify::v1::VERDICT_CONFIRMED) << last_answer_;
}

TEST_F(BypassTest, AStoppedCollectorIsSilence) {
  StartIntake(frame::Spelling::kV2);
  StartNativeLab();
  News(">Established");
  ASSERT_EQ(AskPeer(), verify::v1::VERDICT_CONFIRMED) << last_answer_;
  StopIntake();
  clock_.Skip(3 * collector::kBeatInterval + 1s);
  EXPECT_EQ(AskUnbeaten(PeerUp()), verify::v1::VERDICT_SOURCE_SILENT) << last_answer_;
  EXPECT_TRUE(WaitUntil(kPatience, [&] { return Status().find("(not connected)") != std::string::npos; }));
}

TEST_F(BypassTest, AKilledBgpdAndAModuleThatIsSwitchedOffAreSilence) {
  StartIntake(frame::Spelling::kV2);
  StartNativeLab();
  for (const bool killed : {false, true}) {
    News("Established");
    ASSERT_EQ(AskPeer(), verify::v1::VERDICT_CONFIRMED) << last_answer_;
    if (killed)
      lab_->edge_a().Kill();
    else
      ASSERT_OK(lab_->edge_a().Configure({"router bgp 64500", "no virp enable"}));
    ASSERT_TRUE(WaitUntil(kPatience, [&] { return listener_->connections() == 0; }));
    EXPECT_EQ(AskPeer(), verify::v1::VERDICT_SOURCE_SILENT) << last_answer_;
    if (!killed) ASSERT_OK(lab_->edge_a().Configure({"router bgp 64500", "virp enable"}));
  }
}

// bgpd ends with frames that nobody took. The next run says which.
TEST_F(BypassTest, WhatBgpdTookToItsGraveIsToldByTheNextRun) {
  StartNativeLab();
  ASSERT_OK(lab_->Announce(kPrefix, 10));
  ASSERT_OK(lab_->AwaitRoute(kPrefix, true));
  const std::uint64_t epoch = Figure("epoch");
  ASSERT_OK(lab_->edge_a().Stop());
  EXPECT_THAT(lab_->edge_a().log(), HasSubstr("were sent; the next start says so"));
  StartIntake(frame::Spelling::kV2);
  ASSERT_OK(lab_->edge_a().Start());
  ASSERT_TRUE(WaitUntil(kPatience, [&] { return !Payloads(22).empty(); })) << Status();
  frame::PayloadReader reader;
  const auto gap = chain::ParseGap(*reader.Read(Payloads(22).front()));
  ASSERT_OK(gap);
  EXPECT_EQ(gap->source, kSource);
  EXPECT_EQ(gap->epoch, epoch);
  EXPECT_EQ(gap->from, 1u);
  EXPECT_GE(gap->to, 4u);
  EXPECT_EQ(gap->why, chain::Gap::Why::kShutdown);
  ASSERT_OK(lab_->edge_a().Stop());
  ASSERT_OK(lab_->edge_a().Start());
  ASSERT_TRUE(WaitUntil(kPatience, [&] { return Payloads(24).size() >= 3; }));
  EXPECT_EQ(Payloads(22).size(), 1u) << "told once";
}

// bgpd is killed: nobody writes a last word. What it used up to a tenth of a second before is told all the same.
TEST_F(BypassTest, WhatAKilledBgpdUsedIsToldByTheNextRun) {
  StartNativeLab();
  ASSERT_OK(lab_->Announce(kPrefix, 10));
  ASSERT_OK(lab_->AwaitRoute(kPrefix, true));
  ASSERT_TRUE(WaitUntil(kPatience, [&] { return Figure("pending") == 0; }));
  const std::uint64_t epoch = Figure("epoch");
  std::uint64_t used = 0;
  ASSERT_TRUE(WaitUntil(kPatience, [&] {
    used = Figure("sequence");
    const std::string mark = ReadFile(folder_ + "/epoch.now", 1000).value_or("");
    return mark.find(fmt::format(" {:020} {:020} {:020}", epoch, 1, used)) != std::string::npos;
  }));
  lab_->edge_a().Kill();
  StartIntake(frame::Spelling::kV2);
  ASSERT_OK(lab_->edge_a().Start());
  ASSERT_TRUE(WaitUntil(kPatience, [&] { return !Payloads(22).empty(); })) << Status();
  frame::PayloadReader reader;
  const auto gap = chain::ParseGap(*reader.Read(Payloads(22).front()));
  ASSERT_OK(gap);
  EXPECT_EQ(gap->epoch, epoch);
  EXPECT_EQ(gap->from, 1u);
  EXPECT_EQ(gap->to, used);
  EXPECT_EQ(gap->why, chain::Gap::Why::kShutdown);
}

// The file of the module is another one after a restart of bgpd.
TEST_F(BypassTest, AReplacedModuleShowsInItsBeats) {
  module_ = folder_ + "/bgpd_virp.so";
  std::filesystem::copy_file(VIRP_FRR_MODULE, module_);
  StartIntake(frame::Spelling::kV2);
  StartNativeLab();
  News(">Established");
  const auto json = nlohmann::json::parse(Status("status json"));
  expected_->Replace({{{kSource}, {json["buildId"].get<std::string>()}}});
  ASSERT_THAT(Alarms(), IsEmpty());
  const std::uint64_t changes = BuildChanges();
  ASSERT_OK(lab_->edge_a().Stop());
  std::filesystem::remove(module_);
  std::filesystem::copy_file(VIRP_FRR_TEST_MODULE, module_);
  ASSERT_OK(lab_->edge_a().Start());
  ASSERT_OK(lab_->AwaitSession("Established"));
  News(">Established");
  std::set<std::string> builds;
  frame::PayloadReader reader;
  for (const std::string& payload : Payloads(24)) {
    const auto beat = reader.Read(payload);
    ASSERT_OK(beat);
    builds.emplace((*beat)["build_id"].AsString().value_or("none"));
  }
  EXPECT_EQ(builds.size(), 2u);
  EXPECT_THAT(Alarms(), ElementsAre("BUILD_UNEXPECTED"));
  EXPECT_EQ(BuildChanges(), changes + 1);
  EXPECT_EQ(AskPeer(), verify::v1::VERDICT_CONFIRMED) << last_answer_;
  EXPECT_THAT(last_answer_, HasSubstr(R"(channel_state: "ALARMED")"));
  for (const std::string& build : builds) EXPECT_EQ(build.size(), 40u) << build;
}

// The wall clock of bgpd's machine is moved, forward and back.
TEST_F(BypassTest, AClockThatIsMovedShows) {
  const std::string shift = folder_ + "/shift";
  std::ofstream(shift) << std::string(sizeof(std::int64_t), '\0');
  const FileDescriptor file(::open(shift.c_str(), O_RDWR | O_CLOEXEC));
  auto* const nanoseconds = static_cast<std::int64_t*>(
      ::mmap(nullptr, sizeof(std::int64_t), PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0));
  ASSERT_NE(static_cast<void*>(nanoseconds), MAP_FAILED);
  StartIntake(frame::Spelling::kV2);
  MakeLab({" virp frame-version 2", fmt::format(" virp state-file {}/epoch", folder_)},
          {"/usr/bin/env", "LD_PRELOAD=" VIRP_CLOCK_SHIM, "VIRP_CLOCK_SHIFT=" + shift});
  ASSERT_OK(lab_->Start());
  News(">Established");
  const std::uint64_t epoch = Figure("epoch");
  *nanoseconds = std::int64_t{3600} * 1'000'000'000;
  ASSERT_OK(lab_->Announce(kPrefix, 10));
  News("bestpath");
  EXPECT_EQ(Entries().back().result() & chain::kClockSuspect, chain::kClockSuspect) << "an hour ahead of its receipt";
  EXPECT_EQ(AskRoute("adj-in-post"), verify::v1::VERDICT_CONFIRMED) << last_answer_;
  clock_.Skip(3 * collector::kBeatInterval + 1s);  // its age counts from the receipt, not from what it says
  EXPECT_NE(AskUnbeaten(PeerUp()), verify::v1::VERDICT_CONFIRMED) << last_answer_;

  *nanoseconds = 0;
  ASSERT_OK(lab_->Announce(kPrefix, 20));
  News("med 20");
  EXPECT_GT(Figure("epoch"), epoch) << "a clock that steps back begins a new run, which restates all";
  EXPECT_TRUE(WaitUntil(kPatience, [&] { return AskRoute("adj-in-post") == verify::v1::VERDICT_CONFIRMED; }))
      << last_answer_;
  EXPECT_EQ(VerifyChain(/*subjects=*/true).result(), chain::v1::VerifyReport::RESULT_VERIFIED);
  ::munmap(nanoseconds, sizeof(std::int64_t));
}

}  // namespace
}  // namespace virp::e2e
