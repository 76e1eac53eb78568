#include "services/keymgr/domain/rollback.h"

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "services/keymgr/domain/kek_keeper.h"
#include "services/keymgr/domain/rollback_guard.h"
#include "services/keymgr/domain/test_ledger.h"
#include "tests/testutil/status_matchers.h"

namespace virp::keymgr {
namespace {

class FakeChain final : public ChainHistory {
 public:
  absl::StatusOr<std::string> NewestFrame() override { return answer; }
  bool WasSeen() const override { return seen; }
  absl::StatusOr<std::optional<UnixNanos>> NewestTime() override { return std::nullopt; }
  absl::Status Walk(const std::function<absl::StatusOr<bool>(const std::string&)>& visit) override {
    for (auto frame = frames.rbegin(); frame != frames.rend(); ++frame) {
      ASSIGN_OR_RETURN(const bool on, visit(*frame));
      if (!on) break;
    }
    return absl::OkStatus();
  }
  void Hold(const std::vector<AuditRow>& rows) {
    frames.clear();
    for (const AuditRow& row : rows) frames.push_back(row.frame);
    answer = frames.back();
  }
  absl::StatusOr<std::string> answer = std::string();  // the newest
  std::vector<std::string> frames;
  bool seen = false;
};

bool IsOwn(const frame::Frame& frame) {
  return frame::VerifyTag(frame, *TestLedgerOptions().signer()->key);
}

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
  absl::Status Check(TestLedger& test) { return CheckAgainstChain(chain_, test.store, IsOwn); }
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

TEST_F(RollbackTest, AChainThatHasLostWhatItShowedIsNoAnswer) {
  test_.Start();
  Change(test_, 2);
  chain_.seen = true;
  EXPECT_OK(Check(test_)) << "nothing was delivered yet";
  ASSERT_OK(test_.store.SetDelivered(2));
  EXPECT_EQ(Check(test_).code(), absl::StatusCode::kUnavailable);
  chain_.seen = false;
  EXPECT_OK(Check(test_)) << "a chain that succeeds the one that had them";
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

// ---- the way out ----

class RollbackGuardTest : public RollbackTest {
 protected:
  const KeyIdentity once_{KeyKind::kRouter, "edge-a/64496", 1, Algorithm::kEcdsaP256};
  const KeyIdentity other_{KeyKind::kRouter, "edge-b/64497", 1, Algorithm::kEcdsaP256};

  void Put(TestLedger& test, const KeyIdentity& identity) {
    ASSERT_OK(test->Commit(TestCall(), [&](const Snapshot&, Changes& changes) {
      SealedKey key;
      key.identity = identity;
      key.policy = ExportPolicy::kOnce;
      key.custody = "plain";
      key.blob = "b";
      key.public_half = "p";
      changes.PutKey(key);
      changes.Audit({.event = "key_created", .source = {}, .keys = {identity}, .fields = {}});
      return absl::OkStatus();
    }));
  }
  void Say(TestLedger& test, const std::string& event, const KeyIdentity& identity, bool lock = false) {
    ASSERT_OK(test->Commit(TestCall(), [&](const Snapshot&, Changes& changes) {
      if (lock) changes.LockKey(identity);
      changes.Audit({.event = event, .source = {}, .keys = {identity}, .fields = {}});
      return absl::OkStatus();
    }));
  }
  RollbackGuard Guard(TestLedger& test) { return {*test, test.store, &chain_, IsOwn, {TakeOverKeys, TakeOverSeal}}; }
  // A manager from the backup that was made after two keys were; the chain holds what the real one did since.
  void Restore() {
    test_.Start();
    Put(test_, once_);
    Put(test_, other_);
    restored_.Start();
    Put(restored_, once_);
    Put(restored_, other_);
    Say(test_, "key_exported", once_, true);
    Say(test_, "key_destroyed", other_);
    chain_.Hold(test_.store.audit());
    restored_->Seal(SealReason::kRollback);
  }

  TestLedger restored_{KekKeeper::Types()};
};

TEST_F(RollbackGuardTest, AcceptedTheExportedKeyStaysExportedAndTheDestroyedOneGone) {
  Restore();
  RollbackGuard guard = Guard(restored_);
  EXPECT_EQ(GetReason(guard.Check()), "ROLLBACK");
  EXPECT_THAT(guard.problem(), testing::HasSubstr("record 4"));
  EXPECT_EQ(GetReason(guard.Accept(TestCall("a"), 3).status()), "ANOTHER_RECORD");
  EXPECT_FALSE(restored_->snapshot()->FindKey(once_)->locked);
  const std::uint64_t epoch = restored_->status().epoch;
  ASSERT_OK(guard.Accept(TestCall("b"), 4));
  EXPECT_EQ(guard.times(), 1U);
  EXPECT_TRUE(restored_->snapshot()->FindKey(once_)->locked);
  EXPECT_EQ(restored_->snapshot()->FindKey(other_), nullptr);
  EXPECT_GT(restored_->status().epoch, epoch) << "no second frame under a number that the chain knows";
  EXPECT_EQ(restored_->status().sequence, 1U);
  EXPECT_EQ(restored_.store.audit().back().event, "rollback_accepted");
  // From then on it opens, whether the chain has heard of it or not.
  EXPECT_OK(guard.Check());
  EXPECT_EQ(guard.problem(), "");
  auto rows = test_.store.audit();
  rows.push_back(restored_.store.audit().back());
  chain_.Hold(rows);
  EXPECT_OK(guard.Check());
}

TEST_F(RollbackGuardTest, WhatAnOperatorSealedStaysSealed) {
  Restore();
  Call call = TestCall("seal", "spiffe://example.net/operator/noc-2");
  call.reason = "a key was seen outside";
  const auto seal = [&](const std::string& event) {
    ASSERT_OK(test_->Commit(call, [&](const Snapshot&, Changes& changes) {
      changes.Audit({.event = event, .source = {}, .keys = {}, .fields = {}});
      return absl::OkStatus();
    }));
    call.request_id += "+";
    chain_.Hold(test_.store.audit());
  };
  seal("manager_unsealed");
  seal("manager_sealed");
  ASSERT_OK(Guard(restored_).Accept(TestCall("b"), 6));
  const auto kept = restored_->snapshot()->Find<SealRecord>("seal");
  ASSERT_NE(kept, nullptr);
  EXPECT_TRUE(kept->sealed);
  EXPECT_EQ(kept->by, "spiffe://example.net/operator/noc-2");
  EXPECT_EQ(kept->reason, "a key was seen outside");
}

TEST_F(RollbackGuardTest, TheFrameThatWasAcceptedAndNoLaterOne) {
  Restore();
  RollbackGuard guard = Guard(restored_);
  ASSERT_OK(guard.Accept(TestCall("a"), 4));
  Change(test_, 1);  // the lost manager lives
  chain_.Hold(test_.store.audit());
  EXPECT_EQ(GetReason(guard.Check()), "ROLLBACK");
}

TEST_F(RollbackGuardTest, AnEmptyDatabaseMayFollowToo) {
  test_.Start();
  Put(test_, once_);
  chain_.Hold(test_.store.audit());
  restored_.Start();
  restored_->Seal(SealReason::kRollback);
  RollbackGuard guard = Guard(restored_);
  ASSERT_OK(guard.Accept(TestCall("a"), 1));
  EXPECT_OK(guard.Check());
}

TEST_F(RollbackGuardTest, ALedgerBesideTheChainIsNoEarlierStateAndIsRefused) {
  test_.Start();
  Change(test_, 3);
  restored_.clock.Advance(std::chrono::seconds(1));
  restored_.Start();
  Change(restored_, 2);
  chain_.Hold(test_.store.audit());
  restored_->Seal(SealReason::kRollback);
  EXPECT_EQ(GetReason(Guard(restored_).Accept(TestCall("a"), 3).status()), "BESIDE");
}

TEST_F(RollbackGuardTest, WhereNothingIsBehindNothingIsAccepted) {
  test_.Start();
  Change(test_, 2);
  chain_.Hold(test_.store.audit());
  RollbackGuard guard = Guard(test_);
  EXPECT_OK(guard.Check());
  EXPECT_EQ(GetReason(guard.Accept(TestCall("a"), 2).status()), "NOT_ROLLED_BACK") << "not sealed";
  test_->Seal(SealReason::kRollback);
  EXPECT_EQ(GetReason(guard.Accept(TestCall("b"), 2).status()), "NOT_ROLLED_BACK") << "not behind";
  RollbackGuard alone(*test_, test_.store, nullptr, IsOwn, {});
  EXPECT_OK(alone.Check());
  EXPECT_EQ(GetReason(alone.Accept(TestCall("c"), 2).status()), "NOT_ROLLED_BACK");
}

TEST_F(RollbackGuardTest, WhatIsForgedOrCannotBeReadIsNotTakenOver) {
  Restore();
  chain_.frames[2].back() = static_cast<char>(chain_.frames[2].back() ^ 1);
  EXPECT_EQ(Guard(restored_).Accept(TestCall("a"), 4).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_FALSE(restored_->snapshot()->FindKey(once_)->locked);
}

}  // namespace
}  // namespace virp::keymgr
