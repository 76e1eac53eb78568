// SHA-256 (FIPS 180-4). Thread-safe. Failure of the cryptographic library itself (no memory, broken installation) ends
// the process with a message: no caller could go on.
#pragma once

#include <initializer_list>
#include <memory>
#include <string_view>

#include "lib/base/bytes.h"

namespace virp::crypto {

Hash Sha256(std::string_view bytes);

// The hash of the parts one behind the other, without joining them in memory.
Hash Sha256(std::initializer_list<std::string_view> parts);

}  // namespace virp::crypto
