// `virpctl keys tcp-ao` as the program that people run, against the key manager's handler.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "services/keymgr/domain/test_custody.h"
#include "services/keymgr/domain/test_ledger.h"
#include "services/keymgr/transport/tcp_ao_handler.h"
#include "tests/testutil/program.h"
#include "tests/testutil/test_pki.h"
#include "tools/virpctl/ctl_test_util.h"

namespace virp::virpctl {
namespace {

using service::Role;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testutil::ProgramResult;

class TcpAoCommandTest : public ::testing::Test {
 protected:
  TcpAoCommandTest() : ledger_({keymgr::TypeOf<keymgr::TcpAoPairRecord>()}) {
    custodies_.Add(custody_);
    keys_ = std::make_unique<keymgr::TcpAoKeys>(ledger_.Start(), custodies_, ledger_.clock, pki_.Id(Role::kKeymgr));
    const service::Security security = pki_.MakeSecurity(keymgr::TcpAoAccess());
    handler_ = std::make_unique<keymgr::TcpAoHandler>(*keys_, security.callers, ledger_.clock);
    server_ = pki_.StartServer(Role::kKeymgr, security, {{handler_.get(), "virp.keymgr.v1.TcpAoKeyService"}});
  }
  ProgramResult Ctl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {VIRPCTL, "keys", "tcp-ao"});
    return testutil::RunProgram(arguments,
                                CtlEnvironment(pki_, dir_.path(), server_->port(), Role::kOperator, "noc-1"));
  }
  nlohmann::json Json(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--output", "json"});
    const ProgramResult result = Ctl(std::move(arguments));
    EXPECT_EQ(result.exit, 0) << result.err;
    return nlohmann::json::parse(result.out, nullptr, /*allow_exceptions=*/false);
  }
  // Both ends did what their plans say.
  void Report() {
    for (const std::string end : {"a", "b"}) {
      const nlohmann::json plan = Json({"plan", "edge-a/core-1", "--end", end});
      nlohmann::json report{{"serial", plan["serial"]}, {"askedFor", "3600s"}};
      for (const auto& key : plan["keys"]) {
        report["keys"].push_back({{"sendId", key["sendId"]}, {"recvId", key["recvId"]}, {"good", "5"}});
        if (key["version"] == plan["preferred"])
          report["sessions"].push_back({{"currentSendId", key["sendId"]}, {"rnextRecvId", key["recvId"]}});
      }
      std::ofstream(dir_.File("report")) << report.dump();
      EXPECT_EQ(Ctl({"report", "edge-a/core-1", "--end", end, "--file", dir_.File("report")}).exit, 0);
    }
  }
  testutil::TempDir dir_;
  testutil::TestPki pki_;
  keymgr::TestLedger ledger_;
  keymgr::MemoryCustody custody_;
  keymgr::Custodies custodies_;
  std::unique_ptr<keymgr::TcpAoKeys> keys_;
  std::unique_ptr<keymgr::TcpAoHandler> handler_;
  std::unique_ptr<service::ServerRunner> server_;
};

TEST_F(TcpAoCommandTest, AnOperatorRollsAKeyByHand) {
  const std::vector<std::string> create{"create",  "edge-a/core-1",    "--end-a",  "edge-a=192.0.2.1",
                                        "--end-b", "core-1=192.0.2.2", "--reason", "new peering"};
  const ProgramResult made = Ctl(create);
  EXPECT_EQ(made.exit, 0) << made.err;
  EXPECT_THAT(made.out, AllOf(HasSubstr("PENDING"), HasSubstr("1 (a sends 1, b sends 2)")));
  EXPECT_EQ(Ctl(create).exit, 2) << "it is there";
  for (int i = 0; i < 4; ++i) Report();
  EXPECT_THAT(Ctl({"list"}).out, AllOf(HasSubstr("edge-a/core-1"), HasSubstr("OLD_REMOVED")));

  EXPECT_EQ(Ctl({"roll", "edge-a/core-1", "--reason", "yearly", "--use-from", "tomorrow"}).exit, 2);
  EXPECT_EQ(Ctl({"roll", "edge-a/core-1", "--reason", "yearly"}).exit, 0);
  EXPECT_THAT(Ctl({"show", "edge-a/core-1"}).out, HasSubstr("end a has not reported"));
  EXPECT_EQ(Ctl({"abort", "edge-a/core-1", "--reason", "wrong window"}).exit, 0);
  Report();
  EXPECT_EQ(Json({"show", "edge-a/core-1"})["pair"]["rollover"]["phase"], "TCP_AO_PHASE_ABORTED");
  EXPECT_EQ(Ctl({"roll", "edge-a/core-1", "--reason", "yearly"}).exit, 0);
  Report();
  EXPECT_EQ(Ctl({"force", "edge-a/core-1", "--reason", "b ignores it"}).exit, 0);
  const auto asks_first = [&](std::vector<std::string> command) {
    const ProgramResult asked = Ctl(command);
    EXPECT_NE(asked.exit, 0);
    EXPECT_THAT(asked.err, HasSubstr("nothing was done: say --yes"));
    command.emplace_back("--yes");
    EXPECT_EQ(Ctl(command).exit, 0);
  };
  asks_first({"force", "edge-a/core-1", "--remove-old", "--reason", "compromised"});
  Report();
  asks_first({"delete", "edge-a/core-1", "--reason", "peering ended"});
  EXPECT_EQ(Ctl({"show", "edge-a/core-1"}).exit, 2);
}

TEST_F(TcpAoCommandTest, SecretsGoIntoAFileOnly) {
  EXPECT_EQ(Ctl({"create", "edge-a/core-1", "--end-a", "edge-a=192.0.2.1", "--end-b", "core-1=192.0.2.2", "--algorithm",
                 "aes128", "--octets", "16", "--reason", "new peering"})
                .exit,
            0);
  const std::vector<std::string> chain{"export",   "edge-a/core-1", "--end",    "b",
                                       "--format", "ios-xe",        "--reason", "installation"};
  EXPECT_THAT(Ctl(chain).out, AllOf(HasSubstr("key chain edge-a_core-1 tcp"), HasSubstr("(not shown)")));
  std::vector<std::string> saved = chain;
  saved.insert(saved.end(), {"--save", dir_.File("conf")});
  const ProgramResult result = Ctl(saved);
  EXPECT_EQ(result.exit, 0) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(testutil::FileText(dir_.File("conf")), Not(HasSubstr("(not shown)")));
  struct stat file{};
  ASSERT_EQ(stat(dir_.File("conf").c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600U);
  EXPECT_EQ(Ctl({"export", "edge-a/core-1", "--end", "c", "--format", "bird", "--reason", "x"}).exit, 2);
  EXPECT_EQ(Ctl({"create", "x", "--end-a", "edge-a", "--end-b", "core-1=192.0.2.2", "--reason", "x"}).exit, 2);
}

}  // namespace
}  // namespace virp::virpctl
