#include "services/keymgr/storage/open.h"

#include "lib/base/status.h"
#include "services/keymgr/storage/postgres/postgres_ledger.h"
#include "services/keymgr/storage/sqlite/sqlite_ledger.h"

namespace virp::keymgr {

absl::StatusOr<std::unique_ptr<LedgerStore>> OpenLedgerStore(const store::StorageUrl& url,
                                                             const LedgerStoreOptions& options) {
  switch (url.backend) {
    case store::Backend::kSqlite:
      return SqliteLedgerStore::Open(url.location, options);
    case store::Backend::kPostgres:
      return PostgresLedgerStore::Open(url.location, options);
  }
  return Internal("a storage URL of an unknown kind");
}

}  // namespace virp::keymgr
