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

// Thread-safe.
class CheckpointVault {
 public:
  virtual ~CheckpointVault() = default;

  // A note signed by every key that signs now.
  virtual absl::StatusOr<std::string> Sign(const chain::Checkpoint& checkpoint) = 0;
  // Keys that a note may be verified with, oldest first.
  virtual std::vector<chain::VerifierKey> Verifiers() const = 0;
  // Those of them that sign now.
  virtual std::vector<chain::VerifierKey> Signing() const = 0;

  // The largest note kept beside the database, verified; nullopt when there is none yet. DataLoss when the file does
  // not verify.
  virtual absl::StatusOr<std::optional<std::string>> Largest() = 0;
  // Keeps a note durably (fsync) if it is larger than the one kept.
  virtual absl::Status Keep(std::string_view note) = 0;

  // Makes the key of the next version sign, too (RollCheckpointKey). NotFound when there is no such file.
  virtual absl::StatusOr<chain::VerifierKey> NextKey() = 0;
  virtual absl::Status Activate(const chain::VerifierKey& key) = 0;
};

}  // namespace virp::onode
