// The chain's checkpoint keys and the largest signed note outside the database. Domain sees only this; files and
// witnesses are behind it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/chain/note.h"

namespace virp::onode {

// The chain's keys are its first one and those that it rolled to; the two newest of them sign together. Thread-safe.
class CheckpointVault {
 public:
  virtual ~CheckpointVault() = default;

  // A note signed by every key that signs now. FailedPrecondition when one of them is not here: a note with fewer
  // signatures than the chain promised is never made.
  virtual absl::StatusOr<std::string> Sign(const chain::Checkpoint& checkpoint) = 0;
  // FailedPrecondition names the key that signs and is not here, and what to do. Looks again for one that was missing.
  virtual absl::Status CheckCanSign() = 0;

  // The chain's keys, oldest first.
  virtual std::vector<chain::VerifierKey> Known() const = 0;
  // Those of them that sign now.
  virtual std::vector<chain::VerifierKey> Signing() const = 0;
  // Keys that a note may be verified with: the chain's, then those that are here for a roll to come. Another replica
  // may have rolled to one of these before this one has read so.
  virtual std::vector<chain::VerifierKey> Verifiers() const = 0;
  // Looks for keys that were put here since. What there was stays when that fails.
  virtual absl::Status Refresh() = 0;

  // The largest note kept beside the database, verified; nullopt when there is none yet. DataLoss when the file does
  // not verify.
  virtual absl::StatusOr<std::optional<std::string>> Largest() = 0;
  // Keeps a note durably (fsync) if it is larger than the one kept.
  virtual absl::Status Keep(std::string_view note) = 0;

  // The key to roll to: of the next version after the chain's newest. NotFound when there is none.
  virtual absl::StatusOr<chain::VerifierKey> NextKey() = 0;
  // The keys that the chain rolled to, oldest first, as far as a checkpoint signed by keys before them covers the entry
  // that says so. Kept durably; those that are known already change nothing. A key need not be here to be known.
  virtual absl::Status Activate(const std::vector<chain::VerifierKey>& rolled) = 0;
};

}  // namespace virp::onode
