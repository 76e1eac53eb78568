#include "services/onode/storage/sqlite/sqlite_readers.h"

#include "lib/base/status.h"

namespace virp::onode {

SqliteReaders::SqliteReaders(store::SqliteOptions options, int most, std::chrono::milliseconds wait)
    : options_(std::move(options)), wait_(wait), may_open_(most) {}

SqliteReaders::Loan::~Loan() {
  if (db_ != nullptr) home_->Return(std::move(db_));
}

absl::StatusOr<SqliteReaders::Loan> SqliteReaders::Take() {
  const auto deadline = std::chrono::steady_clock::now() + wait_;
  {
    MutexLock lock(mutex_);
    while (idle_.empty() && may_open_ == 0) {
      if (returned_.wait_until(mutex_, deadline) == std::cv_status::timeout && idle_.empty() && may_open_ == 0) {
        return Unavailable("{}: all connections for reading were busy for {} ms", options_.path, wait_.count());
      }
    }
    if (!idle_.empty()) {
      Loan loan(this, std::move(idle_.back()));
      idle_.pop_back();
      return loan;
    }
    --may_open_;
  }
  auto opened = store::SqliteDb::Open(options_);
  if (opened.ok()) return Loan(this, *std::move(opened));
  {
    MutexLock lock(mutex_);
    ++may_open_;
  }
  returned_.notify_one();
  return opened.status();
}

void SqliteReaders::Return(std::unique_ptr<store::SqliteDb> db) {
  {
    MutexLock lock(mutex_);
    idle_.push_back(std::move(db));
  }
  returned_.notify_one();
}

}  // namespace virp::onode
