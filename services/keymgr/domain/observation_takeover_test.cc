#include "services/keymgr/domain/observation_takeover.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/crypto/ed25519.h"
#include "lib/frame/key_statements.h"
#include "services/keymgr/domain/observation_test_util.h"

namespace virp::keymgr {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const std::string kEdge = "edge-a.bgpd";
constexpr UnixNanos kHour = UnixNanos{3'600} * 1'000'000'000;

bool IsOwn(const frame::Frame& frame) {
  return frame::VerifyTag(frame, *TestLedgerOptions().signer()->key);
}

crypto::Ed25519PrivateKey PrivateKey(char fill) {
  return *crypto::Ed25519PrivateKey::FromSeed(std::string(32, fill));
}

// Two managers that were one until Part(): `real` went on, and `old` has its backup.
class ObservationTakeoverTest : public ::testing::Test {
 protected:
  void Part() { parted_ = real_.ledger.store.audit().size(); }
  // The records that `old` has not, oldest first.
  std::vector<ChainRecord> Missing() {
    std::vector<ChainRecord> out;
    const auto rows = real_.ledger.store.audit();
    for (std::size_t i = parted_; i < rows.size(); ++i) {
      auto record = ReadChainRecord(rows[i].frame, IsOwn);
      EXPECT_TRUE(record.ok()) << record.status();
      if (record.ok()) out.push_back(*std::move(record));
    }
    return out;
  }
  absl::Status TakeOver(const std::vector<ChainRecord>& missing) {
    old_.ledger.clock.Advance(std::chrono::hours(3));
    taken_over_ = old_.ledger.clock.NowNanos();
    return (*old_.ledger)
        .Commit(TestCall(),
                [&](const Snapshot& now, Changes& changes) -> absl::Status {
                  RETURN_IF_ERROR(TakeOverObservationKeys(missing, now, changes));
                  changes.Audit({.event = "rollback_accepted", .source = {}, .keys = {}, .fields = {}});
                  return absl::OkStatus();
                })
        .status();
  }
  void TakeOver() { ASSERT_TRUE(TakeOver(Missing()).ok()); }
  const ObservationVersion& Version(std::uint32_t version) {
    held_ = old_.Get(kEdge);
    const ObservationVersion* const found = held_ == nullptr ? nullptr : held_->Find(version);
    EXPECT_NE(found, nullptr) << version;
    static const ObservationVersion kNone;
    return found == nullptr ? kNone : *found;
  }
  static void Register(ObservationLab& lab, std::uint32_t version, char fill) {
    const auto key = PrivateKey(fill);
    const std::string half = key.public_key().bytes();
    ObservationLab::Must(lab.keys.Register(lab.By(kSignerId), kEdge, version, half,
                                           key.Sign(frame::PossessionStatement(kEdge, version, half)), ""));
  }
  // An Ed25519 version from its registration into use.
  static void Use(ObservationLab& lab, std::uint32_t version, char fill) {
    Register(lab, version, fill);
    ObservationLab::Must(lab.keys.Approve(lab.By(kOperator1), kEdge, version, ""));
    lab.Know(kEdge, version);
    ObservationLab::Must(lab.keys.Activate(lab.By(kOperator1), kEdge, version, {}));
  }

  ObservationLab real_, old_;
  std::size_t parted_ = 0;
  UnixNanos taken_over_ = 0;
  std::shared_ptr<const ObservationKey> held_;
};

TEST_F(ObservationTakeoverTest, ASourceStandsAgainWithItsHolders) {
  Part();
  real_.Create(kEdge);
  real_.Create("edge-b.bgpd", ConsumerForm::kHexText);
  ObservationLab::Must(real_.keys.Update(real_.By(kOperator1), kEdge, {kSignerId, kCarrierId}, {}, 0));
  ASSERT_EQ(old_.Get(kEdge), nullptr);
  TakeOver();
  ASSERT_NE(old_.Get(kEdge), nullptr);
  EXPECT_THAT(old_.Get(kEdge)->signers, ElementsAre(kSignerId, kCarrierId));
  EXPECT_THAT(old_.Get(kEdge)->carriers, IsEmpty()) << "as it was last";
  EXPECT_EQ(old_.Get(kEdge)->form, ConsumerForm::kPlatform);
  ASSERT_NE(old_.Get("edge-b.bgpd"), nullptr);
  EXPECT_EQ(old_.Get("edge-b.bgpd")->form, ConsumerForm::kHexText);
}

TEST_F(ObservationTakeoverTest, AnEd25519VersionStandsAsItWasAndTheOneBeforeEnds) {
  for (ObservationLab* const lab : {&real_, &old_}) {
    lab->Create(kEdge);
    Use(*lab, 1, 'a');
  }
  Part();
  Use(real_, 2, 'b');
  TakeOver();
  EXPECT_EQ(Version(2).state, ObservationState::kActive);
  EXPECT_EQ(Version(2).algorithm, Algorithm::kEd25519);
  EXPECT_EQ(Version(2).public_half, PrivateKey('b').public_key().bytes());
  EXPECT_EQ(Version(2).made_by, kSignerId);
  EXPECT_EQ(Version(2).approved_by, kOperator1);
  EXPECT_EQ(Version(2).accept_from, taken_over_);
  EXPECT_EQ(Version(2).activated, taken_over_);
  EXPECT_EQ(Version(1).state, ObservationState::kRetired);
  EXPECT_EQ(Version(1).sign_until, taken_over_ + kHour);
  EXPECT_EQ(Version(1).accept_until, taken_over_ + 24 * kHour);
  // And it rolls on from there.
  Use(old_, 3, 'c');
  EXPECT_EQ(Version(3).state, ObservationState::kActive);
}

TEST_F(ObservationTakeoverTest, TheFirstVersionOfTheManagersEndsKeyFiles) {
  for (ObservationLab* const lab : {&real_, &old_}) lab->Create(kEdge);
  Part();
  Use(real_, 7, 'a');
  TakeOver();
  EXPECT_EQ(Version(7).state, ObservationState::kActive);
  EXPECT_EQ(held_->first_version, 7U);
  EXPECT_TRUE(held_->activated);
  EXPECT_EQ(held_->files_sign_until, taken_over_ + kHour);
  EXPECT_EQ(held_->files_accept_until, taken_over_ + 24 * kHour);
}

TEST_F(ObservationTakeoverTest, AnHmacVersionsSecretIsLostAndItsNumberIsNotGivenTwice) {
  for (ObservationLab* const lab : {&real_, &old_}) lab->Sign(kEdge);
  Part();
  ASSERT_EQ(real_.Roll(kEdge), 2U);
  const std::string commitment = real_.Get(kEdge)->Find(2)->commitment;
  TakeOver();
  EXPECT_EQ(Version(2).state, ObservationState::kRevoked);
  EXPECT_EQ(Version(2).revoked, taken_over_);
  EXPECT_EQ(Version(2).commitment, commitment);
  EXPECT_EQ((*old_.ledger).snapshot()->FindKey(KeyKind::kObservation, kEdge, 2), nullptr);
  EXPECT_EQ(Version(1).state, ObservationState::kRetired) << "verifiers know that another one signed";
  const Done next = ObservationLab::Must(old_.keys.Prepare(old_.By(kOperator1), kEdge, 0));
  EXPECT_EQ(next.version, 3U);
}

TEST_F(ObservationTakeoverTest, WhatWasTaintedOrRevokedStaysSo) {
  for (ObservationLab* const lab : {&real_, &old_}) {
    lab->Create(kEdge);
    Use(*lab, 1, 'a');
    Use(*lab, 2, 'b');
    Use(*lab, 3, 'c');
  }
  Part();
  const UnixNanos since = real_.ledger.clock.NowNanos() - kHour;
  ObservationLab::Must(real_.keys.Taint(real_.By(kOperator1), kEdge, 1, since, false));
  ObservationLab::Must(real_.keys.Taint(real_.By(kOperator1), kEdge, 2, since, false));
  ObservationLab::Must(real_.keys.Revoke(real_.By(kOperator1), kEdge, 1, true));
  TakeOver();
  EXPECT_EQ(Version(1).state, ObservationState::kRevoked);
  EXPECT_EQ(Version(1).compromised_since, since);
  EXPECT_EQ(Version(2).state, ObservationState::kTainted);
  EXPECT_EQ(Version(2).compromised_since, since);
  EXPECT_EQ(Version(3).state, ObservationState::kActive);
}

TEST_F(ObservationTakeoverTest, WhatWaitsForApprovalWaitsAgain) {
  for (ObservationLab* const lab : {&real_, &old_}) {
    lab->Create(kEdge);
    Use(*lab, 1, 'a');
  }
  Part();
  Register(real_, 2, 'b');
  TakeOver();
  EXPECT_EQ(Version(2).state, ObservationState::kPending);
  EXPECT_EQ(Version(1).state, ObservationState::kActive);
  ObservationLab::Must(old_.keys.Approve(old_.By(kOperator1), kEdge, 2, ""));
}

TEST_F(ObservationTakeoverTest, RecordsOfOtherThingsChangeNothing) {
  for (ObservationLab* const lab : {&real_, &old_}) lab->Sign(kEdge);
  Part();
  // A release: it is recorded, and says nothing that has to be known again.
  ASSERT_TRUE(real_.keys.Fetch(real_.AsHolder(kSignerId), {kSignerId, false}, kEdge, 0).ok());
  auto missing = Missing();
  ASSERT_THAT(missing, SizeIs(1));
  EXPECT_EQ(missing[0].event, "observation_key_released");
  ChainRecord other;
  other.event = "router_key_created";
  other.source = "edge-z";
  missing.push_back(other);
  const auto before = old_.Get(kEdge);
  ASSERT_TRUE(TakeOver(missing).ok());
  EXPECT_EQ(old_.Get(kEdge)->versions, before->versions);
  EXPECT_EQ(old_.Get("edge-z"), nullptr);
}

TEST_F(ObservationTakeoverTest, WhatCannotBeReadStopsAllOfIt) {
  Part();
  real_.Create(kEdge);
  real_.Create("edge-b.bgpd");
  auto missing = Missing();
  missing[1].frame = "no frame";
  EXPECT_FALSE(TakeOver(missing).ok());
  EXPECT_EQ(old_.Get(kEdge), nullptr);
}

}  // namespace
}  // namespace virp::keymgr
