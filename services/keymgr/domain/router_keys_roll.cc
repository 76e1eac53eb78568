// The life of a key: reports, orders, compromise, revocation, and what time moves (RFC 8634, RFC 8635 section 10).
#include <algorithm>
#include <future>

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/base/utf8.h"
#include "lib/crypto/p256.h"
#include "lib/crypto/sha256.h"
#include "lib/frame/payload.h"
#include "lib/rpki/issue.h"
#include "services/keymgr/domain/router_keys.h"

namespace virp::keymgr {
namespace {

constexpr std::size_t kMaxDetail = 512;
constexpr std::size_t kLookAtOnce = 4'096;  // slots in one Advance
constexpr std::size_t kSettleAtOnce = 16;   // slots in one audit record, which names at most 64 keys
constexpr std::size_t kIssueAtOnce = 256;   // certificates that one Advance makes: each costs a signature
constexpr UnixNanos kRetry = UnixNanos{60} * 1'000'000'000;

absl::Status NoVersion(std::string_view slot, std::uint32_t version) {
  return NotFound("{} has no version {}", slot, version);
}

absl::Status CheckProof(const RouterSlotRecord& slot, std::uint32_t version, RouterEvent event, std::string_view nonce,
                        std::string_view signature) {
  // What a key signed is said to be replaced by the one that replaced it.
  std::uint32_t signer = version;
  if (event == RouterEvent::kReplaced) {
    const RollKey* const active = slot.roll.Active();
    if (active == nullptr)
      return WithReason(FailedPrecondition("no key of {} is active: nothing was replaced", slot.id()),
                        "ROUTER_KEY_STATE");
    signer = active->version;
  }
  const RouterVersion* const about = slot.Find(version);
  const RouterVersion* const by = slot.Find(signer);
  if (about == nullptr || by == nullptr) return NoVersion(slot.id(), version);
  ASSIGN_OR_RETURN(const std::string identifier, rpki::KeyIdentifier(about->spki));
  ASSIGN_OR_RETURN(const auto key, crypto::P256PublicKey::FromSpki(by->spki));
  const std::string statement = ReportStatement(slot.id(), version, event, identifier, nonce);
  if (key.VerifyDigest(crypto::Sha256(statement), signature)) return absl::OkStatus();
  return WithReason(InvalidArgument("signature: not by the key of version {} of {} over this report and the nonce that "
                                    "was given for it: the router has another key",
                                    signer, slot.id()),
                    "KEY_DIFFERS");
}

std::string_view EventOf(RouterEvent event) {
  switch (event) {
    case RouterEvent::kInstalled:
      return "router_key_installed";
    case RouterEvent::kSigning:
      return "router_key_activated";
    case RouterEvent::kReplaced:
      return "router_key_replaced";
  }
  return "router_key_reported";
}

}  // namespace

// ---- reports ----

absl::StatusOr<std::string> RouterKeys::Nonce(const RouterCaller& caller, std::string_view slot,
                                              std::uint32_t version) {
  ASSIGN_OR_RETURN(const SlotPtr seen, AllowedSlot(caller, slot));
  if (seen->Find(version) == nullptr) return NoVersion(slot, version);
  return nonces_.Make(slot, version);
}

absl::StatusOr<RouterKeys::SlotPtr> RouterKeys::TakeReport(const Call& call, const RouterCaller& caller,
                                                           std::string_view slot, std::uint32_t version,
                                                           const Report& report) {
  ASSIGN_OR_RETURN(const SlotPtr seen, AllowedSlot(caller, slot));
  if (report.detail.size() > kMaxDetail || !IsLine(report.detail))
    return InvalidField("report.detail",
                        fmt::format("wanted at most {} bytes of UTF-8 without control characters", kMaxDetail));
  const bool fault =
      report.event == RouterEvent::kInstalled && !(report.package_valid && report.chain_valid && report.key_match);
  const bool proves = !report.signature.empty();
  const auto nonce = proves ? nonces_.Find(slot, version) : absl::StatusOr<std::string>(std::string());
  RouterBook::Change change{.event = fault ? "router_key_install_failed" : EventOf(report.event),
                            .version = version,
                            .tier = fault ? frame::Tier::kYellow : frame::Tier::kGreen};
  change.step = [&](const Snapshot&, RouterSlotRecord& record, Changes& changes) -> absl::Status {
    RouterVersion* const found = record.Find(version);
    if (found == nullptr) return NoVersion(slot, version);
    if (proves) {
      RETURN_IF_ERROR(nonce.status());
      RETURN_IF_ERROR(CheckProof(record, version, report.event, *nonce, report.signature));
    } else if (!caller.is_operator && !fault) {
      return WithReason(InvalidField("signature", "is empty: a router proves what it says"), "KEY_DIFFERS");
    }
    switch (report.event) {
      case RouterEvent::kInstalled:
        found->report = InstallReport{report.package_valid, report.chain_valid, report.key_match, proves,
                                      report.detail,        call.actor,         changes.now()};
        return absl::OkStatus();
      case RouterEvent::kSigning: {
        if (!record.order || record.order->version != version)
          return WithReason(FailedPrecondition("nobody ordered version {} of {} to be used", version, slot),
                            "NOT_ORDERED");
        if (!record.order->unconfirmed && !(found->report && found->report->IsGood()))
          return WithReason(FailedPrecondition("version {} of {}: report that it is installed first", version, slot),
                            "NOT_CONFIRMED");
        RETURN_IF_ERROR(keymgr::Activate(record.roll, version, record.order->emergency, changes.now()));
        record.order.reset();
        return absl::OkStatus();
      }
      case RouterEvent::kReplaced:
        return MarkReplaced(record.roll, version);
    }
    return InvalidField("event", "is none");
  };
  ASSIGN_OR_RETURN(SlotPtr out, Change(call, slot, change));
  if (proves && nonce.ok()) nonces_.Use(slot, version, *nonce);
  return out;
}

// ---- orders ----

absl::StatusOr<RouterKeys::SlotPtr> RouterKeys::Activate(const Call& call, std::string_view slot, std::uint32_t version,
                                                         bool emergency, bool unconfirmed) {
  const bool odd = emergency || unconfirmed;
  return Change(call, slot,
                {.event = emergency ? "router_key_ordered_in_emergency" : "router_key_ordered",
                 .version = version,
                 .tier = odd ? frame::Tier::kYellow : frame::Tier::kGreen,
                 .step = [&](const Snapshot&, RouterSlotRecord& record, Changes& changes) -> absl::Status {
                   const RouterVersion* const found = record.Find(version);
                   if (found == nullptr) return NoVersion(slot, version);
                   // It may wait for its time, but not for anything else.
                   RouterRoll trial = record.roll;
                   RETURN_IF_ERROR(keymgr::Activate(trial, version, true, changes.now()));
                   if (!unconfirmed && !(found->report && found->report->IsGood())) {
                     return WithReason(FailedPrecondition(
                                           "the router has not reported that version {} of {} is installed and checked",
                                           version, slot),
                                       "NOT_CONFIRMED");
                   }
                   record.order = RouterSlotRecord::Order{version, emergency, unconfirmed, call.actor, changes.now()};
                   return absl::OkStatus();
                 }});
}

absl::StatusOr<RouterKeys::SlotPtr> RouterKeys::Taint(const Call& call, std::string_view slot, std::uint32_t version,
                                                      std::optional<Continuity> continuity) {
  return Change(call, slot,
                {.event = "router_key_compromised",
                 .version = version,
                 .tier = frame::Tier::kRed,
                 .step = [&](const Snapshot& now, RouterSlotRecord& record, Changes& changes) -> absl::Status {
                   const RollKey* const key = record.roll.Find(version);
                   if (key == nullptr) return NoVersion(slot, version);
                   const bool active = key->state == RouterKeyState::kActive;
                   if (active && !continuity.has_value()) {
                     return WithReason(
                         FailedPrecondition("the router signs with version {}: say how it goes on meanwhile", version),
                         "CONTINUITY");
                   }
                   RETURN_IF_ERROR(MarkCompromised(record.roll, version, changes.now()));
                   const RouterVersion* const found = record.Find(version);
                   if (found == nullptr) return NoVersion(slot, version);
                   for (const auto& one : RpkiAuthority::CertificatesOf(now, found->spki, record.asn)) {
                     // Nobody has seen it: nobody is to see it.
                     if (one->state == CertificateState::kIssued)
                       RETURN_IF_ERROR(RpkiAuthority::RevokeIn(now, changes, one->id));
                   }
                   if (active) record.roll.continuity = continuity;
                   if (record.order && record.order->version == version) record.order.reset();
                   return absl::OkStatus();
                 }});
}

absl::StatusOr<RouterKeys::SlotPtr> RouterKeys::Revoke(const Call& call, std::string_view slot, std::uint32_t version,
                                                       std::optional<Continuity> continuity) {
  return Change(call, slot,
                {.event = "router_key_revoked",
                 .version = version,
                 .tier = frame::Tier::kYellow,
                 .step = [&](const Snapshot& now, RouterSlotRecord& record, Changes& changes) -> absl::Status {
                   RouterVersion* const found = record.Find(version);
                   if (found == nullptr) return NoVersion(slot, version);
                   auto live = RpkiAuthority::CertificatesOf(now, found->spki, record.asn);
                   found->crl_out = live.empty();  // of an outside authority: said there
                   std::erase_if(live,
                                 [&](const auto& one) { return one->IsRevoked() || one->not_after <= changes.now(); });
                   RETURN_IF_ERROR(MarkRevoked(record.roll, version, continuity, !live.empty(), changes.now()));
                   for (const auto& one : live) RETURN_IF_ERROR(RpkiAuthority::RevokeIn(now, changes, one->id));
                   found->renew_at = 0;
                   if (record.order && record.order->version == version) record.order.reset();
                   return absl::OkStatus();
                 }});
}

// The authority came to a new key: what it issued again is the newest certificate of its version.
void RouterKeys::NoteReissued(const Snapshot& now, const RouterCertificateRecord& old_one,
                              const RouterCertificateRecord& new_one, Changes& changes) const {
  RouterBook::ForEachSlot(now, old_one.router, [&](const SlotPtr& seen) {
    if (seen->asn != old_one.asn) return true;
    for (const RouterVersion& version : seen->versions) {
      if (std::ranges::find(version.certificates, old_one.id) == version.certificates.end()) continue;
      auto slot = std::make_shared<RouterSlotRecord>(*seen);
      std::vector<std::string>& certificates = slot->Find(version.version)->certificates;
      certificates.push_back(new_one.id);
      if (certificates.size() > kMaxSlotCertificates) certificates.erase(certificates.begin());
      book_.Put(changes, std::move(slot));
      return false;
    }
    return true;
  });
}

// ---- time ----

RouterKeys::Settled RouterKeys::Settle(const Snapshot& now, RouterSlotRecord& slot, UnixNanos time) const {
  Settled out;
  const RouterRoll before = slot.roll;
  const auto certificate = [&](const std::string& id) { return now.Find<RouterCertificateRecord>(id); };
  for (RouterVersion& version : slot.versions) {
    const auto key = std::ranges::find(slot.roll.keys, version.version, &RollKey::version);
    if (key == slot.roll.keys.end()) continue;
    // What a publication brought: the newest certificate that relying parties can see.
    for (auto id = version.certificates.rbegin(); id != version.certificates.rend(); ++id) {
      const auto found = certificate(*id);
      if (found == nullptr || found->state != CertificateState::kPublished) continue;
      if (key->not_after != found->not_after)
        MarkPublished(slot.roll, version.version, found->not_after, time).IgnoreError();
      break;
    }
    if (key->state != RouterKeyState::kRevoked || version.crl_out) continue;
    version.crl_out =
        std::ranges::all_of(RpkiAuthority::CertificatesOf(now, version.spki, slot.asn), [&](const auto& one) {
          return one->state == CertificateState::kRevoked || one->state == CertificateState::kReplaced ||
                 one->not_after <= time;
        });
    if (version.crl_out) {
      key->since = time;  // the CRL spreads from now on
      out.changed = true;
    }
  }
  // A key whose CRL is not out yet is not forgotten by anybody, however long that takes.
  std::vector<std::pair<std::uint32_t, UnixNanos>> held;
  for (RollKey& key : slot.roll.keys) {
    const RouterVersion* const version = slot.Find(key.version);
    if (key.state != RouterKeyState::kRevoked || version == nullptr || version->crl_out) continue;
    held.emplace_back(key.version, key.since);
    key.since = time;
    if (key.not_after <= time) key.not_after = time + 1;
  }
  out.moved = keymgr::Advance(slot.roll, options_.times, time);
  for (const auto& [version, since] : held) {
    const auto key = std::ranges::find(slot.roll.keys, version, &RollKey::version);
    key->since = since;
    const auto old_key = std::ranges::find(before.keys, version, &RollKey::version);
    key->not_after = old_key->not_after;
  }
  for (const RollKey& key : slot.roll.keys) {
    const RollKey* const old_key = before.Find(key.version);
    if (key.state == RouterKeyState::kDestroyed && old_key != nullptr && old_key->state != key.state)
      out.destroyed.push_back(key.version);
  }
  out.changed = out.changed || slot.roll != before;
  return out;
}

absl::Status RouterKeys::SettleAll(const std::vector<std::string>& slots) {
  std::vector<std::future<absl::StatusOr<Receipt>>> pending;
  std::vector<std::vector<SealedKey>> gone((slots.size() + kSettleAtOnce - 1) / kSettleAtOnce);
  const Call call = OwnCall("router-keys", "time and publications move keys on");
  for (std::size_t from = 0; from < slots.size(); from += kSettleAtOnce) {
    std::vector<SealedKey>& drops = gone[from / kSettleAtOnce];
    pending.push_back(
        ledger_.Submit(call, [this, &slots, &drops, from](const Snapshot& now, Changes& changes) -> absl::Status {
          drops.clear();
          AuditRecord audit;
          audit.event = "router_keys_advanced";
          frame::JsonWriter json;
          json.BeginObject().Key("states").BeginArray();
          for (std::size_t i = from; i < std::min(slots.size(), from + kSettleAtOnce); ++i) {
            const SlotPtr before = now.Find<RouterSlotRecord>(slots[i]);
            if (before == nullptr) continue;
            auto slot = std::make_shared<RouterSlotRecord>(*before);
            const Settled settled = Settle(now, *slot, changes.now());
            if (!settled.changed) continue;
            for (const RollKey& key : slot->roll.keys) {
              const RollKey* const old_key = before->roll.Find(key.version);
              if (old_key != nullptr && *old_key == key) continue;
              if (audit.keys.size() >= 64) break;
              audit.keys.push_back(slot->identity(key.version));
              json.String(RouterKeyStateName(key.state));
            }
            for (const std::uint32_t version : settled.destroyed) {
              const auto sealed = now.FindKey(slot->identity(version));
              if (sealed == nullptr) continue;
              drops.push_back(*sealed);
              changes.DropKey(sealed->identity);
            }
            book_.Put(changes, std::move(slot));
          }
          if (audit.keys.empty()) return absl::CancelledError("nothing moves");
          audit.fields = json.EndArray().EndObject().Take();
          changes.Audit(std::move(audit));
          return absl::OkStatus();
        }));
  }
  absl::Status first;
  for (std::size_t i = 0; i < pending.size(); ++i) {
    const auto receipt = pending[i].get();
    if (receipt.ok()) {
      for (const SealedKey& key : gone[i]) {
        if (const auto custody = custodies_.Of(key); custody.ok()) (*custody)->Destroy(key).IgnoreError();
      }
    } else if (receipt.status().code() != absl::StatusCode::kCancelled) {
      first.Update(receipt.status());
      for (std::size_t at = i * kSettleAtOnce; at < std::min(slots.size(), (i + 1) * kSettleAtOnce); ++at)
        book_.Expect(slots[at], clock_.NowNanos() + kRetry);
    }
  }
  return first;
}

absl::Status RouterKeys::Renewals(const std::string& slot, Due& due) const {
  ASSIGN_OR_RETURN(const SlotPtr seen, GetSlot(slot));
  for (const RouterVersion& version : seen->versions) {
    const RollKey* const key = seen->roll.Find(version.version);
    if (key == nullptr || version.renew_at == 0 || version.renew_at > clock_.NowNanos() || key->compromised ||
        key->state > RouterKeyState::kActive) {
      continue;
    }
    ASSIGN_OR_RETURN(RpkiAuthority::Item item,
                     ItemFor(OwnCall("renew-router-certificate", "its certificate ends soon"), slot, version.version));
    due.emplace_back(slot, std::move(item));
  }
  return absl::OkStatus();
}

// The next key of a router whose keys are made here, so that it is known long before it is needed (RFC 8207 section 4).
absl::Status RouterKeys::NextKey(const std::string& slot, Due& due) {
  const auto now = ledger_.snapshot();
  ASSIGN_OR_RETURN(const SlotPtr seen, RouterBook::Slot(*now, slot));
  const auto router = now->Find<RouterRecord>(seen->router);
  if (router == nullptr || router->decommissioned || !router->Has(seen->asn)) return absl::OkStatus();
  const RollKey* next = seen->roll.Next();
  const bool wanted =
      (router->spec.keep_next && seen->roll.Active() != nullptr) || seen->fleet_version > seen->last_version;
  const Call call = OwnCall("next-router-key", "a next key is to be known before it is needed");
  std::uint32_t version = next == nullptr ? 0 : next->version;
  if (next == nullptr) {
    if (router->spec.method != KeyMethod::kOperatorDriven || !wanted) return absl::OkStatus();
    RETURN_IF_ERROR(MakeKey(call, *router, seen->asn, seen->usage).status());
    version = seen->last_version + 1;
  }
  const auto newest = GetSlot(slot);
  const RouterVersion* const made = newest.ok() ? (*newest)->Find(version) : nullptr;
  if (made == nullptr || made->made_by != self_ || !made->certificates.empty() || router->spec.outside_authority)
    return absl::OkStatus();
  ASSIGN_OR_RETURN(RpkiAuthority::Item item, ItemFor(call, slot, version));
  due.emplace_back(slot, std::move(item));
  return absl::OkStatus();
}

absl::Status RouterKeys::Advance() {
  const UnixNanos time = clock_.NowNanos();
  absl::Status first = PruneRequests(time);
  const std::vector<std::string> slots = book_.TakeDue(time, kLookAtOnce);
  if (slots.empty()) return first;
  const auto now = ledger_.snapshot();
  std::vector<std::string> moving;
  for (const std::string& id : slots) {
    const SlotPtr slot = now->Find<RouterSlotRecord>(id);
    if (slot == nullptr) continue;
    RouterSlotRecord copy = *slot;
    if (Settle(*now, copy, time).changed) {
      moving.push_back(id);
    } else if (const auto next = NextLook(*slot, options_.times); next.has_value()) {
      book_.Expect(id, std::max(*next, time + kRetry));  // what waits for a CRL is looked at again when that is out
    }
  }
  first.Update(SettleAll(moving));
  Due due;
  for (const std::string& id : slots) {
    if (due.size() >= kIssueAtOnce) {
      book_.Expect(id, time);
      continue;
    }
    absl::Status found = Renewals(id, due);
    found.Update(NextKey(id, due));
    if (!found.ok()) book_.Expect(id, time + kRetry);
    first.Update(found);
  }
  std::vector<RpkiAuthority::Item> items;
  for (const auto& [slot, item] : due) items.push_back(item);
  const auto issued = authority_.IssueAll(items);
  for (std::size_t i = 0; i < issued.size(); ++i) {
    if (!issued[i].ok()) book_.Expect(due[i].first, time + kRetry);
    first.Update(issued[i].status());
  }
  return first;
}

}  // namespace virp::keymgr
