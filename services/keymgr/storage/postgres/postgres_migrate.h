// The schema of the ledger on PostgreSQL.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "lib/store/postgres.h"

namespace virp::keymgr {

// Applies missing schema files as `owner`, and grants the serving role what it needs: reading, and the functions.
absl::Status MigrateLedger(const store::PostgresOptions& owner, std::string_view serving_role);
// FailedPrecondition unless the schema is exactly ours and the encoding UTF8.
absl::Status CheckLedgerSchema(const store::PostgresOptions& options);

}  // namespace virp::keymgr
