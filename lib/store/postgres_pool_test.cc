#include "lib/store/postgres_pool.h"

#include <gtest/gtest.h>
#include <libpq-fe.h>

#include <atomic>
#include <thread>

#include "tests/testutil/postgres.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/wait.h"

namespace virp::store {
namespace {

using absl::StatusCode;
using testutil::Eventually;
using testutil::PostgresCluster;
using testutil::ReasonIs;
using testutil::StatusIs;
using namespace std::chrono_literals;

class PoolTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_OK_AND_ASSIGN(url_, PostgresCluster::Shared().CreateDatabase()); }
  std::unique_ptr<PostgresPool> Open(const std::string& url, PoolOptions options) {
    auto pool = PostgresPool::Open({.url = url}, options, clock_);
    EXPECT_OK(pool);
    return pool.ok() ? *std::move(pool) : nullptr;
  }
  static absl::StatusOr<std::int64_t> Backend(PostgresConnection& connection) {
    ASSIGN_OR_RETURN(auto transaction, PostgresTransaction::Begin(connection));
    ASSIGN_OR_RETURN(const auto result, transaction.Exec("SELECT pg_backend_pid()"));
    return result.Int(0, 0);
  }

  FakeClock clock_;
  std::string url_;
};

TEST_F(PoolTest, ConnectionsAreReusedWithinTheBound) {
  auto pool = Open(url_, {.size = 2});
  {
    ASSERT_OK_AND_ASSIGN(auto first, pool->Acquire(0ms));
    ASSERT_OK_AND_ASSIGN(auto second, pool->Acquire(0ms));
    EXPECT_EQ(pool->stats().open, 2);
    const auto none = pool->Acquire(10ms);
    EXPECT_THAT(none, StatusIs(StatusCode::kDeadlineExceeded));
    EXPECT_THAT(none, ReasonIs("POOL_EXHAUSTED"));
  }
  EXPECT_EQ(pool->stats().idle, 2);
  for (int i = 0; i < 5; ++i) EXPECT_OK(pool->Acquire(0ms));
  EXPECT_EQ(pool->stats().opened, 2U);
  EXPECT_EQ(pool->stats().timeouts, 1U);
}

TEST_F(PoolTest, AWaiterGetsWhatIsReturned) {
  auto pool = Open(url_, {.size = 1});
  std::optional<PostgresPool::Lease> held(*pool->Acquire(0ms));
  absl::Status waited = Internal("not yet");
  std::thread waiter([&] { waited = pool->Acquire(20s).status(); });
  ASSERT_TRUE(Eventually([&] { return pool->stats().waiting == 1; }));
  held.reset();
  waiter.join();
  EXPECT_OK(waited);
  EXPECT_EQ(pool->stats().opened, 1U);
}

TEST_F(PoolTest, BrokenConnectionsAreNotHandedOut) {
  auto pool = Open(url_, {.size = 2});
  auto admin = *PostgresConnection::Open({.url = url_});
  std::int64_t backend = 0;
  {
    ASSERT_OK_AND_ASSIGN(auto lease, pool->Acquire(0ms));
    ASSERT_OK_AND_ASSIGN(backend, Backend(*lease));
  }
  {
    ASSERT_OK_AND_ASSIGN(auto transaction, PostgresTransaction::Begin(*admin));
    ASSERT_OK(transaction.Run("SELECT pg_terminate_backend($1::int)", backend));
  }
  ASSERT_TRUE(Eventually([&] {
    auto transaction = PostgresTransaction::Begin(*admin);
    const auto left = transaction->Exec("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", backend);
    return left.ok() && left->Int(0, 0) == 0;
  }));
  ASSERT_OK_AND_ASSIGN(auto lease, pool->Acquire(0ms));
  EXPECT_OK(Backend(*lease));
  EXPECT_EQ(pool->stats().discarded, 1U);
  EXPECT_EQ(pool->stats().open, 1);
}

TEST_F(PoolTest, ALeaseReturnedInsideATransactionIsDropped) {
  auto pool = Open(url_, {.size = 1});
  {
    ASSERT_OK_AND_ASSIGN(auto lease, pool->Acquire(0ms));
    pqxx::internal::pq::PGconn* raw = lease->raw();
    PQclear(PQexec(raw, "BEGIN"));
  }
  EXPECT_EQ(pool->stats().discarded, 1U);
  EXPECT_EQ(pool->stats().idle, 0);
}

