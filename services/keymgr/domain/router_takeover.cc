#include "services/keymgr/domain/router_takeover.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/status.h"
#include "lib/frame/payload.h"
#include "services/keymgr/domain/router_escrow.h"
#include "services/keymgr/domain/router_record.h"
#include "services/keymgr/domain/rpki_authority.h"
#include "services/keymgr/domain/transfer_keys.h"

namespace virp::keymgr {
namespace {

std::optional<RouterKeyState> StateFromName(std::string_view name) {
  for (int i = 1; i <= static_cast<int>(RouterKeyState::kDestroyed); ++i) {
    if (RouterKeyStateName(static_cast<RouterKeyState>(i)) == name) return static_cast<RouterKeyState>(i);
  }
  return std::nullopt;
}

std::string TextIn(frame::Value value) {
  return std::string(value.AsString().value_or(""));
}

class TakingOver {
 public:
  TakingOver(const Snapshot& now, Changes& changes) : now_(now), changes_(changes) {}

  absl::Status Apply(const ChainRecord& record, frame::Value payload) {
    if (record.event == "router_decommissioned") {
      if (RouterRecord* const router = Router(TextIn(payload["router"]))) router->decommissioned = true;
      return absl::OkStatus();
    }
    if (record.event == "router_updated") {
      if (RouterRecord* const router = Router(TextIn(payload["router"]))) Updated(router->spec, payload);
      return absl::OkStatus();
    }
    if (record.event == "transfer_key_created") {
      for (const KeyIdentity& key : record.keys) TransferKeyMade(key);
      return absl::OkStatus();
    }
    std::vector<std::string> states;
    for (const frame::Value::Member& state : payload["states"].members()) states.push_back(TextIn(state.value));
    for (std::size_t i = 0; i < record.keys.size(); ++i) {
      const KeyIdentity& identity = record.keys[i];
      RouterSlotRecord* const slot = identity.kind == KeyKind::kRouter ? Slot(identity.id) : nullptr;
      if (slot == nullptr) continue;
      slot->last_version = std::max(slot->last_version, identity.version);
      RouterVersion* const version = slot->Find(identity.version);
      const auto key = std::ranges::find(slot->roll.keys, identity.version, &RollKey::version);
      if (version == nullptr || key == slot->roll.keys.end()) continue;
      if (record.event == "router_keys_advanced") {
        if (i < states.size()) Advanced(identity, *key, StateFromName(states[i]));
      } else {
        RETURN_IF_ERROR(ApplyTo(record.event, payload, *slot, *version, *key));
      }
    }
    return absl::OkStatus();
  }

  void Put() {
    for (auto& [id, slot] : slots_) {
      slot->look_at = changes_.now();
      changes_.Put(std::move(slot));
    }
    for (auto& [id, router] : routers_) changes_.Put(std::move(router));
  }

 private:
  template <typename T>
  T* Copy(std::map<std::string, std::shared_ptr<T>>& copies, const std::string& id) {
    if (const auto known = copies.find(id); known != copies.end()) return known->second.get();
    const auto before = now_.Find<T>(id);
    if (before == nullptr) return nullptr;
    return copies.emplace(id, std::make_shared<T>(*before)).first->second.get();
  }
  RouterSlotRecord* Slot(const std::string& id) { return Copy(slots_, id); }
  RouterRecord* Router(const std::string& id) { return Copy(routers_, id); }

  // Authentication material stands in no record: what was on file may have been taken off it.
  static void Updated(RouterSpec& spec, frame::Value payload) {
    RouterSpec now = spec;
    now.agent = TextIn(payload["agent"]);
    now.material.clear();
    now.asns.clear();
    for (const frame::Value::Member& asn : payload["asns"].members())
      now.asns.push_back(static_cast<std::uint32_t>(asn.value.AsUnsigned().value_or(0)));
    for (const KeyMethod method : {KeyMethod::kRouterDriven, KeyMethod::kOperatorDriven, KeyMethod::kEither}) {
      if (KeyMethodName(method) == TextIn(payload["makes_keys"])) now.method = method;
    }
    for (const ExportPolicy policy : {ExportPolicy::kNever, ExportPolicy::kOnce, ExportPolicy::kEscrowOnly}) {
      if (ExportPolicyName(policy) == TextIn(payload["policy"])) now.policy = policy;
    }
    if (const auto bgp_id = payload["bgp_id"].AsUnsigned()) now.bgp_id = static_cast<std::uint32_t>(*bgp_id);
    spec = std::move(now);
  }

