#include "services/keymgr/transport/router_key_handler.h"

#include <grpc/grpc_security_constants.h>

#include <algorithm>

#include "lib/crypto/x509.h"
#include "lib/service/wire.h"
#include "services/keymgr/transport/router_key_wire.h"

namespace virp::keymgr {
namespace {

using service::Role;

constexpr std::string_view kService = "virp.keymgr.v1.RouterKeyService/";
constexpr std::size_t kPageBytes = std::size_t{2} << 20;  // a page grows no more beyond it

// The certificate that the caller's connection was made with, DER; empty when there is none.
std::string CertificateOf(const grpc::ServerContext& context) {
  const auto values = context.auth_context()->FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME);
  if (values.size() != 1) return {};
  auto blocks = x509::DerBlocks({values[0].data(), values[0].size()}, {"CERTIFICATE"}, x509::kMaxCertificate, 1);
  return blocks.ok() ? std::move(blocks->front()) : std::string();
}

// Fills a page until it is full, and says where the next one begins.
template <typename Items, typename Response, typename Add, typename Id>
void FillPage(const Items& items, std::size_t size, std::string_view filter, Response& response, Add&& add, Id&& id) {
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < std::min(size, items.size()); ++i) {
    bytes += add(*items[i]);
    if (i + 1 == items.size() || (i + 1 < size && bytes < kPageBytes)) continue;
    response.set_next_page_token(service::MakePageToken(id(*items[i]), filter));
    return;
  }
}

}  // namespace

std::vector<service::MethodRule> RouterKeyAccess() {
  const service::RoleSet readers{Role::kReader, Role::kOperator, Role::kApprover};
  const service::RoleSet operators{Role::kOperator};
  const service::RoleSet deciders{Role::kOperator, Role::kApprover};
  const service::RoleSet agents{Role::kRouter, Role::kOperator};
  const service::RoleSet agents_and_readers{Role::kRouter, Role::kReader, Role::kOperator, Role::kApprover};
  std::vector<service::MethodRule> rows;
  const auto add = [&rows](std::initializer_list<std::string_view> methods, const service::RoleSet& roles) {
    for (const std::string_view method : methods) rows.push_back({fmt::format("/{}{}", kService, method), roles});
  };
  add({"GetRouter", "ListRouters", "ListPending", "GetRouterKey", "ListRouterKeys", "ListFleets", "WatchFleet"},
      readers);
  add({"GetCsr", "GetCertsOnly"}, agents_and_readers);
  add({"GetCustodyLog", "ApproveCsr", "RejectCsr", "ApproveEscrowRelease"}, deciders);
  add({"SubmitCsr", "GetKeyPackage", "GetRouterPlan", "RequestNonce", "ConfirmInstall", "EscrowDeposit"}, agents);
  add({"RegisterRouter", "UpdateRouter", "DecommissionRouter", "AttachCustodyLog", "CreateRouterKey",
       "IssueRouterCertificate", "ProvisionRouter", "ActivateRouterKey", "TaintRouterKey", "RevokeRouterKey",
       "ExportCsr", "ImportCertificate", "RequestEscrowRelease", "EscrowRelease", "RollFleet", "SetFleetState"},
      operators);
  return rows;
}

absl::StatusOr<RouterCaller> RouterKeyHandler::CallerOf(const grpc::ServerContext& context, bool all_read) const {
  ASSIGN_OR_RETURN(const service::Identity caller, callers_->Resolve(context));
  const bool reads = all_read && (caller.role == Role::kReader || caller.role == Role::kApprover);
  return RouterCaller{caller.spiffe_id, caller.role == Role::kOperator || reads, CertificateOf(context)};
}

absl::Status RouterKeyHandler::FillSlot(const absl::StatusOr<RouterKeys::SlotPtr>& slot, v1::RouterKeySlot& to) const {
  RETURN_IF_ERROR(slot.status());
  ASSIGN_OR_RETURN(const auto router, keys_.GetRouter((*slot)->router));
  Fill(to, **slot, router->spec, clock_.NowNanos());
  return absl::OkStatus();
}

