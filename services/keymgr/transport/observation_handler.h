// ObservationKeyService of the key manager.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "lib/service/authorization.h"
#include "lib/service/caller.h"
#include "services/keymgr/domain/observation_keys.h"
#include "services/keymgr/transport/stream_places.h"
#include "virp/keymgr/v1/observation_key.grpc.pb.h"

namespace virp::keymgr {

// The rows of ObservationKeyService, for the key manager's table.
std::vector<service::MethodRule> ObservationAccess();

// Thread-safe; what it is given outlives it.
class ObservationHandler final : public v1::ObservationKeyService::Service {
 public:
  // Streams that watch or fetch: a thread each, of the server's 256; and those of one identity.
  static constexpr std::size_t kMostStreams = 192, kMostOfOne = 8;

  ObservationHandler(ObservationKeys& keys, Ledger& ledger, std::shared_ptr<const service::CallerResolver> callers)
      : keys_(keys), ledger_(ledger), callers_(std::move(callers)) {}

  // Ends watch streams, so that the server can end; none is begun any more.
  void Drain();
  std::size_t streams() const { return places_.taken(); }

  grpc::Status CreateObservationKey(grpc::ServerContext*, const v1::CreateObservationKeyRequest*,
                                    v1::CreateObservationKeyResponse*) override;
  grpc::Status UpdateObservationKey(grpc::ServerContext*, const v1::UpdateObservationKeyRequest*,
                                    v1::UpdateObservationKeyResponse*) override;
  grpc::Status GetObservationKey(grpc::ServerContext*, const v1::GetObservationKeyRequest*,
                                 v1::GetObservationKeyResponse*) override;
  grpc::Status ListObservationKeys(grpc::ServerContext*, const v1::ListObservationKeysRequest*,
                                   v1::ListObservationKeysResponse*) override;
  grpc::Status PrepareObservationKey(grpc::ServerContext*, const v1::PrepareObservationKeyRequest*,
                                     v1::PrepareObservationKeyResponse*) override;
  grpc::Status RegisterPublicKey(grpc::ServerContext*, const v1::RegisterPublicKeyRequest*,
                                 v1::RegisterPublicKeyResponse*) override;
  grpc::Status ApproveObservationKey(grpc::ServerContext*, const v1::ApproveObservationKeyRequest*,
                                     v1::ApproveObservationKeyResponse*) override;
  grpc::Status ActivateObservationKey(grpc::ServerContext*, const v1::ActivateObservationKeyRequest*,
                                      v1::ActivateObservationKeyResponse*) override;
  grpc::Status TaintObservationKey(grpc::ServerContext*, const v1::TaintObservationKeyRequest*,
                                   v1::TaintObservationKeyResponse*) override;
  grpc::Status RevokeObservationKey(grpc::ServerContext*, const v1::RevokeObservationKeyRequest*,
                                    v1::RevokeObservationKeyResponse*) override;
  grpc::Status ExportObservationKey(grpc::ServerContext*, const v1::ExportObservationKeyRequest*,
                                    v1::ExportObservationKeyResponse*) override;
  grpc::Status FetchObservationKeys(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<v1::FetchObservationKeysResponse, v1::FetchObservationKeysRequest>*) override;
  grpc::Status WatchObservationKeys(grpc::ServerContext*, const v1::WatchObservationKeysRequest*,
                                    grpc::ServerWriter<v1::WatchObservationKeysResponse>*) override;
  grpc::Status ReportObservationKeys(grpc::ServerContext*, const v1::ReportObservationKeysRequest*,
                                     v1::ReportObservationKeysResponse*) override;

 private:
  template <typename Request, typename Response, typename Do>
  grpc::Status Change(const grpc::ServerContext& context, std::string_view method, const Request& request,
                      Response& response, Do&& make) const;
  absl::Status Watch(grpc::ServerContext& context, grpc::ServerWriter<v1::WatchObservationKeysResponse>& writer);
  absl::Status Fetch(
      grpc::ServerContext& context,
      grpc::ServerReaderWriter<v1::FetchObservationKeysResponse, v1::FetchObservationKeysRequest>& stream);
  absl::Status Report(const grpc::ServerContext& context, const v1::ReportObservationKeysRequest& request,
                      v1::ReportObservationKeysResponse& response);

  ObservationKeys& keys_;
  Ledger& ledger_;
  const std::shared_ptr<const service::CallerResolver> callers_;
  StreamPlaces places_{kMostStreams, kMostOfOne};
  std::atomic<bool> draining_{false};
};

}  // namespace virp::keymgr
