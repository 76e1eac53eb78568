#include "lib/chain/claim_bundle.h"

#include <optional>
#include <utility>

#include "lib/base/status.h"

namespace virp::chain {
namespace {

constexpr std::string_view kClaimName = "claim.json";
constexpr std::size_t kMaxProofFile = 1 << 20;

// Twenty digits, so that names sort as numbers do.
std::string NameOf(const Proof& proof) {
  return fmt::format("proof/{:020}.tlog-proof", proof.index);
}

// What holds for all files of one bundle together.
class Limits {
 public:
  absl::Status Take(std::uint64_t index, std::size_t size) {
    if (++count_ > kMaxClaimProofs) return InvalidArgument("claim bundle: over {} proofs", kMaxClaimProofs);
    if (count_ > 1 && index <= last_)
      return InvalidArgument("claim bundle: the proof of entry {} after that of {}", index, last_);
    last_ = index;
    return TakeBytes(size);
  }
  absl::Status TakeBytes(std::size_t size) {
    total_ += size;
    if (total_ > kMaxClaimBundle) return InvalidArgument("claim bundle: over {} bytes", kMaxClaimBundle);
    return absl::OkStatus();
  }

 private:
  std::size_t count_ = 0;
  std::size_t total_ = 0;
  std::uint64_t last_ = 0;
};

}  // namespace

absl::Status WriteClaimBundle(const ClaimBundle& bundle, ByteSink sink) {
  if (bundle.claim_json.size() > kMaxClaimFile) {
    return InvalidArgument("claim bundle: {} of {} bytes; at most {}", kClaimName, bundle.claim_json.size(),
                           kMaxClaimFile);
  }
  TarWriter tar(std::move(sink));
  RETURN_IF_ERROR(tar.Add(kClaimName, bundle.claim_json));
  Limits limits;
  RETURN_IF_ERROR(limits.TakeBytes(bundle.claim_json.size()));
  for (const Proof& proof : bundle.proofs) {
    const std::string text = EncodeProof(proof);
    RETURN_IF_ERROR(limits.Take(proof.index, text.size()));
    RETURN_IF_ERROR(tar.Add(NameOf(proof), text));
  }
  return tar.Finish();
}

absl::StatusOr<ClaimBundle> ReadClaimBundle(ByteSource source) {
  TarReader tar(std::move(source));
  ASSIGN_OR_RETURN(std::optional<TarReader::Member> member, tar.Next());
  if (!member || member->name != kClaimName) return InvalidArgument("claim bundle: does not begin with {}", kClaimName);
  ClaimBundle bundle;
  ASSIGN_OR_RETURN(bundle.claim_json, tar.Content(kMaxClaimFile));
  Limits limits;
  RETURN_IF_ERROR(limits.TakeBytes(bundle.claim_json.size()));
  for (;;) {
    ASSIGN_OR_RETURN(member, tar.Next());
    if (!member) return bundle;
    ASSIGN_OR_RETURN(const std::string text, tar.Content(kMaxProofFile));
    absl::StatusOr<Proof> proof = DecodeProof(text);
    if (!proof.ok()) return Annotate(proof.status(), member->name);
    if (member->name != NameOf(*proof))
      return InvalidArgument("claim bundle: {} is of entry {}", member->name, proof->index);
    RETURN_IF_ERROR(limits.Take(proof->index, text.size()));
    bundle.proofs.push_back(*std::move(proof));
  }
}

}  // namespace virp::chain
