#include "lib/vrp/sort.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <utility>

namespace virp::vrp {
namespace {

// What tells most of them apart, and rises as they come in their order.
std::uint64_t KeyOf(const Vrp4& vrp) {
  return UINT32_MAX - vrp.address;
}
std::uint64_t KeyOf(const Vrp6& vrp) {
  return ~vrp.high;
}

template <typename Vrp>
void SortByOrder(typename std::vector<Vrp>::iterator first, typename std::vector<Vrp>::iterator last) {
  if (last - first > 1) std::sort(first, last, [](const Vrp& a, const Vrp& b) { return Order(a, b) < 0; });
}

// Each run of one key; the keys rise.
template <typename Vrp>
void SortRuns(std::vector<Vrp>& all) {
  for (auto first = all.begin(); first != all.end();) {
    const std::uint64_t key = KeyOf(*first);
    const auto last = std::find_if(std::next(first), all.end(), [key](const Vrp& vrp) { return KeyOf(vrp) != key; });
    SortByOrder<Vrp>(first, last);
    first = last;
  }
}

struct Entry {
  std::uint64_t key = 0;
  std::uint32_t at = 0;
};

constexpr int kDigitBits = 11;  // counters of one digit stay in the first cache
constexpr std::size_t kDigitValues = std::size_t{1} << kDigitBits;
constexpr int kDigits = (64 + kDigitBits - 1) / kDigitBits;

std::size_t DigitOf(std::uint64_t key, int digit) {
  return key >> (digit * kDigitBits) & (kDigitValues - 1);
}

// Digit by digit, the lowest first.
void RadixSort(std::vector<Entry>& entries) {
  using Counts = std::array<std::uint32_t, kDigitValues>;
  std::vector<Counts> counts(kDigits);
  for (const Entry& entry : entries) {
    for (int digit = 0; digit < kDigits; ++digit) ++counts[static_cast<std::size_t>(digit)][DigitOf(entry.key, digit)];
  }
  std::vector<Entry> sorted(entries.size());
  for (int digit = 0; digit < kDigits; ++digit) {
    Counts& places = counts[static_cast<std::size_t>(digit)];
    if (places[DigitOf(entries[0].key, digit)] == entries.size()) continue;  // the same in all
    std::uint32_t place = 0;
    for (std::uint32_t& count : places) place += std::exchange(count, place);
    for (const Entry& entry : entries) sorted[places[DigitOf(entry.key, digit)]++] = entry;
    entries.swap(sorted);
  }
}

template <typename Vrp>
void SortFromChaos(std::vector<Vrp>& all) {
  std::vector<Entry> entries;
  entries.reserve(all.size());
  for (const Vrp& vrp : all) entries.push_back({KeyOf(vrp), static_cast<std::uint32_t>(entries.size())});
  RadixSort(entries);
  std::vector<Vrp> sorted;
  sorted.reserve(all.size());
  for (const Entry& entry : entries) sorted.push_back(all[entry.at]);
  all = std::move(sorted);
}

constexpr std::size_t kFew = 4'096;  // for which the counters would cost more

// Validators write VRPs by address, so most of the work is already done: from high to low, or from low to high. Then
// only those of one address are left to be sorted.
template <typename Vrp>
void SortAll(std::vector<Vrp>& all) {
  bool falls = true;
  bool rises = true;
  for (std::size_t i = 1; i < all.size() && (falls || rises); ++i) {
    const std::uint64_t before = KeyOf(all[i - 1]), key = KeyOf(all[i]);
    falls = falls && key >= before;
    rises = rises && key <= before;
  }
  if (!falls && rises) std::reverse(all.begin(), all.end());
  if (!falls && !rises) {
    if (all.size() < kFew || all.size() > UINT32_MAX) return SortByOrder<Vrp>(all.begin(), all.end());
    SortFromChaos(all);
  }
  SortRuns(all);
}

}  // namespace

void SortVrps(std::vector<Vrp4>& all) {
  SortAll(all);
}

void SortVrps(std::vector<Vrp6>& all) {
  SortAll(all);
}

}  // namespace virp::vrp
