// `virpctl keys o-keys` and `virpctl keys admin` as the program that people run, against the key manager's handlers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "services/keymgr/custody/software/kek_ring.h"
#include "services/keymgr/custody/software/software_custody.h"
#include "services/keymgr/domain/observation_test_util.h"
#include "services/keymgr/transport/access.h"
#include "services/keymgr/transport/key_admin_handler.h"
#include "services/keymgr/transport/observation_handler.h"
#include "tests/testutil/program.h"
#include "tests/testutil/test_pki.h"
#include "tests/testutil/wait.h"
#include "tools/virpctl/ctl_test_util.h"

namespace virp::virpctl {
namespace {

using service::Role;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testutil::ProgramResult;

class OKeyCommandTest : public ::testing::Test {
 protected:
  OKeyCommandTest() {
    std::vector<service::MethodRule> rows;
    for (service::MethodRule& row : keymgr::AccessTable()) {
      if (row.method.find("KeyAdminService") != std::string::npos ||
          row.method.find("ObservationKeyService") != std::string::npos)
        rows.push_back(std::move(row));
    }
    const service::Security security = pki_.MakeSecurity(std::move(rows));
    handler_ = std::make_unique<keymgr::ObservationHandler>(lab_.keys, *lab_.ledger, security.callers);
    admin_ = std::make_unique<keymgr::KeyAdminHandler>(*lab_.ledger, lab_.ledger.store, keeper_, rollback_,
                                                       security.callers, lab_.ledger.clock);
    server_ = pki_.StartServer(
        Role::kKeymgr, security,
        {{handler_.get(), "virp.keymgr.v1.ObservationKeyService"}, {admin_.get(), "virp.keymgr.v1.KeyAdminService"}});
  }
  ~OKeyCommandTest() override {
    handler_->Drain();
    server_.reset();
  }
  ProgramResult Ctl(std::vector<std::string> arguments, Role role = Role::kOperator,
                    const std::string& name = "noc-1") {
    arguments.insert(arguments.begin(), {VIRPCTL, "keys"});
    return testutil::RunProgram(arguments, CtlEnvironment(pki_, dir_.path(), server_->port(), role, name));
  }
  void Yes(std::vector<std::string> arguments, const std::string& name = "noc-1") {
    const ProgramResult result = Ctl(std::move(arguments), Role::kOperator, name);
    ASSERT_EQ(result.exit, 0) << result.err;
  }
  void Know(std::uint32_t version) { lab_.Know("edge-a.bgpd", version); }

