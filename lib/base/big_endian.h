// Numbers as they stand on the wire and in canonical encodings, for places that write millions of them.
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>

namespace virp {

static_assert(std::endian::native == std::endian::little || std::endian::native == std::endian::big);

// The number whose bytes in memory are those of `value`, most significant first.
constexpr std::uint16_t Be(std::uint16_t value) {
  return std::endian::native == std::endian::little ? __builtin_bswap16(value) : value;
}
constexpr std::uint32_t Be(std::uint32_t value) {
  return std::endian::native == std::endian::little ? __builtin_bswap32(value) : value;
}
constexpr std::uint64_t Be(std::uint64_t value) {
  return std::endian::native == std::endian::little ? __builtin_bswap64(value) : value;
}

// As StoreBe (lib/base/bytes.h), in one store.
template <std::unsigned_integral T>
void PutBe(char* at, T value) {
  const T bytes = Be(value);
  std::memcpy(at, &bytes, sizeof(bytes));
}

}  // namespace virp
