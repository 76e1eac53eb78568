// ECDSA with curve P-256 and SHA-256 (FIPS 186-5, SEC 1), as RFC 8608 section 2 has it for BGPsec: keys as uncompressed
// points and as the one SubjectPublicKeyInfo that RFC 8208 allows, signatures as DER Ecdsa-Sig-Value of at most 72
// bytes. Immutable and thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/base/bytes.h"
#include "lib/crypto/secret.h"

namespace virp::crypto {

inline constexpr std::size_t kP256ScalarSize = 32;
inline constexpr std::size_t kP256PointSize = 65;  // 0x04, x, y
inline constexpr std::size_t kP256SpkiSize = 91;   // a fixed prefix and the point
inline constexpr std::size_t kP256MaxSignatureSize = 72;

class P256PublicKey {
 public:
  // InvalidArgument unless `point` is an uncompressed point of the curve. Compressed points are refused: RFC 8608
  // section 3.1.
  static absl::StatusOr<P256PublicKey> FromPoint(std::string_view point);
  // InvalidArgument unless `der` is id-ecPublicKey with the named curve secp256r1 and such a point, and nothing else.
  static absl::StatusOr<P256PublicKey> FromSpki(std::string_view der);
  // Whether `der` has that form; whether its point is on the curve only FromSpki finds out.
  static bool IsSpki(std::string_view der);
  ~P256PublicKey();
  P256PublicKey(const P256PublicKey&);
  P256PublicKey& operator=(const P256PublicKey&);
  P256PublicKey(P256PublicKey&&) noexcept;
  P256PublicKey& operator=(P256PublicKey&&) noexcept;

  std::string_view spki() const;
  std::string_view point() const { return spki().substr(kP256SpkiSize - kP256PointSize); }
  // False also for a signature that is not DER in its shortest form.
  bool VerifyDigest(const Hash& digest, std::string_view signature) const;

 private:
  struct Impl;
  explicit P256PublicKey(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> impl_;
};

class P256PrivateKey {
 public:
  // InvalidArgument unless `scalar` is 32 bytes, big-endian, in [1, order of the curve - 1].
  static absl::StatusOr<P256PrivateKey> FromScalar(std::string_view scalar);
  static P256PrivateKey Generate();
  ~P256PrivateKey();
  P256PrivateKey(P256PrivateKey&&) noexcept;
  P256PrivateKey& operator=(P256PrivateKey&&) noexcept;

  const P256PublicKey& public_key() const;
  std::string SignDigest(const Hash& digest) const;

 private:
  struct Impl;
  explicit P256PrivateKey(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace virp::crypto
