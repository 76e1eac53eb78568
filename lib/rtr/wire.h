// Records as PDUs, written straight into memory that was measured before. Private to this folder.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "lib/base/big_endian.h"
#include "lib/rtr/pdu.h"
#include "lib/vrp/payload.h"

namespace virp::rtr::wire {

constexpr std::uint32_t FirstWord(std::uint8_t version, PduType type, std::uint32_t field) {
  return (std::uint32_t{version} << 24) | (static_cast<std::uint32_t>(type) << 16) | field;
}
constexpr std::uint32_t Flags(bool announce) {
  return announce ? 1 : 0;
}

inline std::size_t SizeOf(const vrp::Vrp4&, bool) {
  return kIpv4PrefixSize;
}
inline std::size_t SizeOf(const vrp::Vrp6&, bool) {
  return kIpv6PrefixSize;
}
inline std::size_t SizeOf(const vrp::RouterKey& key, bool) {
  return kRouterKeyFixedSize + key.spki.size();
}
inline std::size_t SizeOf(const vrp::Aspa& aspa, bool announce) {
  return kAspaFixedSize + (announce ? 4 * aspa.providers.size() : 0);
}

// Each writes SizeOf() octets and returns what is behind them.
inline char* Put(char* at, std::uint8_t version, bool announce, const vrp::Vrp4& vrp) {
  const std::array<std::uint32_t, 5> words = {
      Be(FirstWord(version, PduType::kIpv4Prefix, 0)), Be(std::uint32_t{kIpv4PrefixSize}),
      Be((Flags(announce) << 24) | (std::uint32_t{vrp.length} << 16) | (std::uint32_t{vrp.max_length} << 8)),
      Be(vrp.address), Be(vrp.as)};
  std::memcpy(at, words.data(), sizeof(words));
  return at + sizeof(words);
}

inline char* Put(char* at, std::uint8_t version, bool announce, const vrp::Vrp6& vrp) {
  const std::array<std::uint32_t, 3> head = {
      Be(FirstWord(version, PduType::kIpv6Prefix, 0)), Be(std::uint32_t{kIpv6PrefixSize}),
      Be((Flags(announce) << 24) | (std::uint32_t{vrp.length} << 16) | (std::uint32_t{vrp.max_length} << 8))};
  const std::array<std::uint64_t, 2> address = {Be(vrp.high), Be(vrp.low)};
  const std::uint32_t as = Be(vrp.as);
  std::memcpy(at, head.data(), sizeof(head));
  std::memcpy(at + 12, address.data(), sizeof(address));
  std::memcpy(at + 28, &as, sizeof(as));
  return at + kIpv6PrefixSize;
}

inline char* Put(char* at, std::uint8_t version, bool announce, const vrp::RouterKey& key) {
  const std::size_t size = SizeOf(key, announce);
  PutBe<std::uint32_t>(at, FirstWord(version, PduType::kRouterKey, Flags(announce) << 8));
  PutBe<std::uint32_t>(at + 4, static_cast<std::uint32_t>(size));
  std::memcpy(at + 8, key.ski.data(), key.ski.size());
  PutBe<std::uint32_t>(at + 28, key.as);
  std::memcpy(at + kRouterKeyFixedSize, key.spki.data(), key.spki.size());
  return at + size;
}

inline char* Put(char* at, std::uint8_t version, bool announce, const vrp::Aspa& aspa) {
  const std::size_t size = SizeOf(aspa, announce);
  PutBe<std::uint32_t>(at, FirstWord(version, PduType::kAspa, Flags(announce) << 8));
  PutBe<std::uint32_t>(at + 4, static_cast<std::uint32_t>(size));
  PutBe<std::uint32_t>(at + 8, aspa.customer);
  if (!announce) return at + size;
  at += kAspaFixedSize;
  for (const std::uint32_t provider : aspa.providers) {
    PutBe<std::uint32_t>(at, provider);
    at += 4;
  }
  return at;
}

}  // namespace virp::rtr::wire
