// An O-Key as the manager keeps it: the versions of one source's key, what each may be used for, and the order in which
// that changes. Rules only: each step is a function of the record and the time, so that a crash loses none and a test
// can take all of them in any order. Private halves live in custody; the record says whose they are.
//
//             Approve            Activate            next one's Activate        Taint          Revoke
//   PENDING ----------> PREPARED ---------> ACTIVE ---------------------> RETIRED ----> TAINTED -----> REVOKED
//
// HMAC keys are made here; of Ed25519 keys, which who signs makes, there is only the public half.
//
// The order is SPIRE's for its authorities: a version is known to every verifier before it signs, only a version that
// no longer signs is tainted, only a tainted one (or one that was never used, or that nothing accepts any more) is
// revoked.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "services/keymgr/domain/key.h"
#include "services/keymgr/domain/record.h"

namespace virp::keymgr {

// Numbers stand in the database.
enum class ObservationState : std::uint8_t {
  kPending = 1,   // waits for another operator's approval; nobody gets it
  kPrepared = 2,  // verifiers take it, its producer holds it and does not use it yet
  kActive = 3,    // the one version that signs
  kRetired = 4,   // the next one signs; this one verifies until accept_until
  kTainted = 5,   // compromised since a time: what it verified from then on counts nowhere
  kRevoked = 6,   // its secret is gone and nobody gets it any more
};
std::string_view ObservationStateName(ObservationState state);  // "PENDING", ...
// NIST SP 800-57 part 1 rev. 5, section 7. Nothing is suspended here: the O-Node suspends sources, not keys.
KeyState KeyStateOf(ObservationState state);

// How a producer that is none of ours reads its key.
enum class ConsumerForm : std::uint8_t {
  kPlatform = 1,  // the platform's own programs
  kHexText = 2,   // 64 hexadecimal characters, which themselves are the key: the published FRR module
  kRaw = 3,       // 32 octets; read by loaders that cut line ends off, so none ends in one
};

std::string_view ConsumerFormName(ConsumerForm form);  // "PLATFORM", ...
std::optional<ConsumerForm> ConsumerFormFromName(std::string_view name);

struct Sighting {
  std::string identity;     // of the O-Node that said so
  std::uint64_t entry = 0;  // of its chain
  UnixNanos at = 0;
  bool compromised = false;  // the chain marks the version compromised, too
  bool operator==(const Sighting&) const = default;
};

struct ObservationVersion {
  std::uint32_t version = 0;
  Algorithm algorithm = Algorithm::kEd25519;
  ObservationState state = ObservationState::kPending;
  std::string public_half;  // Ed25519: 32 octets
  std::string commitment;   // HMAC: 32 octets, as the chain states it
  UnixNanos accept_from = 0;
  std::optional<UnixNanos> activated{}, sign_until{}, accept_until{}, compromised_since{}, revoked{};
  std::string made_by{};      // identity that made it here, or registered it
  std::string wanted_by{};    // identity that asked who signs for it; empty where nobody asked
  std::string approved_by{};  // a third one; empty where the version before vouched
  std::string succession{};   // tag by the active version over SuccessionStatement; empty where a person approved
  std::vector<Sighting> known_by{};        // newest of each O-Node
  std::vector<std::string> released_to{};  // identities that got its secret

  KeyIdentity identity(std::string_view source) const;
  bool IsCurrent() const { return state != ObservationState::kRevoked; }
  bool operator==(const ObservationVersion&) const = default;
};

struct ObservationKey final : Record {
  static constexpr std::string_view kKind = "observation_key";

  std::string source;  // as the O-Node names it
  ConsumerForm form = ConsumerForm::kPlatform;
  std::vector<std::string> signers;          // identities that sign for it: these get private halves
  std::vector<std::string> carriers;         // identities that relay its frames and check their tags first
  std::vector<ObservationVersion> versions;  // rising
  std::uint32_t first_version = 0;           // that the manager knew; smaller ones come from key files. 0: none yet
  bool activated = false;                    // one of them has signed: versions from key files sign no more
  std::optional<UnixNanos> files_sign_until{},
      files_accept_until{};  // ends of the versions below, set with `activated`
  std::uint32_t wanted = 0;  // Ed25519 version that who signs has been asked for; 0: none
  std::string wanted_by;     // identity that asked

