#include "lib/service/handshake_count.h"

#include <gtest/gtest.h>

namespace virp::service {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class HandshakeCountTest : public ::testing::Test {
 protected:
  FakeClock clock_;
  HandshakeCount count_{seconds(10), clock_};
};

TEST_F(HandshakeCountTest, AFailureShowsWhenItsHandshakeMustBeOver) {
  count_.Accepted();
  clock_.Advance(seconds(10));
  EXPECT_EQ(count_.failed(), 0) << "it may still come";
  clock_.Advance(seconds(10));
  EXPECT_EQ(count_.failed(), 1);
  clock_.Advance(seconds(1'000'000));
  EXPECT_EQ(count_.failed(), 1);
}

TEST_F(HandshakeCountTest, ThoseThatSucceedAreNone) {
  for (int i = 0; i < 1'000; ++i) {
    count_.Accepted();
    clock_.Advance(milliseconds(i % 40));
    count_.Verified();
    ASSERT_EQ(count_.failed(), 0) << i;
  }
  clock_.Advance(seconds(60));
  EXPECT_EQ(count_.failed(), 0);
}

// Handshakes of the slowest sort, each verified at the last moment, and every third fails.
TEST_F(HandshakeCountTest, NeverTooManyNeverLessAndExactInTheEnd) {
  constexpr int kSeconds = 300;
  std::uint64_t before = 0;
  for (int now = 0; now < kSeconds + 10; ++now) {
    if (now < kSeconds) count_.Accepted();
    if (now >= 10 && now % 3 != 0) count_.Verified();  // the one of ten seconds ago
    const std::uint64_t failed = count_.failed();
    ASSERT_GE(failed, before);
    ASSERT_LE(failed, static_cast<std::uint64_t>(std::max(0, now - 10)) / 3 + 1);
    before = failed;
    clock_.Advance(seconds(1));
  }
  clock_.Advance(seconds(20));
  EXPECT_EQ(count_.failed(), kSeconds / 3);
}

TEST_F(HandshakeCountTest, AllOfAFloodAreCounted) {
  for (int i = 0; i < 100'000; ++i) count_.Accepted();
  EXPECT_EQ(count_.failed(), 0);
  clock_.Advance(seconds(17));
  EXPECT_EQ(count_.failed(), 100'000);
}

}  // namespace
}  // namespace virp::service
