// virpctl about a collector, with the programs as they are run.
#include <gmock/gmock.h>
#include <signal.h>

#include <nlohmann/json.hpp>

#include "tests/testutil/program.h"
#include "tests/testutil/service_lab.h"

namespace virp::e2e {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testutil::ProgramResult;
using testutil::ServiceLab;

class VirpctlCollectorTest : public ::testing::Test {
 protected:
  VirpctlCollectorTest() : lab_({.binaries = VIRP_BINARY_DIR}) {}
  void SetUp() override { ASSERT_TRUE(lab_.Start().ok()); }

  ProgramResult Ctl(std::vector<std::string> arguments, service::Role role = service::Role::kOperator) {
    const service::TlsFiles files = lab_.pki().Files(role);
    arguments.insert(arguments.begin(), VIRPCTL);
    return testutil::RunProgram(
        arguments, {"HOME=" + home_.path(), "VIRPCTL_ONODE=" + lab_.onode_address(),
                    "VIRPCTL_COLLECTOR=" + lab_.collector_address(), "VIRPCTL_TLS_CERTIFICATE=" + files.certificate,
                    "VIRPCTL_TLS_KEY=" + files.private_key, "VIRPCTL_TLS_ROOTS=" + files.roots,
                    "VIRPCTL_TRUST_DOMAIN=test.virp.example"});
  }
  nlohmann::json Json(std::vector<std::string> arguments, int exit) {
    arguments.insert(arguments.end(), {"--output", "json"});
    const ProgramResult result = Ctl(std::move(arguments));
    EXPECT_EQ(result.exit, exit) << result.err << result.out;
    return nlohmann::json::parse(result.out, nullptr, /*allow_exceptions=*/false);
  }

  testutil::TempDir home_;
  ServiceLab lab_;
};

TEST_F(VirpctlCollectorTest, BothServicesReadTheSameAgainOnHangup) {
  for (testutil::Process* const service : {&lab_.onode(), &lab_.collector()}) {
    ASSERT_EQ(::kill(service->pid(), SIGHUP), 0);
    EXPECT_TRUE(testutil::WaitUntil(std::chrono::seconds(10), [&] {
      return service->log().find("keys limits deny-file") != std::string::npos;
    })) << service->log();
  }
}

TEST_F(VirpctlCollectorTest, ShowsStateProducersAndRouters) {
  ASSERT_TRUE(testutil::WaitUntil(std::chrono::seconds(20), [this] { return Ctl({"collector", "status"}).exit == 0; }));
  EXPECT_THAT(Ctl({"collector", "status"}).out,
              AllOf(HasSubstr("collector-1"), HasSubstr(lab_.onode_address()), HasSubstr("edge-b.bmp")));
  EXPECT_EQ(Json({"collector", "status"}, 0)["name"], "collector-1");
  EXPECT_THAT(Ctl({"collector", "producers"}).out, HasSubstr("edge-a.agent"));
  EXPECT_EQ(Json({"collector", "producers"}, 0)["producers"].size(), 1U);
  EXPECT_THAT(Ctl({"bmp", "peers"}).out, AllOf(HasSubstr("edge-b.bmp"), HasSubstr("down")));
  const nlohmann::json routers = Json({"bmp", "peers", "--source", "edge-b.bmp"}, 0);
  ASSERT_EQ(routers["routers"].size(), 1U);
  EXPECT_EQ(routers["routers"][0]["sessionUp"], false);
  EXPECT_EQ(Ctl({"bmp", "peers", "--source", "edge-a.bgpd"}).exit, 2) << "has no router";
  for (const char* const command : {"status", "producers"}) {
    EXPECT_EQ(Ctl({"collector", command}, service::Role::kReader).exit, 2) << command;
  }
  EXPECT_EQ(Ctl({"bmp", "peers"}, service::Role::kReader).exit, 2);
  EXPECT_EQ(Ctl({"collector", "status", "--collector", lab_.onode_address()}).exit, 2) << "an O-Node is no collector";

  lab_.onode().Kill();
  EXPECT_TRUE(testutil::WaitUntil(std::chrono::seconds(20), [this] { return Ctl({"collector", "status"}).exit == 3; }))
      << "delivery stands still";
}

}  // namespace
}  // namespace virp::e2e
