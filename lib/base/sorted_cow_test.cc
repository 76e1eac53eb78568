#include "lib/base/sorted_cow.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

namespace virp {
namespace {

std::map<std::string, int> Contents(const SortedCow<int>& map, std::string_view from = "") {
  std::map<std::string, int> out;
  std::string before;
  map.ForEachFrom(from, [&](const std::string& key, int value) {
    EXPECT_TRUE(out.empty() || before < key) << "out of order: " << before << ", " << key;
    before = key;
    out[key] = value;
    return true;
  });
  return out;
}

TEST(SortedCow, IsWhatStdMapIs) {
  std::mt19937 random(4711);  // NOLINT: the same every time
  SortedCow<int> map;
  std::map<std::string, int> model;
  std::vector<std::pair<SortedCow<int>, std::map<std::string, int>>> copies;
  for (int step = 0; step < 20'000; ++step) {
    const std::string key = fmt::format("k{}", random() % 3'000);
    if (random() % 3 == 0) {
      EXPECT_EQ(map.Erase(key), model.erase(key) == 1);
    } else {
      map.Mutable(key) = step;
      model[key] = step;
    }
    ASSERT_EQ(map.size(), model.size());
    const auto found = model.find(key);
    const int* const value = map.Find(key);
    ASSERT_EQ(value != nullptr, found != model.end());
    if (value != nullptr) ASSERT_EQ(*value, found->second);
    if (step % 2'500 == 0) copies.emplace_back(map, model);
  }
  EXPECT_EQ(Contents(map), model);
  for (const auto& [copy, then] : copies) EXPECT_EQ(Contents(copy), then) << "a copy changed with its original";
  const std::map<std::string, int> tail(model.lower_bound("k2"), model.end());
  EXPECT_EQ(Contents(map, "k2"), tail);
}

TEST(SortedCow, StopsWhenToldAndIsEmptyAgain) {
  SortedCow<int> map;
  EXPECT_EQ(map.Find("a"), nullptr);
  EXPECT_FALSE(map.Erase("a"));
  for (int i = 0; i < 1'000; ++i) map.Mutable(fmt::format("{:04}", i)) = i;
  int seen = 0;
  map.ForEachFrom("0500", [&](const std::string&, int value) {
    EXPECT_EQ(value, 500 + seen);
    return ++seen < 3;
  });
  EXPECT_EQ(seen, 3);
  for (int i = 0; i < 1'000; ++i) EXPECT_TRUE(map.Erase(fmt::format("{:04}", i)));
  EXPECT_TRUE(map.empty());
  EXPECT_TRUE(Contents(map).empty());
}

}  // namespace
}  // namespace virp
