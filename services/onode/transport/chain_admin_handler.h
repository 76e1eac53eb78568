// ChainAdminService of the O-Node.
#pragma once

#include <memory>

#include "lib/service/caller.h"
#include "services/onode/domain/node.h"
#include "virp/chain/v1/chain_admin_service.grpc.pb.h"

namespace virp::onode {

// Thread-safe; what it is given outlives it.
class ChainAdminHandler final : public chain::v1::ChainAdminService::Service {
 public:
  ChainAdminHandler(Node& node, std::shared_ptr<const service::CallerResolver> callers)
      : node_(node), callers_(std::move(callers)) {}

  grpc::Status CreateChain(grpc::ServerContext*, const chain::v1::CreateChainRequest*,
                           chain::v1::CreateChainResponse*) override;
  grpc::Status SucceedChain(grpc::ServerContext*, const chain::v1::SucceedChainRequest*,
                            chain::v1::SucceedChainResponse*) override;
  grpc::Status RollCheckpointKey(grpc::ServerContext*, const chain::v1::RollCheckpointKeyRequest*,
                                 chain::v1::RollCheckpointKeyResponse*) override;
  grpc::Status ListCheckpointKeys(grpc::ServerContext*, const chain::v1::ListCheckpointKeysRequest*,
                                  chain::v1::ListCheckpointKeysResponse*) override;

 private:
  absl::Status Succeed(const grpc::ServerContext& context, const chain::v1::SucceedChainRequest& request,
                       chain::v1::SucceedChainResponse& response);
  absl::Status Roll(const grpc::ServerContext& context, const chain::v1::RollCheckpointKeyRequest& request,
                    chain::v1::RollCheckpointKeyResponse& response);

  Node& node_;
  const std::shared_ptr<const service::CallerResolver> callers_;
};

}  // namespace virp::onode
