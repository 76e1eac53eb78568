#include "services/keymgr/domain/tcp_ao_keys.h"

#include <gtest/gtest.h>

#include "lib/base/error_info.h"
#include "services/keymgr/domain/ledger_batch.h"
#include "services/keymgr/domain/rollback.h"
#include "services/keymgr/domain/tcp_ao_takeover.h"
#include "services/keymgr/domain/test_custody.h"
#include "services/keymgr/domain/test_ledger.h"
#include "tests/testutil/status_matchers.h"

namespace virp::keymgr {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testutil::StatusIs;

constexpr std::string_view kAgentA = "spiffe://example.net/collector/edge-a";
constexpr std::string_view kAgentB = "spiffe://example.net/collector/core-1";
constexpr std::string_view kId = "edge-a/core-1";

TcpAoPair Pair(std::string id = std::string(kId), const char* a = "192.0.2.1", const char* b = "192.0.2.2") {
  TcpAoPair pair;
  pair.id = std::move(id);
  pair.sides[0] = {"edge-a", *IpAddress::Parse(a), std::string(kAgentA)};
  pair.sides[1] = {"core-1", *IpAddress::Parse(b), std::string(kAgentB)};
  pair.octets = 24;
  return pair;
}

class TcpAoKeysTest : public testing::Test {
 protected:
  TcpAoKeysTest() : lab_({TypeOf<TcpAoPairRecord>()}) {
    custodies_.Add(custody_);
    keys_ = std::make_unique<TcpAoKeys>(lab_.Start(), custodies_, lab_.clock, "spiffe://example.net/keymgr/keymgr-1");
  }

  static TcpAoKeys::Caller Agent(TcpAoEnd end) { return {std::string(end == TcpAoEnd::kA ? kAgentA : kAgentB), false}; }
  static TcpAoKeys::Caller Operator() { return {"spiffe://example.net/operator/noc-1", true}; }

  // Both ends do what their plans say, `times` times.
  void Obey(int times = 1, std::string_view id = kId) {
    for (int i = 0; i < times; ++i) {
      for (const TcpAoEnd end : {TcpAoEnd::kA, TcpAoEnd::kB}) {
        ASSERT_OK_AND_ASSIGN(const TcpAoPlan plan, keys_->Plan(Agent(end), id, end));
        TcpAoReport report;
        report.serial = plan.serial;
        report.asked_for = 3'600 * kSecond;
        for (const TcpAoTuple& key : plan.keys) {
          report.keys.push_back({key.ids.SendId(end), key.ids.RecvId(end), 1, 0});
          if (key.version == plan.preferred) report.sessions.push_back({key.ids.SendId(end), key.ids.RecvId(end)});
        }
        ASSERT_OK(keys_->TakeReport(Agent(end), "virp.keymgr.v1.TcpAoKeyService/Report", id, end, report));
      }
    }
  }
  TcpAoPhase Phase() { return keys_->Get(kId).value()->roll.phase; }
  std::vector<std::string> Events() {
    std::vector<std::string> out;
    for (const AuditRow& row : lab_.store.audit()) out.push_back(row.event);
    return out;
  }
  std::size_t Sealed() { return lab_->snapshot()->key_count(); }

