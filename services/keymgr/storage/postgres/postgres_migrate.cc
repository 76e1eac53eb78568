#include "services/keymgr/storage/postgres/postgres_migrate.h"

#include "lib/base/status.h"
#include "lib/store/postgres_schema.h"
#include "sql/keymgr_postgres_schema.h"

namespace virp::keymgr {
namespace {

using store::PostgresConnection;
using store::PostgresResult;
using store::PostgresTransaction;

// The schema's own search_path, so that the record of applied files stands beside the tables.
absl::Status EnterSchema(PostgresConnection& connection) {
  ASSIGN_OR_RETURN(PostgresTransaction transaction, PostgresTransaction::Begin(connection));
  RETURN_IF_ERROR(transaction.Run("SET search_path = keymgr"));
  return transaction.Commit();
}

// One after another: two processes that create or grant the same at once fail on the catalogue's rows.
absl::StatusOr<PostgresTransaction> BeginAlone(PostgresConnection& connection) {
  ASSIGN_OR_RETURN(PostgresTransaction transaction,
                   PostgresTransaction::Begin(connection, {.statement_timeout = std::chrono::milliseconds(0)}));
  RETURN_IF_ERROR(transaction.Run("SELECT pg_advisory_xact_lock(hashtextextended('keymgr.migrate', 0))"));
  return transaction;
}

absl::Status MakeSchema(PostgresConnection& connection) {
  ASSIGN_OR_RETURN(PostgresTransaction transaction, BeginAlone(connection));
  ASSIGN_OR_RETURN(const PostgresResult there, transaction.Exec("SELECT to_regnamespace('keymgr') IS NOT NULL"));
  if (there.Bool(0, 0)) return absl::OkStatus();
  RETURN_IF_ERROR(transaction.Run("CREATE SCHEMA keymgr"));
  return transaction.Commit();
}

absl::Status Grant(PostgresConnection& connection, std::string_view role) {
  ASSIGN_OR_RETURN(PostgresTransaction transaction, BeginAlone(connection));
  RETURN_IF_ERROR(transaction.Run("REVOKE ALL ON ALL FUNCTIONS IN SCHEMA keymgr FROM PUBLIC"));
  ASSIGN_OR_RETURN(
      const PostgresResult known,
      transaction.Exec("SELECT quote_ident(rolname), rolname = current_user FROM pg_catalog.pg_roles WHERE rolname=$1",
                       role));
  if (known.rows() == 0) return NotFound("there is no database role {} to grant the key manager's rights to", role);
  if (!known.Bool(0, 1)) {
    for (const std::string_view grant : {"USAGE ON SCHEMA keymgr", "SELECT ON ALL TABLES IN SCHEMA keymgr",
                                         "EXECUTE ON ALL FUNCTIONS IN SCHEMA keymgr"}) {
      RETURN_IF_ERROR(transaction.Run(fmt::format("GRANT {} TO {}", grant, known.Text(0, 0))));
    }
  }
  return transaction.Commit();
}

}  // namespace

absl::Status MigrateLedger(const store::PostgresOptions& owner, std::string_view serving_role) {
  ASSIGN_OR_RETURN(const auto connection, PostgresConnection::Open(owner));
  RETURN_IF_ERROR(MakeSchema(*connection));
  RETURN_IF_ERROR(EnterSchema(*connection));
  RETURN_IF_ERROR(store::Migrate(*connection, schema::KeymgrPostgresSchema()).status());
  return Grant(*connection, serving_role);
}

absl::Status CheckLedgerSchema(const store::PostgresOptions& options) {
  ASSIGN_OR_RETURN(const auto connection, PostgresConnection::Open(options));
  RETURN_IF_ERROR(EnterSchema(*connection));
  RETURN_IF_ERROR(store::CheckSchema(*connection, schema::KeymgrPostgresSchema()));
  ASSIGN_OR_RETURN(const PostgresResult encoding, connection->Query("SHOW server_encoding"));
  if (encoding.Text(0, 0) == "UTF8") return absl::OkStatus();
  return FailedPrecondition("the database's encoding is {}; it must be UTF8", encoding.Text(0, 0));
}

}  // namespace virp::keymgr
