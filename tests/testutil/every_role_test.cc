#include "tests/testutil/every_role.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "virp/keymgr/v1/key_admin.grpc.pb.h"

namespace virp::testutil {
namespace {

using service::Role;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace pb = ::virp::keymgr::v1;

class Handlers final : public pb::KeyAdminService::Service {
  grpc::Status GetStatus(grpc::ServerContext*, const pb::GetStatusRequest*, pb::GetStatusResponse*) override {
    return grpc::Status::OK;
  }
  grpc::Status ListAuditRecords(grpc::ServerContext*, const pb::ListAuditRecordsRequest*,
                                pb::ListAuditRecordsResponse*) override {
    return grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "SCOPE_DENIED: not yours");
  }
  grpc::Status ListExpiring(grpc::ServerContext*, const pb::ListExpiringRequest*, pb::ListExpiringResponse*) override {
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "not now");
  }
  grpc::Status Seal(grpc::ServerContext*, const pb::SealRequest*, pb::SealResponse*) override {
    return grpc::Status::OK;
  }
  grpc::Status Unseal(grpc::ServerContext*, const pb::UnsealRequest*, pb::UnsealResponse*) override {
    return grpc::Status::OK;
  }
  grpc::Status RotateKek(grpc::ServerContext*, const pb::RotateKekRequest*, pb::RotateKekResponse*) override {
    return grpc::Status::OK;
  }
};

class EveryRoleTest : public ::testing::Test {
 protected:
  EveryRoleTest() {
    for (const auto& [method, roles] : allowed_) {
      service::RoleSet set = roles.contains(Role::kReader) ? service::RoleSet{Role::kReader, Role::kOperator}
                                                           : service::RoleSet{Role::kOperator};
      rows_.push_back({"/virp.keymgr.v1.KeyAdminService/" + method, set});
    }
    server_ = pki_.StartServer(Role::kKeymgr, pki_.MakeSecurity(rows_),
                               {{&handlers_, pb::KeyAdminService::service_full_name()}});
  }
  std::vector<std::string> Wrong() {
    return WrongRoles(pki_, *server_, Role::kKeymgr, *pb::GetStatusRequest::descriptor()->file()->service(0), rows_,
                      allowed_);
  }

  const std::set<Role> operators_{Role::kOperator}, readers_{Role::kReader, Role::kOperator};
  AllowedRoles allowed_{{"GetStatus", readers_}, {"ListAuditRecords", readers_}, {"ListExpiring", readers_},
                        {"Seal", operators_},    {"Unseal", operators_},         {"RotateKek", operators_},
                        {"AcceptRollback", {}}};
  std::vector<service::MethodRule> rows_;
  TestPki pki_;
  Handlers handlers_;
  std::unique_ptr<service::ServerRunner> server_;
};

TEST_F(EveryRoleTest, WhatHandlersRefuseThemselvesIsLetIn) {
  EXPECT_THAT(Wrong(), ElementsAre("AcceptRollback by operator: let in; wanted METHOD_DENIED")) << "its row lets them";
}

TEST_F(EveryRoleTest, NamesEachRoleThatMayMoreOrLess) {
  allowed_["GetStatus"] = {Role::kOperator, Role::kRouter};
  allowed_.erase("Seal");
  allowed_["Gone"] = {Role::kReader};
  const auto wrong = Wrong();
  EXPECT_THAT(wrong, Contains("GetStatus by reader: let in; wanted METHOD_DENIED"));
  EXPECT_THAT(wrong, Contains("GetStatus by router: METHOD_DENIED; wanted let in"));
  EXPECT_THAT(wrong, Contains("Seal is new: say who may call it"));
  EXPECT_THAT(wrong, Contains("Seal by operator: let in; wanted METHOD_DENIED"));
  EXPECT_THAT(wrong, Contains("Gone is no method any more"));
}

TEST_F(EveryRoleTest, NamesRowsThatDoNotFit) {
  rows_.push_back(rows_.front());
  rows_.push_back({"/virp.keymgr.v1.KeyAdminService/Gone", {Role::kOperator}});
  std::erase_if(rows_, [](const auto& row) { return row.method.ends_with("/Unseal"); });
  const auto wrong = Wrong();
  EXPECT_THAT(wrong, Contains(HasSubstr("has two rows")));
  EXPECT_THAT(wrong, Contains(HasSubstr("KeyAdminService/Gone has a row and is no method")));
  EXPECT_THAT(wrong, Contains("Unseal has no row"));
}

}  // namespace
}  // namespace virp::testutil
