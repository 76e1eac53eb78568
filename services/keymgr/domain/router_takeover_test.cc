// A database that was restored from a backup, and what it takes over from the chain.
#include "services/keymgr/domain/router_takeover.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/rpki/key_package.h"
#include "services/keymgr/domain/ledger_batch.h"
#include "services/keymgr/domain/rollback_guard.h"
#include "services/keymgr/domain/router_fixture.h"
#include "tests/testutil/status_matchers.h"

namespace virp::keymgr {
namespace {

using std::chrono::hours;
using testing::Each;
using testing::IsEmpty;
using testing::Not;
using State = RouterKeyState;

constexpr char kSlot[] = "edge-a/64496";

bool IsOwn(const frame::Frame& frame) {
  return frame::VerifyTag(frame, *TestLedgerOptions().signer()->key);
}

class RouterTakeOverTest : public testing::Test {
 protected:
  RouterKeys& keys() { return *fixture_.keys; }
  absl::Status Say(std::uint32_t version, RouterEvent event, const crypto::P256PrivateKey& signer,
                   const crypto::P256PrivateKey& about) {
    return fixture_.Report(kSlot, version, event, signer, about.public_key().spki()).status();
  }
  void Bring(std::uint32_t version, const crypto::P256PrivateKey& key) {
    ASSERT_OK(fixture_.Enrol(key));
    ASSERT_OK(fixture_.PublishAndAdvance());
    ASSERT_OK(keys().Activate(fixture_.NewCall(), kSlot, version, true, true));
    ASSERT_OK(Say(version, RouterEvent::kSigning, key, key));
  }
  void BackUp() {
    backup_ = fixture_.ledger->snapshot();
    records_ = fixture_.ledger.store.audit().size();
  }
  // The state of a manager that was restored from the backup, when the loss is accepted.
  void Restore() {
    std::vector<ChainRecord> missing;
    const auto audit = fixture_.ledger.store.audit();
    for (std::size_t i = records_; i < audit.size(); ++i) {
      auto record = ReadChainRecord(audit[i].frame, IsOwn);
      ASSERT_OK(record);
      missing.push_back(*std::move(record));
    }
    ASSERT_THAT(missing, Not(IsEmpty()));
    BatchRun run(*backup_);
    const auto edit = [&](const Snapshot& now, Changes& changes) -> absl::Status {
      RETURN_IF_ERROR(TakeOverKeys(missing, now, changes));
      RETURN_IF_ERROR(TakeOverRouterKeys(missing, now, changes));
      changes.Audit({.event = "rollback_accepted", .source = {}, .keys = {}, .fields = {}});
      return absl::OkStatus();
    };
    ASSERT_OK(run.Run(edit, fixture_.ledger.clock.NowNanos(), [](const AuditRecord&) { return absl::OkStatus(); }));
    restored_ = std::make_shared<Snapshot>(run.state());
  }
  std::vector<CertificateState> StatesOf(const crypto::P256PrivateKey& key) const {
    std::vector<CertificateState> out;
    for (const auto& one : RpkiAuthority::CertificatesOf(*restored_, key.public_key().spki(), 64496))
      out.push_back(one->state);
    return out;
  }
  const RollKey& KeyOf(std::uint32_t version) const {
    return *restored_->Find<RouterSlotRecord>(kSlot)->roll.Find(version);
  }

