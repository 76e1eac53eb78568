// What only SQLite has: a file that can be copied, filled up and locked, and a log that has to be emptied.
#include "services/onode/storage/sqlite/sqlite_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "lib/base/error_info.h"
#include "services/onode/storage/open.h"
#include "tests/conformance/test_chain.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"

namespace virp::onode {
namespace {

using absl::StatusCode;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testutil::ReasonIs;
using testutil::StatusIs;
using namespace std::chrono_literals;

constexpr std::string_view kOrigin = "virp.example.net/site1";

class SqliteStoreTest : public ::testing::Test {
 protected:
  std::unique_ptr<SqliteChainStore> Open(const std::string& path, StoreOptions options = {}) {
    options.clock = &clock_;
    auto store = SqliteChainStore::Open(path, options);
    EXPECT_OK(store);
    return store.ok() ? *std::move(store) : nullptr;
  }
  ChainId NewChain(ChainStore& store) {
    auto id = store.CreateChain(kOrigin, "");
    EXPECT_OK(id);
    EXPECT_OK(store.TakeLease(*id, "a", "", 1h));
    return *id;
  }
  void Append(ChainStore& store, ChainId id, std::size_t rows) {
    const AppendBatch batch = chain_.Next(1, rows);
    ASSERT_OK(store.Append(id, batch));
    chain_.Committed(batch);
  }
  static absl::Status Sql(const std::string& path, std::string_view sql) {
    store::SqliteOptions options;
    options.path = path;
    ASSIGN_OR_RETURN(const auto db, store::SqliteDb::Open(options));
    return db->Exec(sql);
  }

