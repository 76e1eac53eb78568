// Binary COPY, the fastest way of many rows into and out of PostgreSQL (docs of COPY, "Binary Format").
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/store/postgres.h"

namespace virp::store {

// COPY table (columns) FROM STDIN (FORMAT binary). The calls of one row must fit the columns in number, order and type;
// the server checks and Finish() reports. Sent in pieces of 256 KiB. Going away without Finish() fails the transaction.
class PostgresCopyIn {
 public:
  static absl::StatusOr<PostgresCopyIn> Begin(PostgresTransaction& transaction, std::string_view copy_sql, int columns);
  PostgresCopyIn(PostgresCopyIn&& other) noexcept;
  PostgresCopyIn& operator=(PostgresCopyIn&&) = delete;
  ~PostgresCopyIn();

  void Row();                      // begins a row
  void Int16(std::int16_t value);  // smallint
  void Int32(std::int32_t value);  // integer
  void Int64(std::int64_t value);  // bigint
  void Bool(bool value);
  void Bytes(std::string_view bytes);  // bytea; text too, which must be UTF-8 without zero bytes
  void Null();

  // Sends what has gathered, when that is much. Call after each row; an error ends the COPY.
  absl::Status Flush();

  // The number of rows that the server took.
  absl::StatusOr<std::int64_t> Finish();

 private:
  PostgresCopyIn(PostgresTransaction* transaction, int columns);
  absl::Status Send();
  absl::Status End(const char* error, std::int64_t* rows);

  PostgresTransaction* transaction_;  // null once ended
  int columns_;
  std::string buffer_;
};

// COPY (query) TO STDOUT (FORMAT binary). While it is open, nothing else may run on the connection.
class PostgresCopyOut {
 public:
  static absl::StatusOr<PostgresCopyOut> Begin(PostgresTransaction& transaction, std::string_view copy_sql);
  PostgresCopyOut(PostgresCopyOut&& other) noexcept;
  PostgresCopyOut& operator=(PostgresCopyOut&&) = delete;
  ~PostgresCopyOut();  // before the end: cancels the query and fails the transaction

  // The next row; false at the end.
  absl::StatusOr<bool> Next();

  // The current row; columns count from 0, views live until Next(). NULL reads as 0 or empty.
  int columns() const { return static_cast<int>(fields_.size()); }
  bool IsNull(int column) const { return fields_[static_cast<std::size_t>(column)].data() == nullptr; }
  std::int64_t Int(int column) const;  // smallint, integer, bigint; boolean as 0 or 1
  std::string_view Bytes(int column) const { return fields_[static_cast<std::size_t>(column)]; }

 private:
  explicit PostgresCopyOut(PostgresTransaction* transaction) : transaction_(transaction) {}
  absl::StatusOr<bool> Parse(std::string_view message);
  void Release();

  PostgresTransaction* transaction_;  // null once ended
  char* message_ = nullptr;           // libpq's, holds the current row
  bool started_ = false;
  int waits_ = 0;  // for the server
  std::vector<std::string_view> fields_;
};

}  // namespace virp::store
