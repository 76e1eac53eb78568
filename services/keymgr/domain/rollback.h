// Whether the ledger is the one whose records the chain holds. A database that was restored from a backup is behind it,
// and what it does next would stand beside what the chain knows: exports could happen twice, revocations be forgotten.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/frame/key.h"
#include "services/keymgr/domain/ledger_store.h"

namespace virp::keymgr {

// The chain's view of this manager's own source.
class ChainHistory {
 public:
  virtual ~ChainHistory() = default;
  // The newest frame of the source that the chain holds, whole; empty when it holds none, or does not know the source.
  // Unavailable when nobody could be asked.
  virtual absl::StatusOr<std::string> NewestFrame() = 0;
};

// OK when the ledger holds that frame, byte for byte, under the number that it names. FailedPrecondition with reason
// ROLLBACK says how the two differ. `verify` checks the tag: who answers for the chain cannot make one up. Errors of
// chain and store are passed on: nothing is known then.
absl::Status CheckAgainstChain(ChainHistory& chain, LedgerStore& store,
                               const std::function<bool(const frame::Frame&)>& verify);

}  // namespace virp::keymgr
