#include "lib/store/postgres.h"

#include <libpq-fe.h>
#include <poll.h>

#include <charconv>
#include <fstream>

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/store/postgres_error.h"
#include "lib/store/storage_url.h"

namespace virp::store {
namespace {

constexpr std::size_t kMaxPrepared = 512;  // per connection; a store has far fewer texts

struct ResultDeleter {
  void operator()(PGresult* result) const { PQclear(result); }
};
using ResultPtr = std::unique_ptr<PGresult, ResultDeleter>;

// libpqxx keeps the libpq handle to itself, but lets a policy make it: this one remembers it. It never connects twice,
// because a silently renewed session would have lost its settings, locks and transaction.
class OnceOnly : public pqxx::connect_direct {
 public:
  using pqxx::connect_direct::connect_direct;
  handle do_startconnect(handle original) override {
    if (original != nullptr) return original;
    if (connected) throw pqxx::broken_connection("the connection is broken");
    last_made_ = pqxx::connect_direct::do_startconnect(nullptr);
    connected = true;
    return last_made_;
  }
  bool connected = false;
  // The policy is a private member of its connection; the thread that constructs the connection reads this afterwards.
  static thread_local handle last_made_;
};
thread_local OnceOnly::handle OnceOnly::last_made_ = nullptr;

using Connection = pqxx::basic_connection_base<OnceOnly>;

std::string Quoted(std::string_view value) {
  std::string out = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  return out + "'";
}

absl::StatusOr<std::string> ReadPassword(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!file || !std::getline(file, line)) return FailedPrecondition("cannot read the database password file {}", path);
  if (!line.empty() && line.back() == '\r') line.pop_back();
  return line;
}

// The URL's settings as keyword = 'value' pairs, with ours added where the URL says nothing.
absl::StatusOr<std::string> ConnectString(const PostgresOptions& options) {
  char* message = nullptr;
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> parsed(
      PQconninfoParse(options.url.c_str(), &message), &PQconninfoFree);
  const std::unique_ptr<char, decltype(&PQfreemem)> owned(message, &PQfreemem);
  // libpq's message repeats parts of the URL, a password perhaps among them.
  if (parsed == nullptr) return InvalidArgument("the storage URL is not one that libpq understands");
  std::map<std::string, std::string> settings;
  for (const PQconninfoOption* option = parsed.get(); option->keyword != nullptr; ++option) {
    if (option->val != nullptr) settings[option->keyword] = option->val;
  }
  settings.emplace("application_name", options.application_name);
  settings.emplace("connect_timeout",
                   std::to_string(std::max<std::int64_t>(2, options.connect_timeout.count() / 1000)));
  settings.emplace("tcp_user_timeout", std::to_string(options.tcp_user_timeout.count()));
  settings.emplace("keepalives_idle", "10");
  settings.emplace("keepalives_interval", "5");
  settings.emplace("keepalives_count", "3");
  settings["client_encoding"] = "UTF8";
  if (!options.password_file.empty()) {
    ASSIGN_OR_RETURN(settings["password"], ReadPassword(options.password_file));
  }
  std::string out;
  for (const auto& [key, value] : settings) out += fmt::format("{}={} ", key, Quoted(value));
  return out;
}

std::string_view IsolationName(Isolation isolation) {
  switch (isolation) {
    case Isolation::kReadCommitted:
      return "READ COMMITTED";
    case Isolation::kRepeatableRead:
      return "REPEATABLE READ";
    case Isolation::kSerializable:
      return "SERIALIZABLE";
  }
  return "SERIALIZABLE";
}

// Carries a Status through libpqxx's own catch blocks.
class StatusException : public std::exception {
 public:
  explicit StatusException(absl::Status from) : status(std::move(from)), text_(status.ToString()) {}
  const char* what() const noexcept override { return text_.c_str(); }
  const absl::Status status;

 private:
  std::string text_;
};

}  // namespace

