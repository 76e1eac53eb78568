// Exports signed under a key of the key manager, all as they are run: another bridge believes them, and nothing else.
#include <fstream>

#include "lib/vrp/signing_key.h"
#include "tests/e2e/rtr_evidence_fixture.h"
#include "tests/interop/rtr_routers.h"
#include "tests/testutil/key_desk.h"
#include "tests/testutil/shell.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/wait.h"

namespace virp::e2e {
namespace {

using keymgr::v1::KEY_SUITE_ED25519;
using testutil::Eventually;
using testutil::MakeRtrTable;
using testutil::RtrTable;

constexpr char kExports[] = "rtr-1.export";

class RtrExportKeyTest : public RtrEvidenceTest {
 protected:
  RtrExportKeyTest() : RtrEvidenceTest({.binaries = VIRP_BINARY_DIR, .keymgr = true}) {}

  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(RtrEvidenceTest::SetUp());
    desk_.emplace(lab_.keymgr().Channel(service::Role::kOperator, "noc-1"),
                  lab_.keymgr().Channel(service::Role::kOperator, "noc-2"));
    ASSERT_OK(desk_->Create(kExports, {lab_.pki().Id(service::Role::kRtrBridge, kBridge)}));
  }
  // As the manager has it.
  std::string PublicPem(std::uint32_t version) {
    const auto made = desk_->Await(kExports, version, [](const auto& one) { return !one.public_key().empty(); });
    return made ? vrp::Ed25519PublicPem(made->public_key()) : "";
  }
  absl::Status StartSecond(const std::string& keys) {
    std::ofstream(second_.File("keys.pem")) << keys;
    std::ofstream(second_.File("sources.json")) << nlohmann::json({{"sources",
                                                                    {{{"name", "first"},
                                                                      {"location", Url()},
                                                                      {"signature_key", second_.File("keys.pem")},
                                                                      {"max_age", "24h"}}}}})
                                                       .dump();
    return second_.Start({"--sources", second_.File("sources.json")});
  }
  std::string Url() const { return "http://127.0.0.1:" + std::to_string(http_.port()) + "/rpki.json"; }
  std::string CodeOfSignature() const {
    return testutil::OutputOf("curl -s -o /dev/null -w '%{http_code}' " + Url() + ".sig");
  }
  RtrTable TableOfSecond() const {
    return testutil::RtrClientTable("tcp 127.0.0.1 " + std::to_string(second_.tcp_port()));
  }

  std::optional<testutil::KeyDesk> desk_;
  testutil::ReservedPort http_;
  testutil::RtrLab second_;
};

TEST_F(RtrExportKeyTest, ASecondBridgeBelievesWhatTheManagersKeySigned) {
  const RtrTable table = MakeRtrTable(200), next = MakeRtrTable(220, 1);
  bridge_.Write(table);
  ASSERT_OK(StartBridge({"--key-manager", lab_.keymgr().address(), "--key-state", bridge_.File("key-state"), "--http",
                         std::to_string(http_.port()), "--http-sign-as", kExports}));
  EXPECT_NE(CodeOfSignature(), "200") << "no version signs yet";
  // The first version: an operator vouches for it, and an O-Node, which then has it, is told of the source.
  ASSERT_OK_AND_ASSIGN(const std::uint32_t first, desk_->Prepare(kExports, KEY_SUITE_ED25519));
  ASSERT_NE(PublicPem(first), "");
  ASSERT_OK(desk_->Approve(kExports, first));
  ASSERT_TRUE(Eventually([&] { return evidence_.Register(kExports).ok(); }));
  ASSERT_TRUE(desk_->Await(kExports, first, [](const auto& one) { return one.known_by_size() > 0; }));
  EXPECT_NE(CodeOfSignature(), "200") << "it is not in use yet";
  ASSERT_OK(desk_->Activate(kExports, first, std::chrono::seconds(2), std::chrono::hours(1)));
  ASSERT_TRUE(Eventually([&] { return CodeOfSignature() == "200"; })) << bridge_.log();

  second_.Write({});
  ASSERT_OK(StartSecond(PublicPem(first)));
  EXPECT_EQ(TableOfSecond(), table);

  // The manager rolls: who knows the old version alone keeps what it has.
  ASSERT_OK_AND_ASSIGN(const std::uint32_t newer, desk_->Roll(kExports, KEY_SUITE_ED25519));
  ASSERT_NE(newer, first);
  bridge_.Write(next);
  bridge_.Hangup();
  ASSERT_TRUE(Eventually([&] { return bridge_.Metric("virp_rtr_bridge_generation") == 2; }));
  second_.Hangup();
  EXPECT_TRUE(Eventually([&] {
    return second_.Metric("virp_rtr_bridge_source_failures_total{reason=\"BAD_SIGNATURE\",source=\"first\"}") > 0;
  }));
  EXPECT_EQ(TableOfSecond(), table);
  ASSERT_OK(second_.Stop());
  ASSERT_OK(StartSecond(PublicPem(first) + PublicPem(newer)));
  EXPECT_TRUE(Eventually([&] { return TableOfSecond() == next; })) << second_.log();
}

}  // namespace
}  // namespace virp::e2e
