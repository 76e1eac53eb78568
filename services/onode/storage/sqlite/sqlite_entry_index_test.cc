// That the index beside a chain gives what a walk over its entries would, whatever became of its file.
#include "services/onode/storage/sqlite/sqlite_entry_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"

namespace virp::onode {
namespace {

using absl::StatusCode;
using ::testing::HasSubstr;
using testutil::StatusIs;

constexpr ChainId kChain = 7;

class SqliteEntryIndexTest : public ::testing::Test {
 protected:
  EntryRow Row(std::uint64_t source, std::uint64_t number, std::uint64_t subject, std::uint8_t kind = 0) {
    EntryRow row;
    row.sequence = rows_.size();
    row.index = {.source = source, .source_epoch = 3, .source_sequence = number, .subject = subject, .kind = kind};
    row.leaf[0] = static_cast<std::uint8_t>(row.sequence);
    row.leaf[1] = salt_;
    return row;
  }
  // Some rows of five sources and twenty subjects; subject 0 is none.
  std::vector<EntryRow> NewRows(std::size_t count) {
    std::vector<EntryRow> out;
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint64_t source = random_() % 5 + 1;
      rows_.push_back(Row(source, ++numbers_[source], random_() % 20, random_() % 9 == 0 ? 4 : 0));
      out.push_back(rows_.back());
    }
    return out;
  }
  SqliteEntryIndex::Entries Entries() {
    return {
        .size = [this](ChainId) -> absl::StatusOr<std::uint64_t> { return rows_.size(); },
        .keys = [this](ChainId, std::uint64_t first, std::uint64_t end,
                       std::size_t limit) -> absl::StatusOr<std::vector<IndexKey>> {
          std::vector<IndexKey> out;
          for (std::uint64_t at = first; at < end && out.size() < limit; ++at) {
            const chain::IndexColumns& index = rows_[at].index;
            if (at == hole_) continue;
            out.push_back({at, {index.source, index.source_epoch, index.source_sequence}, index.subject, index.kind});
          }
          ++reads_;
          return out;
        },
        .leaf = [this](ChainId, std::uint64_t sequence) -> absl::StatusOr<Hash> {
          if (sequence >= rows_.size()) return absl::NotFoundError("no such entry");
          return rows_[sequence].leaf;
        }};
  }
  std::unique_ptr<SqliteEntryIndex> Open() {
    auto index = SqliteEntryIndex::Open(path_, Entries(), {kChain});
    EXPECT_OK(index);
    return index.ok() ? *std::move(index) : nullptr;
  }
  static void AppendTo(SqliteEntryIndex& index, std::uint64_t old_size, const std::vector<EntryRow>& rows) {
    ASSERT_OK(index.CheckNew(kChain, old_size, rows));
    index.Appended(kChain, rows);
  }

  std::vector<std::uint64_t> Expected(const ChainStore::Filter& filter, std::size_t limit) const {
    std::vector<std::uint64_t> out;
    for (const EntryRow& row : rows_) {
      const chain::IndexColumns& is = row.index;
      if (row.sequence == hole_ || row.sequence < filter.from || row.sequence >= filter.to) continue;
      if (is.source != filter.source.value_or(is.source) || is.subject != filter.subject.value_or(is.subject)) continue;
      if (is.kind == filter.kind.value_or(is.kind)) out.push_back(row.sequence);
    }
    if (filter.descending) std::reverse(out.begin(), out.end());
    if (out.size() > limit) out.resize(limit);
    return out;
  }
  void ExpectAll(SqliteEntryIndex& index) {
    for (int i = 0; i < 200; ++i) {
      ChainStore::Filter filter;
      if (random_() % 2 == 0) filter.subject = random_() % 20 + 1;
      if (!filter.subject || random_() % 2 == 0) filter.source = random_() % 6 + 1;
      if (random_() % 3 == 0) filter.kind = random_() % 2 == 0 ? 0 : 4;
      if (random_() % 2 == 0) filter.from = random_() % (rows_.size() + 2);
      if (random_() % 2 == 0) filter.to = random_() % (rows_.size() + 2);
      filter.descending = random_() % 2 == 0;
      const std::size_t limit = random_() % 2 == 0 ? 10 : 100'000;
      ASSERT_OK_AND_ASSIGN(const auto got, index.List(kChain, filter, limit));
      EXPECT_EQ(got, Expected(filter, limit));
    }
    for (int i = 0; i < 200; ++i) {
      const EntryRow& row = rows_[random_() % rows_.size()];
      if (row.sequence == hole_) continue;
      ASSERT_OK_AND_ASSIGN(const auto got, index.Find(kChain, {{row.index.source, 3, row.index.source_sequence},
                                                               {row.index.source, 4, row.index.source_sequence}}));
      EXPECT_EQ(got, std::vector<std::uint64_t>{row.sequence});
    }
  }