// ---- accounts ----

grpc::Status RouterKeyHandler::RegisterRouter(grpc::ServerContext* context, const v1::RegisterRouterRequest* request,
                                              v1::RegisterRouterResponse* response) {
  return Change(*context, "RegisterRouter", *request, [&](const Call& call, const RouterCaller&) -> absl::Status {
    ASSIGN_OR_RETURN(const RouterSpec spec, SpecOf(request->router()));
    ASSIGN_OR_RETURN(const auto router, keys_.Register(call, spec));
    Fill(*response->mutable_router(), *router);
    return absl::OkStatus();
  });
}

grpc::Status RouterKeyHandler::UpdateRouter(grpc::ServerContext* context, const v1::UpdateRouterRequest* request,
                                            v1::UpdateRouterResponse* response) {
  return Change(*context, "UpdateRouter", *request, [&](const Call& call, const RouterCaller&) -> absl::Status {
    ASSIGN_OR_RETURN(const RouterSpec spec, SpecOf(request->router()));
    ASSIGN_OR_RETURN(const std::uint64_t revision, RevisionOfRouter(request->router()));
    ASSIGN_OR_RETURN(const auto router, keys_.Update(call, spec, revision));
    Fill(*response->mutable_router(), *router);
    return absl::OkStatus();
  });
}

grpc::Status RouterKeyHandler::GetRouter(grpc::ServerContext* context, const v1::GetRouterRequest* request,
                                         v1::GetRouterResponse* response) {
  return Answer(*context, true, [&](const RouterCaller&) -> absl::Status {
    ASSIGN_OR_RETURN(const auto router, keys_.GetRouter(request->id()));
    Fill(*response->mutable_router(), *router);
    return absl::OkStatus();
  });
}

grpc::Status RouterKeyHandler::ListRouters(grpc::ServerContext* context, const v1::ListRoutersRequest* request,
                                           v1::ListRoutersResponse* response) {
  return Answer(*context, true, [&](const RouterCaller&) -> absl::Status {
    ASSIGN_OR_RETURN(const std::size_t size, service::PageSizeOf(request->page_size()));
    ASSIGN_OR_RETURN(const std::string after, service::ReadPageToken(request->page_token(), "routers"));
    FillPage(
        keys_.ListRouters(after, size + 1), size, "routers", *response,
        [&](const RouterRecord& router) {
          Fill(*response->add_routers(), router);
          return response->routers().rbegin()->ByteSizeLong();
        },
        [](const RouterRecord& router) { return router.spec.id; });
    return absl::OkStatus();
  });
}

grpc::Status RouterKeyHandler::DecommissionRouter(grpc::ServerContext* context,
                                                  const v1::DecommissionRouterRequest* request,
                                                  v1::DecommissionRouterResponse*) {
  return Change(*context, "DecommissionRouter", *request, [&](const Call& call, const RouterCaller&) -> absl::Status {
    return keys_.Decommission(call, request->id());
  });
}

grpc::Status RouterKeyHandler::AttachCustodyLog(grpc::ServerContext* context,
                                                const v1::AttachCustodyLogRequest* request,
                                                v1::AttachCustodyLogResponse* response) {
  return Change(*context, "AttachCustodyLog", *request, [&](const Call& call, const RouterCaller&) -> absl::Status {
    ASSIGN_OR_RETURN(const auto router, keys_.AttachCustodyLog(call, request->router(), request->log()));
    Fill(*response->mutable_router(), *router);
    return absl::OkStatus();
  });
}

grpc::Status RouterKeyHandler::GetCustodyLog(grpc::ServerContext* context, const v1::GetCustodyLogRequest* request,
                                             v1::GetCustodyLogResponse* response) {
  return Answer(*context, true, [&](const RouterCaller&) -> absl::Status {
    ASSIGN_OR_RETURN(*response->mutable_log(), keys_.CustodyLogOf(request->router(), request->sha256()));
    return absl::OkStatus();
  });
}

