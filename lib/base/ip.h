// IP addresses and prefixes: values that are cheap to copy, compare and hash, with one text form each. Subjects of the
// chain (docs/formats/chain.md) are built from this text, so equal values must print equal, for ever. Thread-safe.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"

namespace virp {

enum class IpFamily : std::uint8_t { kV4 = 4, kV6 = 6 };

// How many bits an address of the family has: 32 or 128.
constexpr int AddressBits(IpFamily family) {
  return family == IpFamily::kV4 ? 32 : 128;
}

// One IPv4 or IPv6 address, without zone. 17 bytes. The default value is 0.0.0.0. IPv4 sorts before IPv6, then by
// value. An IPv4-mapped IPv6 address is an IPv6 address and differs from the IPv4 address that it holds.
class IpAddress {
 public:
  constexpr IpAddress() = default;

  static IpAddress V4(const void* four_bytes);     // network byte order; the caller has checked that they are there
  static IpAddress V6(const void* sixteen_bytes);  // likewise
  static IpAddress V4(std::uint32_t host_order);

  // InvalidArgument unless `bytes` has 4 or 16 bytes, in network byte order.
  static absl::StatusOr<IpAddress> FromBytes(std::string_view bytes);

  // Any well-formed spelling: dotted quad without leading zeros, or the forms of RFC 4291 section 2.2 in either case.
  // InvalidArgument for all else, zones, spaces, prefix lengths and ports among it.
  static absl::StatusOr<IpAddress> Parse(std::string_view text);
  // Only the spelling that ToString gives.
  static absl::StatusOr<IpAddress> ParseCanonical(std::string_view text);

  // RFC 5952: lower case, no leading zeros, the first longest run of two or more zero groups as "::"; addresses of
  // ::ffff:0:0/96 with a dotted quad at the end, and no others (section 5).
  std::string ToString() const;
  void AppendTo(std::string& out) const;

  IpFamily family() const { return family_; }
  bool is_v4() const { return family_ == IpFamily::kV4; }
  bool is_v6() const { return family_ == IpFamily::kV6; }
  int bits() const { return AddressBits(family_); }
  bool is_unspecified() const;  // 0.0.0.0 or ::
  // 4 or 16 bytes in network byte order; valid as long as the address.
  std::string_view bytes() const {
    return {reinterpret_cast<const char*>(bytes_.data()), is_v4() ? std::size_t{4} : std::size_t{16}};
  }
  // The IPv4 address in an address of ::ffff:0:0/96 (how a dual-stack socket names an IPv4 peer), else itself.
  IpAddress Unmapped() const;
  // The address with all bits behind the first `length` set to zero; `length` is at most bits().
  IpAddress Masked(int length) const;

  friend auto operator<=>(const IpAddress&, const IpAddress&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const IpAddress& a) {
    return H::combine(H::combine_contiguous(std::move(state), a.bytes_.data(), a.bytes_.size()), a.family_);
  }

 private:
  IpFamily family_ = IpFamily::kV4;
  std::array<std::uint8_t, 16> bytes_{};  // IPv4 in the first four, the rest zero
};

// An address block in canonical form: bits behind the length are zero. 18 bytes. The default value is 0.0.0.0/0. IPv4
// sorts before IPv6, then by address, then the shorter length first.
class Prefix {
 public:
  constexpr Prefix() = default;

  // Sets host bits to zero. InvalidArgument when `length` is below 0 or above the family's bits.
  static absl::StatusOr<Prefix> Make(const IpAddress& address, int length);
  // The same for a length that the caller has checked.
  static Prefix MakeMasked(const IpAddress& address, int length);
  static Prefix Host(const IpAddress& address) { return MakeMasked(address, address.bits()); }

  // "ADDRESS/LENGTH"; the address in any spelling that IpAddress::Parse takes, the length in decimal without sign or
  // leading zero. InvalidArgument for host bits that are not zero and for all else.
  static absl::StatusOr<Prefix> Parse(std::string_view text);
  // Only the spelling that ToString gives.
  static absl::StatusOr<Prefix> ParseCanonical(std::string_view text);

  std::string ToString() const;
  void AppendTo(std::string& out) const;

  const IpAddress& address() const { return address_; }
  int length() const { return length_; }
  IpFamily family() const { return address_.family(); }
  bool Contains(const IpAddress& address) const;  // false for the other family
  bool Contains(const Prefix& prefix) const;      // itself or more specific

  friend auto operator<=>(const Prefix&, const Prefix&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const Prefix& p) {
    return H::combine(std::move(state), p.address_, p.length_);
  }

 private:
  IpAddress address_;
  std::uint8_t length_ = 0;
};

static_assert(sizeof(IpAddress) == 17 && sizeof(Prefix) == 18);

}  // namespace virp
