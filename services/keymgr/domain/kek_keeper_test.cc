#include "services/keymgr/domain/kek_keeper.h"

#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "services/keymgr/custody/software/kek_ring.h"
#include "services/keymgr/custody/software/software_custody.h"
#include "services/keymgr/domain/test_ledger.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"

namespace virp::keymgr {
namespace {

class KekKeeperTest : public testing::Test {
 protected:
  KekKeeperTest() {
    PutKek(1, '\x01');
    test_.Start();
    MakeKeeper();
  }
  void PutKek(int version, char byte) { ASSERT_OK(ReplaceFile(KekPath(version), std::string(32, byte), 0400)); }
  void TakeKek(int version) { ::unlink(KekPath(version).c_str()); }
  std::string KekPath(int version) { return folder_.File(std::to_string(version) + ".kek"); }

  // As after a restart: nothing is known but what ledger and files say.
  void MakeKeeper() {
    keeper_.reset();
    ring_ = std::make_unique<KekRing>(folder_.path());
    custody_ = std::make_unique<SoftwareCustody>(*ring_);
    custodies_ = Custodies();
    custodies_.Add(*custody_);
    keeper_ = std::make_unique<KekKeeper>(*test_, *ring_, *custody_, custodies_, "spiffe://example.net/keymgr/one");
  }
  void PutKeys(int count) {
    for (int i = 0; i < count; ++i) {
      const KeyIdentity identity{KeyKind::kRouter, "r" + std::to_string(next_++), 1, Algorithm::kEcdsaP256};
      ASSERT_OK_AND_ASSIGN(const SealedKey key, custody_->Generate(identity, ExportPolicy::kNever));
      ASSERT_OK(test_->Commit(TestCall(), [&](const Snapshot&, Changes& changes) {
        changes.PutKey(key);
        changes.Audit({.event = "key_put", .source = {}, .keys = {identity}, .fields = {}});
        return absl::OkStatus();
      }));
    }
  }
  std::string StateOf(int version) {
    const auto kek = test_->snapshot()->Find<KekRecord>(std::to_string(version));
    return kek == nullptr ? "" : std::string(KekStateName(kek->state));
  }
  std::vector<SealReason> Sealed() { return test_->status().sealed; }
  std::vector<std::string> Events() {
    std::vector<std::string> out;
    for (const AuditRow& row : test_.store.audit()) out.push_back(row.event);
    return out;
  }

