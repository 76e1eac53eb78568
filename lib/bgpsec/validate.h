// Signing and validating BGPsec paths with algorithm suite 1 (RFC 8205 sections 4.2 and 5.2, RFC 8608). Thread-safe: no
// state.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/bytes.h"
#include "lib/bgpsec/path.h"
#include "lib/crypto/p256.h"

namespace virp::bgpsec {

// SHA-1 of the point, as a router certificate's subjectKeyIdentifier has it (RFC 8209 section 3.1.3, RFC 6487
// section 4.8.2).
Ski SkiOf(const crypto::P256PublicKey& key);

// ---- Signing ----

struct Signer {
  PathSegment segment;  // the own AS, pCount and flags
  Ski ski{};
  std::function<std::string(const Hash& digest)> sign;  // DER Ecdsa-Sig-Value, not empty
};

// The path to send to `target_asn`: `received` with the signer in front, or the signer alone when it is an empty path
// and the route is originated. A received block of another suite is left out, as one who cannot extend it must. Encode
// says whether it still fits. InvalidArgument for a prefix that cannot be signed, and for a received path without a
// block of suite 1.
absl::StatusOr<Path> Sign(const Path& received, const Signer& signer, std::uint32_t target_asn, const Nlri& nlri);

// ---- Validating ----

// Who received the UPDATE, and from whom.
struct Receiver {
  std::uint32_t asn = 0;  // the AS that the peer sent it to: of the confederation's member when the peer is one, too
  std::uint32_t peer_asn = 0;
  bool peer_in_confederation = false;
  bool peer_transparent = false;  // may send pCount 0
};

enum class Validity {
  kValid,
  kNotValid,     // a signature is missing its key or does not verify
  kUnsupported,  // no block of a suite that is known: to be treated as an unsigned route (RFC 8205 section 5.2)
  kMalformed,    // breaks a rule of section 5.2 before any signature is looked at: to be treated as a withdrawal
};

struct Verdict {
  Validity validity = Validity::kNotValid;
  std::string reason;        // for people; empty when valid
  std::size_t segment = 0;   // index of the segment that the reason is about
  std::size_t verified = 0;  // how many signatures verified, newest first
};

// The keys published for this AS and SKI; several when SKIs collide (RFC 8209 section 6), none when unknown.
using RouterKeys = std::function<std::vector<crypto::P256PublicKey>(std::uint32_t asn, const Ski& ski)>;

// `path` is one that Decode gave. InvalidArgument for an Nlri that Check refuses.
absl::StatusOr<Verdict> Validate(const Path& path, const Nlri& nlri, const Receiver& receiver, const RouterKeys& keys);

}  // namespace virp::bgpsec
