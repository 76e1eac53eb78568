#include "lib/store/postgres_schema.h"

#include <libpq-fe.h>

#include <vector>

namespace virp::store {
namespace {

absl::StatusOr<std::vector<AppliedMigration>> ReadApplied(PostgresTransaction& transaction) {
  std::vector<AppliedMigration> out;
  ASSIGN_OR_RETURN(const PostgresResult exists, transaction.Exec("SELECT to_regclass('virp_schema') IS NOT NULL"));
  if (!exists.Bool(0, 0)) return out;
  ASSIGN_OR_RETURN(const PostgresResult rows,
                   transaction.Exec("SELECT number, name, sha256 FROM virp_schema ORDER BY number"));
  for (int i = 0; i < rows.rows(); ++i) {
    out.push_back({static_cast<int>(rows.Int(i, 0)), std::string(rows.Text(i, 1)), std::string(rows.Text(i, 2))});
  }
  return out;
}

}  // namespace

absl::StatusOr<SchemaChange> Migrate(PostgresConnection& connection, std::span<const Migration> known) {
  ASSIGN_OR_RETURN(PostgresTransaction transaction,
                   PostgresTransaction::Begin(connection, {.statement_timeout = std::chrono::milliseconds(0)}));
  RETURN_IF_ERROR(transaction.Run(
      "SELECT pg_advisory_xact_lock(hashtextextended('virp_schema/' || coalesce(current_schema(), ''), 0))"));
  ASSIGN_OR_RETURN(const auto applied, ReadApplied(transaction));
  ASSIGN_OR_RETURN(const auto pending, PendingMigrations(known, applied));
  const SchemaChange change{static_cast<int>(applied.size()), static_cast<int>(known.size())};
  if (pending.empty()) return change;
  RETURN_IF_ERROR(
      transaction.Run("CREATE TABLE IF NOT EXISTS virp_schema (number integer PRIMARY KEY, name text NOT NULL,"
                      " sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT clock_timestamp())"));
  for (const Migration& step : pending) {
    RETURN_IF_ERROR(Annotate(transaction.Run(step.sql), fmt::format("schema file {:03}_{}", step.number, step.name)));
    if (PQtransactionStatus(connection.raw()) != PQTRANS_INTRANS) {
      return Internal("schema file {:03}_{} ended the transaction", step.number, step.name);
    }
    RETURN_IF_ERROR(transaction.Run("INSERT INTO virp_schema (number, name, sha256) VALUES ($1, $2, $3)", step.number,
                                    step.name, step.sha256));
  }
  RETURN_IF_ERROR(transaction.Commit());
  return change;
}

absl::Status CheckSchema(PostgresConnection& connection, std::span<const Migration> known) {
  ASSIGN_OR_RETURN(PostgresTransaction transaction, PostgresTransaction::Begin(connection, {.read_only = true}));
  ASSIGN_OR_RETURN(const auto applied, ReadApplied(transaction));
  RETURN_IF_ERROR(transaction.Commit());
  return CheckComplete(known, applied);
}

}  // namespace virp::store
