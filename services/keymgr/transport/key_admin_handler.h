// KeyAdminService of the key manager.
#pragma once

#include <memory>
#include <semaphore>

#include "lib/base/clock.h"
#include "lib/service/caller.h"
#include "services/keymgr/domain/kek_keeper.h"
#include "services/keymgr/domain/ledger_engine.h"
#include "services/keymgr/domain/rollback_guard.h"
#include "virp/keymgr/v1/key_admin.grpc.pb.h"

namespace virp::keymgr {

// Thread-safe; what it is given outlives it.
class KeyAdminHandler final : public v1::KeyAdminService::Service {
 public:
  KeyAdminHandler(LedgerEngine& ledger, LedgerStore& store, KekKeeper& keeper, RollbackGuard& rollback,
                  std::shared_ptr<const service::CallerResolver> callers, const Clock& clock)
      : ledger_(ledger),
        store_(store),
        keeper_(keeper),
        rollback_(rollback),
        callers_(std::move(callers)),
        clock_(clock) {}

  grpc::Status GetStatus(grpc::ServerContext*, const v1::GetStatusRequest*, v1::GetStatusResponse*) override;
  grpc::Status Seal(grpc::ServerContext*, const v1::SealRequest*, v1::SealResponse*) override;
  grpc::Status Unseal(grpc::ServerContext*, const v1::UnsealRequest*, v1::UnsealResponse*) override;
  grpc::Status RotateKek(grpc::ServerContext*, const v1::RotateKekRequest*, v1::RotateKekResponse*) override;
  grpc::Status AcceptRollback(grpc::ServerContext*, const v1::AcceptRollbackRequest*,
                              v1::AcceptRollbackResponse*) override;
  grpc::Status ListAuditRecords(grpc::ServerContext*, const v1::ListAuditRecordsRequest*,
                                v1::ListAuditRecordsResponse*) override;
  grpc::Status ListExpiring(grpc::ServerContext*, const v1::ListExpiringRequest*, v1::ListExpiringResponse*) override;

 private:
  absl::Status List(const v1::ListAuditRecordsRequest& request, v1::ListAuditRecordsResponse& response);

  LedgerEngine& ledger_;
  LedgerStore& store_;
  KekKeeper& keeper_;
  RollbackGuard& rollback_;
  const std::shared_ptr<const service::CallerResolver> callers_;
  const Clock& clock_;
  // Readers of the history share the store's connections with commits and the lease, which must not wait for them.
  static constexpr int kMostReading = 2;
  std::counting_semaphore<kMostReading> reading_{kMostReading};
};

}  // namespace virp::keymgr