// ---- requests ----

grpc::Status RouterKeyHandler::SubmitCsr(grpc::ServerContext* context, const v1::SubmitCsrRequest* request,
                                         v1::SubmitCsrResponse* response) {
  return Change(*context, "SubmitCsr", *request, [&](const Call& call, const RouterCaller& caller) -> absl::Status {
    RouterKeys::Submission submission;
    submission.router = request->router();
    submission.asn = request->asn();
    if (request->bgp_id() != 0) submission.bgp_id = request->bgp_id();
    submission.usage = request->usage();
    submission.renew = request->renew();
    submission.request = request->csr();
    ASSIGN_OR_RETURN(const auto csr, keys_.SubmitRequest(call, caller, submission));
    Fill(*response->mutable_request(), *csr);
    return absl::OkStatus();
  });
}

grpc::Status RouterKeyHandler::GetCsr(grpc::ServerContext* context, const v1::GetCsrRequest* request,
                                      v1::GetCsrResponse* response) {
  return Answer(*context, true, [&](const RouterCaller& caller) -> absl::Status {
    ASSIGN_OR_RETURN(const auto csr, keys_.GetRequest(caller, request->id()));
    Fill(*response->mutable_request(), *csr);
    return absl::OkStatus();
  });
}

grpc::Status RouterKeyHandler::ListPending(grpc::ServerContext* context, const v1::ListPendingRequest* request,
                                           v1::ListPendingResponse* response) {
  return Answer(*context, true, [&](const RouterCaller&) -> absl::Status {
    ASSIGN_OR_RETURN(const std::size_t size, service::PageSizeOf(request->page_size()));
    ASSIGN_OR_RETURN(const std::string after, service::ReadPageToken(request->page_token(), "pending"));
    FillPage(
        keys_.ListPending(after, size + 1), size, "pending", *response,
        [&](const RouterRequestRecord& csr) {
          Fill(*response->add_requests(), csr);
          return response->requests().rbegin()->ByteSizeLong();
        },
        [](const RouterRequestRecord& csr) { return csr.id; });
    return absl::OkStatus();
  });
}

grpc::Status RouterKeyHandler::ApproveCsr(grpc::ServerContext* context, const v1::ApproveCsrRequest* request,
                                          v1::ApproveCsrResponse* response) {
  return Change(*context, "ApproveCsr", *request, [&](const Call& call, const RouterCaller&) -> absl::Status {
    ASSIGN_OR_RETURN(const auto csr, keys_.Approve(call, request->id()));
    Fill(*response->mutable_request(), *csr);
    return absl::OkStatus();
  });
}

grpc::Status RouterKeyHandler::RejectCsr(grpc::ServerContext* context, const v1::RejectCsrRequest* request,
                                         v1::RejectCsrResponse* response) {
  return Change(*context, "RejectCsr", *request, [&](const Call& call, const RouterCaller&) -> absl::Status {
    ASSIGN_OR_RETURN(const auto csr, keys_.Reject(call, request->id()));
    Fill(*response->mutable_request(), *csr);
    return absl::OkStatus();
  });
}

// ---- keys that are made here, certificates ----

grpc::Status RouterKeyHandler::CreateRouterKey(grpc::ServerContext* context, const v1::CreateRouterKeyRequest* request,
                                               v1::CreateRouterKeyResponse* response) {
  return Change(*context, "CreateRouterKey", *request, [&](const Call& call, const RouterCaller&) -> absl::Status {
    ASSIGN_OR_RETURN(const auto created, keys_.Create(call, request->router(), request->asn(), request->usage()));
    response->set_version(created.version);
    if (const RouterVersion* const made = created.slot->Find(created.version)) response->set_csr(made->request);
    return FillSlot(created.slot, *response->mutable_slot());
  });
}

grpc::Status RouterKeyHandler::IssueRouterCertificate(grpc::ServerContext* context,
                                                      const v1::IssueRouterCertificateRequest* request,
                                                      v1::IssueRouterCertificateResponse* response) {
  return Change(*context, "IssueRouterCertificate", *request,
                [&](const Call& call, const RouterCaller&) -> absl::Status {
                  return FillSlot(keys_.Issue(call, request->slot(), request->version()), *response->mutable_slot());
                });
}