  RouterFixture fixture_;
  const crypto::P256PrivateKey old_ = crypto::P256PrivateKey::Generate(), next_ = crypto::P256PrivateKey::Generate();
  std::shared_ptr<const Snapshot> backup_, restored_;
  std::size_t records_ = 0;
};

TEST_F(RouterTakeOverTest, WhatWasTaintedOrRevokedStaysSo) {
  ASSERT_OK(keys().Register(fixture_.NewCall(), RouterFixture::Spec()));
  Bring(1, old_);
  ASSERT_OK(fixture_.Enrol(next_));
  ASSERT_OK(fixture_.PublishAndAdvance());
  BackUp();
  ASSERT_OK(keys().Taint(fixture_.NewCall(), kSlot, 1, Continuity::kKeepSigning));
  Restore();
  EXPECT_TRUE(KeyOf(1).compromised);
  EXPECT_EQ(KeyOf(1).state, State::kActive);
  ASSERT_OK(keys().Activate(fixture_.NewCall(), kSlot, 2, true, true));
  ASSERT_OK(Say(2, RouterEvent::kSigning, next_, next_));
  ASSERT_OK(keys().Revoke(fixture_.NewCall(), kSlot, 1, std::nullopt));
  Restore();
  EXPECT_EQ(KeyOf(1).state, State::kRevoked);
  EXPECT_EQ(KeyOf(2).state, State::kActive);
  EXPECT_THAT(StatesOf(old_), Each(CertificateState::kRevoking)) << "on the CRL of the next publication";
  EXPECT_THAT(StatesOf(next_), Each(CertificateState::kPublished));
  ASSERT_OK(fixture_.PublishAndAdvance());
  ASSERT_OK(fixture_.Wait(hours(25)));
  ASSERT_OK(fixture_.Wait(hours(24 * 8)));
  Restore();
  EXPECT_EQ(KeyOf(1).state, State::kDestroyed);
  EXPECT_THAT(StatesOf(old_), Each(CertificateState::kRevoking));
}

TEST_F(RouterTakeOverTest, NoNumberIsGivenTwiceAndNoCertificateOfATaintedKeyComesOut) {
  ASSERT_OK(keys().Register(fixture_.NewCall(), RouterFixture::Spec()));
  ASSERT_OK(fixture_.Enrol(old_));
  BackUp();
  ASSERT_OK(keys().Taint(fixture_.NewCall(), kSlot, 1, std::nullopt));
  ASSERT_OK(fixture_.Enrol(next_));
  Restore();
  EXPECT_EQ(KeyOf(1).state, State::kWithdrawn);
  EXPECT_THAT(StatesOf(old_), Each(CertificateState::kRevoking));
  EXPECT_EQ(restored_->Find<RouterSlotRecord>(kSlot)->last_version, 2U);
  ASSERT_OK(keys().Revoke(fixture_.NewCall(), kSlot, 2, std::nullopt));
  ASSERT_OK(keys().Decommission(fixture_.NewCall(), "edge-a"));
  Restore();
  EXPECT_TRUE(restored_->Find<RouterRecord>("edge-a")->decommissioned);
}

TEST_F(RouterTakeOverTest, WhatWasDestroyedOrLetOutStaysSo) {
  RouterSpec spec = RouterFixture::Spec("edge-a", KeyMethod::kOperatorDriven);
  ASSERT_OK(keys().Register(fixture_.NewCall(), spec));
  ASSERT_OK(keys().Create(fixture_.NewCall(), "edge-a", 64496, ""));
  ASSERT_OK(keys().Issue(fixture_.NewCall(), kSlot, 1));
  ASSERT_OK(fixture_.PublishAndAdvance());
  const KeyIdentity identity{KeyKind::kRouter, kSlot, 1, Algorithm::kEcdsaP256};
  BackUp();
  ASSERT_OK(keys().Package(fixture_.NewCall(), RouterFixture::Operator(), kSlot, 1, ""));
  Restore();
  EXPECT_TRUE(restored_->FindKey(identity)->locked);
  EXPECT_TRUE(restored_->Find<RouterSlotRecord>(kSlot)->Find(1)->released);

  ASSERT_OK(keys().Revoke(fixture_.NewCall(), kSlot, 1, std::nullopt));
  ASSERT_OK(fixture_.PublishAndAdvance());
  BackUp();
  ASSERT_OK(fixture_.Wait(hours(25)));
  ASSERT_OK(fixture_.Wait(hours(24 * 8)));
  ASSERT_EQ(fixture_.StateOf(kSlot, 1), State::kDestroyed);
  ASSERT_NE(backup_->FindKey(identity), nullptr);
  Restore();
  EXPECT_EQ(restored_->FindKey(identity), nullptr);
  EXPECT_EQ(KeyOf(1).state, State::kDestroyed);
}

TEST_F(RouterTakeOverTest, AReleaseFromEscrowIsTakenOnce) {
  ASSERT_OK(keys().Register(fixture_.NewCall(), RouterFixture::Spec()));
  const crypto::Secret scalar = crypto::Secret(std::string_view(std::string(32, '\x42')));
  const auto key = *crypto::P256PrivateKey::FromScalar(scalar.view());
  ASSERT_OK(fixture_.Enrol(key));
  const RouterCaller agent = RouterFixture::Agent();
  ASSERT_OK(keys().Deposit(fixture_.NewCall(agent.identity), agent, kSlot, 1,
                           *rpki::EncodePkcs8(scalar.view(), key.public_key().point())));
  const std::string replacement = RouterFixture::Agent("edge-a2").identity;
  ASSERT_OK_AND_ASSIGN(const auto asked, keys().RequestRelease(fixture_.NewCall(), kSlot, 1, replacement, ""));
  ASSERT_OK(keys().ApproveRelease(fixture_.NewCall(kTestApprover), kSlot, 1, asked->Digest()));
  BackUp();
  ASSERT_OK(keys().TakeRelease(fixture_.NewCall(), kSlot, 1));
  Restore();
  EXPECT_EQ(restored_->Find<EscrowReleaseRecord>(EscrowReleaseRecord::IdOf(kSlot, 1))->state, EscrowState::kReleased);
  EXPECT_EQ(restored_->Find<RouterRecord>("edge-a")->spec.agent, replacement);
}

TEST_F(RouterTakeOverTest, AnAccountIsWhatItWasMadeLast) {
  RouterSpec spec = RouterFixture::Spec();
  spec.asns = {64496, 64497};
  spec.material = {{MaterialKind::kTlsKey, std::string(32, 'm')}};
  ASSERT_OK(keys().Register(fixture_.NewCall(), spec));
  BackUp();
  RouterSpec changed = spec;
  changed.agent = RouterFixture::Agent("edge-a2").identity;
  changed.asns = {64496};
  changed.policy = ExportPolicy::kNever;
  changed.method = KeyMethod::kEither;
  ASSERT_OK(keys().Update(fixture_.NewCall(), changed, 0));
  Restore();
  const RouterSpec restored = restored_->Find<RouterRecord>("edge-a")->spec;
  EXPECT_EQ(restored.agent, changed.agent) << "not the one that was stolen";
  EXPECT_EQ(restored.asns, changed.asns);
  EXPECT_EQ(restored.policy, changed.policy);
  EXPECT_EQ(restored.method, changed.method);
  EXPECT_THAT(restored.material, IsEmpty()) << "nobody knows what was on file: the next request is approved";
  EXPECT_OK(CheckRouter(restored));
}

TEST_F(RouterTakeOverTest, ATransferKeyWhoseSuccessorIsLostIsReplaced) {
  ASSERT_OK(keys().Register(fixture_.NewCall(), RouterFixture::Spec("edge-a", KeyMethod::kOperatorDriven)));
  ASSERT_OK(keys().Create(fixture_.NewCall(), "edge-a", 64496, ""));
  ASSERT_OK(keys().Issue(fixture_.NewCall(), kSlot, 1));
  BackUp();
  ASSERT_OK(keys().Package(fixture_.NewCall(), RouterFixture::Operator(), kSlot, 1, ""));
  Restore();
  const auto transfer = restored_->Find<TransferKeyRecord>("transfer");
  EXPECT_EQ(transfer->key_version, 1U) << "and it is not given again";
  EXPECT_EQ(transfer->certificate, "");
  const Row row = transfer->ToRow();
  EXPECT_EQ(row.due, std::nullopt);
  EXPECT_OK(TransferKeyRecord::FromRow(row));
  EXPECT_FALSE(fixture_.authority->IsOurs(transfer->certificate)) << "the next package makes another";
}

}  // namespace
}  // namespace virp::keymgr
