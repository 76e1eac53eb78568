// `keys router`: certificates of outside authorities, and private keys in escrow (RFC 8635 section 10.4).
#include <map>

#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/crypto/secret.h"
#include "lib/rpki/import.h"
#include "tools/virpctl/ceremony.h"
#include "tools/virpctl/keymgr_session.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/router_files.h"
#include "tools/virpctl/router_tables.h"
#include "tools/virpctl/transfer_options.h"
#include "virp/keymgr/v1/router_key.grpc.pb.h"

namespace virp::virpctl {
namespace {

namespace pb = ::virp::keymgr::v1;
using Service = pb::RouterKeyService;

template <typename Request>
Request ChangeOf(const TransferOptions& keys) {
  Request request;
  request.set_slot(keys.id);
  request.set_version(keys.version);
  request.set_reason(keys.reason);
  request.set_request_id(RequestId(keys.request_id));
  return request;
}

template <typename Response>
absl::StatusOr<Exit> ShowSlot(const Options& options, const absl::StatusOr<Response>& response) {
  RETURN_IF_ERROR(response.status());
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(*response));
  } else {
    Print(SlotTable(response->slot()));
  }
  return Exit::kYes;
}

// The private key of the file, PKCS #8 in DER, in a request that is to be wiped.
absl::Status ReadPkcs8(const std::string& path, std::string& to) {
  ASSIGN_OR_RETURN(std::string file, ReadFile(path, x509::kMaxCertificate));
  auto blocks = x509::DerBlocks(file, {"PRIVATE KEY"}, x509::kMaxCertificate, 1);
  crypto::Wipe(file.data(), file.size());
  if (!blocks.ok()) return Annotate(blocks.status(), path);
  to = std::move(blocks->front());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Exit> RouterKeysCsr(const Options& options, const TransferOptions& keys) {
  static const std::map<std::string, pb::CsrForm> kForms{
      {"der", pb::CSR_FORM_DER}, {"pem", pb::CSR_FORM_PEM}, {"krill", pb::CSR_FORM_KRILL}};
  pb::ExportCsrRequest request;
  request.set_slot(keys.id);
  request.set_version(keys.version);
  request.set_form(kForms.at(keys.form));
  ASSIGN_OR_RETURN(const auto made, Ask(ToKeymgr(options), &Service::Stub::ExportCsr, request));
  if (!keys.save.empty()) {
    RETURN_IF_ERROR(ReplaceFile(keys.save, made.csr(), 0644));
  } else if (options.json) {
    RETURN_IF_ERROR(PrintJson(made));
  } else {
    Print(made.csr());
  }
  return Exit::kYes;
}

absl::StatusOr<Exit> RouterKeysImport(const Options& options, const TransferOptions& keys) {
  auto request = ChangeOf<pb::ImportCertificateRequest>(keys);
  ASSIGN_OR_RETURN(*request.mutable_certificates(), ReadFile(keys.file, rpki::kMaxImport));
  ASSIGN_OR_RETURN(*request.mutable_trust_anchor(), LoadCertificate(keys.trust_anchor));
  return ShowSlot(options, Ask(ToKeymgr(options), &Service::Stub::ImportCertificate, request));
}

absl::StatusOr<Exit> RouterKeysDeposit(const Options& options, const TransferOptions& keys) {
  RETURN_IF_ERROR(
      Announce(keys.yes, "A router's private key goes into escrow (RFC 8635 section 10.4)",
               {fmt::format("{} is sent to the key manager as version {} of {}", keys.file, keys.version, keys.id),
                "it leaves again for a replacement router only, when two persons agree"}));
  auto request = ChangeOf<pb::EscrowDepositRequest>(keys);
  RETURN_IF_ERROR(ReadPkcs8(keys.file, *request.mutable_private_key()));
  const auto taken = Ask(ToKeymgr(options), &Service::Stub::EscrowDeposit, request);
  crypto::Wipe(request.mutable_private_key()->data(), request.private_key().size());
  return ShowSlot(options, taken);
}

absl::StatusOr<Exit> RouterKeysRequestRelease(const Options& options, const TransferOptions& keys) {
  auto request = ChangeOf<pb::RequestEscrowReleaseRequest>(keys);
  request.set_agent(keys.agent);
  if (!keys.recipient.empty()) {
    ASSIGN_OR_RETURN(*request.mutable_recipient(), LoadCertificate(keys.recipient));
  }
  ASSIGN_OR_RETURN(const auto taken, Ask(ToKeymgr(options), &Service::Stub::RequestEscrowRelease, request));
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(taken));
  } else {
    Print("somebody else has to approve it, within a day: keys router approve-release\n");
  }
  return Exit::kYes;
}

absl::StatusOr<Exit> RouterKeysApproveRelease(const Options& options, const TransferOptions& keys) {
  RETURN_IF_ERROR(Announce(keys.yes, "A router's private key leaves escrow (RFC 8635 section 10.4)",
                           {fmt::format("version {} of {} may go, once, to who asked for it", keys.version, keys.id),
                            "who asked may not approve it"}));
  ASSIGN_OR_RETURN(const auto taken, Ask(ToKeymgr(options), &Service::Stub::ApproveEscrowRelease,
                                         ChangeOf<pb::ApproveEscrowReleaseRequest>(keys)));
  if (options.json) RETURN_IF_ERROR(PrintJson(taken));
  return Exit::kYes;
}

absl::StatusOr<Exit> RouterKeysRelease(const Options& options, const TransferOptions& keys) {
  if (OpenFile(keys.save, 0).ok()) return AlreadyExists("{} is there already; nothing was done", keys.save);
  RETURN_IF_ERROR(Announce(keys.yes, "A router's private key leaves escrow (RFC 8635 section 10.4)",
                           {fmt::format("version {} of {} is written to {}, once", keys.version, keys.id, keys.save),
                            "the replacement becomes the router's agent: the old one can do nothing any more"}));
  ASSIGN_OR_RETURN(const auto made,
                   Ask(ToKeymgr(options), &Service::Stub::EscrowRelease, ChangeOf<pb::EscrowReleaseRequest>(keys)));
  RETURN_IF_ERROR(ReplaceFile(keys.save, made.package()));
  if (options.json) {
    frame::JsonWriter json;
    PrintJson(json.BeginObject().Field("package", std::string_view(keys.save)).EndObject());
  } else {
    Print(keys.save + "\n");
  }
  return Exit::kYes;
}

}  // namespace virp::virpctl
