// `keys router`: certificates of outside authorities, and private keys in escrow (RFC 8635 section 10.4).
#include <algorithm>
#include <map>

#include "lib/base/bytes.h"
#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/crypto/secret.h"
#include "lib/rpki/import.h"
#include "tools/virpctl/ceremony.h"
#include "tools/virpctl/keymgr_session.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/package_file.h"
#include "tools/virpctl/router_files.h"
#include "tools/virpctl/router_tables.h"
#include "tools/virpctl/transfer_options.h"
#include "virp/keymgr/v1/router_key.grpc.pb.h"

namespace virp::virpctl {
namespace {

namespace pb = ::virp::keymgr::v1;
using Service = pb::RouterKeyService;

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
  ASSIGN_OR_RETURN(const crypto::Secret key, ReadPkcs8(keys.file));
  request.mutable_private_key()->assign(key.view());
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
  pb::GetRouterKeyRequest look;
  look.set_slot(keys.id);
  ASSIGN_OR_RETURN(const auto seen, Ask(ToKeymgr(options), &Service::Stub::GetRouterKey, look));
  const auto version = std::find_if(seen.slot().versions().begin(), seen.slot().versions().end(),
                                    [&](const pb::RouterKeyVersion& one) { return one.version() == keys.version; });
  if (version == seen.slot().versions().end() || !version->has_escrow_request())
    return FailedPrecondition("nobody asks for version {} of {}, or it was asked for too long ago", keys.version,
                              keys.id);
  const pb::EscrowRequest& asked = version->escrow_request();
  const std::string encrypted = asked.recipient_sha256().empty() ? "it is not encrypted for anybody"
                                                                 : "it is encrypted for the certificate with SHA-256 " +
                                                                       HexEncode(asked.recipient_sha256());
  RETURN_IF_ERROR(
      Announce(keys.yes, "A router's private key leaves escrow (RFC 8635 section 10.4)",
               {fmt::format("version {} of {} may go, once, to {}", keys.version, keys.id, asked.requested_by()),
                asked.agent().empty() ? "operators act for the replacement router"
                                      : asked.agent() + " becomes the router's agent",
                encrypted, "who asked may not approve it"}));
  auto request = ChangeOf<pb::ApproveEscrowReleaseRequest>(keys);
  request.set_expected(asked.digest());
  ASSIGN_OR_RETURN(const auto taken, Ask(ToKeymgr(options), &Service::Stub::ApproveEscrowRelease, request));
  if (options.json) RETURN_IF_ERROR(PrintJson(taken));
  return Exit::kYes;
}

absl::StatusOr<Exit> RouterKeysRelease(const Options& options, const TransferOptions& keys) {
  RETURN_IF_ERROR(Announce(
      keys.yes, "A router's private key leaves escrow (RFC 8635 section 10.4)",
      {fmt::format("version {} of {} is written to {}, once", keys.version, keys.id, keys.save),
       "the replacement that was asked for becomes the router's agent, or operators act for the router where none "
       "was named: the old agent can do nothing any more"}));
  ASSIGN_OR_RETURN(PackageFile file, PackageFile::At(keys.save));
  ASSIGN_OR_RETURN(const auto made,
                   Ask(ToKeymgr(options), &Service::Stub::EscrowRelease, ChangeOf<pb::EscrowReleaseRequest>(keys)));
  RETURN_IF_ERROR(file.Write(made.package()));
  if (options.json) {
    frame::JsonWriter json;
    PrintJson(json.BeginObject().Field("package", std::string_view(keys.save)).EndObject());
  } else {
    Print(keys.save + "\n");
  }
  return Exit::kYes;
}

}  // namespace virp::virpctl
