// O-Keys after a rollback: what the chain's records still tell of them.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "services/keymgr/domain/ledger.h"
#include "services/keymgr/domain/rollback.h"

namespace virp::keymgr {

// For RollbackGuard. Sources, holders, tainted and revoked versions become what the missing records say. A version that
// the ledger never knew stands again where it is Ed25519, since its private half is with who signs; an HMAC version's
// secret is lost, and it stands as revoked, so that its number is not given twice. Where a version was activated since,
// the one before is retired, with an hour to sign and a day to arrive from now.
absl::Status TakeOverObservationKeys(const std::vector<ChainRecord>& missing, const Snapshot& now, Changes& changes);

}  // namespace virp::keymgr
