// RouterKeyService: outside authorities and escrow.
#include "services/keymgr/transport/router_key_handler.h"
#include "services/keymgr/transport/router_key_wire.h"

namespace virp::keymgr {

static_assert(v1::CSR_FORM_DER == static_cast<int>(RouterKeys::RequestForm::kDer));
static_assert(v1::CSR_FORM_KRILL == static_cast<int>(RouterKeys::RequestForm::kKrill));

grpc::Status RouterKeyHandler::ExportCsr(grpc::ServerContext* context, const v1::ExportCsrRequest* request,
                                         v1::ExportCsrResponse* response) {
  return Answer(*context, false, [&](const RouterCaller& caller) -> absl::Status {
    if (!v1::CsrForm_IsValid(request->form())) return InvalidField("form", "is none that this key manager knows");
    const auto form = request->form() == v1::CSR_FORM_UNSPECIFIED ? v1::CSR_FORM_DER : request->form();
    ASSIGN_OR_RETURN(*response->mutable_csr(), keys_.ExportRequest(caller, request->slot(), request->version(),
                                                                   static_cast<RouterKeys::RequestForm>(form)));
    return absl::OkStatus();
  });
}

grpc::Status RouterKeyHandler::ImportCertificate(grpc::ServerContext* context,
                                                 const v1::ImportCertificateRequest* request,
                                                 v1::ImportCertificateResponse* response) {
  return Change(*context, "ImportCertificate", *request, [&](const Call& call, const RouterCaller&) -> absl::Status {
    return FillSlot(keys_.ImportCertificate(call, request->slot(), request->version(), request->certificates(),
                                            request->trust_anchor()),
                    *response->mutable_slot());
  });
}

grpc::Status RouterKeyHandler::EscrowDeposit(grpc::ServerContext* context, const v1::EscrowDepositRequest* request,
                                             v1::EscrowDepositResponse* response) {
  return Change(*context, "EscrowDeposit", *request, [&](const Call& call, const RouterCaller& caller) -> absl::Status {
    const crypto::Secret private_key{std::string_view(request->private_key())};
    return FillSlot(keys_.Deposit(call, caller, request->slot(), request->version(), private_key),
                    *response->mutable_slot());
  });
}

grpc::Status RouterKeyHandler::RequestEscrowRelease(grpc::ServerContext* context,
                                                    const v1::RequestEscrowReleaseRequest* request,
                                                    v1::RequestEscrowReleaseResponse* response) {
  return Change(*context, "RequestEscrowRelease", *request, [&](const Call& call, const RouterCaller&) -> absl::Status {
    ASSIGN_OR_RETURN(const auto asked, keys_.RequestRelease(call, request->slot(), request->version(), request->agent(),
                                                            request->recipient()));
    if (asked != nullptr) Fill(*response->mutable_request(), *asked);
    return absl::OkStatus();
  });
}

grpc::Status RouterKeyHandler::ApproveEscrowRelease(grpc::ServerContext* context,
                                                    const v1::ApproveEscrowReleaseRequest* request,
                                                    v1::ApproveEscrowReleaseResponse*) {
  return Change(*context, "ApproveEscrowRelease", *request, [&](const Call& call, const RouterCaller&) {
    return keys_.ApproveRelease(call, request->slot(), request->version(), request->expected());
  });
}

grpc::Status RouterKeyHandler::EscrowRelease(grpc::ServerContext* context, const v1::EscrowReleaseRequest* request,
                                             v1::EscrowReleaseResponse* response) {
  return Change(*context, "EscrowRelease", *request, [&](const Call& call, const RouterCaller&) -> absl::Status {
    ASSIGN_OR_RETURN(const crypto::Secret package, keys_.TakeRelease(call, request->slot(), request->version()));
    response->set_package(package.view().data(), package.size());
    return absl::OkStatus();
  });
}

}  // namespace virp::keymgr
