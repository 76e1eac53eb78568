// Numbered schema files (NNN_name.sql), embedded at build time by virp_embed_sql (cmake/sql.cmake), and the rules by
// which they are applied; sqlite_schema.h and postgres_schema.h apply them. What is applied is recorded in the table
// virp_schema(number, name, sha256, applied_at) of the database itself.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace virp::store {

struct Migration {
  int number = 0;           // 1, 2, 3, ... without holes
  std::string_view name;    // the file's name without the number: "initial"
  std::string_view sha256;  // hex, of the file: a file that was changed after it had been applied is noticed
  std::string_view sql;
};

struct AppliedMigration {
  int number = 0;
  std::string name;
  std::string sha256;
};

// Where a schema stands after Migrate().
struct SchemaChange {
  int from = 0;  // 0: the database was empty
  int to = 0;
};

// The migrations of `known` that `applied` (ascending) still lacks.
// FailedPrecondition with reason
//   SCHEMA_TOO_NEW  the database was migrated by a newer release: run that one;
//   SCHEMA_CHANGED  an applied file differs from ours, or the database's list has a hole.
// Internal when `known` is not 1..n in order.
absl::StatusOr<std::span<const Migration>> PendingMigrations(std::span<const Migration> known,
                                                             std::span<const AppliedMigration> applied);

// OK when nothing is pending; FailedPrecondition SCHEMA_TOO_OLD when something is (for services started without the
// right to migrate), else as PendingMigrations.
absl::Status CheckComplete(std::span<const Migration> known, std::span<const AppliedMigration> applied);

}  // namespace virp::store
