#include "services/keymgr/domain/ledger_engine.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/frame/payload.h"
#include "services/keymgr/domain/ledger_batch.h"
#include "services/keymgr/domain/test_ledger.h"

namespace virp::keymgr {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr UnixNanos kDay = 86'400'000'000'000;

// The kind of record that a part would have.
struct Thing final : Record {
  static constexpr std::string_view kKind = "thing";
  Thing(std::string i, std::uint64_t v) : id(std::move(i)), value(v) {}
  std::string id;
  std::uint64_t value = 0;

  Row ToRow() const override {
    Row row;
    row.kind = kKind;
    row.id = id;
    row.state = value == 0 ? "EMPTY" : "FULL";
    row.due = value;
    row.body = frame::JsonWriter().BeginObject().Field("value", value).EndObject().Take();
    return row;
  }
  static absl::StatusOr<std::shared_ptr<Record>> FromRow(const Row& row) {
    frame::PayloadReader reader;
    ASSIGN_OR_RETURN(const frame::Value body, reader.Read(row.body));
    const auto value = body["value"].AsUnsigned();
    if (!value) return InvalidArgument("no value");
    return std::make_shared<Thing>(row.id, *value);
  }
};

Edit PutThing(std::string id, std::uint64_t value, std::string answer = {}) {
  return [=](const Snapshot&, Changes& changes) {
    changes.Put(std::make_shared<Thing>(id, value));
    changes.Audit({.event = "thing_put", .source = {}, .keys = {}, .fields = fmt::format(R"({{"value":{}}})", value)});
    changes.Answer(answer);
    return absl::OkStatus();
  };
}

SealedKey Key(std::string id, std::uint32_t version = 1) {
  SealedKey key;
  key.identity = {KeyKind::kRouter, std::move(id), version, Algorithm::kEcdsaP256};
  key.policy = ExportPolicy::kOnce;
  key.custody = "software";
  key.public_half = "point";
  key.blob = "envelope";
  return key;
}

class LedgerEngineTest : public testing::Test {
 protected:
  TestLedger test_{{TypeOf<Thing>()}};
};

TEST_F(LedgerEngineTest, AChangeIsRecordedSignedAndSeen) {
  LedgerEngine& ledger = test_.Start();
  const auto receipt = ledger.Commit(TestCall("r1"), PutThing("a", 7));
  ASSERT_TRUE(receipt.ok()) << receipt.status();
  EXPECT_EQ(receipt->record, 1U);
  EXPECT_FALSE(receipt->replayed);
  const auto snapshot = ledger.snapshot();
  const auto thing = snapshot->Find<Thing>("a");
  ASSERT_NE(thing, nullptr);
  EXPECT_EQ(thing->value, 7U);
  EXPECT_EQ(thing->created, test_.clock.NowNanos());
  EXPECT_EQ(thing->revision, 1U);

  const auto audit = test_.store.audit();
  ASSERT_EQ(audit.size(), 1U);
  const auto frame = frame::Decode(audit[0].frame, frame::Spelling::kV2);
  ASSERT_TRUE(frame.ok());
  EXPECT_TRUE(frame::VerifyTag(*frame, *TestLedgerOptions().signer()->key));
  EXPECT_EQ(frame->header.type, frame::Type::kKeyEvent);
  EXPECT_EQ(frame->header.sequence, 1U);
  EXPECT_EQ(frame->header.source_id, frame::SourceIdOf("keymgr-1"));
  EXPECT_EQ(frame->payload,
            R"({"domain":"virp","event":"thing_put","source":"keymgr-1","value":7,"record":1,)"
            R"("method":"virp.keymgr.v1.TestService/Change","by":"spiffe://example.net/operator/noc-1",)"
            R"("reason":"a test","request_id":"r1"})");
}

TEST_F(LedgerEngineTest, NumbersGoOnWithoutHolesWhateverFails) {
  LedgerEngine& ledger = test_.Start();
  ASSERT_TRUE(ledger.Commit(TestCall(), PutThing("a", 1)).ok());
  const auto refused = ledger.Commit(TestCall("r2"), [](const Snapshot&, Changes& changes) -> absl::Status {
    changes.Put(std::make_shared<Thing>("b", 1));
    changes.Audit({.event = "thing_put", .source = {}, .keys = {}, .fields = {}});
    return FailedPrecondition("no");
  });
  EXPECT_EQ(Message(refused.status()), "no");
  EXPECT_EQ(ledger.snapshot()->Find<Thing>("b"), nullptr);
  test_.store.FailNextCommit(ResourceExhausted("the disk is full"));
  EXPECT_EQ(Message(ledger.Commit(TestCall("r3"), PutThing("c", 1)).status()), "the disk is full");
  EXPECT_EQ(ledger.snapshot()->Find<Thing>("c"), nullptr);
  const auto again = ledger.Commit(TestCall("r3"), PutThing("c", 1));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_FALSE(again->replayed) << "what failed was not answered";
  EXPECT_EQ(again->record, 2U);
  const auto audit = test_.store.audit();
  ASSERT_EQ(audit.size(), 2U);
  EXPECT_EQ(audit[1].sequence, 2U);
}

TEST_F(LedgerEngineTest, WhatTheStoreRefusesOfOneDoesNotHarmTheOthers) {
  LedgerEngine& ledger = test_.Start();
  test_.store.RefuseRow("poison", InvalidArgument("the store does not keep this"));
  std::vector<std::future<absl::StatusOr<Receipt>>> pending;
  // The first one waits until the others are in the queue, so that they share a commit.
  std::promise<void> all;
  const std::shared_future<void> queued = all.get_future().share();
  pending.push_back(ledger.Submit(TestCall("first"), [queued](const Snapshot& now, Changes& changes) {
    queued.wait();
    return PutThing("first", 1)(now, changes);
  }));
  for (const std::string id : {"a", "poison", "b"}) pending.push_back(ledger.Submit(TestCall(id), PutThing(id, 1)));
  all.set_value();
  std::vector<absl::Status> answers;
  for (auto& one : pending) answers.push_back(one.get().status());
  EXPECT_TRUE(answers[0].ok() && answers[1].ok() && answers[3].ok());
  EXPECT_EQ(Message(answers[2]), "the store does not keep this");
  EXPECT_EQ(ledger.snapshot()->Find<Thing>("poison"), nullptr);
  EXPECT_NE(ledger.snapshot()->Find<Thing>("b"), nullptr);
  const auto audit = test_.store.audit();
  ASSERT_EQ(audit.size(), 3U);
  EXPECT_EQ(audit[2].record, 3U);
  EXPECT_EQ(audit[2].sequence, 3U);
  EXPECT_TRUE(ledger.Commit(TestCall("b"), PutThing("b", 1))->replayed);
}

TEST_F(LedgerEngineTest, NoBodyHasWhatPostgresDoesNotKeep) {
  Row row;
  row.kind = "thing";
  row.id = "a";
  row.body = R"({"a":"x\u0000"})";
  EXPECT_EQ(CheckRow(row).code(), absl::StatusCode::kInvalidArgument);
  row.body = R"({"a":"x\\u0000"})";
  EXPECT_TRUE(CheckRow(row).ok()) << "a backslash, and text behind it";
  row.body = R"({"a":"\\\u0000"})";
  EXPECT_EQ(CheckRow(row).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(LedgerEngineTest, NoRecordNoEffect) {
  LedgerEngine& ledger = test_.Start();
  const auto put = [](Changes& changes) { changes.Put(std::make_shared<Thing>("a", 1)); };
  const auto silent = ledger.Commit(TestCall(), [&](const Snapshot&, Changes& changes) {
    put(changes);
    return absl::OkStatus();
  });
  EXPECT_EQ(silent.status().code(), absl::StatusCode::kInternal);
  const AuditRecord broken[] = {
      {.event = "Bad Name", .source = {}, .keys = {}, .fields = {}},
      {.event = "ok", .source = "NOT A SOURCE", .keys = {}, .fields = {}},
      {.event = "ok", .source = {}, .keys = {}, .fields = "no object"},
      {.event = "ok", .source = {}, .keys = {}, .fields = R"({"by":"somebody else"})"},
      {.event = "ok", .source = {}, .keys = {}, .fields = R"({"a":1},{"b":2})"},
      {.event = "ok", .source = {}, .keys = {}, .fields = "{\"a\":\"" + std::string(70'000, 'x') + "\"}"},
      {.event = "ok", .source = {}, .keys = std::vector<KeyIdentity>(65, Key("k").identity), .fields = {}}};
  for (const AuditRecord& record : broken) {
    const auto refused = ledger.Commit(TestCall(), [&](const Snapshot&, Changes& changes) {
      put(changes);
      changes.Audit(record);
      return absl::OkStatus();
    });
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument) << record.event << refused.status();
  }
  EXPECT_EQ(ledger.snapshot()->Find<Thing>("a"), nullptr);
  EXPECT_TRUE(test_.store.audit().empty());
}

TEST_F(LedgerEngineTest, ACallSaysWhoAndWhy) {
  LedgerEngine& ledger = test_.Start();
  Call call = TestCall();
  call.reason.clear();
  EXPECT_EQ(GetFields(ledger.Commit(call, PutThing("a", 1)).status()).at(0).field, "reason");
  call.reason = "two\nlines";
  EXPECT_FALSE(ledger.Commit(call, PutThing("a", 1)).ok());
  call.reason = std::string(1'025, 'x');
  EXPECT_FALSE(ledger.Commit(call, PutThing("a", 1)).ok());
  call.reason = "\xff";
  EXPECT_FALSE(ledger.Commit(call, PutThing("a", 1)).ok());
  call = TestCall("with space");
  EXPECT_EQ(GetFields(ledger.Commit(call, PutThing("a", 1)).status()).at(0).field, "request_id");
  EXPECT_FALSE(ledger.Commit(TestCall(std::string(129, 'x')), PutThing("a", 1)).ok());
  EXPECT_FALSE(ledger.Commit(TestCall("r", ""), PutThing("a", 1)).ok());
  EXPECT_TRUE(test_.store.audit().empty());
}

TEST_F(LedgerEngineTest, ARepeatedRequestIsAnsweredNotDone) {
  LedgerEngine& ledger = test_.Start();
  ASSERT_TRUE(ledger.Commit(TestCall("r1"), PutThing("a", 1, "the answer")).ok());
  const auto again = ledger.Commit(TestCall("r1"), PutThing("a", 2, "another"));
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(again->replayed);
  EXPECT_EQ(again->answer, "the answer");
  EXPECT_EQ(again->record, 1U);
  EXPECT_EQ(ledger.snapshot()->Find<Thing>("a")->value, 1U);

  Call other = TestCall("r1");
  other.digest[0] ^= 1;
  EXPECT_EQ(GetReason(ledger.Commit(other, PutThing("a", 3)).status()), "REQUEST_ID_REUSED");
  other = TestCall("r1", "spiffe://example.net/operator/noc-2");
  EXPECT_EQ(GetReason(ledger.Commit(other, PutThing("a", 3)).status()), "REQUEST_ID_REUSED");
  EXPECT_EQ(test_.store.audit().size(), 1U);
}

TEST_F(LedgerEngineTest, RequestsAreKnownAfterARestart) {
  ASSERT_TRUE(test_.Start().Commit(TestCall("r1"), PutThing("a", 1, "the answer")).ok());
  test_->Stop();
  const auto second = *LedgerEngine::Make(test_.store, {TypeOf<Thing>()}, TestLedgerOptions(), test_.clock);
  second->Start();
  second->Unseal(SealReason::kStarting);
  ASSERT_TRUE(second->WaitActive(true, std::chrono::steady_clock::now() + std::chrono::seconds(30)));
  EXPECT_EQ(second->snapshot()->Find<Thing>("a")->value, 1U);
  const auto again = second->Commit(TestCall("r1"), PutThing("a", 2));
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(again->replayed);
  EXPECT_EQ(again->answer, "the answer");
  const auto next = second->Commit(TestCall("r2"), PutThing("a", 2));
  ASSERT_TRUE(next.ok());
  EXPECT_EQ(second->snapshot()->Find<Thing>("a")->revision, 2U);
  EXPECT_EQ(test_.store.audit()[1].epoch, test_.store.audit()[0].epoch)
      << "a ledger that survived goes on in its epoch";
  EXPECT_EQ(test_.store.audit()[1].sequence, 2U);
}

TEST_F(LedgerEngineTest, WhatWaitsTogetherIsCommittedTogether) {
  LedgerEngine& ledger = test_.Start();
  // The first edit holds the ledger's thread until all others wait.
  std::promise<void> runs, all_wait;
  auto first = ledger.Submit(TestCall(), [&](const Snapshot& now, Changes& changes) {
    runs.set_value();
    all_wait.get_future().wait();
    return PutThing("first", 1)(now, changes);
  });
  runs.get_future().wait();
  std::vector<std::future<absl::StatusOr<Receipt>>> waiting;
  for (int i = 0; i < 500; ++i) waiting.push_back(ledger.Submit(TestCall(), PutThing(fmt::format("t{:03}", i), 1)));
  // The same request twice in one commit, and one that fails in the middle of it.
  auto once = ledger.Submit(TestCall("r"), PutThing("once", 1, "done"));
  auto twice = ledger.Submit(TestCall("r"), PutThing("once", 2, "done again"));
  auto fails = ledger.Submit(TestCall(), [](const Snapshot& now, Changes& changes) -> absl::Status {
    EXPECT_NE(now.Find<Thing>("once"), nullptr) << "an edit sees what was ordered before it";
    changes.Erase<Thing>("once");
    return FailedPrecondition("no");
  });
  all_wait.set_value();
  ASSERT_TRUE(first.get().ok());
  std::uint64_t last = 1;
  for (auto& future : waiting) {
    const auto receipt = future.get();
    ASSERT_TRUE(receipt.ok()) << receipt.status();
    EXPECT_EQ(receipt->record, ++last) << "in the order of the calls";
  }
  EXPECT_FALSE(once.get()->replayed);
  const auto replayed = twice.get();
  ASSERT_TRUE(replayed.ok());
  EXPECT_TRUE(replayed->replayed);
  EXPECT_EQ(replayed->answer, "done");
  EXPECT_FALSE(fails.get().ok());
  EXPECT_EQ(ledger.snapshot()->Find<Thing>("once")->value, 1U);
  EXPECT_EQ(ledger.snapshot()->Count("thing"), 502U);
  EXPECT_EQ(test_.store.commits(), 2U);
}

TEST_F(LedgerEngineTest, AKeyThatIsLockedStaysLocked) {
  LedgerEngine& ledger = test_.Start();
  const auto change = [&](const std::function<void(Changes&)>& what) {
    return ledger.Commit(TestCall(), [&](const Snapshot&, Changes& changes) {
      what(changes);
      changes.Audit({.event = "key_changed", .source = {}, .keys = {Key("a").identity}, .fields = {}});
      return absl::OkStatus();
    });
  };
  ASSERT_TRUE(change([](Changes& changes) { changes.PutKey(Key("a")); }).ok());
  ASSERT_TRUE(change([](Changes& changes) { changes.LockKey(Key("a").identity); }).ok());
  SealedKey rewrapped = Key("a");
  rewrapped.blob = "another envelope";
  ASSERT_TRUE(change([&](Changes& changes) { changes.PutKey(rewrapped); }).ok());
  const auto key = ledger.snapshot()->FindKey(Key("a").identity);
  ASSERT_NE(key, nullptr);
  EXPECT_TRUE(key->locked);
  EXPECT_EQ(key->blob, "another envelope");
  SealedKey widened = Key("a");
  widened.policy = ExportPolicy::kEscrowOnly;
  EXPECT_FALSE(change([&](Changes& changes) { changes.PutKey(widened); }).ok());
  EXPECT_FALSE(change([&](Changes& changes) { changes.LockKey(Key("b").identity); }).ok());
  EXPECT_EQ(test_.store.audit()[0].keys, std::vector{Key("a").identity});
  ASSERT_TRUE(change([](Changes& changes) { changes.DropKey(Key("a").identity); }).ok());
  EXPECT_EQ(ledger.snapshot()->key_count(), 0U);
}

TEST_F(LedgerEngineTest, SealedNothingChangesButWhatUnseals) {
  LedgerEngine& ledger = test_.Start();
  ledger.Seal(SealReason::kOperator);
  const auto refused = ledger.Commit(TestCall(), PutThing("a", 1));
  EXPECT_EQ(GetReason(refused.status()), "SEALED");
  EXPECT_EQ(GetMetadata(refused.status()).at("why"), "OPERATOR");
  EXPECT_TRUE(ledger.CommitWhileSealed(TestCall(), PutThing("unsealing", 1)).ok());
  ledger.Seal(SealReason::kRollback);
  EXPECT_EQ(GetMetadata(ledger.CommitWhileSealed(TestCall(), PutThing("a", 1)).status()).at("why"), "ROLLBACK");
  ledger.Unseal(SealReason::kRollback);
  ledger.Seal(SealReason::kStarting);
  EXPECT_EQ(GetReason(ledger.CommitWhileSealed(TestCall(), PutThing("a", 1)).status()), "SEALED")
      << "it is not known yet whether the chain has another record of that number";
  ledger.Unseal(SealReason::kStarting);
  ledger.Unseal(SealReason::kOperator);
  EXPECT_TRUE(ledger.Commit(TestCall(), PutThing("a", 1)).ok());
}

TEST_F(LedgerEngineTest, WhatIsToBeSealedIsSealedBeforeAnybodySeesThatItIsActive) {
  std::vector<bool> active, holds_state;
  test_->Start([&] {
    active.push_back(test_->status().active);
    holds_state.push_back(test_->snapshot()->Find<Thing>("a") != nullptr);
    test_->Seal(SealReason::kStarting);
    return absl::OkStatus();
  });
  const auto wait = [&](bool wanted) {
    return test_->WaitActive(wanted, std::chrono::steady_clock::now() + std::chrono::seconds(30));
  };
  ASSERT_TRUE(wait(true));
  test_->Unseal(SealReason::kStarting);
  ASSERT_TRUE(test_->Commit(TestCall(), PutThing("a", 1)).ok());
  test_.store.TakeOver("another:1");
  EXPECT_FALSE(test_->Commit(TestCall(), PutThing("a", 2)).ok());
  ASSERT_TRUE(wait(false));
  test_.store.GiveUp();
  ASSERT_TRUE(wait(true));
  EXPECT_NE(test_->snapshot()->Find<Thing>("a"), nullptr);
  EXPECT_THAT(test_->status().sealed, testing::ElementsAre(SealReason::kStarting));
  test_->Stop();
  EXPECT_THAT(active, testing::ElementsAre(false, false));
  EXPECT_THAT(holds_state, testing::ElementsAre(false, false)) << "nothing that nobody compared yet";
}

TEST_F(LedgerEngineTest, ANewEpochIsAboveWhatTheChainKnows) {
  LedgerEngine& ledger = test_.Start();
  ASSERT_TRUE(ledger.Commit(TestCall(), PutThing("a", 1)).ok());
  const std::uint64_t chain = test_.store.audit()[0].epoch + 1'000'000'000'000;
  ledger.OpenEpoch(chain);
  ASSERT_TRUE(ledger.Commit(TestCall(), PutThing("a", 2)).ok());
  ASSERT_TRUE(ledger.Commit(TestCall(), PutThing("a", 3)).ok());
  const auto audit = test_.store.audit();
  EXPECT_GT(audit[1].epoch, chain);
  EXPECT_EQ(audit[1].sequence, 1U);
  EXPECT_EQ(audit[2].epoch, audit[1].epoch);
  EXPECT_EQ(audit[2].sequence, 2U);
}

TEST_F(LedgerEngineTest, AClockThatStepsBackOpensANewEpoch) {
  LedgerEngine& ledger = test_.Start();
  ASSERT_TRUE(ledger.Commit(TestCall(), PutThing("a", 1)).ok());
  const UnixNanos then = test_.clock.NowNanos();
  test_.clock.SetWall(then - 30'000'000'000);
  ASSERT_TRUE(ledger.Commit(TestCall(), PutThing("a", 2)).ok());
  test_.clock.SetWall(then - 3'600'000'000'000);
  ASSERT_TRUE(ledger.Commit(TestCall(), PutThing("a", 3)).ok());
  const auto audit = test_.store.audit();
  EXPECT_EQ(audit[1].epoch, audit[0].epoch);
  EXPECT_GT(audit[2].epoch, audit[1].epoch);
  EXPECT_EQ(audit[2].sequence, 1U);
}

TEST(LedgerClock, NothingIsDoneByATimeThatCannotBe) {
  LedgerOptions options = TestLedgerOptions();
  options.clock_limits = ClockLimits{};
  TestLedger test({TypeOf<Thing>()}, options);
  LedgerEngine& ledger = test.Start();
  ASSERT_TRUE(ledger.Commit(TestCall(), PutThing("a", 1)).ok());
  const UnixNanos then = test.clock.NowNanos();
  for (const UnixNanos wrong : {then + 20 * 365 * kDay, UnixNanos{0}}) {
    test.clock.SetWall(wrong);
    const auto refused = ledger.Commit(TestCall(), PutThing("a", 2));
    EXPECT_EQ(GetMetadata(refused.status()).at("why"), "CLOCK");
    EXPECT_THAT(ledger.status().clock_problem, HasSubstr("the clock says"));
    EXPECT_TRUE(ledger.Readable().ok()) << "what is there is told";
    EXPECT_FALSE(ledger.Open().ok()) << "and nothing moves on by the time";
    test.clock.SetWall(then);
    EXPECT_TRUE(ledger.Commit(TestCall(), PutThing("a", 3)).ok()) << "it came right";
    EXPECT_THAT(ledger.status().clock_problem, IsEmpty());
  }
  test.clock.SetWall(then + 100 * kDay);
  EXPECT_FALSE(ledger.Commit(TestCall(), PutThing("a", 4)).ok());
  ledger.NoteChainTime(then + 100 * kDay);
  EXPECT_TRUE(ledger.Commit(TestCall(), PutThing("a", 4)).ok()) << "the chain says the same";
  test.clock.SetWall(then);
  EXPECT_FALSE(ledger.Commit(TestCall(), PutThing("a", 5)).ok());
  ledger.AcceptClock();
  EXPECT_TRUE(ledger.Commit(TestCall(), PutThing("a", 5)).ok());
  EXPECT_EQ(test.store.audit().size(), 5U);
}

// Each took the lease from one whose clock was right.
TEST(LedgerClock, ARestartKnowsTheTimeOfTheNewestRecord) {
  LedgerOptions options = TestLedgerOptions();
  options.clock_limits = ClockLimits{};
  TestLedger test({TypeOf<Thing>()}, options);
  ASSERT_TRUE(test.Start().Commit(TestCall(), PutThing("a", 1)).ok());
  test->Stop();
  const UnixNanos then = test.clock.NowNanos();
  for (const auto& [wall, held] :
       {std::pair{then - 2 * kDay, true}, {then + 2 * kDay, true}, {then + kDay / 2, false}}) {
    test.clock.SetWall(wall);
    const auto again = *LedgerEngine::Make(test.store, {TypeOf<Thing>()}, options, test.clock);
    again->Start();
    ASSERT_TRUE(again->WaitActive(true, std::chrono::steady_clock::now() + std::chrono::seconds(30)));
    EXPECT_EQ(again->status().clock_problem.empty(), !held) << wall;
    again->Stop();
  }
}

// A stand-by would take it, load for as long, and lose it in turn.
TEST(LedgerLease, IsRenewedWhileALargeStateIsLoaded) {
  LedgerOptions options = TestLedgerOptions();
  options.lease = std::chrono::milliseconds(30);
  TestLedger test({TypeOf<Thing>()}, options);
  ASSERT_TRUE(test.Start().Commit(TestCall(), PutThing("a", 1)).ok());
  test->Stop();
  const auto again = *LedgerEngine::Make(test.store, {TypeOf<Thing>()}, options, test.clock);
  std::size_t before = 0, during = 0;
  test.store.on_row = [&] {
    before = test.store.renewals();
    std::this_thread::sleep_for(options.lease / 2);
  };
  again->Start([&] {
    during = test.store.renewals();
    return absl::OkStatus();
  });
  ASSERT_TRUE(again->WaitActive(true, std::chrono::steady_clock::now() + std::chrono::seconds(30)));
  EXPECT_EQ(during, before + 1);
}

// What was recorded before it was stopped is all that it knows: no request of a person need be among it.
TEST(LedgerClock, AStepBackOverARestartOpensANewEpoch) {
  TestLedger test({TypeOf<Thing>()});
  Call nobodys = TestCall();
  nobodys.request_id.clear();
  ASSERT_TRUE(test.Start().Commit(nobodys, PutThing("a", 1)).ok());
  test->Stop();
  test.clock.SetWall(test.clock.NowNanos() - kDay / 48);
  const auto again = *LedgerEngine::Make(test.store, {TypeOf<Thing>()}, TestLedgerOptions(), test.clock);
  again->Start();
  again->Unseal(SealReason::kStarting);
  ASSERT_TRUE(again->WaitActive(true, std::chrono::steady_clock::now() + std::chrono::seconds(30)));
  ASSERT_TRUE(again->Commit(nobodys, PutThing("a", 2)).ok());
  EXPECT_GT(test.store.audit()[1].epoch, test.store.audit()[0].epoch);
}

TEST_F(LedgerEngineTest, ACommitInDoubtIsSettledByReading) {
  LedgerEngine& ledger = test_.Start();
  test_.store.FailNextCommit(Unknown("the line broke"), true);
  ASSERT_TRUE(ledger.Commit(TestCall("r1"), PutThing("a", 1)).ok()) << "it had been committed";
  EXPECT_EQ(ledger.snapshot()->Find<Thing>("a")->value, 1U);
  test_.store.FailNextCommit(Unknown("the line broke"), false);
  const auto lost = ledger.Commit(TestCall("r2"), PutThing("b", 1));
  EXPECT_EQ(lost.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ledger.snapshot()->Find<Thing>("b"), nullptr);
  ASSERT_TRUE(ledger.Commit(TestCall("r2"), PutThing("b", 1)).ok());
  EXPECT_EQ(test_.store.audit().size(), 2U);
}

TEST_F(LedgerEngineTest, StandsAsideWhenAnotherTookOverAndComesBack) {
  LedgerEngine& ledger = test_.Start();
  ASSERT_TRUE(ledger.Commit(TestCall(), PutThing("a", 1)).ok());
  test_.store.TakeOver("keymgr-2.example.net:8443");
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  ASSERT_TRUE(ledger.WaitActive(false, deadline));
  const auto refused = ledger.Commit(TestCall(), PutThing("a", 2));
  EXPECT_EQ(GetReason(refused.status()), "NOT_ACTIVE");
  EXPECT_EQ(GetMetadata(refused.status()).at("active"), "keymgr-2.example.net:8443");
  test_.store.GiveUp();
  ASSERT_TRUE(ledger.WaitActive(true, deadline));
  EXPECT_EQ(ledger.snapshot()->Find<Thing>("a")->value, 1U);
  EXPECT_TRUE(ledger.Commit(TestCall(), PutThing("a", 2)).ok());
}

TEST_F(LedgerEngineTest, FencedInTheMiddleNothingIsChanged) {
  LedgerEngine& ledger = test_.Start();
  const auto fenced = ledger.Commit(TestCall(), [&](const Snapshot& now, Changes& changes) {
    test_.store.TakeOver("another");
    return PutThing("a", 1)(now, changes);
  });
  EXPECT_EQ(GetReason(fenced.status()), "FENCED");
  EXPECT_TRUE(test_.store.audit().empty());
  EXPECT_EQ(ledger.snapshot()->Count("thing"), 0U);
}

TEST_F(LedgerEngineTest, ListenersHearEveryCommitInOrder) {
  std::vector<Committed> heard;
  test_->Subscribe([&](const Committed& committed) { heard.push_back(committed); });
  LedgerEngine& ledger = test_.Start();
  ASSERT_TRUE(ledger.Commit(TestCall(), PutThing("a", 1)).ok());
  ASSERT_TRUE(ledger
                  .Commit(TestCall(),
                          [](const Snapshot&, Changes& changes) {
                            changes.Erase<Thing>("a");
                            changes.PutKey(Key("k"));
                            changes.Audit({.event = "thing_erased", .source = {}, .keys = {}, .fields = {}});
                            return absl::OkStatus();
                          })
                  .ok());
  test_->Stop();  // its thread is the listener's
  ASSERT_EQ(heard.size(), 4U) << "loaded, two commits, the end";
  EXPECT_TRUE(heard[0].items.empty());
  ASSERT_EQ(heard[1].items.size(), 1U);
  EXPECT_EQ(heard[1].items[0].before, nullptr);
  EXPECT_NE(heard[1].items[0].after, nullptr);
  ASSERT_EQ(heard[2].items.size(), 2U);
  EXPECT_EQ(heard[2].items[0].after, nullptr);
  EXPECT_EQ(heard[2].items[1].key, Key("k").identity);
  EXPECT_EQ(heard[2].snapshot->record(), 2U);
}

TEST_F(LedgerEngineTest, ARowThatIsNoneOfOursKeepsItFromStarting) {
  ASSERT_TRUE(test_.Start().Commit(TestCall(), PutThing("a", 1)).ok());
  test_->Stop();
  const auto other = *LedgerEngine::Make(test_.store, {}, TestLedgerOptions(), test_.clock);
  other->Start();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (other->status().problem.empty() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_EQ(other->status().problem, "the database holds records of kind thing, which this release does not know");
  EXPECT_FALSE(other->status().active);
  EXPECT_FALSE(
      LedgerEngine::Make(test_.store, {TypeOf<Thing>(), TypeOf<Thing>()}, TestLedgerOptions(), test_.clock).ok());
}

TEST_F(LedgerEngineTest, ListsInOrderByPrefixAndFrom) {
  LedgerEngine& ledger = test_.Start();
  for (const char* id : {"a", "a/1", "a/2", "a/3", "a.b", "b"})
    ASSERT_TRUE(ledger.Commit(TestCall(), PutThing(id, 1)).ok());
  const auto list = [&](std::string_view prefix, std::string_view after, std::size_t most) {
    std::string out;
    ledger.snapshot()->ForEach<Thing>(
        [&](const std::shared_ptr<const Thing>& thing) {
          out += thing->id + " ";
          return --most > 0;
        },
        prefix, after);
    return out;
  };
  EXPECT_EQ(list("", "", 100), "a a.b a/1 a/2 a/3 b ");
  EXPECT_EQ(list("a/", "", 2), "a/1 a/2 ");
  EXPECT_EQ(list("a/", "a/2", 2), "a/3 ");
  EXPECT_EQ(list("a/", "b", 2), "");
  EXPECT_EQ(list("", "a", 2), "a.b a/1 ");
}

}  // namespace
}  // namespace virp::keymgr
