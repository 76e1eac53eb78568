// RtrService over what the bridge serves. Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "lib/base/mutex.h"
#include "lib/deliver/deliverer.h"
#include "lib/deliver/spool.h"
#include "lib/service/caller.h"
#include "services/rtr-bridge/domain/board.h"
#include "services/rtr-bridge/domain/cache.h"
#include "services/rtr-bridge/domain/session_log.h"
#include "services/rtr-bridge/transport/router_server.h"
#include "services/rtr-bridge/transport/source_runner.h"
#include "virp/rtr/v1/rtr_service.grpc.pb.h"

namespace virp::rtr_bridge {

// Asks the chain about a frame; its proof file. Unavailable with why there is none.
using ProveFrame = std::function<absl::StatusOr<std::string>(const std::string& frame)>;

struct RtrHandlerParts {
  std::string name;
  Cache& cache;
  const Board& board;
  RouterServer& routers;
  const SessionLog& sessions;
  SourceRunner& sources;
  const Clock& clock;
  std::shared_ptr<const service::CallerResolver> callers;
  const deliver::Deliverer* deliverer = nullptr;  // null: the bridge keeps no evidence
  const deliver::Spool* spool = nullptr;
  ProveFrame prove;  // may be empty
};

class RtrHandler final : public virp::rtr::v1::RtrService::Service {
 public:
  static constexpr int kMostWatchers = 32;  // a thread each, of the server's 256

  // All parts outlive it.
  explicit RtrHandler(RtrHandlerParts parts);

  grpc::Status GetStatus(grpc::ServerContext*, const virp::rtr::v1::GetStatusRequest*,
                         virp::rtr::v1::GetStatusResponse*) override;
  grpc::Status ListVrps(grpc::ServerContext*, const virp::rtr::v1::ListVrpsRequest*,
                        virp::rtr::v1::ListVrpsResponse*) override;
  grpc::Status ListRouterKeys(grpc::ServerContext*, const virp::rtr::v1::ListRouterKeysRequest*,
                              virp::rtr::v1::ListRouterKeysResponse*) override;
  grpc::Status ListAspas(grpc::ServerContext*, const virp::rtr::v1::ListAspasRequest*,
                         virp::rtr::v1::ListAspasResponse*) override;
  grpc::Status ValidateRoute(grpc::ServerContext*, const virp::rtr::v1::ValidateRouteRequest*,
                             virp::rtr::v1::ValidateRouteResponse*) override;
  grpc::Status ValidateRoutes(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<virp::rtr::v1::ValidateRoutesResponse, virp::rtr::v1::ValidateRoutesRequest>*) override;
  grpc::Status ListSessions(grpc::ServerContext*, const virp::rtr::v1::ListSessionsRequest*,
                            virp::rtr::v1::ListSessionsResponse*) override;
  grpc::Status Refresh(grpc::ServerContext*, const virp::rtr::v1::RefreshRequest*,
                       virp::rtr::v1::RefreshResponse*) override;
  grpc::Status ListGenerations(grpc::ServerContext*, const virp::rtr::v1::ListGenerationsRequest*,
                               virp::rtr::v1::ListGenerationsResponse*) override;
  grpc::Status GetGeneration(grpc::ServerContext*, const virp::rtr::v1::GetGenerationRequest*,
                             virp::rtr::v1::GetGenerationResponse*) override;
  grpc::Status WatchPayloads(grpc::ServerContext*, const virp::rtr::v1::WatchPayloadsRequest*,
                             grpc::ServerWriter<virp::rtr::v1::WatchPayloadsResponse>*) override;

  // Open streams end, new ones are refused.
  void Drain() { draining_ = true; }

 private:
  absl::StatusOr<std::shared_ptr<const ServedView>> Serving() const;
  absl::Status DoRefresh(const service::Identity& caller, const virp::rtr::v1::RefreshRequest& request,
                         virp::rtr::v1::RefreshResponse& response);
  void FillSources(const CacheStatus& status,
                   google::protobuf::RepeatedPtrField<virp::rtr::v1::SourceStatus>& to) const;

  const RtrHandlerParts parts_;
  const std::string watch_session_;  // of this start
  std::atomic<bool> draining_{false};
  std::atomic<int> watchers_{0};
  Mutex mutex_;
  std::map<std::string, std::string> refreshed_ ABSL_GUARDED_BY(mutex_);  // request by caller and request_id
};

}  // namespace virp::rtr_bridge
