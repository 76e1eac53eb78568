// Two key managers on one database: one is active, the other takes over when it stops, stands still or dies. Collector
// and O-Node find the active one by themselves, and keep what they have meanwhile.
#include <signal.h>

#include "tests/e2e/key_manager_fixture.h"
#include "tests/testutil/postgres.h"

namespace virp::e2e {
namespace {

using keymgr::v1::KEY_SUITE_ED25519;

class TwoManagersTest : public KeyManagerTest {
 protected:
  TwoManagersTest()
      : KeyManagerTest({.binaries = fault::BuildFolder(),
                        .keymgr = true,
                        .keymgr_store = testutil::PostgresCluster::Shared().CreateDatabase().value_or(""),
                        .standby = true}) {}

  static bool IsOpen(testutil::KeymgrLab& manager) {
    const auto status = manager.Status();
    return status.ok() && status->active() && status->sealed_size() == 0;
  }
  static testutil::KeyDesk DeskOf(testutil::KeymgrLab& manager) {
    return {manager.Channel(Role::kOperator, "noc-1"), manager.Channel(Role::kOperator, "noc-2")};
  }
  // What is said for a while is signed with that version and taken, without a look at any manager.
  void ExpectSigning(std::uint32_t version) {
    const std::uint64_t from = lab_.GetChain()->size();
    for (int i = 0; i < 20; ++i) {
      ASSERT_OK(Say());
      std::this_thread::sleep_for(50ms);
    }
    ASSERT_TRUE(fault::Drained(lab_, 60s));
    for (const SeenEntry& seen : Entries()) {
      if (seen.sequence >= from && seen.source == ServiceLab::kSubmitted) EXPECT_EQ(seen.key_version, version);
    }
    EXPECT_EQ(Metric(lab_.collector(), "virp_collector_refused_frames_total"), 0);
  }
  void Roll(testutil::KeymgrLab& manager, std::uint32_t version) {
    testutil::KeyDesk desk = DeskOf(manager);
    ASSERT_OK(desk.Roll(ServiceLab::kSubmitted, KEY_SUITE_ED25519));
    ASSERT_TRUE(WaitUntil(30s, [&] { return Say().ok() && Used(ServiceLab::kSubmitted, version); }))
        << manager.process().log() << lab_.collector().log();
  }
};

TEST_F(TwoManagersTest, OneTakesOverFromTheOtherAndNobodyForgetsAKey) {
  Start();
  testutil::KeymgrLab &one = lab_.keymgr(), &two = lab_.standby();
  ASSERT_OK(two.process().Start());
  ASSERT_TRUE(WaitUntil(30s, [&] { return two.Status().ok(); }));
  EXPECT_FALSE(two.Status()->active());
  ASSERT_OK(desk().Create(ServiceLab::kSubmitted, {CollectorId()}));
  ASSERT_OK(desk().Roll(ServiceLab::kSubmitted, KEY_SUITE_ED25519, 2));
  ASSERT_TRUE(WaitUntil(30s, [&] { return Say().ok() && Used(ServiceLab::kSubmitted, 2); }));

  // The first stands still longer than its lease, and wakes up to find that it is over.
  ASSERT_EQ(::kill(one.process().pid(), SIGSTOP), 0);
  ASSERT_TRUE(WaitUntil(60s, [&] { return IsOpen(two); })) << two.process().log();
  ASSERT_EQ(::kill(one.process().pid(), SIGCONT), 0);
  ASSERT_TRUE(WaitUntil(30s, [&] { return one.Status().ok() && !one.Status()->active(); }));
  ExpectSigning(2);
  Roll(two, 3);

  // The second dies; what was asked of it was told, and is known to the first.
  two.process().Kill();
  ASSERT_TRUE(WaitUntil(60s, [&] { return IsOpen(one); })) << one.process().log();
  ExpectSigning(3);
  ASSERT_OK(two.process().Start());
  Roll(one, 4);
  EXPECT_TRUE(WaitUntil(30s, [&] { return two.Status().ok() && !two.Status()->active(); }));
  ExpectVerified();
}

}  // namespace
}  // namespace virp::e2e
