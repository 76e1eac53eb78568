#include "lib/vrp/validate.h"

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/vrp/builder.h"
#include "lib/vrp/text.h"

namespace virp::vrp {
namespace {

struct Key4 {
  std::uint32_t address = 0;
  friend auto operator<=>(const Key4&, const Key4&) = default;
  // The 16 bits by which a table is entered.
  std::uint32_t Slot() const { return address >> 16; }
  bool Within(const Key4& first, int length) const {
    return length == 0 || ((address ^ first.address) >> (32 - length)) == 0;
  }
};

struct Key6 {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  friend auto operator<=>(const Key6&, const Key6&) = default;
  // Global unicast is 2000::/3, and hardly anything else is in a table: the bits behind the first three.
  std::uint32_t Slot() const {
    const std::uint64_t third = high >> 61;
    return third == 1 ? static_cast<std::uint32_t>(high >> 45) & 0xffff : third == 0 ? 0 : 0xffff;
  }
  bool Within(const Key6& first, int length) const {
    if (length == 0) return true;
    if (length <= 64) return ((high ^ first.high) >> (64 - length)) == 0;
    return high == first.high && ((low ^ first.low) >> (128 - length)) == 0;
  }
};

Key4 KeyOf(const Vrp4& v) {
  return {v.address};
}
Key6 KeyOf(const Vrp6& v) {
  return {v.high, v.low};
}

template <typename Vrp>
using KeyFor = decltype(KeyOf(std::declval<const Vrp&>()));

}  // namespace

// VRPs lie by address from high to low; those of one address are a group. All that covers an address begins at or below
// it and covers also the nearest group at or below, so it is found in that group and in what covers that: `up` leads
// from each VRP to the first of the nearest group below with a VRP that covers its address.
template <typename Vrp>
struct RouteValidator::Table {
  using Key = KeyFor<Vrp>;
  static constexpr std::uint32_t kNone = UINT32_MAX;

  explicit Table(const std::vector<Vrp>& all) : vrps(all), up(all.size(), kNone) {
    LinkUp();
    if (vrps.size() < kWorthSlots) return;
    slots.resize(kSlots + 1);
    // Slots of high addresses have the low indices.
    std::size_t index = 0;
    for (std::uint32_t slot = kSlots; slot-- > 0;) {
      slots[slot + 1] = static_cast<std::uint32_t>(index);
      while (index < vrps.size() && KeyOf(vrps[index]).Slot() == slot) ++index;
    }
    slots[0] = static_cast<std::uint32_t>(vrps.size());
  }

  // From low to high addresses, with a stack of the groups that cover the one at hand.
  void LinkUp() {
    struct Open {
      std::uint32_t first;
      int length;  // the shortest of the group, which covers most
    };
    std::vector<Open> open;
    for (std::size_t end = vrps.size(); end > 0;) {
      std::size_t first = end - 1;
      const Key key = KeyOf(vrps[first]);
      int shortest = vrps[first].length;
      for (; first > 0 && KeyOf(vrps[first - 1]) == key; --first)
        shortest = std::min<int>(shortest, vrps[first - 1].length);
      while (!open.empty() && !key.Within(KeyOf(vrps[open.back().first]), open.back().length)) open.pop_back();
      if (!open.empty())
        std::fill(up.begin() + static_cast<std::ptrdiff_t>(first), up.begin() + static_cast<std::ptrdiff_t>(end),
                  open.back().first);
      open.push_back({static_cast<std::uint32_t>(first), shortest});
      end = first;
    }
  }

  // The first VRP of the nearest group at or below `key`.
  std::uint32_t Find(const Key& key) const {
    auto begin = vrps.begin();
    auto end = vrps.end();
    if (!slots.empty()) {
      const std::uint32_t slot = key.Slot();
      end = begin + slots[slot];
      begin += slots[slot + 1];
    }
    const auto at = std::partition_point(begin, end, [&](const Vrp& v) { return KeyOf(v) > key; });
    // At the end of the slot it is the first of what is below.
    return at == vrps.end() ? kNone : static_cast<std::uint32_t>(at - vrps.begin());
  }

  // Calls `take` for each VRP that covers the route, those of higher addresses first.
  template <typename Take>
  void Covering(const Key& key, int length, Take take) const {
    for (std::uint32_t group = Find(key); group != kNone; group = up[group]) {
      const Key first = KeyOf(vrps[group]);
      for (std::size_t i = group; i < vrps.size() && KeyOf(vrps[i]) == first; ++i) {
        if (vrps[i].length <= length && key.Within(first, vrps[i].length)) take(vrps[i]);
      }
    }
  }

  RouteAnswer Check(const Key& key, int length, std::uint32_t origin) const {
    bool any = false;
    bool same_as = false;
    bool matched = false;
    Covering(key, length, [&](const Vrp& v) {
      any = true;
      if (v.as != origin || origin == 0) return;
      same_as = true;
      matched = matched || length <= v.max_length;
    });
    if (matched) return {RouteState::kValid, InvalidReason::kNone};
    if (!any) return {RouteState::kNotFound, InvalidReason::kNone};
    return {RouteState::kInvalid, same_as ? InvalidReason::kLength : InvalidReason::kAs};
  }

