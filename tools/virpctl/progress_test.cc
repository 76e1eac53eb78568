#include "tools/virpctl/progress.h"

#include <gtest/gtest.h>

namespace virp::virpctl {
namespace {

using std::chrono::seconds;

TEST(ProgressLineTest, SaysHowFarHowFastAndHowLong) {
  EXPECT_EQ(ProgressLine("verifying", 1'500'000, 3'000'000, seconds(3), 100),
            "verifying [===================>                  ] 50 %  1,500,000 of 3,000,000  500,000/s  3 s left");
  EXPECT_EQ(ProgressLine("verifying", 10, 10, seconds(1), 100),
            "verifying [========================================] 100 %  10 of 10  10/s");
}

TEST(ProgressLineTest, FitsAnyWidthAndAnyNumbers) {
  for (unsigned columns = 1; columns < 120; ++columns) {
    EXPECT_LE(ProgressLine("exporting", 7, 0, seconds(0), columns).size(), columns);
    EXPECT_LE(ProgressLine("exporting", ~0ULL, ~0ULL, seconds(1), columns).size(), columns);
  }
}

}  // namespace
}  // namespace virp::virpctl
