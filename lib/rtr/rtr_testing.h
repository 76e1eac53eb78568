// Payloads, snapshots and bytes for tests of this folder.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/base/ip.h"
#include "lib/rtr/history.h"
#include "lib/rtr/pdu.h"
#include "lib/vrp/payload.h"

namespace virp::rtr::testing {

// "192.0.2.0/24" with maxLength and AS.
inline vrp::Vrp4 V4(std::string_view prefix, int max_length, std::uint32_t as) {
  const Prefix parsed = Prefix::Parse(prefix).value();
  return {.address = LoadBe<std::uint32_t>(parsed.address().bytes().data()),
          .as = as,
          .expires = vrp::kNeverExpires,
          .length = static_cast<std::uint8_t>(parsed.length()),
          .max_length = static_cast<std::uint8_t>(max_length)};
}
inline vrp::Vrp6 V6(std::string_view prefix, int max_length, std::uint32_t as) {
  const Prefix parsed = Prefix::Parse(prefix).value();
  return {.high = LoadBe<std::uint64_t>(parsed.address().bytes().data()),
          .low = LoadBe<std::uint64_t>(parsed.address().bytes().data() + 8),
          .as = as,
          .expires = vrp::kNeverExpires,
          .length = static_cast<std::uint8_t>(parsed.length()),
          .max_length = static_cast<std::uint8_t>(max_length)};
}
inline vrp::RouterKey Key(std::uint8_t ski, std::uint32_t as, std::string spki) {
  vrp::RouterKey key{.ski = {}, .as = as, .expires = vrp::kNeverExpires, .spki = std::move(spki)};
  key.ski.fill(ski);
  return key;
}
inline vrp::Aspa AspaOf(std::uint32_t customer, std::vector<std::uint32_t> providers) {
  return {.customer = customer, .expires = vrp::kNeverExpires, .providers = std::move(providers)};
}

// vrp::Payloads of which some sets may be left out.
struct Sets {
  std::vector<vrp::Vrp4> vrps4 = {};
  std::vector<vrp::Vrp6> vrps6 = {};
  std::vector<vrp::RouterKey> router_keys = {};
  std::vector<vrp::Aspa> aspas = {};

  operator vrp::Payloads() const {  // NOLINT(google-explicit-constructor)
    return {.vrps4 = vrps4, .vrps6 = vrps6, .router_keys = router_keys, .aspas = aspas};
  }
};

// Sorts each set.
inline vrp::Payloads Sorted(vrp::Payloads payloads) {
  const auto sort = [](auto& set) {
    std::sort(set.begin(), set.end(), [](const auto& a, const auto& b) { return vrp::Order(a, b) < 0; });
  };
  sort(payloads.vrps4);
  sort(payloads.vrps6);
  sort(payloads.router_keys);
  sort(payloads.aspas);
  return payloads;
}

template <typename T>
bool SameSet(const std::vector<T>& a, const std::vector<T>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const T& x, const T& y) { return vrp::Order(x, y) == 0; });
}
// Whether both are the same in what `version` carries.
inline bool SameIn(std::uint8_t version, const vrp::Payloads& a, const vrp::Payloads& b) {
  const auto same_aspas = [&] {
    return std::equal(a.aspas.begin(), a.aspas.end(), b.aspas.begin(), b.aspas.end(), [](const auto& x, const auto& y) {
      return x.customer == y.customer && x.providers == y.providers;
    });
  };
  return SameSet(a.vrps4, b.vrps4) && SameSet(a.vrps6, b.vrps6) &&
         (version < 1 || SameSet(a.router_keys, b.router_keys)) && (version < 2 || same_aspas());
}

inline std::shared_ptr<const vrp::Payloads> Shared(vrp::Payloads payloads) {
  return std::make_shared<const vrp::Payloads>(Sorted(std::move(payloads)));
}

// A hash that stands for a generation.
inline Hash HashOf(std::uint8_t number) {
  Hash hash;
  hash.fill(number);
  return hash;
}

// Session ids one after the other, so that tests know them: versions 0, 1, 2 get first, first + 1, first + 2.
inline RandomSession Counting(std::uint16_t first) {
  return [next = first]() mutable { return next++; };
}

inline std::string Hex(std::string_view spaced) {
  std::string digits(spaced);
  std::erase(digits, ' ');
  return HexDecode(digits).value();
}

// PDUs of a byte string, in order.
inline std::vector<std::string> Split(std::string_view bytes) {
  std::vector<std::string> out;
  while (bytes.size() >= kHeaderSize && ReadHeader(bytes).length >= kHeaderSize &&
         ReadHeader(bytes).length <= bytes.size()) {
    out.emplace_back(bytes.substr(0, ReadHeader(bytes).length));
    bytes.remove_prefix(out.back().size());
  }
  if (!bytes.empty()) out.emplace_back("rest: " + std::string(bytes));
  return out;
}

// All that is queued, as if the transport took it.
template <typename Session, typename Taken>
std::string Drain(Session& session, const Taken& taken, std::size_t most = SIZE_MAX) {
  std::string out;
  std::string_view pieces[4];
  while (out.size() < most) {
    const std::size_t count = session.Peek(pieces);
    if (count == 0) break;
    std::size_t sum = 0;
    for (std::size_t i = 0; i < count && out.size() < most; ++i) {
      const std::string_view part = pieces[i].substr(0, most - out.size());
      out.append(part);
      sum += part.size();
    }
    taken(sum);
  }
  return out;
}

}  // namespace virp::rtr::testing
