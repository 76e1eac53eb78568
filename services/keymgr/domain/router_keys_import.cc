// Certificates of outside authorities: an RIR's, or a Krill below one.
#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/sha256.h"
#include "lib/frame/payload.h"
#include "lib/rpki/check.h"
#include "lib/rpki/import.h"
#include "services/keymgr/domain/router_keys.h"

namespace virp::keymgr {
namespace {

rpki::Time TimeOf(UnixNanos nanos) {
  return rpki::Time(std::chrono::seconds(nanos / 1'000'000'000));
}

}  // namespace

absl::StatusOr<std::string> RouterKeys::ExportRequest(const RouterCaller& caller, std::string_view slot,
                                                      std::uint32_t version, RequestForm form) const {
  ASSIGN_OR_RETURN(const SlotPtr seen, AllowedSlot(caller, slot));
  const RouterVersion* const found = seen->Find(version);
  if (found == nullptr) return NotFound("{} has no version {}", slot, version);
  switch (form) {
    case RequestForm::kDer:
      return found->request;
    case RequestForm::kPem:
      return x509::PemBlock("CERTIFICATE REQUEST", found->request);
    case RequestForm::kKrill: {
      frame::JsonWriter json;
      json.BeginObject().Key("add").BeginArray().BeginObject().Field("asn", seen->asn);
      json.Field("csr", Base64Encode(found->request)).EndObject().EndArray();
      return json.Key("remove").BeginArray().EndArray().EndObject().Take();
    }
  }
  return InvalidField("form", "is none");
}

absl::StatusOr<RouterKeys::SlotPtr> RouterKeys::ImportCertificate(const Call& call, std::string_view slot,
                                                                  std::uint32_t version, std::string_view certificates,
                                                                  std::string_view trust_anchor) {
  const auto now = ledger_.snapshot();
  ASSIGN_OR_RETURN(const SlotPtr seen, RouterBook::Slot(*now, slot));
  ASSIGN_OR_RETURN(const RouterPtr router, RouterBook::Router(*now, seen->router));
  if (!router->spec.outside_authority) {
    return WithReason(FailedPrecondition("keys of router {} are certified here", seen->router), "OWN_AUTHORITY");
  }
  const RouterVersion* const found = seen->Find(version);
  if (found == nullptr) return NotFound("{} has no version {}", slot, version);
  auto imported = rpki::ImportCertificates(certificates);
  if (!imported.ok()) return WithReason(InvalidField("certificates", Message(imported.status())), "MALFORMED");
  const rpki::Refusals refusals = rpki::CheckPath(
      imported->router, imported->authorities, trust_anchor, {},
      {.origin = rpki::Origin::kImported, .asn = seen->asn, .now = TimeOf(clock_.NowNanos()), .spki = found->spki});
  RETURN_IF_ERROR(rpki::AsStatus(refusals, "imported certificate"));
  ASSIGN_OR_RETURN(const rpki::RouterFacts facts, rpki::RouterFactsOf(imported->router));
  auto chain = std::make_shared<RouterChainRecord>();
  std::string all(trust_anchor);
  for (const std::string& authority : imported->authorities) all.append(authority);
  chain->id = HexEncode(View(crypto::Sha256(all)));
  chain->authorities = std::move(imported->authorities);
  chain->trust_anchor = trust_anchor;
  const auto not_after = static_cast<UnixNanos>(facts.validity.not_after.time_since_epoch().count()) * 1'000'000'000;
  return Change(call, slot,
                {.event = "router_certificate_imported",
                 .version = version,
                 .step = [&](const Snapshot& state, RouterSlotRecord& record, Changes& changes) -> absl::Status {
                   RouterVersion* const of = record.Find(version);
                   if (of == nullptr) return NotFound("{} has no version {}", slot, version);
                   RETURN_IF_ERROR(MarkPublished(record.roll, version, not_after, changes.now()));
                   of->imported = imported->router;
                   of->chain = chain->id;
                   if (state.Find<RouterChainRecord>(chain->id) == nullptr)
                     changes.Put(std::make_shared<RouterChainRecord>(*chain));
                   return absl::OkStatus();
                 }});
}

}  // namespace virp::keymgr
