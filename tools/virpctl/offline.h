// Evidence that was saved, checked without any O-Node: pure, so that it is tested by itself.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/chain/byte_stream.h"
#include "lib/chain/checkpoint_store.h"
#include "lib/chain/entry.h"
#include "lib/chain/note.h"
#include "lib/chain/proof.h"
#include "lib/chain/walk.h"
#include "tools/virpctl/commands.h"

namespace virp::virpctl {

// Verifier keys as they are, or from files with one on each line (empty lines and lines with # are skipped).
absl::StatusOr<std::vector<chain::VerifierKey>> ReadTrust(const std::vector<std::string>& trust);

struct OfflineReport {
  // VERIFIED; CONSISTENT_BUT_UNAUTHENTICATED: every hash fits and nobody vouches for the root; NOT_TRUSTED: signed by
  // none of the keys that were given; BROKEN; INCOMPLETE: the answer rests on entries that the bundle does not prove;
  // COULD_NOT_CHECK: an export of which a part could not be checked, see `unchecked`.
  std::string result;
  std::string detail;
  Exit exit = Exit::kError;
  std::string claim_json;            // of a bundle, when result is VERIFIED or CONSISTENT_BUT_UNAUTHENTICATED
  std::string verdict;               // what claim_json says: the O-Node's word, the proofs are of the evidence only
  chain::Checkpoint checkpoint;      // the largest
  std::vector<std::string> entries;  // header and frame, each proven at its place
  std::string note;                  // of an export
  std::uint64_t checked = 0;         // entries of an export
  std::optional<chain::Break> broken;
  std::vector<chain::Unchecked> unchecked;
};

// `bytes`: a proof file or a claim bundle, told apart by how they begin. InvalidArgument when it is neither. With
// `keys` empty nothing is authenticated, and the exit is never kYes. A bundle exits as its verdict does (confirmed,
// refuted, neither), so that "and then act" never follows a refuted claim.
absl::StatusOr<OfflineReport> CheckOffline(std::string_view bytes, const std::vector<chain::VerifierKey>& keys);

struct ExportCheck {
  std::vector<chain::VerifierKey> keys;               // as above
  chain::WalkOptions walk;                            // tags, subjects, HMAC keys
  std::optional<chain::CheckpointStore::Kept> known;  // of this chain, seen before: must be a beginning of the export
  std::function<void(std::uint64_t done, std::uint64_t total)> progress = [](auto, auto) {};
};
// Whether a file that begins like this, of at least 512 bytes, is an export.
bool IsExport(std::string_view beginning);
// Walks an export with every check of VerifyChain. The check may depend on what the export says that it is: `prepare`
// gets its origin before the walk. InvalidArgument when it is no export from the beginning on; whatever is wrong behind
// that is in the report.
absl::StatusOr<OfflineReport> CheckExport(
    chain::ByteSource source, const std::function<absl::StatusOr<ExportCheck>(const std::string&)>& prepare);

}  // namespace virp::virpctl
