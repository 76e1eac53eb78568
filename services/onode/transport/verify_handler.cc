#include "services/onode/transport/verify_handler.h"

#include <algorithm>
#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/service/wire.h"
#include "services/onode/transport/claim_wire.h"
#include "services/onode/transport/wire.h"

namespace virp::onode {
namespace {

namespace pb = ::virp::verify::v1;

constexpr std::chrono::milliseconds kMostWait{30'000};
constexpr int kMaxClaims = 1'000;
constexpr double kFrameChecksPerSecond = 100;
constexpr std::chrono::milliseconds kWatchTick{250};  // verdicts change by time passing, too

// How firmly the chain holds the newest entry that an answer rests on.
pb::ChainLevel LevelOf(const std::vector<std::uint64_t>& entries, const std::optional<StoredCheckpoint>& checkpoint) {
  const std::uint64_t signed_size = checkpoint ? checkpoint->size : 0;
  const bool all =
      std::all_of(entries.begin(), entries.end(), [&](std::uint64_t entry) { return entry < signed_size; });
  return !entries.empty() && all ? pb::CHAIN_LEVEL_CHECKPOINTED : pb::CHAIN_LEVEL_COMMITTED;
}

absl::Status WaitUntilCovered(const Chain& chain, const Answer& answer,
                              std::chrono::steady_clock::time_point deadline) {
  std::uint64_t newest = 0;
  for (const std::uint64_t entry : EntriesOf(answer)) newest = std::max(newest, entry + 1);
  return newest == 0 ? absl::OkStatus() : chain.WaitForCheckpoint(newest, deadline).status();
}

}  // namespace

template <typename Request>
absl::StatusOr<VerifyHandler::Setting> VerifyHandler::SettingOf(const grpc::ServerContext& context,
                                                                const Request& request) const {
  Setting setting;
  ASSIGN_OR_RETURN(setting.chain, node_.Find(request.origin()));
  setting.deadline = DeadlineOf(context.deadline(), kMostWait);
  setting.at_size = request.chain_size();
  setting.now = clock_.NowNanos();
  setting.proofs = !request.omit_proofs();
  if (request.has_evaluation_time()) {
    ASSIGN_OR_RETURN(setting.now, service::NanosOf(request.evaluation_time(), "evaluation_time"));
  }
  if (request.at_least_size() > 0)
    RETURN_IF_ERROR(setting.chain->WaitForSize(request.at_least_size(), setting.deadline));
  if (setting.at_size > setting.chain->size()) {
    return OutOfRange("chain_size {} is beyond the chain's {} entries; use at_least_size to wait", setting.at_size,
                      setting.chain->size());
  }
  return setting;
}

ReplayCache& VerifyHandler::ReplaysOf(const std::string& origin) {
  const MutexLock lock(mutex_);
  auto& cache = replays_[origin];
  if (cache == nullptr) cache = std::make_unique<ReplayCache>(origin, ReplayCache::Options{});
  return *cache;
}

absl::StatusOr<Answer> VerifyHandler::EvaluateAt(const Setting& setting, const Claim& claim,
                                                 const Acceptance& acceptance) {
  Chain& chain = *setting.chain;
  if (setting.at_size == 0) return chain.Evaluate(claim, acceptance, setting.now);
  // Proven against this O-Node's own root: the replay rests on this hash alone, and a tile of the store might lie.
  ASSIGN_OR_RETURN(const EntryRow last, chain.ReadChecked(setting.at_size - 1));
  const auto read = [&](std::uint64_t first) -> absl::StatusOr<std::vector<std::string>> {
    if (std::chrono::steady_clock::now() > setting.deadline)
      return DeadlineExceeded("replaying the chain up to size {} took too long; ask again, it goes on from there",
                              setting.at_size);
    ASSIGN_OR_RETURN(auto rows, chain.store().ReadEntries(chain.info().id, first, 1'024));
    std::vector<std::string> entries;
    for (EntryRow& row : rows) entries.push_back(std::move(row.bytes));
    return entries;
  };
  ASSIGN_OR_RETURN(const auto state, ReplaysOf(chain.origin()).At(setting.at_size, last.leaf, read));
  const auto checkpoint = chain.latest_checkpoint();
  return state->facts().Evaluate(claim, acceptance, state->sources(), setting.now, !chain.frozen().empty(),
                                 checkpoint ? checkpoint->size : 0,
                                 [&](std::uint64_t sequence) -> absl::StatusOr<std::string> {
                                   ASSIGN_OR_RETURN(EntryRow row, chain.ReadChecked(sequence));
                                   return std::move(row.bytes);
                                 });
}

absl::StatusOr<pb::ClaimAnswer> VerifyHandler::Ask(const Setting& setting, const pb::Claim& message,
                                                   const std::string& field, const pb::Acceptance& accepted) {
  ASSIGN_OR_RETURN(const Claim claim, ClaimOf(message, field));
  ASSIGN_OR_RETURN(const Acceptance acceptance, AcceptanceOf(accepted));
  ASSIGN_OR_RETURN(Answer answer, EvaluateAt(setting, claim, acceptance));
  if (acceptance.level == ChainLevel::kCheckpointed && answer.reason == kReasonLevel) {
    // Not covered yet: the next checkpoint is at most a second away.
    if (WaitUntilCovered(*setting.chain, answer, setting.deadline).ok()) {
      ASSIGN_OR_RETURN(answer, EvaluateAt(setting, claim, acceptance));
    }
  }
  const auto checkpoint = setting.chain->latest_checkpoint();
  const std::vector<std::uint64_t> entries = EntriesOf(answer);
  pb::ClaimAnswer out = MessageOf(answer);
  *out.mutable_claim() = MessageOf(claim);
  *out.mutable_acceptance() = MessageOf(acceptance);
  out.set_origin(setting.chain->origin());
  out.set_chain_level(LevelOf(entries, checkpoint));
  if (!setting.proofs || !checkpoint) return out;
  for (const std::uint64_t entry : entries) {
    if (entry >= checkpoint->size) continue;
    ASSIGN_OR_RETURN(std::string proof, ProofOf(*setting.chain, entry, *checkpoint));
    out.add_proofs(std::move(proof));
  }
  return out;
}

grpc::Status VerifyHandler::VerifyClaim(grpc::ServerContext* context, const pb::VerifyClaimRequest* request,
                                        pb::VerifyClaimResponse* response) {
  const auto setting = SettingOf(*context, *request);
  if (!setting.ok()) return Reply(setting.status());
  return ReplyWith(Ask(*setting, request->claim(), "claim", request->acceptance()), response->mutable_answer());
}

grpc::Status VerifyHandler::VerifyClaims(grpc::ServerContext* context, const pb::VerifyClaimsRequest* request,
                                         pb::VerifyClaimsResponse* response) {
  if (request->claims_size() < 1 || request->claims_size() > kMaxClaims) {
    return Reply(
        InvalidField("claims", fmt::format("has {} claims; 1 to {} are taken", request->claims_size(), kMaxClaims)));
  }
  auto setting = SettingOf(*context, *request);
  if (!setting.ok()) return Reply(setting.status());
  // All at one size: that of now, unless one was given. A replay costs more than asking now and seeing that nothing
  // moved.
  const std::uint64_t size = setting->chain->size();
  for (int round = 0; round < 2; ++round) {
    response->clear_answers();
    for (int i = 0; i < request->claims_size(); ++i) {
      auto answer = Ask(*setting, request->claims(i), fmt::format("claims[{}]", i), request->acceptance());
      if (!answer.ok()) return Reply(answer.status());
      *response->add_answers() = *std::move(answer);
    }
    const auto moved =
        std::adjacent_find(response->answers().begin(), response->answers().end(),
                           [](const auto& a, const auto& b) { return a.chain_size() != b.chain_size(); });
    if (moved == response->answers().end()) break;
    setting->at_size = size;  // the chain grew meanwhile
  }
  return grpc::Status::OK;
}

absl::Status VerifyHandler::Watch(grpc::ServerContext& context, const pb::WatchClaimRequest& request,
                                  grpc::ServerWriter<pb::WatchClaimResponse>& writer) {
  ASSIGN_OR_RETURN(const service::Identity caller, callers_->Resolve(context));
  service::StreamGuard guard(*callers_, caller, &context);
  ASSIGN_OR_RETURN(Chain* const chain, node_.Find(request.origin()));
  ASSIGN_OR_RETURN(const Claim claim, ClaimOf(request.claim(), "claim"));
  ASSIGN_OR_RETURN(const Acceptance acceptance, AcceptanceOf(request.acceptance()));
  // The token is the verdict that was seen: only a change is news.
  ASSIGN_OR_RETURN(std::string seen,
                   service::ReadPageToken(request.resume_token(), request.claim().SerializeAsString()));
  while (!context.IsCancelled()) {
    RETURN_IF_ERROR(guard.Check());
    const std::uint64_t size = chain->size();
    ASSIGN_OR_RETURN(const Answer answer, chain->Evaluate(claim, acceptance, clock_.NowNanos()));
    const std::string now = fmt::format("{}/{}", VerdictName(answer.verdict), answer.reason);
    if (now != seen) {
      pb::WatchClaimResponse response;
      *response.mutable_answer() = MessageOf(answer);
      *response.mutable_answer()->mutable_claim() = MessageOf(claim);
      *response.mutable_answer()->mutable_acceptance() = MessageOf(acceptance);
      response.mutable_answer()->set_origin(chain->origin());
      response.set_resume_token(service::MakePageToken(now, request.claim().SerializeAsString()));
      if (!writer.Write(response)) break;
      seen = now;
    }
    chain->WaitForGrowth(size, std::chrono::steady_clock::now() + kWatchTick);
    if (chain->stopping()) return Unavailable("the O-Node is stopping; resume at another one");
  }
  return absl::CancelledError("the caller left");
}

grpc::Status VerifyHandler::WatchClaim(grpc::ServerContext* context, const pb::WatchClaimRequest* request,
                                       grpc::ServerWriter<pb::WatchClaimResponse>* writer) {
  return Reply(Watch(*context, *request, *writer));
}

absl::Status VerifyHandler::TakeToken(const std::string& caller) {
  const MutexLock lock(mutex_);
  const auto bucket = frame_checks_.try_emplace(caller, kFrameChecksPerSecond, kFrameChecksPerSecond, clock_).first;
  if (bucket->second.Take()) return absl::OkStatus();
  absl::Status status =
      WithReason(ResourceExhausted("more than {} frames a second to check", kFrameChecksPerSecond), "RATE_LIMITED");
  SetRetryAfter(status, std::chrono::milliseconds(100));
  return status;
}

absl::Status VerifyHandler::CheckFrame(grpc::ServerContext& context, const pb::VerifyFrameRequest& request,
                                       pb::VerifyFrameResponse& response) {
  ASSIGN_OR_RETURN(const service::Identity caller, callers_->Resolve(context));
  RETURN_IF_ERROR(TakeToken(caller.spiffe_id));
  ASSIGN_OR_RETURN(Chain* const chain, node_.Find(request.origin()));
  const auto spelling = frame::SpellingFromName(request.spelling().empty() ? "v2" : request.spelling());
  if (!spelling) return InvalidField("spelling", "is none of v1-le, v1-be, v1-producer, v2");
  Delivery delivery{0, request.source(), request.frame(), *spelling, 0};
  const auto decoded = frame::Decode(delivery.frame, *spelling);
  const auto [table, generation] =
      chain->Read([](const ChainState& state) { return std::pair{state.book.table(), state.book.generation()}; });
  if (decoded.ok() && *spelling == frame::Spelling::kV2) {
    const auto source =
        chain->Read([&](const ChainState& state) { return state.book.FindById(decoded->header.source_id); });
    if (source != nullptr) delivery.source = source->registration.source;
  } else if (delivery.source.empty()) {
    return InvalidField("source", "is needed for a version 1 frame");
  }
  // Whoever asks is not the carrier: binding is not in question here.
  std::string carrier;
  const auto source = table->find(delivery.source);
  if (source != table->end() && !source->second->registration.carried_by.empty())
    carrier = source->second->registration.carried_by.front();
  const auto candidate = CheckDelivery(std::move(delivery), std::make_shared<const std::string>(carrier),
                                       clock_.NowNanos(), *table, generation, chain->keys());
  response.set_verified(candidate->reason == frame::Reason::kNone && candidate->tag_good);
  if (candidate->reason != frame::Reason::kNone) response.set_reason(std::string(frame::ReasonName(candidate->reason)));
  response.set_source(candidate->delivery.source);
  response.set_key_version(candidate->key_version);
  if (candidate->source == nullptr || !candidate->shaped) return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto held, chain->FindHeld(candidate->source->short_id, candidate->epoch,
                                                    candidate->frame.header, candidate->delivery.frame));
  if (!held) return absl::OkStatus();
  response.set_chain_sequence(*held);
  const auto checkpoint = chain->latest_checkpoint();
  if (!checkpoint || *held >= checkpoint->size) return absl::OkStatus();
  ASSIGN_OR_RETURN(std::string proof, ProofOf(*chain, *held, *checkpoint));
  response.set_proof(std::move(proof));
  return absl::OkStatus();
}

grpc::Status VerifyHandler::VerifyFrame(grpc::ServerContext* context, const pb::VerifyFrameRequest* request,
                                        pb::VerifyFrameResponse* response) {
  return Reply(CheckFrame(*context, *request, *response));
}

}  // namespace virp::onode
