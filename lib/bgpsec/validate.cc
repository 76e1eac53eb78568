#include "lib/bgpsec/validate.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "lib/base/status.h"
#include "lib/crypto/sha1.h"
#include "lib/crypto/sha256.h"

namespace virp::bgpsec {
namespace {

const SignatureBlock* BlockOfOurSuite(const Path& path) {
  const auto found = std::ranges::find(path.blocks, kSuiteP256Sha256, &SignatureBlock::suite);
  return found == path.blocks.end() ? nullptr : &*found;
}

// What RFC 8205 section 5.2 asks of a path before its signatures.
std::optional<std::string> BrokenRule(const Path& path, const Receiver& receiver) {
  const PathSegment& newest = path.segments.front();
  if (newest.asn != receiver.peer_asn)
    return fmt::format("the path begins with AS{}, and AS{} sent it", newest.asn, receiver.peer_asn);
  if (newest.pcount == 0 && !receiver.peer_transparent)
    return fmt::format("AS{} sent pCount 0 and is no transparent peer", newest.asn);
  const auto in_confederation = [](const PathSegment& segment) { return (segment.flags & kConfedSegment) != 0; };
  if (receiver.peer_in_confederation) {
    if (!in_confederation(newest)) return fmt::format("AS{} is in our confederation and did not say so", newest.asn);
  } else if (std::ranges::any_of(path.segments, in_confederation)) {
    return "a segment of somebody else's confederation has not been taken out";
  }
  return std::nullopt;
}

}  // namespace

Ski SkiOf(const crypto::P256PublicKey& key) {
  return crypto::Sha1(key.point());
}

absl::StatusOr<Path> Sign(const Path& received, const Signer& signer, std::uint32_t target_asn, const Nlri& nlri) {
  RETURN_IF_ERROR(Check(nlri));
  SignatureBlock block;
  if (!received.segments.empty()) {
    const SignatureBlock* const ours = BlockOfOurSuite(received);
    if (ours == nullptr) return InvalidArgument("the received path has no signatures of suite {}", kSuiteP256Sha256);
    block = *ours;
  }
  Path path{received.segments, {}};
  path.segments.insert(path.segments.begin(), signer.segment);
  const SignedData data(path, block, target_asn, nlri, 1);
  block.signatures.insert(block.signatures.begin(), {signer.ski, signer.sign(crypto::Sha256(data.For(0)))});
  path.blocks.push_back(std::move(block));
  return path;
}

absl::StatusOr<Verdict> Validate(const Path& path, const Nlri& nlri, const Receiver& receiver, const RouterKeys& keys) {
  RETURN_IF_ERROR(Check(nlri));
  if (auto broken = BrokenRule(path, receiver)) return Verdict{Validity::kMalformed, *std::move(broken), 0, 0};
  const SignatureBlock* const block = BlockOfOurSuite(path);
  if (block == nullptr) return Verdict{Validity::kUnsupported, "no signatures of a suite that is known", 0, 0};
  const SignedData data(path, *block, receiver.asn, nlri);
  for (std::size_t i = 0; i < path.segments.size(); ++i) {
    const std::uint32_t asn = path.segments[i].asn;
    const Signature& signature = block->signatures[i];
    const auto candidates = keys(asn, signature.ski);
    const Hash digest = crypto::Sha256(data.For(i));
    const auto verifies = [&](const crypto::P256PublicKey& key) { return key.VerifyDigest(digest, signature.value); };
    if (std::ranges::any_of(candidates, verifies)) continue;
    const std::string ski = HexEncode({signature.ski.data(), signature.ski.size()});
    return Verdict{Validity::kNotValid,
                   candidates.empty() ? fmt::format("no key {} is published for AS{}", ski, asn)
                                      : fmt::format("the signature of AS{} does not verify under its key {}", asn, ski),
                   i, i};
  }
  return Verdict{Validity::kValid, "", 0, path.segments.size()};
}

}  // namespace virp::bgpsec
