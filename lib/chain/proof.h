// Evidence that leaves the machine: C2SP tlog-proof files, one entry with its way to a signed checkpoint. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/bytes.h"
#include "lib/chain/entry.h"
#include "lib/chain/note.h"

namespace virp::chain {

struct Proof {
  std::string entry;  // the file's `extra` line: header and frame; may be empty in a foreign file
  std::uint64_t index = 0;
  std::vector<Hash> path;  // leaf's sibling first, at most 63
  std::string checkpoint;  // signed note, verbatim
};

std::string EncodeProof(const Proof& proof);
// InvalidArgument with the line number for anything but the format; limits: 1 MiB, 63 path lines.
absl::StatusOr<Proof> DecodeProof(std::string_view text);

struct VerifiedProof {
  Checkpoint checkpoint;
  EntryHeader header;
  std::string frame;
};
// Checks everything that a proof says: signature, path, entry header against origin and index. Errors as OpenCheckpoint
// and VerifyInclusion.
absl::StatusOr<VerifiedProof> VerifyProof(const Proof& proof, const std::vector<VerifierKey>& keys);

}  // namespace virp::chain
