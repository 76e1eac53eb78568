// Certificates, and keys that are made here and handed over (RFC 8635 sections 6.2, 7 and appendix B).
#include <algorithm>

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/cms.h"
#include "lib/crypto/p256.h"
#include "lib/crypto/sha256.h"
#include "lib/rpki/check.h"
#include "services/keymgr/domain/release.h"
#include "services/keymgr/domain/router_keys.h"

namespace virp::keymgr {
namespace {

absl::Status StateStatus(const RouterSlotRecord& slot, std::uint32_t version, std::string_view why) {
  const RollKey* const key = slot.roll.Find(version);
  return WithReason(FailedPrecondition("version {} of {} is {}: {}", version, slot.id(),
                                       key == nullptr ? "not there" : RouterKeyStateName(key->state), why),
                    "ROUTER_KEY_STATE");
}

absl::Status NoVersion(std::string_view slot, std::uint32_t version) {
  return NotFound("{} has no version {}", slot, version);
}

// One call that is several changes: each has a request id of its own, which a repeat gives it again.
Call Part(const Call& call, std::string_view what) {
  Call part = call;
  part.request_id =
      "part-" + HexEncode(View(crypto::Sha256({call.actor, "\n", call.request_id, "\n", what}))).substr(0, 40);
  return part;
}

}  // namespace

absl::Status RouterKeys::AddVersion(RouterSlotRecord& slot, RouterVersion version, UnixNanos now) {
  if (std::ranges::find(slot.versions, version.spki, &RouterVersion::spki) != slot.versions.end())
    return WithReason(AlreadyExists("{} has this key", slot.id()), "KEY_IN_USE");
  RETURN_IF_ERROR(AddNext(slot.roll, version.version, now));
  slot.last_version = version.version;
  slot.versions.push_back(std::move(version));
  if (slot.versions.size() <= kMaxSlotVersions) return absl::OkStatus();
  const auto over = std::ranges::find(slot.roll.keys, RouterKeyState::kDestroyed, &RollKey::state);
  if (over == slot.roll.keys.end())
    return StateStatus(slot, slot.roll.keys.front().version, "too many keys of this slot are not over yet");
  const std::uint32_t gone = over->version;
  slot.roll.keys.erase(over);
  std::erase_if(slot.versions, [gone](const RouterVersion& one) { return one.version == gone; });
  return absl::OkStatus();
}

absl::Status RouterKeys::TakeCertificate(const Snapshot& now, RouterSlotRecord& slot, std::uint32_t version,
                                         const RouterCertificateRecord& issued, Changes& changes) const {
  RouterVersion* const found = slot.Find(version);
  const RollKey* const key = slot.roll.Find(version);
  if (found == nullptr || key == nullptr) return NoVersion(slot.id(), version);
  if (key->compromised) return StateStatus(slot, version, "it is compromised and never certified again");
  if (key->state > RouterKeyState::kActive) return StateStatus(slot, version, "its time is over; make another key");
  found->certificates.push_back(issued.id);
  if (found->certificates.size() > kMaxSlotCertificates) {
    RETURN_IF_ERROR(RpkiAuthority::RevokeIn(now, changes, found->certificates.front()));
    found->certificates.erase(found->certificates.begin());
  }
  found->renew_at = RenewAt(slot.id(), issued.not_after, options_);
  return absl::OkStatus();
}

RpkiAuthority::Order RouterKeys::OrderOf(const RouterRecord& router, std::string_view slot, std::uint32_t asn,
                                         std::string_view usage, std::uint32_t version, std::string_view request,
                                         const rpki::RouterRequest* checked, Step step) const {
  RpkiAuthority::Order order;
  order.router = router.spec.id;
  order.asn = asn;
  order.bgp_id = router.spec.bgp_id;
  order.request = request;
  order.checked = checked;
  order.keys = {{KeyKind::kRouter, std::string(slot), version, Algorithm::kEcdsaP256}};
  order.also = [this, step = std::move(step), id = router.spec.id, slot = std::string(slot), usage = std::string(usage),
                asn, version](const Snapshot& now, const RouterCertificateRecord& issued, Changes& changes) {
    const RouterBook::Change change{
        .event = {},
        .version = version,
        .step = [&](const Snapshot& state, RouterSlotRecord& record, Changes& more) -> absl::Status {
          RETURN_IF_ERROR(step(state, record, more));
          return TakeCertificate(state, record, version, issued, more);
        },
        .router = id,
        .asn = asn,
        .usage = usage};
    return book_.Apply(now, changes, slot, change);
  };
  return order;
}

// What Issue asks the authority for. Keeps alive what it borrows.
absl::StatusOr<RpkiAuthority::Item> RouterKeys::ItemFor(const Call& call, std::string_view slot,
                                                        std::uint32_t version) const {
  const auto now = ledger_.snapshot();
  ASSIGN_OR_RETURN(const SlotPtr seen, RouterBook::Slot(*now, slot));
  ASSIGN_OR_RETURN(const RouterPtr router, RouterBook::Router(*now, seen->router));
  if (router->spec.outside_authority) {
    return WithReason(
        FailedPrecondition("an outside authority certifies keys of router {}: export the request there", seen->router),
        "OUTSIDE_AUTHORITY");
  }
  const RouterVersion* const found = seen->Find(version);
  if (found == nullptr) return NoVersion(slot, version);
  Step step = [seen](const Snapshot& state, RouterSlotRecord&, Changes&) -> absl::Status {
    ASSIGN_OR_RETURN(const RouterPtr newest, RouterBook::Router(state, seen->router));
    if (newest->spec.needs_custody_log && newest->logs.empty())
      return WithReason(FailedPrecondition("router {}: attach the custody log first", seen->router), "CUSTODY_LOG");
    if (!newest->Has(seen->asn))
      return WithReason(FailedPrecondition("AS {} is none of router {}", seen->asn, seen->router), "AS_NOT_HELD");
    return absl::OkStatus();
  };
  return RpkiAuthority::Item{
      call, OrderOf(*router, slot, seen->asn, seen->usage, version, found->request, nullptr, std::move(step)),
      !found->certificates.empty()};
}

absl::StatusOr<RouterKeys::SlotPtr> RouterKeys::Issue(const Call& call, std::string_view slot, std::uint32_t version) {
  ASSIGN_OR_RETURN(const RpkiAuthority::Item item, ItemFor(call, slot, version));
  RETURN_IF_ERROR(authority_.Issue(item.call, item.order, item.renew).status());
  return GetSlot(slot);
}

// ---- keys that are made here ----

absl::StatusOr<RouterKeys::Created> RouterKeys::MakeKey(const Call& call, const RouterRecord& router, std::uint32_t asn,
                                                        std::string_view usage) {
  if (router.spec.method == KeyMethod::kRouterDriven)
    return WithReason(FailedPrecondition("router {} makes its own keys", router.spec.id), "METHOD");
  if (!router.Has(asn))
    return WithReason(FailedPrecondition("AS {} is none of router {}", asn, router.spec.id), "AS_NOT_HELD");
  ASSIGN_OR_RETURN(const std::string slot, SlotId(router.spec.id, asn, usage));
  const SlotPtr seen = ledger_.snapshot()->Find<RouterSlotRecord>(slot);
  RouterVersion version;
  version.version = seen == nullptr ? 1 : seen->last_version + 1;
  version.method = KeyMethod::kOperatorDriven;
  version.made_by = call.actor;
  Custody& custody = custodies_.For(KeyKind::kRouter);
  ASSIGN_OR_RETURN(
      const SealedKey key,
      custody.Generate({KeyKind::kRouter, slot, version.version, Algorithm::kEcdsaP256}, router.spec.policy));
  std::uint32_t made = 0;
  const auto finish = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const auto public_key, crypto::P256PublicKey::FromPoint(key.public_half));
    version.spki = public_key.spki();
    ASSIGN_OR_RETURN(version.request, rpki::MakeRouterRequest(version.spki, asn, [&](std::string_view message) {
                       return custody.Sign(key, message);
                     }));
    const auto receipt =
        book_.Commit(call, slot,
                     {.event = "router_key_created",
                      .version = version.version,
                      .step = [&](const Snapshot& now, RouterSlotRecord& record, Changes& changes) -> absl::Status {
                        RETURN_IF_ERROR(RouterBook::Router(now, router.spec.id).status());
                        if (record.last_version + 1 != version.version)
                          return Aborted("another key came between: try again");
                        RETURN_IF_ERROR(AddVersion(record, version, changes.now()));
                        changes.PutKey(key);
                        return absl::OkStatus();
                      },
                      .router = router.spec.id,
                      .asn = asn,
                      .usage = std::string(usage)});
    RETURN_IF_ERROR(receipt.status());
    for (const char digit : receipt->answer) made = made * 10 + static_cast<std::uint32_t>(digit - '0');
    return absl::OkStatus();
  };
  const absl::Status done = finish();
  // What did not come into the ledger is nobody's; when it is not known, the custody's Reconcile finds out.
  if (done.code() != absl::StatusCode::kUnavailable) {
    const auto kept = ledger_.snapshot()->FindKey(key.identity);
    if (kept == nullptr || kept->public_half != key.public_half) custody.Destroy(key).IgnoreError();
  }
  RETURN_IF_ERROR(done);
  ASSIGN_OR_RETURN(SlotPtr now, GetSlot(slot));
  return Created{std::move(now), made};
}

