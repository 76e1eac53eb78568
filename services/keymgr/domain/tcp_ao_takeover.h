// TCP-AO keys after a rollback: what the chain's records still tell of them.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "services/keymgr/domain/ledger.h"
#include "services/keymgr/domain/rollback.h"

namespace virp::keymgr {

// For RollbackGuard. Pairs that the ledger knows: one that was deleted is, a key that was removed is gone, a rollover
// is where it was, and no plan's serial number is given twice. A key that the ledger never had is lost: the ends have
// it, the manager does not, and its number is not given again. Where the rollover to it was over, the pair has no key
// here; else it counts as given up. Roll such a pair.
absl::Status TakeOverTcpAoKeys(const std::vector<ChainRecord>& missing, const Snapshot& now, Changes& changes);

}  // namespace virp::keymgr
