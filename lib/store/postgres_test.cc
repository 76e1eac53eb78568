#include "lib/store/postgres.h"

#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "lib/store/postgres_schema.h"
#include "sql/store_test_schema.h"
#include "tests/testutil/postgres.h"
#include "tests/testutil/socket_proxy.h"
#include "tests/testutil/status_matchers.h"

namespace virp::store {
namespace {

using absl::StatusCode;
using ::testing::HasSubstr;
using ::testing::Not;
using testutil::PostgresCluster;
using testutil::ReasonIs;
using testutil::SocketProxy;
using testutil::StatusIs;
using namespace std::chrono_literals;
using namespace std::string_literals;

class PostgresTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(url_, PostgresCluster::Shared().CreateDatabase());
    db_ = Open();
    ASSERT_NE(db_, nullptr);
  }
  std::unique_ptr<PostgresConnection> Open(PostgresOptions options) {
    if (options.url.empty()) options.url = url_;
    auto db = PostgresConnection::Open(options);
    EXPECT_OK(db);
    return db.ok() ? *std::move(db) : nullptr;
  }
  std::unique_ptr<PostgresConnection> Open() { return Open(PostgresOptions{}); }

  // One statement in its own transaction.
  template <typename... Args>
  absl::Status Run(PostgresConnection& db, std::string_view sql, const Args&... args) {
    ASSIGN_OR_RETURN(auto transaction, PostgresTransaction::Begin(db));
    RETURN_IF_ERROR(transaction.Run(sql, args...));
    return transaction.Commit();
  }
  std::int64_t Number(PostgresConnection& db, std::string_view sql) {
    auto transaction = PostgresTransaction::Begin(db);
    EXPECT_OK(transaction);
    const auto result = transaction->Exec(sql);
    EXPECT_OK(result);
    return result.ok() && result->rows() > 0 ? result->Int(0, 0) : -1;
  }

  std::string url_;
  std::unique_ptr<PostgresConnection> db_;
};

TEST_F(PostgresTest, ValuesRoundTrip) {
  ASSERT_OK(Run(
      *db_, "CREATE TABLE t (n bigint, i integer, d double precision, b boolean, s text, x bytea, o text, ox bytea)"));
  const std::string bytes = "\0\xff'\\\0x"s;
  const std::optional<std::string> none;
  const std::optional<Blob> blob{Blob(bytes)};
  for (const bool prepared : {true, false}) {
    auto db = Open({.prepared_statements = prepared});
    ASSERT_OK_AND_ASSIGN(auto transaction, PostgresTransaction::Begin(*db));
    ASSERT_OK(transaction.Run("INSERT INTO t VALUES ($1,$2,$3,$4,$5,$6,$7,$8)", std::uint64_t{1} << 62, -7, 1.5, true,
                              "it's", Blob(bytes), none, blob));
    ASSERT_OK(transaction.Run("INSERT INTO t VALUES ($1,$2,$3,$4,$5,$6,$7,$8)", nullptr, 0, 0.0, false,
                              std::string_view(), Blob(""), std::optional<std::string>("x"), std::optional<Blob>()));
    ASSERT_OK_AND_ASSIGN(const auto rows, transaction.Exec("SELECT * FROM t ORDER BY i"));
    ASSERT_EQ(rows.rows(), 2);
    EXPECT_EQ(rows.Uint(0, 0), std::uint64_t{1} << 62);
    EXPECT_EQ(rows.Int(0, 1), -7);
    EXPECT_EQ(rows.Text(0, 2), "1.5");
    EXPECT_TRUE(rows.Bool(0, 3));
    EXPECT_EQ(rows.Text(0, 4), "it's");
    EXPECT_EQ(rows.Bytes(0, 5), bytes);
    EXPECT_TRUE(rows.IsNull(0, 6));
    EXPECT_EQ(rows.Bytes(0, 7), bytes);
    EXPECT_TRUE(rows.IsNull(1, 0));
    EXPECT_FALSE(rows.Bool(1, 3));
    EXPECT_FALSE(rows.IsNull(1, 4));
    EXPECT_FALSE(rows.IsNull(1, 5));
    EXPECT_EQ(rows.Bytes(1, 5), "");
    EXPECT_EQ(rows.Text(1, 6), "x");
    EXPECT_TRUE(rows.IsNull(1, 7));
  }
}