  testutil::TempDir dir_;
  std::string path_ = dir_.File("index");
  std::mt19937_64 random_{5};
  std::vector<EntryRow> rows_;
  std::map<std::uint64_t, std::uint64_t> numbers_;
  std::uint8_t salt_ = 0;
  std::uint64_t hole_ = ~std::uint64_t{0};
  int reads_ = 0;
};

TEST_F(SqliteEntryIndexTest, WhatIsInMemoryAndWhatIsInTheFileAreOne) {
  const auto index = Open();
  for (int part = 0; part < 4; ++part) {
    for (int i = 0; i < 5; ++i) {
      const std::uint64_t old_size = rows_.size();
      AppendTo(*index, old_size, NewRows(100));
    }
    ExpectAll(*index);
    ASSERT_OK(index->Flush());
    ExpectAll(*index);
  }
  EXPECT_EQ(reads_, 0) << "who appends says what";
}

TEST_F(SqliteEntryIndexTest, AFrameThatIsHeldIsRefused) {
  const auto index = Open();
  const auto first = NewRows(10);
  AppendTo(*index, 0, first);
  const auto again = [&] {
    EntryRow row = Row(first[4].index.source, first[4].index.source_sequence, 0);
    return index->CheckNew(kChain, 10, {row});
  };
  EXPECT_THAT(again(), StatusIs(StatusCode::kAlreadyExists)) << "in memory";
  ASSERT_OK(index->Flush());
  EXPECT_THAT(again(), StatusIs(StatusCode::kAlreadyExists)) << "in the file";
  EXPECT_THAT(index->CheckNew(kChain, 10, {Row(9, 1, 0), Row(9, 1, 0)}), StatusIs(StatusCode::kAlreadyExists))
      << "twice at once";
  EXPECT_OK(index->CheckNew(kChain, 10, {Row(9, 1, 0), Row(9, 2, 0)}));
}

TEST_F(SqliteEntryIndexTest, WhatAnotherAppendedIsReadFromTheDatabase) {
  const auto index = Open();
  const auto rows = NewRows(300);
  ExpectAll(*index);
  EXPECT_THAT(index->CheckNew(kChain, 300, {Row(rows[0].index.source, rows[0].index.source_sequence, 0)}),
              StatusIs(StatusCode::kAlreadyExists));
  index->Appended(kChain, rows);  // says again what was read
  ExpectAll(*index);
}

TEST_F(SqliteEntryIndexTest, MoreThanIsHeldInMemoryGoesToTheFileByItself) {
  NewRows(3 * SqliteEntryIndex::kFlushRows + 5);
  const auto index = Open();
  ExpectAll(*index);
  index.get()->Flush().IgnoreError();
  reads_ = 0;
  const auto other = Open();
  EXPECT_LE(reads_, 1) << "what the file has is not read again";
  ExpectAll(*other);
}

TEST_F(SqliteEntryIndexTest, AFileThatIsGoneDamagedOlderNewerOrOfAnotherDatabaseIsMadeAgain) {
  NewRows(500);
  ASSERT_OK(Open()->Flush());
  const auto with = [&](std::string_view what, const std::function<void()>& change) {
    SCOPED_TRACE(what);
    change();
    const auto index = Open();
    ASSERT_NE(index, nullptr);
    ExpectAll(*index);
    ASSERT_OK(index->Flush());
  };
  with("gone", [&] { std::filesystem::remove(path_); });
  with("older", [&] { NewRows(50); });
  with("no database", [&] { std::ofstream(path_) << std::string(20'000, 'x'); });
  with("a database of somebody else", [&] {
    std::filesystem::remove(path_);
    auto db = store::SqliteDb::Open({.path = path_});
    ASSERT_OK(db);
    ASSERT_OK((*db)->Exec("CREATE TABLE by_frame (x); PRAGMA user_version=9"));
  });
  with("a shorter chain", [&] {
    rows_.resize(200);
    numbers_.clear();
    for (const EntryRow& row : rows_) numbers_[row.index.source] = row.index.source_sequence;
  });
  with("another chain of that length", [&] {
    rows_.clear();
    numbers_.clear();
    salt_ = 1;
    NewRows(200);
  });
}

TEST_F(SqliteEntryIndexTest, WhereOneChainIsAnotherNowAllAreMadeAgain) {
  NewRows(300);
  SqliteEntryIndex::Entries entries = Entries();
  const auto leaf = entries.leaf;
  {
    auto index = SqliteEntryIndex::Open(path_, entries, {kChain, 6, 8});
    ASSERT_OK(index);
    ASSERT_OK((*index)->Flush());
  }
  for (const ChainId gone : {6, 8}) {
    entries.leaf = [&](ChainId chain, std::uint64_t sequence) -> absl::StatusOr<Hash> {
      if (chain == gone) return absl::NotFoundError("no such chain");
      return leaf(chain, sequence);
    };
    auto index = SqliteEntryIndex::Open(path_, entries, {kChain});
    ASSERT_OK(index);
    ExpectAll(**index);
    entries.leaf = leaf;
    ASSERT_OK(SqliteEntryIndex::Open(path_, entries, {kChain, 6, 8}));
    ASSERT_OK((*SqliteEntryIndex::Open(path_, entries, {kChain, 6, 8}))->Flush());
  }
}

TEST_F(SqliteEntryIndexTest, DamageFoundLaterIsToldWithWhatToDo) {
  NewRows(4'000);
  ASSERT_OK(Open()->Flush());
  {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    for (std::streamoff page = 5; page < 40; ++page) {  // behind the schema and the row of the chain
      file.seekp(page * 8'192);
      file << std::string(4'000, 'x');
    }
  }
  const auto index = Open();
  ASSERT_NE(index, nullptr);
  ChainStore::Filter filter;
  filter.source = 1;
  const auto listed = index->List(kChain, filter, 100'000);
  EXPECT_THAT(listed, StatusIs(StatusCode::kDataLoss));
  EXPECT_THAT(std::string(listed.status().message()), HasSubstr("remove "));
  const auto checked = index->CheckNew(kChain, rows_.size(), {Row(2, 99'999, 0)});
  EXPECT_THAT(checked, StatusIs(StatusCode::kDataLoss));
}

// Memory is bounded: an append that would add to too much writes first, and says what keeps it from that.
TEST_F(SqliteEntryIndexTest, WhileTheFileCannotBeWrittenAppendsEndAtABound) {
  std::atomic<bool> broken = true;
  SqliteEntryIndex::Entries entries = Entries();
  const auto leaf = entries.leaf;
  entries.leaf = [&](ChainId chain, std::uint64_t sequence) -> absl::StatusOr<Hash> {
    if (broken) return absl::UnavailableError("the disk is out");
    return leaf(chain, sequence);
  };
  ASSERT_OK_AND_ASSIGN(const auto index, SqliteEntryIndex::Open(path_, entries, {kChain}));
  AppendTo(*index, 0, NewRows(SqliteEntryIndex::kMostRecent));
  EXPECT_EQ(index->waiting(), SqliteEntryIndex::kMostRecent);
  const auto next = [&] { return index->CheckNew(kChain, rows_.size(), {Row(9, 1, 0)}); };
  const absl::Status refused = next();
  EXPECT_THAT(refused, StatusIs(StatusCode::kUnavailable));
  EXPECT_THAT(std::string(refused.message()), ::testing::AllOf(HasSubstr(path_), HasSubstr("the disk is out")));
  broken = false;
  EXPECT_OK(next());
  EXPECT_LT(index->waiting(), SqliteEntryIndex::kMostRecent);
  ASSERT_OK(index->Flush());
  EXPECT_EQ(index->waiting(), 0U);
  ChainStore::Filter filter;
  filter.source = 1;
  ASSERT_OK_AND_ASSIGN(const auto listed, index->List(kChain, filter, 1'000'000));
  EXPECT_EQ(listed, Expected(filter, 1'000'000));
}

TEST_F(SqliteEntryIndexTest, AMissingEntryHidesNoOther) {
  NewRows(400);
  hole_ = 123;
  {
    const auto index = Open();
    ExpectAll(*index);
    ASSERT_OK(index->Flush());
    ExpectAll(*index);
  }
  std::filesystem::remove(path_);
  hole_ = 399;  // the last
  const auto index = Open();
  ExpectAll(*index);
}

// While entries are appended, and go from memory to the file, nothing is missing and nothing twice.
TEST_F(SqliteEntryIndexTest, WhoListsSeesAllThatWasThere) {
  NewRows(4 * SqliteEntryIndex::kFlushRows);
  std::atomic<std::uint64_t> size = 0;
  SqliteEntryIndex::Entries entries = Entries();
  entries.size = [&](ChainId) -> absl::StatusOr<std::uint64_t> { return size.load(); };
  entries.keys = [](ChainId, std::uint64_t, std::uint64_t, std::size_t) -> absl::StatusOr<std::vector<IndexKey>> {
    return std::vector<IndexKey>{};
  };
  ASSERT_OK_AND_ASSIGN(const auto index, SqliteEntryIndex::Open(path_, entries, {kChain}));
  std::jthread appender([&] {
    for (std::size_t at = 0; at < rows_.size(); at += 512) {
      const std::vector<EntryRow> rows(rows_.begin() + static_cast<std::ptrdiff_t>(at),
                                       rows_.begin() + static_cast<std::ptrdiff_t>(at + 512));
      ASSERT_OK(index->CheckNew(kChain, at, rows));
      index->Appended(kChain, rows);
      size = at + 512;
    }
  });
  ChainStore::Filter filter;
  for (std::uint64_t round = 0; filter.to != rows_.size(); ++round) {
    filter.to = size;
    filter.source = round % 5 + 1;
    filter.descending = round % 2 == 0;
    ASSERT_OK_AND_ASSIGN(const auto got, index->List(kChain, filter, 1'000'000));
    ASSERT_EQ(got, Expected(filter, 1'000'000));
    if (filter.to == 0) continue;
    const EntryRow& row = rows_[round * 7'919 % filter.to];
    ASSERT_OK_AND_ASSIGN(const auto found, index->Find(kChain, {{row.index.source, 3, row.index.source_sequence}}));
    ASSERT_EQ(found, std::vector<std::uint64_t>{row.sequence});
  }
}

TEST_F(SqliteEntryIndexTest, WithoutAFileItIsTheSame) {
  path_.clear();
  NewRows(SqliteEntryIndex::kFlushRows + 100);
  const auto index = Open();
  ExpectAll(*index);
  NewRows(10);
  ExpectAll(*index);
}

}  // namespace
}  // namespace virp::onode
