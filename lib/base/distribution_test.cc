#include "lib/base/distribution.h"

#include <gmock/gmock.h>

#include <thread>

namespace virp {
namespace {

using ::testing::ElementsAre;

TEST(Distribution, AValueOnABoundIsBelowIt) {
  Distribution seen({1, 10});
  for (const double value : {0.0, 1.0, 1.5, 10.0, 11.0, 1e9}) seen.Add(value);
  EXPECT_THAT(seen.Read().counts, ElementsAre(2, 2, 2));
  EXPECT_EQ(seen.Read().sum, 1'000'000'023.5);
}

TEST(Distribution, Bounds) {
  EXPECT_THAT(ExponentialBounds(1, 10, 3), ElementsAre(1, 10, 100));
  EXPECT_NEAR(LatencyBounds().back(), 26.2, 0.1);
  Distribution none({});
  none.Add(3);
  EXPECT_THAT(none.Read().counts, ElementsAre(1));
}

TEST(Distribution, ManyThreads) {
  Distribution seen({1});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1'000; ++i) seen.Add(i % 2 == 0 ? 1 : 2);
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_THAT(seen.Read().counts, ElementsAre(2'000, 2'000));
  EXPECT_EQ(seen.Read().sum, 6'000);
}

}  // namespace
}  // namespace virp
