// Ed25519 signatures, pure (RFC 8032 section 5.1): 32-byte seeds and public keys, 64-byte signatures. Immutable and
// thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace virp::crypto {

inline constexpr std::size_t kEd25519KeySize = 32;
inline constexpr std::size_t kEd25519SignatureSize = 64;

class Ed25519PublicKey {
 public:
  // InvalidArgument unless `bytes` are 32 bytes in canonical form that are not a point of small order (under such a key
  // one signature fits many messages). A value that is no point of the curve at all verifies nothing.
  static absl::StatusOr<Ed25519PublicKey> FromBytes(std::string_view bytes);
  ~Ed25519PublicKey();
  Ed25519PublicKey(const Ed25519PublicKey&);
  Ed25519PublicKey& operator=(const Ed25519PublicKey&);
  Ed25519PublicKey(Ed25519PublicKey&&) noexcept;
  Ed25519PublicKey& operator=(Ed25519PublicKey&&) noexcept;

  const std::string& bytes() const;
  // False also for a signature of another length and for one that is not in canonical form (RFC 8032 section 5.1.7).
  bool Verify(std::string_view message, std::string_view signature) const;

 private:
  friend class Ed25519PrivateKey;
  struct Impl;
  explicit Ed25519PublicKey(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> impl_;
};

class Ed25519PrivateKey {
 public:
  // InvalidArgument unless `seed` has 32 bytes.
  static absl::StatusOr<Ed25519PrivateKey> FromSeed(std::string_view seed);
  static Ed25519PrivateKey Generate();
  ~Ed25519PrivateKey();
  Ed25519PrivateKey(Ed25519PrivateKey&&) noexcept;
  Ed25519PrivateKey& operator=(Ed25519PrivateKey&&) noexcept;

  const Ed25519PublicKey& public_key() const;
  std::string Sign(std::string_view message) const;

 private:
  struct Impl;
  explicit Ed25519PrivateKey(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace virp::crypto
