// Keeps a manager whose database is behind the chain from going on, and knows the way out: bring the newest database
// back, or have an operator accept that what is missing is lost. What the chain alone still knows of it is then taken
// over first: no key that was exported once is exported again, and what was revoked or tainted stays so.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/mutex.h"
#include "services/keymgr/domain/ledger_engine.h"
#include "services/keymgr/domain/rollback.h"

namespace virp::keymgr {

// Thread-safe. What it is given outlives it.
class RollbackGuard {
 public:
  // Takes over what the chain's missing records say about one kind of key, oldest first. Part of one Edit.
  using TakeOver =
      std::function<absl::Status(const std::vector<ChainRecord>& missing, const Snapshot& now, Changes& changes)>;

  // `chain` null: there is nothing to compare with, and nothing to accept.
  RollbackGuard(LedgerEngine& ledger, LedgerStore& store, ChainHistory* chain, OwnFrame own,
                std::vector<TakeOver> take_over);

  // CheckAgainstChain; what is wrong is kept for problem().
  absl::Status Check();
  std::string problem() const;

  // Lets the ledger know what the chain says of the time; OK when there is no chain to ask.
  absl::Status NoteTime();

  // Records that the chain's record `chain_record` is known and that everything behind the ledger's newest one is lost.
  // The next record opens a new boot epoch. The house opens the manager then, which times() tells it. Errors besides
  // those of the ledger: FailedPrecondition with reason NOT_ROLLED_BACK when nothing is to be accepted, BESIDE, and
  // ANOTHER_RECORD when the chain ends with another record than the operator was told.
  absl::StatusOr<Receipt> Accept(const Call& call, std::uint64_t chain_record);
  std::uint64_t times() const { return times_; }  // accepted so far

 private:
  LedgerEngine& ledger_;
  LedgerStore& store_;
  ChainHistory* const chain_;
  const OwnFrame own_;
  const std::vector<TakeOver> take_over_;
  std::atomic<std::uint64_t> times_{0};
  mutable Mutex mutex_;
  std::string problem_ ABSL_GUARDED_BY(mutex_);
};

// For every key that a missing record names: its lock, and the end of what was destroyed.
absl::Status TakeOverKeys(const std::vector<ChainRecord>& missing, const Snapshot& now, Changes& changes);

}  // namespace virp::keymgr