TEST_F(PostgresTest, WhatDoesNotFitIsRefusedBeforeItIsSent) {
  ASSERT_OK_AND_ASSIGN(auto transaction, PostgresTransaction::Begin(*db_));
  EXPECT_THAT(transaction.Run("SELECT $1::text", "a\0b"s),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("zero byte at 1")));
  EXPECT_THAT(transaction.Run("SELECT $1::bigint", std::uint64_t{1} << 63), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_OK(transaction.Run("SELECT 1"));  // the transaction has not suffered
  EXPECT_OK(transaction.Commit());
}

TEST_F(PostgresTest, ErrorsAreTold) {
  ASSERT_OK(Run(*db_, "CREATE TABLE t (k bigint PRIMARY KEY CHECK (k > 0))"));
  ASSERT_OK(Run(*db_, "INSERT INTO t VALUES (1)"));
  EXPECT_THAT(Run(*db_, "INSERT INTO t VALUES ($1)", 1), StatusIs(StatusCode::kAlreadyExists, HasSubstr("23505")));
  EXPECT_THAT(Run(*db_, "INSERT INTO t VALUES ($1)", 0), StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_THAT(Run(*db_, "INSERT INTO nowhere VALUES ($1)", 0), StatusIs(StatusCode::kInternal, HasSubstr("nowhere")));
  EXPECT_THAT(Run(*db_, "SELECT $1::int / 0", 1), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(Run(*db_, "DO $$ BEGIN RAISE EXCEPTION 'append only'; END $$"),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("append only")));
  EXPECT_TRUE(db_->Usable());
  EXPECT_EQ(Number(*db_, "SELECT count(*) FROM t"), 1);
}

TEST_F(PostgresTest, SqlStatesWithoutAnEasyCause) {
  EXPECT_THAT(StatusFromSqlState("53100", "could not extend file: No space left on device"),
              StatusIs(StatusCode::kResourceExhausted));
  EXPECT_THAT(StatusFromSqlState("53100", "x"), ReasonIs("STORE_FULL"));
  EXPECT_THAT(StatusFromSqlState("XX001", "invalid page in block 3"), StatusIs(StatusCode::kDataLoss));
  EXPECT_THAT(StatusFromSqlState("25006", "x"), ReasonIs("STORE_READ_ONLY"));
  EXPECT_THAT(StatusFromSqlState("57P03", "the database system is starting up"), StatusIs(StatusCode::kUnavailable));
  EXPECT_THAT(StatusFromSqlState("40001", "x"), StatusIs(StatusCode::kAborted));
  EXPECT_THAT(StatusFromSqlState("99999", "a\nb\n"), StatusIs(StatusCode::kInternal, "a b (SQLSTATE 99999)"));
}

TEST_F(PostgresTest, RollsBackUnlessCommitted) {
  ASSERT_OK(Run(*db_, "CREATE TABLE t (k bigint)"));
  {
    ASSERT_OK_AND_ASSIGN(auto transaction, PostgresTransaction::Begin(*db_));
    ASSERT_OK(transaction.Run("INSERT INTO t VALUES (1)"));
  }
  EXPECT_EQ(Number(*db_, "SELECT count(*) FROM t"), 0);
  ASSERT_OK_AND_ASSIGN(auto transaction, PostgresTransaction::Begin(*db_));
  ASSERT_OK(transaction.Run("INSERT INTO t VALUES (1)"));
  ASSERT_OK(transaction.Commit());
  EXPECT_THAT(transaction.Commit(), StatusIs(StatusCode::kInternal));
  EXPECT_THAT(transaction.Run("SELECT 1"), StatusIs(StatusCode::kInternal));
  EXPECT_EQ(Number(*db_, "SELECT count(*) FROM t"), 1);
}

TEST_F(PostgresTest, AQueryByItselfReadsInOneRoundTrip) {
  ASSERT_OK_AND_ASSIGN(const PostgresResult sum, db_->Query("SELECT $1::bigint + 1, $2::bytea", 41, Blob("a\0b"s)));
  EXPECT_EQ(sum.Int(0, 0), 42);
  EXPECT_EQ(sum.Bytes(0, 1), "a\0b"s);
  EXPECT_OK(db_->Query("SELECT 1"));
  EXPECT_THAT(db_->Query("SELECT 1 / $1::bigint", 0), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(db_->Query("SELECT $1", "nul\0"s), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_OK(db_->Query("SELECT $1::bigint + 1, $2::bytea", 1, Blob(""))) << "an error spoils nothing";
  {
    ASSERT_OK_AND_ASSIGN(auto transaction, PostgresTransaction::Begin(*db_));
    EXPECT_THAT(db_->Query("SELECT 1"), Not(testutil::IsOk())) << "a transaction is open";
    EXPECT_OK(transaction.Run("SELECT 1"));
    EXPECT_OK(transaction.Commit());
  }
  ASSERT_OK_AND_ASSIGN(const PostgresResult pid, db_->Query("SELECT pg_backend_pid()"));
  ASSERT_OK(Run(*Open(), "SELECT pg_terminate_backend($1::bigint::int)", pid.Int(0, 0)));
  EXPECT_THAT(db_->Query("SELECT 1"), StatusIs(StatusCode::kUnavailable));
}

TEST_F(PostgresTest, AFailedStatementSpoilsItsTransaction) {
  ASSERT_OK(Run(*db_, "CREATE TABLE t (k bigint)"));
  ASSERT_OK_AND_ASSIGN(auto transaction, PostgresTransaction::Begin(*db_));
  ASSERT_OK(transaction.Run("INSERT INTO t VALUES (1)"));
  EXPECT_FALSE(transaction.Run("SELECT 1/0").ok());
  EXPECT_THAT(transaction.Run("INSERT INTO t VALUES (2)"),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("an earlier statement")));
  EXPECT_THAT(transaction.Commit(), StatusIs(StatusCode::kAborted));
  EXPECT_EQ(Number(*db_, "SELECT count(*) FROM t"), 0);
}

TEST_F(PostgresTest, ADeferredConstraintFailsTheCommitForCertain) {
  ASSERT_OK(Run(*db_, "CREATE TABLE t (k bigint UNIQUE DEFERRABLE INITIALLY DEFERRED)"));
  ASSERT_OK_AND_ASSIGN(auto transaction, PostgresTransaction::Begin(*db_));
  ASSERT_OK(transaction.Run("INSERT INTO t VALUES (1), (1)"));
  EXPECT_THAT(transaction.Commit(), StatusIs(StatusCode::kAlreadyExists));
  EXPECT_TRUE(db_->Usable());
  EXPECT_EQ(Number(*db_, "SELECT count(*) FROM t"), 0);
}

TEST_F(PostgresTest, SerializationFailuresAndDeadlocksAreAborted) {
  ASSERT_OK(Run(*db_, "CREATE TABLE t (k bigint PRIMARY KEY, v bigint)"));
  ASSERT_OK(Run(*db_, "INSERT INTO t VALUES (1, 0), (2, 0)"));
  auto other = Open();
  {
    ASSERT_OK_AND_ASSIGN(auto first, PostgresTransaction::Begin(*db_, {.isolation = Isolation::kRepeatableRead}));
    ASSERT_OK(first.Run("SELECT * FROM t"));
    ASSERT_OK(Run(*other, "UPDATE t SET v = 1"));
    EXPECT_THAT(first.Run("UPDATE t SET v = $1", 2), StatusIs(StatusCode::kAborted));
  }
  ASSERT_OK_AND_ASSIGN(auto first, PostgresTransaction::Begin(*db_));
  ASSERT_OK_AND_ASSIGN(auto second, PostgresTransaction::Begin(*other));
  ASSERT_OK(first.Run("UPDATE t SET v = 3 WHERE k = 1"));
  ASSERT_OK(second.Run("UPDATE t SET v = 3 WHERE k = 2"));
  absl::Status waiting;
  std::thread thread([&] { waiting = first.Run("UPDATE t SET v = 4 WHERE k = 2"); });
  const absl::Status closing = second.Run("UPDATE t SET v = 4 WHERE k = 1");
  thread.join();
  EXPECT_NE(waiting.ok(), closing.ok());  // the server ends one of the two
  EXPECT_THAT(waiting.ok() ? closing : waiting, StatusIs(StatusCode::kAborted));
}

TEST_F(PostgresTest, TimeoutsAreTold) {
  auto db = Open({.statement_timeout = 100ms, .lock_timeout = 50ms});
  EXPECT_THAT(Run(*db, "SELECT pg_sleep(20)"), StatusIs(StatusCode::kDeadlineExceeded));
  ASSERT_OK(Run(*db_, "CREATE TABLE t (k bigint)"));
  {
    ASSERT_OK_AND_ASSIGN(auto holder, PostgresTransaction::Begin(*db_));
    ASSERT_OK(holder.Run("LOCK TABLE t"));
    EXPECT_THAT(Run(*db, "INSERT INTO t VALUES (1)"), StatusIs(StatusCode::kUnavailable, HasSubstr("55P03")));
  }
  ASSERT_OK_AND_ASSIGN(auto patient, PostgresTransaction::Begin(*db, {.statement_timeout = 0ms}));
  EXPECT_OK(patient.Run("SELECT pg_sleep(0.15)"));
  EXPECT_OK(patient.Commit());
}

TEST_F(PostgresTest, ReadOnlyTransactionsCannotWrite) {
  ASSERT_OK(Run(*db_, "CREATE TABLE t (k bigint)"));
  ASSERT_OK_AND_ASSIGN(auto transaction, PostgresTransaction::Begin(*db_, {.read_only = true}));
  EXPECT_THAT(transaction.Run("INSERT INTO t VALUES (1)"), ReasonIs("STORE_READ_ONLY"));
}

TEST_F(PostgresTest, AnEndedBackendBreaksTheConnectionForGood) {
  const std::int64_t backend = Number(*db_, "SELECT pg_backend_pid()");
  auto other = Open();
  ASSERT_OK_AND_ASSIGN(auto transaction, PostgresTransaction::Begin(*db_));
  ASSERT_OK(transaction.Run("SELECT 1"));
  ASSERT_OK(Run(*other, "SELECT pg_terminate_backend($1::int)", backend));
  while (Number(*other, fmt::format("SELECT count(*) FROM pg_stat_activity WHERE pid = {}", backend)) > 0)
    std::this_thread::yield();
  EXPECT_THAT(transaction.Run("SELECT $1::int", 1), StatusIs(StatusCode::kUnavailable));
  EXPECT_THAT(transaction.Commit(), StatusIs(StatusCode::kAborted));
  EXPECT_FALSE(db_->Usable());
  EXPECT_THAT(PostgresTransaction::Begin(*db_), StatusIs(StatusCode::kUnavailable));
  EXPECT_THAT(PostgresTransaction::Begin(*db_), StatusIs(StatusCode::kUnavailable));
}

TEST_F(PostgresTest, AnIdleConnectionThatWasEndedIsNoticedWithoutARoundTrip) {
  const std::int64_t backend = Number(*db_, "SELECT pg_backend_pid()");
  auto other = Open();
  EXPECT_TRUE(db_->Usable());
  ASSERT_OK(Run(*other, "SELECT pg_terminate_backend($1::int)", backend));
  const auto deadline = std::chrono::steady_clock::now() + 20s;
  while (db_->Usable() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_FALSE(db_->Usable());
}

class InDoubtTest : public PostgresTest, public ::testing::WithParamInterface<SocketProxy::Cut> {};

TEST_P(InDoubtTest, ALineCutDuringCommitIsUnknown) {
  ASSERT_OK(Run(*db_, "CREATE TABLE t (k bigint)"));
  SocketProxy proxy(".s.PGSQL.5432", PostgresCluster::Shared().socket_dir() + "/.s.PGSQL.5432");
  std::string url = url_;
  url.replace(url.find("host=") + 5, std::string::npos, proxy.folder());
  auto db = Open({.url = url});
  ASSERT_NE(db, nullptr);
  ASSERT_OK_AND_ASSIGN(auto transaction, PostgresTransaction::Begin(*db));
  ASSERT_OK(transaction.Run("INSERT INTO t VALUES ($1)", 1));
  proxy.CutOn("COMMIT", GetParam());
  const absl::Status status = transaction.Commit();
  EXPECT_THAT(status, StatusIs(StatusCode::kUnknown));
  EXPECT_THAT(status, ReasonIs("COMMIT_IN_DOUBT"));
  EXPECT_EQ(proxy.cuts(), 1);
  EXPECT_FALSE(db->Usable());
  // What the client cannot know: either may be true, and both happen.
  EXPECT_EQ(Number(*db_, "SELECT count(*) FROM t"), GetParam() == SocketProxy::Cut::kAfter ? 1 : 0);
}

INSTANTIATE_TEST_SUITE_P(Both, InDoubtTest, ::testing::Values(SocketProxy::Cut::kBefore, SocketProxy::Cut::kAfter));

TEST_F(PostgresTest, ALineCutBeforeCommitIsNotInDoubt) {
  ASSERT_OK(Run(*db_, "CREATE TABLE t (k bigint)"));
  SocketProxy proxy(".s.PGSQL.5432", PostgresCluster::Shared().socket_dir() + "/.s.PGSQL.5432");
  std::string url = url_;
  url.replace(url.find("host=") + 5, std::string::npos, proxy.folder());
  auto db = Open({.url = url});
  ASSERT_NE(db, nullptr);
  ASSERT_OK_AND_ASSIGN(auto transaction, PostgresTransaction::Begin(*db));
  proxy.CutOn("INSERT", SocketProxy::Cut::kAfter);
  EXPECT_THAT(transaction.Run("INSERT INTO t VALUES (1)"), StatusIs(StatusCode::kUnavailable));
  EXPECT_THAT(transaction.Commit(), StatusIs(StatusCode::kAborted));
}

TEST(PostgresServerTest, ACancelledWaitForTheStandbyIsUnknown) {
  ASSERT_OK_AND_ASSIGN(auto cluster,
                       PostgresCluster::Start({.fsync = false, .settings = {"synchronous_standby_names = 'nobody'"}}));
  PostgresOptions options{.url = cluster->Url("postgres"), .statement_timeout = 200ms, .require_durable = false};
  ASSERT_OK_AND_ASSIGN(auto db, PostgresConnection::Open(options));
  ASSERT_OK_AND_ASSIGN(auto other, PostgresConnection::Open(options));
  std::vector<std::string> notices;
  options.on_notice = [&](std::string_view severity, std::string_view) { notices.emplace_back(severity); };
  ASSERT_OK_AND_ASSIGN(auto writer, PostgresConnection::Open(options));
  absl::Status committed;
  std::int64_t pid = 0;
  {
    ASSERT_OK_AND_ASSIGN(auto transaction, PostgresTransaction::Begin(*writer));
    ASSERT_OK_AND_ASSIGN(const auto row, transaction.Exec("SELECT pg_backend_pid()"));
    pid = row.Int(0, 0);
    ASSERT_OK(transaction.Run("CREATE TABLE t (k bigint)"));
    std::thread thread([&] { committed = transaction.Commit(); });
    const auto waits = [&] {
      auto look = PostgresTransaction::Begin(*other, {.read_only = true});
      const auto found =
          look->Exec("SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'SyncRep'", pid);
      return found.ok() && found->Int(0, 0) == 1;
    };
    while (!waits()) std::this_thread::yield();
    std::this_thread::sleep_for(300ms);  // longer than the statement timeout, which must not strike here
    EXPECT_TRUE(waits());
    auto cancel = PostgresTransaction::Begin(*other, {.read_only = true});
    EXPECT_OK(cancel->Run("SELECT pg_cancel_backend($1::int)", pid));
    thread.join();
  }
  EXPECT_THAT(committed, StatusIs(StatusCode::kUnknown));
  EXPECT_THAT(committed, ReasonIs("COMMIT_IN_DOUBT"));
  EXPECT_EQ(notices, std::vector<std::string>{"WARNING"});
}

TEST(PostgresServerTest, AServerThatMayForgetIsRefused) {
  for (const char* setting : {"fsync = off", "full_page_writes = off", "synchronous_commit = off"}) {
    ASSERT_OK_AND_ASSIGN(auto cluster, PostgresCluster::Start({.settings = {setting}}));
    const auto refused = PostgresConnection::Open({.url = cluster->Url("postgres")});
    EXPECT_THAT(refused, ReasonIs("STORE_NOT_DURABLE"));
    EXPECT_THAT(refused, StatusIs(StatusCode::kFailedPrecondition, HasSubstr(std::string(setting).substr(0, 5))));
    EXPECT_OK(PostgresConnection::Open({.url = cluster->Url("postgres"), .require_durable = false}));
  }
}

TEST_F(PostgresTest, SessionSettingsOfTheRoleCount) {
  ASSERT_OK(Run(
      *db_, "DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' SET synchronous_commit = off'; END $$"));
  EXPECT_THAT(PostgresConnection::Open({.url = url_}), ReasonIs("STORE_NOT_DURABLE"));
}

TEST_F(PostgresTest, ConnectingSaysWhatIsWrongButNeverThePassword) {
  testutil::TempDir dir;
  EXPECT_THAT(PostgresConnection::Open({.url = "postgresql://u:s3cret@/x?host=" + dir.path()}),
              StatusIs(StatusCode::kUnavailable, ::testing::AllOf(HasSubstr(dir.path()), Not(HasSubstr("s3cret")))));
  EXPECT_THAT(PostgresConnection::Open({.url = "postgresql://u:s3cret@/x?nonsense=s3cret"}),
              StatusIs(StatusCode::kInvalidArgument, Not(HasSubstr("s3cret"))));
  EXPECT_THAT(PostgresConnection::Open({.url = "sqlite:x"}), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(PostgresConnection::Open({.url = url_, .password_file = dir.File("missing")}),
              StatusIs(StatusCode::kFailedPrecondition));
  std::ofstream(dir.File("password")) << "it's \\ quoted\n";
  EXPECT_OK(PostgresConnection::Open({.url = url_, .password_file = dir.File("password")}));
}

TEST_F(PostgresTest, AClusterOfSomebodyElseGivesDatabasesAndIsLeftAlone) {
  const auto foreign = PostgresCluster::Attach(PostgresCluster::Shared().socket_dir());
  ASSERT_OK_AND_ASSIGN(const std::string url, foreign->CreateDatabase());
  EXPECT_OK(PostgresConnection::Open({.url = url}));
  EXPECT_THAT(foreign->Stop(), StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_THAT(foreign->Kill(), StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_THAT(foreign->Restart(), StatusIs(StatusCode::kFailedPrecondition));
}

TEST_F(PostgresTest, MigratesOnceAndRefusesTheFuture) {
  const auto files = schema::StoreTestSchema();
  EXPECT_THAT(CheckSchema(*db_, files), ReasonIs("SCHEMA_TOO_OLD"));
  ASSERT_OK_AND_ASSIGN(SchemaChange change, Migrate(*db_, files.first(1)));
  EXPECT_EQ(change.to, 1);
  ASSERT_OK_AND_ASSIGN(change, Migrate(*db_, files));
  EXPECT_EQ(change.from, 1);
  EXPECT_EQ(change.to, 2);
  EXPECT_OK(CheckSchema(*db_, files));
  EXPECT_EQ(Number(*db_, "SELECT count(*) FROM session"), 0);
  EXPECT_THAT(Migrate(*db_, files.first(1)), ReasonIs("SCHEMA_TOO_NEW"));
  ASSERT_OK(Run(*db_, "UPDATE virp_schema SET sha256='00' WHERE number=1"));
  EXPECT_THAT(Migrate(*db_, files), ReasonIs("SCHEMA_CHANGED"));
}

TEST_F(PostgresTest, AFailingMigrationLeavesNothing) {
  const Migration broken[] = {{1, "one", "aa", "CREATE TABLE t (v bigint)"},
                              {2, "two", "bb", "CREATE TABLE u (v bigint); CREATE TABL x"}};
  EXPECT_THAT(Migrate(*db_, broken), StatusIs(StatusCode::kInternal, HasSubstr("002_two")));
  EXPECT_EQ(Number(*db_, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), 0);
  const Migration cheating[] = {{1, "one", "aa", "CREATE TABLE t (v bigint); COMMIT"}};
  EXPECT_THAT(Migrate(*db_, cheating), StatusIs(StatusCode::kInternal, HasSubstr("ended the transaction")));
}

TEST_F(PostgresTest, TwoProcessesMigrateOneAfterTheOther) {
  const auto files = schema::StoreTestSchema();
  std::vector<std::thread> threads;
  std::atomic<int> applied = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      auto db = Open();
      const auto change = Migrate(*db, files);
      ASSERT_OK(change);
      applied += change->to - change->from;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(applied, 2);
}

}  // namespace
}  // namespace virp::store
