// The other end of SourceKey: signs exports beside the document. Immutable and thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "absl/status/statusor.h"
#include "lib/crypto/ed25519.h"
#include "lib/crypto/p256.h"

namespace virp::vrp {

class SigningKey {
 public:
  // A private key of Ed25519 or P-256, unencrypted, as `openssl genpkey` writes it (PKCS#8, PEM). InvalidArgument for
  // all else. The caller wipes `pem`.
  static absl::StatusOr<SigningKey> FromPem(std::string_view pem);

  // As SourceKey::VerifyDetached takes it: 64 bytes of Ed25519, or DER of ECDSA with SHA-256.
  std::string Sign(std::string_view document) const;
  // What SourceKey::FromPem reads.
  std::string PublicPem() const;

 private:
  using Key = std::variant<crypto::Ed25519PrivateKey, crypto::P256PrivateKey>;
  explicit SigningKey(Key key) : key_(std::move(key)) {}
  Key key_;
};

// The PEM ("BEGIN PUBLIC KEY") of the 32 bytes of an Ed25519 public key.
std::string Ed25519PublicPem(std::string_view public_key);

}  // namespace virp::vrp
