// What the chain still knows of our RPKI when its newest records are lost.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "services/keymgr/domain/ledger.h"
#include "services/keymgr/domain/rollback.h"

namespace virp::keymgr {

// A RollbackGuard::TakeOver: versions of the issuing authority's key that were given are not given again, and a key
// whose successor issued already is superseded: RpkiAuthority::Advance makes a new one and issues everything again by
// it, and relying parties see nothing of the revoked key meanwhile.
absl::Status TakeOverRpki(const std::vector<ChainRecord>& missing, const Snapshot& now, Changes& changes);

}  // namespace virp::keymgr