  const testutil::TempDir dir_;
  testutil::TestPki pki_;
  keymgr::ObservationLab lab_;
  keymgr::KekRing ring_{dir_.path()};
  keymgr::SoftwareCustody software_{ring_};
  keymgr::KekKeeper keeper_{*lab_.ledger, ring_, software_, lab_.custodies, "spiffe://example.net/keymgr/one"};
  keymgr::RollbackGuard rollback_{*lab_.ledger, lab_.ledger.store, nullptr, nullptr, {}};
  std::unique_ptr<keymgr::ObservationHandler> handler_;
  std::unique_ptr<keymgr::KeyAdminHandler> admin_;
  std::unique_ptr<service::ServerRunner> server_;
};

TEST_F(OKeyCommandTest, AForeignProducersKeyFromTheFirstToItsEnd) {
  Yes({"o-keys", "create", "edge-a.bgpd", "--form", "hex", "--carrier", pki_.Id(Role::kCollector, "collector-1"),
       "--reason", "FRR"});
  Yes({"o-keys", "prepare", "edge-a.bgpd", "--suite", "hmac", "--reason", "first"});
  EXPECT_THAT(Ctl({"o-keys", "list", "--pending"}).out, AllOf(HasSubstr("edge-a.bgpd"), HasSubstr("PENDING")));
  const std::string commitment = HexEncode(lab_.Get("edge-a.bgpd")->versions[0].commitment);
  const ProgramResult own = Ctl({"o-keys", "approve", "edge-a.bgpd", "--key-version", "1", "--reason", "x"});
  EXPECT_EQ(own.exit, 2);
  EXPECT_THAT(own.err, HasSubstr("SAME_PERSON"));
  EXPECT_THAT(
      Ctl({"o-keys", "approve", "edge-a.bgpd", "--key-version", "1", "--expect", std::string(64, '0'), "--reason", "x"},
          Role::kOperator, "noc-2")
          .err,
      HasSubstr("ANOTHER_KEY"));
  Yes({"o-keys", "approve", "edge-a.bgpd", "--key-version", "1", "--expect", commitment, "--reason", "compared"},
      "noc-2");

  const std::string file = dir_.File("edge-a.key");
  const ProgramResult shown = Ctl({"o-keys", "export", "edge-a.bgpd", "--key-version", "1", "--reason", "x"});
  EXPECT_THAT(shown.err, HasSubstr("--save is needed"));
  const ProgramResult saved =
      Ctl({"o-keys", "export", "edge-a.bgpd", "--key-version", "1", "--save", file, "--reason", "to edge-a"});
  ASSERT_EQ(saved.exit, 0) << saved.err;
  const std::string text = testutil::FileText(file);
  ASSERT_EQ(text.size(), 65U) << "64 hexadecimal characters and LF";
  EXPECT_EQ(text.find_first_not_of("0123456789abcdef"), 64U);
  EXPECT_THAT(saved.out + saved.err, Not(HasSubstr(text.substr(0, 64)))) << "never on a terminal";
  struct stat info{};
  ASSERT_EQ(::stat(file.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);

  EXPECT_THAT(Ctl({"o-keys", "activate", "edge-a.bgpd", "--key-version", "1", "--reason", "x"}).err,
              HasSubstr("NOT_IN_CHAIN"));
  Know(1);
  Yes({"o-keys", "activate", "edge-a.bgpd", "--key-version", "1", "--reason", "loaded"});
  // The next one: what roll says it waits for comes true meanwhile.
  std::jthread onode([this] {
    testutil::WaitUntil(std::chrono::seconds(20), [this] { return lab_.Get("edge-a.bgpd")->versions.size() == 2; });
    Know(2);
  });
  const ProgramResult rolled = Ctl(
      {"o-keys", "roll", "edge-a.bgpd", "--sign-for", "30s", "--accept-for", "1h", "--yes", "--reason", "quarterly"});
  onode.join();
  EXPECT_EQ(rolled.exit, 0) << rolled.err;
  EXPECT_THAT(rolled.err, AllOf(HasSubstr("version 2"), HasSubstr("is activated"), HasSubstr("30s more")));
  EXPECT_EQ(lab_.Get("edge-a.bgpd")->Active()->version, 2U);
  EXPECT_EQ(Ctl({"o-keys", "roll", "edge-a.bgpd", "--patience", "0", "--reason", "x"}).exit, 2) << "nobody to be asked";

  const ProgramResult asked = Ctl({"o-keys", "taint", "edge-a.bgpd", "--key-version", "1", "--reason", "leaked"});
  EXPECT_EQ(asked.exit, 2) << "nobody is there to type the name";
  EXPECT_THAT(asked.err, HasSubstr("counts in no verdict"));
  Yes({"o-keys", "taint", "edge-a.bgpd", "--key-version", "1", "--since", "2020-01-01T00:00:00Z", "--yes", "--reason",
       "leaked"});
  lab_.Know("edge-a.bgpd", 1, true);
  Yes({"o-keys", "revoke", "edge-a.bgpd", "--key-version", "1", "--yes", "--reason", "leaked"});
  EXPECT_THAT(Ctl({"o-keys", "show", "edge-a.bgpd"}).out,
              AllOf(HasSubstr("REVOKED"), HasSubstr("ACTIVE"), HasSubstr("the version before")));
  EXPECT_THAT(Ctl({"o-keys", "watch", "edge-a.bgpd", "--count", "1"}).out, HasSubstr("edge-a.bgpd"));

  const auto audit =
      nlohmann::json::parse(Ctl({"admin", "audit", "--source", "edge-a.bgpd", "--output", "json"}).out, nullptr, false);
  std::vector<std::string> events;
  for (const auto& record : audit["records"]) events.push_back(record["event"]);
  EXPECT_THAT(events, ::testing::Contains("observation_key_exported"));
  EXPECT_EQ(audit["records"].back()["event"], "observation_key_created");
  const ProgramResult newest = Ctl({"admin", "audit", "--limit", "3"});
  EXPECT_THAT(newest.out, HasSubstr("leaked"));
  EXPECT_THAT(newest.err, AllOf(HasSubstr("newest 3"), HasSubstr("--limit"), HasSubstr("--to")));
  EXPECT_EQ(Ctl({"admin", "audit", "--limit", "1000000"}).err, "") << "that was all of it";
}

TEST_F(OKeyCommandTest, WhoSignsFetchesItsOwnAndOthersNothing) {
  Yes({"o-keys", "create", "edge-b.bmp", "--signer", pki_.Id(Role::kCollector, "collector-1"), "--reason", "new"});
  Yes({"o-keys", "prepare", "edge-b.bmp", "--suite", "ed25519", "--reason", "first"});
  EXPECT_THAT(Ctl({"o-keys", "list"}).out, HasSubstr("waits for 1"));
  EXPECT_THAT(Ctl({"o-keys", "show", "edge-b.bmp"}).out, HasSubstr("waits for version 1 from who signs"));
  Yes({"o-keys", "create", "edge-c.bgpd", "--signer", pki_.Id(Role::kCollector, "collector-1"), "--reason", "new"});
  Yes({"o-keys", "prepare", "edge-c.bgpd", "--suite", "hmac", "--reason", "first"});
  Yes({"o-keys", "approve", "edge-c.bgpd", "--key-version", "1", "--reason", "compared"}, "noc-2");
  const std::string file = dir_.File("1.hmac");
  const ProgramResult own = Ctl({"o-keys", "fetch", "edge-c.bgpd", "--save", file}, Role::kCollector, "collector-1");
  ASSERT_EQ(own.exit, 0) << own.err;
  EXPECT_EQ(testutil::FileText(file).size(), 32U) << "as a key directory reads it";
  const ProgramResult other = Ctl({"o-keys", "fetch", "edge-c.bgpd"}, Role::kCollector, "collector-2");
  EXPECT_EQ(other.exit, 2);
  EXPECT_THAT(other.err, HasSubstr("there is no key"));
  EXPECT_EQ(Ctl({"o-keys", "fetch", "edge-c.bgpd"}).exit, 2) << "an operator is no holder";
  Yes({"o-keys", "holders", "edge-c.bgpd", "--signer", pki_.Id(Role::kCollector, "collector-2"), "--reason", "moved"});
  EXPECT_EQ(Ctl({"o-keys", "fetch", "edge-c.bgpd"}, Role::kCollector, "collector-2").exit, 0);
  EXPECT_THAT(Ctl({"o-keys", "holders", "edge-c.bgpd", "--etag", "1", "--signer", pki_.Id(Role::kCollector), "--reason",
                   "late"})
                  .err,
              HasSubstr("ETAG"));
}

// Has more to say than it says.
class BusyDesk final : public keymgr::v1::KeyAdminService::Service {
  grpc::Status ListExpiring(grpc::ServerContext*, const keymgr::v1::ListExpiringRequest* request,
                            keymgr::v1::ListExpiringResponse* response) override {
    for (int i = 0; i < request->page_size(); ++i) response->add_items()->set_kind("router_certificate");
    return grpc::Status::OK;
  }
};

TEST_F(OKeyCommandTest, AListThatWasCutSaysSo) {
  BusyDesk desk;
  std::vector<service::MethodRule> rows;
  for (service::MethodRule& row : keymgr::AccessTable())
    if (row.method.find("KeyAdminService") != std::string::npos) rows.push_back(std::move(row));
  server_ =
      pki_.StartServer(Role::kKeymgr, pki_.MakeSecurity(std::move(rows)), {{&desk, "virp.keymgr.v1.KeyAdminService"}});
  const ProgramResult cut = Ctl({"admin", "expiring"});
  EXPECT_EQ(cut.exit, 0) << cut.err;
  EXPECT_THAT(cut.err, HasSubstr("these are the 1000 that are due first"));
  server_.reset();
}

// As the Helm chart has them with idFormat serviceAccount.
TEST_F(OKeyCommandTest, AnIdentityMapSaysWhoIsAKeyManager) {
  std::vector<service::MethodRule> rows;
  for (service::MethodRule& row : keymgr::AccessTable())
    if (row.method.find("KeyAdminService") != std::string::npos) rows.push_back(std::move(row));
  crypto::LeafSpec spec = pki_.Spec(Role::kKeymgr);
  spec.uri_sans = {"spiffe://test.virp.example/ns/virp/sa/virp-keymgr"};
  const SystemClock clock;
  auto started =
      service::ServerRunner::Start(pki_.Options(pki_.Issue(spec, "keymgr-sa")), pki_.MakeSecurity(std::move(rows)),
                                   clock, {{admin_.get(), "virp.keymgr.v1.KeyAdminService"}});
  ASSERT_TRUE(started.ok()) << started.status();
  server_ = *std::move(started);
  server_->SetServing(true);
  EXPECT_EQ(Ctl({"admin", "status"}).exit, 2) << "by the default this id is nobody's";

  const auto map = [this](const std::string& role) {
    std::ofstream(dir_.File(role)) << R"({"trust_domain": "test.virp.example", "rules": [{"path": )"
                                   << R"("/ns/virp/sa/virp-keymgr", "name": "virp-keymgr", "role": ")" << role
                                   << R"("}]})";
    return dir_.File(role);
  };
  const std::string identities = map("keymgr");
  const ProgramResult shown = Ctl({"admin", "status", "--identity-map", identities});
  EXPECT_EQ(shown.exit, 0) << shown.err;
  const auto ask = [this](const std::string& file, const std::string& domain) {
    std::vector<std::string> environment = CtlEnvironment(pki_, dir_.path(), server_->port(), Role::kOperator, "noc-1");
    environment.back() = "VIRPCTL_TRUST_DOMAIN=" + domain;
    environment.push_back("VIRPCTL_IDENTITY_MAP=" + file);
    return testutil::RunProgram({VIRPCTL, "keys", "admin", "status"}, environment);
  };
  EXPECT_EQ(ask(identities, "").exit, 0) << "the map names the trust domain";
  EXPECT_THAT(ask(identities, "example.net").err, HasSubstr("is for the trust domain test.virp.example"));
  EXPECT_THAT(ask(dir_.File("nowhere.json"), "").err, HasSubstr("nowhere.json"));
  EXPECT_EQ(ask(map("onode"), "").exit, 2);
}

