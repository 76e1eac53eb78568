// Schema versions on SQLite; rules and errors as in migration.h, others as in sqlite.h.
#pragma once

#include <span>

#include "absl/status/statusor.h"
#include "lib/store/migration.h"
#include "lib/store/sqlite.h"

namespace virp::store {

// Applies what is missing, all of it in one transaction under the write lock: a second process waits and finds it done.
absl::StatusOr<SchemaChange> Migrate(SqliteDb& db, std::span<const Migration> known);

// For connections that do not migrate: OK when the schema is exactly `known`.
absl::Status CheckSchema(SqliteDb& db, std::span<const Migration> known);

}  // namespace virp::store
