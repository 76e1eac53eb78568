#include "lib/store/postgres_pool.h"

#include <libpq-fe.h>

#include "lib/base/error_info.h"

namespace virp::store {

PostgresPool::Lease::~Lease() {
  if (connection_ != nullptr) pool_->Return(std::move(connection_), opened_);
}

absl::StatusOr<std::unique_ptr<PostgresPool>> PostgresPool::Open(PostgresOptions options, PoolOptions pool,
                                                                 const Clock& clock) {
  if (pool.size < 1) return InvalidArgument("a connection pool of size {}", pool.size);
  auto out = std::unique_ptr<PostgresPool>(new PostgresPool(std::move(options), pool, clock));
  RETURN_IF_ERROR(out->Acquire(std::chrono::milliseconds(0)).status());
  return out;
}

absl::StatusOr<PostgresPool::Lease> PostgresPool::Acquire(std::chrono::milliseconds timeout) {
  // The system's clock for waiting: a condition variable knows no other.
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  std::vector<Idle> dropped;  // closed after the lock is released: closing talks to the server
  {
    const MutexLock lock(mutex_);
    while (true) {
      if (closed_) return Unavailable("the database pool is closed");
      while (!idle_.empty()) {
        Idle taken = std::move(idle_.back());
        idle_.pop_back();
        --stats_.idle;
        if (taken.connection->Usable() && clock_.Steady() - taken.opened < pool_.max_age) {
          return Lease(this, std::move(taken.connection), taken.opened);
        }
        --stats_.open;
        ++stats_.discarded;
        dropped.push_back(std::move(taken));
      }
      if (stats_.open < pool_.size) break;
      ++stats_.waiting;
      const bool timed_out = freed_.wait_until(mutex_, deadline) == std::cv_status::timeout;
      --stats_.waiting;
      if (timed_out && idle_.empty() && stats_.open >= pool_.size && !closed_) {
        ++stats_.timeouts;
        return WithReason(DeadlineExceeded("all {} database connections are in use", pool_.size), "POOL_EXHAUSTED");
      }
    }
    ++stats_.open;  // the place is ours before the lock is released
  }
  dropped.clear();
  auto connection = PostgresConnection::Open(options_);
  {
    const MutexLock lock(mutex_);
    if (connection.ok()) {
      ++stats_.opened;
    } else {
      --stats_.open;
    }
  }
  if (!connection.ok()) {
    freed_.notify_one();
    return connection.status();
  }
  return Lease(this, *std::move(connection), clock_.Steady());
}

void PostgresPool::Return(std::unique_ptr<PostgresConnection> connection,
                          std::chrono::steady_clock::time_point opened) {
  const bool keep = connection->Usable() && PQtransactionStatus(connection->raw()) == PQTRANS_IDLE;
  {
    const MutexLock lock(mutex_);
    if (keep && !closed_) {
      idle_.push_back({std::move(connection), opened});
      ++stats_.idle;
    } else {
      --stats_.open;
      ++stats_.discarded;
    }
  }
  freed_.notify_one();
}

absl::Status PostgresPool::Transact(std::chrono::milliseconds timeout, const TransactionOptions& options,
                                    const std::function<absl::Status(PostgresTransaction&)>& body) {
  ASSIGN_OR_RETURN(const Lease lease, Acquire(timeout));
  ASSIGN_OR_RETURN(PostgresTransaction transaction, PostgresTransaction::Begin(*lease, options));
  RETURN_IF_ERROR(body(transaction));
  return transaction.Commit();
}

void PostgresPool::Close() {
  std::vector<Idle> dropped;
  {
    const MutexLock lock(mutex_);
    closed_ = true;
    dropped.swap(idle_);
    stats_.open -= static_cast<int>(dropped.size());
    stats_.idle = 0;
  }
  freed_.notify_all();
}

PoolStats PostgresPool::stats() const {
  const MutexLock lock(mutex_);
  return stats_;
}

}  // namespace virp::store
