// Deliveries over mutually authenticated gRPC (virp.ingest.v1.IngestService).
#pragma once

#include <grpcpp/channel.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "lib/deliver/connection.h"

namespace virp::deliver {

// Makes a channel to an address with the service's credentials, expecting role `onode` of it. Thread-safe.
using ChannelFactory = std::function<absl::StatusOr<std::shared_ptr<grpc::Channel>>(const std::string& address)>;

class GrpcConnector final : public Connector {
 public:
  explicit GrpcConnector(ChannelFactory factory) : factory_(std::move(factory)) {}
  // A channel of its own; connects when Open is called.
  absl::StatusOr<std::unique_ptr<Connection>> Connect(const std::string& address) override;

 private:
  ChannelFactory factory_;
};

}  // namespace virp::deliver
