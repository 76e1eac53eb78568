#include "services/keymgr/domain/audit_log.h"

#include <thread>

#include "services/keymgr/domain/kek_keeper.h"
#include "services/keymgr/domain/test_ledger.h"
#include "tests/testutil/status_matchers.h"

namespace virp::keymgr {
namespace {

std::chrono::steady_clock::time_point In(int seconds) {
  return std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
}

class AuditLogTest : public testing::Test {
 protected:
  void Change(LedgerEngine& ledger) {
    ASSERT_OK(ledger.Commit(TestCall(), [](const Snapshot&, Changes& changes) {
      changes.Audit({.event = "test", .source = {}, .keys = {}, .fields = {}});
      return absl::OkStatus();
    }));
  }
  TestLedger test_{KekKeeper::Types()};
};

TEST_F(AuditLogTest, GivesWhatIsCommittedInOrderAndRemembersWhatIsShown) {
  AuditLog log(*test_, test_.store, "keymgr-1");
  LedgerEngine& ledger = test_.Start();
  log.Release();
  EXPECT_EQ(log.ends().durable, 0U);
  EXPECT_EQ(log.ends().first, 1U);
  EXPECT_FALSE(log.WaitFor(0, std::chrono::steady_clock::now()));
  std::jthread later([&] { Change(ledger); });
  EXPECT_TRUE(log.WaitFor(0, In(30)));
  later.join();
  Change(ledger);
  Change(ledger);
  ASSERT_OK_AND_ASSIGN(const auto all, log.Read(0, 10, 1 << 20));
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0].number, 1U);
  EXPECT_EQ(all[2].bytes, test_.store.audit()[2].frame);
  EXPECT_EQ(all[2].epoch, test_.store.audit()[2].epoch);
  EXPECT_EQ(all[2].source, "keymgr-1");
  EXPECT_EQ(log.Read(1, 1, 1 << 20)->size(), 1U);
  EXPECT_EQ(log.Read(0, 10, 1)->size(), 1U) << "one frame always fits";
  EXPECT_TRUE(log.Read(3, 10, 1 << 20)->empty());
  EXPECT_EQ(log.undelivered(), 3U);
  ASSERT_OK(log.Free(2));
  EXPECT_EQ(log.ends().first, 3U);
  EXPECT_EQ(log.undelivered(), 1U);
  EXPECT_EQ(test_.store.ReadHead()->delivered, 2U);
  test_->Stop();  // it tells the log, which goes first
}

TEST_F(AuditLogTest, NothingGoesOutBeforeTheChainWasAsked) {
  AuditLog log(*test_, test_.store, "keymgr-1");
  LedgerEngine& ledger = test_.Start();
  Change(ledger);
  EXPECT_FALSE(log.WaitFor(0, std::chrono::steady_clock::now()));
  EXPECT_TRUE(log.Read(0, 10, 1 << 20)->empty());
  EXPECT_EQ(log.undelivered(), 1U);
  log.Release();
  EXPECT_TRUE(log.WaitFor(0, In(30)));
  EXPECT_EQ(log.Read(0, 10, 1 << 20)->size(), 1U);
  // Another manager was active in between: it is asked again.
  test_.store.TakeOver("another");
  ASSERT_TRUE(ledger.WaitActive(false, In(30)));
  test_.store.GiveUp();
  ASSERT_TRUE(ledger.WaitActive(true, In(30)));
  EXPECT_TRUE(log.Read(0, 10, 1 << 20)->empty());
  EXPECT_EQ(log.undelivered(), 1U);
  test_->Stop();
}

TEST_F(AuditLogTest, AManagerThatStandsByDeliversNothing) {
  AuditLog log(*test_, test_.store, "keymgr-1");
  LedgerEngine& ledger = test_.Start();
  log.Release();
  Change(ledger);
  test_.store.TakeOver("another");
  ASSERT_TRUE(ledger.WaitActive(false, In(30)));
  for (int i = 0; i < 3'000 && log.ends().durable != 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(log.ends().durable, 0U);
  EXPECT_TRUE(log.Read(0, 10, 1 << 20)->empty());
  test_->Stop();
}

}  // namespace
}  // namespace virp::keymgr