absl::StatusOr<RouterKeys::Created> RouterKeys::Create(const Call& call, std::string_view router, std::uint32_t asn,
                                                       std::string_view usage) {
  ASSIGN_OR_RETURN(const RouterPtr found, RouterBook::Router(*ledger_.snapshot(), router));
  return MakeKey(call, *found, asn, usage);
}

absl::StatusOr<crypto::Secret> RouterKeys::Package(const Call& call, const RouterCaller& caller, std::string_view slot,
                                                   std::uint32_t version, std::string_view recipient) {
  ASSIGN_OR_RETURN(const SlotPtr seen, AllowedSlot(caller, slot));
  if (seen->Find(version) == nullptr) return NoVersion(slot, version);
  const KeyIdentity identity = seen->identity(version);
  const auto key = ledger_.snapshot()->FindKey(identity);
  if (key == nullptr) {
    return WithReason(FailedPrecondition("the private key of version {} of {} is not here", version, slot), "NOT_HERE");
  }
  // All that can fail, before a key leaves that leaves once.
  RETURN_IF_ERROR(transfer_.Prepare(recipient));
  RouterBook::Change change{.event = "router_key_released", .version = version};
  change.step = [&](const Snapshot&, RouterSlotRecord& record, Changes&) -> absl::Status {
    RouterVersion* const found = record.Find(version);
    const RollKey* const state = record.roll.Find(version);
    if (found == nullptr || state == nullptr) return NoVersion(slot, version);
    if (state->compromised || state->state > RouterKeyState::kActive)
      return StateStatus(record, version, "nobody is to install it any more");
    found->released = true;
    return absl::OkStatus();
  };
  Release release{.key = identity, .to = ReleaseTo::kOwner, .audit = book_.AuditOf(*seen, change), .also = {}};
  release.also = [&](const Snapshot& now, Changes& changes) { return book_.Apply(now, changes, slot, change); };
  ASSIGN_OR_RETURN(const Released released, ReleaseKey(ledger_, custodies_, call, release));
  return transfer_.Pack(released.secret, key->public_half, recipient);
}

