// Keys wrapped under keys: AES key wrap (RFC 3394) and AES key wrap with padding (RFC 5649), under 128, 192 or 256
// bits. Deterministic; for keys and other bytes that nobody can guess. Thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/crypto/secret.h"

namespace virp::crypto {

inline constexpr std::size_t kMaxWrappedKey = 64 * 1024;

// RFC 3394: at least 16 bytes, a multiple of 8; 8 more come out. InvalidArgument for other sizes.
absl::StatusOr<std::string> WrapKey(const Secret& kek, std::string_view key);
// DataLoss when it was not wrapped under this key, or was changed.
absl::StatusOr<Secret> UnwrapKey(const Secret& kek, std::string_view wrapped);

// RFC 5649: any size from 1; at least 16 come out.
absl::StatusOr<std::string> WrapKeyPadded(const Secret& kek, std::string_view key);
absl::StatusOr<Secret> UnwrapKeyPadded(const Secret& kek, std::string_view wrapped);

}  // namespace virp::crypto
