// PostgreSQL as our stores use it: libpqxx underneath, bytes that round-trip whole, no exceptions, and a COMMIT whose
// outcome is never guessed. The pool is in postgres_pool.h, binary COPY in postgres_copy.h.
//
// Errors, everywhere below (`reason` is GetReason()):
//   Unknown             COMMIT_IN_DOUBT: the connection broke during COMMIT, or the wait for a synchronous standby was
//                       cancelled. Settle it by reading back; a blind retry may write twice
//   Aborted             serialization failure or deadlock: read again and retry. Also committing a transaction in which
//   a
//                       statement had failed
//   Unavailable         the server is gone, shutting down, starting, a standby (STORE_READ_ONLY), or out of
//   connections; a
//                       lock was not free within lock_timeout
//   DeadlineExceeded    statement_timeout
//   AlreadyExists       a unique key is taken
//   FailedPrecondition  another constraint, or RAISE EXCEPTION of our own functions
//   ResourceExhausted   STORE_FULL: disk full; or out of memory
//   DataLoss            STORE_DAMAGED: the server found damaged pages or indexes
//   PermissionDenied    the role may not
//   InvalidArgument     a value that does not fit: text with a zero byte, a number beyond 63 bits, bad data for a type
//   Internal            SQL that does not fit the schema
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <pqxx/pqxx>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "absl/status/statusor.h"
#include "lib/base/hash_map.h"
#include "lib/base/status.h"
#include "lib/store/blob.h"

