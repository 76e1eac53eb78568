#include "services/onode/storage/sqlite/sqlite_checkpointer.h"

#include <utility>

namespace virp::onode {
namespace {

constexpr int kRestPages = 256;  // what may be copied while the writer waits: 2 MiB
constexpr int kRounds = 8;       // each round copies what was written during the one before

}  // namespace

SqliteCheckpointer::SqliteCheckpointer(std::unique_ptr<store::SqliteDb> db, Mutex* writer, int start_pages)
    : db_(std::move(db)), writer_(writer), start_pages_(start_pages), start_at_(start_pages), thread_([this] {
        Loop();
      }) {}

SqliteCheckpointer::~SqliteCheckpointer() {
  {
    MutexLock lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void SqliteCheckpointer::LogGrewTo(int pages) {
  if (pages < start_at_.load(std::memory_order_relaxed)) return;
  {
    MutexLock lock(mutex_);
    pages_ = pages;
  }
  wake_.notify_one();
}

void SqliteCheckpointer::Loop() {
  while (true) {
    int pages = 0;
    {
      MutexLock lock(mutex_);
      while (!stop_ && pages_ == 0) wake_.wait(mutex_);
      if (stop_) return;
      pages = pages_;
    }
    const bool all = CopyAll();
    if (sync_failed_) return;
    // A reader that holds an old snapshot, or a full disk: try again when the log has grown by as much once more.
    start_at_.store(all ? start_pages_ : pages + start_pages_, std::memory_order_relaxed);
    MutexLock lock(mutex_);
    pages_ = 0;
  }
}

bool SqliteCheckpointer::CopyAll() {
  int copied = 0;
  for (int round = 0; round < kRounds; ++round) {
    const auto progress = db_->CopyLog();
    if (!progress.ok()) return false;
    // SQLite itself leaves all of it to the last round, while the writer waits.
    sync_failed_ = !db_->SyncFile().ok();
    if (sync_failed_) return false;
    // What the writer added meanwhile shows only in the next round; a round that copied little took little time.
    const bool little = progress->copied - copied <= kRestPages;
    copied = progress->copied;
    if (little) break;
  }
  MutexLock lock(*writer_);
  const auto progress = db_->CopyLog();
  return progress.ok() && progress->copied == progress->pages;
}

}  // namespace virp::onode
