// RouterKeyService of the key manager.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/clock.h"
#include "lib/service/authorization.h"
#include "lib/service/caller.h"
#include "services/keymgr/domain/router_fleet.h"
#include "services/keymgr/domain/router_keys.h"
#include "services/keymgr/transport/call.h"
#include "services/keymgr/transport/self_service.h"
#include "services/keymgr/transport/stream_places.h"
#include "virp/keymgr/v1/router_key.grpc.pb.h"

namespace virp::keymgr {

// Its rows of the access table. Which router an agent may act for is in the router's account.
std::vector<service::MethodRule> RouterKeyAccess();

// Thread-safe; what it is given outlives it.
class RouterKeyHandler final : public v1::RouterKeyService::Service {
 public:
  static constexpr int kMostWatchers = 16;  // a thread each
  static constexpr int kMostOfOne = 4;      // by one caller

  RouterKeyHandler(RouterKeys& keys, RouterFleets& fleets, std::shared_ptr<const service::CallerResolver> callers,
                   const Clock& clock)
      : keys_(keys),
        fleets_(fleets),
        callers_(std::move(callers)),
        clock_(clock),
        reports_(clock, 256, std::chrono::seconds(10)) {}

  // Ends watch streams, so that the server can end; none is begun any more.
  void Drain() { draining_ = true; }

  grpc::Status RegisterRouter(grpc::ServerContext*, const v1::RegisterRouterRequest*,
                              v1::RegisterRouterResponse*) override;
  grpc::Status UpdateRouter(grpc::ServerContext*, const v1::UpdateRouterRequest*, v1::UpdateRouterResponse*) override;
  grpc::Status GetRouter(grpc::ServerContext*, const v1::GetRouterRequest*, v1::GetRouterResponse*) override;
  grpc::Status ListRouters(grpc::ServerContext*, const v1::ListRoutersRequest*, v1::ListRoutersResponse*) override;
  grpc::Status DecommissionRouter(grpc::ServerContext*, const v1::DecommissionRouterRequest*,
                                  v1::DecommissionRouterResponse*) override;
  grpc::Status AttachCustodyLog(grpc::ServerContext*, const v1::AttachCustodyLogRequest*,
                                v1::AttachCustodyLogResponse*) override;
  grpc::Status GetCustodyLog(grpc::ServerContext*, const v1::GetCustodyLogRequest*,
                             v1::GetCustodyLogResponse*) override;
  grpc::Status SubmitCsr(grpc::ServerContext*, const v1::SubmitCsrRequest*, v1::SubmitCsrResponse*) override;
  grpc::Status GetCsr(grpc::ServerContext*, const v1::GetCsrRequest*, v1::GetCsrResponse*) override;
  grpc::Status ListPending(grpc::ServerContext*, const v1::ListPendingRequest*, v1::ListPendingResponse*) override;
  grpc::Status ApproveCsr(grpc::ServerContext*, const v1::ApproveCsrRequest*, v1::ApproveCsrResponse*) override;
  grpc::Status RejectCsr(grpc::ServerContext*, const v1::RejectCsrRequest*, v1::RejectCsrResponse*) override;
  grpc::Status CreateRouterKey(grpc::ServerContext*, const v1::CreateRouterKeyRequest*,
                               v1::CreateRouterKeyResponse*) override;
  grpc::Status IssueRouterCertificate(grpc::ServerContext*, const v1::IssueRouterCertificateRequest*,
                                      v1::IssueRouterCertificateResponse*) override;
  grpc::Status GetKeyPackage(grpc::ServerContext*, const v1::GetKeyPackageRequest*,
                             v1::GetKeyPackageResponse*) override;
  grpc::Status ProvisionRouter(grpc::ServerContext*, const v1::ProvisionRouterRequest*,
                               v1::ProvisionRouterResponse*) override;
  grpc::Status GetCertsOnly(grpc::ServerContext*, const v1::GetCertsOnlyRequest*, v1::GetCertsOnlyResponse*) override;
  grpc::Status GetRouterPlan(grpc::ServerContext*, const v1::GetRouterPlanRequest*,
                             v1::GetRouterPlanResponse*) override;
  grpc::Status RequestNonce(grpc::ServerContext*, const v1::RequestNonceRequest*, v1::RequestNonceResponse*) override;
  grpc::Status ConfirmInstall(grpc::ServerContext*, const v1::ConfirmInstallRequest*,
                              v1::ConfirmInstallResponse*) override;
  grpc::Status GetRouterKey(grpc::ServerContext*, const v1::GetRouterKeyRequest*, v1::GetRouterKeyResponse*) override;
  grpc::Status ListRouterKeys(grpc::ServerContext*, const v1::ListRouterKeysRequest*,
                              v1::ListRouterKeysResponse*) override;
  grpc::Status ActivateRouterKey(grpc::ServerContext*, const v1::ActivateRouterKeyRequest*,
                                 v1::ActivateRouterKeyResponse*) override;
  grpc::Status TaintRouterKey(grpc::ServerContext*, const v1::TaintRouterKeyRequest*,
                              v1::TaintRouterKeyResponse*) override;
  grpc::Status RevokeRouterKey(grpc::ServerContext*, const v1::RevokeRouterKeyRequest*,
                               v1::RevokeRouterKeyResponse*) override;

