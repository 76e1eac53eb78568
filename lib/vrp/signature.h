// Signatures over sources of payloads: beside a document, or in it as GoRTR has them. Immutable and thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/crypto/ed25519.h"
#include "lib/crypto/p256.h"

namespace virp::vrp {

inline constexpr std::size_t kMaxSignatureFile = 1024;
inline constexpr std::size_t kMaxSourceKeys = 8;

class SourceKey {
 public:
  // A public key of Ed25519 (RFC 8410) or P-256 in PEM ("BEGIN PUBLIC KEY"). InvalidArgument for all else.
  static absl::StatusOr<SourceKey> FromPem(std::string_view pem);
  // One to kMaxSourceKeys of them behind each other: while a signer changes keys, either will do.
  static absl::StatusOr<std::vector<SourceKey>> ListFromPem(std::string_view pem);

  // `signature` is the whole .sig file over the bytes of `document`: Ed25519 (64 bytes) or ECDSA with SHA-256 (DER), as
  // it is, or in base64 on one line. `openssl pkeyutl -sign -rawin` and `openssl dgst -sha256 -sign` make such files.
  // Unauthenticated when it does not verify, or is no signature.
  absl::Status VerifyDetached(std::string_view document, std::string_view signature) const;

  // The two signatures in the document's metadata, both of which must verify; the key is of P-256. Each is the
  // hexadecimal DER of ECDSA over SHA-256: `signatureDate` of the list of records, `signature` of metadata.generated,
  // ',', the list, and metadata.valid (0 when absent). The list has for each record of `roas` the text
  // "PREFIX,MAXLENGTH,ASN,", prefix and AS as they are written, sorted by bytes. Router keys and ASPAs are not signed:
  // nor is `expires` of a record, nor metadata.buildtime, which counts where `generated` is absent: DecodeJson must be
  // kept from them, so a document with router keys, ASPAs, `expires`, or buildtime alone is refused here.
  // Unauthenticated when one is missing or does not verify; InvalidArgument for a document of another shape.
  absl::Status VerifyEmbedded(std::string_view document) const;

 private:
  using Key = std::variant<crypto::Ed25519PublicKey, crypto::P256PublicKey>;
  explicit SourceKey(Key key) : key_(std::move(key)) {}
  Key key_;
};

}  // namespace virp::vrp