  TestLedger lab_;
  MemoryCustody custody_;
  Custodies custodies_;
  std::unique_ptr<TcpAoKeys> keys_;
};

TEST_F(TcpAoKeysTest, AKeyIsMadeRolledAndDestroyed) {
  ASSERT_OK(keys_->Create(TestCall("create"), Pair(), 0));
  Obey(4);
  EXPECT_EQ(Phase(), TcpAoPhase::kOldRemoved);
  ASSERT_OK_AND_ASSIGN(const auto before, keys_->Fetch(Operator(), TestCall("f1"), kId, TcpAoEnd::kA));
  ASSERT_EQ(before.keys.size(), 1U);
  EXPECT_EQ(before.serial, keys_->Plan(Operator(), kId, TcpAoEnd::kA)->serial);
  EXPECT_EQ(before.keys[0].master_key.size(), 48U) << "24 octets in hex";

  ASSERT_OK(keys_->Roll(TestCall("roll"), kId, 0));
  EXPECT_EQ(Sealed(), 2U);
  ASSERT_OK_AND_ASSIGN(const auto during,
                       keys_->Fetch(Agent(TcpAoEnd::kB), TestCall("f2", std::string(kAgentB)), kId, TcpAoEnd::kB));
  ASSERT_EQ(during.keys.size(), 2U);
  EXPECT_EQ(during.keys[0].master_key.view(), before.keys[0].master_key.view());
  EXPECT_NE(during.keys[1].master_key.view(), before.keys[0].master_key.view());
  EXPECT_NE(during.keys[1].tuple.ids, before.keys[0].tuple.ids);
  Obey(4);
  EXPECT_EQ(Phase(), TcpAoPhase::kOldRemoved);
  EXPECT_EQ(Sealed(), 1U);
  EXPECT_EQ(custody_.count(), 1U) << "the old key is destroyed";
  ASSERT_OK_AND_ASSIGN(const auto pair, keys_->Get(kId));
  EXPECT_EQ(pair->resting.size(), 2U);
  EXPECT_EQ(pair->resting[0].until, lab_.clock.NowNanos() + pair->pair.quarantine);

  ASSERT_OK(keys_->Delete(TestCall("delete"), kId));
  EXPECT_EQ(custody_.count(), 0U);
  EXPECT_EQ(Sealed(), 0U);
  EXPECT_THAT(keys_->Get(kId).status(), StatusIs(StatusCode::kNotFound));
  EXPECT_TRUE(keys_->List("", 10).empty());
  EXPECT_THAT(keys_->Create(TestCall("again"), Pair(), 0).status(), StatusIs(StatusCode::kAlreadyExists));
  EXPECT_EQ(custody_.count(), 0U) << "a key that came to nothing is destroyed";
  EXPECT_THAT(Events(),
              ElementsAre("tcp_ao_pair_created", "tcp_ao_roll_moved", "tcp_ao_roll_moved", "tcp_ao_roll_moved",
                          "tcp_ao_roll_moved", "tcp_ao_keys_released", "tcp_ao_roll_started", "tcp_ao_keys_released",
                          "tcp_ao_roll_moved", "tcp_ao_roll_moved", "tcp_ao_roll_moved", "tcp_ao_roll_moved",
                          "tcp_ao_pair_deleted"));
}

TEST_F(TcpAoKeysTest, IdentifiersRestOverADeletedPair) {
  ASSERT_OK(keys_->Create(TestCall("create"), Pair(), 0));
  Obey(4);
  ASSERT_OK(keys_->Roll(TestCall("roll"), kId, 0));
  Obey(4);
  const TcpAoIds second = keys_->Get(kId).value()->keys[0].tuple.ids;
  ASSERT_OK(keys_->Delete(TestCall("delete"), kId));
  ASSERT_OK_AND_ASSIGN(const auto next,
                       keys_->Create(TestCall("next"), Pair("edge-a/core-1b", "192.0.2.2", "192.0.2.1"), 0));
  EXPECT_EQ(next->resting.size(), 4U) << "of both keys";
  EXPECT_EQ(next->keys[0].tuple.ids.from_a, second.from_b + 1) << "in turn";
  // Elsewhere they mean nothing.
  ASSERT_OK_AND_ASSIGN(const auto other, keys_->Create(TestCall("other"), Pair("c", "192.0.2.5", "192.0.2.6"), 0));
  EXPECT_TRUE(other->resting.empty());
}

TEST_F(TcpAoKeysTest, WhatRestsStandsOnceHoweverManyPairsCameBefore) {
  for (int i = 0; i < 20; ++i) {
    const std::string id = "pair-" + std::to_string(i);
    ASSERT_OK_AND_ASSIGN(const auto made, keys_->Create(TestCall("create-" + id), Pair(id), 0));
    EXPECT_EQ(made->resting.size(), 2U * static_cast<unsigned>(i)) << "each key before has two";
    Obey(4, id);
    ASSERT_OK(keys_->Delete(TestCall("delete-" + id), id));
  }
  lab_.clock.Advance(std::chrono::hours(24 * 31));
  ASSERT_OK_AND_ASSIGN(const auto later, keys_->Create(TestCall("later"), Pair("later"), 0));
  EXPECT_TRUE(later->resting.empty()) << "what has rested is free again";
}

TEST_F(TcpAoKeysTest, ARequestThatComesTwiceMakesOneKey) {
  ASSERT_OK_AND_ASSIGN(const auto first, keys_->Create(TestCall("create"), Pair(), 0));
  ASSERT_OK_AND_ASSIGN(const auto second, keys_->Create(TestCall("create"), Pair(), 0));
  EXPECT_EQ(first->keys, second->keys);
  EXPECT_EQ(custody_.count(), 1U);
  Obey(4);
  ASSERT_OK(keys_->Roll(TestCall("roll"), kId, 0));
  ASSERT_OK(keys_->Roll(TestCall("roll"), kId, 0));
  EXPECT_EQ(custody_.count(), 2U);
  EXPECT_THAT(keys_->Roll(TestCall("roll-2"), kId, 0).status(), StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_EQ(custody_.count(), 2U);
}

TEST_F(TcpAoKeysTest, WhatTheStoreDoesNotTakeIsNotThere) {
  lab_.store.FailNextCommit(Aborted("no"));
  EXPECT_FALSE(keys_->Create(TestCall("create"), Pair(), 0).ok());
  EXPECT_EQ(custody_.count(), 0U);
  EXPECT_THAT(keys_->Get(kId).status(), StatusIs(StatusCode::kNotFound));
}

TEST_F(TcpAoKeysTest, AddressesBelongToOnePair) {
  ASSERT_OK(keys_->Create(TestCall("1"), Pair(), 0));
  EXPECT_THAT(keys_->Create(TestCall("2"), Pair("other"), 0).status(), StatusIs(StatusCode::kAlreadyExists));
  EXPECT_THAT(keys_->Create(TestCall("3"), Pair("other", "192.0.2.2", "192.0.2.1"), 0).status(),
              StatusIs(StatusCode::kAlreadyExists, HasSubstr("overlap")));
  EXPECT_OK(keys_->Create(TestCall("4"), Pair("other", "192.0.2.1", "192.0.2.3"), 0).status());
  EXPECT_THAT(keys_->Create(TestCall("5"), Pair("edge-a_core-1", "192.0.2.1", "192.0.2.4"), 0).status(),
              StatusIs(StatusCode::kAlreadyExists, HasSubstr("key chain edge-a_core-1")));
  EXPECT_EQ(keys_->List("", 10).size(), 2U);
  EXPECT_EQ(keys_->List("", 1).size(), 1U);
  EXPECT_EQ(keys_->List(kId, 10).size(), 1U);
}

TEST_F(TcpAoKeysTest, AnAgentHasItsOwnEndOnly) {
  ASSERT_OK(keys_->Create(TestCall("create"), Pair(), 0));
  const TcpAoKeys::Caller stranger{"spiffe://example.net/collector/other", false}, nobody{"", false};
  for (const TcpAoKeys::Caller& caller : {Agent(TcpAoEnd::kB), stranger, nobody}) {
    EXPECT_THAT(keys_->Plan(caller, kId, TcpAoEnd::kA).status(), StatusIs(StatusCode::kPermissionDenied));
    EXPECT_THAT(keys_->Fetch(caller, TestCall("f"), kId, TcpAoEnd::kA).status(),
                StatusIs(StatusCode::kPermissionDenied));
    EXPECT_THAT(keys_->TakeReport(caller, "m", kId, TcpAoEnd::kA, {}), StatusIs(StatusCode::kPermissionDenied));
    for (const bool secrets : {false, true}) {
      EXPECT_THAT(keys_->ExportChain(caller, TestCall("e"), kId, TcpAoEnd::kA, TcpAoFormat::kBird, secrets).status(),
                  StatusIs(StatusCode::kPermissionDenied));
    }
  }
  EXPECT_THAT(keys_->Plan(stranger, "nowhere", TcpAoEnd::kA).status(), StatusIs(StatusCode::kPermissionDenied));
  EXPECT_THAT(keys_->Plan(Operator(), "nowhere", TcpAoEnd::kA).status(), StatusIs(StatusCode::kNotFound));
  EXPECT_EQ(Events().size(), 1U) << "nothing was let out";
}

TEST_F(TcpAoKeysTest, ARepeatedFetchLetsOutWhatWasRecordedOnly) {
  ASSERT_OK(keys_->Create(TestCall("create"), Pair(), 0));
  ASSERT_OK(keys_->Fetch(Operator(), TestCall("f"), kId, TcpAoEnd::kA));
  ASSERT_OK(keys_->Fetch(Operator(), TestCall("f"), kId, TcpAoEnd::kA));
  EXPECT_EQ(Events().size(), 2U);
  Obey();
  EXPECT_THAT(keys_->Fetch(Operator(), TestCall("f"), kId, TcpAoEnd::kA).status(), StatusIs(StatusCode::kAborted));
}

TEST_F(TcpAoKeysTest, NoRecordNoKey) {
  ASSERT_OK(keys_->Create(TestCall("create"), Pair(), 0));
  lab_->Seal(SealReason::kOperator);
  EXPECT_THAT(keys_->Fetch(Operator(), TestCall("f"), kId, TcpAoEnd::kA).status(),
              StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_THAT(keys_->ExportChain(Operator(), TestCall("e"), kId, TcpAoEnd::kA, TcpAoFormat::kBird, true).status(),
              StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_OK(keys_->ExportChain(Operator(), TestCall("e"), kId, TcpAoEnd::kA, TcpAoFormat::kBird, false).status());
  EXPECT_OK(keys_->Plan(Operator(), kId, TcpAoEnd::kA).status());
}

TEST_F(TcpAoKeysTest, TheClockMovesOnWhatWaitsForIt) {
  ASSERT_OK(keys_->Create(TestCall("create"), Pair(), 0));
  Obey(4);
  ASSERT_OK(keys_->Roll(TestCall("roll"), kId, lab_.clock.NowNanos() + 100 * kSecond));
  Obey();
  EXPECT_EQ(Phase(), TcpAoPhase::kInstalled);
  EXPECT_OK(keys_->Tick());
  EXPECT_EQ(Phase(), TcpAoPhase::kInstalled);
  lab_.clock.Advance(std::chrono::seconds(100));
  EXPECT_OK(keys_->Tick());
  EXPECT_EQ(Phase(), TcpAoPhase::kRnextSet);
  const std::size_t events = Events().size();
  lab_.clock.Advance(std::chrono::hours(24));
  EXPECT_OK(keys_->Tick());
  EXPECT_OK(keys_->Tick());
  EXPECT_EQ(Events().size(), events + 1) << "late once";
  EXPECT_EQ(Events().back(), "tcp_ao_roll_overdue");
  Obey();
  EXPECT_EQ(Phase(), TcpAoPhase::kConfirming);
}

TEST_F(TcpAoKeysTest, ForcesAndAbortsAreRefusedByPhase) {
  ASSERT_OK(keys_->Create(TestCall("create"), Pair(), 0));
  Obey(4);
  ASSERT_OK(keys_->Roll(TestCall("roll"), kId, 0));
  const auto refused = keys_->Force(TestCall("f1"), kId, TcpAoForce::kRemoval).status();
  EXPECT_EQ(GetReason(refused), "ROLLOVER") << refused;
  ASSERT_OK(keys_->AbortRoll(TestCall("a1"), kId));
  Obey();
  EXPECT_EQ(Phase(), TcpAoPhase::kAborted);
  EXPECT_EQ(custody_.count(), 1U);
  ASSERT_OK_AND_ASSIGN(const auto pair, keys_->Get(kId));
  EXPECT_EQ(pair->keys.size(), 1U);
  EXPECT_EQ(pair->keys[0].tuple.version, 1U);

  ASSERT_OK(keys_->Roll(TestCall("roll-2"), kId, 0));
  EXPECT_EQ(keys_->Get(kId).value()->roll.new_key.version, 3U) << "no version means two keys";
  EXPECT_EQ(keys_->Get(kId).value()->roll.old_key->version, 1U);
  Obey();
  EXPECT_EQ(GetReason(keys_->AbortRoll(TestCall("a2"), kId).status()), "ROLLOVER");
  EXPECT_EQ(GetReason(keys_->Delete(TestCall("d1"), kId)), "ROLLOVER");
  ASSERT_OK(keys_->Force(TestCall("f2"), kId, TcpAoForce::kCurrent));
  EXPECT_TRUE(keys_->Plan(Operator(), kId, TcpAoEnd::kA)->set_current);
  ASSERT_OK(keys_->Force(TestCall("f3"), kId, TcpAoForce::kRemoval));
  EXPECT_EQ(Phase(), TcpAoPhase::kCurrent);
  Obey();
  EXPECT_EQ(Phase(), TcpAoPhase::kOldRemoved);
}

TEST_F(TcpAoKeysTest, ExportsFollowThePlan) {
  ASSERT_OK(keys_->Create(TestCall("create"), Pair(), 0));
  Obey(4);
  ASSERT_OK(keys_->Roll(TestCall("roll"), kId, 0));
  const auto text = [&](TcpAoFormat format, bool secrets) {
    static int calls = 0;
    const auto made =
        keys_->ExportChain(Operator(), TestCall("x" + std::to_string(++calls)), kId, TcpAoEnd::kA, format, secrets);
    return made.ok() ? std::string(made->view()) : std::string(Message(made.status()));
  };
  const auto fetched = keys_->Fetch(Operator(), TestCall("f"), kId, TcpAoEnd::kA);
  const std::string newest(fetched->keys[1].master_key.view());
  EXPECT_THAT(text(TcpAoFormat::kBird, true), HasSubstr(newest));
  EXPECT_THAT(text(TcpAoFormat::kBird, false), Not(HasSubstr(newest)));
  EXPECT_THAT(text(TcpAoFormat::kJunos, true), HasSubstr("no time")) << "the clock would switch too soon";
  Obey();
  EXPECT_THAT(text(TcpAoFormat::kJunos, true), HasSubstr(newest));
  Obey(3);
  EXPECT_EQ(Phase(), TcpAoPhase::kOldRemoved);
  EXPECT_THAT(text(TcpAoFormat::kIosXe, true), HasSubstr(" no key 1\n key 2\n"));
}

TEST_F(TcpAoKeysTest, RecordsReadBack) {
  ASSERT_OK(keys_->Create(TestCall("create"), Pair(), 0));
  Obey(4);
  ASSERT_OK(keys_->Roll(TestCall("roll"), kId, lab_.clock.NowNanos() + kSecond));
  Obey(1);
  ASSERT_OK_AND_ASSIGN(const auto pair, keys_->Get(kId));
  const Row row = pair->ToRow();
  ASSERT_OK_AND_ASSIGN(const auto read, TcpAoPairRecord::FromRow(row));
  const auto& back = dynamic_cast<const TcpAoPairRecord&>(*read);
  EXPECT_EQ(back.ToRow().body, row.body);
  EXPECT_EQ(back.pair, pair->pair);
  EXPECT_EQ(back.keys, pair->keys);
  TcpAoRoll roll = pair->roll;
  roll.views = {};
  EXPECT_EQ(back.roll, roll);
  for (std::size_t size = 0; size < row.body.size(); ++size) {
    Row broken = row;
    broken.body.resize(size);
    EXPECT_FALSE(TcpAoPairRecord::FromRow(broken).ok()) << size;
  }
  for (const char* const name : {"phase", "serial", "device", "address", "version", "algorithm", "keys", "resting"}) {
    Row broken = row;
    const auto at = broken.body.find('"' + std::string(name) + '"');
    ASSERT_NE(at, std::string::npos) << name;
    broken.body[at + 1] = 'X';
    EXPECT_FALSE(TcpAoPairRecord::FromRow(broken).ok()) << name;
  }
}

// ---- after a rollback ----

class TcpAoTakeOverTest : public TcpAoKeysTest {
 protected:
  void BackUp() {
    backup_ = lab_->snapshot();
    records_ = lab_.store.audit().size();
  }
  // What a manager that was restored from the backup makes of what the chain has since.
  void Restore() {
    std::vector<ChainRecord> missing;
    const auto audit = lab_.store.audit();
    for (std::size_t i = records_; i < audit.size(); ++i) {
      auto record = ReadChainRecord(audit[i].frame, [](const frame::Frame&) { return true; });
      ASSERT_OK(record);
      missing.push_back(*std::move(record));
    }
    BatchRun run(*backup_);
    const auto edit = [&](const Snapshot& now, Changes& changes) -> absl::Status {
      RETURN_IF_ERROR(TakeOverTcpAoKeys(missing, now, changes));
      changes.Audit({.event = "rollback_accepted", .source = {}, .keys = {}, .fields = {}});
      return absl::OkStatus();
    };
    ASSERT_OK(run.Run(edit, lab_.clock.NowNanos(), [](const AuditRecord&) { return absl::OkStatus(); }));
    restored_ = std::make_shared<Snapshot>(run.state());
    ASSERT_OK(TcpAoPairRecord::FromRow(Restored().ToRow()));
  }
  const TcpAoPairRecord& Restored() const { return *restored_->Find<TcpAoPairRecord>(kId); }
  std::vector<std::uint32_t> KeysLeft() const {
    std::vector<std::uint32_t> out;
    restored_->ForEachKey([&](const Snapshot::KeyPtr& key) {
      if (key->identity.kind == KeyKind::kTcpAo && key->identity.id == kId) out.push_back(key->identity.version);
      return true;
    });
    return out;
  }
  std::shared_ptr<const Snapshot> backup_, restored_;
  std::size_t records_ = 0;
};

TEST_F(TcpAoTakeOverTest, ARemovedKeyDoesNotComeBack) {
  ASSERT_OK(keys_->Create(TestCall("create"), Pair(), 0));
  Obey(4);
  ASSERT_OK(keys_->Roll(TestCall("roll"), kId, 0));
  BackUp();
  Obey(4);
  ASSERT_EQ(Phase(), TcpAoPhase::kOldRemoved);
  Restore();
  EXPECT_EQ(Restored().roll.phase, TcpAoPhase::kOldRemoved);
  EXPECT_EQ(Restored().roll.serial, keys_->Get(kId).value()->roll.serial);
  EXPECT_THAT(KeysLeft(), ElementsAre(2));
  EXPECT_EQ(Restored().keys.size(), 1U);
  EXPECT_EQ(Restored().resting.size(), 2U);

  // Rolled once more: that key is the ends' alone.
  ASSERT_OK(keys_->Roll(TestCall("roll-2"), kId, 0));
  Restore();
  EXPECT_EQ(Restored().roll.phase, TcpAoPhase::kAborted);
  EXPECT_EQ(Restored().roll.new_key.version, 3U) << "the number is not given again";
  EXPECT_THAT(KeysLeft(), ElementsAre(2));
  Obey(4);
  Restore();
  EXPECT_EQ(Restored().roll.phase, TcpAoPhase::kOldRemoved);
  EXPECT_GE(Restored().roll.serial, keys_->Get(kId).value()->roll.serial);
  EXPECT_THAT(KeysLeft(), ElementsAre());
}

TEST_F(TcpAoTakeOverTest, ADeletedPairDoesNotComeBack) {
  ASSERT_OK(keys_->Create(TestCall("create"), Pair(), 0));
  Obey(4);
  BackUp();
  ASSERT_OK(keys_->Delete(TestCall("delete"), kId));
  Restore();
  EXPECT_TRUE(Restored().deleted);
  EXPECT_THAT(KeysLeft(), ElementsAre());
}

}  // namespace
}  // namespace virp::keymgr