  testutil::TempDir dir_;
  const std::string path_ = dir_.File("chain.db");
  FakeClock clock_;
  TestChain chain_{std::string(kOrigin)};
};

TEST_F(SqliteStoreTest, ACopyOpensReadOnlyAndShowsWhatWasDoneToIt) {
  auto store = Open(path_);
  const ChainId id = NewChain(*store);
  Append(*store, id, 300);
  const std::string copy = dir_.File("copy.db");
  for (const char* part : {"", "-wal"}) std::filesystem::copy_file(path_ + part, copy + part);  // as they stand, in use
  Append(*store, id, 5);

  StoreOptions read_only;
  read_only.read_only = true;
  {
    auto other = Open(copy, read_only);
    ASSERT_OK_AND_ASSIGN(const ChainHead head, other->ReadHead(id));
    EXPECT_EQ(head.size, 300U);
    EXPECT_EQ(head.holder, "a") << "what the copy says; nobody takes it for a leader";
    EXPECT_THAT(other->Append(id, chain_.Next(1, 1)), StatusIs(StatusCode::kFailedPrecondition));
  }
  ASSERT_OK(
      Sql(copy,
          "DROP TRIGGER entry_no_update;"
          "UPDATE entry SET bytes = CAST(substr(bytes, 1, 200) || x'00' || substr(bytes, 202) AS BLOB) WHERE seq=7"));
  auto other = Open(copy, read_only);
  ASSERT_OK_AND_ASSIGN(const EntryRow changed, other->ReadEntry(id, 7));
  EXPECT_NE(chain::LeafHash(changed.bytes), changed.leaf);
  ASSERT_OK_AND_ASSIGN(const EntryRow original, store->ReadEntry(id, 7));
  EXPECT_EQ(chain::LeafHash(original.bytes), original.leaf);
}

TEST_F(SqliteStoreTest, AClosedDatabaseIsOneFile) {
  {
    auto store = Open(path_);
    const ChainId id = NewChain(*store);
    Append(*store, id, 10);
    EXPECT_OK(store->ReadHead(id));  // by a reader, which cannot empty the log
  }
  EXPECT_FALSE(std::filesystem::exists(path_ + "-wal"));
  std::filesystem::rename(path_, dir_.File("moved.db"));
  StoreOptions read_only;
  read_only.read_only = true;
  auto moved = Open(dir_.File("moved.db"), read_only);
  ASSERT_OK_AND_ASSIGN(const auto rows, moved->ReadEntries(1, 0, 100));
  EXPECT_EQ(rows.size(), 10U);
}

TEST_F(SqliteStoreTest, AFullStoreRefusesSaysSoLosesNothingAndRecovers) {
  StoreOptions small;
  small.limit_bytes = 1 << 20;
  std::optional<AppendBatch> refused;
  ChainId id = 0;
  {
    auto store = Open(path_, small);
    id = NewChain(*store);
    absl::Status status;
    while (status.ok()) {
      refused = chain_.Next(1, 100);
      status = store->Append(id, *refused);
      if (status.ok()) chain_.Committed(*refused);
    }
    EXPECT_THAT(status, AllOf(StatusIs(StatusCode::kResourceExhausted), ReasonIs("STORE_FULL")));
    ASSERT_GT(chain_.size(), 500U);
    ASSERT_OK_AND_ASSIGN(const ChainHead head, store->ReadHead(id));
    EXPECT_EQ(head.size, chain_.size());
    EXPECT_EQ(head.head, chain_.head());
    EXPECT_OK(store->ReadLeafHashes(id, 0, chain_.size()));
    EXPECT_THAT(store->Append(id, *refused), StatusIs(StatusCode::kResourceExhausted)) << "and again";
    EXPECT_OK(store->RenewLease(id, 1, 1h)) << "what needs no room still works";
    ASSERT_OK_AND_ASSIGN(const StoreUsage usage, store->Usage());
    EXPECT_EQ(usage.limit_bytes, small.limit_bytes);
  }
  auto store = Open(path_);
  ASSERT_OK(store->Append(id, *refused));
  chain_.Committed(*refused);
  ASSERT_OK_AND_ASSIGN(const auto leaves, store->ReadLeafHashes(id, 0, chain_.size()));
  EXPECT_EQ(leaves.back(), chain_.head());
}

TEST_F(SqliteStoreTest, WhatCannotBeOpened) {
  EXPECT_THAT(SqliteChainStore::Open(":memory:", {}), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(SqliteChainStore::Open("", {}), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(SqliteChainStore::Open(dir_.File("no/such/folder.db"), {}), StatusIs(StatusCode::kUnavailable));
  StoreOptions read_only;
  read_only.read_only = true;
  EXPECT_THAT(SqliteChainStore::Open(dir_.File("none.db"), read_only), StatusIs(StatusCode::kNotFound));
  EXPECT_FALSE(std::filesystem::exists(dir_.File("none.db")));
  std::ofstream(dir_.File("text.db")) << std::string(10'000, 'x');
  EXPECT_THAT(SqliteChainStore::Open(dir_.File("text.db"), {}), StatusIs(StatusCode::kDataLoss));
  ASSERT_OK(Sql(dir_.File("other.db"), "CREATE TABLE chain (x)"));
  EXPECT_THAT(SqliteChainStore::Open(dir_.File("other.db"), {}), ::testing::Not(testutil::IsOk())) << "not ours to use";
}

TEST_F(SqliteStoreTest, OpensByUrl) {
  ASSERT_OK_AND_ASSIGN(const store::StorageUrl url,
                       store::ParseStorageUrl("sqlite:" + path_, store::UrlOrigin::kCommandLine));
  StoreOptions options;
  options.migrate = false;
  EXPECT_THAT(OpenStore(url, options), StatusIs(StatusCode::kFailedPrecondition));
  ASSERT_OK(MigrateStore(url, options));
  ASSERT_OK_AND_ASSIGN(const auto store, OpenStore(url, options));
  EXPECT_OK(store->ListChains());
}

TEST_F(SqliteStoreTest, AnotherProcessThatWritesIsWaitedForAndThenUnavailable) {
  StoreOptions hasty;
  hasty.timeout = 50ms;
  auto store = Open(path_, hasty);
  const ChainId id = NewChain(*store);
  store::SqliteOptions options;
  options.path = path_;
  ASSERT_OK_AND_ASSIGN(const auto other, store::SqliteDb::Open(options));
  {
    ASSERT_OK_AND_ASSIGN(const auto writing, store::SqliteTransaction::Begin(*other));
    EXPECT_THAT(store->Append(id, chain_.Next(1, 1)), StatusIs(StatusCode::kUnavailable));
    EXPECT_OK(store->ReadHead(id)) << "readers do not wait";
  }
  Append(*store, id, 1);
}

TEST_F(SqliteStoreTest, ReadersBeyondTheirNumberWait) {
  store::SqliteOptions options;
  options.path = path_;
  SqliteReaders readers(options, 2, 20ms);
  ASSERT_OK_AND_ASSIGN(auto first, readers.Take());
  {
    ASSERT_OK_AND_ASSIGN(auto second, readers.Take());
    EXPECT_NE(&*first, &*second);
    EXPECT_THAT(readers.Take(), StatusIs(StatusCode::kUnavailable, HasSubstr("busy")));
  }
  EXPECT_OK(readers.Take());
  options.path = dir_.File("no/such/folder.db");
  SqliteReaders none(options, 1, 20ms);
  for (int i = 0; i < 3; ++i)
    EXPECT_THAT(none.Take(), StatusIs(StatusCode::kUnavailable)) << "a failure holds no place";
}

// The log under a steady stream of commits stays near the size at which copying begins, a long reader makes it grow,
// and after the reader it starts over.
TEST_F(SqliteStoreTest, TheLogIsEmptiedBesideTheCommits) {
  store::SqliteOptions options;
  options.path = path_;
  constexpr int kStart = 50;
  Mutex writing;
  ASSERT_OK_AND_ASSIGN(auto copier, store::SqliteDb::Open(options));
  ASSERT_OK_AND_ASSIGN(const auto writer, store::SqliteDb::Open(options));
  ASSERT_OK_AND_ASSIGN(const auto reader, store::SqliteDb::Open(options));
  SqliteCheckpointer checkpointer(std::move(copier), &writing, kStart);
  int pages = 0;
  writer->OnCommit([&](int now) {
    pages = now;
    checkpointer.LogGrewTo(now);
  });
  const auto write = [&] {
    const MutexLock lock(writing);
    ASSERT_OK(writer->Exec("INSERT INTO t VALUES (zeroblob(20000))"));
  };
  ASSERT_OK(writer->Exec("CREATE TABLE t (x BLOB)"));
  // Writes until the log has started over, which is when it holds less than before.
  const auto starts_over = [&] {
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    while (std::chrono::steady_clock::now() < deadline) {
      const int before = pages;
      write();
      if (pages < before) return true;
    }
    return false;
  };
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(starts_over());
  {
    ASSERT_OK_AND_ASSIGN(const auto snapshot,
                         store::SqliteTransaction::Begin(*reader, store::SqliteTransaction::Kind::kRead));
    ASSERT_OK_AND_ASSIGN(auto count, reader->Prepare("SELECT count(*) FROM t"));
    ASSERT_OK(count.One());
    const int before = pages;
    for (int i = 0; i < 10 * kStart; ++i) write();
    EXPECT_GT(pages, before + 10 * kStart) << "the reader still needs what the log began with";
  }
  EXPECT_TRUE(starts_over());
}

}  // namespace
}  // namespace virp::onode
