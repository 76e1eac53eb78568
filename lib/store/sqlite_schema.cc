#include "lib/store/sqlite_schema.h"

#include <vector>

namespace virp::store {
namespace {

absl::StatusOr<std::vector<AppliedMigration>> ReadApplied(SqliteDb& db) {
  std::vector<AppliedMigration> out;
  {
    ASSIGN_OR_RETURN(SqliteStatement exists,
                     db.Prepare("SELECT 1 FROM sqlite_schema WHERE type='table' AND name='virp_schema'"));
    ASSIGN_OR_RETURN(const bool row, exists.One());
    if (!row) return out;
  }
  ASSIGN_OR_RETURN(SqliteStatement read, db.Prepare("SELECT number, name, sha256 FROM virp_schema ORDER BY number"));
  RETURN_IF_ERROR(read.Bind());
  while (true) {
    ASSIGN_OR_RETURN(const bool row, read.Step());
    if (!row) return out;
    out.push_back({static_cast<int>(read.Int(0)), std::string(read.Text(1)), std::string(read.Text(2))});
  }
}

}  // namespace

absl::StatusOr<SchemaChange> Migrate(SqliteDb& db, std::span<const Migration> known) {
  ASSIGN_OR_RETURN(SqliteTransaction transaction, SqliteTransaction::Begin(db));
  ASSIGN_OR_RETURN(const auto applied, ReadApplied(db));
  ASSIGN_OR_RETURN(const auto pending, PendingMigrations(known, applied));
  const SchemaChange change{static_cast<int>(applied.size()), static_cast<int>(known.size())};
  if (pending.empty()) return change;
  RETURN_IF_ERROR(db.Exec(
      "CREATE TABLE IF NOT EXISTS virp_schema (number INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL,"
      " applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now'))) STRICT"));
  for (const Migration& step : pending) {
    RETURN_IF_ERROR(Annotate(db.Exec(step.sql), fmt::format("schema file {:03}_{}", step.number, step.name)));
    if (!db.InTransaction()) return Internal("schema file {:03}_{} ended the transaction", step.number, step.name);
    RETURN_IF_ERROR(
        db.Run("INSERT INTO virp_schema (number, name, sha256) VALUES (?,?,?)", step.number, step.name, step.sha256));
  }
  RETURN_IF_ERROR(transaction.Commit());
  return change;
}

absl::Status CheckSchema(SqliteDb& db, std::span<const Migration> known) {
  ASSIGN_OR_RETURN(const auto applied, ReadApplied(db));
  return CheckComplete(known, applied);
}

}  // namespace virp::store
