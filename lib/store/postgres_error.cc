#include "lib/store/postgres_error.h"

#include <libpq-fe.h>

#include <new>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/store/postgres.h"

namespace virp::store {
namespace {

struct Row {
  std::string_view prefix;  // of the SQLSTATE; the first that fits counts
  absl::StatusCode code;
  const char* reason;
};

// PostgreSQL 15, appendix A.
constexpr Row kStates[] = {
    {"23505", absl::StatusCode::kAlreadyExists, nullptr},           // unique_violation
    {"23", absl::StatusCode::kFailedPrecondition, nullptr},         // other constraints
    {"40003", absl::StatusCode::kUnknown, "COMMIT_IN_DOUBT"},       // statement_completion_unknown
    {"40", absl::StatusCode::kAborted, nullptr},                    // serialization failure, deadlock
    {"25006", absl::StatusCode::kUnavailable, "STORE_READ_ONLY"},   // read_only_sql_transaction: a standby
    {"25P03", absl::StatusCode::kUnavailable, nullptr},             // idle_in_transaction_session_timeout
    {"25", absl::StatusCode::kAborted, nullptr},                    // in_failed_sql_transaction
    {"53100", absl::StatusCode::kResourceExhausted, "STORE_FULL"},  // disk_full
    {"53300", absl::StatusCode::kUnavailable, nullptr},             // too_many_connections
    {"53", absl::StatusCode::kResourceExhausted, nullptr},
    {"54", absl::StatusCode::kInvalidArgument, nullptr},  // program limits
    {"55P03", absl::StatusCode::kUnavailable, nullptr},   // lock_not_available
    {"55", absl::StatusCode::kFailedPrecondition, nullptr},
    {"57014", absl::StatusCode::kDeadlineExceeded, nullptr},  // query_canceled: statement_timeout
    {"57", absl::StatusCode::kUnavailable, nullptr},          // shutdown, crash recovery, cannot_connect_now
    {"58", absl::StatusCode::kUnavailable, nullptr},          // io_error
    {"08", absl::StatusCode::kUnavailable, nullptr},
    {"28", absl::StatusCode::kPermissionDenied, nullptr},
    {"42501", absl::StatusCode::kPermissionDenied, nullptr},  // insufficient_privilege
    {"22", absl::StatusCode::kInvalidArgument, nullptr},      // data exceptions
    {"XX001", absl::StatusCode::kDataLoss, "STORE_DAMAGED"},  // data_corrupted
    {"XX002", absl::StatusCode::kDataLoss, "STORE_DAMAGED"},  // index_corrupted
    {"P0", absl::StatusCode::kFailedPrecondition, nullptr},   // RAISE EXCEPTION
};

absl::Status Hidden(absl::Status status) {
  Hide(status);
  return status;
}

}  // namespace

std::string OneLine(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c != '\n' && c != '\r' && c != '\t') {
      out.push_back(c);
    } else if (!out.empty() && out.back() != ' ') {
      out.push_back(' ');
    }
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

absl::Status StatusFromSqlState(std::string_view sqlstate, std::string_view message) {
  const std::string text =
      sqlstate.empty() ? OneLine(message) : fmt::format("{} (SQLSTATE {})", OneLine(message), sqlstate);
  for (const Row& row : kStates) {
    if (!sqlstate.starts_with(row.prefix)) continue;
    absl::Status status = MakeStatus(row.code, "{}", text);
    if (row.reason != nullptr) SetReason(status, row.reason);
    Hide(status);
    return status;
  }
  return Internal("{}", text);
}

absl::Status StatusFromResult(const PGconn* connection, const PGresult* result, std::string_view doing) {
  const ExecStatusType type = PQresultStatus(result);  // PGRES_FATAL_ERROR for null
  if (type != PGRES_FATAL_ERROR && type != PGRES_BAD_RESPONSE && type != PGRES_NONFATAL_ERROR) return absl::OkStatus();
  const char* state = result == nullptr ? nullptr : PQresultErrorField(result, PG_DIAG_SQLSTATE);
  if (state == nullptr || PQstatus(connection) != CONNECTION_OK) {
    return Hidden(Unavailable("{}: {}", doing, OneLine(PQerrorMessage(connection))));
  }
  return Annotate(StatusFromSqlState(state, PQresultErrorMessage(result)), doing);
}

absl::Status StatusFromException(std::string_view doing) {
  try {
    throw;
  } catch (const pqxx::in_doubt_error& error) {
    return WithReason(Unknown("{}: {}", doing, OneLine(error.what())), "COMMIT_IN_DOUBT");
  } catch (const pqxx::statement_completion_unknown& error) {
    return WithReason(Unknown("{}: {}", doing, OneLine(error.what())), "COMMIT_IN_DOUBT");
  } catch (const pqxx::transaction_rollback& error) {  // serialization failure, deadlock: without an SQLSTATE
    return Hidden(Aborted("{}: {}", doing, OneLine(error.what())));
  } catch (const pqxx::insufficient_privilege& error) {  // likewise
    return Annotate(StatusFromSqlState("42501", error.what()), doing);
  } catch (const pqxx::broken_connection& error) {
    return Hidden(Unavailable("{}: {}", doing, OneLine(error.what())));
  } catch (const pqxx::sql_error& error) {
    return Annotate(StatusFromSqlState(error.sqlstate(), error.what()), doing);
  } catch (const pqxx::failure& error) {
    return Internal("{}: {}", doing, OneLine(error.what()));
  } catch (const std::bad_alloc&) {
    return ResourceExhausted("{}: out of memory", doing);
  } catch (const std::exception& error) {
    return Internal("{}: {}", doing, OneLine(error.what()));
  }
}

}  // namespace virp::store