  testutil::TempDir folder_;
  TestLedger test_{KekKeeper::Types()};
  std::unique_ptr<KekRing> ring_;
  std::unique_ptr<SoftwareCustody> custody_;
  Custodies custodies_;
  std::unique_ptr<KekKeeper> keeper_;
  int next_ = 0;
};

TEST_F(KekKeeperTest, TheFirstStartAdoptsAndLaterOnesKnowItAgain) {
  PutKek(2, '\x02');
  ASSERT_OK(keeper_->Open());
  EXPECT_EQ(StateOf(2), "CURRENT");
  EXPECT_EQ(ring_->current(), 2U);
  EXPECT_TRUE(Sealed().empty());
  PutKeys(1);
  MakeKeeper();
  ASSERT_OK(keeper_->Open());
  EXPECT_EQ(ring_->current(), 2U);
  EXPECT_THAT(Events(), testing::ElementsAre("kek_adopted", "key_put"));
  EXPECT_EQ(test_.store.audit()[0].actor, "spiffe://example.net/keymgr/one");
}

TEST_F(KekKeeperTest, StaysSealedWithoutTheRightKey) {
  ASSERT_OK(keeper_->Open());
  PutKeys(1);
  TakeKek(1);
  MakeKeeper();
  EXPECT_EQ(GetReason(keeper_->Open()), "SEALED");
  EXPECT_THAT(Sealed(), testing::ElementsAre(SealReason::kNoKek));
  EXPECT_THAT(keeper_->problem(), testing::HasSubstr("no <version>.kek"));
  PutKek(1, '\x09');  // another key under the same number
  EXPECT_FALSE(keeper_->Open().ok());
  EXPECT_THAT(keeper_->problem(), testing::HasSubstr("another key"));
  EXPECT_EQ(GetReason(keeper_->Unseal(TestCall("u1")).status()), "SEALED");
  PutKek(2, '\x02');  // a newer one is no help for what lies under the old one
  TakeKek(1);
  EXPECT_FALSE(keeper_->Open().ok());
  EXPECT_EQ(GetReason(test_->Commit(TestCall(), [](const Snapshot&, Changes&) { return absl::OkStatus(); }).status()),
            "SEALED");
  PutKek(1, '\x01');
  ASSERT_OK(keeper_->Unseal(TestCall("u2")));
  EXPECT_TRUE(Sealed().empty());
  EXPECT_TRUE(keeper_->problem().empty());
  EXPECT_EQ(ring_->current(), 1U);
}

TEST_F(KekKeeperTest, AnOperatorsSealHoldsOverARestart) {
  ASSERT_OK(keeper_->Open());
  PutKeys(1);
  ASSERT_OK(keeper_->Seal(TestCall("s1")));
  EXPECT_THAT(Sealed(), testing::ElementsAre(SealReason::kOperator));
  EXPECT_TRUE(ring_->Known().empty()) << "wiped";
  EXPECT_EQ(
      GetReason(custody_->Generate({KeyKind::kRouter, "x", 1, Algorithm::kEcdsaP256}, ExportPolicy::kNever).status()),
      "SEALED");
  MakeKeeper();
  EXPECT_FALSE(keeper_->Open().ok());
  EXPECT_THAT(Sealed(), testing::ElementsAre(SealReason::kOperator));
  EXPECT_TRUE(ring_->Known().empty());
  const auto receipt = keeper_->Unseal(TestCall("u1"));
  ASSERT_OK(receipt);
  EXPECT_TRUE(Sealed().empty());
  PutKeys(1);
  EXPECT_TRUE(keeper_->Unseal(TestCall("u1"))->replayed);
  MakeKeeper();
  EXPECT_OK(keeper_->Open());
}

TEST_F(KekKeeperTest, NoKeyStaysInMemoryWhileItIsSealed) {
  int wiped = 0;
  keeper_->OnWiped([&] { ++wiped; });
  ASSERT_OK(keeper_->Open());
  EXPECT_EQ(wiped, 0);
  ASSERT_OK(keeper_->Seal(TestCall("s1")));
  EXPECT_EQ(wiped, 1);
  ASSERT_OK(keeper_->Unseal(TestCall("u1")));
  ASSERT_OK(keeper_->Seal(TestCall("s2")));
  EXPECT_TRUE(keeper_->Unseal(TestCall("u1"))->replayed);
  EXPECT_TRUE(ring_->Known().empty()) << "what a repeated request read";
  test_.store.FailNextCommit(ResourceExhausted("the disk is full"));
  EXPECT_FALSE(keeper_->Unseal(TestCall("u2")).ok());
  EXPECT_TRUE(ring_->Known().empty()) << "what a refused request read";
  test_->Seal(SealReason::kRollback);
  EXPECT_FALSE(keeper_->Unseal(TestCall("u3")).ok());
  EXPECT_TRUE(ring_->Known().empty());
  test_->Unseal(SealReason::kRollback);
  ASSERT_OK(keeper_->Unseal(TestCall("u4")));
  EXPECT_TRUE(keeper_->Unseal(TestCall("u4"))->replayed);
  EXPECT_FALSE(ring_->Known().empty()) << "open: the keys are in use";
  // Another manager sealed it, and this one took over again.
  ASSERT_OK(test_->Commit(TestCall(), [](const Snapshot&, Changes& changes) {
    auto seal = std::make_shared<SealRecord>();
    seal->sealed = true;
    changes.Put(std::move(seal));
    changes.Audit({.event = "manager_sealed", .source = {}, .keys = {}, .fields = {}});
    return absl::OkStatus();
  }));
  EXPECT_FALSE(keeper_->Open().ok());
  EXPECT_TRUE(ring_->Known().empty());
  const int before = wiped;
  keeper_->Close();
  EXPECT_EQ(wiped, before + 1);
}

TEST_F(KekKeeperTest, ARotationThatFindsAnotherKeySealsAndOneThatFindsNoneDoesNot) {
  ASSERT_OK(keeper_->Open());
  PutKeys(1);
  ASSERT_OK(ReplaceFile(KekPath(2), "no key", 0400));
  EXPECT_FALSE(keeper_->Rotate(TestCall("r1"), 0).ok());
  EXPECT_TRUE(Sealed().empty()) << "what was in use is in use";
  EXPECT_EQ(ring_->current(), 1U);
  PutKek(1, '\x09');  // somebody replaced the file of the key in use
  PutKek(2, '\x02');
  EXPECT_EQ(GetReason(keeper_->Rotate(TestCall("r2"), 0).status()), "SEALED");
  EXPECT_THAT(Sealed(), testing::ElementsAre(SealReason::kNoKek));
  EXPECT_TRUE(ring_->Known().empty()) << "no new envelope under the wrong key";
  EXPECT_THAT(keeper_->problem(), testing::HasSubstr("another key"));
  PutKek(1, '\x01');
  ASSERT_OK(keeper_->Open());
  EXPECT_TRUE(Sealed().empty());
  test_->snapshot()->ForEachKey([&](const Snapshot::KeyPtr& key) {
    EXPECT_OK(custody_->Sign(*key, "x"));
    return true;
  });
}

TEST_F(KekKeeperTest, RotatesAndRewrapsInStepsThatMayBeCutShort) {
  ASSERT_OK(keeper_->Open());
  PutKeys(25);
  const absl::Status same = keeper_->Rotate(TestCall("r0"), 0).status();
  EXPECT_EQ(same.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(GetFields(same).at(0).description, testing::HasSubstr("bring a key-encryption key of a higher one"));
  EXPECT_EQ(keeper_->Rotate(TestCall("r1"), 2).status().code(), absl::StatusCode::kNotFound);
  PutKek(2, '\x02');
  ASSERT_OK(keeper_->Rotate(TestCall("r2"), 0));
  EXPECT_EQ(StateOf(1), "RETIRING");
  EXPECT_EQ(StateOf(2), "CURRENT");
  PutKeys(1);
  EXPECT_EQ(keeper_->progress().done, 1U) << "new ones lie under the new version at once";
  EXPECT_EQ(keeper_->progress().left, 25U);
  ASSERT_OK_AND_ASSIGN(const std::uint64_t left, keeper_->RewrapSome(10));
  EXPECT_EQ(left, 15U);
  MakeKeeper();  // a restart in the middle
  ASSERT_OK(keeper_->Open());
  EXPECT_EQ(ring_->current(), 2U);
  EXPECT_EQ(*keeper_->RewrapSome(10), 5U);
  EXPECT_EQ(StateOf(1), "RETIRING");
  EXPECT_EQ(*keeper_->RewrapSome(10), 0U);
  EXPECT_EQ(StateOf(1), "RETIRED");
  EXPECT_EQ(keeper_->progress().left, 0U);
  EXPECT_EQ(*keeper_->RewrapSome(10), 0U) << "nothing more to do, nothing more recorded";
  const std::size_t records = test_.store.audit().size();
  EXPECT_EQ(*keeper_->RewrapSome(10), 0U);
  EXPECT_EQ(test_.store.audit().size(), records);
  // The old file may go, and every key signs on.
  TakeKek(1);
  MakeKeeper();
  ASSERT_OK(keeper_->Open());
  test_->snapshot()->ForEachKey([&](const Snapshot::KeyPtr& key) {
    EXPECT_OK(custody_->Sign(*key, "x"));
    return true;
  });
}

TEST_F(KekKeeperTest, AnEnvelopeThatIsDamagedKeepsTheOldVersionAndStopsNoOther) {
  ASSERT_OK(keeper_->Open());
  PutKeys(3);
  ASSERT_OK(test_->Commit(TestCall(), [](const Snapshot& now, Changes& changes) {
    SealedKey broken = *now.FindKey(KeyKind::kRouter, "r1", 1);
    broken.blob[30] = static_cast<char>(broken.blob[30] ^ 1);
    changes.PutKey(broken);
    changes.Audit({.event = "key_broken", .source = {}, .keys = {}, .fields = {}});
    return absl::OkStatus();
  }));
  PutKek(2, '\x02');
  ASSERT_OK(keeper_->Rotate(TestCall("r"), 2));
  EXPECT_EQ(*keeper_->RewrapSome(10), 0U) << "none is left that opens";
  EXPECT_EQ(keeper_->progress().left, 1U);
  EXPECT_EQ(keeper_->progress().damaged, 1U);
  EXPECT_EQ(StateOf(1), "RETIRING");
}

}  // namespace
}  // namespace virp::keymgr
