// SQLite as our stores use it: write-ahead log, synchronous=FULL, foreign keys, errors as Status.
//
// Errors, everywhere below:
//   ResourceExhausted  the disk or a quota is full (the transaction was rolled back)
//   Unavailable        another connection holds the lock beyond the busy timeout, or the disk failed: retry
//   Unknown            the disk failed during COMMIT: reopen and read back what was written
//   DataLoss           the file is not a database, or is damaged
//   AlreadyExists      a unique or primary key is taken
//   FailedPrecondition another constraint, or writing to a read-only database
//   Cancelled          Interrupt() was called
//   InvalidArgument    text with a zero byte, a number beyond 64 bits signed, or SQL that does not compile
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "lib/base/hash_map.h"
#include "lib/base/status.h"
#include "lib/store/blob.h"

struct sqlite3;
struct sqlite3_stmt;

namespace virp::store {

class SqliteDb;

// A prepared statement on loan from its connection's cache; returned, reset, when this object goes. Bound text and
// blobs are copied by SQLite. Columns count from 0. Not thread-safe, and must not outlive its connection.
class SqliteStatement {
 public:
  SqliteStatement(SqliteStatement&& other) noexcept;
  SqliteStatement& operator=(SqliteStatement&&) = delete;
  ~SqliteStatement();

  // Resets the statement and binds one value per parameter: integers (as int64; larger is InvalidArgument), bool,
  // double, text, Blob, nullptr, std::optional of these. InvalidArgument when the number of parameters differs.
  template <typename... Args>
  absl::Status Bind(const Args&... args) {
    RETURN_IF_ERROR(Start(sizeof...(args)));
    absl::Status status;
    int index = 0;
    ((status = status.ok() ? BindOne(++index, args) : status), ...);
    return status;
  }

  // The next row: true when there is one. After false or an error the statement is at its end.
  absl::StatusOr<bool> Step();

  // Bind and run to the end, for statements whose rows do not matter.
  template <typename... Args>
  absl::Status Run(const Args&... args) {
    RETURN_IF_ERROR(Bind(args...));
    return Finish();
  }

  // Bind and step once, for a query of at most one row: false when there is none. Columns stay readable.
  template <typename... Args>
  absl::StatusOr<bool> One(const Args&... args) {
    RETURN_IF_ERROR(Bind(args...));
    return Step();
  }

  // The current row. NULL reads as 0 or empty. Views live until the next Step, Bind or the end of this object.
  bool IsNull(int column) const;
  std::int64_t Int(int column) const;
  std::uint64_t Uint(int column) const { return static_cast<std::uint64_t>(Int(column)); }
  std::string_view Text(int column) const { return Bytes(column); }
  std::string_view Bytes(int column) const;

 private:
  friend class SqliteDb;
  struct Cached {
    std::string sql;
    sqlite3_stmt* stmt = nullptr;
    bool cached = false;  // belongs to the cache; else finalized on return
    bool busy = false;
  };
  SqliteStatement(SqliteDb* db, Cached* entry) : db_(db), entry_(entry) {}

  absl::Status Start(std::size_t arguments);
  absl::Status Finish();
  absl::Status BindInt(int index, std::int64_t value);
  absl::Status BindText(int index, std::string_view text);
  absl::Status BindBlob(int index, std::string_view bytes);
  absl::Status BindNull(int index);

  template <std::integral T>
  absl::Status BindOne(int index, T value) {
    if (!std::in_range<std::int64_t>(value)) return InvalidArgument("parameter {}: {} is beyond 63 bits", index, value);
    return BindInt(index, static_cast<std::int64_t>(value));
  }
  absl::Status BindOne(int index, std::nullptr_t) { return BindNull(index); }
  absl::Status BindOne(int index, Blob blob) { return BindBlob(index, blob.bytes); }
  absl::Status BindOne(int index, std::string_view text) { return BindText(index, text); }
  absl::Status BindOne(int index, const std::string& text) { return BindText(index, text); }
  absl::Status BindOne(int index, const char* text) { return BindText(index, text); }
  template <typename T>
  absl::Status BindOne(int index, const std::optional<T>& value) {
    return value ? BindOne(index, *value) : BindNull(index);
  }

