// Evidence that was saved, checked without any O-Node: pure, so that it is tested by itself.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/chain/entry.h"
#include "lib/chain/note.h"
#include "lib/chain/proof.h"
#include "tools/virpctl/commands.h"

namespace virp::virpctl {

// Verifier keys as they are, or from files with one on each line (empty lines and lines with # are skipped).
absl::StatusOr<std::vector<chain::VerifierKey>> ReadTrust(const std::vector<std::string>& trust);

struct OfflineReport {
  // VERIFIED; CONSISTENT_BUT_UNAUTHENTICATED: every hash fits and nobody vouches for the root; NOT_TRUSTED: signed by
  // none of the keys that were given; BROKEN; INCOMPLETE: the answer rests on entries that the bundle does not prove.
  std::string result;
  std::string detail;
  Exit exit = Exit::kError;
  std::string claim_json;            // of a bundle, when result is VERIFIED or CONSISTENT_BUT_UNAUTHENTICATED
  std::string verdict;               // what claim_json says: the O-Node's word, the proofs are of the evidence only
  chain::Checkpoint checkpoint;      // the largest
  std::vector<std::string> entries;  // header and frame, each proven at its place
};

// `bytes`: a proof file or a claim bundle, told apart by how they begin. InvalidArgument when it is neither. With
// `keys` empty nothing is authenticated, and the exit is never kYes. A bundle exits as its verdict does (confirmed,
// refuted, neither), so that "and then act" never follows a refuted claim.
absl::StatusOr<OfflineReport> CheckOffline(std::string_view bytes, const std::vector<chain::VerifierKey>& keys);

}  // namespace virp::virpctl
