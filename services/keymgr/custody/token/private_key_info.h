// P-256 private keys as tokens take and give them: PrivateKeyInfo (PKCS #8, RFC 5208) around ECPrivateKey (RFC 5915).
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "lib/crypto/secret.h"

namespace virp::keymgr {

// With its public half, an uncompressed point.
crypto::Secret P256PrivateKeyInfo(const crypto::Secret& scalar, std::string_view point);

// The scalar, 32 octets. Takes ECPrivateKey with and without parameters and public half: tokens differ in that.
// DataLoss when it is something else. No message holds any of its bytes.
absl::StatusOr<crypto::Secret> P256ScalarOf(const crypto::Secret& private_key_info);

}  // namespace virp::keymgr
