// Byte strings, big- and little-endian integers, hex and base64. Bytes are std::string_view when borrowed and
// std::string when owned, as protobuf and the databases have them. Everything here is thread-safe.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace virp {

using Hash = std::array<std::uint8_t, 32>;  // a SHA-256 value

inline std::string_view View(const Hash& hash) {
  return {reinterpret_cast<const char*>(hash.data()), hash.size()};
}

// InvalidArgument unless `bytes` has exactly 32 bytes.
absl::StatusOr<Hash> HashFromBytes(std::string_view bytes);

// Reads a big- or little-endian unsigned integer; the caller has checked that sizeof(T) bytes are there.
template <std::unsigned_integral T>
T LoadBe(const char* at) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) value = static_cast<T>((value << 8) | static_cast<std::uint8_t>(at[i]));
  return value;
}
template <std::unsigned_integral T>
T LoadLe(const char* at) {
  T value = 0;
  for (std::size_t i = sizeof(T); i-- > 0;) value = static_cast<T>((value << 8) | static_cast<std::uint8_t>(at[i]));
  return value;
}
template <>
inline std::uint8_t LoadBe<std::uint8_t>(const char* at) {
  return static_cast<std::uint8_t>(*at);
}
template <>
inline std::uint8_t LoadLe<std::uint8_t>(const char* at) {
  return static_cast<std::uint8_t>(*at);
}

template <std::unsigned_integral T>
void StoreBe(char* at, T value) {
  for (std::size_t i = sizeof(T); i-- > 0;) {
    at[i] = static_cast<char>(value & 0xff);
    if constexpr (sizeof(T) > 1) value = static_cast<T>(value >> 8);
  }
}
template <std::unsigned_integral T>
void StoreLe(char* at, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    at[i] = static_cast<char>(value & 0xff);
    if constexpr (sizeof(T) > 1) value = static_cast<T>(value >> 8);
  }
}
template <std::unsigned_integral T>
void AppendBe(std::string& out, T value) {
  char buffer[sizeof(T)];
  StoreBe(buffer, value);
  out.append(buffer, sizeof(T));
}

std::string HexEncode(std::string_view bytes);  // lower case
// Accepts both cases; InvalidArgument for an odd length or another character.
absl::StatusOr<std::string> HexDecode(std::string_view hex);

std::string Base64Encode(std::string_view bytes);  // standard alphabet, padded
// Strict: standard alphabet, padded, canonical last bits; InvalidArgument otherwise.
absl::StatusOr<std::string> Base64Decode(std::string_view text);

}  // namespace virp