namespace virp::store {

struct PostgresOptions {
  std::string url{};            // as ParseStorageUrl accepts it; may hold a password
  std::string password_file{};  // when set, its first line is the password; read at each connect, so it may be rotated
  std::string application_name = "virp";
  std::chrono::milliseconds connect_timeout{5'000};  // whole seconds count
  std::chrono::milliseconds statement_timeout{30'000};
  std::chrono::milliseconds lock_timeout{10'000};
  std::chrono::milliseconds idle_in_transaction_timeout{60'000};
  std::chrono::milliseconds tcp_user_timeout{15'000};  // unanswered data breaks a connection after this long
  bool require_durable = true;      // refuse a server that may lose what it acknowledged: see CheckDurable
  bool prepared_statements = true;  // off behind a pooler in transaction mode
  std::function<void(std::string_view severity, std::string_view text)> on_notice{};  // server notices, for the log
};

namespace internal {

absl::Status CheckText(int index, std::string_view text);
std::string ByteaText(std::string_view bytes);  // "\x..." for optional bytes

inline absl::Status Fits(int, bool) {
  return absl::OkStatus();
}
template <std::integral T>
absl::Status Fits(int index, T value) {
  if (std::in_range<std::int64_t>(value)) return absl::OkStatus();
  return InvalidArgument("parameter {}: {} is beyond 63 bits", index, value);
}
inline absl::Status Fits(int, double) {
  return absl::OkStatus();
}
inline absl::Status Fits(int, std::nullptr_t) {
  return absl::OkStatus();
}
inline absl::Status Fits(int, Blob) {
  return absl::OkStatus();
}
inline absl::Status Fits(int index, std::string_view text) {
  return CheckText(index, text);
}
inline absl::Status Fits(int index, const std::string& text) {
  return CheckText(index, text);
}
inline absl::Status Fits(int index, const char* text) {
  return CheckText(index, text);
}
template <typename T>
absl::Status Fits(int index, const std::optional<T>& value) {
  return value ? Fits(index, *value) : absl::OkStatus();
}

template <typename... Args>
absl::Status AllFit(const Args&... args) {
  absl::Status status;
  int index = 0;
  ((status = status.ok() ? Fits(++index, args) : status), ...);
  return status;
}

inline bool Param(bool value) {
  return value;
}
template <std::integral T>
std::int64_t Param(T value) {
  return static_cast<std::int64_t>(value);
}
inline double Param(double value) {
  return value;
}
inline std::nullptr_t Param(std::nullptr_t) {
  return nullptr;
}
inline pqxx::binarystring Param(Blob blob) {
  return {blob.bytes.data(), blob.bytes.size()};
}
inline std::string Param(std::string_view text) {
  return std::string(text);
}
inline std::string Param(const std::string& text) {
  return text;
}
inline std::string Param(const char* text) {
  return text;
}
template <typename T>
auto Param(const std::optional<T>& value) {
  if constexpr (std::is_same_v<T, Blob>) {
    return value ? std::optional<std::string>(ByteaText(value->bytes)) : std::nullopt;
  } else {
    using Out = std::decay_t<decltype(Param(*value))>;
    return value ? std::optional<Out>(Param(*value)) : std::nullopt;
  }
}

}  // namespace internal

// Rows of a finished statement; columns count from 0, as rows do. NULL reads as 0, false or empty. Copies share the
// rows.
class PostgresResult {
 public:
  explicit PostgresResult(const pqxx::result& result) : result_(result) {}

  int rows() const { return static_cast<int>(result_.size()); }
  std::int64_t affected() const { return static_cast<std::int64_t>(result_.affected_rows()); }

  bool IsNull(int row, int column) const;
  std::int64_t Int(int row, int column) const;  // 0 when the column's text is no integer
  std::uint64_t Uint(int row, int column) const { return static_cast<std::uint64_t>(Int(row, column)); }
  bool Bool(int row, int column) const { return Text(row, column) == "t"; }
  std::string_view Text(int row, int column) const;  // lives as long as a copy of the result
  std::string Bytes(int row, int column) const;      // of a bytea column

 private:
  pqxx::result result_;
};

class PostgresTransaction;

// One connection, used by one thread at a time. Once broken it stays broken: drop it.
class PostgresConnection {
 public:
  // Connects, sets the session up and, unless told otherwise, checks durability. Messages name the server, never a
  // password.
  static absl::StatusOr<std::unique_ptr<PostgresConnection>> Open(const PostgresOptions& options);
  ~PostgresConnection();
  PostgresConnection(const PostgresConnection&) = delete;
  PostgresConnection& operator=(const PostgresConnection&) = delete;

  // Whether the next use may succeed: looks at the socket, without a round trip.
  bool Usable();

  // FailedPrecondition STORE_NOT_DURABLE names the setting when fsync, full_page_writes or synchronous_commit is off in
  // this session, or the server is older than 15.
  absl::Status CheckDurable();

  // One statement without a transaction around it, parameters as in PostgresTransaction::Exec: one round trip instead
  // of three. For reading only: what it changed would be committed, and a line that breaks is Unavailable all the same.
  // Not while a transaction is open.
  template <typename... Args>
  absl::StatusOr<PostgresResult> Query(std::string_view sql, const Args&... args) {
    RETURN_IF_ERROR(internal::AllFit(args...));
    return Guarded(sql, [&](pqxx::transaction_base& alone) { return Send(alone, sql, args...); });
  }

  // The libpq connection, for what libpqxx cannot do. Owned by this object.
  pqxx::internal::pq::PGconn* raw() const;

 private:
  friend class PostgresTransaction;
  struct Impl;
  using Statement = std::function<pqxx::result(pqxx::transaction_base&)>;

  template <typename... Args>
  pqxx::result Send(pqxx::transaction_base& transaction, std::string_view sql, const Args&... args) {
    if constexpr (sizeof...(args) == 0) {
      return transaction.exec(std::string(sql));
    } else if (prepared()) {
      return transaction.exec_prepared(Prepared(sql), internal::Param(args)...);
    } else {
      return transaction.exec_params(std::string(sql), internal::Param(args)...);
    }
  }
  bool prepared() const;
  const std::string& Prepared(std::string_view sql);
  absl::StatusOr<PostgresResult> Guarded(std::string_view sql, const Statement& body);
  // To be called inside a catch block.
  absl::Status Caught(std::string_view sql) const;

  explicit PostgresConnection(std::unique_ptr<Impl> impl);
  absl::Status SetUp(const PostgresOptions& options);

  std::unique_ptr<Impl> impl_;
};

enum class Isolation { kReadCommitted, kRepeatableRead, kSerializable };

struct TransactionOptions {
  bool read_only = false;
  Isolation isolation = Isolation::kReadCommitted;
  std::optional<std::chrono::milliseconds> statement_timeout{};  // instead of the session's; zero means none
};

// A transaction that is rolled back unless Commit() was called. At most one per connection at a time; the connection
// must outlive it.
class PostgresTransaction {
 public:
  static absl::StatusOr<PostgresTransaction> Begin(PostgresConnection& connection,
                                                   const TransactionOptions& options = {});
  PostgresTransaction(PostgresTransaction&&) noexcept;
  PostgresTransaction& operator=(PostgresTransaction&&) = delete;
  ~PostgresTransaction();

  // Runs one statement with $1, $2, ... : integers (as bigint), bool, double, text, Blob, nullptr, std::optional of
  // these. Statements with parameters are prepared on first use, per connection and text: pass texts that do not vary.
  template <typename... Args>
  absl::StatusOr<PostgresResult> Exec(std::string_view sql, const Args&... args) {
    RETURN_IF_ERROR(internal::AllFit(args...));
    return Guarded(sql,
                   [&](pqxx::transaction_base& transaction) { return connection_->Send(transaction, sql, args...); });
  }

  // Exec for statements whose rows do not matter.
  template <typename... Args>
  absl::Status Run(std::string_view sql, const Args&... args) {
    return Exec(sql, args...).status();
  }

  // The outcome: OK is committed and on disk (as the server's settings say), Unknown is unknown, any other error is
  // rolled back. The COMMIT itself runs without statement_timeout.
  absl::Status Commit();

  // Marks it failed, so that Commit() refuses: after an error on raw(). Keeps the first.
  void Fail(absl::Status status);

  PostgresConnection& connection() const { return *connection_; }

 private:
  class Impl;
  PostgresTransaction(PostgresConnection& connection, std::unique_ptr<Impl> impl);

  absl::StatusOr<PostgresResult> Guarded(std::string_view sql, const PostgresConnection::Statement& body);

  PostgresConnection* connection_;
  std::unique_ptr<Impl> impl_;
  absl::Status failed_;
};

// The status of an SQLSTATE and its message.
absl::Status StatusFromSqlState(std::string_view sqlstate, std::string_view message);

}  // namespace virp::store
