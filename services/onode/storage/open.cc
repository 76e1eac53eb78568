#include "services/onode/storage/open.h"

#include "lib/base/status.h"
#include "services/onode/storage/postgres/postgres_store.h"
#include "services/onode/storage/sqlite/sqlite_store.h"

namespace virp::onode {

absl::StatusOr<std::unique_ptr<ChainStore>> OpenStore(const store::StorageUrl& url, const StoreOptions& options) {
  switch (url.backend) {
    case store::Backend::kSqlite:
      return SqliteChainStore::Open(url.location, options);
    case store::Backend::kPostgres:
      return PostgresChainStore::Open(url.location, options);
  }
  return Internal("a storage URL of an unknown kind");
}

absl::Status MigrateStore(const store::StorageUrl& url, const StoreOptions& options) {
  StoreOptions migrating = options;
  migrating.migrate = true;
  migrating.read_only = false;
  return OpenStore(url, migrating).status();
}

}  // namespace virp::onode
