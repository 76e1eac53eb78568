// Authenticated encryption with associated data: AES-256-GCM (NIST SP 800-38D), nonces of 96 bits, tags of 128 bits.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/crypto/secret.h"

namespace virp::crypto {

inline constexpr std::size_t kAes256KeySize = 32;
inline constexpr std::size_t kGcmNonceSize = 12;
inline constexpr std::size_t kGcmTagSize = 16;

// The ciphertext and behind it the tag. Never twice with one key and nonce: a key that seals more than one message
// needs a nonce that cannot come again. InvalidArgument for another size of key or nonce.
absl::StatusOr<std::string> AeadSeal(const Secret& key, std::string_view nonce, std::string_view associated,
                                     std::string_view plaintext);

// The plaintext. DataLoss when the tag is not that of these bytes under this key, nonce and associated data, and for
// what is too short to hold one; InvalidArgument as above. Nothing of the plaintext is let out before its tag is good.
absl::StatusOr<Secret> AeadOpen(const Secret& key, std::string_view nonce, std::string_view associated,
                                std::string_view sealed);

}  // namespace virp::crypto
