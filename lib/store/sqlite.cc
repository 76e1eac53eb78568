#include "lib/store/sqlite.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>

#include "lib/base/error_info.h"

namespace virp::store {
namespace {

// The Status of a result code, extended codes included. `full` says that the operating system had no space left.
absl::StatusCode CodeFor(int code, bool full) {
  switch (code) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
      return absl::StatusCode::kAlreadyExists;
    case SQLITE_READONLY_DBMOVED:
      return absl::StatusCode::kUnavailable;
    default:
      break;
  }
  switch (code & 0xff) {
    case SQLITE_FULL:
    case SQLITE_NOMEM:
      return absl::StatusCode::kResourceExhausted;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
      return absl::StatusCode::kUnavailable;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
      return full ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kUnavailable;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::StatusCode::kDataLoss;
    case SQLITE_CONSTRAINT:
    case SQLITE_READONLY:
      return absl::StatusCode::kFailedPrecondition;
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return absl::StatusCode::kPermissionDenied;
    case SQLITE_INTERRUPT:
      return absl::StatusCode::kCancelled;
    case SQLITE_ERROR:
    case SQLITE_TOOBIG:
    case SQLITE_MISMATCH:
    case SQLITE_RANGE:
      return absl::StatusCode::kInvalidArgument;
    default:
      return absl::StatusCode::kInternal;
  }
}

// Makes the file with a private mode and its name durable; SQLite gives the same mode to the log beside it.
absl::Status CreateFile(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return Unavailable("cannot create the database {}: {}", path, std::strerror(errno));
  ::close(fd);
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  const int dir = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir < 0) return Unavailable("cannot open the folder {}: {}", folder, std::strerror(errno));
  const int synced = ::fsync(dir);
  ::close(dir);
  if (synced != 0) return Unavailable("cannot sync the folder {}: {}", folder, std::strerror(errno));
  return absl::OkStatus();
}

bool HasNoFile(std::string_view path) {
  return path == ":memory:" || path == SqliteDb::kTemporary;
}

}  // namespace

SqliteDb::SqliteDb(const SqliteOptions& options) : path_(options.path), capacity_(options.statement_cache) {}

SqliteDb::~SqliteDb() {
  for (const auto& entry : cache_) sqlite3_finalize(entry.stmt);
  sqlite3_close_v2(db_);
}

