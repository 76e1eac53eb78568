// Operators, an approver and routers' agents at a running virp-keymgr, for keys of BGPsec routers.
//
//   KeymgrLab keymgr({.binaries = VIRP_BINARY_DIR, .options = RouterDesk::Options(dir.path())}, pki);
//   RouterDesk desk(keymgr);
//   ASSERT_OK(desk.SetUpAuthority());
#pragma once

#include <grpcpp/client_context.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/status.h"
#include "lib/service/errors.h"
#include "tests/testutil/keymgr_lab.h"
#include "virp/keymgr/v1/router_key.grpc.pb.h"
#include "virp/keymgr/v1/rpki.grpc.pb.h"

namespace virp::testutil {

// Used by one thread.
class RouterDesk {
 public:
  using Stub = keymgr::v1::RouterKeyService::Stub;
  using Role = service::Role;

  explicit RouterDesk(KeymgrLab& keymgr) : keymgr_(keymgr) {}

  // Of virp-keymgr: with them it has an authority, for AS 64496 to 64511, that publishes to pub/ of `folder`.
  static std::vector<std::string> Options(const std::string& folder) {
    return {"--rpki-base-uri",    "rsync://rpki.example.net/repo/",
            "--rpki-publication", folder + "/pub",
            "--rpki-as",          "64496-64511",
            "--rpki-address",     "192.0.2.0/24",
            "--expiry-calendar",  folder + "/expiry.ics"};
  }

  // One call on a connection of its own.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Ask(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                               const Request& request, Role role = Role::kOperator, std::string_view name = "noc-1") {
    Stub stub(keymgr_.Channel(role, name));
    Response response;
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    RETURN_IF_ERROR(service::FromGrpcStatus((stub.*method)(&context, request, &response)));
    return response;
  }
  // A change, with a request id that no other has unless one is given.
  template <typename Request>
  Request Change(std::string_view id = "") {
    Request request;
    request.set_reason("a test");
    request.set_request_id(id.empty() ? fmt::format("router-desk-{}", ++requests_) : std::string(id));
    return request;
  }
  template <typename Request>
  Request Of(std::string_view slot, std::uint32_t version, std::string_view id = "") {
    auto request = Change<Request>(id);
    request.set_slot(std::string(slot));
    request.set_version(version);
    return request;
  }

  // Returns the trust anchor, DER.
  absl::StatusOr<std::string> SetUpAuthority() {
    keymgr::v1::RpkiService::Stub stub(keymgr_.Channel(Role::kOperator, "noc-1"));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    keymgr::v1::SetUpAuthorityResponse response;
    RETURN_IF_ERROR(
        service::FromGrpcStatus(stub.SetUpAuthority(&context, Change<keymgr::v1::SetUpAuthorityRequest>(), &response)));
    return response.trust_anchor().certificate();
  }
  // A router of one AS, whose agent is router/<id>.
  absl::Status Register(const std::string& router, std::uint32_t asn, keymgr::v1::RouterKeyMethod method,
                        keymgr::v1::RouterExportPolicy policy, std::string_view id = "") {
    auto request = Change<keymgr::v1::RegisterRouterRequest>(id);
    keymgr::v1::Router& account = *request.mutable_router();
    account.set_id(router);
    account.set_bgp_id(0xc0000200 + asn % 256);
    account.add_asns(asn);
    account.set_method(method);
    account.set_policy(policy);
    account.set_agent(keymgr_.pki().Id(Role::kRouter, router));
    account.set_bootstrap(keymgr::v1::ROUTER_BOOTSTRAP_CRAFT_PORT);
    account.set_no_next_key(true);
    return Ask(&Stub::RegisterRouter, request).status();
  }
  absl::StatusOr<std::uint32_t> Create(const std::string& router, std::uint32_t asn, std::string_view id = "") {
    auto request = Change<keymgr::v1::CreateRouterKeyRequest>(id);
    request.set_router(router);
    request.set_asn(asn);
    ASSIGN_OR_RETURN(const auto made, Ask(&Stub::CreateRouterKey, request));
    return made.version();
  }
  absl::Status Issue(std::string_view slot, std::uint32_t version, std::string_view id = "") {
    return Ask(&Stub::IssueRouterCertificate, Of<keymgr::v1::IssueRouterCertificateRequest>(slot, version, id))
        .status();
  }
  // The key in its package.
  absl::StatusOr<std::string> Package(std::string_view slot, std::uint32_t version, std::string_view id = "") {
    ASSIGN_OR_RETURN(auto answer, Ask(&Stub::GetKeyPackage, Of<keymgr::v1::GetKeyPackageRequest>(slot, version, id)));
    return std::move(*answer.mutable_package());
  }
  absl::StatusOr<keymgr::v1::RouterKeyVersion> Version(std::string_view slot, std::uint32_t version) {
    keymgr::v1::GetRouterKeyRequest request;
    request.set_slot(std::string(slot));
    ASSIGN_OR_RETURN(const auto answer, Ask(&Stub::GetRouterKey, request));
    for (const auto& one : answer.slot().versions()) {
      if (one.version() == version) return one;
    }
    return NotFound("{} has no version {}", slot, version);
  }
  // A request that the router's agent sends and an approver approves, for a key of the router's own; its version is 1.
  absl::Status Enrol(const std::string& router, std::string_view csr) {
    auto submit = Change<keymgr::v1::SubmitCsrRequest>();
    submit.set_csr(std::string(csr));
    ASSIGN_OR_RETURN(const auto sent, Ask(&Stub::SubmitCsr, submit, Role::kRouter, router));
    auto approve = Change<keymgr::v1::ApproveCsrRequest>();
    approve.set_id(sent.request().id());
    return Ask(&Stub::ApproveCsr, approve, Role::kApprover, "second").status();
  }

 private:
  KeymgrLab& keymgr_;
  int requests_ = 0;
};

}  // namespace virp::testutil