absl::StatusOr<RouterKeys::Provisioned> RouterKeys::ProvisionSlot(const Call& call, const RouterRecord& router,
                                                                  std::uint32_t asn, std::string_view recipient) {
  ASSIGN_OR_RETURN(const std::string slot, SlotId(router.spec.id, asn, {}));
  SlotPtr seen = ledger_.snapshot()->Find<RouterSlotRecord>(slot);
  if (seen == nullptr || seen->versions.empty()) {
    RETURN_IF_ERROR(MakeKey(Part(call, "create/" + slot), router, asn, {}).status());
    ASSIGN_OR_RETURN(seen, GetSlot(slot));
  }
  Provisioned out;
  out.version = seen->last_version;
  const RouterVersion* found = seen->Find(out.version);
  if (found == nullptr) return NoVersion(slot, out.version);
  if (found->certificates.empty()) {
    ASSIGN_OR_RETURN(seen, Issue(Part(call, "issue/" + slot), slot, out.version));
    found = seen->Find(out.version);
  }
  if (found == nullptr) return NoVersion(slot, out.version);
  out.request = found->request;
  const RouterCaller operators{.identity = call.actor, .is_operator = true};
  ASSIGN_OR_RETURN(out.certs_only, CertsOnly(operators, slot, out.version));
  if (found->method == KeyMethod::kOperatorDriven && router.spec.policy == ExportPolicy::kOnce && !found->released) {
    ASSIGN_OR_RETURN(out.package, Package(Part(call, "package/" + slot), operators, slot, out.version, recipient));
  }
  ASSIGN_OR_RETURN(out.slot, GetSlot(slot));
  return out;
}

