#include "services/keymgr/domain/release.h"

#include <atomic>
#include <thread>
#include <vector>

#include "lib/base/file.h"
#include "services/keymgr/custody/software/kek_ring.h"
#include "services/keymgr/custody/software/software_custody.h"
#include "services/keymgr/domain/kek_keeper.h"
#include "services/keymgr/domain/test_ledger.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"

namespace virp::keymgr {
namespace {

class ReleaseTest : public testing::Test {
 protected:
  ReleaseTest() {
    EXPECT_OK(ReplaceFile(folder_.File("1.kek"), std::string(32, '\x01'), 0400));
    EXPECT_OK(ring_.Load());
    EXPECT_OK(ring_.Use(1));
    custodies_.Add(custody_);
    test_.Start();
  }
  KeyIdentity Put(ExportPolicy policy, KeyKind kind = KeyKind::kRouter, Algorithm algorithm = Algorithm::kEcdsaP256) {
    const KeyIdentity identity{kind, "key", 1, algorithm};
    const auto key = custody_.Import(identity, policy, secret_);
    EXPECT_OK(key);
    EXPECT_OK(test_->Commit(TestCall(), [&](const Snapshot&, Changes& changes) {
      changes.PutKey(*key);
      changes.Audit({.event = "key_put", .source = {}, .keys = {identity}, .fields = {}});
      return absl::OkStatus();
    }));
    return identity;
  }
  absl::StatusOr<Released> Ask(const KeyIdentity& key, std::string request = {}, ReleaseTo to = ReleaseTo::kOwner) {
    Release release;
    release.key = key;
    release.to = to;
    release.audit.event = "key_exported";
    release.also = also_;
    return ReleaseKey(*test_, custodies_, TestCall(std::move(request)), release);
  }
  std::size_t Exports() {
    std::size_t count = 0;
    for (const AuditRow& row : test_.store.audit()) count += row.event == "key_exported" ? 1 : 0;
    return count;
  }

  testutil::TempDir folder_;
  TestLedger test_{KekKeeper::Types()};
  KekRing ring_{folder_.path()};
  SoftwareCustody custody_{ring_};
  Custodies custodies_;
  Edit also_;
  const crypto::Secret secret_{std::string(32, '\x21')};
};

TEST_F(ReleaseTest, OnceIsOnceWhoeverAsksAgain) {
  const KeyIdentity key = Put(ExportPolicy::kOnce);
  const auto first = Ask(key, "r1");
  ASSERT_OK(first);
  EXPECT_TRUE(crypto::EqualConstantTime(first->secret, secret_));
  EXPECT_EQ(test_.store.audit()[1].keys, std::vector{key});
  for (const char* request : {"r1", "r2", ""}) EXPECT_EQ(GetReason(Ask(key, request).status()), "NOT_EXPORTABLE");
  EXPECT_EQ(Exports(), 1U);
  EXPECT_TRUE(test_->snapshot()->FindKey(key)->locked);
}

TEST_F(ReleaseTest, OfManyAtOnceOneGetsIt) {
  const KeyIdentity key = Put(ExportPolicy::kOnce);
  std::atomic<int> got = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i) threads.emplace_back([&] { got += Ask(key).ok() ? 1 : 0; });
  }
  EXPECT_EQ(got, 1);
  EXPECT_EQ(Exports(), 1U);
}

TEST_F(ReleaseTest, WhatCouldNotBeRecordedIsNotLetOut) {
  const KeyIdentity key = Put(ExportPolicy::kOnce);
  test_.store.FailNextCommit(ResourceExhausted("the disk is full"));
  EXPECT_EQ(Ask(key, "r1").status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_FALSE(test_->snapshot()->FindKey(key)->locked);
  also_ = [](const Snapshot&, Changes&) { return FailedPrecondition("not approved"); };
  EXPECT_EQ(Message(Ask(key, "r2").status()), "not approved");
  also_ = nullptr;
  test_->Seal(SealReason::kOperator);
  EXPECT_EQ(GetReason(Ask(key, "r3").status()), "SEALED");
  test_->Unseal(SealReason::kOperator);
  EXPECT_EQ(Exports(), 0U);
  // In doubt and committed after all: settled, and let out.
  test_.store.FailNextCommit(Unknown("the line broke"), true);
  EXPECT_OK(Ask(key, "r4"));
  EXPECT_EQ(Exports(), 1U);
}

TEST_F(ReleaseTest, EachPolicyHasItsWay) {
  KeyIdentity key = Put(ExportPolicy::kEscrowOnly);
  EXPECT_EQ(GetReason(Ask(key).status()), "NOT_EXPORTABLE");
  EXPECT_OK(Ask(key, "", ReleaseTo::kEscrow));
  EXPECT_OK(Ask(key, "", ReleaseTo::kEscrow));
  key.id = "another";
  EXPECT_EQ(Ask(key).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ReleaseTest, ASharedSecretGoesAsOftenAsItIsAskedForEachTimeRecorded) {
  const KeyIdentity key = Put(ExportPolicy::kShared, KeyKind::kTcpAo, Algorithm::kOctets);
  EXPECT_OK(Ask(key, "r1"));
  EXPECT_OK(Ask(key, "r1")) << "a repeat";
  EXPECT_OK(Ask(key, "r2"));
  EXPECT_EQ(Exports(), 2U);
}

TEST_F(ReleaseTest, NeverIsNever) {
  const KeyIdentity key = Put(ExportPolicy::kNever);
  for (const ReleaseTo to : {ReleaseTo::kOwner, ReleaseTo::kEscrow})
    EXPECT_EQ(GetReason(Ask(key, "", to).status()), "NOT_EXPORTABLE");
  EXPECT_EQ(Exports(), 0U);
}

}  // namespace
}  // namespace virp::keymgr
