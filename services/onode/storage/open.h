// The store that a URL names.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "lib/store/storage_url.h"
#include "services/onode/domain/chain_store.h"
#include "services/onode/storage/archive/retention.h"
#include "services/onode/storage/store_options.h"

namespace virp::onode {

// `sqlite:PATH` or `postgresql://...`; entries that were archived come from the folder `archive` (ArchivedStore).
// Errors as SqliteChainStore::Open and PostgresChainStore::Open: FailedPrecondition (schema newer than ours or not
// applied; a server that may lose what it acknowledged), NotFound, PermissionDenied, Unavailable, DataLoss (not a
// database). Read-only is an option; a copy of a SQLite database opens so too.
absl::StatusOr<std::unique_ptr<ChainStore>> OpenStore(const store::StorageUrl& url, const StoreOptions& options);

// The owner's way to let a store's old entries go, with the credentials of `migrate_url` when there are some. Errors as
// OpenStore.
absl::StatusOr<std::unique_ptr<Retention>> OpenRetention(const store::StorageUrl& url, const StoreOptions& options);

// Brings the schema up to date and grants the serving role its rights, as OpenStore with `migrate` does, but opens no
// store: for a job that runs before the services.
absl::Status MigrateStore(const store::StorageUrl& url, const StoreOptions& options);

}  // namespace virp::onode
