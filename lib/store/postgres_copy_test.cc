#include "lib/store/postgres_copy.h"

#include <gtest/gtest.h>

#include "tests/testutil/postgres.h"
#include "tests/testutil/status_matchers.h"

namespace virp::store {
namespace {

using absl::StatusCode;
using testutil::PostgresCluster;
using testutil::StatusIs;
using namespace std::string_literals;

constexpr char kIn[] = "COPY t (n, i, s, b, x, o) FROM STDIN (FORMAT binary)";
constexpr char kOut[] = "COPY (SELECT n, i, s, b, x, o FROM t ORDER BY n) TO STDOUT (FORMAT binary)";

class CopyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(const std::string url, PostgresCluster::Shared().CreateDatabase());
    ASSERT_OK_AND_ASSIGN(db_, PostgresConnection::Open({.url = url}));
    ASSERT_OK_AND_ASSIGN(auto transaction, PostgresTransaction::Begin(*db_));
    ASSERT_OK(
        transaction.Run("CREATE TABLE t (n bigint PRIMARY KEY, i integer, s smallint, b boolean, x bytea, o text)"));
    ASSERT_OK(transaction.Commit());
  }
  absl::StatusOr<std::int64_t> Fill(PostgresTransaction& transaction, int rows, std::size_t bytes) {
    ASSIGN_OR_RETURN(auto copy, PostgresCopyIn::Begin(transaction, kIn, 6));
    for (int k = 0; k < rows; ++k) {
      copy.Row();
      copy.Int64(k);
      copy.Int32(-k);
      copy.Int16(static_cast<std::int16_t>(k % 1000));
      copy.Bool(k % 2 == 0);
      copy.Bytes(std::string(bytes, static_cast<char>(k)));
      copy.Null();
      RETURN_IF_ERROR(copy.Flush());
    }
    return copy.Finish();
  }
  std::int64_t Count() {
    auto transaction = PostgresTransaction::Begin(*db_);
    EXPECT_OK(transaction);
    const auto rows = transaction->Exec("SELECT count(*) FROM t");
    EXPECT_OK(rows);
    return rows.ok() ? rows->Int(0, 0) : -1;
  }

  std::unique_ptr<PostgresConnection> db_;
};

TEST_F(CopyTest, ManyRowsInAndOut) {
  constexpr int kRows = 5'000;  // several pieces
  {
    ASSERT_OK_AND_ASSIGN(auto transaction, PostgresTransaction::Begin(*db_));
    ASSERT_OK_AND_ASSIGN(const std::int64_t rows, Fill(transaction, kRows, 300));
    EXPECT_EQ(rows, kRows);
    ASSERT_OK_AND_ASSIGN(const auto seen, transaction.Exec("SELECT count(*) FROM t"));
    EXPECT_EQ(seen.Int(0, 0), kRows);
    ASSERT_OK(transaction.Commit());
  }
  ASSERT_OK_AND_ASSIGN(auto transaction, PostgresTransaction::Begin(*db_, {.read_only = true}));
  {
    ASSERT_OK_AND_ASSIGN(auto copy, PostgresCopyOut::Begin(transaction, kOut));
    for (int k = 0; k < kRows; ++k) {
      ASSERT_OK_AND_ASSIGN(const bool row, copy.Next());
      ASSERT_TRUE(row);
      ASSERT_EQ(copy.columns(), 6);
      ASSERT_EQ(copy.Int(0), k);
      ASSERT_EQ(copy.Int(1), -k);
      ASSERT_EQ(copy.Int(2), k % 1000);
      ASSERT_EQ(copy.Int(3), k % 2 == 0);
      ASSERT_EQ(copy.Bytes(4), std::string(300, static_cast<char>(k)));
      ASSERT_TRUE(copy.IsNull(5));
      ASSERT_FALSE(copy.IsNull(4));
    }
    ASSERT_OK_AND_ASSIGN(const bool more, copy.Next());
    EXPECT_FALSE(more);
    ASSERT_OK_AND_ASSIGN(const bool still, copy.Next());
    EXPECT_FALSE(still);
  }
  EXPECT_OK(transaction.Run("SELECT 1"));
  EXPECT_OK(transaction.Commit());
}

TEST_F(CopyTest, NoRows) {
  ASSERT_OK_AND_ASSIGN(auto transaction, PostgresTransaction::Begin(*db_));
  ASSERT_OK_AND_ASSIGN(const std::int64_t rows, Fill(transaction, 0, 0));
  EXPECT_EQ(rows, 0);
  ASSERT_OK_AND_ASSIGN(auto copy, PostgresCopyOut::Begin(transaction, kOut));
  ASSERT_OK_AND_ASSIGN(const bool more, copy.Next());
  EXPECT_FALSE(more);
  EXPECT_OK(transaction.Commit());
}

TEST_F(CopyTest, ADuplicateKeyFailsFinishAndTheTransaction) {
  {
    ASSERT_OK_AND_ASSIGN(auto transaction, PostgresTransaction::Begin(*db_));
    ASSERT_OK(transaction.Run("INSERT INTO t (n) VALUES (3)"));
    EXPECT_THAT(Fill(transaction, 10, 8), StatusIs(StatusCode::kAlreadyExists));
    EXPECT_THAT(transaction.Commit(), StatusIs(StatusCode::kAborted));
  }
  EXPECT_EQ(Count(), 0);
}

TEST_F(CopyTest, RowsThatDoNotFitTheColumnsAreRefused) {
  ASSERT_OK_AND_ASSIGN(auto transaction, PostgresTransaction::Begin(*db_));
  ASSERT_OK_AND_ASSIGN(auto copy, PostgresCopyIn::Begin(transaction, kIn, 6));
  copy.Row();
  copy.Int64(1);
  EXPECT_FALSE(copy.Finish().ok());
  EXPECT_FALSE(copy.Flush().ok() && copy.Finish().ok());
  EXPECT_FALSE(transaction.Commit().ok());
}

TEST_F(CopyTest, AnAbandonedCopyInLeavesNothing) {
  {
    ASSERT_OK_AND_ASSIGN(auto transaction, PostgresTransaction::Begin(*db_));
    {
      ASSERT_OK_AND_ASSIGN(auto copy, PostgresCopyIn::Begin(transaction, kIn, 6));
      copy.Row();
      copy.Int64(1);
    }
    EXPECT_THAT(transaction.Commit(), StatusIs(StatusCode::kAborted));
  }
  EXPECT_EQ(Count(), 0);
}

TEST_F(CopyTest, AnAbandonedCopyOutFreesTheConnection) {
  {
    ASSERT_OK_AND_ASSIGN(auto transaction, PostgresTransaction::Begin(*db_));
    ASSERT_OK_AND_ASSIGN(
        auto copy,
        PostgresCopyOut::Begin(transaction, "COPY (SELECT generate_series(1, 100000000)) TO STDOUT (FORMAT binary)"));
    ASSERT_OK_AND_ASSIGN(const bool row, copy.Next());
    EXPECT_TRUE(row);
    EXPECT_EQ(copy.Int(0), 1);
  }
  EXPECT_TRUE(db_->Usable());
  EXPECT_EQ(Count(), 0);
}

TEST_F(CopyTest, WhatIsNotACopyIsRefused) {
  ASSERT_OK_AND_ASSIGN(auto transaction, PostgresTransaction::Begin(*db_));
  EXPECT_THAT(PostgresCopyIn::Begin(transaction, "SELECT 1", 1), StatusIs(StatusCode::kInternal));
  EXPECT_FALSE(transaction.Commit().ok());
}

}  // namespace
}  // namespace virp::store