grpc::Status RouterKeyHandler::GetKeyPackage(grpc::ServerContext* context, const v1::GetKeyPackageRequest* request,
                                             v1::GetKeyPackageResponse* response) {
  return Change(*context, "GetKeyPackage", *request, [&](const Call& call, const RouterCaller& caller) -> absl::Status {
    ASSIGN_OR_RETURN(const crypto::Secret package,
                     keys_.Package(call, caller, request->slot(), request->version(), request->recipient()));
    response->set_package(package.view().data(), package.size());
    return absl::OkStatus();
  });
}

grpc::Status RouterKeyHandler::ProvisionRouter(grpc::ServerContext* context, const v1::ProvisionRouterRequest* request,
                                               v1::ProvisionRouterResponse* response) {
  return Change(*context, "ProvisionRouter", *request, [&](const Call& call, const RouterCaller&) -> absl::Status {
    ASSIGN_OR_RETURN(const RouterSpec spec, SpecOf(request->router()));
    ASSIGN_OR_RETURN(const RouterKeys::Provision made, keys_.ProvisionRouter(call, spec, request->recipient()));
    Fill(*response->mutable_router(), *made.router);
    for (const RouterKeys::Provisioned& key : made.keys) {
      v1::ProvisionedKey& to = *response->add_keys();
      RETURN_IF_ERROR(FillSlot(key.slot, *to.mutable_slot()));
      to.set_version(key.version);
      to.set_csr(key.request);
      to.set_certs_only(key.certs_only);
      to.set_package(key.package.view().data(), key.package.size());
    }
    response->set_trust_anchor(made.trust_anchor);
    response->set_tal(made.tal);
    return absl::OkStatus();
  });
}

grpc::Status RouterKeyHandler::GetCertsOnly(grpc::ServerContext* context, const v1::GetCertsOnlyRequest* request,
                                            v1::GetCertsOnlyResponse* response) {
  return Answer(*context, true, [&](const RouterCaller& caller) -> absl::Status {
    ASSIGN_OR_RETURN(*response->mutable_certs_only(), keys_.CertsOnly(caller, request->slot(), request->version()));
    ASSIGN_OR_RETURN(*response->mutable_certificate(),
                     keys_.CertificateOf(caller, request->slot(), request->version()));
    return absl::OkStatus();
  });
}

// ---- what routers do and say ----

grpc::Status RouterKeyHandler::GetRouterPlan(grpc::ServerContext* context, const v1::GetRouterPlanRequest* request,
                                             v1::GetRouterPlanResponse* response) {
  return Answer(*context, false, [&](const RouterCaller& caller) -> absl::Status {
    ASSIGN_OR_RETURN(const auto plan, keys_.Plan(caller, request->router()));
    ASSIGN_OR_RETURN(const std::string router, keys_.RouterIdOf(caller, request->router()));
    response->set_router(router);
    for (const RouterPlan& slot : plan) Fill(*response->add_slots(), slot);
    return absl::OkStatus();
  });
}

grpc::Status RouterKeyHandler::RequestNonce(grpc::ServerContext* context, const v1::RequestNonceRequest* request,
                                            v1::RequestNonceResponse* response) {
  return Answer(*context, false, [&](const RouterCaller& caller) -> absl::Status {
    ASSIGN_OR_RETURN(*response->mutable_nonce(), keys_.Nonce(caller, request->slot(), request->version()));
    return absl::OkStatus();
  });
}

