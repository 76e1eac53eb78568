// `virpctl keys router` and `virpctl router` against the key manager's own code: an operator, an approver and a router,
// over gRPC and EST, from a key to its end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "services/keymgr/domain/router_enrolment.h"
#include "services/keymgr/domain/router_fixture.h"
#include "services/keymgr/transport/est/est_server.h"
#include "services/keymgr/transport/router_key_handler.h"
#include "tests/testutil/program.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/test_pki.h"
#include "tools/virpctl/ctl_test_util.h"

namespace virp::virpctl {
namespace {

using service::Role;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testutil::ProgramResult;

constexpr char kSlot[] = "edge-a/64496";

class RouterKeysCommandTest : public ::testing::Test {
 protected:
  RouterKeysCommandTest() : fixture_(/*set_up=*/false), enrolment_(*fixture_.keys) {
    // virpctl asks no fake clock whether a certificate is valid.
    fixture_.ledger.clock.SetWall(SystemClock().NowNanos());
    EXPECT_OK(fixture_.authority->SetUp(fixture_.NewCall()));
    const service::Security security = pki_.MakeSecurity(keymgr::RouterKeyAccess());
    handler_ = std::make_unique<keymgr::RouterKeyHandler>(*fixture_.keys, *fixture_.fleets, security.callers,
                                                          fixture_.ledger.clock);
    server_ = pki_.StartServer(Role::kKeymgr, security, {{handler_.get(), "virp.keymgr.v1.RouterKeyService"}});
    keymgr::EstOptions options;
    options.listen = "127.0.0.1:0";
    options.tls = pki_.Files(Role::kKeymgr);
    est_ = *keymgr::EstServer::Start(options, enrolment_, security, clock_);
    std::ofstream(File("ta"), std::ios::binary) << *fixture_.keys->TrustAnchor();
  }
  std::string File(const std::string& name) { return dir_.File(name); }

  ProgramResult Ctl(Role role, const std::string& name, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), VIRPCTL);
    std::vector<std::string> environment = CtlEnvironment(pki_, dir_.path(), server_->port(), role, name);
    environment.push_back("VIRPCTL_EST=localhost:" + std::to_string(est_->port()));
    return testutil::RunProgram(arguments, environment);
  }
  ProgramResult Operator(std::vector<std::string> arguments, Role role = Role::kOperator) {
    arguments.insert(arguments.begin(), {"keys", "router"});
    return Ctl(role, "noc-1", std::move(arguments));
  }
  // With a reason, and nobody to ask.
  ProgramResult Agreed(std::vector<std::string> arguments, Role role = Role::kOperator) {
    arguments.insert(arguments.end(), {"--reason", "a test", "--yes"});
    return Operator(std::move(arguments), role);
  }
  ProgramResult Router(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "router");
    return Ctl(Role::kRouter, "edge-a", std::move(arguments));
  }
  nlohmann::json Json(const std::function<ProgramResult(std::vector<std::string>)>& run,
                      std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--output", "json"});
    const ProgramResult result = run(std::move(arguments));
    EXPECT_EQ(result.exit, 0) << result.err;
    return nlohmann::json::parse(result.out, nullptr, /*allow_exceptions=*/false);
  }
  void Register(const nlohmann::json& more = {}) {
    nlohmann::json account{{"id", "edge-a"}, {"bgpId", 3221225985}, {"asns", {64496}}};
    account["agent"] = pki_.Id(Role::kRouter, "edge-a");
    if (!more.is_null()) account.update(more);
    std::ofstream(File("account")) << account.dump();
    const ProgramResult made = Operator({"register", "--file", File("account"), "--reason", "new edge"});
    ASSERT_EQ(made.exit, 0) << made.err;
    EXPECT_THAT(made.out, AllOf(HasSubstr("192.0.2.1"), HasSubstr("64496")));
  }
  ProgramResult Enrol() {
    return Router({"enrol", "--key", File("key"), "--request", File("csr"), "--certificate", File("cert"),
                   "--trust-anchor", File("ta"), "--yes"});
  }
  std::string PendingRequest() {
    const auto pending = Json([this](auto arguments) { return Operator(arguments); }, {"pending"});
    return pending["requests"].empty() ? "" : pending["requests"][0]["id"].get<std::string>();
  }
  ProgramResult Report(const std::string& event) {
    std::vector<std::string> arguments{"report", kSlot, "--key-version", "1", "--event", event, "--key", File("key")};
    if (event == "installed")
      arguments.insert(arguments.end(),
                       {"--certificate", File("cert"), "--trust-anchor", File("ta"), "--package-valid"});
    return Router(arguments);
  }

  testutil::TempDir dir_;
  testutil::TestPki pki_;
  SystemClock clock_;
  keymgr::RouterFixture fixture_;
  keymgr::RouterEnrolment enrolment_;
  std::unique_ptr<keymgr::RouterKeyHandler> handler_;
  std::unique_ptr<service::ServerRunner> server_;
  std::unique_ptr<keymgr::EstServer> est_;
};

