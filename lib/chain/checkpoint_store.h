// The largest signed checkpoint of each chain, in files that do not roll back with a database: beside it at an O-Node,
// in the home of whoever asks one. A note is kept only when its signature verifies, and never goes back: written
// beside, fsynced, renamed, directory fsynced. Two notes that contradict each other are both kept, as the proof that
// they are.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/bytes.h"
#include "lib/chain/note.h"

namespace virp::chain {

// Thread-safe, and safe between processes that use the same directory.
class CheckpointStore {
 public:
  // Makes the directory when it is not there (its owner's alone).
  static absl::StatusOr<CheckpointStore> Open(std::string directory);

  struct Kept {
    std::string note;
    Checkpoint checkpoint;
  };
  // The note kept for this origin; nothing when there is none yet. DataLoss, naming the file, when it does not verify
  // with `keys` or is of another chain: somebody changed it, or the keys are not those that it was kept with.
  absl::StatusOr<std::optional<Kept>> Load(std::string_view origin, const std::vector<VerifierKey>& keys) const;

  enum class Outcome : std::uint8_t {
    kFirst,     // nothing was kept for this origin before: kept on trust
    kSame,      // the checkpoint that is kept
    kAdvanced,  // extends the one that was kept, and replaced it
    kBehind,    // smaller than the one kept, which stays: a replica that lags, or a chain that was rolled back
  };

  // For who knows by other means that the tree grew from what is kept: the O-Node itself. Errors of OpenCheckpoint,
  // with nothing changed; DataLoss when the note kept does not verify, or has the same size and another root.
  absl::StatusOr<Outcome> Keep(std::string_view note, const std::vector<VerifierKey>& keys) const;

  // For all others: a larger note is kept only when `consistency` leads to it from the one that Load gave. DataLoss
  // otherwise, and for two roots at one size; Mismatches() has both notes then. When another process kept a larger note
  // meanwhile, the proof may start from the wrong size: Aborted; load again and ask for another proof.
  absl::StatusOr<Outcome> Advance(std::string_view note, const std::vector<VerifierKey>& keys,
                                  std::uint64_t consistency_from, std::span<const Hash> consistency) const;

  // Pairs of notes that contradict each other, as text for people and courts: what is wrong, both notes, and the proof
  // that fails. The first 16 of an origin are kept.
  absl::StatusOr<std::vector<std::string>> Mismatches(std::string_view origin) const;

 private:
  explicit CheckpointStore(std::string directory) : directory_(std::move(directory)) {}
  std::string PathOf(std::string_view origin) const;
  absl::StatusOr<Outcome> Update(std::string_view note, const std::vector<VerifierKey>& keys,
                                 std::optional<std::uint64_t> consistency_from,
                                 std::span<const Hash> consistency) const;
  absl::Status RecordMismatch(const Kept& kept, std::string_view note, std::span<const Hash> consistency,
                              const absl::Status& why) const;

  std::string directory_;
};

}  // namespace virp::chain
