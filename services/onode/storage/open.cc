#include "services/onode/storage/open.h"

#include "lib/base/status.h"
#include "services/onode/storage/archive/archived_store.h"
#include "services/onode/storage/postgres/postgres_retention.h"
#include "services/onode/storage/postgres/postgres_store.h"
#include "services/onode/storage/sqlite/sqlite_retention.h"
#include "services/onode/storage/sqlite/sqlite_store.h"

namespace virp::onode {
namespace {

absl::StatusOr<std::unique_ptr<EntryDatabase>> OpenDatabase(const store::StorageUrl& url, const StoreOptions& options) {
  switch (url.backend) {
    case store::Backend::kSqlite:
      return SqliteChainStore::Open(url.location, options);
    case store::Backend::kPostgres:
      return PostgresChainStore::Open(url.location, options);
  }
  return Internal("a storage URL of an unknown kind");
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChainStore>> OpenStore(const store::StorageUrl& url, const StoreOptions& options) {
  ASSIGN_OR_RETURN(auto database, OpenDatabase(url, options));
  return std::make_unique<ArchivedStore>(std::move(database), options.archive);
}

absl::StatusOr<std::unique_ptr<Retention>> OpenRetention(const store::StorageUrl& url, const StoreOptions& options) {
  switch (url.backend) {
    case store::Backend::kSqlite:
      return SqliteRetention::Open(url.location);
    case store::Backend::kPostgres: {
      store::PostgresOptions owner;
      owner.url = options.migrate_url.empty() ? url.location : options.migrate_url;
      owner.application_name = "virp-onode archive";
      return PostgresRetention::Open(owner);
    }
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
