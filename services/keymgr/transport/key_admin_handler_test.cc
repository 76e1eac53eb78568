// KeyAdminService over mutual TLS, and every RPC of the key manager by every role.
#include "services/keymgr/transport/key_admin_handler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "lib/base/file.h"
#include "services/keymgr/custody/software/kek_ring.h"
#include "services/keymgr/custody/software/software_custody.h"
#include "services/keymgr/domain/test_ledger.h"
#include "services/keymgr/transport/access.h"
#include "services/keymgr/transport/call.h"
#include "tests/testutil/every_role.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"
#include "tests/testutil/test_pki.h"
#include "tests/testutil/unary_call.h"
#include "virp/keymgr/v1/observation_key.pb.h"
#include "virp/keymgr/v1/router_key.pb.h"
#include "virp/keymgr/v1/rpki.pb.h"
#include "virp/keymgr/v1/tcp_ao_key.pb.h"

namespace virp::keymgr {
namespace {

using service::Role;

// A server has rows for what it serves and no others.
std::vector<service::MethodRule> OwnRows() {
  std::vector<service::MethodRule> rows = AccessTable();
  std::erase_if(rows, [](const auto& row) { return row.method.find("KeyAdminService") == std::string::npos; });
  return rows;
}

class KeyAdminTest : public testing::Test {
 protected:
  KeyAdminTest() {
    EXPECT_OK(ReplaceFile(folder_.File("1.kek"), std::string(32, '\x01'), 0400));
    custodies_.Add(custody_);
    test_.Start();
    EXPECT_OK(keeper_.Open());
    const service::Security security = pki_.MakeSecurity(OwnRows());
    handler_ =
        std::make_unique<KeyAdminHandler>(*test_, test_.store, keeper_, rollback_, security.callers, test_.clock);
    server_ = pki_.StartServer(Role::kKeymgr, security, {{handler_.get(), "virp.keymgr.v1.KeyAdminService"}});
  }

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (v1::KeyAdminService::Stub::*method)(grpc::ClientContext*, const Request&,
                                                                                  Response*),
                                const Request& request, Role role = Role::kOperator) {
    return testutil::UnaryCall(pki_.Channel(*server_, role, "noc-1", Role::kKeymgr), method, request);
  }
  template <typename Request>
  static Request With(std::string_view id, std::string_view reason = "a drill") {
    Request request;
    request.set_request_id(std::string(id));
    request.set_reason(std::string(reason));
    return request;
  }
  v1::GetStatusResponse Status() {
    auto status = Call(&v1::KeyAdminService::Stub::GetStatus, v1::GetStatusRequest());
    EXPECT_OK(status);
    return status.value_or(v1::GetStatusResponse());
  }

