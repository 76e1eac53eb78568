// Schema versions on PostgreSQL; rules and errors as in migration.h, others as in postgres.h. The record is kept in the
// first schema of the session's search_path.
#pragma once

#include <span>

#include "absl/status/statusor.h"
#include "lib/store/migration.h"
#include "lib/store/postgres.h"

namespace virp::store {

// Applies what is missing, all of it in one transaction under an advisory lock and without a statement timeout: a
// second process waits (lock_timeout at most, then Unavailable) and finds it done.
absl::StatusOr<SchemaChange> Migrate(PostgresConnection& connection, std::span<const Migration> known);

// For roles that may not migrate: OK when the schema is exactly `known`.
absl::Status CheckSchema(PostgresConnection& connection, std::span<const Migration> known);

}  // namespace virp::store
