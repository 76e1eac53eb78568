#include "services/onode/storage/postgres/postgres_migrate.h"

#include "lib/base/status.h"
#include "lib/store/postgres_schema.h"
#include "sql/onode_postgres_schema.h"

namespace virp::onode {
namespace {

using store::PostgresConnection;
using store::PostgresResult;
using store::PostgresTransaction;

// The schema's own search_path, so that the record of applied files stands beside the tables.
absl::Status EnterSchema(PostgresConnection& connection) {
  ASSIGN_OR_RETURN(PostgresTransaction transaction, PostgresTransaction::Begin(connection));
  RETURN_IF_ERROR(transaction.Run("SET search_path = onode"));
  return transaction.Commit();
}

// One after another: two processes that create or grant the same at once fail on the catalogue's rows.
absl::StatusOr<PostgresTransaction> BeginAlone(PostgresConnection& connection) {
  ASSIGN_OR_RETURN(PostgresTransaction transaction,
                   PostgresTransaction::Begin(connection, {.statement_timeout = std::chrono::milliseconds(0)}));
  RETURN_IF_ERROR(transaction.Run("SELECT pg_advisory_xact_lock(hashtextextended('onode.migrate', 0))"));
  return transaction;
}

absl::Status MakeSchema(PostgresConnection& connection) {
  ASSIGN_OR_RETURN(PostgresTransaction transaction, BeginAlone(connection));
  ASSIGN_OR_RETURN(const PostgresResult there, transaction.Exec("SELECT to_regnamespace('onode') IS NOT NULL"));
  if (there.Bool(0, 0)) return absl::OkStatus();
  RETURN_IF_ERROR(transaction.Run("CREATE SCHEMA onode"));
  return transaction.Commit();
}

absl::Status Grant(PostgresConnection& connection, std::string_view role) {
  ASSIGN_OR_RETURN(PostgresTransaction transaction, BeginAlone(connection));
  ASSIGN_OR_RETURN(
      const PostgresResult known,
      transaction.Exec("SELECT quote_ident(rolname), rolname = current_user FROM pg_catalog.pg_roles WHERE rolname=$1",
                       role));
  if (known.rows() == 0) return NotFound("there is no database role {} to grant the O-Node's rights to", role);
  if (known.Bool(0, 1)) return absl::OkStatus();
  const std::string_view quoted = known.Text(0, 0);
  for (const std::string_view grant :
       {"USAGE ON SCHEMA onode", "SELECT ON ALL TABLES IN SCHEMA onode", "INSERT ON onode.entry, onode.tile",
        "EXECUTE ON ALL FUNCTIONS IN SCHEMA onode"}) {
    RETURN_IF_ERROR(transaction.Run(fmt::format("GRANT {} TO {}", grant, quoted)));
  }
  return transaction.Commit();
}

}  // namespace

absl::StatusOr<store::SchemaChange> MigratePostgres(const store::PostgresOptions& owner,
                                                    std::string_view serving_role) {
  ASSIGN_OR_RETURN(const auto connection, PostgresConnection::Open(owner));
  RETURN_IF_ERROR(MakeSchema(*connection));
  RETURN_IF_ERROR(EnterSchema(*connection));
  ASSIGN_OR_RETURN(const store::SchemaChange change, store::Migrate(*connection, schema::OnodePostgresSchema()));
  if (!serving_role.empty()) RETURN_IF_ERROR(Grant(*connection, serving_role));
  return change;
}

absl::Status CheckPostgresSchema(const store::PostgresOptions& options) {
  ASSIGN_OR_RETURN(const auto connection, PostgresConnection::Open(options));
  RETURN_IF_ERROR(EnterSchema(*connection));
  RETURN_IF_ERROR(store::CheckSchema(*connection, schema::OnodePostgresSchema()));
  ASSIGN_OR_RETURN(PostgresTransaction transaction, PostgresTransaction::Begin(*connection, {.read_only = true}));
  ASSIGN_OR_RETURN(const PostgresResult encoding, transaction.Exec("SHOW server_encoding"));
  if (encoding.Text(0, 0) == "UTF8") return absl::OkStatus();
  return FailedPrecondition("the database's encoding is {}; it must be UTF8", encoding.Text(0, 0));
}

absl::StatusOr<std::string> PostgresRole(const store::PostgresOptions& options) {
  ASSIGN_OR_RETURN(const auto connection, PostgresConnection::Open(options));
  ASSIGN_OR_RETURN(PostgresTransaction transaction, PostgresTransaction::Begin(*connection, {.read_only = true}));
  ASSIGN_OR_RETURN(const PostgresResult role, transaction.Exec("SELECT current_user"));
  return std::string(role.Text(0, 0));
}

}  // namespace virp::onode
