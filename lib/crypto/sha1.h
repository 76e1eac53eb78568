// SHA-1 (FIPS 180-4), for key identifiers only (RFC 6487 section 4.8.2): nothing may rest on its collisions being hard
// to find.
#pragma once

#include <array>
#include <string_view>

namespace virp::crypto {

std::array<char, 20> Sha1(std::string_view bytes);

}  // namespace virp::crypto
