// A key manager whose database is put back to an older state, with the programs as they are run: it stays sealed until
// an operator goes on from there, and what left once is not let out again, since the chain tells of it.
#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "lib/base/error_info.h"
#include "lib/service/errors.h"
#include "tests/fault/fault_test_util.h"
#include "tests/testutil/router_desk.h"
#include "virp/keymgr/v1/key_admin.grpc.pb.h"

namespace virp::e2e {
namespace {

using namespace std::chrono_literals;
using service::Role;
using testing::ElementsAre;
using testutil::ServiceLab;
using testutil::WaitUntil;
namespace fs = std::filesystem;
namespace v1 = keymgr::v1;
using AdminStub = v1::KeyAdminService::Stub;

constexpr char kSlot[] = "edge-a/64496";

class KeyRollbackTest : public ::testing::Test {
 protected:
  static testutil::LabOptions Options(const std::string& folder) {
    testutil::LabOptions options{.binaries = fault::BuildFolder()};
    options.keymgr = true;
    options.keymgr_options = testutil::RouterDesk::Options(folder);
    return options;
  }
  // Database files, beside the database.
  static std::vector<std::string> Names(const std::string& database) {
    return {database, database + "-wal", database + "-shm"};
  }
  // While it does not run.
  void CopyDatabase() {
    for (const std::string& name : Names(lab_.keymgr().database())) {
      if (fs::exists(name)) fs::copy_file(name, backup_.File(fs::path(name).filename()));
    }
    ASSERT_TRUE(fs::exists(backup_.File("keymgr.db")));
  }
  void PutCopyBack() {
    for (const std::string& name : Names(lab_.keymgr().database())) {
      fs::remove(name);
      const std::string copy = backup_.File(fs::path(name).filename());
      if (fs::exists(copy)) fs::copy_file(copy, name);
    }
  }
  bool AllDelivered() {
    return WaitUntil(30s, [&] {
      const std::string page = ServiceLab::AdminPage(lab_.keymgr().process(), "/metrics");
      return page.find("\nvirp_keymgr_undelivered_records 0") != std::string::npos;
    });
  }
  absl::StatusOr<v1::AcceptRollbackResponse> Accept(std::uint64_t record, Role role, const std::string& name) {
    AdminStub stub(lab_.keymgr().Channel(role, name));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 20s);
    v1::AcceptRollbackRequest request;
    request.set_request_id(fmt::format("accept-{}", ++requests_));
    request.set_reason("the newest database is lost");
    request.set_chain_record(record);
    v1::AcceptRollbackResponse response;
    RETURN_IF_ERROR(service::FromGrpcStatus(stub.AcceptRollback(&context, request, &response)));
    return response;
  }
  std::vector<v1::AuditRecord> AuditOf(const std::string& event) {
    AdminStub stub(lab_.keymgr().Channel(Role::kReader));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 20s);
    v1::ListAuditRecordsRequest request;
    request.set_event(event);
    v1::ListAuditRecordsResponse page;
    EXPECT_TRUE(stub.ListAuditRecords(&context, request, &page).ok());
    return {page.records().begin(), page.records().end()};
  }
  // As it says itself: "the chain holds audit record 9 of this manager".
  template <typename Problems>
  static std::uint64_t RecordOfChain(const Problems& problems) {
    constexpr std::string_view kHolds = "the chain holds audit record ";
    for (const std::string& problem : problems) {
      const std::size_t at = problem.find(kHolds);
      if (at != std::string::npos) return std::stoull(problem.substr(at + kHolds.size()));
    }
    return 0;
  }
  bool IsOpen() {
    return WaitUntil(30s, [&] {
      const auto status = lab_.keymgr().Status();
      return status.ok() && status->active() && status->sealed().empty();
    });
  }

  const testutil::TempDir published_, backup_;
  ServiceLab lab_{Options(published_.path())};
  testutil::RouterDesk desk_{lab_.keymgr()};
  int requests_ = 0;
};

