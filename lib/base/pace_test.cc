// Backoff, TokenBucket, Sleeper, FileWatch: what paces and waits.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "lib/base/backoff.h"
#include "lib/base/file_watch.h"
#include "lib/base/sleeper.h"
#include "lib/base/token_bucket.h"
#include "tests/testutil/temp_dir.h"

namespace virp {
namespace {

using namespace std::chrono_literals;

TEST(BackoffTest, GrowsToItsLimitAndBeginsAnew) {
  Backoff backoff({.initial = 100ms, .max = 1s}, [] { return 0.5; });
  EXPECT_EQ(backoff.Next(), 50ms);
  EXPECT_EQ(backoff.Next(), 100ms);
  EXPECT_EQ(backoff.Next(), 200ms);
  EXPECT_EQ(backoff.Next(), 400ms);
  EXPECT_EQ(backoff.Next(), 500ms);
  EXPECT_EQ(backoff.Next(), 500ms);
  backoff.Reset();
  EXPECT_EQ(backoff.Next(), 50ms);
}

TEST(BackoffTest, JitterIsSpreadOverAllOfIt) {
  Backoff backoff({.initial = 1s, .max = 1s});
  int low = 0;
  for (int i = 0; i < 1'000; ++i) {
    const auto wait = backoff.Next();
    ASSERT_GE(wait, 0ns);
    ASSERT_LE(wait, 1s);
    low += wait < 500ms ? 1 : 0;
  }
  EXPECT_GT(low, 400);
  EXPECT_LT(low, 600);
}

TEST(TokenBucketTest, BurstThenRate) {
  FakeClock clock;
  TokenBucket bucket(10, 3, clock);
  EXPECT_TRUE(bucket.Take());
  EXPECT_TRUE(bucket.Take(2));
  EXPECT_FALSE(bucket.Take());
  EXPECT_GT(bucket.Until(), 99ms);
  clock.Advance(50ms);
  EXPECT_FALSE(bucket.Take());
  clock.Advance(bucket.Until());
  EXPECT_TRUE(bucket.Take());
  clock.Advance(1h);
  EXPECT_EQ(bucket.tokens(), 3);
  EXPECT_FALSE(bucket.Take(4));
  EXPECT_EQ(bucket.Until(4), std::chrono::nanoseconds::max());
  EXPECT_EQ(bucket.Until(3), 0ns);
}

TEST(SleeperTest, StopEndsASleep) {
  SystemSleeper sleeper;
  std::stop_source stop;
  EXPECT_TRUE(sleeper.SleepFor(1ns, stop.get_token()));
  bool slept = true;
  std::thread thread([&] { slept = sleeper.SleepFor(1h, stop.get_token()); });
  stop.request_stop();
  thread.join();
  EXPECT_FALSE(slept);
  EXPECT_FALSE(sleeper.SleepFor(1h, stop.get_token()));
}

TEST(SleeperTest, TheFakeMovesTheClock) {
  FakeClock clock;
  FakeSleeper sleeper(clock);
  const auto before = clock.Steady();
  EXPECT_TRUE(sleeper.SleepFor(5s, {}));
  EXPECT_EQ(clock.Steady() - before, 5s);
  EXPECT_EQ(sleeper.slept(), std::vector<std::chrono::nanoseconds>{5s});
}

class FileWatchTest : public ::testing::Test {
 protected:
  bool ChangedLater(FileWatch& watch) {
    clock_.Advance(1s);
    return watch.Changed();
  }
  FakeClock clock_;
  testutil::TempDir dir_;
};

TEST_F(FileWatchTest, ComingChangingReplacingGoing) {
  const std::string path = dir_.File("f");
  FileWatch watch({path}, 1s, clock_);
  EXPECT_FALSE(ChangedLater(watch));
  std::ofstream(path) << "a";
  EXPECT_FALSE(watch.Changed()) << "looked before the interval was over";
  EXPECT_TRUE(ChangedLater(watch));
  EXPECT_FALSE(ChangedLater(watch));
  std::ofstream(path, std::ios::app) << "b";
  EXPECT_TRUE(ChangedLater(watch));
  // Replaced by a file of the same size and time: the inode tells.
  std::ofstream(dir_.File("g")) << "cd";
  std::filesystem::last_write_time(dir_.File("g"), std::filesystem::last_write_time(path));
  std::filesystem::rename(dir_.File("g"), path);
  EXPECT_TRUE(ChangedLater(watch));
  std::filesystem::remove(path);
  EXPECT_TRUE(ChangedLater(watch));
  EXPECT_FALSE(ChangedLater(watch));
}

TEST_F(FileWatchTest, ASwappedLinkIsAChange) {
  std::filesystem::create_directories(dir_.File("1"));
  std::filesystem::create_directories(dir_.File("2"));
  std::ofstream(dir_.File("1/f")) << "a";
  std::ofstream(dir_.File("2/f")) << "a";
  std::filesystem::last_write_time(dir_.File("2/f"), std::filesystem::last_write_time(dir_.File("1/f")));
  std::filesystem::create_directory_symlink("1", dir_.File("data"));
  FileWatch watch({dir_.File("data/f")}, 1s, clock_);
  std::filesystem::create_directory_symlink("2", dir_.File("next"));
  std::filesystem::rename(dir_.File("next"), dir_.File("data"));
  EXPECT_TRUE(ChangedLater(watch));
}

}  // namespace
}  // namespace virp
