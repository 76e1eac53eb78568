#include "services/onode/transport/chain_handler.h"

#include <algorithm>
#include <chrono>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/service/wire.h"
#include "services/onode/domain/chain_audit.h"
#include "services/onode/transport/wire.h"

namespace virp::onode {
namespace {

namespace pb = ::virp::chain::v1;

constexpr std::chrono::milliseconds kMostWait{30'000};
constexpr std::chrono::milliseconds kProgress{1'000};
constexpr std::size_t kStreamBytes = 1 << 20;

absl::Status FillChain(const Chain& chain, pb::GetChainResponse& out) {
  chain.Read([&](const ChainState& state) {
    out.set_size(state.size);
    out.set_head(std::string(View(state.head)));
    *out.mutable_newest_entry_at() = service::TimestampOf(state.received_us * 1'000);
  });
  out.set_origin(chain.origin());
  if (const auto checkpoint = chain.latest_checkpoint()) out.set_checkpoint(checkpoint->note);
  for (const auto& key : chain.vault().Signing()) out.add_verifier_keys(key.ToString());
  out.set_leading(chain.leading());
  out.set_leader(chain.leader());
  out.set_frozen(chain.frozen());
  out.set_cannot_lead(chain.cannot_lead());
  out.set_term(chain.term());
  out.set_predecessor(chain.info().predecessor);
  return absl::OkStatus();
}

absl::Status FillInclusion(Chain& chain, const pb::GetInclusionProofRequest& request,
                           pb::GetInclusionProofResponse& out) {
  const auto checkpoint = chain.latest_checkpoint();
  if (request.size() == 0 && !checkpoint)
    return NotFound("chain {} has no checkpoint yet; give a size", chain.origin());
  const std::uint64_t size = request.size() == 0 ? checkpoint->size : request.size();
  if (size > chain.size()) return OutOfRange("chain {} has {} entries", chain.origin(), chain.size());
  ASSIGN_OR_RETURN(const auto path, chain.tree().Inclusion(request.sequence(), size));
  ASSIGN_OR_RETURN(const Hash leaf, chain.tree().Subtree(0, request.sequence()));
  ASSIGN_OR_RETURN(const chain::Frontier frontier, chain.tree().FrontierAt(size));
  const absl::Status held = chain::VerifyInclusion(leaf, request.sequence(), size, path, frontier.Root());
  if (!held.ok()) return DataLoss("the stored tree is damaged around entry {}: {}", request.sequence(), Message(held));
  out.set_leaf_hash(std::string(View(leaf)));
  AddHashes(path, out.mutable_path());
  out.set_size(size);
  out.set_root(std::string(View(frontier.Root())));
  return absl::OkStatus();
}

absl::Status FillConsistency(Chain& chain, const pb::GetConsistencyProofRequest& request,
                             pb::GetConsistencyProofResponse& out) {
  const auto checkpoint = chain.latest_checkpoint();
  if (request.new_size() == 0 && !checkpoint)
    return NotFound("chain {} has no checkpoint yet; give a size", chain.origin());
  const std::uint64_t size = request.new_size() == 0 ? checkpoint->size : request.new_size();
  if (size > chain.size()) return OutOfRange("chain {} has {} entries", chain.origin(), chain.size());
  ASSIGN_OR_RETURN(const auto path, chain.tree().Consistency(request.old_size(), size));
  ASSIGN_OR_RETURN(const chain::Frontier frontier, chain.tree().FrontierAt(size));
  AddHashes(path, out.mutable_path());
  out.set_new_size(size);
  out.set_new_root(std::string(View(frontier.Root())));
  return absl::OkStatus();
}

absl::Status Stream(Chain& chain, const pb::StreamEntriesRequest& request, grpc::ServerContext& context,
                    grpc::ServerWriter<pb::StreamEntriesResponse>& writer) {
  const std::uint64_t size = chain.size();
  const std::uint64_t end = request.end() == 0 ? size : request.end();
  if (end > size || request.begin() > end) return OutOfRange("entries {} to {} of {}", request.begin(), end, size);
  pb::StreamEntriesResponse response;
  std::size_t bytes = 0;
  for (std::uint64_t at = request.begin(); at < end;) {
    if (context.IsCancelled()) return absl::CancelledError("the caller left");
    ASSIGN_OR_RETURN(const auto rows,
                     chain.store().ReadEntries(chain.info().id, at, std::min<std::uint64_t>(1'024, end - at)));
    if (rows.empty()) return DataLoss("TAIL_MISSING: entry {} is not in the store", at);
    for (const EntryRow& row : rows) {
      response.add_entries(row.bytes);
      bytes += row.bytes.size();
      if (bytes < kStreamBytes) continue;
      if (!writer.Write(response)) return absl::CancelledError("the caller left");
      response.Clear();
      bytes = 0;
    }
    at += rows.size();
  }
  if (response.entries_size() > 0) writer.Write(response);
  return absl::OkStatus();
}

void FillReport(const AuditReport& from, pb::VerifyReport& out) {
  out.set_checked(from.checked);
  out.set_size(from.size);
  out.set_root(std::string(View(from.root)));
  for (const chain::Unchecked& item : from.unchecked) {
    out.add_unchecked()->set_what(item.what);
    out.mutable_unchecked(out.unchecked_size() - 1)->set_entries(item.entries);
  }
  out.set_result(from.broken              ? pb::VerifyReport::RESULT_BROKEN
                 : from.unchecked.empty() ? pb::VerifyReport::RESULT_VERIFIED
                                          : pb::VerifyReport::RESULT_COULD_NOT_CHECK);
  if (!from.broken) return;
  out.set_broken_at(from.broken->sequence);
  out.set_broken_kind(std::string(chain::BreakKindName(from.broken->kind)));
  out.set_detail(from.broken->detail);
}

absl::Status Verify(Chain& chain, const pb::VerifyChainRequest& request, grpc::ServerContext& context,
                    grpc::ServerWriter<pb::VerifyChainResponse>& writer) {
  auto next = std::chrono::steady_clock::now() + kProgress;
  const auto progress = [&](std::uint64_t checked, std::uint64_t total) {
    if (context.IsCancelled()) return false;
    if (std::chrono::steady_clock::now() < next) return true;
    next = std::chrono::steady_clock::now() + kProgress;
    pb::VerifyChainResponse response;
    response.mutable_progress()->set_checked(checked);
    response.mutable_progress()->set_total(total);
    return writer.Write(response);
  };
  ASSIGN_OR_RETURN(const AuditReport report,
                   AuditChain(chain, {request.begin(), request.end(), request.check_subjects()}, progress));
  pb::VerifyChainResponse response;
  FillReport(report, *response.mutable_report());
  writer.Write(response);
  return absl::OkStatus();
}

}  // namespace

grpc::Status ChainHandler::GetChain(grpc::ServerContext*, const pb::GetChainRequest* request,
                                    pb::GetChainResponse* response) {
  const auto chain = node_.Find(request->origin());
  return Reply(chain.ok() ? FillChain(**chain, *response) : chain.status());
}

grpc::Status ChainHandler::GetEntry(grpc::ServerContext*, const pb::GetEntryRequest* request,
                                    pb::GetEntryResponse* response) {
  const auto chain = node_.Find(request->origin());
  if (!chain.ok()) return Reply(chain.status());
  const auto row = (*chain)->ReadChecked(request->sequence());
  if (!row.ok()) return Reply(row.status());
  auto entry = EntryOf(*row, **chain);
  if (entry.ok()) *response->mutable_entry() = *std::move(entry);
  return Reply(entry.status());
}

grpc::Status ChainHandler::StreamEntries(grpc::ServerContext* context, const pb::StreamEntriesRequest* request,
                                         grpc::ServerWriter<pb::StreamEntriesResponse>* writer) {
  const auto chain = node_.Find(request->origin());
  return Reply(chain.ok() ? Stream(**chain, *request, *context, *writer) : chain.status());
}

grpc::Status ChainHandler::GetCheckpoint(grpc::ServerContext*, const pb::GetCheckpointRequest* request,
                                         pb::GetCheckpointResponse* response) {
  const auto chain = node_.Find(request->origin());
  if (!chain.ok()) return Reply(chain.status());
  if (request->at_least_size() > 0) {
    const auto stored = (*chain)->store().CheckpointAtOrAfter((*chain)->info().id, request->at_least_size());
    if (stored.ok()) response->set_note(stored->note);
    return Reply(stored.status());
  }
  const auto latest = (*chain)->latest_checkpoint();
  if (!latest) return Reply(NotFound("chain {} has no checkpoint yet", (*chain)->origin()));
  response->set_note(latest->note);
  return grpc::Status::OK;
}

grpc::Status ChainHandler::GetInclusionProof(grpc::ServerContext*, const pb::GetInclusionProofRequest* request,
                                             pb::GetInclusionProofResponse* response) {
  const auto chain = node_.Find(request->origin());
  return Reply(chain.ok() ? FillInclusion(**chain, *request, *response) : chain.status());
}

grpc::Status ChainHandler::GetConsistencyProof(grpc::ServerContext*, const pb::GetConsistencyProofRequest* request,
                                               pb::GetConsistencyProofResponse* response) {
  const auto chain = node_.Find(request->origin());
  return Reply(chain.ok() ? FillConsistency(**chain, *request, *response) : chain.status());
}

grpc::Status ChainHandler::GetEvidence(grpc::ServerContext* context, const pb::GetEvidenceRequest* request,
                                       pb::GetEvidenceResponse* response) {
  const auto chain = node_.Find(request->origin());
  if (!chain.ok()) return Reply(chain.status());
  if (request->sequence() >= (*chain)->size()) {
    return Reply(OutOfRange("chain {} has {} entries", (*chain)->origin(), (*chain)->size()));
  }
  const auto checkpoint =
      (*chain)->WaitForCheckpoint(request->sequence() + 1, DeadlineOf(context->deadline(), kMostWait));
  if (!checkpoint.ok()) return Reply(checkpoint.status());
  auto proof = ProofOf(**chain, request->sequence(), *checkpoint);
  if (proof.ok()) response->set_proof(*std::move(proof));
  return Reply(proof.status());
}

grpc::Status ChainHandler::VerifyChain(grpc::ServerContext* context, const pb::VerifyChainRequest* request,
                                       grpc::ServerWriter<pb::VerifyChainResponse>* writer) {
  const auto chain = node_.Find(request->origin());
  return Reply(chain.ok() ? Verify(**chain, *request, *context, *writer) : chain.status());
}

}  // namespace virp::onode
