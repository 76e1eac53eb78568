// Claim bundles: the answer to a claim with its evidence, as one tar file that is checked without the O-Node
// (docs/formats/chain.md, "Claim bundle"): claim.json, then one proof file for each entry that the answer rests on.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/chain/proof.h"
#include "lib/chain/tar.h"

namespace virp::chain {

inline constexpr std::size_t kMaxClaimFile = 1 << 20;
inline constexpr std::size_t kMaxClaimProofs = 4'096;
inline constexpr std::size_t kMaxClaimBundle = std::size_t{64} << 20;  // all content together

struct ClaimBundle {
  std::string claim_json;     // the answer, in the JSON form of VerifyClaimResponse; not authenticated by itself
  std::vector<Proof> proofs;  // ascending by index, each once
};

// InvalidArgument when proofs are not ascending or a limit is passed; errors of the sink.
absl::Status WriteClaimBundle(const ClaimBundle& bundle, ByteSink sink);
// Decodes and verifies nothing: each proof is VerifyProof's matter. Errors of TarReader and DecodeProof;
// InvalidArgument for other files, another order or beyond a limit.
absl::StatusOr<ClaimBundle> ReadClaimBundle(ByteSource source);

}  // namespace virp::chain
