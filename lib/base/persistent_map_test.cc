#include "lib/base/persistent_map.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <thread>
#include <vector>

namespace virp {
namespace {

using Map = PersistentMap<int>;

std::map<std::uint64_t, int> Contents(const Map& map) {
  std::map<std::uint64_t, int> out;
  std::uint64_t last = 0;
  map.ForEach([&](std::uint64_t key, int value) {
    EXPECT_TRUE(out.empty() || key > last) << "not ascending at " << key;
    last = key;
    out[key] = value;
  });
  return out;
}

TEST(CowTest, CopiesShareUntilOneChanges) {
  Cow<std::vector<int>> a(std::vector<int>{1, 2});
  const Cow<std::vector<int>> b = a;
  EXPECT_TRUE(a.SharesWith(b));
  a.Mutable().push_back(3);
  EXPECT_FALSE(a.SharesWith(b));
  EXPECT_EQ(a->size(), 3U);
  EXPECT_EQ(b->size(), 2U);
  const std::vector<int>* place = &*a;
  a.Mutable().push_back(4);
  EXPECT_EQ(&*a, place) << "nobody shares it: changed in place";
}

TEST(CowTest, EmptyOneReadsAsDefaultAndIsNotAllocated) {
  Cow<int> none;
  EXPECT_FALSE(none.allocated());
  EXPECT_EQ(*none, 0);
  EXPECT_EQ(none, Cow<int>(0));
  none.Mutable() = 7;
  EXPECT_EQ(*none, 7);
  none = Cow<int>();
  EXPECT_EQ(*none, 0);
}

TEST(PersistentMapTest, AgreesWithStdMapAlsoForKeysThatShareTheirFirstBits) {
  std::mt19937_64 random(1);
  for (const std::uint64_t mask : {~std::uint64_t{0}, std::uint64_t{0xff}, std::uint64_t{0x8000'0000'0000'000f}}) {
    Map map;
    std::map<std::uint64_t, int> want;
    for (int i = 0; i < 5'000; ++i) {
      const std::uint64_t key = random() & mask;
      map.Mutable(key) = i;
      want[key] = i;
      const std::uint64_t other = random() & mask;
      const int* found = map.Find(other);
      ASSERT_EQ(found != nullptr, want.count(other) == 1);
      if (found != nullptr) {
        ASSERT_EQ(*found, want[other]);
      }
    }
    EXPECT_EQ(map.size(), want.size());
    EXPECT_EQ(Contents(map), want);
  }
}

TEST(PersistentMapTest, CopiesKeepWhatTheyHad) {
  std::mt19937_64 random(2);
  Map map;
  std::map<std::uint64_t, int> want;
  std::vector<std::pair<Map, std::map<std::uint64_t, int>>> history;
  for (int i = 0; i < 2'000; ++i) {
    const std::uint64_t key = random() % 997 * 0x9e37'79b9'7f4a'7c15;
    map.Mutable(key) = i;
    want[key] = i;
    if (i % 100 == 0) history.emplace_back(map, want);
  }
  for (const auto& [copy, contents] : history) EXPECT_EQ(Contents(copy), contents);
}

TEST(PersistentMapTest, EqualContentsAreEqualWhateverTheOrder) {
  Map a, b;
  for (std::uint64_t i = 0; i < 300; ++i) a.Mutable(i * 0x9e37'79b9'7f4a'7c15) = static_cast<int>(i);
  for (std::uint64_t i = 300; i-- > 0;) b.Mutable(i * 0x9e37'79b9'7f4a'7c15) = static_cast<int>(i);
  EXPECT_TRUE(a == b);
  b.Mutable(0) = 1;
  EXPECT_FALSE(a == b);
}

TEST(PersistentMapTest, ReadersOfACopyAreNotDisturbedByAWriter) {
  Map map;
  for (std::uint64_t i = 0; i < 1'000; ++i) map.Mutable(i * 0x9e37'79b9'7f4a'7c15) = 1;
  std::vector<std::thread> readers;
  for (int t = 0; t < 2; ++t) {
    readers.emplace_back([copy = map] {
      for (std::uint64_t i = 0; i < 1'000; ++i) ASSERT_EQ(*copy.Find(i * 0x9e37'79b9'7f4a'7c15), 1);
    });
  }
  for (std::uint64_t i = 0; i < 2'000; ++i) map.Mutable(i * 0x9e37'79b9'7f4a'7c15) = 2;
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(map.size(), 2'000U);
}

}  // namespace
}  // namespace virp
