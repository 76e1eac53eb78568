// Kill -9 of each part at random moments under load: nothing that was answered is lost, and nothing stands twice.
#include <gtest/gtest.h>

#include "tests/fault/fault_test_util.h"
#include "tests/testutil/postgres.h"

namespace virp::fault {
namespace {

using namespace std::chrono_literals;
using testutil::ServiceLab;

constexpr double kLeastPerSecond = 2'000;

testutil::LabOptions OnSqlite() {
  testutil::LabOptions options;
  options.binaries = BuildFolder();
  return options;
}

TEST(Kill, Collector) {
  std::mt19937 random = SeededRandom();
  ServiceLab lab(OnSqlite());
  const auto up = lab.Start();
  ASSERT_TRUE(up.ok()) << up;
  Load load(lab, {});
  load.Start();
  for (int round = 0; round < Rounds(2); ++round) {
    SleepUpTo(random, 300, 1'500);
    ASSERT_TRUE(lab.collector().running()) << lab.collector().log();
    lab.collector().Kill();
    SleepUpTo(random, 0, 300);
    const auto started = lab.StartCollector();
    ASSERT_TRUE(started.ok()) << started;
  }
  SleepUpTo(random, 300, 600);
  load.Stop();
  EXPECT_GE(load.per_second(), kLeastPerSecond);
  ExpectNothingLost(lab, load);
}

TEST(Kill, ONodeOnSqlite) {
  std::mt19937 random = SeededRandom();
  ServiceLab lab(OnSqlite());
  const auto up = lab.Start();
  ASSERT_TRUE(up.ok()) << up;
  Load load(lab, {});
  load.Start();
  for (int round = 0; round < Rounds(2); ++round) {
    SleepUpTo(random, 300, 1'500);
    ASSERT_TRUE(lab.onode().running()) << lab.onode().log();
    lab.onode().Kill();
    SleepUpTo(random, 0, 300);
    const auto started = lab.StartONode();
    ASSERT_TRUE(started.ok()) << started;
  }
  SleepUpTo(random, 300, 600);
  load.Stop();
  EXPECT_GE(load.per_second(), kLeastPerSecond);
  ExpectNothingLost(lab, load);
}

TEST(Kill, PostgresAndItsONode) {
  std::mt19937 random = SeededRandom();
  auto cluster = testutil::PostgresCluster::Start();
  ASSERT_TRUE(cluster.ok()) << cluster.status();
  testutil::LabOptions options = OnSqlite();
  options.stores = {*(*cluster)->CreateDatabase()};
  ServiceLab lab(options);
  const auto up = lab.Start();
  ASSERT_TRUE(up.ok()) << up;
  Load load(lab, {});
  load.Start();
  for (int round = 0; round < Rounds(2); ++round) {
    SleepUpTo(random, 300, 1'500);
    ASSERT_TRUE((*cluster)->Kill().ok());
    if (round % 2 == 1) lab.onode().Kill();
    SleepUpTo(random, 0, 300);
    ASSERT_TRUE((*cluster)->Restart().ok());
    if (round % 2 == 1) ASSERT_TRUE(lab.StartONode().ok());
    ASSERT_TRUE(lab.onode().running()) << lab.onode().log();
    ASSERT_EQ(lab.AwaitLeader(20s), 0) << lab.onode().log();
  }
  SleepUpTo(random, 300, 600);
  load.Stop();
  EXPECT_GE(load.per_second(), kLeastPerSecond);
  ExpectNothingLost(lab, load);
}

}  // namespace
}  // namespace virp::fault
