// Copies SQLite's write-ahead log into the database file from a thread of its own, so that no commit has to do it: a
// checkpoint inside a commit is what makes the slowest commits ten times slower than the others.
//
// After an fsync that failed the next one may answer well for pages that Linux has given up. So nothing is copied any
// more then, and the log, which holds all, never starts over: the next process to open the store copies it from its
// beginning.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <thread>

#include "lib/base/mutex.h"
#include "lib/store/sqlite.h"

namespace virp::onode {

class SqliteCheckpointer {
 public:
  static constexpr int kStartPages = 8'192;  // 64 MiB of 8 kB pages

  // `db` is the thread's own connection; `writer` is held by whoever writes. Begins when the log holds `start_pages`.
  SqliteCheckpointer(std::unique_ptr<store::SqliteDb> db, Mutex* writer, int start_pages = kStartPages);
  ~SqliteCheckpointer();  // stops; the log is complete without us
  SqliteCheckpointer(const SqliteCheckpointer&) = delete;
  SqliteCheckpointer& operator=(const SqliteCheckpointer&) = delete;

  // Tell it after each commit how many pages the log holds. Cheap.
  void LogGrewTo(int pages);

 private:
  void Loop();
  // Most of the copying beside the writer, then the rest with the writer held, so that the log can start over.
  // True when nothing is left in the log that is not in the database.
  bool CopyAll();

  std::unique_ptr<store::SqliteDb> db_;
  Mutex* const writer_;
  const int start_pages_;
  std::atomic<int> start_at_;
  bool sync_failed_ = false;  // the thread's own
  Mutex mutex_;
  std::condition_variable_any wake_;
  int pages_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace virp::onode
