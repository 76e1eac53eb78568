#include "lib/store/postgres_copy.h"

#include <libpq-fe.h>

#include <charconv>
#include <chrono>
#include <thread>

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/store/postgres_error.h"

namespace virp::store {
namespace {

constexpr std::string_view kSignature("PGCOPY\n\377\r\n\0", 11);
constexpr std::size_t kHeader = 11 + 4 + 4;  // signature, flags, length of the (empty) extension
constexpr std::size_t kSendAt = 256 * 1024;

// The server sends 8 KiB at a time, and to sleep and be woken for each of them costs a reader of many rows a quarter of
// its time: it lets the server get ahead instead.
constexpr int kWaitsOfAFewRows = 2;
constexpr std::chrono::microseconds kGetAhead{250};

struct ResultDeleter {
  void operator()(PGresult* result) const { PQclear(result); }
};
using ResultPtr = std::unique_ptr<PGresult, ResultDeleter>;

absl::Status Lost(const PGconn* connection) {
  absl::Status status = Unavailable("COPY: {}", OneLine(PQerrorMessage(connection)));
  Hide(status);
  return status;
}

// The results that follow a COPY, up to the end: the first error, and the number of rows.
absl::Status Drain(PGconn* connection, std::string_view doing, std::int64_t* rows) {
  absl::Status status;
  while (const ResultPtr result{PQgetResult(connection)}) {
    if (status.ok()) status = StatusFromResult(connection, result.get(), doing);
    const std::string_view count = PQcmdTuples(result.get());
    if (rows != nullptr) std::from_chars(count.data(), count.data() + count.size(), *rows);
    if (PQstatus(connection) != CONNECTION_OK) break;
  }
  return status;
}

absl::Status Start(PostgresTransaction& transaction, std::string_view sql, ExecStatusType wanted) {
  PGconn* const connection = transaction.connection().raw();
  const ResultPtr result(PQexec(connection, std::string(sql).c_str()));
  absl::Status status = StatusFromResult(connection, result.get(), "COPY");
  if (status.ok() && PQresultStatus(result.get()) != wanted)
    status = Internal("'{}' is not a COPY in that direction", sql);
  if (!status.ok()) transaction.Fail(status);
  return status;
}

}  // namespace

PostgresCopyIn::PostgresCopyIn(PostgresTransaction* transaction, int columns)
    : transaction_(transaction), columns_(columns) {
  buffer_.reserve(kSendAt + 16 * 1024);
  buffer_.append(kSignature);
  buffer_.append(8, '\0');
}

PostgresCopyIn::PostgresCopyIn(PostgresCopyIn&& other) noexcept
    : transaction_(std::exchange(other.transaction_, nullptr)),
      columns_(other.columns_),
      buffer_(std::move(other.buffer_)) {}

PostgresCopyIn::~PostgresCopyIn() {
  if (transaction_ == nullptr) return;
  PostgresTransaction* const transaction = transaction_;
  (void)End("abandoned", nullptr);  // the server's answer to that is the error asked for
  transaction->Fail(Aborted("a COPY was abandoned"));
}

absl::StatusOr<PostgresCopyIn> PostgresCopyIn::Begin(PostgresTransaction& transaction, std::string_view copy_sql,
                                                     int columns) {
  RETURN_IF_ERROR(Start(transaction, copy_sql, PGRES_COPY_IN));
  return PostgresCopyIn(&transaction, columns);
}

void PostgresCopyIn::Row() {
  AppendBe(buffer_, static_cast<std::uint16_t>(columns_));
}
void PostgresCopyIn::Int16(std::int16_t value) {
  AppendBe(buffer_, std::uint32_t{2});
  AppendBe(buffer_, static_cast<std::uint16_t>(value));
}
void PostgresCopyIn::Int32(std::int32_t value) {
  AppendBe(buffer_, std::uint32_t{4});
  AppendBe(buffer_, static_cast<std::uint32_t>(value));
}
void PostgresCopyIn::Int64(std::int64_t value) {
  AppendBe(buffer_, std::uint32_t{8});
  AppendBe(buffer_, static_cast<std::uint64_t>(value));
}
void PostgresCopyIn::Bool(bool value) {
  AppendBe(buffer_, std::uint32_t{1});
  buffer_.push_back(value ? '\1' : '\0');
}
void PostgresCopyIn::Bytes(std::string_view bytes) {
  AppendBe(buffer_, static_cast<std::uint32_t>(bytes.size()));
  buffer_.append(bytes);
}
void PostgresCopyIn::Null() {
  AppendBe(buffer_, ~std::uint32_t{0});
}

absl::Status PostgresCopyIn::Flush() {
  return buffer_.size() < kSendAt ? absl::OkStatus() : Send();
}

absl::Status PostgresCopyIn::Send() {
  if (transaction_ == nullptr) return Internal("this COPY has ended already");
  PGconn* const connection = transaction_->connection().raw();
  const int sent = PQputCopyData(connection, buffer_.data(), static_cast<int>(buffer_.size()));
  buffer_.clear();
  if (sent == 1) return absl::OkStatus();
  absl::Status status = Lost(connection);
  transaction_->Fail(status);
  return status;
}

absl::Status PostgresCopyIn::End(const char* error, std::int64_t* rows) {
  PGconn* const connection = transaction_->connection().raw();
  absl::Status status;
  if (PQputCopyEnd(connection, error) != 1) status = Lost(connection);
  absl::Status drained = Drain(connection, "COPY", rows);
  if (status.ok()) status = std::move(drained);
  if (!status.ok()) transaction_->Fail(status);
  transaction_ = nullptr;
  return status;
}

absl::StatusOr<std::int64_t> PostgresCopyIn::Finish() {
  AppendBe(buffer_, std::uint16_t{0xffff});
  RETURN_IF_ERROR(Send());
  std::int64_t rows = 0;
  RETURN_IF_ERROR(End(nullptr, &rows));
  return rows;
}

PostgresCopyOut::PostgresCopyOut(PostgresCopyOut&& other) noexcept
    : transaction_(std::exchange(other.transaction_, nullptr)),
      message_(std::exchange(other.message_, nullptr)),
      started_(other.started_),
      waits_(other.waits_),
      fields_(std::move(other.fields_)) {}

PostgresCopyOut::~PostgresCopyOut() {
  Release();
  if (transaction_ == nullptr) return;
  PGconn* const connection = transaction_->connection().raw();
  if (PGcancel* const cancel = PQgetCancel(connection)) {
    char error[256];
    PQcancel(cancel, error, sizeof(error));  // when it fails, the rows are read to their end instead
    PQfreeCancel(cancel);
  }
  char* rest = nullptr;
  while (PQgetCopyData(connection, &rest, 0) > 0) PQfreemem(rest);
  (void)Drain(connection, "COPY", nullptr);  // the cancellation
  transaction_->Fail(Aborted("a COPY was abandoned"));
}

void PostgresCopyOut::Release() {
  if (message_ != nullptr) PQfreemem(message_);
  message_ = nullptr;
}

absl::StatusOr<PostgresCopyOut> PostgresCopyOut::Begin(PostgresTransaction& transaction, std::string_view copy_sql) {
  RETURN_IF_ERROR(Start(transaction, copy_sql, PGRES_COPY_OUT));
  return PostgresCopyOut(&transaction);
}

absl::StatusOr<bool> PostgresCopyOut::Next() {
  while (transaction_ != nullptr) {
    Release();
    PGconn* const connection = transaction_->connection().raw();
    int size = PQgetCopyData(connection, &message_, /*async=*/1);
    if (size == 0) {
      if (++waits_ > kWaitsOfAFewRows) std::this_thread::sleep_for(kGetAhead);
      size = PQgetCopyData(connection, &message_, /*async=*/0);
    }
    if (size < 0) {
      absl::Status status = size == -1 ? Drain(connection, "COPY", nullptr) : Lost(connection);
      PostgresTransaction* const transaction = std::exchange(transaction_, nullptr);
      if (status.ok()) return false;
      transaction->Fail(status);
      return status;
    }
    ASSIGN_OR_RETURN(const bool row, Parse({message_, static_cast<std::size_t>(size)}));
    if (row) return true;
  }
  return false;
}

// A message is one row; the first has the header before it, and the last is the trailer without one.
absl::StatusOr<bool> PostgresCopyOut::Parse(std::string_view message) {
  if (!started_) {
    if (message.size() < kHeader || !message.starts_with(kSignature)) return Internal("COPY is not in binary format");
    const std::size_t extension = LoadBe<std::uint32_t>(message.data() + 15);
    if (extension > message.size() - kHeader) return Internal("COPY header is cut short");
    message.remove_prefix(kHeader + extension);
    started_ = true;
    if (message.empty()) return false;
  }
  if (message.size() < 2) return Internal("COPY row is cut short");
  const auto count = LoadBe<std::uint16_t>(message.data());
  message.remove_prefix(2);
  fields_.clear();
  if (count == 0xffff) return false;
  for (std::uint16_t i = 0; i < count; ++i) {
    if (message.size() < 4) return Internal("COPY row is cut short");
    const auto size = LoadBe<std::uint32_t>(message.data());
    message.remove_prefix(4);
    if (size == ~std::uint32_t{0}) {
      fields_.emplace_back();
      continue;
    }
    if (message.size() < size) return Internal("COPY field is cut short");
    fields_.push_back(message.substr(0, size));
    message.remove_prefix(size);
  }
  return true;
}

std::int64_t PostgresCopyOut::Int(int column) const {
  const std::string_view field = fields_[static_cast<std::size_t>(column)];
  switch (field.size()) {
    case 1:
      return field[0] != 0;
    case 2:
      return static_cast<std::int16_t>(LoadBe<std::uint16_t>(field.data()));
    case 4:
      return static_cast<std::int32_t>(LoadBe<std::uint32_t>(field.data()));
    case 8:
      return static_cast<std::int64_t>(LoadBe<std::uint64_t>(field.data()));
    default:
      return 0;
  }
}

}  // namespace virp::store
