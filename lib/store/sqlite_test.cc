#include "lib/store/sqlite.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "lib/store/sqlite_schema.h"
#include "sql/store_test_schema.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"

namespace virp::store {
namespace {

using absl::StatusCode;
using ::testing::HasSubstr;
using testutil::ReasonIs;
using testutil::StatusIs;
using namespace std::chrono_literals;
using namespace std::string_literals;

class SqliteTest : public ::testing::Test {
 protected:
  std::unique_ptr<SqliteDb> Open(const SqliteOptions& options) {
    auto db = SqliteDb::Open(options);
    EXPECT_OK(db);
    return db.ok() ? *std::move(db) : nullptr;
  }
  std::unique_ptr<SqliteDb> Open() { return Open(SqliteOptions{.path = path_, .busy_timeout = 0ms}); }

  static std::int64_t Count(SqliteDb& db, std::string_view table) {
    auto statement = db.Prepare(fmt::format("SELECT count(*) FROM {}", table));
    EXPECT_OK(statement);
    EXPECT_OK(statement->One());
    return statement->Int(0);
  }
  static std::string Pragma(SqliteDb& db, std::string_view name) {
    auto statement = db.Prepare(fmt::format("PRAGMA {}", name));
    EXPECT_OK(statement);
    EXPECT_OK(statement->One());
    return std::string(statement->Text(0));
  }

