// From taking over to being open: what is compared first, and what is written when.
#include "services/keymgr/house.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/base/error_info.h"
#include "lib/base/file.h"
#include "services/keymgr/custody/software/kek_ring.h"
#include "services/keymgr/custody/software/software_custody.h"
#include "services/keymgr/domain/test_ledger.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"

namespace virp::keymgr {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class FakeChain final : public ChainHistory {
 public:
  absl::StatusOr<std::string> NewestFrame() override { return newest; }
  absl::Status Walk(const std::function<absl::StatusOr<bool>(const std::string&)>&) override {
    return absl::OkStatus();
  }
  bool WasSeen() const override { return false; }
  absl::StatusOr<std::optional<UnixNanos>> NewestTime() override { return newest_time; }
  absl::StatusOr<std::string> newest = Unavailable("no O-Node answers");
  std::optional<UnixNanos> newest_time{};
};

bool IsOwn(const frame::Frame& frame) {
  return frame::VerifyTag(frame, *TestLedgerOptions().signer()->key);
}

class HouseTest : public testing::Test {
 protected:
  HouseTest() {
    EXPECT_OK(ReplaceFile(folder_.File("1.kek"), std::string(32, '\x01'), 0400));
    custodies_.Add(custody_);
    test_.Start();
    test_->Seal(SealReason::kStarting);
  }
  std::vector<SealReason> Sealed() { return test_->status().sealed; }
  std::vector<std::string> Events() {
    std::vector<std::string> out;
    for (const AuditRow& row : test_.store.audit()) out.push_back(row.event);
    return out;
  }