TEST_F(RouterKeysCommandTest, ARouterEnrolsAndAnotherPersonApproves) {
  Register();
  EXPECT_THAT(Operator({"routers"}).out, HasSubstr("edge-a"));
  EXPECT_EQ(Enrol().exit, 3);
  const std::string request = PendingRequest();
  ASSERT_NE(request, "");
  const ProgramResult submitted = Operator({"submit", "--file", File("csr"), "--router", "edge-a", "--reason", "x"});
  EXPECT_EQ(submitted.exit, 3) << submitted.err;
  EXPECT_THAT(submitted.out, AllOf(HasSubstr("PENDING"), Not(HasSubstr("version 0"))));
  const ProgramResult unasked = Operator({"approve", request, "--reason", "x"}, Role::kApprover);
  EXPECT_EQ(unasked.exit, 2) << "nobody agreed";
  EXPECT_THAT(unasked.err, HasSubstr("router edge-a, AS64496"));
  const ProgramResult approved = Agreed({"approve", request}, Role::kApprover);
  EXPECT_EQ(approved.exit, 0) << approved.err;
  EXPECT_THAT(approved.out, HasSubstr("APPROVED"));
  EXPECT_EQ(Agreed({"reject", request}, Role::kApprover).exit, 2) << "it is decided";
  const ProgramResult enrolled = Enrol();
  EXPECT_EQ(enrolled.exit, 0) << enrolled.err;

  const ProgramResult installed = Report("installed");
  EXPECT_EQ(installed.exit, 0) << installed.err;
  EXPECT_THAT(Operator({"show", kSlot}).out, HasSubstr("chain good, key good; signed by the key"));
  EXPECT_THAT(Router({"plan"}).out, AllOf(HasSubstr(kSlot), Not(HasSubstr("UNSPECIFIED")))) << "nothing is ordered";
  ASSERT_OK(fixture_.PublishAndAdvance());
  const ProgramResult ordered = Agreed({"activate", kSlot, "--key-version", "1", "--emergency"});
  EXPECT_EQ(ordered.exit, 0) << ordered.err;
  EXPECT_THAT(ordered.err, HasSubstr("EMERGENCY"));
  EXPECT_EQ(Json([this](auto arguments) { return Router(arguments); }, {"plan"})["slots"][0]["signWith"], 1);
  EXPECT_EQ(Report("signing").exit, 0);
  EXPECT_THAT(Operator({"list"}).out, AllOf(HasSubstr(kSlot), HasSubstr("1 ACTIVE")));

  EXPECT_EQ(Operator({"certs", kSlot, "--save", File("p7")}).exit, 0);
  EXPECT_EQ(Router({"check", File("p7"), "--key", File("key"), "--trust-anchor", File("ta")}).exit, 0);
  const std::vector<std::string> route{"--prefix", "192.0.2.0/24", "--to", "64511", "--key"};
  const auto bgpsec = [&](std::vector<std::string> arguments, const std::string& key) {
    arguments.insert(arguments.begin(), "bgpsec");
    arguments.insert(arguments.end(), route.begin(), route.end());
    arguments.push_back("64496=" + File(key));
    return Ctl(Role::kOperator, "noc-1", arguments);
  };
  EXPECT_EQ(bgpsec({"sign", "--save", File("path")}, "key").exit, 0);
  const ProgramResult verified = bgpsec({"verify", File("path")}, "p7");
  EXPECT_EQ(verified.exit, 0) << verified.err;
  EXPECT_EQ(Agreed({"taint", kSlot, "--key-version", "1"}).exit, 2) << "how does it go on?";
  EXPECT_EQ(Agreed({"taint", kSlot, "--key-version", "1", "--continuity", "disable-bgpsec"}).exit, 0);
  const ProgramResult revoked = Agreed({"revoke", kSlot, "--key-version", "1", "--continuity", "disable-bgpsec"});
  EXPECT_EQ(revoked.exit, 0) << revoked.err;
  EXPECT_THAT(revoked.err, HasSubstr("announces unsigned"));
}

