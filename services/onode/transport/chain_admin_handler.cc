#include "services/onode/transport/chain_admin_handler.h"

#include <algorithm>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "services/onode/transport/wire.h"

namespace virp::onode {
namespace {

namespace pb = ::virp::chain::v1;

constexpr std::chrono::milliseconds kMostWait{30'000};

absl::StatusOr<std::string> VerifierKeyOf(const Chain& chain) {
  const auto keys = chain.vault().Signing();
  if (keys.empty()) return FailedPrecondition("chain {} has no checkpoint key that signs", chain.origin());
  return keys.back().ToString();
}

}  // namespace

grpc::Status ChainAdminHandler::CreateChain(grpc::ServerContext* context, const pb::CreateChainRequest* request,
                                            pb::CreateChainResponse* response) {
  // The origin itself is the idempotency key: a chain is opened once.
  auto chain = node_.Create(request->origin(), "", DeadlineOf(context->deadline(), kMostWait));
  if (!chain.ok()) return Reply(chain.status());
  const auto key = VerifierKeyOf(**chain);
  if (!key.ok()) return Reply(key.status());
  response->set_origin((*chain)->origin());
  response->set_verifier_key(*key);
  return grpc::Status::OK;
}

absl::Status ChainAdminHandler::Succeed(const grpc::ServerContext& context, const pb::SucceedChainRequest& request,
                                        pb::SucceedChainResponse& response) {
  ASSIGN_OR_RETURN(const chain::VerifierKey old_key, chain::VerifierKey::Parse(request.predecessor_verifier_key()));
  const auto note = chain::OpenCheckpoint(request.predecessor_note(), {old_key});
  if (!note.ok()) return InvalidField("predecessor_note", Message(note.status()));
  ASSIGN_OR_RETURN(const service::Identity caller, callers_->Resolve(context));
  const auto deadline = DeadlineOf(context.deadline(), kMostWait);

  // Sources of the old chain, as far as this O-Node still has it. Old entries prove history; what is now waits for
  // restatement.
  std::vector<std::shared_ptr<const chain::Source>> sources;
  if (const auto old = node_.Find(note->origin); old.ok()) {
    sources = (*old)->Read([](const ChainState& state) { return state.book.Sources(); });
  }
  std::erase_if(sources, [&](const auto& source) {
    const auto& wanted = request.sources();
    const std::string& name = source->registration.source;
    return name == note->origin || (!wanted.empty() && std::find(wanted.begin(), wanted.end(), name) == wanted.end());
  });
  ASSIGN_OR_RETURN(Chain* const chain, node_.Create(request.origin(), request.predecessor_note(), deadline));
  for (const auto& source : sources) {
    chain::SourceEvent event;
    event.source = source->registration.source;
    event.registration = source->registration;
    event.registration->key =
        source->keys.rbegin()->second.statement;  // the newest version is the first of the new chain
    event.by = caller.spiffe_id;
    event.reason = request.reason();
    const auto decide = [&](const chain::SourceBook& book) -> absl::StatusOr<std::vector<Chain::OwnEntry>> {
      RETURN_IF_ERROR(book.CheckSourceEvent(event));
      return std::vector<Chain::OwnEntry>{
          {frame::Type::kSourceEvent, frame::Tier::kGreen, chain::BuildSourceEvent(event)}};
    };
    RETURN_IF_ERROR(chain->Mutate("", decide, deadline - std::chrono::steady_clock::now()).status());
    response.add_sources(event.source);
  }
  response.set_origin(chain->origin());
  ASSIGN_OR_RETURN(const std::string key, VerifierKeyOf(*chain));
  response.set_verifier_key(key);
  return absl::OkStatus();
}

grpc::Status ChainAdminHandler::SucceedChain(grpc::ServerContext* context, const pb::SucceedChainRequest* request,
                                             pb::SucceedChainResponse* response) {
  return Reply(Succeed(*context, *request, *response));
}

absl::Status ChainAdminHandler::Roll(const grpc::ServerContext& context, const pb::RollCheckpointKeyRequest& request,
                                     pb::RollCheckpointKeyResponse& response) {
  ASSIGN_OR_RETURN(Chain* const chain, node_.Find(request.origin()));
  ASSIGN_OR_RETURN(const service::Identity caller, callers_->Resolve(context));
  if (request.request_id().empty()) return InvalidField("request_id", "is not a UUID; make a new one for each change");
  ASSIGN_OR_RETURN(const RolledKey rolled,
                   chain->RollCheckpointKey(request.request_id(), caller.spiffe_id, request.reason(),
                                            DeadlineOf(context.deadline(), kMostWait)));
  response.set_verifier_key(rolled.key.ToString());
  response.set_entry(rolled.entry);
  return absl::OkStatus();
}

grpc::Status ChainAdminHandler::RollCheckpointKey(grpc::ServerContext* context,
                                                  const pb::RollCheckpointKeyRequest* request,
                                                  pb::RollCheckpointKeyResponse* response) {
  return Reply(Roll(*context, *request, *response));
}

grpc::Status ChainAdminHandler::ListCheckpointKeys(grpc::ServerContext*, const pb::ListCheckpointKeysRequest* request,
                                                   pb::ListCheckpointKeysResponse* response) {
  const auto chain = node_.Find(request->origin());
  if (!chain.ok()) return Reply(chain.status());
  const auto signing = (*chain)->vault().Signing();
  for (const chain::VerifierKey& key : (*chain)->vault().Known()) {
    pb::CheckpointKey& to = *response->add_keys();
    to.set_verifier_key(key.ToString());
    to.set_signing(
        std::any_of(signing.begin(), signing.end(), [&](const auto& one) { return one.ToString() == key.ToString(); }));
  }
  return grpc::Status::OK;
}

}  // namespace virp::onode
