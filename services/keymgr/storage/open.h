// The ledger's store that a URL names: `sqlite:PATH` or `postgresql://...`.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "lib/store/storage_url.h"
#include "services/keymgr/domain/ledger_store.h"
#include "services/keymgr/storage/ledger_rows.h"

namespace virp::keymgr {

// Errors as SqliteLedgerStore::Open and PostgresLedgerStore::Open.
absl::StatusOr<std::unique_ptr<LedgerStore>> OpenLedgerStore(const store::StorageUrl& url,
                                                             const LedgerStoreOptions& options);

}  // namespace virp::keymgr
