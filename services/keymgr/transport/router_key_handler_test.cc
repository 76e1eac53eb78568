// RouterKeyService over mutual TLS, and every RPC of it by every role.
#include "services/keymgr/transport/router_key_handler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "lib/base/file.h"
#include "lib/rpki/import.h"
#include "lib/rpki/key_package.h"
#include "lib/service/errors.h"
#include "services/keymgr/domain/router_fixture.h"
#include "tests/testutil/every_role.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/test_pki.h"
#include "tests/testutil/unary_call.h"

namespace virp::keymgr {
namespace {

using absl::StatusCode;
using service::Role;
using testing::ElementsAre;
using testing::SizeIs;
using testutil::StatusIs;
using Stub = v1::RouterKeyService::Stub;

constexpr char kSlot[] = "edge-a/64496";

class RouterKeyHandlerTest : public testing::Test {
 protected:
  RouterKeyHandlerTest() {
    const service::Security security = pki_.MakeSecurity(RouterKeyAccess());
    handler_ = std::make_unique<RouterKeyHandler>(*fixture_.keys, fleets_, security.callers, fixture_.ledger.clock);
    server_ = pki_.StartServer(Role::kKeymgr, security, {{handler_.get(), "virp.keymgr.v1.RouterKeyService"}});
  }

  template <typename Request, typename Response>
  absl::StatusOr<Response> Ask(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                               const Request& request, Role role = Role::kOperator, std::string_view name = "noc-1") {
    return testutil::UnaryCall(pki_.Channel(*server_, role, name, Role::kKeymgr), method, request);
  }
  // With a reason and a request id that no other call has.
  template <typename Request>
  Request Change() {
    Request request;
    request.set_reason("a test");
    request.set_request_id("request-" + std::to_string(++requests_));
    return request;
  }
  template <typename Request>
  Request OfSlot(std::uint32_t version) {
    Request request = Change<Request>();
    request.set_slot(kSlot);
    request.set_version(version);
    return request;
  }
  v1::RegisterRouterRequest Account(std::string_view name = "edge-a") {
    auto request = Change<v1::RegisterRouterRequest>();
    v1::Router& router = *request.mutable_router();
    router.set_id(std::string(name));
    router.set_bgp_id(0xc0000201);
    router.add_asns(64496);
    router.set_method(v1::ROUTER_KEY_METHOD_EITHER);
    router.set_policy(v1::ROUTER_EXPORT_POLICY_ONCE);
    router.set_agent(pki_.Id(Role::kRouter, name));
    return request;
  }
  absl::StatusOr<v1::RouterCsr> Submit(const crypto::P256PrivateKey& key, std::string_view name = "edge-a") {
    auto request = Change<v1::SubmitCsrRequest>();
    request.set_csr(RouterFixture::Csr(key));
    ASSIGN_OR_RETURN(const auto answer, Ask(&Stub::SubmitCsr, request, Role::kRouter, name));
    return answer.request();
  }
  absl::StatusOr<v1::RouterKeySlot> Confirm(std::uint32_t version, v1::RouterEvent event,
                                            const crypto::P256PrivateKey& key) {
    v1::RequestNonceRequest ask;
    ask.set_slot(kSlot);
    ask.set_version(version);
    ASSIGN_OR_RETURN(const auto nonce, Ask(&Stub::RequestNonce, ask, Role::kRouter, "edge-a"));
    auto request = OfSlot<v1::ConfirmInstallRequest>(version);
    request.set_event(event);
    request.mutable_report()->set_package_valid(true);
    request.mutable_report()->set_chain_valid(true);
    request.mutable_report()->set_key_match(true);
    request.set_signature(
        key.SignDigest(crypto::Sha256(ReportStatement(kSlot, version, static_cast<RouterEvent>(event),
                                                      *rpki::KeyIdentifier(key.public_key().spki()), nonce.nonce()))));
    ASSIGN_OR_RETURN(const auto answer, Ask(&Stub::ConfirmInstall, request, Role::kRouter, "edge-a"));
    return answer.slot();
  }