TEST_F(KeyRollbackTest, AnOlderDatabaseIsSealedAndAKeyThatLeftOnceStays) {
  ASSERT_OK(lab_.Start());
  ASSERT_OK(desk_.SetUpAuthority().status());
  ASSERT_OK(desk_.Register("edge-a", 64496, v1::ROUTER_KEY_METHOD_OPERATOR_DRIVEN, v1::ROUTER_EXPORT_POLICY_ONCE));
  ASSERT_OK(desk_.Create("edge-a", 64496).status());
  ASSERT_OK(desk_.Issue(kSlot, 1));
  ASSERT_OK(lab_.keymgr().process().Terminate(20s));
  CopyDatabase();
  ASSERT_OK(lab_.keymgr().Start());
  ASSERT_OK(desk_.Package(kSlot, 1, "the-one-package").status());
  ASSERT_TRUE(AllDelivered()) << lab_.keymgr().process().log();
  ASSERT_OK(lab_.keymgr().process().Terminate(20s));

  PutCopyBack();
  ASSERT_OK(lab_.keymgr().StartSealed());
  const auto sealed = lab_.keymgr().Status();
  ASSERT_OK(sealed);
  EXPECT_THAT(sealed->sealed(), ElementsAre("ROLLBACK"));
  EXPECT_EQ(GetReason(desk_.Package(kSlot, 1).status()), "SEALED") << "by this database it never left";
  EXPECT_EQ(GetReason(desk_.Create("edge-a", 64496).status()), "SEALED");

  // The newest record that the chain holds: an operator has to name it, and nobody else may.
  const std::uint64_t newest = RecordOfChain(sealed->problems());
  ASSERT_GT(newest, sealed->record());
  for (const Role role : {Role::kReader, Role::kApprover, Role::kRouter})
    EXPECT_EQ(GetReason(Accept(newest, role, "noc-1").status()), "METHOD_DENIED");
  EXPECT_EQ(GetReason(Accept(newest - 1, Role::kOperator, "noc-1").status()), "ANOTHER_RECORD");
  EXPECT_THAT(lab_.keymgr().Status()->sealed(), ElementsAre("ROLLBACK"));
  ASSERT_OK(Accept(newest, Role::kOperator, "noc-1"));
  ASSERT_TRUE(IsOpen()) << lab_.keymgr().process().log();
  const auto accepted = AuditOf("rollback_accepted");
  ASSERT_EQ(accepted.size(), 1U);
  EXPECT_EQ(accepted[0].actor(), lab_.pki().Id(Role::kOperator, "noc-1"));
  EXPECT_EQ(accepted[0].reason(), "the newest database is lost");

  // The ledger does not know that it left, the chain does.
  EXPECT_EQ(GetReason(desk_.Package(kSlot, 1).status()), "NOT_EXPORTABLE");
  EXPECT_EQ(GetReason(desk_.Package(kSlot, 1, "the-one-package").status()), "NOT_EXPORTABLE");
  EXPECT_EQ(GetReason(Accept(newest, Role::kOperator, "noc-1").status()), "NOT_ROLLED_BACK");

  // It goes on from there, over a restart, and the chain with it.
  lab_.keymgr().process().Kill();
  ASSERT_OK(lab_.keymgr().Start());
  EXPECT_EQ(GetReason(desk_.Package(kSlot, 1).status()), "NOT_EXPORTABLE");
  ASSERT_OK(desk_.Register("edge-b", 64497, v1::ROUTER_KEY_METHOD_OPERATOR_DRIVEN, v1::ROUTER_EXPORT_POLICY_ONCE));
  ASSERT_OK(desk_.Create("edge-b", 64497).status());
  ASSERT_OK(desk_.Package("edge-b/64497", 1).status()) << "others leave as ever";
  ASSERT_TRUE(AllDelivered()) << lab_.keymgr().process().log();
  const auto report = lab_.VerifyChain();
  ASSERT_OK(report);
  EXPECT_EQ(report->result(), chain::v1::VerifyReport::RESULT_VERIFIED) << report->ShortDebugString();
}

}  // namespace
}  // namespace virp::e2e
