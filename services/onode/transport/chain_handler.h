// ChainService of the O-Node.
#pragma once

#include <functional>

#include "services/onode/domain/node.h"
#include "virp/chain/v1/chain_service.grpc.pb.h"

namespace virp::onode {

// Thread-safe; the node outlives it.
class ChainHandler final : public chain::v1::ChainService::Service {
 public:
  explicit ChainHandler(Node& node) : node_(node) {}

  grpc::Status GetChain(grpc::ServerContext*, const chain::v1::GetChainRequest*, chain::v1::GetChainResponse*) override;
  grpc::Status GetEntry(grpc::ServerContext*, const chain::v1::GetEntryRequest*, chain::v1::GetEntryResponse*) override;
  grpc::Status StreamEntries(grpc::ServerContext*, const chain::v1::StreamEntriesRequest*,
                             grpc::ServerWriter<chain::v1::StreamEntriesResponse>*) override;
  grpc::Status GetCheckpoint(grpc::ServerContext*, const chain::v1::GetCheckpointRequest*,
                             chain::v1::GetCheckpointResponse*) override;
  grpc::Status GetInclusionProof(grpc::ServerContext*, const chain::v1::GetInclusionProofRequest*,
                                 chain::v1::GetInclusionProofResponse*) override;
  grpc::Status GetConsistencyProof(grpc::ServerContext*, const chain::v1::GetConsistencyProofRequest*,
                                   chain::v1::GetConsistencyProofResponse*) override;
  grpc::Status GetEvidence(grpc::ServerContext*, const chain::v1::GetEvidenceRequest*,
                           chain::v1::GetEvidenceResponse*) override;
  grpc::Status VerifyChain(grpc::ServerContext*, const chain::v1::VerifyChainRequest*,
                           grpc::ServerWriter<chain::v1::VerifyChainResponse>*) override;

 private:
  Node& node_;
};

}  // namespace virp::onode