TEST_F(OKeyCommandTest, TheManagerItself) {
  const ProgramResult status = Ctl({"admin", "status"});
  EXPECT_EQ(status.exit, 0) << status.err;
  EXPECT_THAT(status.out, AllOf(HasSubstr("active"), HasSubstr("audit records")));
  EXPECT_EQ(Ctl({"admin", "expiring", "--days", "30"}).exit, 0);
  EXPECT_EQ(Ctl({"admin", "seal"}).exit, 2) << "a reason is needed";
  Yes({"admin", "seal", "--reason", "a drill"});
  const ProgramResult sealed = Ctl({"admin", "status"});
  EXPECT_EQ(sealed.exit, 1) << "scripts want to know";
  EXPECT_THAT(sealed.out, HasSubstr("OPERATOR"));
  const ProgramResult unsealed = Ctl({"admin", "unseal", "--reason", "over"});
  EXPECT_EQ(unsealed.exit, 2) << "there is no key-encryption key in this test";
  EXPECT_THAT(unsealed.err, HasSubstr("SEALED"));
  EXPECT_EQ(Ctl({"admin", "rotate-kek", "--reason", "yearly"}).exit, 2);
  EXPECT_THAT(Ctl({"admin", "accept-rollback", "--chain-record", "7", "--reason", "x"}).err,
              testing::AllOf(HasSubstr("lost for ever"), HasSubstr("nothing was done: say --yes")));
  EXPECT_THAT(Ctl({"admin", "accept-rollback", "--chain-record", "7", "--reason", "x", "--yes"}).err,
              HasSubstr("NOT_ROLLED_BACK"));
}

}  // namespace
}  // namespace virp::virpctl