  testutil::TempDir folder_;
  testutil::TestPki pki_;
  TestLedger test_{KekKeeper::Types()};
  KekRing ring_{folder_.path()};
  SoftwareCustody custody_{ring_};
  Custodies custodies_;
  KekKeeper keeper_{*test_, ring_, custody_, custodies_, "spiffe://example.net/keymgr/one"};
  // The chain holds what the test says.
  class FakeChain final : public ChainHistory {
   public:
    absl::StatusOr<std::string> NewestFrame() override { return frames.empty() ? std::string() : frames.back(); }
    bool WasSeen() const override { return false; }
    absl::StatusOr<std::optional<UnixNanos>> NewestTime() override { return std::nullopt; }
    absl::Status Walk(const std::function<absl::StatusOr<bool>(const std::string&)>& visit) override {
      for (auto frame = frames.rbegin(); frame != frames.rend(); ++frame) {
        ASSIGN_OR_RETURN(const bool on, visit(*frame));
        if (!on) break;
      }
      return absl::OkStatus();
    }
    std::vector<std::string> frames;
  } chain_;
  RollbackGuard rollback_{
      *test_,
      test_.store,
      &chain_,
      [](const frame::Frame& frame) { return frame::VerifyTag(frame, *TestLedgerOptions().signer()->key); },
      {}};
  std::unique_ptr<KeyAdminHandler> handler_;
  std::unique_ptr<service::ServerRunner> server_;
};

TEST_F(KeyAdminTest, SealsUnsealsAndTellsWhoDidIt) {
  EXPECT_TRUE(Status().active());
  EXPECT_EQ(Status().sealed_size(), 0);
  ASSERT_EQ(Status().keks_size(), 1);
  EXPECT_EQ(Status().keks(0).state(), "CURRENT");
  const auto sealed = Call(&v1::KeyAdminService::Stub::Seal, With<v1::SealRequest>("s-1"));
  ASSERT_OK(sealed);
  EXPECT_EQ(sealed->record(), 2U);
  EXPECT_THAT(Status().sealed(), testing::ElementsAre("OPERATOR"));
  EXPECT_EQ(Call(&v1::KeyAdminService::Stub::Seal, With<v1::SealRequest>("s-1"))->record(), 2U) << "a repeat";
  EXPECT_EQ(GetReason(Call(&v1::KeyAdminService::Stub::Seal, With<v1::SealRequest>("s-1", "another")).status()),
            "REQUEST_ID_REUSED");
  EXPECT_EQ(GetReason(Call(&v1::KeyAdminService::Stub::RotateKek, With<v1::RotateKekRequest>("r-1")).status()),
            "SEALED");
  EXPECT_TRUE(ring_.Known().empty()) << "a sealed manager holds no key, whatever it is asked";
  ASSERT_OK(Call(&v1::KeyAdminService::Stub::Unseal, With<v1::UnsealRequest>("u-1", "the drill is over")));
  EXPECT_EQ(Status().sealed_size(), 0);

  const auto audit = Call(&v1::KeyAdminService::Stub::ListAuditRecords, v1::ListAuditRecordsRequest(), Role::kReader);
  ASSERT_OK(audit);
  ASSERT_EQ(audit->records_size(), 3);
  EXPECT_EQ(audit->records(0).event(), "manager_unsealed");
  EXPECT_EQ(audit->records(0).actor(), pki_.Id(Role::kOperator, "noc-1"));
  EXPECT_EQ(audit->records(0).reason(), "the drill is over");
  EXPECT_EQ(audit->records(0).method(), "virp.keymgr.v1.KeyAdminService/Unseal");
  EXPECT_EQ(audit->records(0).request_id(), "u-1");
}

TEST_F(KeyAdminTest, RotatesTheKekAndShowsHowFarItIs) {
  ASSERT_OK(ReplaceFile(folder_.File("2.kek"), std::string(32, '\x02'), 0400));
  auto request = With<v1::RotateKekRequest>("r-1");
  request.set_version(3);
  EXPECT_EQ(Call(&v1::KeyAdminService::Stub::RotateKek, request).status().code(), absl::StatusCode::kNotFound);
  request = With<v1::RotateKekRequest>("r-2");
  ASSERT_OK(Call(&v1::KeyAdminService::Stub::RotateKek, request));
  ASSERT_EQ(Status().keks_size(), 2);
  EXPECT_EQ(Status().keks(0).state(), "RETIRING");
  EXPECT_EQ(Status().keks(1).state(), "CURRENT");
}

TEST_F(KeyAdminTest, AChangeNeedsAReasonAndAnId) {
  const auto no_id = Call(&v1::KeyAdminService::Stub::Seal, With<v1::SealRequest>(""));
  EXPECT_EQ(GetFields(no_id.status()).at(0).field, "request_id");
  const auto no_reason = Call(&v1::KeyAdminService::Stub::Seal, With<v1::SealRequest>("s", ""));
  EXPECT_EQ(GetFields(no_reason.status()).at(0).field, "reason");
  EXPECT_FALSE(Call(&v1::KeyAdminService::Stub::Seal, With<v1::SealRequest>("s", "two\nlines")).ok());
  EXPECT_FALSE(Call(&v1::KeyAdminService::Stub::Seal, With<v1::SealRequest>(std::string(129, 'x'))).ok());
  EXPECT_EQ(Status().record(), 1U) << "only the first start's";
}

TEST_F(KeyAdminTest, AuditComesInPages) {
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK(Call(&v1::KeyAdminService::Stub::Seal, With<v1::SealRequest>("s" + std::to_string(i))));
    ASSERT_OK(Call(&v1::KeyAdminService::Stub::Unseal, With<v1::UnsealRequest>("u" + std::to_string(i))));
  }
  v1::ListAuditRecordsRequest request;
  request.set_page_size(3);
  std::vector<std::uint64_t> seen;
  do {
    const auto page = Call(&v1::KeyAdminService::Stub::ListAuditRecords, request);
    ASSERT_OK(page);
    for (const auto& record : page->records()) seen.push_back(record.record());
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  EXPECT_THAT(seen, testing::ElementsAre(7, 6, 5, 4, 3, 2, 1));
  request.set_page_token("nonsense");
  EXPECT_EQ(GetFields(Call(&v1::KeyAdminService::Stub::ListAuditRecords, request).status()).at(0).field, "page_token");
  request.clear_page_token();
  request.set_key_id("a");
  EXPECT_EQ(GetFields(Call(&v1::KeyAdminService::Stub::ListAuditRecords, request).status()).at(0).field, "key_id");
  request.set_key_kind("tls");
  EXPECT_EQ(GetFields(Call(&v1::KeyAdminService::Stub::ListAuditRecords, request).status()).at(0).field, "key_kind");
}

// ---- every RPC, every role ----

testutil::AllowedRoles Allowed() {
  const std::set<Role> readers{Role::kReader, Role::kOperator, Role::kApprover};
  const std::set<Role> operators{Role::kOperator};
  return {{"GetStatus", readers}, {"ListAuditRecords", readers}, {"ListExpiring", readers},    {"Seal", operators},
          {"Unseal", operators},  {"RotateKek", operators},      {"AcceptRollback", operators}};
}

TEST_F(KeyAdminTest, EveryRpcByEveryRole) {
  const auto* const service = v1::GetStatusRequest::descriptor()->file()->service(0);
  const auto table = service::AuthorizationTable::Create(AccessTable());
  ASSERT_OK(table);
  // The rows of the other services are tested where these are.
  const google::protobuf::ServiceDescriptor* const services[] = {
      service, v1::ObservationKey::descriptor()->file()->service(0), v1::TcpAoPair::descriptor()->file()->service(0),
      v1::GetKeyPackageRequest::descriptor()->file()->service(0), v1::TrustAnchor::descriptor()->file()->service(0)};
  EXPECT_THAT(table->Problems(services), testing::IsEmpty());
  testutil::ExpectEveryRole(pki_, *server_, Role::kKeymgr, *service, OwnRows(), Allowed());
  EXPECT_EQ(test_.store.audit().size(), 1U) << "empty requests change nothing";
}

}  // namespace
}  // namespace virp::keymgr