absl::StatusOr<std::unique_ptr<SqliteDb>> SqliteDb::Open(const SqliteOptions& options) {
  if (options.path.empty() || options.path.find('\0') != std::string::npos) {
    return InvalidArgument("a database path is empty or holds a zero byte");
  }
  if (!HasNoFile(options.path) && ::access(options.path.c_str(), F_OK) != 0) {
    if (!options.create || options.read_only) return NotFound("there is no database {}", options.path);
    RETURN_IF_ERROR(CreateFile(options.path));
  }
  auto db = std::unique_ptr<SqliteDb>(new SqliteDb(options));
  const int flags =
      (options.read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  const char* const name = options.path == kTemporary ? "" : options.path.c_str();
  const int code = sqlite3_open_v2(name, &db->db_, flags, nullptr);
  if (code != SQLITE_OK) return db->Error(code, "open");
  RETURN_IF_ERROR(db->Configure(options));
  return db;
}

absl::Status SqliteDb::Configure(const SqliteOptions& options) {
  sqlite3_busy_timeout(db_, static_cast<int>(options.busy_timeout.count()));
  sqlite3_db_config(db_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(db_, SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
  sqlite3_db_config(db_, SQLITE_DBCONFIG_DQS_DDL, 0, nullptr);
  if (!options.read_only) {
    if (options.page_size != 0) RETURN_IF_ERROR(Exec(fmt::format("PRAGMA page_size={}", options.page_size)));
    RETURN_IF_ERROR(UseWriteAheadLog(options.busy_timeout));
  }
  RETURN_IF_ERROR(
      Exec(fmt::format("PRAGMA synchronous={}; PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF;"
                       "PRAGMA cell_size_check=ON; PRAGMA cache_size=-{}",
                       options.durable ? "FULL" : "NORMAL", options.page_cache_kib)));
  return Exec("SELECT count(*) FROM sqlite_schema");  // the first real read: notices what is not a database
}

absl::Status SqliteDb::UseWriteAheadLog(std::chrono::milliseconds patience) {
  // SQLite does not call the busy handler where it fears a deadlock, and two that turn a new file to WAL look like one.
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (true) {
    auto answer = JournalMode("wal");
    if (!absl::IsUnavailable(answer.status()) || std::chrono::steady_clock::now() >= deadline) {
      RETURN_IF_ERROR(answer.status());
      if (*answer == "wal" || HasNoFile(path_)) return absl::OkStatus();
      return FailedPrecondition("the file system of {} does not allow a write-ahead log (it answered '{}')", path_,
                                *answer);
    }
    sqlite3_sleep(1);
  }
}

absl::StatusOr<std::string> SqliteDb::JournalMode(std::string_view wanted) {
  ASSIGN_OR_RETURN(SqliteStatement mode, Prepare(fmt::format("PRAGMA journal_mode={}", wanted)));
  ASSIGN_OR_RETURN(const bool row, mode.One());
  return row ? std::string(mode.Text(0)) : std::string("nothing");
}

absl::Status SqliteDb::Error(int code, std::string_view doing) const {
  const bool full = db_ != nullptr && sqlite3_system_errno(db_) == ENOSPC;
  const absl::StatusCode status = CodeFor(code, full);
  absl::Status out = MakeStatus(status, "{}: {}: {} (SQLite code {})", path_, doing,
                                db_ != nullptr ? sqlite3_errmsg(db_) : sqlite3_errstr(code), code);
  if (status == absl::StatusCode::kResourceExhausted) SetReason(out, "STORE_FULL");
  if (status == absl::StatusCode::kDataLoss) SetReason(out, "STORE_DAMAGED");
  Hide(out);
  return out;
}

absl::StatusOr<sqlite3_stmt*> SqliteDb::Compile(std::string_view sql, bool keep, std::string_view* rest) const {
  sqlite3_stmt* stmt = nullptr;
  const char* tail = nullptr;
  const int code = sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()),
                                      keep ? SQLITE_PREPARE_PERSISTENT : 0, &stmt, &tail);
  if (code != SQLITE_OK) return Error(code, fmt::format("compile '{}'", sql.substr(0, 200)));
  *rest = sql.substr(static_cast<std::size_t>(tail - sql.data()));
  return stmt;
}

absl::Status SqliteDb::Exec(std::string_view sql) {
  while (!sql.empty()) {
    std::string_view rest;
    ASSIGN_OR_RETURN(sqlite3_stmt* const stmt, Compile(sql, false, &rest));
    if (stmt != nullptr) {  // null for white space and comments
      int code = SQLITE_ROW;
      while (code == SQLITE_ROW) code = sqlite3_step(stmt);
      const absl::Status status =
          code == SQLITE_DONE
              ? absl::OkStatus()
              : Error(code, fmt::format("run '{}'", sql.substr(0, sql.size() - rest.size()).substr(0, 200)));
      sqlite3_finalize(stmt);
      RETURN_IF_ERROR(status);
    }
    sql = rest;
  }
  return absl::OkStatus();
}

absl::StatusOr<SqliteStatement> SqliteDb::Prepare(std::string_view sql) {
  if (const auto found = by_sql_.find(sql); found != by_sql_.end()) {
    cache_.splice(cache_.begin(), cache_, found->second);
    if (!found->second->busy) {
      found->second->busy = true;
      return SqliteStatement(this, &*found->second);
    }
  }
  std::string_view rest;
  ASSIGN_OR_RETURN(sqlite3_stmt* const stmt, Compile(sql, true, &rest));
  if (stmt == nullptr) return InvalidArgument("an empty SQL statement");
  if (rest.find_first_not_of(" \t\r\n;") != std::string_view::npos) {
    sqlite3_finalize(stmt);
    return InvalidArgument("more than one SQL statement where one is expected: '{}'", sql.substr(0, 200));
  }
  if (by_sql_.contains(sql)) {  // the cached one is on loan
    return SqliteStatement(this, new SqliteStatement::Cached{std::string(sql), stmt, false, true});
  }
  cache_.push_front({std::string(sql), stmt, true, true});
  by_sql_[cache_.front().sql] = cache_.begin();
  SqliteStatement out(this, &cache_.front());
  Evict();
  return out;
}

void SqliteDb::Evict() {
  auto at = cache_.end();
  while (cache_.size() > capacity_ && at != cache_.begin()) {
    --at;
    if (at->busy) continue;
    by_sql_.erase(at->sql);
    sqlite3_finalize(at->stmt);
    at = cache_.erase(at);
  }
}

void SqliteDb::Return(SqliteStatement::Cached* entry) {
  sqlite3_reset(entry->stmt);
  sqlite3_clear_bindings(entry->stmt);
  if (entry->cached) {
    entry->busy = false;
    return;
  }
  sqlite3_finalize(entry->stmt);
  delete entry;
}

std::int64_t SqliteDb::Changes() const {
  return sqlite3_changes64(db_);
}
std::int64_t SqliteDb::LastInsertId() const {
  return sqlite3_last_insert_rowid(db_);
}
bool SqliteDb::InTransaction() const {
  return sqlite3_get_autocommit(db_) == 0;
}
void SqliteDb::Interrupt() {
  sqlite3_interrupt(db_);
}

absl::Status SqliteDb::Checkpoint() {
  const int code = sqlite3_wal_checkpoint_v2(db_, nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : Error(code, "checkpoint");
}

void SqliteDb::OnCommit(std::function<void(int)> committed) {
  committed_ = std::move(committed);
  // Setting a hook replaces SQLite's own, which is what does the automatic checkpoints.
  sqlite3_wal_hook(
      db_,
      [](void* self, sqlite3*, const char*, int pages) {
        static_cast<SqliteDb*>(self)->committed_(pages);
        return SQLITE_OK;
      },
      this);
}

absl::StatusOr<SqliteDb::LogProgress> SqliteDb::CopyLog() {
  LogProgress out;
  const int code = sqlite3_wal_checkpoint_v2(db_, nullptr, SQLITE_CHECKPOINT_PASSIVE, &out.pages, &out.copied);
  if (code != SQLITE_OK) return Error(code, "copy the write-ahead log");
  return out;
}

absl::Status SqliteDb::SyncFile() {
  sqlite3_file* file = nullptr;
  int code = sqlite3_file_control(db_, "main", SQLITE_FCNTL_FILE_POINTER, static_cast<void*>(&file));
  if (code == SQLITE_OK && file != nullptr && file->pMethods != nullptr)
    code = file->pMethods->xSync(file, SQLITE_SYNC_NORMAL | SQLITE_SYNC_DATAONLY);
  return code == SQLITE_OK ? absl::OkStatus() : Error(code, "sync the database file");
}

SqliteStatement::SqliteStatement(SqliteStatement&& other) noexcept
    : db_(other.db_), entry_(std::exchange(other.entry_, nullptr)) {}

SqliteStatement::~SqliteStatement() {
  if (entry_ != nullptr) db_->Return(entry_);
}

absl::Status SqliteStatement::Start(std::size_t arguments) {
  sqlite3_reset(entry_->stmt);  // repeats the error of the last step, which was reported then
  const auto expected = static_cast<std::size_t>(sqlite3_bind_parameter_count(entry_->stmt));
  if (expected == arguments) return absl::OkStatus();
  return InvalidArgument("{} parameters for a statement with {}: '{}'", arguments, expected,
                         entry_->sql.substr(0, 200));
}

absl::StatusOr<bool> SqliteStatement::Step() {
  const int code = sqlite3_step(entry_->stmt);
  if (code == SQLITE_ROW) return true;
  absl::Status status =
      code == SQLITE_DONE ? absl::OkStatus() : db_->Error(code, fmt::format("run '{}'", entry_->sql.substr(0, 200)));
  sqlite3_reset(entry_->stmt);
  if (!status.ok()) return status;
  return false;
}

absl::Status SqliteStatement::Finish() {
  bool more = true;
  while (more) {
    ASSIGN_OR_RETURN(more, Step());
  }
  return absl::OkStatus();
}

#define VIRP_BIND(CALL)                           \
  const int code = (CALL);                        \
  if (code == SQLITE_OK) return absl::OkStatus(); \
  return db_->Error(code, fmt::format("bind parameter {} of '{}'", index, entry_->sql.substr(0, 200)))

absl::Status SqliteStatement::BindInt(int index, std::int64_t value) {
  VIRP_BIND(sqlite3_bind_int64(entry_->stmt, index, value));
}
absl::Status SqliteStatement::BindNull(int index) {
  VIRP_BIND(sqlite3_bind_null(entry_->stmt, index));
}

absl::Status SqliteStatement::BindText(int index, std::string_view text) {
  if (text.find('\0') != std::string_view::npos) {
    return InvalidArgument("parameter {}: text with a zero byte at {}; bytes are bound as Blob", index,
                           text.find('\0'));
  }
  VIRP_BIND(sqlite3_bind_text64(entry_->stmt, index, text.data() == nullptr ? "" : text.data(), text.size(),
                                SQLITE_TRANSIENT, SQLITE_UTF8));
}

absl::Status SqliteStatement::BindBlob(int index, std::string_view bytes) {
  // An empty blob is not NULL, but SQLite makes NULL of a null pointer.
  VIRP_BIND(sqlite3_bind_blob64(entry_->stmt, index, bytes.data() == nullptr ? "" : bytes.data(), bytes.size(),
                                SQLITE_TRANSIENT));
}
#undef VIRP_BIND

bool SqliteStatement::IsNull(int column) const {
  return sqlite3_column_type(entry_->stmt, column) == SQLITE_NULL;
}
std::int64_t SqliteStatement::Int(int column) const {
  return sqlite3_column_int64(entry_->stmt, column);
}
std::string_view SqliteStatement::Bytes(int column) const {
  const void* at = sqlite3_column_blob(entry_->stmt, column);  // before the size: it may convert
  if (at == nullptr) return {};
  return {static_cast<const char*>(at), static_cast<std::size_t>(sqlite3_column_bytes(entry_->stmt, column))};
}

absl::StatusOr<SqliteTransaction> SqliteTransaction::Begin(SqliteDb& db, Kind kind) {
  RETURN_IF_ERROR(db.Run(kind == Kind::kWrite ? "BEGIN IMMEDIATE" : "BEGIN"));
  return SqliteTransaction(&db);
}

absl::Status SqliteTransaction::Commit() {
  if (db_ == nullptr) return Internal("this transaction has ended already");
  if (!db_->InTransaction()) {  // SQLite rolled back by itself after a full disk or a failed write
    db_ = nullptr;
    return Aborted("the transaction was rolled back by an earlier error");
  }
  absl::Status status = db_->Run("COMMIT");
  if (status.ok()) {
    db_ = nullptr;
    return status;
  }
  const int code = sqlite3_extended_errcode(db_->db_);
  if ((code & 0xff) == SQLITE_IOERR && status.code() != absl::StatusCode::kResourceExhausted) {
    // The commit record may be in the log although its fsync failed.
    return WithReason(Unknown("{}; whether it was committed is not known", Message(status)), "COMMIT_IN_DOUBT");
  }
  return status;
}

SqliteTransaction::~SqliteTransaction() {
  if (db_ == nullptr || !db_->InTransaction()) return;
  // Fails only when SQLite has rolled back already.
  const absl::Status ignored = db_->Run("ROLLBACK");
  (void)ignored;
}

}  // namespace virp::store
