#include "services/onode/domain/subject_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>

#include "lib/base/status.h"

namespace virp::onode {
namespace {

TEST(SubjectIndex, AgreesWithASet) {
  std::mt19937_64 random(7);
  SubjectIndex index;
  std::set<std::string> truth;
  for (int i = 0; i < 20'000; ++i) {
    std::string text;
    switch (random() % 4) {
      case 0:
        text = fmt::format("bgp/r{}/default/peer/192.0.2.{}", random() % 5, random() % 250);
        break;
      case 1:
        text = std::string(random() % 300, static_cast<char>('a' + random() % 3));
        break;
      default:
        text = fmt::format("bgp/r{}/default/adj-in-pre/192.0.2.1/10.{}.{}.0/24/0", random() % 3, random() % 256,
                           random() % 16);
    }
    ASSERT_EQ(index.Insert(text), truth.insert(text).second) << text;
  }
  ASSERT_EQ(index.size(), truth.size());

  const auto expect = [&](std::string_view prefix, std::string_view after, std::size_t limit) {
    std::vector<std::string> want;
    for (const std::string& text : truth) {
      if (want.size() < limit && text.starts_with(prefix) && (after.empty() || text > after)) want.push_back(text);
    }
    EXPECT_EQ(index.List(prefix, after, limit), want) << prefix << " after " << after;
  };
  expect("", "", truth.size() + 1);
  expect("", "", 1);
  expect("bgp/r1/", "", 1'000'000);
  expect("zzz", "", 10);
  expect("bgp/", "bgp/r1/default/adj-in-pre/192.0.2.1/10.77", 100);
  expect("bgp/r0/", "bgp/r1/", 100);  // already beyond the prefix
  for (auto it = truth.begin(); it != truth.end();
       std::advance(it, std::min<std::ptrdiff_t>(97, std::distance(it, truth.end())))) {
    expect("bgp/r2/", *it, 70);
  }
}

TEST(SubjectIndex, PathsTakeAFractionOfTheirText) {
  SubjectIndex index;
  std::size_t text_bytes = 0;
  for (int i = 0; i < 100'000; ++i) {
    const std::string text =
        fmt::format("bgp/edge-a/default/adj-in-pre/192.0.2.1/10.{}.{}.{}/28/0", i / 4096, i / 16 % 256, i % 16 * 16);
    text_bytes += text.size();
    ASSERT_TRUE(index.Insert(text));
  }
  EXPECT_LT(index.MemoryBytes(), 24 * index.size());
  EXPECT_LT(index.MemoryBytes(), text_bytes / 2);
}

}  // namespace
}  // namespace virp::onode
