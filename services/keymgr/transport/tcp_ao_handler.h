// TcpAoKeyService of the key manager.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "lib/base/clock.h"
#include "lib/service/authorization.h"
#include "lib/service/caller.h"
#include "services/keymgr/domain/tcp_ao_keys.h"
#include "services/keymgr/transport/self_service.h"
#include "virp/keymgr/v1/tcp_ao_key.grpc.pb.h"

namespace virp::keymgr {

// Its rows of the access table. Which end an agent may act for is in the pair.
std::vector<service::MethodRule> TcpAoAccess();

// Thread-safe; what it is given outlives it.
class TcpAoHandler final : public v1::TcpAoKeyService::Service {
 public:
  TcpAoHandler(TcpAoKeys& keys, std::shared_ptr<const service::CallerResolver> callers, const Clock& clock)
      : keys_(keys), callers_(std::move(callers)), clock_(clock), fetches_(clock, 20, std::chrono::seconds(30)) {}

  grpc::Status CreateTcpAoPair(grpc::ServerContext*, const v1::CreateTcpAoPairRequest*,
                               v1::CreateTcpAoPairResponse*) override;
  grpc::Status GetTcpAoPair(grpc::ServerContext*, const v1::GetTcpAoPairRequest*, v1::GetTcpAoPairResponse*) override;
  grpc::Status ListTcpAoPairs(grpc::ServerContext*, const v1::ListTcpAoPairsRequest*,
                              v1::ListTcpAoPairsResponse*) override;
  grpc::Status DeleteTcpAoPair(grpc::ServerContext*, const v1::DeleteTcpAoPairRequest*,
                               v1::DeleteTcpAoPairResponse*) override;
  grpc::Status StartTcpAoRollover(grpc::ServerContext*, const v1::StartTcpAoRolloverRequest*,
                                  v1::StartTcpAoRolloverResponse*) override;
  grpc::Status ForceTcpAoRollover(grpc::ServerContext*, const v1::ForceTcpAoRolloverRequest*,
                                  v1::ForceTcpAoRolloverResponse*) override;
  grpc::Status AbortTcpAoRollover(grpc::ServerContext*, const v1::AbortTcpAoRolloverRequest*,
                                  v1::AbortTcpAoRolloverResponse*) override;
  grpc::Status GetTcpAoPlan(grpc::ServerContext*, const v1::GetTcpAoPlanRequest*, v1::GetTcpAoPlanResponse*) override;
  grpc::Status ReportTcpAoEnd(grpc::ServerContext*, const v1::ReportTcpAoEndRequest*,
                              v1::ReportTcpAoEndResponse*) override;
  grpc::Status FetchTcpAoKeys(grpc::ServerContext*, const v1::FetchTcpAoKeysRequest*,
                              v1::FetchTcpAoKeysResponse*) override;
  grpc::Status ExportTcpAoKeyChain(grpc::ServerContext*, const v1::ExportTcpAoKeyChainRequest*,
                                   v1::ExportTcpAoKeyChainResponse*) override;

 private:
  absl::StatusOr<TcpAoKeys::Caller> CallerOf(const grpc::ServerContext& context) const;
  template <typename Request>
  absl::StatusOr<Call> ChangeOf(const grpc::ServerContext& context, std::string_view name,
                                const Request& request) const;
  template <typename Response>
  grpc::Status Answer(const absl::StatusOr<TcpAoKeys::PairPtr>& pair, Response& response) const;
  absl::Status Page(const v1::ListTcpAoPairsRequest& request, v1::ListTcpAoPairsResponse& response) const;
  absl::Status Plan(const grpc::ServerContext& context, const v1::GetTcpAoPlanRequest& request,
                    v1::GetTcpAoPlanResponse& response) const;
  absl::Status Take(const grpc::ServerContext& context, const v1::ReportTcpAoEndRequest& request,
                    v1::ReportTcpAoEndResponse& response);
  absl::Status Fetch(const grpc::ServerContext& context, const v1::FetchTcpAoKeysRequest& request,
                     v1::FetchTcpAoKeysResponse& response);
  absl::Status Export(const grpc::ServerContext& context, const v1::ExportTcpAoKeyChainRequest& request,
                      v1::ExportTcpAoKeyChainResponse& response);

  TcpAoKeys& keys_;
  const std::shared_ptr<const service::CallerResolver> callers_;
  const Clock& clock_;
  SelfService fetches_;  // by agents, of one pair
};

}  // namespace virp::keymgr
