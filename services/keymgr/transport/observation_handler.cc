#include "services/keymgr/transport/observation_handler.h"

#include <algorithm>
#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/keys/wipe_secrets.h"
#include "lib/service/wire.h"
#include "services/keymgr/transport/call.h"
#include "services/keymgr/transport/observation_wire.h"

namespace virp::keymgr {
namespace {

constexpr std::string_view kService = "virp.keymgr.v1.ObservationKeyService/";
constexpr std::size_t kSourcesAtOnce = 256;                  // looked up for one message of a watch
constexpr std::size_t kMessageBytes = std::size_t{1} << 20;  // a message of a watch grows no more beyond it
constexpr int kMostReported = 1'000;
constexpr std::chrono::milliseconds kLook{500};  // how often a waiting stream looks at its caller

Call AutomaticCall(const service::Identity& caller, std::string_view method, std::string_view reason) {
  Call call;
  call.actor = caller.spiffe_id;
  call.method = fmt::format("{}{}", kService, method);
  call.reason = reason;
  return call;
}

Holder HolderOf(const service::Identity& caller) {
  return {caller.spiffe_id, caller.role == service::Role::kOnode};
}

// What was released to one identity is not sent twice in one message, and never kept in a buffer of ours.
void Wipe(v1::WatchObservationKeysResponse& message) {
  for (v1::SourceKeys& source : *message.mutable_sources()) keys::WipeSecrets(source);
}

}  // namespace

std::vector<service::MethodRule> ObservationAccess() {
  using service::Role;
  const service::RoleSet operators{Role::kOperator}, readers{Role::kReader, Role::kOperator, Role::kApprover};
  const service::RoleSet holders{Role::kCollector, Role::kProducer, Role::kRtrBridge, Role::kOnode};
  std::vector<service::MethodRule> rows;
  const auto add = [&rows](std::initializer_list<std::string_view> methods, const service::RoleSet& roles) {
    for (const std::string_view method : methods) rows.push_back({fmt::format("/{}{}", kService, method), roles});
  };
  add({"CreateObservationKey", "UpdateObservationKey", "PrepareObservationKey", "ActivateObservationKey",
       "TaintObservationKey", "RevokeObservationKey", "ExportObservationKey"},
      operators);
  add({"ApproveObservationKey"}, {Role::kOperator, Role::kApprover});
  // Who is no operator must be a signer of the source; the handler looks.
  add({"RegisterPublicKey"}, {Role::kOperator, Role::kCollector, Role::kProducer, Role::kRtrBridge});
  add({"GetObservationKey", "ListObservationKeys"}, readers);
  add({"FetchObservationKeys", "WatchObservationKeys"}, holders);
  add({"ReportObservationKeys"}, {Role::kOnode});
  return rows;
}

void ObservationHandler::Drain() {
  draining_ = true;
  keys_.WakeAll();
}

template <typename Request, typename Response, typename Do>
grpc::Status ObservationHandler::Change(const grpc::ServerContext& context, std::string_view method,
                                        const Request& request, Response& response, Do&& make) const {
  const auto changed = [&]() -> absl::StatusOr<Done> {
    RETURN_IF_ERROR(ledger_.Readable());
    ASSIGN_OR_RETURN(const service::Identity caller, callers_->Resolve(context));
    ASSIGN_OR_RETURN(const Call call, CallOf(*callers_, context, fmt::format("{}{}", kService, method), request));
    return make(call, caller);
  }();
  if (!changed.ok()) return Reply(changed.status());
  if constexpr (requires { response.mutable_key(); }) ToMessage(*changed->key, *response.mutable_key());
  response.set_record(changed->record);
  if constexpr (requires { response.set_version(0); }) response.set_version(changed->version);
  return grpc::Status::OK;
}

grpc::Status ObservationHandler::CreateObservationKey(grpc::ServerContext* context,
                                                      const v1::CreateObservationKeyRequest* request,
                                                      v1::CreateObservationKeyResponse* response) {
  return Change(*context, "CreateObservationKey", *request, *response,
                [&](const Call& call, const service::Identity&) -> absl::StatusOr<Done> {
                  ASSIGN_OR_RETURN(const ObservationKey key, FromMessage(request->key()));
                  return keys_.Create(call, key);
                });
}

grpc::Status ObservationHandler::UpdateObservationKey(grpc::ServerContext* context,
                                                      const v1::UpdateObservationKeyRequest* request,
                                                      v1::UpdateObservationKeyResponse* response) {
  return Change(*context, "UpdateObservationKey", *request, *response,
                [&](const Call& call, const service::Identity&) -> absl::StatusOr<Done> {
                  ASSIGN_OR_RETURN(const std::uint64_t revision, RevisionOf(request->etag()));
                  return keys_.Update(call, request->source(), {request->signers().begin(), request->signers().end()},
                                      {request->carriers().begin(), request->carriers().end()}, revision);
                });
}

grpc::Status ObservationHandler::PrepareObservationKey(grpc::ServerContext* context,
                                                       const v1::PrepareObservationKeyRequest* request,
                                                       v1::PrepareObservationKeyResponse* response) {
  return Change(*context, "PrepareObservationKey", *request, *response,
                [&](const Call& call, const service::Identity&) -> absl::StatusOr<Done> {
                  ASSIGN_OR_RETURN(const auto algorithm, AlgorithmOf(request->suite(), "suite"));
                  return keys_.Prepare(call, request->source(), request->version(), algorithm);
                });
}

grpc::Status ObservationHandler::RegisterPublicKey(grpc::ServerContext* context,
                                                   const v1::RegisterPublicKeyRequest* request,
                                                   v1::RegisterPublicKeyResponse* response) {
  return Change(*context, "RegisterPublicKey", *request, *response,
                [&](const Call& call, const service::Identity& caller) -> absl::StatusOr<Done> {
                  const auto key = ledger_.snapshot()->Find<ObservationKey>(request->source());
                  const bool signer = key != nullptr && key->IsSignedBy(caller.spiffe_id);
                  if (caller.role != service::Role::kOperator && !signer)
                    return WithReason(PermissionDenied("{} does not sign for source {}", service::Describe(caller),
                                                       request->source().substr(0, 256)),
                                      "SCOPE_DENIED");
                  return keys_.Register(call, request->source(), request->version(), request->public_key(),
                                        request->possession(), request->succession());
                });
}

grpc::Status ObservationHandler::ApproveObservationKey(grpc::ServerContext* context,
                                                       const v1::ApproveObservationKeyRequest* request,
                                                       v1::ApproveObservationKeyResponse* response) {
  return Change(*context, "ApproveObservationKey", *request, *response,
                [&](const Call& call, const service::Identity&) {
                  return keys_.Approve(call, request->source(), request->version(), request->expected());
                });
}

grpc::Status ObservationHandler::ActivateObservationKey(grpc::ServerContext* context,
                                                        const v1::ActivateObservationKeyRequest* request,
                                                        v1::ActivateObservationKeyResponse* response) {
  return Change(*context, "ActivateObservationKey", *request, *response,
                [&](const Call& call, const service::Identity&) -> absl::StatusOr<Done> {
                  Activation activation;
                  if (request->has_sign_for()) {
                    ASSIGN_OR_RETURN(activation.sign_for, DurationOf(request->sign_for(), "sign_for"));
                  }
                  if (request->has_accept_for()) {
                    ASSIGN_OR_RETURN(activation.accept_for, DurationOf(request->accept_for(), "accept_for"));
                  }
                  activation.unconfirmed = request->unconfirmed();
                  return keys_.Activate(call, request->source(), request->version(), activation);
                });
}

grpc::Status ObservationHandler::TaintObservationKey(grpc::ServerContext* context,
                                                     const v1::TaintObservationKeyRequest* request,
                                                     v1::TaintObservationKeyResponse* response) {
  return Change(*context, "TaintObservationKey", *request, *response,
                [&](const Call& call, const service::Identity&) -> absl::StatusOr<Done> {
                  std::optional<UnixNanos> since;
                  if (request->has_compromised_since()) {
                    ASSIGN_OR_RETURN(since, service::NanosOf(request->compromised_since(), "compromised_since"));
                  }
                  return keys_.Taint(call, request->source(), request->version(), since, request->while_active());
                });
}

grpc::Status ObservationHandler::RevokeObservationKey(grpc::ServerContext* context,
                                                      const v1::RevokeObservationKeyRequest* request,
                                                      v1::RevokeObservationKeyResponse* response) {
  return Change(*context, "RevokeObservationKey", *request, *response, [&](const Call& call, const service::Identity&) {
    return keys_.Revoke(call, request->source(), request->version(), request->unconfirmed());
  });
}

grpc::Status ObservationHandler::ExportObservationKey(grpc::ServerContext* context,
                                                      const v1::ExportObservationKeyRequest* request,
                                                      v1::ExportObservationKeyResponse* response) {
  return Change(*context, "ExportObservationKey", *request, *response,
                [&](const Call& call, const service::Identity&) -> absl::StatusOr<Done> {
                  ASSIGN_OR_RETURN(const auto exported, keys_.Export(call, request->source(), request->version()));
                  response->set_file(exported.file.view().data(), exported.file.size());
                  Done done;
                  done.record = exported.record;
                  return done;
                });
}

grpc::Status ObservationHandler::GetObservationKey(grpc::ServerContext*, const v1::GetObservationKeyRequest* request,
                                                   v1::GetObservationKeyResponse* response) {
  if (const absl::Status readable = ledger_.Readable(); !readable.ok()) return Reply(readable);
  const auto key = ledger_.snapshot()->Find<ObservationKey>(request->source());
  if (key == nullptr) return Reply(NotFound("source {} has no keys here", request->source().substr(0, 256)));
  ToMessage(*key, *response->mutable_key());
  return grpc::Status::OK;
}

grpc::Status ObservationHandler::ListObservationKeys(grpc::ServerContext*,
                                                     const v1::ListObservationKeysRequest* request,
                                                     v1::ListObservationKeysResponse* response) {
  if (const absl::Status readable = ledger_.Readable(); !readable.ok()) return Reply(readable);
  const auto page = service::PageSizeOf(request->page_size());
  if (!page.ok()) return Reply(page.status());
  const std::string_view filter = request->pending_only() ? "pending" : "all";
  const auto after = service::ReadPageToken(request->page_token(), filter);
  if (!after.ok()) return Reply(after.status());
  std::size_t bytes = 0;
  ledger_.snapshot()->ForEach<ObservationKey>(
      [&](const std::shared_ptr<const ObservationKey>& key) {
        const bool pending = std::any_of(key->versions.begin(), key->versions.end(), [](const auto& version) {
          return version.state == ObservationState::kPending;
        });
        if (request->pending_only() && !pending) return true;
        if (response->keys_size() == static_cast<int>(*page) || bytes > kMessageBytes) {
          response->set_next_page_token(service::MakePageToken(response->keys().rbegin()->source(), filter));
          return false;
        }
        ToMessage(*key, *response->add_keys());
        bytes += response->keys().rbegin()->ByteSizeLong();
        return true;
      },
      {}, *after);
  return grpc::Status::OK;
}

absl::Status ObservationHandler::Fetch(
    grpc::ServerContext& context,
    grpc::ServerReaderWriter<v1::FetchObservationKeysResponse, v1::FetchObservationKeysRequest>& stream) {
  ASSIGN_OR_RETURN(const service::Identity caller, callers_->Resolve(context));
  ASSIGN_OR_RETURN(const StreamPlaces::Place place, places_.Take(caller.spiffe_id));
  service::StreamGuard guard(*callers_, caller, &context);
  const Call call = AutomaticCall(caller, "FetchObservationKeys", "asked for its keys");
  const Holder holder = HolderOf(caller);
  v1::FetchObservationKeysRequest request;
  while (stream.Read(&request)) {
    RETURN_IF_ERROR(guard.Check());
    ASSIGN_OR_RETURN(const HeldKeys keys, keys_.Fetch(call, holder, request.source(), request.version()));
    v1::FetchObservationKeysResponse response;
    ToMessage(keys, *response.mutable_keys());
    const bool sent = stream.Write(response);
    keys::WipeSecrets(*response.mutable_keys());
    if (!sent) break;
  }
  return absl::OkStatus();
}

grpc::Status ObservationHandler::FetchObservationKeys(
    grpc::ServerContext* context,
    grpc::ServerReaderWriter<v1::FetchObservationKeysResponse, v1::FetchObservationKeysRequest>* stream) {
  return Reply(Fetch(*context, *stream));
}

absl::Status ObservationHandler::Watch(grpc::ServerContext& context,
                                       grpc::ServerWriter<v1::WatchObservationKeysResponse>& writer) {
  ASSIGN_OR_RETURN(const service::Identity caller, callers_->Resolve(context));
  ASSIGN_OR_RETURN(const StreamPlaces::Place place, places_.Take(caller.spiffe_id));
  service::StreamGuard guard(*callers_, caller, &context);
  const Call call = AutomaticCall(caller, "WatchObservationKeys", "watches its keys");
  const Holder holder = HolderOf(caller);
  StringSet told;  // sources of which something is the caller's
  for (std::uint64_t serial = 0; !draining_ && !context.IsCancelled();) {
    RETURN_IF_ERROR(guard.Check());
    RETURN_IF_ERROR(ledger_.Readable());
    const ObservationKeys::News news = keys_.Wait(serial, serial == 0 ? std::chrono::milliseconds(0) : kLook);
    serial = news.serial;
    // Holders forget what a complete list does not have: nothing is said unless the state was readable before and after
    // it was looked at.
    RETURN_IF_ERROR(ledger_.Readable());
    if (news.restart) told.clear();
    if (news.sources.empty() && !news.restart) continue;
    v1::WatchObservationKeysResponse message;
    message.set_restart(news.restart);
    const auto send = [&](bool complete) {
      message.set_complete(complete);
      const bool sent = writer.Write(message);
      Wipe(message);
      message.Clear();
      return sent ? absl::OkStatus() : absl::CancelledError("the caller went away");
    };
    std::size_t bytes = 0;
    for (std::size_t from = 0; from < news.sources.size(); from += kSourcesAtOnce) {
      const std::size_t to = std::min(news.sources.size(), from + kSourcesAtOnce);
      const std::vector<std::string> some(news.sources.begin() + static_cast<std::ptrdiff_t>(from),
                                          news.sources.begin() + static_cast<std::ptrdiff_t>(to));
      ASSIGN_OR_RETURN(const std::vector<HeldKeys> all, keys_.FetchAll(call, holder, some));
      for (const HeldKeys& keys : all) {
        // Of what was never the caller's it does not even learn the name.
        if (keys.first_version == 0 && keys.wanted == 0 && !told.contains(keys.source)) continue;
        told.insert(keys.source);
        v1::SourceKeys& added = *message.add_sources();
        ToMessage(keys, added);
        bytes += added.ByteSizeLong();
        if (bytes < kMessageBytes) continue;
        RETURN_IF_ERROR(send(false));
        bytes = 0;
      }
    }
    if (message.sources().empty() && !message.restart() && bytes == 0 && told.empty()) continue;
    RETURN_IF_ERROR(send(true));
  }
  return draining_ ? Unavailable("the key manager is going down") : absl::OkStatus();
}

grpc::Status ObservationHandler::WatchObservationKeys(grpc::ServerContext* context,
                                                      const v1::WatchObservationKeysRequest*,
                                                      grpc::ServerWriter<v1::WatchObservationKeysResponse>* writer) {
  return Reply(Watch(*context, *writer));
}

absl::Status ObservationHandler::Report(const grpc::ServerContext& context,
                                        const v1::ReportObservationKeysRequest& request,
                                        v1::ReportObservationKeysResponse& response) {
  if (request.known_size() > kMostReported)
    return InvalidField("known", fmt::format("{} of them; at most {}", request.known_size(), kMostReported));
  ASSIGN_OR_RETURN(const service::Identity caller, callers_->Resolve(context));
  std::vector<KnownInChain> known;
  for (const auto& one : request.known())
    known.push_back({one.source(), one.version(), one.entry(), one.compromised(), one.statement()});
  ASSIGN_OR_RETURN(const std::uint32_t noted,
                   keys_.Report(AutomaticCall(caller, "ReportObservationKeys", "its chain has them"), known));
  response.set_noted(noted);
  return absl::OkStatus();
}

grpc::Status ObservationHandler::ReportObservationKeys(grpc::ServerContext* context,
                                                       const v1::ReportObservationKeysRequest* request,
                                                       v1::ReportObservationKeysResponse* response) {
  return Reply(Report(*context, *request, *response));
}

}  // namespace virp::keymgr
