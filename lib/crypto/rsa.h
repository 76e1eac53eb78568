// RSA as the RPKI has it (RFC 7935 sections 2 and 3): 2048 bits, exponent 65537, PKCS #1 version 1.5 signatures with
// SHA-256. No other size or exponent is taken. Immutable and thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/crypto/secret.h"

namespace virp::crypto {

inline constexpr std::size_t kRsaSignatureSize = 256;
inline constexpr std::size_t kRsaSpkiSize = 294;

class RsaPublicKey {
 public:
  // InvalidArgument unless `der` is rsaEncryption with a modulus of 2048 bits and the exponent 65537.
  static absl::StatusOr<RsaPublicKey> FromSpki(std::string_view der);
  // Whether FromSpki would take it, without making a key of it.
  static bool IsSpki(std::string_view der);
  ~RsaPublicKey();
  RsaPublicKey(const RsaPublicKey&);
  RsaPublicKey& operator=(const RsaPublicKey&);
  RsaPublicKey(RsaPublicKey&&) noexcept;
  RsaPublicKey& operator=(RsaPublicKey&&) noexcept;

  const std::string& spki() const;
  std::string_view public_key_bits() const;  // what a key identifier is the SHA-1 of (RFC 5280 section 4.2.1.2)
  bool Verify(std::string_view message, std::string_view signature) const;

 private:
  friend class RsaPrivateKey;
  struct Impl;
  explicit RsaPublicKey(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> impl_;
};

class RsaPrivateKey {
 public:
  static RsaPrivateKey Generate();  // about 140 ms of CPU
  // InvalidArgument unless `der` is an unencrypted PKCS #8 RSA key that RsaPublicKey would take.
  static absl::StatusOr<RsaPrivateKey> FromPkcs8(std::string_view der);
  ~RsaPrivateKey();
  RsaPrivateKey(RsaPrivateKey&&) noexcept;
  RsaPrivateKey& operator=(RsaPrivateKey&&) noexcept;

  const RsaPublicKey& public_key() const;
  std::string Sign(std::string_view message) const;
  Secret Pkcs8() const;

 private:
  struct Impl;
  explicit RsaPrivateKey(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace virp::crypto
