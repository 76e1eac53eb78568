// virpctl's view of the RTR bridge, with all programs as they are run.
#include <gmock/gmock.h>

#include "tests/e2e/rtr_evidence_fixture.h"
#include "tests/testutil/program.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/wait.h"

namespace virp::e2e {
namespace {

using testing::HasSubstr;
using testutil::MakeRtrTable;
using testutil::ProgramResult;

constexpr char kRouter[] = "127.0.0.23";

class VirpctlRtrTest : public RtrEvidenceTest {
 protected:
  ProgramResult Ctl(std::vector<std::string> arguments, service::Role role = service::Role::kReader) {
    const service::TlsFiles files = lab_.pki().Files(role);
    arguments.insert(arguments.begin(), VIRPCTL);
    return testutil::RunProgram(arguments,
                                {"HOME=" + home_.path(), "VIRPCTL_ONODE=" + lab_.onode_address(),
                                 "VIRPCTL_RTR_BRIDGE=" + evidence_.address(), "VIRPCTL_TRUST=" + lab_.verifier(),
                                 "VIRPCTL_TLS_CERTIFICATE=" + files.certificate, "VIRPCTL_TLS_KEY=" + files.private_key,
                                 "VIRPCTL_TLS_ROOTS=" + files.roots, "VIRPCTL_TRUST_DOMAIN=test.virp.example"});
  }
  nlohmann::json Json(std::vector<std::string> arguments, int exit = 0) {
    arguments.insert(arguments.end(), {"--output", "json"});
    const ProgramResult result = Ctl(std::move(arguments));
    EXPECT_EQ(result.exit, exit) << result.err << result.out;
    return nlohmann::json::parse(result.out, nullptr, /*allow_exceptions=*/false);
  }
  // Once its record is in the chain.
  bool Proven(const std::string& generation) {
    return testutil::Eventually([&] { return Ctl({"rtr", "generation", generation}).exit == 0; });
  }

