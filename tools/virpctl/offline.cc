#include "tools/virpctl/offline.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <set>

#include "lib/base/bytes.h"
#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/chain/claim_bundle.h"
#include "lib/chain/merkle.h"
#include "virp/verify/v1/verify_service.pb.h"

namespace virp::virpctl {
namespace {

namespace pb = ::virp::verify::v1;

constexpr std::size_t kMaxTrustFile = 1 << 20;

// VerifyProof without its signature: the leaf is at its place below the root that the note states.
absl::StatusOr<chain::Checkpoint> CheckConsistent(const chain::Proof& proof) {
  ASSIGN_OR_RETURN(chain::Checkpoint checkpoint, chain::ParseCheckpointUnverified(proof.checkpoint));
  if (proof.entry.empty()) return InvalidArgument("the proof does not hold the entry that it is about");
  ASSIGN_OR_RETURN(const chain::Entry entry, chain::DecodeEntry(proof.entry));
  RETURN_IF_ERROR(
      chain::VerifyInclusion(chain::LeafHash(proof.entry), proof.index, checkpoint.size, proof.path, checkpoint.root));
  if (entry.header.origin_id != chain::OriginIdOf(checkpoint.origin) || entry.header.sequence != proof.index) {
    return DataLoss("the entry at {} is of another chain or place than its proof", proof.index);
  }
  return checkpoint;
}

absl::Status CheckProof(const chain::Proof& proof, const std::vector<chain::VerifierKey>& keys, OfflineReport& report) {
  chain::Checkpoint checkpoint;
  if (keys.empty()) {
    ASSIGN_OR_RETURN(checkpoint, CheckConsistent(proof));
  } else {
    ASSIGN_OR_RETURN(chain::VerifiedProof verified, chain::VerifyProof(proof, keys));
    checkpoint = std::move(verified.checkpoint);
  }
  if (!report.entries.empty() && checkpoint.origin != report.checkpoint.origin) {
    return DataLoss("proofs of two chains, {} and {}", report.checkpoint.origin, checkpoint.origin);
  }
  if (checkpoint.size >= report.checkpoint.size) {
    report.checkpoint = std::move(checkpoint);
    report.note = proof.checkpoint;
  }
  report.entries.push_back(proof.entry);
  return absl::OkStatus();
}

void Fail(const absl::Status& status, OfflineReport& report) {
  report.entries.clear();
  const bool unknown = absl::IsNotFound(status);
  report.result = unknown ? "NOT_TRUSTED" : "BROKEN";
  report.exit = unknown ? Exit::kCannotSay : Exit::kNo;
  report.detail = std::string(Message(status));
}

// Whether every entry that the answer names is proven, in the chain that it names.
void CheckAnswer(const std::string& json, const std::vector<chain::Proof>& proofs, OfflineReport& report) {
  pb::VerifyClaimResponse response;
  if (const auto status = google::protobuf::util::JsonStringToMessage(json, &response); !status.ok()) {
    return Fail(InvalidArgument("claim.json: {}", status.ToString()), report);
  }
  const pb::ClaimAnswer& answer = response.answer();
  if (!proofs.empty() && answer.origin() != report.checkpoint.origin) {
    return Fail(DataLoss("the answer is of chain '{}', its proofs of '{}'", answer.origin(), report.checkpoint.origin),
                report);
  }
  std::set<std::uint64_t> proven;
  for (const chain::Proof& proof : proofs) proven.insert(proof.index);
  std::size_t missing = 0;
  for (const pb::SourceOpinion& opinion : answer.opinions()) {
    for (const std::uint64_t entry : opinion.entries()) missing += proven.contains(entry) ? 0U : 1U;
  }
  report.claim_json = json;
  report.verdict = pb::Verdict_Name(answer.verdict());
  if (missing != 0 || proofs.empty()) {
    report.result = "INCOMPLETE";
    report.detail =
        fmt::format("{} entries that the answer rests on are not proven; ask with --level checkpointed", missing);
    report.exit = Exit::kCannotSay;
    return;
  }
  if (report.exit != Exit::kYes) return;
  report.detail = "the evidence is in the chain as the answer says; the verdict itself is the O-Node's word";
  if (answer.verdict() == pb::VERDICT_REFUTED) {
    report.exit = Exit::kNo;
  } else if (answer.verdict() != pb::VERDICT_CONFIRMED) {
    report.exit = Exit::kCannotSay;
  }
}

}  // namespace

absl::StatusOr<std::vector<chain::VerifierKey>> ReadTrust(const std::vector<std::string>& trust) {
  std::vector<chain::VerifierKey> keys;
  for (const std::string& item : trust) {
    if (auto key = chain::VerifierKey::Parse(item); key.ok()) {
      keys.push_back(*std::move(key));
      continue;
    }
    ASSIGN_OR_RETURN(const std::string text, ReadFile(item, kMaxTrustFile));
    std::string_view rest = text;
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find('\n'), rest.size());
      std::string_view line = rest.substr(0, end);
      rest.remove_prefix(std::min(end + 1, rest.size()));
      if (line.ends_with('\r')) line.remove_suffix(1);
      if (line.empty() || line.starts_with('#')) continue;
      auto key = chain::VerifierKey::Parse(line);
      if (!key.ok()) return Annotate(key.status(), item);
      keys.push_back(*std::move(key));
    }
  }
  if (!trust.empty() && keys.empty()) return InvalidArgument("--trust: no verifier key in what was given");
  return keys;
}

absl::StatusOr<OfflineReport> CheckOffline(std::string_view bytes, const std::vector<chain::VerifierKey>& keys) {
  constexpr std::string_view kBundleStart{"claim.json\0", 11};
  const bool bundle = bytes.starts_with(kBundleStart);
  chain::ClaimBundle content;
  if (bundle) {
    ASSIGN_OR_RETURN(content, chain::ReadClaimBundle(chain::SourceFrom(bytes)));
  } else {
    ASSIGN_OR_RETURN(content.proofs.emplace_back(), chain::DecodeProof(bytes));
  }
  OfflineReport report;
  report.result = keys.empty() ? "CONSISTENT_BUT_UNAUTHENTICATED" : "VERIFIED";
  report.exit = keys.empty() ? Exit::kCannotSay : Exit::kYes;
  if (keys.empty()) report.detail = "every hash fits, but nobody vouches for the root: give --trust";
  for (const chain::Proof& proof : content.proofs) {
    if (const absl::Status status = CheckProof(proof, keys, report); !status.ok()) {
      Fail(status, report);
      return report;
    }
  }
  if (bundle) CheckAnswer(content.claim_json, content.proofs, report);
  return report;
}

}  // namespace virp::virpctl
