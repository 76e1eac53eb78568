// What a leader on PostgreSQL may meet: taken over while it sleeps, killed between COPY and COMMIT, cut off during
// COMMIT, a standby that does not confirm, a server that crashes. Whatever happens: one chain, and nothing acknowledged
// is lost.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <thread>

#include "absl/strings/str_replace.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"
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
constexpr auto kPatience = 30s;  // for what must happen soon, on a busy machine

bool Eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(5ms);
  }
  return true;
}

// Every entry names the one before, sequences have no hole, the head is the last: there was never a fork.
void ExpectOneChain(ChainStore& store, ChainId id) {
  ASSERT_OK_AND_ASSIGN(const ChainHead head, store.ReadHead(id));
  Hash previous = chain::GenesisOf(kOrigin);
  for (std::uint64_t next = 0; next < head.size;) {
    ASSERT_OK_AND_ASSIGN(const auto rows, store.ReadEntries(id, next, 4'096));
    ASSERT_FALSE(rows.empty());
    for (const EntryRow& row : rows) {
      ASSERT_EQ(row.sequence, next++);
      ASSERT_EQ(row.bytes.substr(32, 32), View(previous)) << "entry " << row.sequence;
      ASSERT_EQ(row.leaf, chain::LeafHash(row.bytes));
      previous = row.leaf;
    }
  }
  EXPECT_EQ(previous, head.head);
  ASSERT_OK_AND_ASSIGN(const auto beyond, store.ReadEntries(id, head.size, 10));
  EXPECT_TRUE(beyond.empty());
}

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
  ExpectOneChain(*other, id);
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
  ExpectOneChain(*store, id);
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
  ExpectOneChain(*direct, id);
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
  ExpectOneChain(*direct, id);
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
  ExpectOneChain(*store, id);
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
  ExpectOneChain(*local, id);
}

// Leads a chain as the domain does: an append whose outcome is not known is settled by reading the head.
class Leader {
 public:
  Leader(ChainStore& store, ChainId id, std::uint64_t term) : store_(store), id_(id), term_(term) {
    const ChainHead head = ReadHead();
    while (chain_.size() < head.size) {
      const auto rows = store_.ReadEntries(id_, chain_.size(), 4'096);
      if (!rows.ok() || rows->empty()) std::_Exit(4);
      AppendBatch held;
      held.rows = *rows;
      held.new_head = rows->back().leaf;
      chain_.Committed(held);
    }
  }

  // OK once the batch is in the chain, however often that had to be asked; Aborted when fenced.
  absl::Status AppendSettled(std::size_t rows) {
    const AppendBatch batch = chain_.Next(term_, rows);
    while (true) {
      const absl::Status status = store_.Append(id_, batch);
      if (!status.ok() && !absl::IsUnknown(status) && !absl::IsUnavailable(status)) return status;
      if (!status.ok()) {
        const ChainHead head = ReadHead();
        if (head.term != term_) return Aborted("another leads");
        if (head.size == batch.old_size) continue;
        if (head.head != batch.new_head) return DataLoss("the chain went elsewhere");
      }
      chain_.Committed(batch);
      return absl::OkStatus();
    }
  }
  std::uint64_t size() const { return chain_.size(); }
  const Hash& head() const { return chain_.head(); }

 private:
  ChainHead ReadHead() {
    while (true) {
      auto head = store_.ReadHead(id_);
      if (head.ok()) return *std::move(head);
      std::this_thread::sleep_for(10ms);
    }
  }

  ChainStore& store_;
  const ChainId id_;
  const std::uint64_t term_;
  TestChain chain_{std::string(kOrigin)};
};

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
    Leader leader(*store, id, 1);
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
  ExpectOneChain(*store, id);
}

// The other process of the tests below: leads until it is fenced, and writes what was acknowledged to a file.
constexpr int kFenced = 3;
TEST(LeaderProcess, DISABLED_LeadsUntilFenced) {
  StoreOptions options;
  options.migrate = false;
  options.timeout = 2s;
  auto store = PostgresChainStore::Open(std::getenv("VIRP_LEADER_URL"), options);
  ASSERT_OK(store);
  const int acks = ::open(std::getenv("VIRP_LEADER_ACKS"), O_WRONLY | O_APPEND | O_CREAT, 0600);
  const ChainId id = 1;
  absl::StatusOr<ChainHead> lease = Unavailable("not tried");
  while (!lease.ok()) lease = (*store)->TakeLease(id, fmt::format("process {}", ::getpid()), "", 500ms);
  Leader leader(**store, id, lease->term);
  auto renewed = std::chrono::steady_clock::now();
  for (std::size_t i = 0;; ++i) {
    if (std::chrono::steady_clock::now() - renewed > 100ms) {
      if (absl::IsAborted((*store)->RenewLease(id, lease->term, 500ms))) std::_Exit(kFenced);
      renewed = std::chrono::steady_clock::now();
    }
    const absl::Status status = leader.AppendSettled(1 + i * 7 % 50);
    if (absl::IsAborted(status)) std::_Exit(kFenced);
    if (!status.ok()) std::_Exit(1);
    const std::string line = fmt::format("{} {}\n", leader.size(), HexEncode(View(leader.head())));
    if (::write(acks, line.data(), line.size()) != static_cast<ssize_t>(line.size())) std::_Exit(1);
  }
}

class LeaderProcessTest : public FencingTest {
 protected:
  void SetUp() override {
    store_ = Open();
    ASSERT_OK_AND_ASSIGN(id_, store_->CreateChain(kOrigin, ""));
    ASSERT_EQ(id_, 1);
  }
  void TearDown() override {
    if (child_ > 0) End(SIGKILL);
  }

  void Start() {
    ::setenv("VIRP_LEADER_URL", backend_.serving_url().c_str(), 1);
    ::setenv("VIRP_LEADER_ACKS", acks_.c_str(), 1);
    child_ = ::fork();
    if (child_ != 0) return;
    ::execl("/proc/self/exe", "leader", "--gtest_brief=1", "--gtest_also_run_disabled_tests",
            "--gtest_filter=LeaderProcess.DISABLED_LeadsUntilFenced", nullptr);
    std::_Exit(127);
  }
  int End(int signal) {
    if (signal != 0) ::kill(child_, signal);
    int status = 0;
    ::waitpid(child_, &status, 0);
    child_ = 0;
    return status;
  }
  // What the processes were told is in the chain, in the order in which they were told it.
  std::vector<std::pair<std::uint64_t, std::string>> Acks() const {
    std::vector<std::pair<std::uint64_t, std::string>> out;
    std::ifstream file(acks_);
    std::uint64_t size = 0;
    std::string head;
    while (file >> size >> head) out.emplace_back(size, head);
    return out;
  }
  void ExpectAcknowledged() {
    for (const auto& [size, head] : Acks()) {
      ASSERT_OK_AND_ASSIGN(const EntryRow row, store_->ReadEntry(id_, size - 1));
      ASSERT_EQ(HexEncode(View(row.leaf)), head) << "at size " << size;
    }
  }

  testutil::TempDir dir_;
  const std::string acks_ = dir_.File("acks");
  std::unique_ptr<ChainStore> store_;
  ChainId id_ = 0;
  pid_t child_ = 0;
};

TEST_F(LeaderProcessTest, KilledAtAnyMomentAnotherGoesOn) {
  for (int round = 0; round < 4; ++round) {
    const std::size_t before = Acks().size();
    Start();
    ASSERT_TRUE(Eventually([&] { return Acks().size() > before + 20; }));
    End(SIGKILL);
  }
  ExpectAcknowledged();
  ExpectOneChain(*store_, id_);
  ASSERT_OK_AND_ASSIGN(const ChainHead head, store_->ReadHead(id_));
  EXPECT_GE(head.term, 4U);
}

TEST_F(LeaderProcessTest, StoppedBeyondItsLeaseItIsFencedWhenItWakes) {
  for (int round = 0; round < 3; ++round) {
    const std::size_t before = Acks().size();
    Start();
    ASSERT_TRUE(Eventually([&] { return Acks().size() > before + 20; }));
    ::kill(child_, SIGSTOP);
    absl::StatusOr<ChainHead> taken = Unavailable("not tried");
    ASSERT_TRUE(Eventually([&] {
      taken = store_->TakeLease(id_, "other", "", kLease);
      return taken.ok();
    }));
    Leader leader(*store_, id_, taken->term);
    for (std::size_t i = 1; i < 5; ++i) ASSERT_OK(leader.AppendSettled(i));
    ::kill(child_, SIGCONT);
    const int status = End(0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == kFenced) << status;
    ASSERT_OK(leader.AppendSettled(5));
    ASSERT_OK(store_->ReleaseLease(id_, taken->term));
  }
  ExpectAcknowledged();
  ExpectOneChain(*store_, id_);
}

}  // namespace
}  // namespace virp::onode
