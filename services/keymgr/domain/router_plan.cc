#include "services/keymgr/domain/router_plan.h"

#include <algorithm>
#include <array>

#include "lib/base/bytes.h"
#include "lib/base/status.h"
#include "lib/crypto/sha256.h"

namespace virp::keymgr {
namespace {

using State = RouterKeyState;

UnixNanos Nanos(std::chrono::hours hours) {
  return static_cast<UnixNanos>(std::chrono::nanoseconds(hours).count());
}

// Whether relying parties are to know the key, so that it needs a certificate.
bool IsWanted(const RollKey& key) {
  return key.state <= State::kActive && !key.compromised;
}

// Its certificate is out, or comes out, and only an operator's word takes it back.
bool IsToBeRevoked(const RollKey& key) {
  return key.compromised && key.state >= State::kPublished && key.state <= State::kTwilight;
}

bool HasCertificate(const RouterVersion& version) {
  return !version.certificates.empty() || !version.imported.empty();
}

}  // namespace

UnixNanos RenewAt(std::string_view slot, UnixNanos not_after, const RouterKeyOptions& options) {
  const UnixNanos before = Nanos(std::max(options.renew_before, kLeastRenewBefore));
  const Hash hash = crypto::Sha256(slot);
  const auto spread = LoadBe<std::uint32_t>(View(hash).data());
  const UnixNanos earlier = before + before / 10 * (spread % 1'000) / 1'000;
  return not_after > earlier ? not_after - earlier : 1;
}

std::optional<UnixNanos> NextLook(const RouterSlotRecord& slot, const RollTimes& times) {
  std::optional<UnixNanos> out = NextAdvance(slot.roll, times);
  for (const RollKey& key : slot.roll.keys) {
    const RouterVersion* const version = slot.Find(key.version);
    if (version == nullptr || version->renew_at == 0 || !IsWanted(key)) continue;
    if (!out.has_value() || version->renew_at < *out) out = version->renew_at;
  }
  return out;
}

std::string_view RouterEventName(RouterEvent event) {
  constexpr std::array<std::string_view, 3> kNames{"INSTALLED", "SIGNING", "REPLACED"};
  return kNames[static_cast<std::size_t>(event) - 1];
}

std::string ReportStatement(std::string_view slot, std::uint32_t version, RouterEvent event,
                            std::string_view key_identifier, std::string_view nonce) {
  return fmt::format("virp router report/1\n{}\n{}\n{}\n{}\n{}\n", slot, version, RouterEventName(event),
                     HexEncode(key_identifier), HexEncode(nonce));
}

bool IsReportOverdue(const RouterSlotRecord& slot, const RouterVersion& version, const RollTimes& times,
                     UnixNanos now) {
  const RollKey* const key = slot.roll.Find(version.version);
  if (key == nullptr || key->compromised || !HasCertificate(version) || version.report) return false;
  return key->state == State::kReady || (key->state == State::kActive && key->since + times.staging <= now);
}

std::size_t CompromisedInUse(const RouterSlotRecord& slot) {
  return static_cast<std::size_t>(std::ranges::count_if(slot.roll.keys, &IsToBeRevoked));
}

bool IsAllowed(const RouterSlotRecord& slot, const RouterSlotRecord::Order& order, UnixNanos now) {
  const RouterVersion* const version = slot.Find(order.version);
  if (version == nullptr) return false;
  if (!order.unconfirmed && !(version->report && version->report->IsGood())) return false;
  RouterRoll trial = slot.roll;
  return Activate(trial, order.version, order.emergency, now).ok();
}

RouterPlan PlanFor(const RouterSpec& router, const RouterSlotRecord& slot, UnixNanos now) {
  RouterPlan plan;
  plan.slot = slot.id();
  plan.asn = slot.asn;
  plan.usage = slot.usage;
  for (const RollKey& key : slot.roll.keys) {
    const RouterVersion* const version = slot.Find(key.version);
    if (version == nullptr) continue;
    const bool reported = version->report && version->report->IsGood();
    if (IsWanted(key) && HasCertificate(*version) && !reported) plan.install.push_back(key.version);
    if (key.state == State::kTwilight && !key.replaced) plan.replace.push_back(key.version);
    const bool done_with = key.state == State::kTwilight && key.replaced;
    const bool never_used = key.compromised && key.state <= State::kReady;
    if (key.state >= State::kRevoked || done_with || never_used) plan.remove.push_back(key.version);
  }
  const RollKey* const active = slot.roll.Active();
  if (slot.order && IsAllowed(slot, *slot.order, now)) {
    plan.sign_with = slot.order->version;
  } else if (active != nullptr && (!slot.roll.continuity || *slot.roll.continuity == Continuity::kKeepSigning)) {
    plan.sign_with = active->version;
  }
  if (plan.sign_with == 0 || (active != nullptr && active->version == plan.sign_with))
    plan.continuity = slot.roll.continuity;
  const bool makes_own = router.method != KeyMethod::kOperatorDriven;
  plan.submit_next =
      makes_own && slot.roll.Next() == nullptr &&
      (router.keep_next || active == nullptr || active->compromised || slot.fleet_version > slot.last_version);
  return plan;
}

std::vector<std::string> Missing(const RouterSpec& router, const RouterSlotRecord& slot, UnixNanos now) {
  std::vector<std::string> out;
  const RollKey* const active = slot.roll.Active();
  const RollKey* const next = slot.roll.Next();
  if (active == nullptr) out.emplace_back("no key is active: the router's routes are not signed");
  if (active != nullptr && active->compromised) {
    out.push_back(next == nullptr ? fmt::format("version {} is compromised: make the next key", active->version)
                                  : fmt::format("version {} is compromised: activate version {}, then revoke it",
                                                active->version, next->version));
  }
  if (active != nullptr && active->not_after != 0 && active->not_after <= now)
    out.push_back(fmt::format("the certificate of version {} has expired: renew it", active->version));
  if (next == nullptr && router.keep_next) out.emplace_back("there is no next key");
  for (const RollKey& key : slot.roll.keys) {
    const RouterVersion* const version = slot.Find(key.version);
    if (version == nullptr) continue;
    if (IsWanted(key) && !HasCertificate(*version)) {
      out.push_back(router.outside_authority
                        ? fmt::format("version {}: have its request certified outside and import it", key.version)
                        : fmt::format("version {}: issue its certificate", key.version));
    } else if (IsWanted(key) && !version->report) {
      out.push_back(fmt::format("version {}: the router has not reported that it is installed", key.version));
    } else if (IsWanted(key) && !version->report->IsGood()) {
      out.push_back(fmt::format("version {}: the router reports a fault: {}", key.version, version->report->detail));
    }
    if (IsToBeRevoked(key) && key.state != State::kActive) {
      out.push_back(
          fmt::format("version {} is compromised, and relying parties still accept it: revoke it", key.version));
    }
    if (key.state == State::kReady && !key.compromised && active == nullptr && !slot.order)
      out.push_back(fmt::format("version {} is ready: activate it", key.version));
    if (key.state == State::kTwilight && !key.replaced)
      out.push_back(
          fmt::format("version {}: the router has not reported that what it signed is replaced", key.version));
    if (key.state == State::kRevoked && !version->crl_out)
      out.push_back(fmt::format("version {}: the CRL that revokes it is not published yet", key.version));
  }
  if (slot.order)
    out.push_back(fmt::format("version {} is ordered; the router has not confirmed", slot.order->version));
  return out;
}

}  // namespace virp::keymgr