  // One that is lost took the place of ours, which is destroyed: the next package makes another, with its own number.
  void TransferKeyMade(const KeyIdentity& key) {
    const auto before = now_.Find<TransferKeyRecord>(key.id);
    if (before != nullptr && before->key_version < key.version && now_.FindKey(before->identity()) != nullptr)
      changes_.DropKey(before->identity());
    auto record = std::make_shared<TransferKeyRecord>();
    record->key_version = key.version;
    changes_.Put(std::move(record));
  }

  void Move(RollKey& key, RouterKeyState to) {
    if (key.state >= to) return;
    key.state = to;
    key.since = changes_.now();
  }

  // What was published and waited for is found out anew; what has ended stays so.
  void Advanced(const KeyIdentity& identity, RollKey& key, std::optional<RouterKeyState> state) {
    if (!state || *state < RouterKeyState::kRevoked) return;
    Move(key, *state);
    if (*state == RouterKeyState::kDestroyed && now_.FindKey(identity) != nullptr) changes_.DropKey(identity);
  }

  absl::Status Revoke(const RouterSlotRecord& slot, const RouterVersion& version, bool unpublished_only) {
    for (const auto& one : RpkiAuthority::CertificatesOf(now_, version.spki, slot.asn)) {
      const bool counts = !unpublished_only || one->state == CertificateState::kIssued;
      if (counts && one->not_after > changes_.now()) RETURN_IF_ERROR(RpkiAuthority::RevokeIn(now_, changes_, one->id));
    }
    return absl::OkStatus();
  }

  absl::Status ApplyTo(std::string_view event, frame::Value payload, RouterSlotRecord& slot, RouterVersion& version,
                       RollKey& key) {
    const auto forget_order = [&] {
      if (slot.order && slot.order->version == version.version) slot.order.reset();
    };
    if (event == "router_key_compromised") {
      forget_order();
      RETURN_IF_ERROR(MarkCompromised(slot.roll, version.version, changes_.now()));
      return Revoke(slot, version, true);
    }
    if (event == "router_key_revoked") {
      forget_order();
      version.renew_at = 0;
      version.crl_out = RpkiAuthority::CertificatesOf(now_, version.spki, slot.asn).empty();
      Move(key, RouterKeyState::kRevoked);
      return Revoke(slot, version, false);
    }
    if (event == "router_key_activated") {
      forget_order();
      Activate(slot.roll, version.version, true, changes_.now()).IgnoreError();
    } else if (event == "router_key_replaced") {
      MarkReplaced(slot.roll, version.version).IgnoreError();
    } else if (event == "router_key_released") {
      version.released = true;
    } else if (event == "router_key_released_from_escrow") {
      version.released = true;
      version.report.reset();
      Taken(slot, version.version, TextIn(payload["replacement"]));
    }
    return absl::OkStatus();
  }

  void Taken(const RouterSlotRecord& slot, std::uint32_t version, const std::string& agent) {
    if (const auto found = now_.Find<EscrowReleaseRecord>(EscrowReleaseRecord::IdOf(slot.id(), version))) {
      auto release = std::make_shared<EscrowReleaseRecord>(*found);
      release->state = EscrowState::kReleased;
      changes_.Put(std::move(release));
    }
    RouterRecord* const router = Router(slot.router);
    if (router == nullptr) return;
    router->spec.agent = agent;
    router->spec.material.clear();
  }

  const Snapshot& now_;
  Changes& changes_;
  std::map<std::string, std::shared_ptr<RouterSlotRecord>> slots_;
  std::map<std::string, std::shared_ptr<RouterRecord>> routers_;
};

}  // namespace

absl::Status TakeOverRouterKeys(const std::vector<ChainRecord>& missing, const Snapshot& now, Changes& changes) {
  TakingOver taking_over(now, changes);
  frame::PayloadReader reader;
  for (const ChainRecord& record : missing) {
    if (!record.event.starts_with("router_") && record.event != "transfer_key_created") continue;
    ASSIGN_OR_RETURN(const frame::Frame frame, frame::Decode(record.frame, frame::Spelling::kV2));
    ASSIGN_OR_RETURN(const frame::Value payload, reader.Read(frame.payload));
    RETURN_IF_ERROR(taking_over.Apply(record, payload));
  }
  taking_over.Put();
  return absl::OkStatus();
}

}  // namespace virp::keymgr
