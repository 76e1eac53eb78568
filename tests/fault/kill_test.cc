// Kill -9 of each part at random moments under load: nothing that was answered is lost, and nothing stands twice.
#include <gtest/gtest.h>

#include "tests/fault/fault_test_util.h"
#include "tests/testutil/postgres.h"

namespace virp::fault {
namespace {

using namespace std::chrono_literals;
using testutil::ServiceLab;

TEST(Kill, Collector) {
  std::mt19937 random = SeededRandom();
  ServiceLab lab({.binaries = BuildFolder()});
  StrikeUnderLoad(lab, random, [&](int) {
    ASSERT_TRUE(lab.collector().running()) << lab.collector().log();
    lab.collector().Kill();
    SleepUpTo(random, 0, 300);
    ASSERT_OK(lab.StartCollector());
  });
}

TEST(Kill, ONodeOnSqlite) {
  std::mt19937 random = SeededRandom();
  ServiceLab lab({.binaries = BuildFolder()});
  StrikeUnderLoad(lab, random, [&](int) {
    ASSERT_TRUE(lab.onode().running()) << lab.onode().log();
    lab.onode().Kill();
    SleepUpTo(random, 0, 300);
    ASSERT_OK(lab.StartONode());
  });
}

TEST(Kill, PostgresAndItsONode) {
  std::mt19937 random = SeededRandom();
  ASSERT_OK_AND_ASSIGN(const auto cluster, testutil::PostgresCluster::Start());
  ASSERT_OK_AND_ASSIGN(const std::string database, cluster->CreateDatabase());
  ServiceLab lab({.binaries = BuildFolder(), .stores = {database}});
  StrikeUnderLoad(lab, random, [&](int round) {
    ASSERT_OK(cluster->Kill());
    if (round % 2 == 1) lab.onode().Kill();
    SleepUpTo(random, 0, 300);
    ASSERT_OK(cluster->Restart());
    if (round % 2 == 1) ASSERT_OK(lab.StartONode());
    ASSERT_TRUE(lab.onode().running()) << lab.onode().log();
    ASSERT_EQ(lab.AwaitLeader(20s), 0) << lab.onode().log();
  });
}

}  // namespace
}  // namespace virp::fault
