// What a key is called and what may become of it, whichever part of the manager it belongs to. Numbers of the
// enumerations stand in envelopes, tables and audit records: they are never given to anything else.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace virp::keymgr {

// What a key is for. A key never changes its kind: it is part of what its envelope is bound to.
enum class KeyKind : std::uint8_t {
  kObservation = 1,  // O-Key of a source; id: the source's name
  kRouter = 2,       // BGPsec router key (RFC 8635)
  kTcpAo = 3,        // TCP-AO master key (RFC 5925)
  kIssuer = 4,       // key of an RPKI authority: trust anchor, issuing CA
  kPublication = 5,  // one-time EE key of a manifest (RFC 9286): in memory, used once, never sealed or recorded
  kTransfer = 6,     // signs key packages on their way to routers (RFC 8635 section 6.2.1)
};

enum class Algorithm : std::uint8_t {
  kHmacSha256 = 1,  // 16 to 256 octets; generated ones have 32
  kEd25519 = 2,     // RFC 8032, pure
  kEcdsaP256 = 3,   // with SHA-256 (RFC 8608)
  kRsa2048 = 4,     // PKCS #1 v1.5 with SHA-256, exponent 65537 (RFC 7935)
  kOctets = 5,      // 16 to 80 octets that others key their MACs with (TCP-AO); generated ones have 32. Signs nothing
};

// NIST SP 800-57 part 1 revision 5, section 7.
enum class KeyState : std::uint8_t {
  kPreActivation = 1,  // exists, is not used yet
  kActive = 2,
  kSuspended = 3,
  kDeactivated = 4,  // checks what it protected, protects nothing new
  kCompromised = 5,
  kDestroyed = 6,
};

// Under which conditions private bytes may leave the manager (docs/operations/hsm.md, "Export once"). Fixed when the
// key is made, and bound to its envelope.
enum class ExportPolicy : std::uint8_t {
  kNever = 1,
  kOnce = 2,        // once, to whom the key is for; locked for ever by the same transaction
  kEscrowOnly = 3,  // to escrow, and out of it by two persons
  kShared = 4,      // a secret that its two ends hold by nature (HMAC, TCP-AO): to them, as often as they ask
};

// One version of one key. Also the associated data of its envelope: a record that is put in another's place, or taken
// back to an older version's, does not open.
struct KeyIdentity {
  KeyKind kind = KeyKind::kObservation;
  std::string id;  // as CheckKeyId
  std::uint32_t version = 0;
  Algorithm algorithm = Algorithm::kEd25519;

  auto operator<=>(const KeyIdentity&) const = default;
};

std::string_view KeyKindName(KeyKind kind);  // "observation", "router", "tcp_ao", ...
std::string_view AlgorithmName(
    Algorithm algorithm);  // "HMAC-SHA256", "Ed25519", "ECDSA-P256-SHA256", "RSA-2048-SHA256", "OCTETS"
std::string_view KeyStateName(KeyState state);           // "PRE_ACTIVATION", ...
std::string_view ExportPolicyName(ExportPolicy policy);  // "NEVER", "ONCE", "ESCROW_ONLY", "SHARED"
std::optional<KeyKind> KeyKindFromName(std::string_view name);
std::optional<Algorithm> AlgorithmFromName(std::string_view name);
std::optional<ExportPolicy> ExportPolicyFromName(std::string_view name);

constexpr bool IsSymmetric(Algorithm algorithm) {
  return algorithm == Algorithm::kHmacSha256 || algorithm == Algorithm::kOctets;
}

// Ids of keys and of records: source names joined by '/', at most 255 bytes (lib/base/names.h, CheckOrigin):
// "edge-a.bgpd", "edge-a/64496/origin". InvalidArgument says what does not fit.
absl::Status CheckKeyId(std::string_view id);

// Also that the version is not 0 and the algorithm is one of its kind: O-Keys are HMAC-SHA256 or Ed25519, router keys
// P-256, TCP-AO keys octets, authorities and publications RSA-2048, transfer keys RSA-2048 or P-256.
absl::Status CheckIdentity(const KeyIdentity& identity);

// Symmetric kinds are kShared or kNever, RPKI keys of the manager itself (issuer, publication, transfer) kNever.
absl::Status CheckExportPolicy(const KeyIdentity& identity, ExportPolicy policy);

// "router/edge-a/64496 version 3", for messages and logs.
std::string ToString(const KeyIdentity& identity);

// Canonical bytes: "virp key/1" LF, kind, algorithm, version (4 octets, big-endian), id. No two identities share them.
std::string AssociatedData(const KeyIdentity& identity);

// Whether SP 800-57 has an arrow from one state to the other. Compromised and destroyed are never left for a state of
// use; a destroyed key may still become known as compromised.
bool CanMove(KeyState from, KeyState to);

}  // namespace virp::keymgr
