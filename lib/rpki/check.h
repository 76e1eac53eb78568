// Whether certificates and requests keep to their profiles, to the letter: RFC 6487, 8209, 8608, 7935, and what relying
// parties refuse on top (two AS numbers in one certificate). One validator alone lets much of this pass, so everything
// that is issued or imported comes through here. Thread-safe; nothing is changed.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "lib/crypto/p256.h"
#include "lib/crypto/x509.h"
#include "lib/rpki/issue.h"

namespace virp::rpki {

// What is wrong. The names (ReasonName) are stable: programs branch on them.
enum class Reason : std::uint8_t {
  kMalformed,  // no certificate or request in DER, or a part of it is not what its type says
  kVersion,
  kSerialNumber,
  kSignatureAlgorithm,
  kSignature,  // does not fit the issuer's key; of a request: no proof of possession
  kIssuerName,
  kSubjectName,
  kSubjectOfAnotherAs,
  kValidity,
  kNotYetValid,
  kExpired,
  kRevoked,
  kPublicKeyAlgorithm,
  kPublicKeyCompressed,
  kPublicKeyInvalid,
  kUniqueIdentifier,
  kBasicConstraints,
  kSubjectKeyIdentifierMissing,
  kSubjectKeyIdentifierWrong,
  kAuthorityKeyIdentifierMissing,
  kAuthorityKeyIdentifierWrong,
  kKeyUsageMissing,
  kKeyUsageWrong,
  kExtendedKeyUsageMissing,
  kExtendedKeyUsageWrong,
  kCrlDistributionPointsMissing,
  kCrlDistributionPointsWrong,
  kAuthorityInfoAccessMissing,
  kAuthorityInfoAccessWrong,
  kSubjectInfoAccessMissing,
  kSubjectInfoAccessWrong,
  kPolicyMissing,
  kPolicyWrong,
  kIpResources,
  kAsResourcesMissing,
  kAsResourcesWrong,
  kAsResourcesInherited,
  kSeveralAsNumbers,
  kAnotherAsNumber,
  kAsNotHeld,
  kUnknownExtension,
  kUnknownCriticalExtension,
  kRequestAttribute,
  kRequestedExtension,
};
std::string_view ReasonName(Reason reason);  // "KEY_USAGE_WRONG"

struct Refusal {
  Reason reason;
  std::string detail;  // for people: what was found, what was expected
};
using Refusals = std::vector<Refusal>;  // empty: nothing is wrong

// InvalidArgument with all details, and the first one's name as its reason; OK when there are none.
absl::Status AsStatus(const Refusals& refusals, std::string_view what);

// Our own certificates also keep to what RFC 8209 leaves open: no purpose beside the router's, no extension beside
// those of the profile, the recommended name.
enum class Origin : std::uint8_t { kOwn, kImported };

struct RouterExpectation {
  Origin origin = Origin::kOwn;
  std::optional<std::uint32_t> asn = std::nullopt;  // that it must be for
  std::optional<Time> now = std::nullopt;           // at which it must be valid
  std::string_view spki = {};                       // that it must have; empty: any
  // The key that it must have, or null. Its point is known to be one of the curve.
  const crypto::P256PublicKey* key = nullptr;
};
Refusals CheckRouterCertificate(std::string_view der, const RouterExpectation& expected);

// A CA certificate (RFC 6487); a trust anchor is self-signed and names no CRL and no issuer.
enum class AuthorityKind : std::uint8_t { kTrustAnchor, kSubordinate };
Refusals CheckAuthorityCertificate(std::string_view der, AuthorityKind kind, std::optional<Time> now);

// Names, key identifiers and signature of one step: whether `issuer` made `der`. Both are certificates that were
// checked by themselves.
Refusals CheckIssuedBy(std::string_view der, std::string_view issuer);

// The whole way: `router`, the authorities above it in any order, and the trust anchor. Each certificate by itself,
// each step, and that each authority holds what the one below it claims. `crls`, when given, by their issuers.
Refusals CheckPath(std::string_view router, const std::vector<std::string>& authorities, std::string_view trust_anchor,
                   const std::vector<std::string>& crls, const RouterExpectation& expected);

// The same way up from the certificate that signed a key package.
Refusals CheckSignerPath(std::string_view signer, const std::vector<std::string>& authorities,
                         std::string_view trust_anchor, std::optional<Time> now);

struct RequestExpectation {
  std::optional<std::uint32_t> asn;  // a subject that names another AS is refused
};
// A router's request (RFC 8209 section 3.2, RFC 6487 section 6): P-256, its signature good, nothing asked for that is
// not granted. A subject is ignored, as are cA, SIA and certificate signing, which the certificate will not have.
Refusals CheckRouterRequest(std::string_view der, const RequestExpectation& expected);

// A request that CheckRouterRequest has nothing against. Immutable.
class RouterRequest {
 public:
  // InvalidArgument as AsStatus.
  static absl::StatusOr<RouterRequest> Check(std::string_view der, const RequestExpectation& expected);
  const std::string& der() const { return der_; }
  const crypto::P256PublicKey& key() const { return key_; }
  const RequestExpectation& expected() const { return expected_; }  // that it was checked with

 private:
  RouterRequest(std::string_view der, crypto::P256PublicKey key, const RequestExpectation& expected)
      : der_(der), key_(std::move(key)), expected_(expected) {}
  std::string der_;
  crypto::P256PublicKey key_;
  RequestExpectation expected_;
};

// For requests of our own: PKCS #10 with an empty or given subject and the router's purpose, signed by the new key.
absl::StatusOr<std::string> MakeRouterRequest(std::string_view spki, std::optional<std::uint32_t> asn,
                                              const x509::Signer& signer);

// What a certificate says, for those who have checked it.
struct RouterFacts {
  std::uint32_t asn = 0;
  std::string key_identifier;  // 20 bytes
  std::string spki;
  std::string serial;  // big-endian
  Validity validity;
};
absl::StatusOr<RouterFacts> RouterFactsOf(std::string_view der);

}  // namespace virp::rpki
