#include "services/keymgr/transport/tcp_ao_handler.h"

#include <algorithm>

#include "lib/service/wire.h"
#include "services/keymgr/transport/call.h"
#include "services/keymgr/transport/tcp_ao_wire.h"

namespace virp::keymgr {
namespace {

using service::Role;

constexpr std::string_view kService = "virp.keymgr.v1.TcpAoKeyService/";

std::string Method(std::string_view name) {
  return std::string(kService).append(name);
}

// 0 when it is not set.
absl::StatusOr<UnixNanos> UseFrom(bool set, const google::protobuf::Timestamp& time) {
  if (!set) return UnixNanos{0};
  return service::NanosOf(time, "use_from");
}

}  // namespace

std::vector<service::MethodRule> TcpAoAccess() {
  const service::RoleSet readers{Role::kReader, Role::kOperator, Role::kApprover};
  const service::RoleSet operators{Role::kOperator};
  const service::RoleSet agents{Role::kRouter, Role::kCollector, Role::kProducer, Role::kRtrBridge, Role::kOperator};
  std::vector<service::MethodRule> rows;
  const auto add = [&rows](std::initializer_list<std::string_view> methods, const service::RoleSet& roles) {
    for (const std::string_view method : methods) rows.push_back({"/" + Method(method), roles});
  };
  add({"GetTcpAoPair", "ListTcpAoPairs"}, readers);
  add({"CreateTcpAoPair", "DeleteTcpAoPair", "StartTcpAoRollover", "ForceTcpAoRollover", "AbortTcpAoRollover",
       "ExportTcpAoKeyChain"},
      operators);
  add({"GetTcpAoPlan", "ReportTcpAoEnd", "FetchTcpAoKeys"}, agents);
  return rows;
}

absl::StatusOr<TcpAoKeys::Caller> TcpAoHandler::CallerOf(const grpc::ServerContext& context) const {
  RETURN_IF_ERROR(keys_.Readable());
  ASSIGN_OR_RETURN(const service::Identity caller, callers_->Resolve(context));
  return TcpAoKeys::Caller{caller.spiffe_id, caller.role == Role::kOperator};
}

template <typename Request>
absl::StatusOr<Call> TcpAoHandler::ChangeOf(const grpc::ServerContext& context, std::string_view name,
                                            const Request& request) const {
  RETURN_IF_ERROR(keys_.Readable());
  return CallOf(*callers_, context, Method(name), request);
}

template <typename Response>
grpc::Status TcpAoHandler::Answer(const absl::StatusOr<TcpAoKeys::PairPtr>& pair, Response& response) const {
  if (!pair.ok()) return Reply(pair.status());
  Fill(*response.mutable_pair(), **pair, clock_.NowNanos());
  return grpc::Status::OK;
}

grpc::Status TcpAoHandler::CreateTcpAoPair(grpc::ServerContext* context, const v1::CreateTcpAoPairRequest* request,
                                           v1::CreateTcpAoPairResponse* response) {
  const auto create = [&]() -> absl::StatusOr<TcpAoKeys::PairPtr> {
    ASSIGN_OR_RETURN(const Call call, ChangeOf(*context, "CreateTcpAoPair", *request));
    ASSIGN_OR_RETURN(const TcpAoPair pair, PairOf(request->pair()));
    ASSIGN_OR_RETURN(const UnixNanos use_from, UseFrom(request->has_use_from(), request->use_from()));
    return keys_.Create(call, pair, use_from);
  };
  return Answer(create(), *response);
}

grpc::Status TcpAoHandler::GetTcpAoPair(grpc::ServerContext*, const v1::GetTcpAoPairRequest* request,
                                        v1::GetTcpAoPairResponse* response) {
  if (const absl::Status readable = keys_.Readable(); !readable.ok()) return Reply(readable);
  return Answer(keys_.Get(request->id()), *response);
}

absl::Status TcpAoHandler::Page(const v1::ListTcpAoPairsRequest& request, v1::ListTcpAoPairsResponse& response) const {
  RETURN_IF_ERROR(keys_.Readable());
  ASSIGN_OR_RETURN(const std::size_t size, service::PageSizeOf(request.page_size()));
  ASSIGN_OR_RETURN(const std::string after, service::ReadPageToken(request.page_token(), "tcp_ao"));
  const auto pairs = keys_.List(after, size + 1);
  const std::size_t shown = std::min(size, pairs.size());
  for (std::size_t i = 0; i < shown; ++i) Fill(*response.add_pairs(), *pairs[i], clock_.NowNanos());
  if (shown < pairs.size()) response.set_next_page_token(service::MakePageToken(pairs[shown - 1]->pair.id, "tcp_ao"));
  return absl::OkStatus();
}

grpc::Status TcpAoHandler::ListTcpAoPairs(grpc::ServerContext*, const v1::ListTcpAoPairsRequest* request,
                                          v1::ListTcpAoPairsResponse* response) {
  return Reply(Page(*request, *response));
}

grpc::Status TcpAoHandler::DeleteTcpAoPair(grpc::ServerContext* context, const v1::DeleteTcpAoPairRequest* request,
                                           v1::DeleteTcpAoPairResponse*) {
  const auto call = ChangeOf(*context, "DeleteTcpAoPair", *request);
  return Reply(call.ok() ? keys_.Delete(*call, request->id()) : call.status());
}

grpc::Status TcpAoHandler::StartTcpAoRollover(grpc::ServerContext* context,
                                              const v1::StartTcpAoRolloverRequest* request,
                                              v1::StartTcpAoRolloverResponse* response) {
  const auto start = [&]() -> absl::StatusOr<TcpAoKeys::PairPtr> {
    ASSIGN_OR_RETURN(const Call call, ChangeOf(*context, "StartTcpAoRollover", *request));
    ASSIGN_OR_RETURN(const UnixNanos use_from, UseFrom(request->has_use_from(), request->use_from()));
    return keys_.Roll(call, request->id(), use_from);
  };
  return Answer(start(), *response);
}

grpc::Status TcpAoHandler::ForceTcpAoRollover(grpc::ServerContext* context,
                                              const v1::ForceTcpAoRolloverRequest* request,
                                              v1::ForceTcpAoRolloverResponse* response) {
  const auto force = [&]() -> absl::StatusOr<TcpAoKeys::PairPtr> {
    ASSIGN_OR_RETURN(const Call call, ChangeOf(*context, "ForceTcpAoRollover", *request));
    ASSIGN_OR_RETURN(const TcpAoForce how, ForceOf(request->force()));
    return keys_.Force(call, request->id(), how);
  };
  return Answer(force(), *response);
}

grpc::Status TcpAoHandler::AbortTcpAoRollover(grpc::ServerContext* context,
                                              const v1::AbortTcpAoRolloverRequest* request,
                                              v1::AbortTcpAoRolloverResponse* response) {
  const auto call = ChangeOf(*context, "AbortTcpAoRollover", *request);
  if (!call.ok()) return Reply(call.status());
  return Answer(keys_.AbortRoll(*call, request->id()), *response);
}

absl::Status TcpAoHandler::Plan(const grpc::ServerContext& context, const v1::GetTcpAoPlanRequest& request,
                                v1::GetTcpAoPlanResponse& response) const {
  ASSIGN_OR_RETURN(const TcpAoKeys::Caller caller, CallerOf(context));
  ASSIGN_OR_RETURN(const TcpAoEnd end, EndOf(request.end()));
  ASSIGN_OR_RETURN(const TcpAoPlan plan, keys_.Plan(caller, request.id(), end));
  ASSIGN_OR_RETURN(const auto pair, keys_.Get(request.id()));
  Fill(response, plan, pair->pair, end);
  return absl::OkStatus();
}

grpc::Status TcpAoHandler::GetTcpAoPlan(grpc::ServerContext* context, const v1::GetTcpAoPlanRequest* request,
                                        v1::GetTcpAoPlanResponse* response) {
  return Reply(Plan(*context, *request, *response));
}

absl::Status TcpAoHandler::Take(const grpc::ServerContext& context, const v1::ReportTcpAoEndRequest& request,
                                v1::ReportTcpAoEndResponse& response) {
  ASSIGN_OR_RETURN(const TcpAoKeys::Caller caller, CallerOf(context));
  ASSIGN_OR_RETURN(const TcpAoEnd end, EndOf(request.end()));
  ASSIGN_OR_RETURN(const TcpAoReport report, ReportOf(request));
  RETURN_IF_ERROR(keys_.TakeReport(caller, Method("ReportTcpAoEnd"), request.id(), end, report));
  ASSIGN_OR_RETURN(const TcpAoPlan plan, keys_.Plan(caller, request.id(), end));
  response.set_serial(plan.serial);
  return absl::OkStatus();
}

grpc::Status TcpAoHandler::ReportTcpAoEnd(grpc::ServerContext* context, const v1::ReportTcpAoEndRequest* request,
                                          v1::ReportTcpAoEndResponse* response) {
  return Reply(Take(*context, *request, *response));
}

absl::Status TcpAoHandler::Fetch(const grpc::ServerContext& context, const v1::FetchTcpAoKeysRequest& request,
                                 v1::FetchTcpAoKeysResponse& response) {
  ASSIGN_OR_RETURN(const TcpAoKeys::Caller caller, CallerOf(context));
  ASSIGN_OR_RETURN(const Call call, ChangeOf(context, "FetchTcpAoKeys", request));
  ASSIGN_OR_RETURN(const TcpAoEnd end, EndOf(request.end()));
  RETURN_IF_ERROR(keys_.Plan(caller, request.id(), end).status());  // whose pair it is
  if (!caller.is_operator) RETURN_IF_ERROR(fetches_.Take(caller.identity, request.id()));
  ASSIGN_OR_RETURN(const auto fetched, keys_.Fetch(caller, call, request.id(), end));
  response.set_serial(fetched.serial);
  for (const TcpAoKeys::Released& key : fetched.keys) {
    v1::TcpAoSecretKey& to = *response.add_keys();
    to.set_version(key.tuple.version);
    to.set_send_id(key.tuple.ids.SendId(end));
    to.set_recv_id(key.tuple.ids.RecvId(end));
    to.set_master_key(std::string(key.master_key.view()));
  }
  return absl::OkStatus();
}

grpc::Status TcpAoHandler::FetchTcpAoKeys(grpc::ServerContext* context, const v1::FetchTcpAoKeysRequest* request,
                                          v1::FetchTcpAoKeysResponse* response) {
  return Reply(Fetch(*context, *request, *response));
}

absl::Status TcpAoHandler::Export(const grpc::ServerContext& context, const v1::ExportTcpAoKeyChainRequest& request,
                                  v1::ExportTcpAoKeyChainResponse& response) {
  ASSIGN_OR_RETURN(const TcpAoKeys::Caller caller, CallerOf(context));
  ASSIGN_OR_RETURN(const Call call, ChangeOf(context, "ExportTcpAoKeyChain", request));
  ASSIGN_OR_RETURN(const TcpAoEnd end, EndOf(request.end()));
  ASSIGN_OR_RETURN(const TcpAoFormat format, FormatOf(request.format()));
  ASSIGN_OR_RETURN(const crypto::Secret text,
                   keys_.ExportChain(caller, call, request.id(), end, format, request.include_secrets()));
  response.set_configuration(std::string(text.view()));
  return absl::OkStatus();
}

grpc::Status TcpAoHandler::ExportTcpAoKeyChain(grpc::ServerContext* context,
                                               const v1::ExportTcpAoKeyChainRequest* request,
                                               v1::ExportTcpAoKeyChainResponse* response) {
  return Reply(Export(*context, *request, *response));
}

}  // namespace virp::keymgr
