// Router keys after a rollback: what the chain's records still tell of them.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "services/keymgr/domain/ledger.h"
#include "services/keymgr/domain/rollback.h"

namespace virp::keymgr {

// For RollbackGuard. Versions that the ledger knows become what the missing records say: compromised, revoked (with
// every certificate of theirs that the ledger knows), signed with, replaced, withdrawn, destroyed, let out. A release
// from escrow is over and the replacement is the router's agent; a router that was decommissioned stays so, and has the
// agent, ASes and rules that it was given last, without authentication material. The transfer key is replaced where its
// successor is lost. Versions
// that the ledger never knew are lost: they have no certificate on the next publication, and their numbers are not
// given again.
absl::Status TakeOverRouterKeys(const std::vector<ChainRecord>& missing, const Snapshot& now, Changes& changes);

}  // namespace virp::keymgr
