// A few connections for reads beside the one that writes. Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/mutex.h"
#include "lib/store/sqlite.h"

namespace virp::onode {

class SqliteReaders {
 public:
  // Opens connections when they are first needed, `most` of them. `wait`: how long Take() waits for one to come back.
  SqliteReaders(store::SqliteOptions options, int most, std::chrono::milliseconds wait);

  // A connection on loan; statements made from it must be gone before it.
  class Loan {
   public:
    Loan(Loan&& other) noexcept : home_(other.home_), db_(std::move(other.db_)) {}
    Loan& operator=(Loan&&) = delete;
    ~Loan();
    store::SqliteDb& operator*() { return *db_; }
    store::SqliteDb* operator->() { return db_.get(); }

   private:
    friend class SqliteReaders;
    Loan(SqliteReaders* home, std::unique_ptr<store::SqliteDb> db) : home_(home), db_(std::move(db)) {}
    SqliteReaders* home_;
    std::unique_ptr<store::SqliteDb> db_;
  };

  // Unavailable when all are busy for longer than the wait, or one cannot be opened.
  absl::StatusOr<Loan> Take();

 private:
  void Return(std::unique_ptr<store::SqliteDb> db);

  const store::SqliteOptions options_;
  const std::chrono::milliseconds wait_;
  Mutex mutex_;
  std::condition_variable_any returned_;
  int may_open_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<store::SqliteDb>> idle_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virp::onode
