// CollectorService.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "lib/deliver/deliverer.h"
#include "lib/deliver/outbox.h"
#include "lib/service/caller.h"
#include "services/collector/domain/edge_limits.h"
#include "services/collector/domain/liveness.h"
#include "services/collector/domain/submissions.h"
#include "services/collector/transport/bmp_ingest.h"
#include "virp/collector/v1/collector_service.grpc.pb.h"

namespace virp::collector {

// An identity of role producer, and what it may hand in.
struct ProducerBinding {
  std::string identity;
  std::set<std::string> sources;
  std::set<std::uint32_t> types;
};

// Thread-safe; what it is given outlives it.
class CollectorHandler final : public v1::CollectorService::Service {
 public:
  CollectorHandler(std::string name, deliver::Outbox& outbox, Submissions& submissions, const Liveness& liveness,
                   const BmpIngest& bmp, const deliver::Deliverer& deliverer, std::vector<ProducerBinding> producers,
                   std::shared_ptr<const service::CallerResolver> callers, const Clock& clock,
                   EdgeLimits* limits = nullptr);

  grpc::Status Submit(grpc::ServerContext*, const v1::SubmitRequest*, v1::SubmitResponse*) override;
  grpc::Status GetStatus(grpc::ServerContext*, const v1::GetStatusRequest*, v1::GetStatusResponse*) override;
  grpc::Status ListProducers(grpc::ServerContext*, const v1::ListProducersRequest*,
                             v1::ListProducersResponse*) override;
  grpc::Status ListBmpPeers(grpc::ServerContext*, const v1::ListBmpPeersRequest*, v1::ListBmpPeersResponse*) override;

 private:
  absl::Status Take(const service::Identity& caller, const v1::SubmitRequest& request, v1::SubmitResponse& response);
  absl::Status Check(const service::Identity& caller, const v1::SubmitRequest& request);
  absl::Status Admit(const v1::SubmitRequest& request);
  void Charge(const v1::SubmitRequest& request);

  const std::string name_;
  deliver::Outbox& outbox_;
  Submissions& submissions_;
  const Liveness& liveness_;
  const BmpIngest& bmp_;
  const deliver::Deliverer& deliverer_;
  std::map<std::string, ProducerBinding, std::less<>> producers_;
  const std::shared_ptr<const service::CallerResolver> callers_;
  const UnixNanos started_;
  EdgeLimits* const limits_;
  Mutex mutex_;  // one request of an id at a time
  std::map<std::string, std::uint64_t, std::less<>> submitted_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virp::collector