  testutil::TempDir dir_;
  std::string path_ = dir_.File("test.db");
};

TEST_F(SqliteTest, OpensDurablyAndPrivately) {
  auto db = Open();
  EXPECT_EQ(Pragma(*db, "journal_mode"), "wal");
  EXPECT_EQ(Pragma(*db, "synchronous"), "2");
  EXPECT_EQ(Pragma(*db, "foreign_keys"), "1");
  ASSERT_OK(db->Exec("CREATE TABLE t (x INTEGER)"));
  struct stat info{};
  for (const std::string& file : {path_, path_ + "-wal"}) {
    ASSERT_EQ(::stat(file.c_str(), &info), 0) << file;
    EXPECT_EQ(info.st_mode & 0777U, 0600U) << file;
  }
}

TEST_F(SqliteTest, WhatCanBeMadeAgainNeedsNoSync) {
  auto db = Open({.path = path_, .durable = false});
  EXPECT_EQ(Pragma(*db, "journal_mode"), "wal");
  EXPECT_EQ(Pragma(*db, "synchronous"), "1");
}

TEST_F(SqliteTest, ATemporaryDatabaseIsItsConnectionsOwn) {
  const SqliteOptions options{.path = std::string(SqliteDb::kTemporary)};
  auto one = Open(options);
  auto other = Open(options);
  ASSERT_OK(one->Exec("CREATE TABLE t (x INTEGER); INSERT INTO t VALUES (1)"));
  EXPECT_EQ(Count(*one, "t"), 1);
  EXPECT_FALSE(other->Prepare("SELECT x FROM t").ok());
  EXPECT_FALSE(std::filesystem::exists(SqliteDb::kTemporary));
}

TEST_F(SqliteTest, ValuesRoundTrip) {
  auto db = Open();
  ASSERT_OK(db->Exec("CREATE TABLE t (i INTEGER, s TEXT, b BLOB, n TEXT)"));
  const std::string bytes = "\0\xff\0x"s;
  const std::optional<std::string> none;
  ASSERT_OK(db->Run("INSERT INTO t VALUES (?,?,?,?)", -7, "text", Blob(bytes), none));
  ASSERT_OK(db->Run("INSERT INTO t VALUES (?,?,?,?)", std::uint64_t{1} << 62, std::string_view(), Blob(""), nullptr));
  ASSERT_OK_AND_ASSIGN(auto read, db->Prepare("SELECT i, s, b, n, typeof(b), typeof(s) FROM t ORDER BY rowid"));
  ASSERT_OK(read.Bind());
  ASSERT_OK_AND_ASSIGN(bool row, read.Step());
  ASSERT_TRUE(row);
  EXPECT_EQ(read.Int(0), -7);
  EXPECT_EQ(read.Text(1), "text");
  EXPECT_EQ(read.Bytes(2), bytes);
  EXPECT_TRUE(read.IsNull(3));
  EXPECT_EQ(read.Text(4), "blob");
  ASSERT_OK_AND_ASSIGN(row, read.Step());
  ASSERT_TRUE(row);
  EXPECT_EQ(read.Uint(0), std::uint64_t{1} << 62);
  EXPECT_FALSE(read.IsNull(1));
  EXPECT_FALSE(read.IsNull(2));
  EXPECT_EQ(read.Bytes(2), "");
  EXPECT_EQ(read.Text(5), "text");
  ASSERT_OK_AND_ASSIGN(row, read.Step());
  EXPECT_FALSE(row);
}

TEST_F(SqliteTest, WhatDoesNotFitIsRefusedNotChanged) {
  auto db = Open();
  ASSERT_OK(db->Exec("CREATE TABLE t (v)"));
  EXPECT_THAT(db->Run("INSERT INTO t VALUES (?)", "a\0b"s),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("zero byte at 1")));
  EXPECT_THAT(db->Run("INSERT INTO t VALUES (?)", std::uint64_t{1} << 63), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(db->Run("INSERT INTO t VALUES (?)"), StatusIs(StatusCode::kInvalidArgument, HasSubstr("0 parameters")));
  EXPECT_THAT(db->Run("INSERT INTO t VALUES (?)", 1, 2), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(db->Run("INSERT INTO t VALUES (1); DELETE FROM t"),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("more than one")));
  EXPECT_THAT(db->Run("INSERT INTO nowhere VALUES (1)"), StatusIs(StatusCode::kInvalidArgument, HasSubstr("nowhere")));
  EXPECT_THAT(db->Run(""), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_EQ(Count(*db, "t"), 0);
}

TEST_F(SqliteTest, ConstraintsAreTold) {
  auto db = Open();
  ASSERT_OK(
      db->Exec("CREATE TABLE p (k TEXT PRIMARY KEY, v INTEGER CHECK (v > 0)) STRICT;"
               "CREATE TABLE c (k TEXT REFERENCES p (k)) STRICT; CREATE TABLE u (x INTEGER UNIQUE) STRICT;"));
  ASSERT_OK(db->Run("INSERT INTO p VALUES ('a', 1)"));
  EXPECT_THAT(db->Run("INSERT INTO p VALUES ('a', 2)"), StatusIs(StatusCode::kAlreadyExists));
  EXPECT_THAT(db->Run("INSERT INTO p VALUES ('b', 0)"), StatusIs(StatusCode::kFailedPrecondition));
  EXPECT_THAT(db->Run("INSERT INTO c VALUES ('missing')"), StatusIs(StatusCode::kFailedPrecondition));
  ASSERT_OK(db->Run("INSERT INTO u VALUES (1)"));
  EXPECT_THAT(db->Run("INSERT INTO u VALUES (1)"), StatusIs(StatusCode::kAlreadyExists));
}

TEST_F(SqliteTest, TransactionsRollBackUnlessCommitted) {
  auto db = Open();
  ASSERT_OK(db->Exec("CREATE TABLE t (v)"));
  {
    ASSERT_OK_AND_ASSIGN(auto transaction, SqliteTransaction::Begin(*db));
    ASSERT_OK(db->Run("INSERT INTO t VALUES (1)"));
    EXPECT_TRUE(db->InTransaction());
  }
  EXPECT_FALSE(db->InTransaction());
  EXPECT_EQ(Count(*db, "t"), 0);
  {
    ASSERT_OK_AND_ASSIGN(auto transaction, SqliteTransaction::Begin(*db));
    ASSERT_OK(db->Run("INSERT INTO t VALUES (1)"));
    ASSERT_OK(transaction.Commit());
    EXPECT_THAT(transaction.Commit(), StatusIs(StatusCode::kInternal));
  }
  db.reset();
  EXPECT_EQ(Count(*Open(), "t"), 1);
}

TEST_F(SqliteTest, ALockedDatabaseIsUnavailableAndReadersAreNotBlocked) {
  auto writer = Open();
  ASSERT_OK(writer->Exec("CREATE TABLE t (v)"));
  auto other = Open();
  ASSERT_OK_AND_ASSIGN(auto transaction, SqliteTransaction::Begin(*writer));
  ASSERT_OK(writer->Run("INSERT INTO t VALUES (1)"));
  EXPECT_THAT(SqliteTransaction::Begin(*other), StatusIs(StatusCode::kUnavailable));
  EXPECT_EQ(Count(*other, "t"), 0);
  ASSERT_OK(transaction.Commit());
  EXPECT_EQ(Count(*other, "t"), 1);
}

TEST_F(SqliteTest, AReadTransactionIsASnapshot) {
  auto writer = Open();
  ASSERT_OK(writer->Exec("CREATE TABLE t (v)"));
  auto reader = Open();
  ASSERT_OK_AND_ASSIGN(auto snapshot, SqliteTransaction::Begin(*reader, SqliteTransaction::Kind::kRead));
  EXPECT_EQ(Count(*reader, "t"), 0);
  ASSERT_OK(writer->Run("INSERT INTO t VALUES (1)"));
  EXPECT_EQ(Count(*reader, "t"), 0);
  ASSERT_OK(snapshot.Commit());
  EXPECT_EQ(Count(*reader, "t"), 1);
}

TEST_F(SqliteTest, AFullDiskIsResourceExhaustedAndLosesNothing) {
  auto db = Open();
  ASSERT_OK(db->Exec("CREATE TABLE t (v BLOB); INSERT INTO t VALUES (x'00'); PRAGMA max_page_count=8"));
  const std::string big(20'000, 'x');
  {
    ASSERT_OK_AND_ASSIGN(auto transaction, SqliteTransaction::Begin(*db));
    absl::Status status;
    for (int i = 0; i < 10 && status.ok(); ++i) status = db->Run("INSERT INTO t VALUES (?)", Blob(big));
    EXPECT_THAT(status, StatusIs(StatusCode::kResourceExhausted));
    EXPECT_THAT(status, ReasonIs("STORE_FULL"));
  }
  EXPECT_FALSE(db->InTransaction());
  EXPECT_EQ(Count(*db, "t"), 1);
  ASSERT_OK(db->Exec("PRAGMA max_page_count=1000"));
  EXPECT_OK(db->Run("INSERT INTO t VALUES (?)", Blob(big)));
}

TEST_F(SqliteTest, DamageIsDataLoss) {
  {
    auto db = Open();
    ASSERT_OK(db->Exec("CREATE TABLE t (v BLOB); CREATE INDEX i ON t (v)"));
    for (int i = 0; i < 200; ++i)
      ASSERT_OK(db->Run("INSERT INTO t VALUES (?)", Blob(std::string(500, static_cast<char>(i)))));
    ASSERT_OK(db->Checkpoint());
  }
  {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096 * 3);
    const std::string garbage(4096 * 4, '\x5a');
    file.write(garbage.data(), static_cast<std::streamsize>(garbage.size()));
  }
  auto db = Open();
  ASSERT_OK_AND_ASSIGN(auto read, db->Prepare("SELECT sum(length(v)) FROM t NOT INDEXED"));
  ASSERT_OK(read.Bind());
  EXPECT_THAT(read.Step(), StatusIs(StatusCode::kDataLoss));
}

TEST_F(SqliteTest, WhatIsNotADatabaseIsDataLoss) {
  std::ofstream(path_) << std::string(8192, 'x');
  EXPECT_THAT(SqliteDb::Open({.path = path_}), StatusIs(StatusCode::kDataLoss));
}

TEST_F(SqliteTest, MissingFilesAndFolders) {
  EXPECT_THAT(SqliteDb::Open({.path = path_, .create = false}), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(SqliteDb::Open({.path = dir_.File("no/such.db")}),
              StatusIs(StatusCode::kUnavailable, HasSubstr("no/such.db")));
  EXPECT_THAT(SqliteDb::Open({.path = ""}), StatusIs(StatusCode::kInvalidArgument));
}

TEST_F(SqliteTest, ReadOnlyCannotWrite) {
  ASSERT_OK(Open()->Exec("CREATE TABLE t (v)"));
  auto db = Open({.path = path_, .read_only = true});
  EXPECT_EQ(Count(*db, "t"), 0);
  EXPECT_THAT(db->Run("INSERT INTO t VALUES (1)"), StatusIs(StatusCode::kFailedPrecondition));
}

TEST_F(SqliteTest, StatementsAreCachedWithinTheirBound) {
  auto db = Open({.path = path_, .statement_cache = 2});
  ASSERT_OK(db->Exec("CREATE TABLE t (v)"));
  ASSERT_OK(db->Run("INSERT INTO t VALUES (1)"));
  ASSERT_OK(db->Run("INSERT INTO t VALUES (2)"));
  ASSERT_OK_AND_ASSIGN(auto outer, db->Prepare("SELECT v FROM t ORDER BY v"));
  ASSERT_OK(outer.One());
  {
    // The same SQL once more while the first is in use, and others to push everything out of the cache.
    ASSERT_OK_AND_ASSIGN(auto inner, db->Prepare("SELECT v FROM t ORDER BY v"));
    ASSERT_OK(inner.One());
    EXPECT_EQ(inner.Int(0), 1);
    for (int i = 0; i < 10; ++i) ASSERT_OK(db->Run(fmt::format("SELECT {}", i)));
  }
  ASSERT_OK_AND_ASSIGN(const bool row, outer.Step());
  ASSERT_TRUE(row);
  EXPECT_EQ(outer.Int(0), 2);
}

TEST_F(SqliteTest, ThePageSizeIsThatOfANewFileOnly) {
  Open(SqliteOptions{.path = path_, .page_size = 8192})->Exec("CREATE TABLE t (x)").IgnoreError();
  EXPECT_EQ(Pragma(*Open(SqliteOptions{.path = path_, .page_size = 1024}), "page_size"), "8192");
}

TEST_F(SqliteTest, CommitsLeaveTheLogToWhoeverCopiesIt) {
  auto writer = Open();
  auto copier = Open();
  int pages = 0;
  writer->OnCommit([&](int now) { pages = now; });
  ASSERT_OK(writer->Exec("CREATE TABLE t (x BLOB)"));
  while (pages < 3'000) {  // three times SQLite's automatic checkpoint
    const int before = pages;
    ASSERT_OK(writer->Exec("INSERT INTO t VALUES (zeroblob(1000000))"));
    ASSERT_GT(pages, before);
  }
  {
    ASSERT_OK_AND_ASSIGN(SqliteTransaction reading, SqliteTransaction::Begin(*copier, SqliteTransaction::Kind::kRead));
    EXPECT_EQ(Count(*copier, "t"), Count(*writer, "t"));
    ASSERT_OK(writer->Exec("INSERT INTO t VALUES (1)"));
    auto third = Open();
    ASSERT_OK_AND_ASSIGN(const SqliteDb::LogProgress held, third->CopyLog());
    EXPECT_LT(held.copied, held.pages) << "a reader's snapshot must not be overwritten";
  }
  ASSERT_OK_AND_ASSIGN(const SqliteDb::LogProgress all, copier->CopyLog());
  EXPECT_EQ(all.copied, all.pages);
  EXPECT_EQ(all.pages, pages);
  ASSERT_OK(writer->Exec("INSERT INTO t VALUES (2)"));
  EXPECT_LT(pages, 10) << "the log starts over once all of it is copied";
}

TEST_F(SqliteTest, InterruptEndsAQuery) {
  auto db = Open();
  std::atomic<bool> done = false;
  std::thread interrupter([&] {
    while (!done) {
      db->Interrupt();
      std::this_thread::yield();
    }
  });
  const absl::Status status =
      db->Run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n");
  done = true;
  interrupter.join();
  EXPECT_THAT(status, StatusIs(StatusCode::kCancelled));
}

TEST_F(SqliteTest, MigratesOnceAndRefusesTheFuture) {
  auto db = Open();
  const auto files = schema::StoreTestSchema();
  EXPECT_THAT(CheckSchema(*db, files), ReasonIs("SCHEMA_TOO_OLD"));
  ASSERT_OK_AND_ASSIGN(SchemaChange change, Migrate(*db, files.first(1)));
  EXPECT_EQ(change.from, 0);
  EXPECT_EQ(change.to, 1);
  ASSERT_OK_AND_ASSIGN(change, Migrate(*db, files));
  EXPECT_EQ(change.from, 1);
  EXPECT_EQ(change.to, 2);
  ASSERT_OK_AND_ASSIGN(change, Migrate(*db, files));
  EXPECT_EQ(change.from, 2);
  EXPECT_OK(CheckSchema(*db, files));
  EXPECT_EQ(Count(*db, "session"), 0);
  EXPECT_THAT(Migrate(*db, files.first(1)), ReasonIs("SCHEMA_TOO_NEW"));
  ASSERT_OK(db->Run("UPDATE virp_schema SET sha256='00' WHERE number=1"));
  EXPECT_THAT(Migrate(*db, files), ReasonIs("SCHEMA_CHANGED"));
}

TEST_F(SqliteTest, AFailingMigrationLeavesNothing) {
  auto db = Open();
  const Migration broken[] = {{1, "one", "aa", "CREATE TABLE t (v)"},
                              {2, "two", "bb", "CREATE TABLE u (v); CREATE TABL x"}};
  EXPECT_THAT(Migrate(*db, broken), StatusIs(StatusCode::kInvalidArgument, HasSubstr("002_two")));
  EXPECT_THAT(db->Run("SELECT * FROM t"), StatusIs(StatusCode::kInvalidArgument));
  const Migration cheating[] = {{1, "one", "aa", "CREATE TABLE t (v); COMMIT"}};
  EXPECT_THAT(Migrate(*db, cheating), StatusIs(StatusCode::kInternal));
}

TEST_F(SqliteTest, TwoProcessesMigrateOneAfterTheOther) {
  const auto files = schema::StoreTestSchema();
  std::vector<std::thread> threads;
  std::atomic<int> applied = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      auto db = Open({.path = path_});
      const auto change = Migrate(*db, files);
      ASSERT_OK(change);
      applied += change->to - change->from;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(applied, 2);
}

// SQLite itself answers SQLITE_BUSY at once, whatever its busy timeout, while another holds a new file's write lock.
TEST_F(SqliteTest, OpenWaitsForWhoeverTurnsANewFileToWal) {
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(path_.c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  constexpr std::chrono::milliseconds kPatience{60};
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THAT(SqliteDb::Open({.path = path_, .busy_timeout = kPatience}).status(), StatusIs(StatusCode::kUnavailable));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, kPatience);
  ASSERT_EQ(sqlite3_close(other), SQLITE_OK);
  EXPECT_OK(SqliteDb::Open({.path = path_, .busy_timeout = kPatience}).status());
}

}  // namespace
}  // namespace virp::store