TEST_F(RouterKeysCommandTest, ARefusedRequestStaysRefused) {
  Register();
  EXPECT_EQ(Enrol().exit, 3);
  EXPECT_EQ(Agreed({"reject", PendingRequest()}, Role::kApprover).exit, 0);
  const ProgramResult refused = Enrol();
  EXPECT_EQ(refused.exit, 2);
  EXPECT_THAT(refused.err, HasSubstr("REJECTED"));
  EXPECT_FALSE(std::filesystem::exists(File("cert")));
}

TEST_F(RouterKeysCommandTest, AnOperatorProvisionsARouterAndItsKeyLeavesOnce) {
  Register({{"method", "ROUTER_KEY_METHOD_OPERATOR_DRIVEN"}, {"policy", "ROUTER_EXPORT_POLICY_ONCE"}});
  const std::vector<std::string> provision{"provision", "--file", File("account"), "--save", File("out")};
  const ProgramResult made = Agreed(provision);
  ASSERT_EQ(made.exit, 0) << made.err;
  EXPECT_THAT(made.out, Not(HasSubstr("none:")));
  const std::string base = File("out") + "/edge-a_64496.1";
  struct stat file{};
  ASSERT_EQ(stat((base + ".package").c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600U);
  EXPECT_EQ(testutil::FileText(File("out") + "/ta.cer"), testutil::FileText(File("ta")));

  EXPECT_EQ(Router({"open", base + ".package", "--key", File("key"), "--trust-anchor", File("ta"), "--yes"}).exit, 0);
  EXPECT_EQ(Router({"check", base + ".p7", "--key", File("key"), "--trust-anchor", File("ta"), "--as", "64496"}).exit,
            0);
  std::filesystem::copy_file(base + ".p7", File("cert"));
  EXPECT_EQ(Report("installed").exit, 0);

  const ProgramResult again = Agreed({"package", kSlot, "--key-version", "1", "--save", File("second")});
  EXPECT_EQ(again.exit, 2);
  EXPECT_THAT(again.err, HasSubstr("NOT_EXPORTABLE"));
  EXPECT_FALSE(std::filesystem::exists(File("second")));
  EXPECT_THAT(Agreed(provision).out, HasSubstr("none: it does not leave, or left before"));
}

TEST_F(RouterKeysCommandTest, AKeyLeavesOnlyWhenItCanBeKept) {
  Register({{"method", "ROUTER_KEY_METHOD_OPERATOR_DRIVEN"}, {"policy", "ROUTER_EXPORT_POLICY_ONCE"}});
  EXPECT_EQ(Operator({"create", "edge-a", "--as", "64496", "--reason", "x"}).exit, 0);
  EXPECT_EQ(Operator({"issue", kSlot, "--key-version", "1", "--reason", "x"}).exit, 0);
  const auto package = [&](const std::string& version, const std::string& to) {
    return Agreed({"package", kSlot, "--key-version", version, "--save", to});
  };
  EXPECT_EQ(package("9", File("package")).exit, 2);
  EXPECT_FALSE(std::filesystem::exists(File("package"))) << "an error leaves nothing behind";
  std::ofstream(File("there")) << "older";
  EXPECT_EQ(package("1", File("there")).exit, 2);
  EXPECT_EQ(testutil::FileText(File("there")), "older");
  const ProgramResult nowhere = package("1", File("no/where"));
  EXPECT_EQ(nowhere.exit, 2);
  EXPECT_THAT(nowhere.err, AllOf(HasSubstr(File("no/where")), Not(HasSubstr("NOT_EXPORTABLE"))));
  const ProgramResult taken = package("1", File("package"));
  EXPECT_EQ(taken.exit, 0) << "it has not left before: " << taken.err;
  EXPECT_EQ(Router({"open", File("package"), "--key", File("key"), "--trust-anchor", File("ta"), "--yes"}).exit, 0);
}

TEST_F(RouterKeysCommandTest, EveryPackageIsSavedBeforeAnythingElseGoesWrong) {
  Register({{"asns", {64496, 64497, 64498}},
            {"method", "ROUTER_KEY_METHOD_OPERATOR_DRIVEN"},
            {"policy", "ROUTER_EXPORT_POLICY_ONCE"}});
  const auto provision = [&](const std::string& folder) {
    return Agreed({"provision", "--file", File("account"), "--save", folder});
  };
  EXPECT_EQ(provision("/proc/self").exit, 2) << "no file can be made there";
  EXPECT_THAT(Operator({"list"}).out, Not(HasSubstr(kSlot))) << "it was noticed first";

  const std::string out = File("out");
  std::filesystem::create_directories(out + "/edge-a_64496.1.package");
  std::filesystem::create_directories(out + "/edge-a_64497.1.csr");
  const ProgramResult made = provision(out);
  EXPECT_EQ(made.exit, 2);
  EXPECT_THAT(made.err, AllOf(HasSubstr("edge-a_64496.1.package"), HasSubstr("edge-a_64497.1.csr")));
  for (const char* const name : {"64496.1.csr", "64496.1.p7", "64497.1.package", "64497.1.p7", "64498.1.package"})
    EXPECT_TRUE(std::filesystem::is_regular_file(out + "/edge-a_" + name)) << name;
  EXPECT_EQ(testutil::FileText(out + "/ta.cer"), testutil::FileText(File("ta")));
  // The one whose name was taken kept the name that it had first, which the error tells.
  const std::size_t at = made.err.find(out + "/package-");
  ASSERT_NE(at, std::string::npos) << made.err;
  const std::string kept = made.err.substr(at, out.size() + std::string_view("/package-XXXXXX").size());
  EXPECT_EQ(Router({"open", kept, "--key", File("key"), "--trust-anchor", File("ta"), "--yes"}).exit, 0) << kept;
  EXPECT_EQ(Router({"check", out + "/edge-a_64496.1.p7", "--key", File("key"), "--trust-anchor", File("ta")}).exit, 0);
}

TEST_F(RouterKeysCommandTest, APackageIsEncryptedForWhomItIsFor) {
  Register({{"method", "ROUTER_KEY_METHOD_OPERATOR_DRIVEN"}, {"policy", "ROUTER_EXPORT_POLICY_ONCE"}});
  EXPECT_EQ(Operator({"create", "edge-a", "--as", "64496", "--save", File("csr"), "--reason", "x"}).exit, 0);
  EXPECT_EQ(Operator({"issue", kSlot, "--key-version", "1", "--reason", "x"}).exit, 0);
  const service::TlsFiles mine = pki_.Files(Role::kRouter, "edge-a");
  const ProgramResult taken =
      Agreed({"package", kSlot, "--key-version", "1", "--save", File("package"), "--recipient", mine.certificate});
  ASSERT_EQ(taken.exit, 0) << taken.err;
  const std::vector<std::string> open{"open",           File("package"), "--key", File("key"),
                                      "--trust-anchor", File("ta"),      "--yes"};
  EXPECT_NE(Router(open).exit, 0);
  std::vector<std::string> decrypted = open;
  decrypted.insert(decrypted.end(), {"--decrypt-key", mine.private_key, "--decrypt-certificate", mine.certificate});
  EXPECT_EQ(Router(decrypted).exit, 0);
}

TEST_F(RouterKeysCommandTest, AKeyGoesIntoEscrowAndOutByTwoPersons) {
  Register();
  EXPECT_EQ(Enrol().exit, 3);
  EXPECT_EQ(Agreed({"approve", PendingRequest()}, Role::kApprover).exit, 0);
  EXPECT_EQ(Operator({"csr", kSlot, "--key-version", "1", "--form", "krill"}).exit, 0);
  EXPECT_EQ(Agreed({"deposit", kSlot, "--key-version", "1", "--key", File("key")}).exit, 0);
  EXPECT_EQ(Agreed({"approve-release", kSlot, "--key-version", "1"}, Role::kApprover).exit, 2) << "nobody asks";
  EXPECT_EQ(Operator({"request-release", kSlot, "--key-version", "1", "--reason", "new card"}).exit, 0);
  const std::vector<std::string> release{"release", kSlot, "--key-version", "1", "--save", File("package")};
  EXPECT_EQ(Agreed(release).exit, 2) << "nobody approved it";
  EXPECT_EQ(Agreed({"approve-release", kSlot, "--key-version", "1"}).exit, 2) << "who asked";
  const ProgramResult approved = Agreed({"approve-release", kSlot, "--key-version", "1"}, Role::kApprover);
  EXPECT_EQ(approved.exit, 0) << approved.err;
  EXPECT_THAT(approved.err, AllOf(HasSubstr("operators act for the replacement"), HasSubstr("operator/noc-1")));
  EXPECT_FALSE(std::filesystem::exists(File("package")));
  EXPECT_EQ(Agreed({"release", kSlot, "--key-version", "1", "--save", File("no/where")}).exit, 2);
  const ProgramResult released = Agreed(release);
  EXPECT_EQ(released.exit, 0) << released.err;
  EXPECT_EQ(Router({"open", File("package"), "--key", File("again"), "--trust-anchor", File("ta"), "--yes"}).exit, 0);
  EXPECT_EQ(testutil::FileText(File("again")), testutil::FileText(File("key")));
  std::ofstream(File("p7")) << "no certificate";
  EXPECT_EQ(Operator({"import", kSlot, "--key-version", "1", "--file", File("p7"), "--trust-anchor", File("ta"),
                      "--reason", "x"})
                .exit,
            2);
}

TEST_F(RouterKeysCommandTest, AFleetIsRolledHeldAndGivenUp) {
  Register();
  EXPECT_EQ(Enrol().exit, 3);
  EXPECT_EQ(Agreed({"approve", PendingRequest()}, Role::kApprover).exit, 0);
  const ProgramResult started = Agreed({"roll", "yearly", "--prefix", "edge-", "--concurrency", "5"});
  EXPECT_EQ(started.exit, 0) << started.err;
  EXPECT_THAT(started.err, HasSubstr("5 routers change over at one time"));
  EXPECT_EQ(Operator({"set-fleet", "yearly", "--to", "paused", "--reason", "freeze"}).exit, 0);
  EXPECT_THAT(Operator({"fleets"}).out, AllOf(HasSubstr("yearly"), HasSubstr("PAUSED")));
  EXPECT_EQ(Operator({"set-fleet", "yearly", "--to", "stopped", "--reason", "enough"}).exit, 0);
  const ProgramResult watched = Operator({"watch-fleet", "yearly"});
  EXPECT_EQ(watched.exit, 1) << watched.err;
  EXPECT_THAT(watched.out, HasSubstr("STOPPED"));
  EXPECT_EQ(Operator({"watch-fleet", "unknown"}).exit, 2);
}

TEST_F(RouterKeysCommandTest, AccountsAreChangedAndEnded) {
  Register();
  const auto account = Json([this](auto arguments) { return Operator(arguments); }, {"router", "edge-a"});
  nlohmann::json changed = account["router"];
  changed["asns"] = {64496, 64497};
  std::ofstream(File("account")) << changed.dump();
  const ProgramResult updated = Operator({"update", "--file", File("account"), "--reason", "second AS"});
  EXPECT_EQ(updated.exit, 0) << updated.err;
  EXPECT_THAT(updated.out, HasSubstr("64496, 64497"));
  EXPECT_EQ(Operator({"update", "--file", File("account"), "--reason", "again"}).exit, 2) << "its etag is old";
  EXPECT_THAT(Enrol().err, HasSubstr("asn")) << "for which AS?";
  EXPECT_EQ(Operator({"submit", "--file", File("csr"), "--router", "edge-a", "--as", "64497", "--reason", "x"}).exit,
            3);
  std::ofstream(File("log")) << "no CMS";
  EXPECT_EQ(Operator({"custody-log", "edge-a", "--file", File("log"), "--reason", "x"}).exit, 2);
  EXPECT_EQ(Agreed({"decommission", "edge-a"}).exit, 0);
  EXPECT_THAT(Operator({"routers"}).out, HasSubstr("(decommissioned)"));
  std::ofstream(File("account")) << "{";
  EXPECT_EQ(Operator({"register", "--file", File("account"), "--reason", "x"}).exit, 2);
}

}  // namespace
}  // namespace virp::virpctl
