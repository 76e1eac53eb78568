// Validated RPKI payloads: what relying parties made of the RPKI and routers filter by. Values, without behaviour
// beyond their order. Thread-safe as values are.
#pragma once

#include <algorithm>
#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <vector>

namespace virp::vrp {

// When a payload ends, in seconds since 1970; kNeverExpires where its source names no time.
using Expires = std::uint32_t;
inline constexpr Expires kNeverExpires = 0;

// From what a document says. A second that no clock says any more stands for 1970 itself, which would be "never".
constexpr Expires ExpiresFrom(std::uint64_t seconds) {
  return static_cast<Expires>(std::clamp<std::uint64_t>(seconds, 1, UINT32_MAX));
}

// The later of two, where "never" is the latest: a payload lasts as long as its longest-lived copy.
constexpr Expires LaterExpiry(Expires a, Expires b) {
  return a == kNeverExpires || b == kNeverExpires ? kNeverExpires : (a > b ? a : b);
}

// One IPv4 VRP (RFC 6811 section 2). 16 bytes. Bits of `address` (host order) behind `length` are zero;
// length <= max_length <= 32.
struct Vrp4 {
  std::uint32_t address = 0;
  std::uint32_t as = 0;
  Expires expires = kNeverExpires;  // not part of what the VRP is: two that differ only here are one
  std::uint8_t length = 0;
  std::uint8_t max_length = 0;
};

// One IPv6 VRP. 32 bytes. The address as two halves in host order; length <= max_length <= 128.
struct Vrp6 {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  std::uint32_t as = 0;
  Expires expires = kNeverExpires;
  std::uint8_t length = 0;
  std::uint8_t max_length = 0;
};

// One BGPsec router key (RFC 8608): `spki` is the DER SubjectPublicKeyInfo, `ski` the SHA-1 of its point.
struct RouterKey {
  std::array<std::uint8_t, 20> ski = {};
  std::uint32_t as = 0;
  Expires expires = kNeverExpires;
  std::string spki;
};

// The providers of one customer AS: ascending, unique, at least one and at most kMaxProviders; AS 0 stands alone.
struct Aspa {
  std::uint32_t customer = 0;
  Expires expires = kNeverExpires;
  std::vector<std::uint32_t> providers;
};
inline constexpr std::size_t kMaxProviders = 16'380;  // what fits a PDU of 65,535 octets

// The order in which a cache announces them, which is also the canonical order of a set (draft-ietf-sidrops-8210bis-27
// section 11.2): prefixes from high to low by address, maxLength, length and AS, so more specific ones come first and
// AS 0 last; router keys ascending by SKI, size of the SPKI, SPKI and AS; ASPAs ascending by customer. Total over what
// a payload is: equal means the same payload, whatever its expiry (for an ASPA: the same customer).
constexpr std::strong_ordering Order(const Vrp4& a, const Vrp4& b) {
  if (a.address != b.address) {
    return b.address <=> a.address;
  }
  if (a.max_length != b.max_length) {
    return b.max_length <=> a.max_length;
  }
  return a.length != b.length ? b.length <=> a.length : b.as <=> a.as;
}

constexpr std::strong_ordering Order(const Vrp6& a, const Vrp6& b) {
  if (a.high != b.high) {
    return b.high <=> a.high;
  }
  if (a.low != b.low) {
    return b.low <=> a.low;
  }
  if (a.max_length != b.max_length) {
    return b.max_length <=> a.max_length;
  }
  return a.length != b.length ? b.length <=> a.length : b.as <=> a.as;
}

inline std::strong_ordering Order(const RouterKey& a, const RouterKey& b) {
  if (a.ski != b.ski) {
    return a.ski <=> b.ski;
  }
  if (a.spki.size() != b.spki.size()) {
    return a.spki.size() <=> b.spki.size();
  }
  const int bytes = a.spki.compare(b.spki);
  return bytes != 0 ? bytes <=> 0 : a.as <=> b.as;
}

constexpr std::strong_ordering Order(const Aspa& a, const Aspa& b) {
  return a.customer <=> b.customer;
}

// The four kinds, each sorted by Order and without equals: the state of a source, or of all of them merged. A value;
// hold one behind std::shared_ptr<const Payloads> once it is filled. Builder in lib/vrp/builder.h.
struct Payloads {
  std::vector<Vrp4> vrps4;
  std::vector<Vrp6> vrps6;
  std::vector<RouterKey> router_keys;
  std::vector<Aspa> aspas;

  std::size_t size() const { return vrps4.size() + vrps6.size() + router_keys.size() + aspas.size(); }
};

}  // namespace virp::vrp
