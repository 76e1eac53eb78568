#include <algorithm>
#include <array>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/vrp/set.h"
#include "lib/vrp/slurm.h"

namespace virp::vrp {
namespace {

// An address of either family, in host order; IPv4 in the lower 32 bits.
struct Place {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  friend auto operator<=>(const Place&, const Place&) = default;
};

Place PlaceOf(const Vrp4& v) {
  return {0, v.address};
}
Place PlaceOf(const Vrp6& v) {
  return {v.high, v.low};
}

// The filters that name one prefix.
struct Group {
  Place first;
  Place last;
  int length = 0;
  bool any_as = false;
  std::vector<std::uint32_t> ases;  // sorted

  bool Takes(int vrp_length, std::uint32_t as) const {
    return length <= vrp_length && (any_as || std::binary_search(ases.begin(), ases.end(), as));
  }
};

Group GroupOf(const Prefix& prefix) {
  Group group;
  group.length = prefix.length();
  const char* bytes = prefix.address().bytes().data();
  if (prefix.address().is_v4()) {
    group.first = {0, LoadBe<std::uint32_t>(bytes)};
    group.last = {0, group.first.low | (group.length == 0 ? UINT32_MAX : UINT32_MAX >> group.length % 32)};
    if (group.length == 32) group.last = group.first;
    return group;
  }
  group.first = {LoadBe<std::uint64_t>(bytes), LoadBe<std::uint64_t>(bytes + 8)};
  group.last = group.first;
  if (group.length < 64) {
    group.last.high |= UINT64_MAX >> group.length;
    group.last.low = UINT64_MAX;
  } else if (group.length < 128) {
    group.last.low |= UINT64_MAX >> (group.length - 64);
  }
  return group;
}

// Those of one family, in the order in which a walk over VRPs from high to low addresses enters them: by their ends,
// and of equal ends the shorter first, so that a prefix comes before what is inside of it.
std::vector<Group> GroupsOf(const std::vector<PrefixFilter>& filters, IpFamily family) {
  std::vector<const PrefixFilter*> ours;
  for (const PrefixFilter& filter : filters) {
    if (filter.prefix && filter.prefix->family() == family) ours.push_back(&filter);
  }
  std::sort(ours.begin(), ours.end(), [](const auto* a, const auto* b) { return *a->prefix < *b->prefix; });
  std::vector<Group> out;
  for (std::size_t i = 0; i < ours.size(); ++i) {
    if (i == 0 || *ours[i]->prefix != *ours[i - 1]->prefix) out.push_back(GroupOf(*ours[i]->prefix));
    if (ours[i]->as) {
      out.back().ases.push_back(*ours[i]->as);
    } else {
      out.back().any_as = true;
    }
  }
  for (Group& group : out) std::sort(group.ases.begin(), group.ases.end());
  std::sort(out.begin(), out.end(),
            [](const Group& a, const Group& b) { return a.last != b.last ? a.last > b.last : a.length < b.length; });
  return out;
}

// Prefixes contain each other or have nothing in common: those around the address at hand are a stack.
template <typename Vrp>
void FilterVrps(const std::vector<Group>& groups, const std::vector<std::uint32_t>& ases, const std::vector<Vrp>& from,
                std::vector<Vrp>& to) {
  to.reserve(from.size());
  std::vector<const Group*> around;
  auto next = groups.begin();
  for (const Vrp& vrp : from) {
    const Place place = PlaceOf(vrp);
    for (; next != groups.end() && next->last >= place; ++next) {
      while (!around.empty() && around.back()->first > next->last) around.pop_back();
      around.push_back(&*next);
    }
    while (!around.empty() && around.back()->first > place) around.pop_back();
    const bool taken =
        std::any_of(around.begin(), around.end(), [&](const Group* g) { return g->Takes(vrp.length, vrp.as); }) ||
        std::binary_search(ases.begin(), ases.end(), vrp.as);
    if (!taken) to.push_back(vrp);
  }
}

template <typename T>
void SortAll(std::vector<T>& all) {
  std::sort(all.begin(), all.end());
}

using Ski = std::array<std::uint8_t, 20>;

std::vector<RouterKey> FilterKeys(const std::vector<BgpsecFilter>& filters, const std::vector<RouterKey>& from) {
  std::vector<std::uint32_t> ases;
  std::vector<Ski> skis;
  std::vector<std::pair<std::uint32_t, Ski>> both;
  for (const BgpsecFilter& filter : filters) {
    if (filter.as && filter.ski) {
      both.emplace_back(*filter.as, *filter.ski);
    } else if (filter.as) {
      ases.push_back(*filter.as);
    } else if (filter.ski) {
      skis.push_back(*filter.ski);
    }
  }
  SortAll(ases);
  SortAll(skis);
  SortAll(both);
  std::vector<RouterKey> to;
  std::copy_if(from.begin(), from.end(), std::back_inserter(to), [&](const RouterKey& key) {
    return !std::binary_search(ases.begin(), ases.end(), key.as) &&
           !std::binary_search(skis.begin(), skis.end(), key.ski) &&
           !std::binary_search(both.begin(), both.end(), std::pair(key.as, key.ski));
  });
  return to;
}

}  // namespace

Applied Apply(const Slurm& slurm, const Payloads& set) {
  Payloads left;
  std::vector<std::uint32_t> ases;
  for (const PrefixFilter& filter : slurm.prefix_filters) {
    if (!filter.prefix && filter.as) ases.push_back(*filter.as);
  }
  SortAll(ases);
  FilterVrps(GroupsOf(slurm.prefix_filters, IpFamily::kV4), ases, set.vrps4, left.vrps4);
  FilterVrps(GroupsOf(slurm.prefix_filters, IpFamily::kV6), ases, set.vrps6, left.vrps6);
  left.router_keys = FilterKeys(slurm.bgpsec_filters, set.router_keys);
  std::vector<std::uint32_t> customers = slurm.aspa_filters;
  SortAll(customers);
  std::copy_if(set.aspas.begin(), set.aspas.end(), std::back_inserter(left.aspas),
               [&](const Aspa& a) { return !std::binary_search(customers.begin(), customers.end(), a.customer); });
  Applied out;
  out.filtered = set.size() - left.size();
  if (slurm.assertions.size() == 0) {
    out.payloads = std::move(left);
    return out;
  }
  const std::array<const Payloads*, 2> both = {&left, &slurm.assertions};
  Built united = Union(both);
  out.payloads = std::move(united.payloads);
  out.refused = std::move(united.refused);
  return out;
}

}  // namespace virp::vrp