  // router_transfer_handler.cc
  grpc::Status ExportCsr(grpc::ServerContext*, const v1::ExportCsrRequest*, v1::ExportCsrResponse*) override;
  grpc::Status ImportCertificate(grpc::ServerContext*, const v1::ImportCertificateRequest*,
                                 v1::ImportCertificateResponse*) override;
  grpc::Status EscrowDeposit(grpc::ServerContext*, const v1::EscrowDepositRequest*,
                             v1::EscrowDepositResponse*) override;
  grpc::Status RequestEscrowRelease(grpc::ServerContext*, const v1::RequestEscrowReleaseRequest*,
                                    v1::RequestEscrowReleaseResponse*) override;
  grpc::Status ApproveEscrowRelease(grpc::ServerContext*, const v1::ApproveEscrowReleaseRequest*,
                                    v1::ApproveEscrowReleaseResponse*) override;
  grpc::Status EscrowRelease(grpc::ServerContext*, const v1::EscrowReleaseRequest*,
                             v1::EscrowReleaseResponse*) override;

  // router_fleet_handler.cc
  grpc::Status RollFleet(grpc::ServerContext*, const v1::RollFleetRequest*, v1::RollFleetResponse*) override;
  grpc::Status SetFleetState(grpc::ServerContext*, const v1::SetFleetStateRequest*,
                             v1::SetFleetStateResponse*) override;
  grpc::Status ListFleets(grpc::ServerContext*, const v1::ListFleetsRequest*, v1::ListFleetsResponse*) override;
  grpc::Status WatchFleet(grpc::ServerContext*, const v1::WatchFleetRequest*,
                          grpc::ServerWriter<v1::WatchFleetResponse>*) override;

 private:
  static constexpr std::string_view kService = "virp.keymgr.v1.RouterKeyService/";

  // Runs `make(call, caller)` with who calls and why.
  template <typename Request, typename Make>
  grpc::Status Change(const grpc::ServerContext& context, std::string_view method, const Request& request,
                      Make&& make) const {
    return Reply([&]() -> absl::Status {
      RETURN_IF_ERROR(keys_.Readable());
      ASSIGN_OR_RETURN(const Call call, CallOf(*callers_, context, std::string(kService).append(method), request));
      ASSIGN_OR_RETURN(const RouterCaller caller, CallerOf(context, false));
      return make(call, caller);
    }());
  }
  // Runs `read(caller)`. `all_read`: every role that the table lets in reads everything.
  template <typename Read>
  grpc::Status Answer(const grpc::ServerContext& context, bool all_read, Read&& read) const {
    return Reply([&]() -> absl::Status {
      RETURN_IF_ERROR(keys_.Readable());
      ASSIGN_OR_RETURN(const RouterCaller caller, CallerOf(context, all_read));
      return read(caller);
    }());
  }
  absl::StatusOr<RouterCaller> CallerOf(const grpc::ServerContext& context, bool all_read) const;
  absl::Status FillSlot(const absl::StatusOr<RouterKeys::SlotPtr>& slot, v1::RouterKeySlot& to) const;

  void FillFleet(const FleetRecord& fleet, v1::RouterFleet& to) const;
  absl::Status Watch(grpc::ServerContext& context, std::string_view id,
                     grpc::ServerWriter<v1::WatchFleetResponse>& writer);

  RouterKeys& keys_;
  RouterFleets& fleets_;
  const std::shared_ptr<const service::CallerResolver> callers_;
  const Clock& clock_;
  SelfService reports_;  // by a router's agent: of all its keys, which are 64 and four events each
  std::atomic<bool> draining_{false};
  StreamPlaces places_{kMostWatchers, kMostOfOne};
};

}  // namespace virp::keymgr