  RouteValidity Explain(const Key& key, int length, std::uint32_t origin) const {
    RouteValidity out;
    out.answer = Check(key, length, origin);
    Covering(key, length, [&](const Vrp& v) {
      auto& list = v.as != origin || origin == 0 ? out.unmatched_as
                   : length <= v.max_length      ? out.matched
                                                 : out.unmatched_length;
      if (list.size() == RouteValidity::kMostShown) {
        ++out.left_out;
      } else {
        list.push_back({PrefixOf(v), v.max_length, v.as});
      }
    });
    for (auto* list : {&out.matched, &out.unmatched_as, &out.unmatched_length}) {
      std::sort(list->begin(), list->end(), [](const CoveringVrp& a, const CoveringVrp& b) {
        return std::tuple(b.prefix.length(), b.max_length, a.as) < std::tuple(a.prefix.length(), a.max_length, b.as);
      });
    }
    return out;
  }

  static constexpr std::uint32_t kSlots = 1 << 16;
  static constexpr std::size_t kWorthSlots = 10'000;  // below it searching all of them is as fast
  const std::vector<Vrp>& vrps;
  std::vector<std::uint32_t> up;
  std::vector<std::uint32_t> slots;
};

RouteValidator::RouteValidator(std::shared_ptr<const Payloads> set)
    : set_(std::move(set)),
      table4_(std::make_unique<const Table<Vrp4>>(set_->vrps4)),
      table6_(std::make_unique<const Table<Vrp6>>(set_->vrps6)) {}

RouteValidator::~RouteValidator() = default;

RouteAnswer RouteValidator::Check(const Prefix& route, std::uint32_t origin) const {
  const char* bytes = route.address().bytes().data();
  if (route.address().is_v4()) return table4_->Check({LoadBe<std::uint32_t>(bytes)}, route.length(), origin);
  return table6_->Check({LoadBe<std::uint64_t>(bytes), LoadBe<std::uint64_t>(bytes + 8)}, route.length(), origin);
}

RouteValidity RouteValidator::Explain(const Prefix& route, std::uint32_t origin) const {
  const char* bytes = route.address().bytes().data();
  if (route.address().is_v4()) return table4_->Explain({LoadBe<std::uint32_t>(bytes)}, route.length(), origin);
  return table6_->Explain({LoadBe<std::uint64_t>(bytes), LoadBe<std::uint64_t>(bytes + 8)}, route.length(), origin);
}

std::string_view Text(RouteState state) {
  static constexpr std::array<std::string_view, 3> kTexts = {"not-found", "valid", "invalid"};
  return kTexts[static_cast<std::size_t>(state)];
}

std::string_view Text(InvalidReason reason) {
  static constexpr std::array<std::string_view, 3> kTexts = {"", "as", "length"};
  return kTexts[static_cast<std::size_t>(reason)];
}

namespace {

std::string_view Description(const RouteAnswer& answer) {
  if (answer.state == RouteState::kValid) return "a VRP covers the route and has its origin AS and length";
  if (answer.state == RouteState::kNotFound) return "no VRP covers the route";
  if (answer.reason == InvalidReason::kAs) return "VRPs cover the route, none of them has its origin AS";
  return "VRPs of its origin AS cover the route, none of them allows its length";
}

void AppendVrps(std::string& out, std::string_view name, const std::vector<CoveringVrp>& vrps) {
  out.append("\"").append(name).append("\":[");
  for (std::size_t i = 0; i < vrps.size(); ++i) {
    out.append(i == 0 ? "{\"asn\":\"AS" : ",{\"asn\":\"AS");
    AppendNumber(out, vrps[i].as);
    out.append("\",\"prefix\":\"");
    vrps[i].prefix.AppendTo(out);
    out.append("\",\"max_length\":\"");
    AppendNumber(out, static_cast<std::uint64_t>(vrps[i].max_length));
    out.append("\"}");
  }
  out.push_back(']');
}

}  // namespace

void AppendValidatedRoute(std::string& out, const Prefix& route, std::uint32_t origin, const RouteValidity& validity) {
  out.append("{\"route\":{\"origin_asn\":\"AS");
  AppendNumber(out, origin);
  out.append("\",\"prefix\":\"");
  route.AppendTo(out);
  out.append("\"},\"validity\":{\"state\":\"").append(Text(validity.answer.state));
  if (validity.answer.reason != InvalidReason::kNone)
    out.append("\",\"reason\":\"").append(Text(validity.answer.reason));
  out.append("\",\"description\":\"").append(Description(validity.answer)).append("\",\"VRPs\":{");
  AppendVrps(out, "matched", validity.matched);
  out.push_back(',');
  AppendVrps(out, "unmatched_as", validity.unmatched_as);
  out.push_back(',');
  AppendVrps(out, "unmatched_length", validity.unmatched_length);
  if (validity.left_out > 0) {
    out.append(",\"left_out\":");
    AppendNumber(out, validity.left_out);
  }
  out.append("}}}");
}

std::string ValidityJson(const Prefix& route, std::uint32_t origin, const RouteValidity& validity, std::int64_t now) {
  std::string out = "{\"validated_route\":";
  AppendValidatedRoute(out, route, origin, validity);
  out.append(",\"generatedTime\":\"").append(TimeText(now)).append("\"}\n");
  return out;
}

}  // namespace virp::vrp
