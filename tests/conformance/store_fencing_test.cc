// What a leader on PostgreSQL may meet: taken over while it sleeps, killed between COPY and COMMIT, cut off during
// COMMIT, a standby that does not confirm, a server that crashes. Whatever happens: one chain, and nothing acknowledged
// is lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "absl/strings/str_replace.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/store/postgres_copy.h"
#include "tests/conformance/leader.h"
#include "tests/conformance/postgres_backend.h"
#include "tests/conformance/test_chain.h"
#include "tests/testutil/socket_proxy.h"
#include "tests/testutil/status_matchers.h"

namespace virp::onode {
namespace {

using absl::StatusCode;
using store::PostgresConnection;
using store::PostgresTransaction;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testutil::PostgresCluster;
using testutil::ReasonIs;
using testutil::SocketProxy;
using testutil::StatusIs;
using namespace std::chrono_literals;

constexpr std::string_view kOrigin = "virp.example.net/site1";
constexpr auto kLease = 600s;

class FencingTest : public ::testing::Test {
 protected:
  FencingTest() : backend_(Cluster()) {}

  static PostgresCluster& Cluster() { return PostgresCluster::Shared(); }

  std::unique_ptr<ChainStore> Open(const StoreOptions& options = {}) {
    auto store = backend_.Open(options);
    EXPECT_OK(store);
    return store.ok() ? *std::move(store) : nullptr;
  }

  // A store whose connections go through a proxy that can cut them.
  std::unique_ptr<ChainStore> OpenThrough(const SocketProxy& proxy) {
    const std::string url =
        absl::StrReplaceAll(backend_.serving_url(), {{"host=" + Cluster().socket_dir(), "host=" + proxy.folder()}});
    auto store = PostgresChainStore::Open(url, {});
    EXPECT_OK(store);
    return store.ok() ? *std::move(store) : nullptr;
  }

  ChainId NewChain(ChainStore& store, TestChain& chain) {
    auto id = store.CreateChain(kOrigin, "");
    EXPECT_OK(id);
    EXPECT_OK(store.TakeLease(*id, "a", "", kLease));
    Append(store, *id, chain, 10);
    return *id;
  }
  static void Append(ChainStore& store, ChainId id, TestChain& chain, std::size_t rows, std::uint64_t term = 1) {
    const AppendBatch batch = chain.Next(term, rows);
    ASSERT_OK(store.Append(id, batch));
    chain.Committed(batch);
  }
  static std::uint64_t SizeOf(ChainStore& store, ChainId id) {
    // A connection that was cut is noticed by the statement that uses it; the next one gets another.
    absl::StatusOr<ChainHead> head = store.ReadHead(id);
    if (absl::IsUnavailable(head.status())) head = store.ReadHead(id);
    EXPECT_OK(head);
    return head.ok() ? head->size : 0;
  }

