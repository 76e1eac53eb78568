// `router plan`, `router report`: what the key manager tells a router, and what it tells back, signed by its key.
#include <map>

#include "lib/base/bytes.h"
#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/crypto/sha256.h"
#include "lib/rpki/import.h"
#include "tools/virpctl/keymgr_session.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/router_files.h"
#include "tools/virpctl/router_options.h"
#include "tools/virpctl/router_tables.h"
#include "virp/keymgr/v1/router_key.grpc.pb.h"

namespace virp::virpctl {
namespace {

namespace pb = ::virp::keymgr::v1;
using Service = pb::RouterKeyService;

std::string Versions(const google::protobuf::RepeatedField<std::uint32_t>& versions) {
  return versions.empty() ? "-" : fmt::format("{}", fmt::join(versions, ", "));
}

pb::RouterEvent EventOf(const RouterReportOptions& report) {
  static const std::map<std::string, pb::RouterEvent> kNames{{"installed", pb::ROUTER_EVENT_INSTALLED},
                                                             {"signing", pb::ROUTER_EVENT_SIGNING},
                                                             {"replaced", pb::ROUTER_EVENT_REPLACED}};
  return kNames.at(report.event);
}

// The version that the report is about, as the manager certified it: what is signed names its key identifier.
absl::StatusOr<rpki::RouterFacts> FactsOf(const Connection& to, const RouterReportOptions& report) {
  pb::GetCertsOnlyRequest ask;
  ask.set_slot(report.id);
  ask.set_version(report.version);
  ASSIGN_OR_RETURN(const auto found, Ask(to, &Service::Stub::GetCertsOnly, ask));
  return rpki::RouterFactsOf(found.certificate());
}

// What this router finds out by itself: never the manager's word.
absl::Status Examine(const RouterReportOptions& options, const crypto::P256PrivateKey& key, pb::InstallReport& report) {
  report.set_package_valid(options.package_valid);
  report.set_detail(options.detail);
  if (options.file.empty()) return InvalidArgument("--certificate and --trust-anchor are needed to report INSTALLED");
  ASSIGN_OR_RETURN(const std::string anchor, LoadCertificate(options.trust_anchor));
  ASSIGN_OR_RETURN(const std::string file, ReadFile(options.file, rpki::kMaxImport));
  const auto imported = rpki::ImportCertificates(file);
  if (!imported.ok()) return Annotate(imported.status(), options.file);
  ASSIGN_OR_RETURN(const CertificateCheck check,
                   CheckInstalled(key, imported->router, imported->authorities, anchor, 0));
  report.set_key_match(check.key_match);
  report.set_chain_valid(check.path.empty());
  if (report.detail().empty() && !check.path.empty())
    report.set_detail(std::string(rpki::ReasonName(check.path.front().reason)));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Exit> RouterPlan(const Options& options, const RouterReportOptions& report) {
  pb::GetRouterPlanRequest request;
  request.set_router(report.id);
  ASSIGN_OR_RETURN(const auto plan, Ask(ToKeymgr(options), &Service::Stub::GetRouterPlan, request));
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(plan));
    return Exit::kYes;
  }
  Table table({"KEYS OF", "INSTALL", "SIGN WITH", "REPLACE", "REMOVE", "MAKE THE NEXT"});
  for (const pb::RouterPlan& slot : plan.slots()) {
    const std::string meanwhile = slot.continuity() == pb::ROUTER_CONTINUITY_UNSPECIFIED
                                      ? "-"
                                      : Short(pb::RouterContinuity_Name(slot.continuity()), "ROUTER_CONTINUITY_");
    const std::string sign = slot.sign_with() != 0 ? fmt::format("{}", slot.sign_with()) : meanwhile;
    table.Add({slot.slot(), Versions(slot.install()), sign, Versions(slot.replace()), Versions(slot.remove()),
               slot.submit_next() ? "yes" : "no"});
  }
  Print(table.ToString());
  return Exit::kYes;
}

absl::StatusOr<Exit> RouterReport(const Options& options, const RouterReportOptions& report) {
  const Connection to = ToKeymgr(options);
  ASSIGN_OR_RETURN(const crypto::P256PrivateKey key, LoadRouterKey(report.key));
  auto request = ChangeOf<pb::ConfirmInstallRequest>(report);
  request.set_event(EventOf(report));
  if (request.event() == pb::ROUTER_EVENT_INSTALLED) RETURN_IF_ERROR(Examine(report, key, *request.mutable_report()));
  ASSIGN_OR_RETURN(const rpki::RouterFacts facts, FactsOf(to, report));
  pb::RequestNonceRequest ask;
  ask.set_slot(report.id);
  ask.set_version(report.version);
  ASSIGN_OR_RETURN(const auto nonce, Ask(to, &Service::Stub::RequestNonce, ask));
  // As ConfirmInstallRequest.signature has it.
  const std::string statement = fmt::format("virp router report/1\n{}\n{}\n{}\n{}\n{}\n", report.id, report.version,
                                            Short(pb::RouterEvent_Name(request.event()), "ROUTER_EVENT_"),
                                            HexEncode(facts.key_identifier), HexEncode(nonce.nonce()));
  request.set_signature(key.SignDigest(crypto::Sha256(statement)));
  ASSIGN_OR_RETURN(const auto taken, Ask(to, &Service::Stub::ConfirmInstall, request));
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(taken));
  } else {
    Print(SlotTable(taken.slot()));
  }
  const pb::InstallReport& found = request.report();
  const bool good = request.event() != pb::ROUTER_EVENT_INSTALLED || (found.key_match() && found.chain_valid());
  return good ? Exit::kYes : Exit::kNo;
}

}  // namespace virp::virpctl
