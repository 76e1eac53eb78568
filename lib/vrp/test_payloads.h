// Payloads for tests: equality that includes expiry, printing, and random sets.
#pragma once

#include <algorithm>
#include <ostream>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/crypto/p256.h"
#include "lib/vrp/builder.h"
#include "lib/vrp/payload.h"

namespace virp::vrp {

inline auto Fields(const Vrp4& v) {
  return std::make_tuple(v.address, v.max_length, v.length, v.as, v.expires);
}
inline auto Fields(const Vrp6& v) {
  return std::make_tuple(v.high, v.low, v.max_length, v.length, v.as, v.expires);
}
inline auto Fields(const RouterKey& k) {
  return std::make_tuple(k.ski, k.spki, k.as, k.expires);
}
inline auto Fields(const Aspa& a) {
  return std::make_tuple(a.customer, a.providers, a.expires);
}

template <typename T>
  requires requires(const T& t) { Fields(t); }
bool operator==(const T& a, const T& b) {
  return Fields(a) == Fields(b);
}
inline bool operator==(const Payloads& a, const Payloads& b) {
  return std::tie(a.vrps4, a.vrps6, a.router_keys, a.aspas) == std::tie(b.vrps4, b.vrps6, b.router_keys, b.aspas);
}

inline void PrintTo(const Vrp4& v, std::ostream* out) {
  *out << PrefixOf(v).ToString() << "-" << int{v.max_length} << " AS" << v.as << " until " << v.expires;
}
inline void PrintTo(const Vrp6& v, std::ostream* out) {
  *out << PrefixOf(v).ToString() << "-" << int{v.max_length} << " AS" << v.as << " until " << v.expires;
}
inline void PrintTo(const Aspa& a, std::ostream* out) {
  *out << "AS" << a.customer << ":";
  for (const auto p : a.providers) *out << " " << p;
  *out << " until " << a.expires;
}
inline void PrintTo(const RouterKey& k, std::ostream* out) {
  *out << "key of AS" << k.as << " " << HexEncode(k.spki) << " until " << k.expires;
}

// A router key that is one: two of them, so that tests are the same each time.
inline RouterKey TestKey(std::uint32_t as, int which = 0, Expires expires = kNeverExpires) {
  static const std::vector<std::string> spkis = [] {
    std::vector<std::string> out;
    for (char c = 1; c <= 4; ++c) {
      out.emplace_back(crypto::P256PrivateKey::FromScalar(std::string(31, '\0') + c)->public_key().spki());
    }
    return out;
  }();
  RouterKey key;
  key.as = as;
  key.expires = expires;
  key.spki = spkis[static_cast<std::size_t>(which) % spkis.size()];
  key.ski = SkiOf(key.spki);
  return key;
}

using Random = std::mt19937_64;

inline std::uint32_t Below(Random& random, std::uint32_t limit) {
  return static_cast<std::uint32_t>(random() % limit);
}

// From so small a range that prefixes nest and payloads repeat.
inline Vrp4 RandomVrp4(Random& random) {
  Vrp4 v;
  v.length = static_cast<std::uint8_t>(Below(random, 8) == 0 ? Below(random, 33) : 8 + Below(random, 6));
  v.max_length = static_cast<std::uint8_t>(v.length + Below(random, std::min(3U, 33U - v.length)));
  v.address = Below(random, 10) == 0 ? static_cast<std::uint32_t>(random()) : (10U << 24) | (Below(random, 16) << 18);
  v.as = Below(random, 4);
  v.expires = Below(random, 3) * 1000;
  return v;
}
inline Vrp6 RandomVrp6(Random& random) {
  Vrp6 v;
  const std::uint32_t kind = Below(random, 8);
  v.length = static_cast<std::uint8_t>(kind == 0  ? Below(random, 129)
                                       : kind < 4 ? 60 + Below(random, 8)
                                                  : 30 + Below(random, 6));
  v.max_length = static_cast<std::uint8_t>(v.length + Below(random, std::min(3U, 129U - v.length)));
  v.high = (std::uint64_t{0x20010db8} << 32) + (std::uint64_t{Below(random, 4)} << 29) + Below(random, 3);
  v.low = std::uint64_t{Below(random, 4)} << 60;
  v.as = Below(random, 4);
  v.expires = Below(random, 3) * 1000;
  return v;
}
inline Aspa RandomAspa(Random& random) {
  Aspa a;
  a.customer = 1 + Below(random, 6);
  for (std::uint32_t i = 0, n = 1 + Below(random, 4); i < n; ++i) a.providers.push_back(Below(random, 6));
  a.expires = Below(random, 3) * 1000;
  return a;
}

inline Payloads RandomPayloads(Random& random, int size) {
  Builder builder;
  for (int i = 0; i < size; ++i) {
    (void)builder.Add(RandomVrp4(random));
    (void)builder.Add(RandomVrp6(random));
    if (i % 4 == 0) (void)builder.Add(RandomAspa(random));
    if (i % 8 == 0)
      (void)builder.Add(TestKey(Below(random, 3), static_cast<int>(Below(random, 3)), Below(random, 3) * 1000));
  }
  return std::move(builder).Build().payloads;
}

}  // namespace virp::vrp
