// IngestService of the O-Node.
#pragma once

#include <memory>

#include "lib/service/caller.h"
#include "services/onode/domain/node.h"
#include "services/onode/transport/delivery_session.h"
#include "virp/ingest/v1/ingest_service.grpc.pb.h"

namespace virp::onode {

// Thread-safe; what it is given outlives it.
class IngestHandler final : public ingest::v1::IngestService::Service {
 public:
  IngestHandler(Node& node, std::shared_ptr<const service::CallerResolver> callers, DeliveryLimits limits = {})
      : node_(node), callers_(std::move(callers)), limits_(std::move(limits)) {}

  grpc::Status Deliver(grpc::ServerContext* context, DeliverySession::Stream* stream) override;
  const DeliveryCounters& counters() const { return counters_; }

 private:
  absl::Status Serve(grpc::ServerContext& context, DeliverySession::Stream& stream);

  Node& node_;
  const std::shared_ptr<const service::CallerResolver> callers_;
  const DeliveryLimits limits_;
  DeliveryCounters counters_;
};

}  // namespace virp::onode
