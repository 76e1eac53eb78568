// Private to lib/pkcs11: between the forms of PKCS #11 and those of everybody else. Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/base/bytes.h"

namespace virp::pkcs11 {

inline constexpr std::size_t kP256PointSize = 65;  // 0x04, X, Y
inline constexpr std::size_t kRsa2048Size = 256;

// ECDSA-Sig-Value (RFC 3279 section 2.2.3) of the 64 bytes r, s that CKM_ECDSA gives. Unavailable when the token gave
// another length or a zero: it is broken, and no signature may be made of it.
absl::StatusOr<std::string> EcdsaDer(std::string_view raw);

// What CKM_RSA_PKCS signs: DigestInfo of a SHA-256 value (RFC 8017 section 9.2, note 1).
std::string Sha256DigestInfo(const Hash& digest);

// CKA_EC_POINT without its OCTET STRING, which some tokens leave out; `size` is the point's own.
absl::StatusOr<std::string> PointFromAttribute(std::string_view attribute, std::size_t size);

// SubjectPublicKeyInfo, DER: RFC 5480 (an uncompressed point of P-256), RFC 8410 (32 bytes of Ed25519), RFC 3279
// section 2.3.1 (modulus and exponent of RSA, big-endian).
std::string P256Spki(std::string_view point);
std::string Ed25519Spki(std::string_view key);
std::string RsaSpki(std::string_view modulus, std::string_view exponent);

// The way back, for exactly what the former would write: InvalidArgument otherwise. A modulus has 2048 bits.
struct RsaNumbers {
  std::string modulus;
  std::string exponent;
};
absl::StatusOr<std::string> P256PointFromSpki(std::string_view spki);
absl::StatusOr<RsaNumbers> RsaFromSpki(std::string_view spki);

}  // namespace virp::pkcs11