namespace internal {

absl::Status CheckText(int index, std::string_view text) {
  const std::size_t at = text.find('\0');
  if (at == std::string_view::npos) return absl::OkStatus();
  return InvalidArgument("parameter {}: text with a zero byte at {}; bytes are bound as Blob", index, at);
}

std::string ByteaText(std::string_view bytes) {
  return "\\x" + HexEncode(bytes);
}

}  // namespace internal

bool PostgresResult::IsNull(int row, int column) const {
  return result_.at(static_cast<pqxx::result::size_type>(row))[static_cast<pqxx::row::size_type>(column)].is_null();
}

std::string_view PostgresResult::Text(int row, int column) const {
  const pqxx::field field =
      result_.at(static_cast<pqxx::result::size_type>(row))[static_cast<pqxx::row::size_type>(column)];
  return {field.c_str(), field.size()};
}

std::int64_t PostgresResult::Int(int row, int column) const {
  const std::string_view text = Text(row, column);
  std::int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::string PostgresResult::Bytes(int row, int column) const {
  const std::string_view text = Text(row, column);
  if (!text.starts_with("\\x")) return {};
  return HexDecode(text.substr(2)).value_or(std::string());  // bytea_output is hex in our sessions
}

struct PostgresConnection::Impl {
  std::unique_ptr<Connection> connection;
  PGconn* raw = nullptr;
  std::string server;  // for messages: the URL without its secrets
  bool prepared_statements = true;
  bool has_statement_timeout = false;
  bool standby_unconfirmed = false;  // set by a notice during COMMIT
  bool ended = false;                // set by a notice: the server has said good-bye
  StringMap<std::string> prepared;   // SQL to name
  std::function<void(std::string_view, std::string_view)> on_notice;

  static void Receive(void* self, const PGresult* notice) {
    auto* impl = static_cast<Impl*>(self);
    const auto field = [notice](int which) {
      const char* text = PQresultErrorField(notice, which);
      return std::string_view(text == nullptr ? "" : text);
    };
    // By the C function's name, since messages are translated: the wait for the standby was cancelled, the commit is
    // local only (src/backend/replication/syncrep.c).
    if (field(PG_DIAG_SOURCE_FUNCTION) == "SyncRepWaitForLSN") impl->standby_unconfirmed = true;
    // A parting error outside of a query arrives as a notice.
    const std::string_view severity = field(PG_DIAG_SEVERITY_NONLOCALIZED);
    if (severity == "FATAL" || severity == "PANIC") impl->ended = true;
    if (impl->on_notice) impl->on_notice(severity, OneLine(field(PG_DIAG_MESSAGE_PRIMARY)));
  }
};

PostgresConnection::PostgresConnection(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PostgresConnection::~PostgresConnection() = default;

absl::StatusOr<std::unique_ptr<PostgresConnection>> PostgresConnection::Open(const PostgresOptions& options) {
  ASSIGN_OR_RETURN(const StorageUrl url, ParseStorageUrl(options.url, UrlOrigin::kPrivate));
  if (url.backend != Backend::kPostgres) return InvalidArgument("{} is not a PostgreSQL URL", Redacted(url));
  ASSIGN_OR_RETURN(const std::string connect, ConnectString(options));
  auto impl = std::make_unique<Impl>();
  impl->server = Redacted(url);
  try {
    OnceOnly::last_made_ = nullptr;
    impl->connection = std::make_unique<Connection>(connect);
    impl->raw = OnceOnly::last_made_;
  } catch (...) {
    return StatusFromException(fmt::format("connect to {}", impl->server));
  }
  auto out = std::unique_ptr<PostgresConnection>(new PostgresConnection(std::move(impl)));
  RETURN_IF_ERROR(Annotate(out->SetUp(options), out->impl_->server));
  return out;
}

absl::Status PostgresConnection::SetUp(const PostgresOptions& options) {
  impl_->prepared_statements = options.prepared_statements;
  impl_->has_statement_timeout = options.statement_timeout.count() > 0;
  impl_->on_notice = options.on_notice;
  PQsetNoticeReceiver(impl_->raw, &Impl::Receive, impl_.get());
  const ResultPtr result(PQexec(
      impl_->raw,
      fmt::format("SET statement_timeout={}; SET lock_timeout={}; SET idle_in_transaction_session_timeout={};"
                  "SET bytea_output=hex; SET TimeZone='UTC'; SET DateStyle='ISO'; SET standard_conforming_strings=on",
                  options.statement_timeout.count(), options.lock_timeout.count(),
                  options.idle_in_transaction_timeout.count())
          .c_str()));
  RETURN_IF_ERROR(StatusFromResult(impl_->raw, result.get(), "session settings"));
  return options.require_durable ? CheckDurable() : absl::OkStatus();
}

pqxx::internal::pq::PGconn* PostgresConnection::raw() const {
  return impl_->raw;
}

bool PostgresConnection::Usable() {
  if (impl_->ended || !impl_->connection->is_open() || PQtransactionStatus(impl_->raw) == PQTRANS_UNKNOWN) return false;
  // A server that went away leaves an end-of-file or a parting message in the socket.
  pollfd ready{PQsocket(impl_->raw), POLLIN, 0};
  if (::poll(&ready, 1, 0) <= 0) return true;
  if (PQconsumeInput(impl_->raw) != 1) return false;
  (void)PQisBusy(impl_->raw);  // parses what came in, and so calls Receive
  return !impl_->ended && PQstatus(impl_->raw) == CONNECTION_OK;
}

absl::Status PostgresConnection::CheckDurable() {
  const ResultPtr result(PQexec(impl_->raw,
                                "SELECT name, setting FROM pg_catalog.pg_settings WHERE name IN "
                                "('fsync','full_page_writes','synchronous_commit')"));
  RETURN_IF_ERROR(StatusFromResult(impl_->raw, result.get(), "durability settings"));
  for (int i = 0; i < PQntuples(result.get()); ++i) {
    if (std::string_view(PQgetvalue(result.get(), i, 1)) != "off") continue;
    return WithReason(FailedPrecondition("PostgreSQL runs with {}=off and may lose what it acknowledged; switch it on",
                                         PQgetvalue(result.get(), i, 0)),
                      "STORE_NOT_DURABLE");
  }
  if (PQntuples(result.get()) != 3) return Internal("PostgreSQL does not tell its durability settings");
  if (const int version = PQserverVersion(impl_->raw); version < 150'000) {
    return WithReason(FailedPrecondition("PostgreSQL {} is too old; 15 or newer is needed", version / 10'000),
                      "STORE_TOO_OLD");
  }
  return absl::OkStatus();
}

bool PostgresConnection::prepared() const {
  return impl_->prepared_statements;
}

const std::string& PostgresConnection::Prepared(std::string_view sql) {
  auto& known = impl_->prepared;
  if (const auto found = known.find(sql); found != known.end()) return found->second;
  if (known.size() >= kMaxPrepared)
    throw StatusException(Internal("more than {} statement texts on one connection", kMaxPrepared));
  const std::string name = fmt::format("virp_{}", known.size());
  impl_->connection->prepare(name, std::string(sql));
  return known.emplace(std::string(sql), name).first->second;
}

absl::StatusOr<PostgresResult> PostgresConnection::Guarded(std::string_view sql, const Statement& body) {
  try {
    pqxx::nontransaction alone(*impl_->connection);
    return PostgresResult(body(alone));
  } catch (...) {
    return Caught(sql);
  }
}

absl::Status PostgresConnection::Caught(std::string_view sql) const {
  absl::Status status;
  try {
    throw;
  } catch (const StatusException& error) {
    return error.status;
  } catch (...) {
    status = StatusFromException(fmt::format("'{}'", OneLine(sql.substr(0, 200))));
  }
  if (PQstatus(impl_->raw) != CONNECTION_OK && status.code() != absl::StatusCode::kUnavailable) {
    status = Unavailable("{}", Message(status));  // e.g. the FATAL message of a backend that was ended
    Hide(status);
  }
  return status;
}

// A libpqxx transaction with our own BEGIN and COMMIT: both in one round trip, and an outcome that is never guessed.
class PostgresTransaction::Impl final : public pqxx::dbtransaction {
 public:
  Impl(PostgresConnection::Impl& connection, const TransactionOptions& options)
      : namedclass("virp_transaction"), dbtransaction(*connection.connection), connection_(connection) {
    begin_ = fmt::format("BEGIN ISOLATION LEVEL {}{}", IsolationName(options.isolation),
                         options.read_only ? " READ ONLY" : "");
    timed_ = connection.has_statement_timeout;
    if (options.statement_timeout) {
      begin_ += fmt::format("; SET LOCAL statement_timeout={}", options.statement_timeout->count());
      timed_ = options.statement_timeout->count() > 0;
    }
    Begin();
  }
  ~Impl() noexcept override { End(); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

 private:
  void do_begin() override { direct_exec(begin_.c_str()); }

  void do_commit() override {
    connection_.standby_unconfirmed = false;
    // A statement_timeout that strikes in the wait for a standby would leave a local commit behind.
    const ResultPtr result(PQexec(connection_.raw, timed_ ? "SET LOCAL statement_timeout=0; COMMIT" : "COMMIT"));
    if (result == nullptr || PQstatus(connection_.raw) != CONNECTION_OK) {
      throw pqxx::in_doubt_error("the connection broke during COMMIT: " + OneLine(PQerrorMessage(connection_.raw)));
    }
    if (absl::Status status = StatusFromResult(connection_.raw, result.get(), "COMMIT"); !status.ok()) {
      throw StatusException(std::move(status));
    }
    if (std::string_view(PQcmdStatus(result.get())) != "COMMIT") {
      throw StatusException(Aborted("the server rolled back: a statement had failed"));
    }
    if (connection_.standby_unconfirmed) throw pqxx::in_doubt_error("committed here, but not confirmed by the standby");
  }

  PostgresConnection::Impl& connection_;
  std::string begin_;
  bool timed_ = false;
};

PostgresTransaction::PostgresTransaction(PostgresConnection& connection, std::unique_ptr<Impl> impl)
    : connection_(&connection), impl_(std::move(impl)) {}
PostgresTransaction::PostgresTransaction(PostgresTransaction&&) noexcept = default;
PostgresTransaction::~PostgresTransaction() = default;

absl::StatusOr<PostgresTransaction> PostgresTransaction::Begin(PostgresConnection& connection,
                                                               const TransactionOptions& options) {
  try {
    return PostgresTransaction(connection, std::make_unique<Impl>(*connection.impl_, options));
  } catch (...) {
    return StatusFromException("BEGIN");
  }
}

absl::StatusOr<PostgresResult> PostgresTransaction::Guarded(std::string_view sql,
                                                            const PostgresConnection::Statement& body) {
  if (!failed_.ok()) return Annotate(failed_, "an earlier statement of this transaction failed");
  if (impl_ == nullptr) return Internal("this transaction has ended already");
  try {
    return PostgresResult(body(*impl_));
  } catch (...) {
    failed_ = connection_->Caught(sql);
  }
  return failed_;
}

void PostgresTransaction::Fail(absl::Status status) {
  if (failed_.ok()) failed_ = std::move(status);
}

absl::Status PostgresTransaction::Commit() {
  if (impl_ == nullptr) return Internal("this transaction has ended already");
  const std::unique_ptr<Impl> ending = std::move(impl_);
  if (!failed_.ok()) {
    absl::Status status = Aborted("rolled back, because a statement failed: {}", Message(failed_));
    Hide(status);
    return status;
  }
  try {
    ending->commit();
    return absl::OkStatus();
  } catch (const StatusException& error) {
    return error.status;
  } catch (...) {
    return StatusFromException("COMMIT");
  }
}

}  // namespace virp::store
