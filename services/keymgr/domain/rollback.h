// Whether the ledger is the one whose records the chain holds. A database that was restored from a backup is behind it,
// and what it does next would stand beside what the chain knows: exports could happen twice, revocations be forgotten.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/frame/key.h"
#include "services/keymgr/domain/key.h"
#include "services/keymgr/domain/ledger_store.h"

namespace virp::keymgr {

// The chain's view of this manager's own source.
class ChainHistory {
 public:
  virtual ~ChainHistory() = default;
  // The newest frame of the source that the chain holds, whole; empty when it holds none, or does not know the source.
  // Unavailable when nobody could be asked.
  virtual absl::StatusOr<std::string> NewestFrame() = 0;

  // Whether a checkpoint of this chain was audited here before this start. False for a chain that succeeds another.
  virtual bool WasSeen() const = 0;

  // Receive time of the chain's newest entry, whoever's it is; nothing while it has none.
  virtual absl::StatusOr<std::optional<UnixNanos>> NewestTime() = 0;

  // All frames of the source, newest first, until `visit` says false or there are no more; its errors are passed on.
  virtual absl::Status Walk(const std::function<absl::StatusOr<bool>(const std::string& frame)>& visit) = 0;
};

// An audit record as the chain holds it, read again.
struct ChainRecord {
  std::uint64_t record = 0, epoch = 0;
  std::string event, source;  // source: that it is about
  std::vector<KeyIdentity> keys;
  std::string frame;  // whole, its tag checked
};

// Checks a frame's tag with the manager's own key, of the version that the frame names.
using OwnFrame = std::function<bool(const frame::Frame&)>;

// What `frame` records. DataLoss when it is not by this manager's key, or is no audit record.
absl::StatusOr<ChainRecord> ReadChainRecord(const std::string& frame, const OwnFrame& own);

// The chain's records that the ledger has not, oldest first. They must follow on the ledger's newest one:
// FailedPrecondition with reason BESIDE when the ledger has another record than the chain under one number, so that no
// backup could have brought it here. ResourceExhausted beyond 100,000.
absl::StatusOr<std::vector<ChainRecord>> MissingRecords(ChainHistory& chain, LedgerStore& store, const OwnFrame& own);

// The event by which an operator goes on from a ledger that is behind; its record names the chain's newest frame.
inline constexpr std::string_view kRollbackAccepted = "rollback_accepted";

// OK when the ledger holds that frame, byte for byte, under the number that it names. FailedPrecondition with reason
// ROLLBACK says how the two differ, unless the ledger has a record by which that very frame was accepted. `own` checks
// the tag: who answers for the chain cannot make one up. Unavailable when the chain, which was seen before, holds none
// of the records that one of its checkpoints showed: whoever answers has lost them. Errors of chain and store are
// passed on: nothing is known then.
absl::Status CheckAgainstChain(ChainHistory& chain, LedgerStore& store, const OwnFrame& own);

}  // namespace virp::keymgr
