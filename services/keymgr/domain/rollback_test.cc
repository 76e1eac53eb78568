#include "services/keymgr/domain/rollback.h"

#include "services/keymgr/domain/kek_keeper.h"
#include "services/keymgr/domain/test_ledger.h"
#include "tests/testutil/status_matchers.h"

namespace virp::keymgr {
namespace {

class FakeChain final : public ChainHistory {
 public:
  absl::StatusOr<std::string> NewestFrame() override { return answer; }
  absl::StatusOr<std::string> answer = std::string();
};

class RollbackTest : public testing::Test {
 protected:
  void Change(TestLedger& test, int times) {
    for (int i = 0; i < times; ++i) {
      ASSERT_OK(test->Commit(TestCall(), [](const Snapshot&, Changes& changes) {
        changes.Audit({.event = "test", .source = {}, .keys = {}, .fields = {}});
        return absl::OkStatus();
      }));
    }
  }
  absl::Status Check(TestLedger& test) {
    return CheckAgainstChain(chain_, test.store, [](const frame::Frame& frame) {
      return frame::VerifyTag(frame, *TestLedgerOptions().signer()->key);
    });
  }
  FakeChain chain_;
  TestLedger test_{KekKeeper::Types()};
};

TEST_F(RollbackTest, AChainThatHoldsNothingOrPartOfUsIsFine) {
  test_.Start();
  EXPECT_OK(Check(test_));
  Change(test_, 5);
  EXPECT_OK(Check(test_));
  for (const AuditRow& row : test_.store.audit()) {
    chain_.answer = row.frame;
    EXPECT_OK(Check(test_)) << row.record;
  }
}

TEST_F(RollbackTest, ADatabaseBehindTheChainIsFoundOut) {
  test_.Start();
  Change(test_, 5);
  TestLedger restored{KekKeeper::Types()};
  restored.Start();
  Change(restored, 3);  // the same first three records: clock, key and requests are the same
  chain_.answer = test_.store.audit()[2].frame;
  EXPECT_OK(Check(restored));
  chain_.answer = test_.store.audit()[4].frame;
  const absl::Status behind = Check(restored);
  EXPECT_EQ(GetReason(behind), "ROLLBACK");
  EXPECT_THAT(std::string(Message(behind)), testing::HasSubstr("record 5"));
}

TEST_F(RollbackTest, ADatabaseBesideTheChainIsFoundOut) {
  test_.Start();
  Change(test_, 3);
  TestLedger other{KekKeeper::Types()};
  other.clock.Advance(std::chrono::seconds(1));
  other.Start();
  Change(other, 5);
  chain_.answer = test_.store.audit()[2].frame;
  EXPECT_EQ(GetReason(Check(other)), "ROLLBACK");
}

TEST_F(RollbackTest, WhatNobodySignedProvesNothing) {
  test_.Start();
  Change(test_, 1);
  std::string forged = test_.store.audit()[0].frame;
  forged.back() = static_cast<char>(forged.back() ^ 1);
  chain_.answer = forged;
  EXPECT_EQ(Check(test_).code(), absl::StatusCode::kDataLoss);
  chain_.answer = std::string("no frame");
  EXPECT_EQ(Check(test_).code(), absl::StatusCode::kDataLoss);
  chain_.answer = Unavailable("nobody is there");
  EXPECT_EQ(Check(test_).code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace virp::keymgr