grpc::Status RouterKeyHandler::ConfirmInstall(grpc::ServerContext* context, const v1::ConfirmInstallRequest* request,
                                              v1::ConfirmInstallResponse* response) {
  return Change(*context, "ConfirmInstall", *request,
                [&](const Call& call, const RouterCaller& caller) -> absl::Status {
                  if (!caller.is_operator) RETURN_IF_ERROR(reports_.Take(caller.identity));
                  RouterKeys::Report report;
                  ASSIGN_OR_RETURN(report.event, EventOf(request->event()));
                  report.package_valid = request->report().package_valid();
                  report.chain_valid = request->report().chain_valid();
                  report.key_match = request->report().key_match();
                  report.detail = request->report().detail();
                  report.signature = request->signature();
                  return FillSlot(keys_.TakeReport(call, caller, request->slot(), request->version(), report),
                                  *response->mutable_slot());
                });
}

// ---- life ----

grpc::Status RouterKeyHandler::GetRouterKey(grpc::ServerContext* context, const v1::GetRouterKeyRequest* request,
                                            v1::GetRouterKeyResponse* response) {
  return Answer(*context, true, [&](const RouterCaller&) -> absl::Status {
    RETURN_IF_ERROR(FillSlot(keys_.GetSlot(request->slot()), *response->mutable_slot()));
    for (v1::RouterKeyVersion& version : *response->mutable_slot()->mutable_versions()) {
      if (const auto asked = keys_.ReleaseOf(request->slot(), version.version()); asked != nullptr)
        Fill(*version.mutable_escrow_request(), *asked);
    }
    return absl::OkStatus();
  });
}

grpc::Status RouterKeyHandler::ListRouterKeys(grpc::ServerContext* context, const v1::ListRouterKeysRequest* request,
                                              v1::ListRouterKeysResponse* response) {
  return Answer(*context, true, [&](const RouterCaller&) -> absl::Status {
    ASSIGN_OR_RETURN(const std::size_t size, service::PageSizeOf(request->page_size()));
    const std::string filter = "slots/" + request->router();
    ASSIGN_OR_RETURN(const std::string after, service::ReadPageToken(request->page_token(), filter));
    const auto slots = keys_.ListSlots(request->router(), after, size + 1);
    FillPage(
        slots, size, filter, *response,
        [&](const RouterSlotRecord& slot) {
          v1::RouterKeySlot& to = *response->add_slots();
          const auto router = keys_.GetRouter(slot.router);
          if (router.ok()) Fill(to, slot, (*router)->spec, clock_.NowNanos());
          return to.ByteSizeLong();
        },
        [](const RouterSlotRecord& slot) { return slot.id(); });
    return absl::OkStatus();
  });
}

grpc::Status RouterKeyHandler::ActivateRouterKey(grpc::ServerContext* context,
                                                 const v1::ActivateRouterKeyRequest* request,
                                                 v1::ActivateRouterKeyResponse* response) {
  return Change(*context, "ActivateRouterKey", *request, [&](const Call& call, const RouterCaller&) -> absl::Status {
    return FillSlot(
        keys_.Activate(call, request->slot(), request->version(), request->emergency(), request->unconfirmed()),
        *response->mutable_slot());
  });
}

grpc::Status RouterKeyHandler::TaintRouterKey(grpc::ServerContext* context, const v1::TaintRouterKeyRequest* request,
                                              v1::TaintRouterKeyResponse* response) {
  return Change(*context, "TaintRouterKey", *request, [&](const Call& call, const RouterCaller&) -> absl::Status {
    ASSIGN_OR_RETURN(const auto continuity, ContinuityOf(request->continuity()));
    return FillSlot(keys_.Taint(call, request->slot(), request->version(), continuity), *response->mutable_slot());
  });
}

grpc::Status RouterKeyHandler::RevokeRouterKey(grpc::ServerContext* context, const v1::RevokeRouterKeyRequest* request,
                                               v1::RevokeRouterKeyResponse* response) {
  return Change(*context, "RevokeRouterKey", *request, [&](const Call& call, const RouterCaller&) -> absl::Status {
    ASSIGN_OR_RETURN(const auto continuity, ContinuityOf(request->continuity()));
    return FillSlot(keys_.Revoke(call, request->slot(), request->version(), continuity), *response->mutable_slot());
  });
}

}  // namespace virp::keymgr