  PostgresBackend backend_;
};

// Everything of an append but its COMMIT, as a leader that stops there has done it.
absl::StatusOr<PostgresTransaction> StageByHand(PostgresConnection& connection, ChainId id, const AppendBatch& batch) {
  ASSIGN_OR_RETURN(PostgresTransaction transaction, PostgresTransaction::Begin(connection));
  ASSIGN_OR_RETURN(const store::PostgresResult moved,
                   transaction.Exec("SELECT onode.advance($1, $2, $3, $4, $5, $6, $7)", id, batch.term, batch.old_size,
                                    store::Blob(batch.old_head), batch.old_size + batch.rows.size(),
                                    store::Blob(batch.new_head), store::Blob(batch.new_frontier)));
  if (!moved.Bool(0, 0)) return Aborted("fenced");
  for (const EntryRow& row : batch.rows) {
    RETURN_IF_ERROR(transaction.Run("INSERT INTO onode.entry VALUES ($1, $2, 1, $3, 0, 0, $4, 0, 0, $5, $6)",
                                    row.sequence, 99, row.sequence, id, store::Blob(row.leaf), store::Blob(row.bytes)));
  }
  return transaction;
}

TEST_F(FencingTest, ALeaderThatSleepsBeforeItsCommitIsEndedAndTakenOver) {
  StoreOptions quick;
  quick.timeout = 1s;  // half of it for locks and for sleeping inside a transaction
  auto other = Open(quick);
  TestChain chain{std::string(kOrigin)};
  const ChainId id = NewChain(*other, chain);

  ASSERT_OK_AND_ASSIGN(const auto sleeper, PostgresConnection::Open({.url = backend_.serving_url(),
                                                                     .idle_in_transaction_timeout = 1'500ms}));
  ASSERT_OK_AND_ASSIGN(PostgresTransaction asleep, StageByHand(*sleeper, id, chain.Next(1, 5)));
  EXPECT_THAT(other->RenewLease(id, 1, kLease), StatusIs(StatusCode::kUnavailable)) << "the head's row is locked";
  // The server ends the sleeper's session; until then whoever wants to lead is told to try again.
  absl::StatusOr<ChainHead> taken = Unavailable("not tried");
  EXPECT_TRUE(Eventually([&] {
    taken = other->TakeLease(id, "a", "", kLease);
    return !absl::IsUnavailable(taken.status());
  }));
  ASSERT_OK(taken);
  EXPECT_EQ(taken->term, 2U);
  EXPECT_EQ(taken->size, 10U) << "nothing of the sleeper's batch is there";
  EXPECT_THAT(asleep.Commit(), ::testing::Not(testutil::IsOk()));
  Append(*other, id, chain, 3, 2);
  ExpectOneChain(*other, id, kOrigin);
}

// In COPY the server waits for the client without any timeout. Whoever takes over ends that session.
TEST_F(FencingTest, ALeaderThatSleepsInItsCopyIsEndedByWhoTakesOver) {
  StoreOptions quick;
  quick.timeout = 600ms;
  auto other = Open(quick);
  TestChain chain{std::string(kOrigin)};
  const ChainId id = NewChain(*other, chain);
  const auto in_copy = [&] {
    return backend_.Ask(
        "SELECT count(*) FROM pg_stat_activity WHERE datname=current_database() AND query LIKE 'COPY%'");
  };
  for (const bool expired : {false, true}) {
    SCOPED_TRACE(expired);
    const auto lease = expired ? std::chrono::milliseconds(300) : std::chrono::milliseconds(kLease);
    ASSERT_OK_AND_ASSIGN(const ChainHead held, other->TakeLease(id, "a", "", lease));
    ASSERT_OK_AND_ASSIGN(const auto sleeper, PostgresConnection::Open({.url = backend_.serving_url()}));
    ASSERT_OK_AND_ASSIGN(PostgresTransaction asleep, StageByHand(*sleeper, id, chain.Next(held.term, 5)));
    {
      ASSERT_OK_AND_ASSIGN(auto copy,
                           store::PostgresCopyIn::Begin(asleep, "COPY onode.entry FROM STDIN (FORMAT binary)", 11));
      if (!expired) {
        EXPECT_THAT(other->TakeLease(id, "b", "", kLease), StatusIs(StatusCode::kAborted, HasSubstr("led by a")));
        EXPECT_THAT(in_copy(), testutil::IsOkAndHolds("1")) << "who leads is left alone";
      } else {
        absl::StatusOr<ChainHead> taken = Unavailable("not tried");
        EXPECT_TRUE(Eventually([&] {
          taken = other->TakeLease(id, "b", "", kLease);
          return taken.ok();
        }));
        ASSERT_OK(taken);
        EXPECT_EQ(taken->term, held.term + 1);
        EXPECT_EQ(taken->size, 10U);
        EXPECT_THAT(in_copy(), testutil::IsOkAndHolds("0"));
        Append(*other, id, chain, 3, taken->term);
      }
    }
    EXPECT_THAT(asleep.Commit(), ::testing::Not(testutil::IsOk()));
  }
  ExpectOneChain(*other, id, kOrigin);
}

TEST_F(FencingTest, KilledBetweenCopyAndCommitLeavesNothing) {
  auto store = Open();
  TestChain chain{std::string(kOrigin)};
  const ChainId id = NewChain(*store, chain);
  ASSERT_OK_AND_ASSIGN(const auto victim, PostgresConnection::Open({.url = backend_.serving_url()}));
  ASSERT_OK_AND_ASSIGN(PostgresTransaction staged, StageByHand(*victim, id, chain.Next(1, 5)));
  ASSERT_OK(
      backend_.Ask("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                   " WHERE datname=current_database() AND state='idle in transaction'"));
  Append(*store, id, chain, 7);  // waits for the lock that the killed session still has for a moment
  EXPECT_THAT(staged.Commit(), ::testing::Not(testutil::IsOk()));
  ExpectOneChain(*store, id, kOrigin);
  EXPECT_EQ(SizeOf(*store, id), 17U);
}

TEST_F(FencingTest, CutBeforeTheServerHeardOfTheCommit) {
  auto direct = Open();
  TestChain chain{std::string(kOrigin)};
  SocketProxy proxy(".s.PGSQL.5432", Cluster().socket_dir() + "/.s.PGSQL.5432");
  auto store = OpenThrough(proxy);
  const ChainId id = NewChain(*store, chain);
  const AppendBatch batch = chain.Next(1, 300);
  proxy.CutOn("; COMMIT", SocketProxy::Cut::kBefore);
  EXPECT_THAT(store->Append(id, batch), AllOf(StatusIs(StatusCode::kUnknown), ReasonIs("COMMIT_IN_DOUBT")));
  EXPECT_EQ(proxy.cuts(), 1);
  EXPECT_EQ(SizeOf(*store, id), 10U) << "settled: it was not committed";
  ASSERT_OK(store->Append(id, batch)) << "the identical batch again";
  chain.Committed(batch);
  Append(*store, id, chain, 5);
  ExpectOneChain(*direct, id, kOrigin);
}

TEST_F(FencingTest, CutAfterTheServerHeardOfTheCommit) {
  auto direct = Open();
  TestChain chain{std::string(kOrigin)};
  SocketProxy proxy(".s.PGSQL.5432", Cluster().socket_dir() + "/.s.PGSQL.5432");
  auto store = OpenThrough(proxy);
  const ChainId id = NewChain(*store, chain);
  const AppendBatch batch = chain.Next(1, 300);
  proxy.CutOn("; COMMIT", SocketProxy::Cut::kAfter);
  EXPECT_THAT(store->Append(id, batch), AllOf(StatusIs(StatusCode::kUnknown), ReasonIs("COMMIT_IN_DOUBT")));
  EXPECT_EQ(SizeOf(*store, id), 310U) << "settled: it was committed";
  EXPECT_THAT(store->Append(id, batch), StatusIs(StatusCode::kAborted)) << "again would be twice, and is fenced";
  chain.Committed(batch);
  Append(*store, id, chain, 5);
  ExpectOneChain(*direct, id, kOrigin);
}

TEST_F(FencingTest, CutBeforeTheCommitIsSaidToHaveWrittenNothing) {
  TestChain chain{std::string(kOrigin)};
  SocketProxy proxy(".s.PGSQL.5432", Cluster().socket_dir() + "/.s.PGSQL.5432");
  auto direct = Open();
  auto store = OpenThrough(proxy);
  const ChainId id = NewChain(*store, chain);
  const AppendBatch batch = chain.Next(1, 5);
  for (const char* word : {"virp_", "COPY"}) {
    proxy.CutOn(word, SocketProxy::Cut::kAfter);
    EXPECT_THAT(store->Append(id, batch), StatusIs(StatusCode::kUnavailable)) << word;
    EXPECT_EQ(SizeOf(*store, id), 10U);
  }
  ASSERT_OK(store->Append(id, batch));
}

// The backend is ended in the middle of COMMIT: a deferred trigger makes COMMIT slow enough to hit.
TEST_F(FencingTest, TerminatedDuringCommitIsUnknownAndSettledAsNotThere) {
  auto store = Open();
  TestChain chain{std::string(kOrigin)};
  const ChainId id = NewChain(*store, chain);
  ASSERT_OK(
      backend_.Sql("CREATE FUNCTION {}slow() RETURNS trigger LANGUAGE plpgsql AS"
                   " $$ BEGIN PERFORM pg_sleep(60); RETURN NULL; END $$;"
                   "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON {}batch DEFERRABLE INITIALLY DEFERRED"
                   " FOR EACH ROW EXECUTE FUNCTION {}slow()"));
  const AppendBatch batch = chain.Next(1, 5);
  std::thread appending([&] {
    EXPECT_THAT(store->Append(id, batch), AllOf(StatusIs(StatusCode::kUnknown), ReasonIs("COMMIT_IN_DOUBT")));
  });
  EXPECT_TRUE(Eventually([&] {
    const auto ended = backend_.Ask(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname=current_database() AND wait_event='PgSleep'");
    return ended.value_or("0") == "1";
  }));
  appending.join();
  EXPECT_EQ(SizeOf(*store, id), 10U);
  ASSERT_OK(backend_.Sql("DROP TRIGGER slow ON {}batch"));
  ASSERT_OK(store->Append(id, batch));
  ExpectOneChain(*store, id, kOrigin);
}

// A synchronous standby that is not there: COMMIT waits for it with everything written. Whoever ends that wait leaves a
// commit that is local only, which must not be acknowledged.
TEST(StandbyTest, AnUnconfirmedCommitIsUnknown) {
  ASSERT_OK_AND_ASSIGN(
      const auto cluster,
      PostgresCluster::Start({.settings = {"synchronous_standby_names = 'nobody'", "synchronous_commit = local"}}));
  PostgresBackend backend(*cluster);
  ASSERT_OK_AND_ASSIGN(const auto local, backend.Open());
  TestChain chain{std::string(kOrigin)};
  ASSERT_OK_AND_ASSIGN(const ChainId id, local->CreateChain(kOrigin, ""));
  ASSERT_OK(local->TakeLease(id, "a", "", kLease));
  const AppendBatch first = chain.Next(1, 10);
  ASSERT_OK(local->Append(id, first));
  chain.Committed(first);

  ASSERT_OK(backend.As(backend.admin_url(), "ALTER ROLE virp_serving SET synchronous_commit = on"));
  ASSERT_OK_AND_ASSIGN(const auto waiting, backend.Open());
  for (const char* end : {"pg_cancel_backend", "pg_terminate_backend"}) {
    const AppendBatch batch = chain.Next(1, 5);
    std::thread appending([&] {
      EXPECT_THAT(waiting->Append(id, batch), AllOf(StatusIs(StatusCode::kUnknown), ReasonIs("COMMIT_IN_DOUBT")))
          << end;
    });
    EXPECT_TRUE(Eventually([&] {
      const auto ended =
          backend.Ask(fmt::format("SELECT count({}(pid)) FROM pg_stat_activity WHERE wait_event='SyncRep'", end));
      return ended.value_or("0") == "1";
    }));
    appending.join();
    chain.Committed(batch);
    ASSERT_OK_AND_ASSIGN(const ChainHead head, local->ReadHead(id));
    EXPECT_EQ(head.size, chain.size()) << "settled: it is there";
  }
  ExpectOneChain(*local, id, kOrigin);
}

TEST(CrashTest, WhatWasAcknowledgedSurvivesTheServer) {
  ASSERT_OK_AND_ASSIGN(const auto cluster,
                       PostgresCluster::Start({.settings = {"recovery_init_sync_method = syncfs"}}));
  PostgresBackend backend(*cluster);
  ASSERT_OK_AND_ASSIGN(const auto store, backend.Open());
  ASSERT_OK_AND_ASSIGN(const ChainId id, store->CreateChain(kOrigin, ""));
  ASSERT_OK(store->TakeLease(id, "a", "", kLease));
  std::atomic<bool> stop = false;
  std::atomic<std::uint64_t> acknowledged = 0;
  std::thread appending([&] {
    Leader leader(*store, id, kOrigin, 1);
    for (std::size_t i = 0; !stop; ++i) {
      ASSERT_OK(leader.AppendSettled(1 + i * 37 % 300));
      acknowledged = leader.size();
    }
  });
  for (int round = 0; round < 3; ++round) {
    const std::uint64_t before = acknowledged;
    EXPECT_TRUE(Eventually([&] { return acknowledged > before + 2'000; }));
    ASSERT_OK(cluster->Kill());
    const std::uint64_t held = acknowledged;
    ASSERT_OK(cluster->Restart());
    ASSERT_OK_AND_ASSIGN(const std::string size, backend.Ask("SELECT size FROM onode.chain_head"));
    EXPECT_GE(std::stoull(size), held);
  }
  stop = true;
  appending.join();
  ExpectOneChain(*store, id, kOrigin);
}

}  // namespace
}  // namespace virp::onode