TEST_F(PoolTest, OldConnectionsAreRenewed) {
  auto pool = Open(url_, {.size = 1, .max_age = std::chrono::minutes(5)});
  const std::int64_t first = *Backend(**pool->Acquire(0ms));
  clock_.Advance(std::chrono::minutes(4));
  EXPECT_EQ(*Backend(**pool->Acquire(0ms)), first);
  clock_.Advance(std::chrono::minutes(2));
  EXPECT_NE(*Backend(**pool->Acquire(0ms)), first);
}

TEST_F(PoolTest, TransactCommitsOrRollsBack) {
  auto pool = Open(url_, {.size = 1});
  ASSERT_OK(pool->Transact(1s, {}, [](PostgresTransaction& t) { return t.Run("CREATE TABLE t (k bigint)"); }));
  EXPECT_THAT(pool->Transact(1s, {},
                             [](PostgresTransaction& t) {
                               EXPECT_OK(t.Run("INSERT INTO t VALUES (1)"));
                               return NotFound("changed my mind");
                             }),
              StatusIs(StatusCode::kNotFound));
  std::int64_t count = -1;
  ASSERT_OK(pool->Transact(1s, {.read_only = true}, [&](PostgresTransaction& t) -> absl::Status {
    ASSIGN_OR_RETURN(const auto rows, t.Exec("SELECT count(*) FROM t"));
    count = rows.Int(0, 0);
    return absl::OkStatus();
  }));
  EXPECT_EQ(count, 0);
  EXPECT_EQ(pool->stats().opened, 1U);
}

TEST_F(PoolTest, CloseWakesWaiters) {
  auto pool = Open(url_, {.size = 1});
  ASSERT_OK_AND_ASSIGN(const auto held, pool->Acquire(0ms));
  absl::Status waited;
  std::thread waiter([&] { waited = pool->Acquire(20s).status(); });
  ASSERT_TRUE(Eventually([&] { return pool->stats().waiting == 1; }));
  pool->Close();
  waiter.join();
  EXPECT_THAT(waited, StatusIs(StatusCode::kUnavailable));
  EXPECT_THAT(pool->Acquire(0ms), StatusIs(StatusCode::kUnavailable));
}

TEST_F(PoolTest, AWrongServerIsNoticedAtOnce) {
  testutil::TempDir empty;
  EXPECT_THAT(PostgresPool::Open({.url = "postgresql:///x?host=" + empty.path()}, {}, clock_),
              StatusIs(StatusCode::kUnavailable));
  EXPECT_THAT(PostgresPool::Open({.url = url_}, {.size = 0}, clock_), StatusIs(StatusCode::kInvalidArgument));
}

TEST(PoolCrashTest, RecoversWhenTheServerComesBackAndNothingAcknowledgedIsLost) {
  ASSERT_OK_AND_ASSIGN(auto cluster, PostgresCluster::Start());
  const FakeClock clock;
  ASSERT_OK_AND_ASSIGN(const std::string url, cluster->CreateDatabase());
  ASSERT_OK_AND_ASSIGN(auto pool, PostgresPool::Open({.url = url}, {.size = 4}, clock));
  ASSERT_OK(
      pool->Transact(1s, {}, [](PostgresTransaction& t) { return t.Run("CREATE TABLE t (k bigint PRIMARY KEY)"); }));
  std::atomic<std::int64_t> acknowledged = 0;
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    for (std::int64_t k = 1; !stop; ++k) {
      const absl::Status status =
          pool->Transact(1s, {}, [k](PostgresTransaction& t) { return t.Run("INSERT INTO t VALUES ($1)", k); });
      if (!status.ok()) {
        EXPECT_TRUE(status.code() == StatusCode::kUnavailable || status.code() == StatusCode::kUnknown ||
                    status.code() == StatusCode::kAborted)
            << status;
        break;
      }
      acknowledged = k;
    }
  });
  while (acknowledged < 50) std::this_thread::yield();
  ASSERT_OK(cluster->Kill());
  stop = true;
  writer.join();
  EXPECT_THAT(pool->Acquire(0ms), StatusIs(StatusCode::kUnavailable));
  ASSERT_OK(cluster->Restart());
  std::int64_t count = 0;
  ASSERT_OK(pool->Transact(1s, {.read_only = true}, [&](PostgresTransaction& t) -> absl::Status {
    ASSIGN_OR_RETURN(const auto rows, t.Exec("SELECT count(*), max(k) FROM t"));
    count = rows.Int(0, 0);
    EXPECT_EQ(rows.Int(0, 1), count);
    return absl::OkStatus();
  }));
  EXPECT_GE(count, acknowledged);
  EXPECT_LE(count, acknowledged + 1);
}

}  // namespace
}  // namespace virp::store