  SqliteDb* db_;
  Cached* entry_;
};

struct SqliteOptions {
  std::string path{};                             // a file, ":memory:", or SqliteDb::kTemporary
  bool create = true;                             // NotFound for a missing file otherwise; new files get mode 0600
  bool read_only = false;                         // nothing can be changed through this connection
  bool durable = true;                            // else a power cut may take the last commits, but never half of one
  std::chrono::milliseconds busy_timeout{5'000};  // how long a lock of another connection is waited for
  int page_cache_kib = 16 * 1024;                 // bound of the page cache's memory
  int page_size = 0;                              // of a file that is new: a power of two from 512; 0: SQLite's default
  std::size_t statement_cache = 128;              // prepared statements kept
};

// One connection. Used by one thread at a time, except Interrupt(). The path's folder must exist.
class SqliteDb {
 public:
  // A path: a file without a name, of this connection alone. It is written only when it outgrows the page cache.
  static constexpr std::string_view kTemporary = ":temporary:";

  static absl::StatusOr<std::unique_ptr<SqliteDb>> Open(const SqliteOptions& options);
  ~SqliteDb();
  SqliteDb(const SqliteDb&) = delete;
  SqliteDb& operator=(const SqliteDb&) = delete;

  // Runs one or more statements without parameters, such as a schema.
  absl::Status Exec(std::string_view sql);

  // One statement, compiled or from the cache. The same SQL may be on loan more than once.
  absl::StatusOr<SqliteStatement> Prepare(std::string_view sql);

  // Prepare and run to the end.
  template <typename... Args>
  absl::Status Run(std::string_view sql, const Args&... args) {
    ASSIGN_OR_RETURN(SqliteStatement statement, Prepare(sql));
    return statement.Run(args...);
  }

  std::int64_t Changes() const;  // rows changed by the last INSERT, UPDATE or DELETE
  std::int64_t LastInsertId() const;
  bool InTransaction() const;

  // Copies the write-ahead log into the database file and empties it, so that the file alone is complete. Unavailable
  // when a reader holds the log.
  absl::Status Checkpoint();

  // Takes checkpoints out of this connection's commits: none happens in them any more, the log grows until somebody
  // calls CopyLog or Checkpoint, and `committed` hears after each commit how many pages the log holds. It runs on the
  // committing thread and must not use this connection.
  void OnCommit(std::function<void(int log_pages)> committed);

  struct LogProgress {
    int pages = 0;   // that the write-ahead log holds
    int copied = 0;  // of them, those that are in the database file too
  };
  // Copies what it can of the write-ahead log into the database file without waiting for anybody. When all is copied
  // and no reader needs the log, the next transaction starts it over.
  absl::StatusOr<LogProgress> CopyLog();

  // Makes what was copied into the database file durable. CopyLog does so only when it has copied all of the log. After
  // an error it is not known what of it is durable, whatever a later call says.
  absl::Status SyncFile();

  // Makes the running statement end with Cancelled. Callable from any thread.
  void Interrupt();

  const std::string& path() const { return path_; }

 private:
  friend class SqliteStatement;
  friend class SqliteTransaction;
  explicit SqliteDb(const SqliteOptions& options);

  absl::Status Configure(const SqliteOptions& options);
  absl::Status UseWriteAheadLog(std::chrono::milliseconds patience);
  absl::StatusOr<std::string> JournalMode(std::string_view wanted);
  absl::Status Error(int code, std::string_view doing) const;
  absl::StatusOr<sqlite3_stmt*> Compile(std::string_view sql, bool keep, std::string_view* rest) const;
  void Return(SqliteStatement::Cached* entry);
  void Evict();

  std::string path_;
  sqlite3* db_ = nullptr;
  std::function<void(int)> committed_;
  std::size_t capacity_;
  std::list<SqliteStatement::Cached> cache_;  // the most recently used first
  StringMap<std::list<SqliteStatement::Cached>::iterator> by_sql_;
};

// A transaction that is rolled back unless Commit() succeeded. Statements on loan must be reset (gone) before Commit().
class SqliteTransaction {
 public:
  enum class Kind {
    kRead,   // a snapshot; the lock is taken at the first read
    kWrite,  // takes the write lock at once, so that it cannot fail half-way for want of it
  };
  static absl::StatusOr<SqliteTransaction> Begin(SqliteDb& db, Kind kind = Kind::kWrite);
  SqliteTransaction(SqliteTransaction&& other) noexcept : db_(std::exchange(other.db_, nullptr)) {}
  SqliteTransaction& operator=(SqliteTransaction&&) = delete;
  ~SqliteTransaction();

  // After OK the changes are on disk. After any error but Unknown they are rolled back.
  absl::Status Commit();

 private:
  explicit SqliteTransaction(SqliteDb* db) : db_(db) {}
  SqliteDb* db_;  // null once ended
};

}  // namespace virp::store