  testutil::TestPki pki_;
  RouterFixture fixture_;
  RouterFleets& fleets_ = *fixture_.fleets;
  std::unique_ptr<RouterKeyHandler> handler_;
  std::unique_ptr<service::ServerRunner> server_;
  const crypto::P256PrivateKey key_ = crypto::P256PrivateKey::Generate();
  int requests_ = 0;
};

TEST_F(RouterKeyHandlerTest, ARouterEnrolsAndSigns) {
  ASSERT_OK(Ask(&Stub::RegisterRouter, Account()).status());
  ASSERT_OK_AND_ASSIGN(const v1::RouterCsr sent, Submit(key_));
  EXPECT_EQ(sent.state(), v1::ROUTER_CSR_STATE_PENDING);
  EXPECT_EQ(sent.submitted_by(), pki_.Id(Role::kRouter, "edge-a"));
  ASSERT_OK_AND_ASSIGN(const auto pending, Ask(&Stub::ListPending, v1::ListPendingRequest(), Role::kApprover));
  ASSERT_EQ(pending.requests_size(), 1);
  auto approve = Change<v1::ApproveCsrRequest>();
  approve.set_id(pending.requests(0).id());
  ASSERT_OK_AND_ASSIGN(const auto approved, Ask(&Stub::ApproveCsr, approve, Role::kApprover));
  EXPECT_EQ(approved.request().state(), v1::ROUTER_CSR_STATE_APPROVED);
  EXPECT_EQ(approved.request().slot(), kSlot);

  v1::GetCertsOnlyRequest get;
  get.set_slot(kSlot);
  for (const auto& [role, name] : {std::pair(Role::kRouter, "edge-a"), std::pair(Role::kReader, "r")}) {
    ASSERT_OK_AND_ASSIGN(const auto certificates, Ask(&Stub::GetCertsOnly, get, role, name));
    EXPECT_EQ(rpki::ImportCertificates(certificates.certs_only())->router, certificates.certificate());
  }
  EXPECT_EQ(GetReason(Ask(&Stub::GetCertsOnly, get, Role::kRouter, "edge-b").status()), "NOT_YOUR_ROUTER");

  ASSERT_OK(fixture_.PublishAndAdvance());
  ASSERT_OK(Confirm(1, v1::ROUTER_EVENT_INSTALLED, key_).status());
  ASSERT_OK(fixture_.Wait(std::chrono::hours(25)));
  ASSERT_OK_AND_ASSIGN(const auto ordered, Ask(&Stub::ActivateRouterKey, OfSlot<v1::ActivateRouterKeyRequest>(1)));
  EXPECT_EQ(ordered.slot().ordered(), 1U);
  ASSERT_OK_AND_ASSIGN(const auto plan, Ask(&Stub::GetRouterPlan, v1::GetRouterPlanRequest(), Role::kRouter, "edge-a"));
  EXPECT_EQ(plan.router(), "edge-a");
  ASSERT_EQ(plan.slots_size(), 1);
  EXPECT_EQ(plan.slots(0).sign_with(), 1U);
  ASSERT_OK_AND_ASSIGN(const v1::RouterKeySlot signing, Confirm(1, v1::ROUTER_EVENT_SIGNING, key_));
  ASSERT_EQ(signing.versions_size(), 1);
  EXPECT_EQ(signing.versions(0).state(), v1::ROUTER_KEY_STATE_ACTIVE);
  EXPECT_TRUE(signing.versions(0).report().proved());
  EXPECT_EQ(signing.versions(0).public_key(), key_.public_key().spki());

  auto taint = OfSlot<v1::TaintRouterKeyRequest>(1);
  taint.set_continuity(v1::ROUTER_CONTINUITY_DISABLE_BGPSEC);
  ASSERT_OK_AND_ASSIGN(const auto tainted, Ask(&Stub::TaintRouterKey, taint));
  EXPECT_EQ(tainted.slot().continuity(), v1::ROUTER_CONTINUITY_DISABLE_BGPSEC);
  auto revoke = OfSlot<v1::RevokeRouterKeyRequest>(1);
  revoke.set_continuity(v1::ROUTER_CONTINUITY_OFFLINE);
  ASSERT_OK(Ask(&Stub::RevokeRouterKey, revoke).status());
  auto gone = Change<v1::DecommissionRouterRequest>();
  gone.set_id("edge-a");
  ASSERT_OK(Ask(&Stub::DecommissionRouter, gone).status());
  EXPECT_EQ(fixture_.ledger.store.audit().back().actor, pki_.Id(Role::kOperator, "noc-1"));
}

TEST_F(RouterKeyHandlerTest, KnownByTheCertificateThatItConnectsWith) {
  auto account = Account();
  const auto pem = ReadFile(pki_.Files(Role::kRouter, "edge-a").certificate);
  ASSERT_OK(pem.status());
  const std::string der = x509::DerBlocks(*pem, {"CERTIFICATE"}, std::size_t{1} << 16, 8)->front();
  v1::RouterMaterial& material = *account.mutable_router()->add_material();
  material.set_kind(v1::ROUTER_MATERIAL_KIND_TLS_CERTIFICATE);
  material.set_sha256(std::string(View(crypto::Sha256(der))));
  ASSERT_OK(Ask(&Stub::RegisterRouter, account).status());
  ASSERT_OK_AND_ASSIGN(const v1::RouterCsr sent, Submit(key_));
  EXPECT_EQ(sent.state(), v1::ROUTER_CSR_STATE_APPROVED);
}

TEST_F(RouterKeyHandlerTest, OneCallGivesARouterAllThatItNeeds) {
  auto request = Change<v1::ProvisionRouterRequest>();
  *request.mutable_router() = Account().router();
  ASSERT_OK_AND_ASSIGN(const auto made, Ask(&Stub::ProvisionRouter, request));
  ASSERT_EQ(made.keys_size(), 1);
  EXPECT_TRUE(rpki::OpenKeyPackage(made.keys(0).package(), made.trust_anchor(), std::nullopt)->path.empty());
  EXPECT_FALSE(made.tal().empty());
  auto again = OfSlot<v1::GetKeyPackageRequest>(1);
  EXPECT_EQ(GetReason(Ask(&Stub::GetKeyPackage, again).status()), "NOT_EXPORTABLE");

  auto create = Change<v1::CreateRouterKeyRequest>();
  create.set_router("edge-a");
  create.set_asn(64496);
  create.set_usage("origin");
  ASSERT_OK_AND_ASSIGN(const auto created, Ask(&Stub::CreateRouterKey, create));
  EXPECT_EQ(created.slot().slot(), "edge-a/64496/origin");
  EXPECT_TRUE(rpki::CheckRouterRequest(created.csr(), {.asn = 64496}).empty());
  auto issue = Change<v1::IssueRouterCertificateRequest>();
  issue.set_slot(created.slot().slot());
  issue.set_version(created.version());
  ASSERT_OK_AND_ASSIGN(const auto issued, Ask(&Stub::IssueRouterCertificate, issue));
  EXPECT_EQ(issued.slot().versions(0).certificates_size(), 1);
  auto package = Change<v1::GetKeyPackageRequest>();
  package.set_slot(created.slot().slot());
  package.set_version(1);
  ASSERT_OK(Ask(&Stub::GetKeyPackage, package, Role::kRouter, "edge-a").status()) << "its own agent may fetch it";
}

TEST_F(RouterKeyHandlerTest, WhatDoesNotFitIsToldWithItsField) {
  const auto field = [](const absl::Status& status) {
    const auto fields = GetFields(status);
    return fields.empty() ? std::string(Message(status)) : fields[0].field;
  };
  const auto account = [&](auto change) {
    v1::RegisterRouterRequest request = Account();
    change(request);
    return field(Ask(&Stub::RegisterRouter, request).status());
  };
  EXPECT_EQ(account([](auto& r) { r.clear_reason(); }), "reason");
  EXPECT_EQ(account([](auto& r) { r.clear_request_id(); }), "request_id");
  EXPECT_EQ(account([](auto& r) { r.mutable_router()->set_id("../x"); }), "router.id");
  EXPECT_EQ(account([](auto& r) { r.mutable_router()->set_method(static_cast<v1::RouterKeyMethod>(9)); }),
            "router.method");
  EXPECT_EQ(account([](auto& r) { r.mutable_router()->add_material(); }), "router.material.kind");
  EXPECT_EQ(account([](auto& r) {
              for (int i = 0; i < 300; ++i) r.mutable_router()->add_asns(64496);
            }),
            "router.asns");
  EXPECT_EQ(fixture_.ledger.store.audit().size(), 1U) << "the authority's; nothing else";
  ASSERT_OK(Ask(&Stub::RegisterRouter, Account()).status());
  auto update = Change<v1::UpdateRouterRequest>();
  *update.mutable_router() = Account().router();
  update.mutable_router()->set_etag("x");
  EXPECT_EQ(field(Ask(&Stub::UpdateRouter, update).status()), "router.etag");
  update.mutable_router()->set_etag("7");
  EXPECT_EQ(GetReason(Ask(&Stub::UpdateRouter, update).status()), "ETAG");
  auto submit = Change<v1::SubmitCsrRequest>();
  EXPECT_EQ(field(Ask(&Stub::SubmitCsr, submit, Role::kRouter, "edge-a").status()), "csr");
  submit.set_csr("junk");
  EXPECT_EQ(GetReason(Ask(&Stub::SubmitCsr, submit, Role::kRouter, "edge-a").status()), "MALFORMED");
  ASSERT_OK(Submit(key_).status());
  EXPECT_EQ(GetReason(Submit(key_, "edge-b").status()), "NOT_YOUR_ROUTER");
  EXPECT_EQ(field(Ask(&Stub::ConfirmInstall, OfSlot<v1::ConfirmInstallRequest>(1)).status()), "event");
  v1::ListRouterKeysRequest list;
  list.set_page_token("nonsense");
  EXPECT_EQ(field(Ask(&Stub::ListRouterKeys, list).status()), "page_token");
  v1::GetRouterRequest get;
  get.set_id("edge-z");
  EXPECT_THAT(Ask(&Stub::GetRouter, get).status(), StatusIs(StatusCode::kNotFound));
}

TEST_F(RouterKeyHandlerTest, ListsComeInPages) {
  for (const char* const name : {"edge-a", "edge-b", "edge-c"}) {
    ASSERT_OK(Ask(&Stub::RegisterRouter, Account(name)).status());
    ASSERT_OK_AND_ASSIGN(const v1::RouterCsr sent, Submit(crypto::P256PrivateKey::Generate(), name));
    auto approve = Change<v1::ApproveCsrRequest>();
    approve.set_id(sent.id());
    ASSERT_OK(Ask(&Stub::ApproveCsr, approve, Role::kApprover).status());
  }
  std::vector<std::string> routers, slots;
  v1::ListRoutersRequest list;
  list.set_page_size(2);
  do {
    ASSERT_OK_AND_ASSIGN(const auto page, Ask(&Stub::ListRouters, list));
    for (const v1::Router& router : page.routers()) routers.push_back(router.id());
    list.set_page_token(page.next_page_token());
  } while (!list.page_token().empty());
  EXPECT_THAT(routers, ElementsAre("edge-a", "edge-b", "edge-c"));
  v1::ListRouterKeysRequest of_slots;
  of_slots.set_page_size(1);
  do {
    ASSERT_OK_AND_ASSIGN(const auto page, Ask(&Stub::ListRouterKeys, of_slots, Role::kReader));
    for (const v1::RouterKeySlot& slot : page.slots()) slots.push_back(slot.slot());
    of_slots.set_page_token(page.next_page_token());
  } while (!of_slots.page_token().empty());
  EXPECT_THAT(slots, SizeIs(3));
}

TEST_F(RouterKeyHandlerTest, AFleetIsWatchedToItsEnd) {
  auto request = Change<v1::RollFleetRequest>();
  request.mutable_fleet()->set_id("yearly");
  ASSERT_OK_AND_ASSIGN(const auto started, Ask(&Stub::RollFleet, request));
  EXPECT_EQ(started.fleet().concurrency(), 50U);
  auto pause = Change<v1::SetFleetStateRequest>();
  pause.set_id("yearly");
  EXPECT_EQ(GetFields(Ask(&Stub::SetFleetState, pause).status())[0].field, "state");
  pause.set_state(v1::ROUTER_FLEET_STATE_PAUSED);
  ASSERT_OK(Ask(&Stub::SetFleetState, pause).status());
  Stub stub(pki_.Channel(*server_, Role::kReader, "r", Role::kKeymgr));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  v1::WatchFleetRequest watch;
  watch.set_id("yearly");
  const auto reader = stub.WatchFleet(&context, watch);
  v1::WatchFleetResponse seen;
  ASSERT_TRUE(reader->Read(&seen));
  EXPECT_EQ(seen.fleet().state(), v1::ROUTER_FLEET_STATE_PAUSED);
  {  // Others' places are not this caller's to take.
    std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
    std::vector<std::unique_ptr<grpc::ClientReader<v1::WatchFleetResponse>>> more;
    for (int i = 1; i <= RouterKeyHandler::kMostOfOne; ++i) {
      contexts.push_back(std::make_unique<grpc::ClientContext>());
      contexts.back()->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
      more.push_back(stub.WatchFleet(contexts.back().get(), watch));
      ASSERT_EQ(more.back()->Read(&seen), i < RouterKeyHandler::kMostOfOne) << i;
    }
    EXPECT_EQ(more.back()->Finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
    for (std::size_t i = 0; i + 1 < more.size(); ++i) {
      contexts[i]->TryCancel();
      more[i]->Finish().ok();
    }
  }
  auto go_on = Change<v1::SetFleetStateRequest>();
  go_on.set_id("yearly");
  go_on.set_state(v1::ROUTER_FLEET_STATE_RUNNING);
  ASSERT_OK(Ask(&Stub::SetFleetState, go_on).status());
  ASSERT_OK(fleets_.Advance());  // no router has an active key: it is done
  while (reader->Read(&seen)) continue;
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(seen.fleet().state(), v1::ROUTER_FLEET_STATE_DONE);
  ASSERT_OK_AND_ASSIGN(const auto list, Ask(&Stub::ListFleets, v1::ListFleetsRequest(), Role::kReader));
  ASSERT_EQ(list.fleets_size(), 1);
  EXPECT_EQ(list.fleets(0).started_by(), pki_.Id(Role::kOperator, "noc-1"));
}

// ---- every RPC, every role ----

testutil::AllowedRoles Allowed() {
  const std::set<Role> readers{Role::kReader, Role::kOperator, Role::kApprover};
  const std::set<Role> operators{Role::kOperator};
  const std::set<Role> deciders{Role::kOperator, Role::kApprover};
  const std::set<Role> agents{Role::kRouter, Role::kOperator};
  const std::set<Role> all{Role::kRouter, Role::kReader, Role::kOperator, Role::kApprover};
  return {{"RegisterRouter", operators},
          {"UpdateRouter", operators},
          {"GetRouter", readers},
          {"ListRouters", readers},
          {"DecommissionRouter", operators},
          {"AttachCustodyLog", operators},
          {"GetCustodyLog", deciders},
          {"SubmitCsr", agents},
          {"GetCsr", all},
          {"ListPending", readers},
          {"ApproveCsr", deciders},
          {"RejectCsr", deciders},
          {"CreateRouterKey", operators},
          {"IssueRouterCertificate", operators},
          {"GetKeyPackage", agents},
          {"ProvisionRouter", operators},
          {"GetCertsOnly", all},
          {"GetRouterPlan", agents},
          {"RequestNonce", agents},
          {"ConfirmInstall", agents},
          {"GetRouterKey", readers},
          {"ListRouterKeys", readers},
          {"ActivateRouterKey", operators},
          {"TaintRouterKey", operators},
          {"RevokeRouterKey", operators},
          {"ExportCsr", operators},
          {"ImportCertificate", operators},
          {"EscrowDeposit", agents},
          {"RequestEscrowRelease", operators},
          {"ApproveEscrowRelease", deciders},
          {"EscrowRelease", operators},
          {"RollFleet", operators},
          {"SetFleetState", operators},
          {"ListFleets", readers},
          {"WatchFleet", readers}};
}

TEST_F(RouterKeyHandlerTest, EveryRpcByEveryRole) {
  const auto* const service = v1::GetKeyPackageRequest::descriptor()->file()->service(0);
  testutil::ExpectEveryRole(pki_, *server_, Role::kKeymgr, *service, RouterKeyAccess(), Allowed());
  EXPECT_EQ(fixture_.ledger.store.audit().size(), 1U) << "empty requests change nothing";
}

// Neither "not yours" nor "not there" nor an empty list, which would be taken for an answer.
TEST_F(RouterKeyHandlerTest, NothingIsSaidOfAStateThatMayNotBeTheChains) {
  const auto* const service = v1::GetKeyPackageRequest::descriptor()->file()->service(0);
  const auto expect = [&](const std::string& reason) {
    for (int i = 0; i < service->method_count(); ++i) {
      const std::string& method = service->method(i)->name();
      const Role role = *Allowed().at(method).begin();
      const auto channel = pki_.Channel(*server_, role, "somebody", Role::kKeymgr);
      EXPECT_EQ(GetReason(testutil::EmptyCall(channel, "/" + service->full_name() + "/" + method)), reason) << method;
    }
  };
  for (const SealReason seal : {SealReason::kStarting, SealReason::kRollback}) {
    fixture_.ledger->Seal(seal);
    expect("SEALED");
    fixture_.ledger->Unseal(seal);
  }
  fixture_.ledger.store.TakeOver("another.example.net:1");
  ASSERT_TRUE(fixture_.ledger->WaitActive(false, std::chrono::steady_clock::now() + std::chrono::seconds(30)));
  expect("NOT_ACTIVE");
}

}  // namespace
}  // namespace virp::keymgr
