// P-256 keys as files have them, PEM or DER. For tools and imports: whoever holds keys for good keeps them otherwise.
#pragma once

#include <cstddef>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/crypto/p256.h"

namespace virp::crypto {

inline constexpr std::size_t kMaxP256File = 16 << 10;  // bytes; a router certificate has about 1,000

// PKCS#8 or SEC 1 (RFC 5915), unencrypted. InvalidArgument for anything else, another curve, a public half in the file
// that is not the private half's, and more than kMaxP256File bytes.
absl::StatusOr<P256PrivateKey> ReadP256PrivateKey(std::string_view file);

// A SubjectPublicKeyInfo, or the one of an X.509 certificate, of which nothing else is looked at. InvalidArgument as of
// P256PublicKey::FromSpki, and for anything else.
absl::StatusOr<P256PublicKey> ReadP256PublicKey(std::string_view file);

}  // namespace virp::crypto