absl::StatusOr<RouterKeys::Provision> RouterKeys::ProvisionRouter(const Call& call, const RouterSpec& spec,
                                                                  std::string_view recipient) {
  RETURN_IF_ERROR(CheckRouter(spec));
  if (spec.method == KeyMethod::kRouterDriven)
    return WithReason(FailedPrecondition("router {} makes its own keys: register it, and let it submit", spec.id),
                      "METHOD");
  if (spec.outside_authority)
    return WithReason(FailedPrecondition("an outside authority takes more than one call"), "OUTSIDE_AUTHORITY");
  Provision out;
  ASSIGN_OR_RETURN(out.trust_anchor, TrustAnchor());
  ASSIGN_OR_RETURN(out.tal, authority_.Tal());
  if (const auto there = GetRouter(spec.id); !there.ok()) {
    RETURN_IF_ERROR(Register(Part(call, "register"), spec).status());
  } else if ((*there)->spec != spec) {
    return AlreadyExists("router {} is registered otherwise: update it, or say the same", spec.id);
  }
  ASSIGN_OR_RETURN(out.router, RouterBook::Router(*ledger_.snapshot(), spec.id));
  RETURN_IF_ERROR(transfer_.Prepare(recipient));
  for (const std::uint32_t asn : spec.asns) {
    ASSIGN_OR_RETURN(Provisioned key, ProvisionSlot(call, *out.router, asn, recipient));
    out.keys.push_back(std::move(key));
  }
  return out;
}

// ---- certificates ----

absl::StatusOr<std::string> RouterKeys::CertificateOf(const RouterCaller& caller, std::string_view slot,
                                                      std::uint32_t version) const {
  ASSIGN_OR_RETURN(const SlotPtr seen, AllowedSlot(caller, slot));
  if (version == 0) {
    const RollKey* const active = seen->roll.Active();
    const RollKey* const next = seen->roll.Next();
    version = active != nullptr ? active->version : next != nullptr ? next->version : 0;
  }
  const RouterVersion* const found = seen->Find(version);
  if (found == nullptr) return NoVersion(slot, version);
  if (!found->imported.empty()) return found->imported;
  if (found->certificates.empty())
    return WithReason(FailedPrecondition("version {} of {} has no certificate yet", version, slot), "NOT_ISSUED");
  ASSIGN_OR_RETURN(const auto certificate, authority_.Get(found->certificates.back()));
  return certificate->certificate;
}

absl::StatusOr<std::string> RouterKeys::CertsOnly(const RouterCaller& caller, std::string_view slot,
                                                  std::uint32_t version) const {
  ASSIGN_OR_RETURN(const std::string certificate, CertificateOf(caller, slot, version));
  ASSIGN_OR_RETURN(const SlotPtr seen, GetSlot(slot));
  std::vector<std::string> above = authority_.AuthoritiesBelow();
  for (const RouterVersion& one : seen->versions) {
    if (one.imported != certificate) continue;
    const auto chain = ledger_.snapshot()->Find<RouterChainRecord>(one.chain);
    if (chain == nullptr) return DataLoss("the chain of version {} of {} is not in the ledger", one.version, slot);
    above = chain->authorities;
  }
  std::vector<std::string_view> all{certificate};
  all.insert(all.end(), above.begin(), above.end());
  return cms::CertsOnly(all);
}

}  // namespace virp::keymgr
