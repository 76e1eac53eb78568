// How a router's private key travels: PKCS #8 in an asymmetric key package (RFC 5958) inside CMS SignedData (RFC 8635
// section 6.2.1), signed by an end entity of the operator's authority, and on request encrypted for the router on top
// (cms::Encrypt). Private bytes are in Secrets only. Thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/crypto/cms.h"
#include "lib/crypto/secret.h"
#include "lib/rpki/check.h"

namespace virp::rpki {

inline constexpr std::size_t kMaxKeyPackage = std::size_t{1} << 20;

// PKCS #8 of a P-256 key with its public part (RFC 5915), 138 bytes, as other programs write it. InvalidArgument unless
// the scalar has 32 bytes and the point 65.
absl::StatusOr<crypto::Secret> EncodePkcs8(std::string_view scalar, std::string_view point);
// The scalar. InvalidArgument unless it is that form, with or without the public part, which must fit.
absl::StatusOr<crypto::Secret> DecodePkcs8(std::string_view der);

// A certificate for the key that signs packages: an end entity of the authority, its resources inherited, never
// published. RSA-2048, as all that the authority certifies.
struct TransferSpec {
  std::string serial;
  Validity validity;
  std::string_view spki;
};
absl::StatusOr<std::string> IssueTransferCertificate(const TransferSpec& spec, const Issuer& issuer);

// The package for one key. `signing` has the transfer certificate first, then the authorities up to, but without, the
// trust anchor.
absl::StatusOr<crypto::Secret> SignKeyPackage(std::string_view pkcs8, const cms::Signing& signing);

struct KeyPackage {
  crypto::Secret pkcs8;
  std::vector<std::string> certificates;  // that came along, the signer's among them
  Refusals path;                          // what is wrong with the signer's way to the trust anchor; empty: nothing
};
// The router's side: InvalidArgument or FailedPrecondition unless the package is one key, signed by a certificate
// within. Whether that one leads to the installed trust anchor is told apart (`path`), since RFC 8635 section 6.2.1 has
// both reported; a package whose path is not empty must not be used.
absl::StatusOr<KeyPackage> OpenKeyPackage(std::string_view der, std::string_view trust_anchor, std::optional<Time> now);

}  // namespace virp::rpki
