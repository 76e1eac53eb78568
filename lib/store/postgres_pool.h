// A bounded pool of PostgreSQL connections.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/store/postgres.h"

namespace virp::store {

struct PoolOptions {
  int size = 8;  // connections at most, on loan and idle together
  std::chrono::milliseconds max_age =
      std::chrono::minutes(30);  // older ones are renewed when idle: rotated certificates, failover
};

struct PoolStats {
  int open = 0;
  int idle = 0;
  int waiting = 0;              // threads inside Acquire
  std::uint64_t opened = 0;     // since the start
  std::uint64_t discarded = 0;  // broken or too old
  std::uint64_t timeouts = 0;   // Acquire calls that ended with DeadlineExceeded
};

// Thread-safe. Must outlive its leases.
class PostgresPool {
 public:
  // A connection on loan; goes back when this object goes, or is dropped when it is broken or inside a transaction.
  class Lease {
   public:
    Lease(Lease&&) noexcept = default;
    Lease& operator=(Lease&&) = delete;
    ~Lease();
    PostgresConnection& operator*() const { return *connection_; }
    PostgresConnection* operator->() const { return connection_.get(); }

   private:
    friend class PostgresPool;
    Lease(PostgresPool* pool, std::unique_ptr<PostgresConnection> connection,
          std::chrono::steady_clock::time_point opened)
        : pool_(pool), connection_(std::move(connection)), opened_(opened) {}
    PostgresPool* pool_;
    std::unique_ptr<PostgresConnection> connection_;
    std::chrono::steady_clock::time_point opened_;
  };

  // Opens one connection, so that a wrong URL, a refused login or an unsafe server is noticed at once. `clock` ages
  // them.
  static absl::StatusOr<std::unique_ptr<PostgresPool>> Open(PostgresOptions options, PoolOptions pool,
                                                            const Clock& clock);

  // Waits at most `timeout` for a connection: DeadlineExceeded (all are on loan; reason POOL_EXHAUSTED), Unavailable
  // (the server cannot be reached, or Close() was called). Broken idle connections are skipped. Connecting itself is
  // bounded by PostgresOptions::connect_timeout.
  absl::StatusOr<Lease> Acquire(std::chrono::milliseconds timeout);

  // Acquire, begin, `body`, commit when it returned OK.
  absl::Status Transact(std::chrono::milliseconds timeout, const TransactionOptions& options,
                        const std::function<absl::Status(PostgresTransaction&)>& body);

  // Wakes all waiters and refuses from now on; leases stay valid.
  void Close();

  PoolStats stats() const;

 private:
  struct Idle {
    std::unique_ptr<PostgresConnection> connection;
    std::chrono::steady_clock::time_point opened;
  };
  PostgresPool(PostgresOptions options, PoolOptions pool, const Clock& clock)
      : options_(std::move(options)), pool_(pool), clock_(clock) {}
  void Return(std::unique_ptr<PostgresConnection> connection, std::chrono::steady_clock::time_point opened);

  const PostgresOptions options_;
  const PoolOptions pool_;
  const Clock& clock_;
  mutable Mutex mutex_;
  std::condition_variable_any freed_;
  std::vector<Idle> idle_ ABSL_GUARDED_BY(mutex_);  // the last returned is taken first
  PoolStats stats_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace virp::store