  const ObservationVersion* Find(std::uint32_t version) const;
  ObservationVersion* Find(std::uint32_t version);
  const ObservationVersion* Active() const;  // null when nothing signs
  bool IsSignedBy(std::string_view identity) const;
  bool IsCarriedBy(std::string_view identity) const;

  Row ToRow() const override;
  static absl::StatusOr<std::shared_ptr<Record>> FromRow(const Row& row);
};

inline constexpr std::size_t kMaxHolders = 64;   // signers, carriers, each
inline constexpr std::size_t kMaxVersions = 24;  // the oldest revoked ones are dropped beyond it
inline constexpr std::size_t kMaxStanding = 16;  // that are not revoked
inline constexpr std::size_t kMaxSightings = 16;
inline constexpr std::size_t kMaxReleases = 96;  // identities that a version's secret went to
inline constexpr std::chrono::hours kMostOverlap{24 * 366};

// InvalidArgument with the field: name, holders that are SPIFFE ids and there once, at least one signer unless
// the producer is a foreign one.
absl::Status CheckObservationKey(const ObservationKey& key);

// ---- Steps. Each changes the record or returns an error and leaves it as it was. Errors: NotFound (no such version);
// FailedPrecondition with reason KEY_ORDER and what has to come first, or what else the comment names.

struct NewVersion {
  std::uint32_t version = 0;  // the one after the newest; for the first version any, 1 to 2^32 - 1
  Algorithm algorithm = Algorithm::kEd25519;
  std::string public_half{}, commitment{};
  std::string made_by{};
  std::string succession{};  // a checked tag of the active version; empty: somebody approves it
};
// The next version: PREPARED with a succession, else PENDING. KEY_ORDER while another one waits to be used.
// InvalidArgument for another version number; reason DOWNGRADE for HMAC behind Ed25519, refused for ever;
// ResourceExhausted at kMaxStanding that are not revoked.
absl::Status AddVersion(ObservationKey& key, const NewVersion& next, UnixNanos now);

// Asks who signs for the source to make the next version. Errors as AddVersion; reason NO_SIGNER when only a foreign
// producer does. Said again, the newer asker counts.
absl::Status AskFor(ObservationKey& key, std::uint32_t version, std::string_view by);

// PermissionDenied with reason SAME_PERSON when `by` is who made it, or asked for it.
absl::Status Approve(ObservationKey& key, std::uint32_t version, std::string_view by);

// Whether what an O-Node says of its chain tells anything: a version that a chain has, or marks compromised, stays so,
// and of the O-Nodes beyond kMaxSightings only the mark counts. So there is an end to what reports can write.
bool IsNews(const ObservationVersion& version, const Sighting& sighting);
// What an O-Node says of its chain. Whether the record changed.
absl::StatusOr<bool> NoteSighting(ObservationKey& key, std::uint32_t version, const Sighting& sighting);

struct Activation {
  std::chrono::nanoseconds sign_for = std::chrono::hours(1);     // how long the version before may still sign
  std::chrono::nanoseconds accept_for = std::chrono::hours(24);  // ... and its frames may still arrive
  bool unconfirmed = false;                                      // although no O-Node said that its chain has it
};
// From now on this version signs, and the active one retires. Reason NOT_IN_CHAIN while no O-Node knows the version:
// its frames would be held. InvalidArgument for times that are negative, beyond kMostOverlap, or accept < sign.
absl::Status Activate(ObservationKey& key, std::uint32_t version, const Activation& activation, UnixNanos now);

// Compromised since `since`, a time of receipt; said again, the earlier time holds. The active version only with
// `while_active`: from then on nothing signs for the source until the next version is activated. InvalidArgument for a
// time in the future.
absl::Status Taint(ObservationKey& key, std::uint32_t version, UnixNanos since, bool while_active, UnixNanos now);

// Ends a version for good; its secret is destroyed. A retired one only after its accept_until; reason NOT_IN_CHAIN for
// a tainted one while no O-Node said that its chain marks it, unless `unconfirmed`: verifiers that no longer get it
// could not be told.
absl::Status Revoke(ObservationKey& key, std::uint32_t version, bool unconfirmed, UnixNanos now);

// Whether this version is told to who signs and who verifies: neither before approval nor after revocation.
bool IsServed(const ObservationVersion& version);

}  // namespace virp::keymgr
