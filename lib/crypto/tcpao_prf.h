// The two pseudo-random functions of TCP-AO (RFC 5926): HMAC-SHA1 (RFC 2104) and AES-128-CMAC (RFC 4493). For single
// messages; nothing else in this project may use them.
#pragma once

#include <string>
#include <string_view>

namespace virp::crypto {

inline constexpr std::size_t kAes128KeySize = 16;

std::string HmacSha1(std::string_view key, std::string_view message);    // 20 bytes; the key has any length
std::string Aes128Cmac(std::string_view key, std::string_view message);  // 16 bytes; the key has 16

}  // namespace virp::crypto