  testutil::TempDir home_;
};

TEST_F(VirpctlRtrTest, AnOperatorSeesWhatIsServedAndToWhom) {
  bridge_.Write(MakeRtrTable(100));
  ASSERT_OK(StartBridge());
  LoopbackRouter router(bridge_.tcp_port(), kRouter);
  ASSERT_TRUE(router.Until([](const auto&) { return true; }));
  ASSERT_TRUE(Proven("1"));

  const ProgramResult status = Ctl({"rtr", "status"});
  EXPECT_EQ(status.exit, 0) << status.err;
  EXPECT_THAT(status.out, HasSubstr("50 IPv4 and 50 IPv6 VRPs, 0 router keys, 0 ASPAs"));
  EXPECT_THAT(status.out, HasSubstr("1, of them 1 current"));
  const nlohmann::json sessions = Json({"rtr", "sessions"});
  ASSERT_EQ(sessions["sessions"].size(), 1U);
  EXPECT_THAT(sessions["sessions"][0]["peer"].get<std::string>(), HasSubstr(kRouter));
  EXPECT_THAT(Ctl({"rtr", "sessions"}).out, HasSubstr(kRouter));
  const nlohmann::json generations = Json({"rtr", "generations"});
  ASSERT_EQ(generations["generations"].size(), 1U);

  const std::string proof = home_.File("generation.proof");
  const ProgramResult generation = Ctl({"rtr", "generation", "1", "--save", proof});
  EXPECT_EQ(generation.exit, 0) << generation.err;
  EXPECT_THAT(generation.out, HasSubstr("proof       entry "));
  EXPECT_THAT(generation.out, HasSubstr(HexEncode(GetGeneration(1)->generation().sha256())));
  EXPECT_EQ(Ctl({"verify", proof}).exit, 0);
  EXPECT_EQ(Ctl({"rtr", "generation", "77"}).exit, 2);
  // Signed by nobody who is believed.
  const ProgramResult stranger =
      Ctl({"rtr", "generation", "1", "--state", home_.File("other"), "--trust",
           "virp.example.net/lab+00000000+AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="});
  EXPECT_NE(stranger.exit, 0) << stranger.out;

  EXPECT_EQ(Ctl({"rtr", "validate", "203.0.113.0/24", "64500"}).exit, 3);
  const nlohmann::json validity = Json({"rtr", "validate", "10.0.0.0/32", "AS1"}, 1);
  EXPECT_EQ(validity["validities"][0]["state"], "VALIDITY_STATE_INVALID");
  EXPECT_EQ(validity["generation"], "1");
}

TEST_F(VirpctlRtrTest, WhatIsHeldIsServedWhenAnOperatorAcceptsIt) {
  bridge_.Write(MakeRtrTable(100));
  ASSERT_OK(StartBridge({"--min-records", "50"}));
  bridge_.Write(MakeRtrTable(10));
  bridge_.Hangup();
  ASSERT_TRUE(testutil::Eventually([&] { return Ctl({"rtr", "status"}).exit == 3; }));
  const ProgramResult status = Ctl({"rtr", "status"});
  EXPECT_THAT(status.out, HasSubstr("held because"));
  const nlohmann::json held = Json({"rtr", "status"}, 3)["held"];
  const std::string number = held["generation"].get<std::string>();
  EXPECT_EQ(Ctl({"rtr", "refresh", "--reason", "a look"}).exit, 2) << "a reader may not";
  // Text, so that it can be pasted into the command.
  const std::size_t at = status.out.find_first_of("0123456789abcdef", status.out.find("held set") + 8);
  ASSERT_LT(at, status.out.size());
  const std::string set = status.out.substr(at, 64);
  const auto operate = [&](const std::string& accept, const std::string& as) {
    return Ctl({"rtr", "refresh", "--accept", accept, "--set", as, "--reason", "it was on purpose"},
               service::Role::kOperator);
  };
  EXPECT_EQ(Ctl({"rtr", "refresh", "--reason", "a look"}, service::Role::kOperator).exit, 3) << "still held";
  EXPECT_EQ(operate("99", set).exit, 2);
  EXPECT_EQ(operate(number, std::string(64, '0')).exit, 2) << "another set than was looked at";
  const ProgramResult accepted = operate(number, set);
  EXPECT_EQ(accepted.exit, 0) << accepted.err;
  EXPECT_THAT(accepted.out, HasSubstr("5 IPv4 and 5 IPv6 VRPs"));
}

TEST_F(VirpctlRtrTest, WhatARouterWasServedByATimeIsProvenFromTheChain) {
  const auto first = MakeRtrTable(100), second = MakeRtrTable(120, 1);
  bridge_.Write(first);
  ASSERT_OK(StartBridge());
  const std::vector<std::string> served{"rtr", "served", kBridge, kRouter};
  const ProgramResult nothing = Ctl(served);
  EXPECT_EQ(nothing.exit, 3) << nothing.err;
  EXPECT_THAT(nothing.out, HasSubstr("nothing on record"));

  LoopbackRouter router(bridge_.tcp_port(), kRouter);
  ASSERT_TRUE(router.Until([](const auto&) { return true; }));
  const std::uint32_t serial = router.state().serial;
  const auto records = AuditUntil("end_of_data_sent", std::string(kBridge) + "/router/" + kRouter);
  ASSERT_FALSE(records.empty());
  std::string set;
  UnixNanos then = 0;
  for (const Record& record : records) {
    if (record.event() != "end_of_data_sent") continue;
    set = record.payload.at("set_sha256");
    then = record.time;
  }
  bridge_.Write(second);
  ASSERT_TRUE(router.Until([&](const auto& state) { return state.serial == serial + 1; }));
  ASSERT_FALSE(AuditUntil("end_of_data_sent", std::string(kBridge) + "/router/" + kRouter, 2).empty());

  const nlohmann::json now = Json(served);
  EXPECT_EQ(now["served"]["serial"], serial + 1);
  EXPECT_NE(now["served"]["setSha256"], set);
  EXPECT_EQ(now["served"]["transport"], "tcp");
  EXPECT_EQ(now["confirmed"]["serial"], serial);
  EXPECT_EQ(now["confirmed"]["setSha256"], set);

  // By the time of the first End of Data, to the microsecond that the command line takes.
  const auto seconds = static_cast<std::time_t>(then / 1'000'000'000);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  std::array<char, 32> day{};
  std::strftime(day.data(), day.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  std::vector<std::string> by = served;
  by.insert(by.end(), {"--by", fmt::format("{}.{:09}Z", day.data(), then % 1'000'000'000)});
  const nlohmann::json before = Json(by);
  EXPECT_EQ(before["served"]["serial"], serial);
  EXPECT_EQ(before["served"]["setSha256"], set);
  EXPECT_TRUE(before["confirmed"].is_null());
  const ProgramResult table = Ctl(by);
  EXPECT_THAT(table.out, HasSubstr("served:    version 1, session"));
  EXPECT_THAT(table.out, HasSubstr("confirmed: nothing on record"));
}

}  // namespace
}  // namespace virp::e2e
