#include "services/keymgr/domain/rollback.h"

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/frame/payload.h"

namespace virp::keymgr {
namespace {

absl::Status Rollback(std::string why) {
  return WithReason(
      FailedPrecondition("{}: the database is not the one that the chain knows. It was restored from a backup, or "
                         "changed. Nothing is changed until the newest database is back",
                         why),
      "ROLLBACK");
}

}  // namespace

absl::Status CheckAgainstChain(ChainHistory& chain, LedgerStore& store,
                               const std::function<bool(const frame::Frame&)>& verify) {
  ASSIGN_OR_RETURN(const std::string newest, chain.NewestFrame());
  if (newest.empty()) return absl::OkStatus();
  const auto frame = frame::Decode(newest, frame::Spelling::kV2);
  if (!frame.ok() || !verify(*frame))
    return DataLoss("the O-Node answered with a frame that this manager's key did not sign");
  frame::PayloadReader reader;
  ASSIGN_OR_RETURN(const frame::Value payload, reader.Read(frame->payload));
  const auto record = payload["record"].AsUnsigned();
  if (!record || *record == 0) return DataLoss("the chain's newest frame of this source names no audit record");
  ASSIGN_OR_RETURN(const LedgerHead head, store.ReadHead());
  if (head.record < *record) {
    return Rollback(
        fmt::format("the chain holds audit record {} of this manager, its ledger ends at {}", *record, head.record));
  }
  AuditFilter filter;
  filter.after = *record - 1;
  ASSIGN_OR_RETURN(const std::vector<AuditRow> rows, store.ReadAudit(filter, 1));
  if (rows.empty() || rows.front().frame != newest)
    return Rollback(fmt::format("audit record {} is another in the chain than in the ledger", *record));
  return absl::OkStatus();
}

}  // namespace virp::keymgr
