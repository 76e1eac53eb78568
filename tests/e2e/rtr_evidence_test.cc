// What the RTR bridge puts on record, with the programs as they are run: what was served to whom, and what they
// confirmed, is answered from the chain alone.
#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <unistd.h>

#include "lib/chain/proof.h"
#include "lib/vrp/json.h"
#include "lib/vrp/set.h"
#include "tests/e2e/rtr_evidence_fixture.h"
#include "tests/testutil/shell.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/wait.h"

namespace virp::e2e {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;
using testutil::MakeRtrTable;
using testutil::RtrTable;

constexpr char kRouter[] = "127.0.0.21";
constexpr char kRouterSubject[] = "bridge-1/router/127.0.0.21";
constexpr char kCacheSubject[] = "bridge-1/cache";

UnixNanos Now() {
  return SystemClock().NowNanos();
}

// As anybody computes it from the table.
std::string HashOf(const RtrTable& table) {
  const auto document = vrp::DecodeJson(testutil::RtrTableJson(table));
  return HexEncode(View(vrp::HashOf(document->payloads)));
}

TEST_F(RtrEvidenceTest, TheChainTellsWhatARouterWasServedAndWhatItConfirmed) {
  const RtrTable first = MakeRtrTable(200), second = MakeRtrTable(220, 1);
  bridge_.Write(first);
  ASSERT_OK(StartBridge());
  const UnixNanos before = Now();

  LoopbackRouter router(bridge_.tcp_port(), kRouter);
  ASSERT_TRUE(router.Until([](const auto&) { return true; }));
  const std::uint32_t serial = router.state().serial;
  AuditUntil("end_of_data_sent", kRouterSubject);
  const UnixNanos by_first = Now();
  bridge_.Write(second);
  ASSERT_TRUE(router.Until([&](const auto& state) { return state.serial == serial + 1; }));
  ASSERT_FALSE(AuditUntil("end_of_data_sent", kRouterSubject, 2).empty());
  const UnixNanos by_second = Now();
  ASSERT_TRUE(router.AskAgain());
  const auto records = AuditUntil("serial_confirmed", kRouterSubject, 2);
  ASSERT_FALSE(records.empty());

  EXPECT_FALSE(WhatWasServed(records, kRouter, before).sent);
  const Served at_first = WhatWasServed(records, kRouter, by_first);
  ASSERT_TRUE(at_first.sent);
  EXPECT_EQ(at_first.sent->at("version"), 1);
  EXPECT_EQ(at_first.sent->at("session_id"), router.state().session);
  EXPECT_EQ(at_first.sent->at("serial"), serial);
  EXPECT_EQ(at_first.sent->at("set_sha256"), HashOf(first));
  EXPECT_FALSE(at_first.confirmed) << "it has not asked again yet";
  EXPECT_TRUE(at_first.connected);
  EXPECT_THAT(at_first.identified, ElementsAre("tcp ")) << "its address is all there is";

  const Served at_second = WhatWasServed(records, kRouter, by_second);
  EXPECT_EQ(at_second.sent->at("serial"), serial + 1);
  EXPECT_EQ(at_second.sent->at("set_sha256"), HashOf(second));
  ASSERT_TRUE(at_second.confirmed);
  EXPECT_EQ(at_second.confirmed->at("serial"), serial) << "by the query that brought it the second";
  EXPECT_EQ(at_second.confirmed->at("session_id"), router.state().session);
  EXPECT_EQ(WhatWasServed(records, kRouter, Now()).confirmed->at("serial"), serial + 1);
  EXPECT_FALSE(WhatWasServed(records, "127.0.0.22", Now()).sent) << "another router";
}

TEST_F(RtrEvidenceTest, AGenerationComesWithAProofThatAnybodyChecks) {
  const RtrTable table = MakeRtrTable(200);
  bridge_.Write(table);
  ASSERT_OK(StartBridge());
  absl::StatusOr<rtr::v1::GetGenerationResponse> answer;
  ASSERT_TRUE(testutil::Eventually([&] {
    answer = GetGeneration(1);
    return answer.ok() && !answer->evidence().proof_file().empty();
  })) << (answer.ok() ? answer->evidence().problem() : answer.status().ToString());
  EXPECT_EQ(answer->evidence().problem(), "");

  ASSERT_OK_AND_ASSIGN(const auto verifier, chain::VerifierKey::Parse(lab_.verifier()));
  ASSERT_OK_AND_ASSIGN(const chain::Proof proof, chain::DecodeProof(answer->evidence().proof_file()));
  ASSERT_OK_AND_ASSIGN(const chain::VerifiedProof proven, chain::VerifyProof(proof, {verifier}));
  EXPECT_EQ(proven.checkpoint.origin, testutil::ServiceLab::kOrigin);
  EXPECT_EQ(proven.frame, answer->evidence().frame());
  ASSERT_OK_AND_ASSIGN(const frame::Frame frame, CheckFrame(proven.frame));
  EXPECT_EQ(frame.header.type, frame::Type::kCacheSerialChange);
  const auto payload = nlohmann::json::parse(frame.payload);
  EXPECT_EQ(payload.at("event"), "generation_served");
  EXPECT_EQ(payload.at("subject"), kCacheSubject);
  EXPECT_EQ(payload.at("generation"), 1);
  EXPECT_EQ(payload.at("set_sha256"), HashOf(table));
  EXPECT_EQ(payload.at("set_sha256"), HexEncode(answer->generation().sha256()));
  EXPECT_EQ(payload.at("sources").at(0).at("sha256"), HexEncode(answer->generation().sources(0).sha256()));

  // Somebody who changes a letter of it is found out.
  chain::Proof forged = proof;
  const std::size_t at = forged.entry.find(HashOf(table));
  ASSERT_NE(at, std::string::npos);
  forged.entry[at] = forged.entry[at] == '0' ? '1' : '0';
  EXPECT_FALSE(chain::VerifyProof(forged, {verifier}).ok());
}

TEST_F(RtrEvidenceTest, HowStronglyARouterProvedWhoItIsIsOnRecord) {
  bridge_.Write(MakeRtrTable(50));
  ASSERT_OK(StartBridge());
  const std::string port = std::to_string(bridge_.ssh_port());
  const std::string ssh = "timeout 20 rtrclient -e -t csv -o /dev/null ssh ";
  testutil::OutputOf(ssh + "127.0.0.1 " + port + " rpki " + bridge_.client_key() + " " + bridge_.known_hosts());
  AuditUntil("session_closed", "bridge-1/router/127.0.0.1", 1);
  testutil::OutputOf(ssh + "-w 127.0.0.1 " + port + " rpki secret");
  const auto records = AuditUntil("session_closed", "bridge-1/router/127.0.0.1", 2);
  EXPECT_THAT(WhatWasServed(records, "127.0.0.1", Now()).identified,
              ElementsAre(StartsWith("ssh ssh:rpki/SHA256:"), "ssh ssh:rpki/password"));
}

constexpr char kSpooled[] = "virp_rtr_bridge_records_total{result=\"spooled\"}";

std::vector<std::string> EventsOf(const std::vector<Record>& records) {
  std::vector<std::string> out;
  for (const Record& record : records) {
    if (record.type != frame::Type::kHeartbeat) out.push_back(record.event());
  }
  return out;
}

nlohmann::json Last(const std::vector<Record>& records, const std::string& event) {
  nlohmann::json out = nlohmann::json::object();
  for (const Record& record : records) {
    if (record.event() == event) out = record.payload;
  }
  return out;
}

TEST_F(RtrEvidenceTest, WithoutTheONodeItServesAndLosesNothingThatItSpooled) {
  const RtrTable first = MakeRtrTable(200), second = MakeRtrTable(220, 1);
  bridge_.Write(first);
  ASSERT_OK(StartBridge());
  LoopbackRouter router(bridge_.tcp_port(), kRouter);
  ASSERT_TRUE(router.Until([](const auto&) { return true; }));
  const std::uint32_t serial = router.state().serial;
  ASSERT_FALSE(AuditUntil("end_of_data_sent", kRouterSubject).empty());

  lab_.onode().Kill();
  bridge_.Write(second);
  ASSERT_TRUE(router.Until([&](const auto& state) { return state.serial == serial + 1; }));
  ASSERT_TRUE(testutil::Eventually([&] { return bridge_.Metric(kSpooled) >= 6; }));
  ASSERT_OK_AND_ASSIGN(const auto unproven, GetGeneration(2));
  EXPECT_FALSE(unproven.evidence().frame().empty());
  EXPECT_EQ(unproven.evidence().proof_file(), "");
  EXPECT_NE(unproven.evidence().problem(), "");
  ASSERT_OK_AND_ASSIGN(const auto waiting, GetStatus());
  EXPECT_GE(waiting.delivery().pending(), 3);

  bridge_.Kill();
  const UnixNanos killed = Now();
  ASSERT_OK(StartBridge());
  LoopbackRouter other(bridge_.tcp_port(), "127.0.0.22");
  ASSERT_TRUE(other.Until([](const auto&) { return true; }));
  EXPECT_EQ(other.state().serial, serial + 1);
  EXPECT_EQ(other.state().session, router.state().session);
  ASSERT_TRUE(testutil::Eventually([&] { return bridge_.Metric(kSpooled) >= 3; }));

  ASSERT_OK(lab_.StartONode());
  const auto records = AuditUntil("end_of_data_sent", "bridge-1/router/127.0.0.22");
  EXPECT_THAT(EventsOf(records),
              ElementsAre("bridge_started", "generation_served", "session_opened", "end_of_data_sent",
                          "generation_served", "serial_confirmed", "end_of_data_sent",  // spooled before the kill
                          "bridge_started", "records_lost", "generation_served", "session_opened", "end_of_data_sent"));
  for (std::size_t i = 0; i < records.size(); ++i) EXPECT_EQ(records[i].sequence, i + 1) << "not one is missing";
  const auto lost = std::find_if(records.begin(), records.end(),
                                 [](const Record& record) { return record.event() == "records_lost"; });
  ASSERT_NE(lost, records.end());
  EXPECT_EQ(lost->payload.at("why"), "crash");
  EXPECT_LT(lost->payload.at("since_ns").get<UnixNanos>(), killed);
  EXPECT_GT(lost->payload.at("until_ns").get<UnixNanos>(), killed);
  EXPECT_EQ(WhatWasServed(records, kRouter, killed).sent->at("set_sha256"), HashOf(second));
  EXPECT_TRUE(WhatWasServed(records, kRouter, killed).connected);
  EXPECT_FALSE(WhatWasServed(records, kRouter, Now()).connected) << "its connection ended with that start";

  ASSERT_TRUE(testutil::Eventually([&] {
    const auto proven = GetGeneration(2);
    return proven.ok() && !proven->evidence().proof_file().empty();
  }));
  ASSERT_OK_AND_ASSIGN(const auto report, lab_.VerifyChain());
  EXPECT_EQ(report.result(), chain::v1::VerifyReport::RESULT_VERIFIED) << report.ShortDebugString();
}

TEST_F(RtrEvidenceTest, AStartWithoutItsKeyFolderEndsWithASentence) {
  std::filesystem::remove_all(evidence_.key_folder());
  bridge_.Write(MakeRtrTable(2));
  EXPECT_THAT(StartBridge(), testutil::StatusIs(absl::StatusCode::kUnavailable, HasSubstr(evidence_.key_folder())));
  EXPECT_THAT(bridge_.process().AwaitExit(std::chrono::seconds(20)), testutil::IsOkAndHolds(testing::Eq(1)));
}

TEST_F(RtrEvidenceTest, AnEndInOrderLosesNothing) {
  bridge_.Write(MakeRtrTable(50));
  ASSERT_OK(StartBridge());
  LoopbackRouter router(bridge_.tcp_port(), kRouter);
  ASSERT_TRUE(router.Until([](const auto&) { return true; }));
  ASSERT_OK(bridge_.Stop());
  ASSERT_OK(StartBridge());
  const auto records = AuditUntil("generation_served", kCacheSubject, 2);
  EXPECT_THAT(EventsOf(records),
              ElementsAre("bridge_started", "generation_served", "session_opened", "end_of_data_sent", "session_closed",
                          "bridge_stopped", "bridge_started", "generation_served"));
  EXPECT_EQ(Last(records, "generation_served").value("resumed", false), true);
}

TEST_F(RtrEvidenceTest, TheBreakGlassSocketIsServedAndEachUseIsOnRecord) {
  const std::string socket = bridge_.File("glass") + "/socket";
  bridge_.Write(MakeRtrTable(50));
  ASSERT_OK(StartBridge({"--break-glass-socket", socket}));
  const auto stub =
      rtr::v1::RtrService::NewStub(grpc::CreateChannel("unix:" + socket, grpc::InsecureChannelCredentials()));
  const auto deadline = std::chrono::system_clock::now() + std::chrono::seconds(30);
  grpc::ClientContext status_context, refresh_context, denied_context;
  for (grpc::ClientContext* context : {&status_context, &refresh_context, &denied_context})
    context->set_deadline(deadline);
  rtr::v1::GetStatusResponse status;
  ASSERT_TRUE(stub->GetStatus(&status_context, {}, &status).ok());
  EXPECT_EQ(status.serving().generation(), 1U);
  rtr::v1::RefreshRequest refresh;
  refresh.set_reason("the certificates have lapsed");
  refresh.set_request_id("1");
  rtr::v1::RefreshResponse refreshed;
  const grpc::Status asked = stub->Refresh(&refresh_context, refresh, &refreshed);
  EXPECT_TRUE(asked.ok()) << asked.error_message();
  rtr::v1::ListVrpsResponse vrps;
  EXPECT_EQ(stub->ListVrps(&denied_context, {}, &vrps).error_code(), grpc::StatusCode::PERMISSION_DENIED);

  const auto records = AuditUntil("sources_refreshed", kCacheSubject);
  std::vector<std::string> used;
  for (const Record& record : records) {
    if (record.event() != "break_glass") continue;
    EXPECT_EQ(record.type, frame::Type::kActionOutcome);
    EXPECT_EQ(record.payload.at("uid"), ::getuid());
    used.push_back(record.payload.at("method"));
  }
  EXPECT_THAT(used, ElementsAre("/virp.rtr.v1.RtrService/GetStatus", "/virp.rtr.v1.RtrService/Refresh"));
  EXPECT_EQ(Last(records, "sources_refreshed").value("by", ""), "break-glass");
  EXPECT_EQ(Last(records, "sources_refreshed").value("reason", ""), "the certificates have lapsed");
}

}  // namespace
}  // namespace virp::e2e
