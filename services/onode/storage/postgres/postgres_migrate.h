// The O-Node's schema on PostgreSQL: applied by the role that owns it, used by one that owns nothing.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/store/migration.h"
#include "lib/store/postgres.h"

namespace virp::onode {

// Applies what is missing with the credentials of `owner`, then grants `serving_role` what the service needs: reading,
// new entries and tiles, and the functions; nothing when it is the owner itself or empty. Any number of processes may
// do so at once. Errors as store::Migrate; NotFound when there is no such role.
absl::StatusOr<store::SchemaChange> MigratePostgres(const store::PostgresOptions& owner, std::string_view serving_role);

// OK when the schema is exactly ours and the database's encoding is UTF8; FailedPrecondition otherwise.
absl::Status CheckPostgresSchema(const store::PostgresOptions& options);

// The role that these options log in as.
absl::StatusOr<std::string> PostgresRole(const store::PostgresOptions& options);

}  // namespace virp::onode
