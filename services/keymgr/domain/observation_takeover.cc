#include "services/keymgr/domain/observation_takeover.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>

#include "lib/base/bytes.h"
#include "lib/base/status.h"
#include "lib/frame/payload.h"
#include "services/keymgr/domain/observation_key.h"

namespace virp::keymgr {
namespace {

constexpr std::string_view kPrefix = "observation_key_";

std::vector<std::string> ListIn(frame::Value value) {
  std::vector<std::string> out;
  for (const frame::Value::Member& member : value.members()) out.emplace_back(member.value.AsString().value_or(""));
  return out;
}

std::string BytesIn(frame::Value value) {
  auto bytes = HexDecode(value.AsString().value_or(""));
  return bytes.ok() ? *std::move(bytes) : "";
}

void ReadHolders(frame::Value payload, ObservationKey& key) {
  if (const auto form = ConsumerFormFromName(payload["form"].AsString().value_or(""))) key.form = *form;
  if (payload["signers"].present()) key.signers = ListIn(payload["signers"]);
  if (payload["carriers"].present()) key.carriers = ListIn(payload["carriers"]);
}

// The version, added when the ledger never had it.
ObservationVersion* VersionOf(ObservationKey& key, const KeyIdentity& identity, frame::Value payload, UnixNanos now) {
  if (ObservationVersion* const known = key.Find(identity.version)) return known;
  if (!key.versions.empty() && identity.version < key.versions.back().version) return nullptr;  // dropped since
  ObservationVersion& version = key.versions.emplace_back();
  version.version = identity.version;
  version.algorithm = identity.algorithm;
  version.accept_from = now;
  version.public_half = BytesIn(payload["public_key"]);
  version.commitment = BytesIn(payload["commitment"]);
  version.succession = BytesIn(payload["succession"]);
  version.made_by = payload["by"].AsString().value_or("");
  version.wanted_by = payload["wanted_by"].AsString().value_or("");
  if (identity.algorithm != Algorithm::kEd25519) {
    version.state = ObservationState::kRevoked;
    version.revoked = now;
  }
  if (key.first_version == 0) key.first_version = identity.version;
  key.wanted = 0;
  key.wanted_by.clear();
  return &version;
}

void Retire(ObservationKey& key, UnixNanos now) {
  const Activation usual;
  for (ObservationVersion& version : key.versions) {
    if (version.state != ObservationState::kActive) continue;
    version.state = ObservationState::kRetired;
    version.sign_until = now + static_cast<UnixNanos>(usual.sign_for.count());
    version.accept_until = now + static_cast<UnixNanos>(usual.accept_for.count());
  }
}

void Apply(std::string_view event, frame::Value payload, ObservationKey& key, ObservationVersion& version,
           UnixNanos now) {
  if (event == "observation_key_tainted") {
    const UnixNanos since = payload["compromised_since_ns"].AsUnsigned().value_or(now);
    version.compromised_since = std::min(since, version.compromised_since.value_or(since));
    if (version.state != ObservationState::kRevoked) version.state = ObservationState::kTainted;
  } else if (event == "observation_key_revoked") {
    version.state = ObservationState::kRevoked;
    version.revoked = now;
    version.known_by.clear();
    version.released_to.clear();
  } else if (event == "observation_key_activated") {
    Retire(key, now);
    if (!key.activated) {
      const Activation usual;
      key.files_sign_until = now + static_cast<UnixNanos>(usual.sign_for.count());
      key.files_accept_until = now + static_cast<UnixNanos>(usual.accept_for.count());
    }
    key.activated = true;
    if (version.state == ObservationState::kRevoked) return;
    version.state = ObservationState::kActive;
    version.activated = now;
  } else if (event == "observation_key_approved" && version.state == ObservationState::kPending) {
    version.state = ObservationState::kPrepared;
    version.approved_by = payload["by"].AsString().value_or("");
  } else if (event == "observation_key_registered" && version.state == ObservationState::kPending &&
             !version.succession.empty()) {
    version.state = ObservationState::kPrepared;
  }
}

}  // namespace

absl::Status TakeOverObservationKeys(const std::vector<ChainRecord>& missing, const Snapshot& now, Changes& changes) {
  std::map<std::string, std::shared_ptr<ObservationKey>> changed;
  frame::PayloadReader reader;
  for (const ChainRecord& record : missing) {
    if (!record.event.starts_with(kPrefix) || record.event == "observation_key_released") continue;
    auto& key = changed[record.source];
    if (key == nullptr) {
      const auto before = now.Find<ObservationKey>(record.source);
      key = before == nullptr ? std::make_shared<ObservationKey>() : std::make_shared<ObservationKey>(*before);
      key->source = record.source;
    }
    ASSIGN_OR_RETURN(const frame::Frame frame, frame::Decode(record.frame, frame::Spelling::kV2));
    ASSIGN_OR_RETURN(const frame::Value payload, reader.Read(frame.payload));
    ReadHolders(payload, *key);
    for (const KeyIdentity& identity : record.keys) {
      if (identity.kind != KeyKind::kObservation || identity.id != record.source) continue;
      if (ObservationVersion* const version = VersionOf(*key, identity, payload, changes.now()))
        Apply(record.event, payload, *key, *version, changes.now());
    }
  }
  for (auto& [source, key] : changed) changes.Put(std::move(key));
  return absl::OkStatus();
}

}  // namespace virp::keymgr