  testutil::TempDir folder_;
  static LedgerOptions Options() {
    LedgerOptions options = TestLedgerOptions();
    options.clock_limits = ClockLimits{};
    return options;
  }
  TestLedger test_{KekKeeper::Types(), Options()};
  KekRing ring_{folder_.path()};
  SoftwareCustody custody_{ring_};
  Custodies custodies_;
  KekKeeper keeper_{*test_, ring_, custody_, custodies_, "spiffe://example.net/keymgr/one"};
  FakeChain chain_;
  RollbackGuard rollback_{*test_, test_.store, &chain_, IsOwn, {}};
  AuditLog log_{*test_, test_.store, "keymgr-1"};
  Pulse pulse_{"house", test_.clock};
  int chores_ = 0;
  LoggingObserver observer_;
  House house_{
      {*test_, keeper_, rollback_, log_, pulse_, [this] { return observer_.TakeDoubt(); }, {{"a chore", [this] {
                                                                                               ++chores_;
                                                                                               return absl::OkStatus();
                                                                                             }}}}};
};

TEST_F(HouseTest, NothingIsWrittenBeforeTheComparisonIsThrough) {
  EXPECT_FALSE(house_.Round());
  EXPECT_THAT(Sealed(), ElementsAre(SealReason::kStarting));
  EXPECT_EQ(GetMetadata(keeper_.Unseal(TestCall("u")).status()).at("why"), "STARTING");
  EXPECT_EQ(GetMetadata(keeper_.Seal(TestCall("s")).status()).at("why"), "STARTING");
  EXPECT_THAT(Events(), IsEmpty());
  EXPECT_THAT(ring_.Known(), IsEmpty());
  EXPECT_EQ(chores_, 0);
  chain_.newest = std::string();
  house_.Round();
  EXPECT_THAT(Sealed(), IsEmpty());
  EXPECT_THAT(Events(), ElementsAre("kek_adopted"));
  EXPECT_EQ(chores_, 1);
}

TEST_F(HouseTest, WhatTheChainSaysOfTheTimeIsAskedBeforeAnythingIsDone) {
  chain_.newest = std::string();
  chain_.newest_time = test_.clock.NowNanos() + 86'400'000'000'000;
  house_.Round();
  EXPECT_THAT(Sealed(), ElementsAre(SealReason::kClock)) << "its clock is a day behind";
  EXPECT_EQ(chores_, 0);
  test_.clock.SetWall(*chain_.newest_time);
  ASSERT_OK(test_->Commit(TestCall(), [](const Snapshot&, Changes& changes) {
    changes.Audit({.event = "test", .source = {}, .keys = {}, .fields = {}});
    return absl::OkStatus();
  }));
  house_.Round();
  EXPECT_THAT(Sealed(), IsEmpty());
  EXPECT_EQ(chores_, 1);
}

TEST_F(HouseTest, AnOperatorWhoUnsealsSaysThatTheClockIsRight) {
  chain_.newest = std::string();
  chain_.newest_time = test_.clock.NowNanos() + 86'400'000'000'000;
  house_.Round();
  ASSERT_THAT(Sealed(), ElementsAre(SealReason::kClock));
  ASSERT_OK(keeper_.Unseal(TestCall("right")));
  EXPECT_THAT(Sealed(), IsEmpty());
  house_.Round();
  EXPECT_EQ(chores_, 1);
}

// A copy of the database runs elsewhere: the chain has its record where ours was to be.
TEST_F(HouseTest, WhenTheChainTurnsOutToHaveAnotherRecordItIsSealed) {
  chain_.newest = std::string();
  house_.Round();
  ASSERT_THAT(Sealed(), IsEmpty());
  TestLedger twin{KekKeeper::Types()};
  twin.Start();
  ASSERT_OK(twin->Commit(TestCall(), [](const Snapshot&, Changes& changes) {
    changes.Audit({.event = "test", .source = {}, .keys = {}, .fields = {}});
    return absl::OkStatus();
  }));
  chain_.newest = twin.store.audit().back().frame;
  house_.Round();
  EXPECT_THAT(Sealed(), IsEmpty()) << "it is not asked all the time";
  observer_.OnRefused("keymgr-1", frame::Reason::kTooLarge);
  house_.Round();
  EXPECT_THAT(Sealed(), IsEmpty()) << "a record that does not fit is no twin";
  observer_.OnRefused("keymgr-1", frame::Reason::kEquivocation);
  house_.Round();
  EXPECT_THAT(Sealed(), ElementsAre(SealReason::kRollback));
  EXPECT_THAT(ring_.Known(), IsEmpty());
}

TEST_F(HouseTest, AMissingKeyIsLookedForAgain) {
  chain_.newest = std::string();
  ::unlink(folder_.File("1.kek").c_str());
  house_.Round();
  EXPECT_THAT(Sealed(), ElementsAre(SealReason::kNoKek));
  ASSERT_OK(ReplaceFile(folder_.File("1.kek"), std::string(32, '\x01'), 0400));
  house_.Round();
  EXPECT_THAT(Sealed(), IsEmpty());
}

TEST_F(HouseTest, WhoStandsByIsReady) {
  chain_.newest = std::string();
  EXPECT_THAT(LedgerReady(test_->status()).message(), HasSubstr("sealed: STARTING"));
  house_.Round();
  EXPECT_OK(LedgerReady(test_->status()));
  test_->Seal(SealReason::kOperator);
  EXPECT_THAT(LedgerReady(test_->status()).message(), HasSubstr("sealed: OPERATOR"));
  test_.store.TakeOver("another.example.net:1");
  ASSERT_TRUE(test_->WaitActive(false, std::chrono::steady_clock::now() + std::chrono::seconds(30)));
  EXPECT_OK(LedgerReady(test_->status())) << "how it was sealed is the active one's business";
  LedgerStatus alone = test_->status();
  alone.active_address.clear();  // the lease ran out, or the store does not say
  alone.problem = "the database is away";
  EXPECT_THAT(LedgerReady(alone).message(), HasSubstr("the database is away"));
}

TEST_F(HouseTest, ADatabaseBehindTheChainStaysShutAndWhoIsFencedForgetsTheKeys) {
  chain_.newest = std::string();
  house_.Round();
  ASSERT_THAT(Sealed(), IsEmpty());
  const std::string own = test_.store.audit().back().frame;
  test_.store.TakeOver("another.example.net:1");
  ASSERT_TRUE(test_->WaitActive(false, std::chrono::steady_clock::now() + std::chrono::seconds(30)));
  EXPECT_FALSE(ring_.Known().empty());
  house_.Round();
  EXPECT_THAT(ring_.Known(), IsEmpty());
  test_->Seal(SealReason::kStarting);  // as main does when it takes over
  test_.store.GiveUp();
  ASSERT_TRUE(test_->WaitActive(true, std::chrono::steady_clock::now() + std::chrono::seconds(30)));
  // The chain holds a record that this database does not have.
  TestLedger other{KekKeeper::Types()};
  other.clock.Advance(std::chrono::seconds(1));
  other.Start();
  for (int i = 0; i < 2; ++i) {
    ASSERT_OK(other->Commit(TestCall(), [](const Snapshot&, Changes& changes) {
      changes.Audit({.event = "test", .source = {}, .keys = {}, .fields = {}});
      return absl::OkStatus();
    }));
  }
  chain_.newest = other.store.audit().back().frame;
  house_.Round();
  EXPECT_THAT(Sealed(), ElementsAre(SealReason::kRollback));
  EXPECT_THAT(ring_.Known(), IsEmpty());
  chain_.newest = own;  // the right one is back, and the manager takes over anew
  test_.store.TakeOver("another.example.net:1");
  ASSERT_TRUE(test_->WaitActive(false, std::chrono::steady_clock::now() + std::chrono::seconds(30)));
  test_->Seal(SealReason::kStarting);
  test_.store.GiveUp();
  ASSERT_TRUE(test_->WaitActive(true, std::chrono::steady_clock::now() + std::chrono::seconds(30)));
  house_.Round();
  EXPECT_THAT(Sealed(), IsEmpty());
}

}  // namespace
}  // namespace virp::keymgr
