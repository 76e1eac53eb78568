#include "services/keymgr/domain/observation_key.h"

#include <algorithm>
#include <set>

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/base/names.h"
#include "lib/base/status.h"

namespace virp::keymgr {
namespace {

constexpr std::size_t kKeyBytes = 32;
constexpr std::size_t kMaxIdentity = 2'048;

absl::Status OutOfOrder(const ObservationKey& key, std::uint32_t version, std::string_view what) {
  return WithReason(FailedPrecondition("version {} of {}: {}", version, key.source, what), "KEY_ORDER");
}

absl::Status NotInChain(const ObservationKey& key, std::uint32_t version, std::string_view what) {
  return WithReason(FailedPrecondition("version {} of {}: no O-Node has said yet that its chain {}; wait until one is "
                                       "connected and the source is registered, or say that it may be unconfirmed",
                                       version, key.source, what),
                    "NOT_IN_CHAIN");
}

absl::StatusOr<ObservationVersion*> FindIn(ObservationKey& key, std::uint32_t version) {
  if (ObservationVersion* found = key.Find(version)) return found;
  return NotFound("{} has no version {}", key.source, version);
}

absl::Status CheckHolders(std::string_view field, const std::vector<std::string>& holders) {
  if (holders.size() > kMaxHolders)
    return InvalidField(field, fmt::format("{} identities; at most {}", holders.size(), kMaxHolders));
  std::set<std::string_view> seen;
  for (const std::string& id : holders) {
    if (!id.starts_with("spiffe://") || id.size() > kMaxIdentity)
      return InvalidField(field, fmt::format("\"{}\" is not a SPIFFE id", id));
    if (!seen.insert(id).second) return InvalidField(field, fmt::format("\"{}\" is there twice", id));
  }
  return absl::OkStatus();
}

bool IsWaiting(const ObservationVersion& version) {
  return version.state == ObservationState::kPending || version.state == ObservationState::kPrepared;
}

void DropOldest(ObservationKey& key) {
  while (key.versions.size() > kMaxVersions) {
    const auto gone = std::find_if(key.versions.begin(), key.versions.end(),
                                   [](const ObservationVersion& version) { return !version.IsCurrent(); });
    if (gone == key.versions.end()) return;
    key.versions.erase(gone);
  }
}

}  // namespace

std::string_view ObservationStateName(ObservationState state) {
  switch (state) {
    case ObservationState::kPending:
      return "PENDING";
    case ObservationState::kPrepared:
      return "PREPARED";
    case ObservationState::kActive:
      return "ACTIVE";
    case ObservationState::kRetired:
      return "RETIRED";
    case ObservationState::kTainted:
      return "TAINTED";
    case ObservationState::kRevoked:
      return "REVOKED";
  }
  return "?";
}

KeyState KeyStateOf(ObservationState state) {
  switch (state) {
    case ObservationState::kPending:
    case ObservationState::kPrepared:
      return KeyState::kPreActivation;
    case ObservationState::kActive:
      return KeyState::kActive;
    case ObservationState::kRetired:
      return KeyState::kDeactivated;
    case ObservationState::kTainted:
      return KeyState::kCompromised;
    case ObservationState::kRevoked:
      return KeyState::kDestroyed;
  }
  return KeyState::kDestroyed;
}

KeyIdentity ObservationVersion::identity(std::string_view source) const {
  return {KeyKind::kObservation, std::string(source), version, algorithm};
}

const ObservationVersion* ObservationKey::Find(std::uint32_t version) const {
  const auto at = std::find_if(versions.begin(), versions.end(), [&](const auto& v) { return v.version == version; });
  return at == versions.end() ? nullptr : &*at;
}

ObservationVersion* ObservationKey::Find(std::uint32_t version) {
  const auto at = std::find_if(versions.begin(), versions.end(), [&](const auto& v) { return v.version == version; });
  return at == versions.end() ? nullptr : &*at;
}

const ObservationVersion* ObservationKey::Active() const {
  const auto at = std::find_if(versions.begin(), versions.end(),
                               [](const auto& v) { return v.state == ObservationState::kActive; });
  return at == versions.end() ? nullptr : &*at;
}

bool ObservationKey::IsSignedBy(std::string_view identity) const {
  return std::find(signers.begin(), signers.end(), identity) != signers.end();
}

bool ObservationKey::IsCarriedBy(std::string_view identity) const {
  return std::find(carriers.begin(), carriers.end(), identity) != carriers.end();
}

absl::Status CheckObservationKey(const ObservationKey& key) {
  if (const absl::Status name = CheckOrigin(key.source); !name.ok()) return InvalidField("source", Message(name));
  RETURN_IF_ERROR(CheckHolders("signers", key.signers));
  RETURN_IF_ERROR(CheckHolders("carriers", key.carriers));
  const bool foreign = key.form != ConsumerForm::kPlatform;
  if (key.signers.empty() && !foreign)
    return InvalidField("signers", "is empty; name who signs for the source, or the form of a foreign producer");
  return absl::OkStatus();
}

namespace {

// Whether that version may be the next one.
absl::Status CheckNext(const ObservationKey& key, std::uint32_t version, bool asymmetric) {
  if (version == 0) return InvalidField("version", "is 0; versions count from 1");
  if (!key.versions.empty() && version != key.versions.back().version + 1)
    return InvalidField("version", fmt::format("{} does not follow {}, the newest version of {}", version,
                                               key.versions.back().version, key.source));
  const auto waiting = std::find_if(key.versions.begin(), key.versions.end(), IsWaiting);
  if (waiting != key.versions.end())
    return OutOfOrder(key, version,
                      fmt::format("version {} is {}; activate or revoke it first", waiting->version,
                                  ObservationStateName(waiting->state)));
  const bool was_asymmetric = std::any_of(key.versions.begin(), key.versions.end(),
                                          [](const auto& v) { return v.algorithm == Algorithm::kEd25519; });
  if (was_asymmetric && !asymmetric)
    return WithReason(FailedPrecondition("{} has had an Ed25519 key; a key that its verifier holds too is refused for "
                                         "ever",
                                         key.source),
                      "DOWNGRADE");
  if (std::count_if(key.versions.begin(), key.versions.end(), [](const auto& v) { return v.IsCurrent(); }) >=
      static_cast<std::ptrdiff_t>(kMaxStanding)) {
    return ResourceExhausted("{} has {} versions that are not revoked; revoke those that nothing needs", key.source,
                             kMaxStanding);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status AskFor(ObservationKey& key, std::uint32_t version, std::string_view by) {
  RETURN_IF_ERROR(CheckNext(key, version, true));
  if (key.signers.empty())
    return WithReason(
        FailedPrecondition("{} has a foreign producer; nobody of the platform could make its key", key.source),
        "NO_SIGNER");
  key.wanted = version;
  key.wanted_by = by;
  return absl::OkStatus();
}

absl::Status AddVersion(ObservationKey& key, const NewVersion& next, UnixNanos now) {
  const bool asymmetric = next.algorithm == Algorithm::kEd25519;
  if (!asymmetric && next.algorithm != Algorithm::kHmacSha256)
    return InvalidField("suite", "an O-Key is HMAC-SHA256 or Ed25519");
  if (next.public_half.size() != (asymmetric ? kKeyBytes : 0U))
    return InvalidField("public_key", "wanted 32 bytes for Ed25519, none for HMAC");
  if (next.commitment.size() != (asymmetric ? 0U : kKeyBytes))
    return InvalidField("commitment", "wanted 32 bytes for HMAC, none for Ed25519");
  RETURN_IF_ERROR(CheckNext(key, next.version, asymmetric));
  if (!next.succession.empty() && key.Active() == nullptr)
    return OutOfOrder(key, next.version, "no version signs now that could vouch for it; have it approved");
  if (key.first_version == 0) key.first_version = next.version;
  ObservationVersion& version = key.versions.emplace_back();
  version.version = next.version;
  version.algorithm = next.algorithm;
  version.state = next.succession.empty() ? ObservationState::kPending : ObservationState::kPrepared;
  version.public_half = next.public_half;
  version.commitment = next.commitment;
  version.accept_from = now;
  version.made_by = next.made_by;
  if (next.version == key.wanted && asymmetric) version.wanted_by = key.wanted_by;
  version.succession = next.succession;
  key.wanted = 0;
  key.wanted_by.clear();
  DropOldest(key);
  return absl::OkStatus();
}

absl::Status Approve(ObservationKey& key, std::uint32_t version, std::string_view by) {
  ASSIGN_OR_RETURN(ObservationVersion* const found, FindIn(key, version));
  if (found->state != ObservationState::kPending)
    return OutOfOrder(key, version,
                      fmt::format("it is {}, nothing is to be approved", ObservationStateName(found->state)));
  if (by == found->made_by || by == found->wanted_by)
    return WithReason(PermissionDenied("version {} of {} was {} by {}; somebody else approves it", version, key.source,
                                       by == found->made_by ? "made" : "asked for", by),
                      "SAME_PERSON");
  found->state = ObservationState::kPrepared;
  found->approved_by = by;
  return absl::OkStatus();
}

bool IsNews(const ObservationVersion& version, const Sighting& sighting) {
  if (version.state == ObservationState::kPending || version.state == ObservationState::kRevoked) return false;
  const auto known = std::ranges::find(version.known_by, sighting.identity, &Sighting::identity);
  if (known != version.known_by.end()) return sighting.compromised && !known->compromised;
  return version.known_by.size() < kMaxSightings ||
         (sighting.compromised && !std::ranges::all_of(version.known_by, &Sighting::compromised));
}

absl::StatusOr<bool> NoteSighting(ObservationKey& key, std::uint32_t version, const Sighting& sighting) {
  ASSIGN_OR_RETURN(ObservationVersion* const found, FindIn(key, version));
  if (!IsNews(*found, sighting)) return false;
  auto place = std::ranges::find(found->known_by, sighting.identity, &Sighting::identity);
  if (place == found->known_by.end() && found->known_by.size() >= kMaxSightings)
    place = std::ranges::find(found->known_by, false, &Sighting::compromised);
  if (place == found->known_by.end()) {
    found->known_by.push_back(sighting);
  } else {
    *place = sighting;
  }
  return true;
}

absl::Status Activate(ObservationKey& key, std::uint32_t version, const Activation& activation, UnixNanos now) {
  using std::chrono::nanoseconds;
  if (activation.sign_for < nanoseconds(0) || activation.sign_for > kMostOverlap)
    return InvalidField("sign_for", "wanted 0 s to 366 days");
  if (activation.accept_for < activation.sign_for || activation.accept_for > kMostOverlap)
    return InvalidField("accept_for", "wanted at least sign_for and at most 366 days");
  ASSIGN_OR_RETURN(ObservationVersion* const found, FindIn(key, version));
  if (found->state == ObservationState::kPending) return OutOfOrder(key, version, "another operator approves it first");
  if (found->state != ObservationState::kPrepared)
    return OutOfOrder(
        key, version,
        fmt::format("it is {}; only a prepared version is activated", ObservationStateName(found->state)));
  if (found->known_by.empty() && !activation.unconfirmed) return NotInChain(key, version, "has it");
  const UnixNanos sign_until = now + static_cast<UnixNanos>(activation.sign_for.count());
  const UnixNanos accept_until = now + static_cast<UnixNanos>(activation.accept_for.count());
  for (ObservationVersion& before : key.versions) {
    if (before.state != ObservationState::kActive) continue;
    before.state = ObservationState::kRetired;
    before.sign_until = sign_until;
    before.accept_until = accept_until;
  }
  if (!key.activated) {
    key.files_sign_until = sign_until;
    key.files_accept_until = accept_until;
  }
  found->state = ObservationState::kActive;
  found->activated = now;
  key.activated = true;
  return absl::OkStatus();
}

absl::Status Taint(ObservationKey& key, std::uint32_t version, UnixNanos since, bool while_active, UnixNanos now) {
  if (since > now) return InvalidField("compromised_since", "lies in the future");
  ASSIGN_OR_RETURN(ObservationVersion* const found, FindIn(key, version));
  if (IsWaiting(*found)) return OutOfOrder(key, version, "it never signed; revoke it");
  if (found->state == ObservationState::kActive && !while_active)
    return OutOfOrder(key, version,
                      "it signs; prepare and activate the next version first, or say that the source may be silent");
  found->compromised_since = std::min(since, found->compromised_since.value_or(since));
  if (found->state != ObservationState::kRevoked) found->state = ObservationState::kTainted;
  return absl::OkStatus();
}

absl::Status Revoke(ObservationKey& key, std::uint32_t version, bool unconfirmed, UnixNanos now) {
  ASSIGN_OR_RETURN(ObservationVersion* const found, FindIn(key, version));
  if (found->state == ObservationState::kActive)
    return OutOfOrder(key, version, "it signs; prepare and activate the next version, then taint this one");
  if (found->state == ObservationState::kRevoked) return OutOfOrder(key, version, "it is revoked already");
  if (found->state == ObservationState::kRetired && !(found->accept_until && now > *found->accept_until))
    return OutOfOrder(key, version, "its frames are still accepted; taint it first, or wait for its accept_until");
  if (found->state == ObservationState::kTainted && !unconfirmed &&
      std::none_of(found->known_by.begin(), found->known_by.end(), [](const Sighting& s) { return s.compromised; })) {
    return NotInChain(key, version, "marks it compromised");
  }
  found->state = ObservationState::kRevoked;
  found->revoked = now;
  found->known_by.clear();
  found->released_to.clear();
  return absl::OkStatus();
}

bool IsServed(const ObservationVersion& version) {
  return version.state != ObservationState::kPending && version.state != ObservationState::kRevoked;
}

}  // namespace virp::keymgr
