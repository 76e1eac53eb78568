#include "services/keymgr/transport/router_key_wire.h"

#include <algorithm>
#include <charconv>

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/sha256.h"
#include "lib/rpki/issue.h"
#include "lib/service/wire.h"

namespace virp::keymgr {
namespace {

// Before anything is copied; the domain has the finer limits.
constexpr int kMostOfAnything = 256;

static_assert(v1::ROUTER_KEY_METHOD_EITHER == static_cast<int>(KeyMethod::kEither));
static_assert(v1::ROUTER_EXPORT_POLICY_NEVER == static_cast<int>(ExportPolicy::kNever));
static_assert(v1::ROUTER_EXPORT_POLICY_ESCROW_ONLY == static_cast<int>(ExportPolicy::kEscrowOnly));
static_assert(v1::ROUTER_BOOTSTRAP_SHARED_SECRET == static_cast<int>(Bootstrap::kSharedSecret));
static_assert(v1::ROUTER_MATERIAL_KIND_ROUTER_KEY == static_cast<int>(MaterialKind::kRouterKey));
static_assert(v1::ROUTER_KEY_STATE_DESTROYED == static_cast<int>(RouterKeyState::kDestroyed));
static_assert(v1::ROUTER_CONTINUITY_OFFLINE == static_cast<int>(Continuity::kOffline));
static_assert(v1::ROUTER_CSR_STATE_REJECTED == static_cast<int>(RequestState::kRejected));
static_assert(v1::ROUTER_EVENT_REPLACED == static_cast<int>(RouterEvent::kReplaced));

// `fallback` when it is not given.
template <typename To, typename From>
absl::StatusOr<To> Known(From value, bool (*is_valid)(int), To fallback, std::string_view field) {
  if (static_cast<int>(value) == 0) return fallback;
  if (!is_valid(value)) return InvalidField(field, "is none that this key manager knows");
  return static_cast<To>(value);
}

std::string Identifier(std::string_view spki) {
  auto identifier = rpki::KeyIdentifier(spki);
  return identifier.ok() ? *std::move(identifier) : std::string();
}

void Fill(v1::InstallReport& to, const InstallReport& report) {
  to.set_package_valid(report.package_valid);
  to.set_chain_valid(report.chain_valid);
  to.set_key_match(report.key_match);
  to.set_detail(report.detail);
  to.set_proved(report.proved);
  to.set_by(report.by);
  *to.mutable_at() = service::TimestampOf(report.at);
}

void Fill(v1::RouterKeyVersion& to, const RouterVersion& version, const RollKey* key) {
  to.set_version(version.version);
  to.set_key_identifier(Identifier(version.spki));
  to.set_public_key(version.spki);
  to.set_method(static_cast<v1::RouterKeyMethod>(version.method));
  to.set_made_by(version.made_by);
  to.set_approved_by(version.approved_by);
  for (const std::string& certificate : version.certificates) to.add_certificates(certificate);
  to.set_released(version.released);
  to.set_escrowed(version.escrowed);
  if (version.report) Fill(*to.mutable_report(), *version.report);
  if (key == nullptr) return;
  to.set_state(static_cast<v1::RouterKeyState>(key->state));
  *to.mutable_since() = service::TimestampOf(key->since);
  if (key->not_after != 0) *to.mutable_not_after() = service::TimestampOf(key->not_after);
  to.set_compromised(key->compromised);
  to.set_replaced(key->replaced);
}

absl::Status TakeLists(const v1::Router& router, RouterSpec& out) {
  if (router.asns_size() > kMostOfAnything) return InvalidField("router.asns", "are too many");
  if (router.material_size() > kMostOfAnything) return InvalidField("router.material", "are too many");
  if (router.contacts_size() > kMostOfAnything) return InvalidField("router.contacts", "are too many");
  out.asns.assign(router.asns().begin(), router.asns().end());
  std::ranges::sort(out.asns);
  for (const v1::RouterMaterial& material : router.material()) {
    if (material.kind() == v1::ROUTER_MATERIAL_KIND_UNSPECIFIED)
      return InvalidField("router.material.kind", "is missing");
    ASSIGN_OR_RETURN(const auto kind, Known(material.kind(), v1::RouterMaterialKind_IsValid, MaterialKind::kTlsKey,
                                            "router.material.kind"));
    out.material.push_back({kind, material.sha256()});
  }
  for (const v1::PeerContact& contact : router.contacts())
    out.contacts.push_back({contact.asn(), contact.name(), contact.address()});
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RouterSpec> SpecOf(const v1::Router& router) {
  RouterSpec out;
  out.id = router.id();
  out.bgp_id = router.bgp_id();
  out.shared_key = router.shared_key();
  ASSIGN_OR_RETURN(out.method,
                   Known(router.method(), v1::RouterKeyMethod_IsValid, KeyMethod::kRouterDriven, "router.method"));
  ASSIGN_OR_RETURN(out.policy,
                   Known(router.policy(), v1::RouterExportPolicy_IsValid, ExportPolicy::kNever, "router.policy"));
  out.agent = router.agent();
  ASSIGN_OR_RETURN(out.bootstrap,
                   Known(router.bootstrap(), v1::RouterBootstrap_IsValid, Bootstrap::kCraftPort, "router.bootstrap"));
  RETURN_IF_ERROR(TakeLists(router, out));
  out.needs_custody_log = router.needs_custody_log();
  out.keep_next = !router.no_next_key();
  out.outside_authority = router.outside_authority();
  return out;
}

absl::StatusOr<std::uint64_t> RevisionOfRouter(const v1::Router& router) {
  const std::string& etag = router.etag();
  if (etag.empty()) return 0;
  std::uint64_t revision = 0;
  const auto [end, error] = std::from_chars(etag.data(), etag.data() + etag.size(), revision);
  if (error != std::errc() || end != etag.data() + etag.size() || revision == 0)
    return InvalidField("router.etag", "is none of this key manager's");
  return revision;
}

absl::StatusOr<RouterEvent> EventOf(v1::RouterEvent event) {
  if (event == v1::ROUTER_EVENT_UNSPECIFIED) return InvalidField("event", "is missing");
  return Known(event, v1::RouterEvent_IsValid, RouterEvent::kInstalled, "event");
}

absl::StatusOr<std::optional<Continuity>> ContinuityOf(v1::RouterContinuity continuity) {
  if (continuity == v1::ROUTER_CONTINUITY_UNSPECIFIED) return std::optional<Continuity>();
  ASSIGN_OR_RETURN(const Continuity out,
                   Known(continuity, v1::RouterContinuity_IsValid, Continuity::kKeepSigning, "continuity"));
  return std::optional<Continuity>(out);
}

void Fill(v1::Router& to, const RouterRecord& router) {
  const RouterSpec& spec = router.spec;
  to.set_id(spec.id);
  to.set_bgp_id(spec.bgp_id);
  to.set_shared_key(spec.shared_key);
  for (const std::uint32_t asn : spec.asns) to.add_asns(asn);
  to.set_method(static_cast<v1::RouterKeyMethod>(spec.method));
  to.set_policy(static_cast<v1::RouterExportPolicy>(spec.policy));
  to.set_agent(spec.agent);
  to.set_bootstrap(static_cast<v1::RouterBootstrap>(spec.bootstrap));
  for (const Material& material : spec.material) {
    v1::RouterMaterial& out = *to.add_material();
    out.set_kind(static_cast<v1::RouterMaterialKind>(material.kind));
    out.set_sha256(material.sha256);
  }
  to.set_needs_custody_log(spec.needs_custody_log);
  to.set_no_next_key(!spec.keep_next);
  to.set_outside_authority(spec.outside_authority);
  for (const PeerContact& contact : spec.contacts) {
    v1::PeerContact& out = *to.add_contacts();
    out.set_asn(contact.asn);
    out.set_name(contact.name);
    out.set_address(contact.address);
  }
  for (const CustodyLog& log : router.logs) {
    v1::CustodyLogEntry& out = *to.add_custody_logs();
    out.set_sha256(log.sha256);
    out.set_size(log.size);
    out.set_signer(log.signer);
    out.set_attached_by(log.attached_by);
    *out.mutable_at() = service::TimestampOf(log.at);
  }
  to.set_decommissioned(router.decommissioned);
  to.set_registered_by(router.registered_by);
  *to.mutable_created() = service::TimestampOf(router.created);
  to.set_etag(fmt::format("{}", router.revision));
}

void Fill(v1::RouterKeySlot& to, const RouterSlotRecord& slot, const RouterSpec& spec, UnixNanos now) {
  to.set_slot(slot.id());
  to.set_router(slot.router);
  to.set_asn(slot.asn);
  to.set_usage(slot.usage);
  for (const RouterVersion& version : slot.versions) Fill(*to.add_versions(), version, slot.roll.Find(version.version));
  if (slot.order) to.set_ordered(slot.order->version);
  if (slot.roll.continuity) to.set_continuity(static_cast<v1::RouterContinuity>(*slot.roll.continuity));
  for (const std::string& what : Missing(spec, slot, now)) to.add_missing(what);
}

void Fill(v1::EscrowRequest& to, const EscrowReleaseRecord& release) {
  to.set_agent(release.agent);
  if (!release.recipient.empty()) to.set_recipient_sha256(std::string(View(crypto::Sha256(release.recipient))));
  to.set_requested_by(release.requested_by);
  to.set_approved_by(release.approved_by);
  *to.mutable_until() = service::TimestampOf(release.until);
  to.set_digest(release.Digest());
}

void Fill(v1::RouterCsr& to, const RouterRequestRecord& request) {
  to.set_id(request.id);
  to.set_router(request.router);
  to.set_asn(request.asn);
  to.set_usage(request.usage);
  to.set_csr(request.request);
  to.set_key_identifier(Identifier(request.spki));
  to.set_state(static_cast<v1::RouterCsrState>(request.state));
  to.set_submitted_by(request.submitted_by);
  to.set_decided_by(request.decided_by);
  to.set_decision(request.decision);
  if (const auto slot = SlotId(request.router, request.asn, request.usage); slot.ok()) to.set_slot(*slot);
  to.set_version(request.version);
  if (request.created != 0) *to.mutable_submitted() = service::TimestampOf(request.created);
}

void Fill(v1::RouterPlan& to, const RouterPlan& plan) {
  to.set_slot(plan.slot);
  to.set_asn(plan.asn);
  to.set_usage(plan.usage);
  for (const std::uint32_t version : plan.install) to.add_install(version);
  to.set_sign_with(plan.sign_with);
  if (plan.continuity) to.set_continuity(static_cast<v1::RouterContinuity>(*plan.continuity));
  for (const std::uint32_t version : plan.replace) to.add_replace(version);
  for (const std::uint32_t version : plan.remove) to.add_remove(version);
  to.set_submit_next(plan.submit_next);
}

}  // namespace virp::keymgr
