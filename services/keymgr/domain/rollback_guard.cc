#include "services/keymgr/domain/rollback_guard.h"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/sha256.h"
#include "lib/frame/payload.h"

namespace virp::keymgr {

RollbackGuard::RollbackGuard(LedgerEngine& ledger, LedgerStore& store, ChainHistory* chain, OwnFrame own,
                             std::vector<TakeOver> take_over)
    : ledger_(ledger), store_(store), chain_(chain), own_(std::move(own)), take_over_(std::move(take_over)) {}

absl::Status RollbackGuard::Check() {
  const absl::Status checked = chain_ == nullptr ? absl::OkStatus() : CheckAgainstChain(*chain_, store_, own_);
  const MutexLock lock(mutex_);
  problem_ = checked.ok() ? "" : std::string(Message(checked));
  return checked;
}

absl::Status RollbackGuard::NoteTime() {
  if (chain_ == nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::optional<UnixNanos> newest, chain_->NewestTime());
  if (newest) ledger_.NoteChainTime(*newest);
  return absl::OkStatus();
}

std::string RollbackGuard::problem() const {
  const MutexLock lock(mutex_);
  return problem_;
}

absl::StatusOr<Receipt> RollbackGuard::Accept(const Call& call, std::uint64_t chain_record) {
  const auto nothing = [] {
    return WithReason(FailedPrecondition("the database is not behind the chain; there is nothing to accept"),
                      "NOT_ROLLED_BACK");
  };
  const LedgerStatus status = ledger_.status();
  const bool sealed =
      std::find(status.sealed.begin(), status.sealed.end(), SealReason::kRollback) != status.sealed.end();
  if (chain_ == nullptr || !sealed) return nothing();
  ASSIGN_OR_RETURN(const std::vector<ChainRecord> missing, MissingRecords(*chain_, store_, own_));
  if (missing.empty()) return nothing();
  const ChainRecord& newest = missing.back();
  if (newest.record != chain_record)
    return WithReason(FailedPrecondition("the chain ends with audit record {}, not {}", newest.record, chain_record),
                      "ANOTHER_RECORD");
  std::uint64_t epoch = 0;
  for (const ChainRecord& record : missing) epoch = std::max(epoch, record.epoch);
  // The chain knows a future of the present epoch: other frames under its numbers would be equivocation.
  ledger_.OpenEpoch(epoch);
  const auto edit = [&](const Snapshot& now, Changes& changes) -> absl::Status {
    for (const TakeOver& take_over : take_over_) RETURN_IF_ERROR(take_over(missing, now, changes));
    frame::JsonWriter fields;
    fields.BeginObject().Field("chain_record", newest.record).Field("chain_epoch", newest.epoch);
    fields.Field("chain_frame_sha256", HexEncode(View(crypto::Sha256(newest.frame))));
    fields.Field("lost_records", missing.size()).EndObject();
    AuditRecord audit;
    audit.event = kRollbackAccepted;
    audit.tier = frame::Tier::kYellow;
    audit.fields = fields.Take();
    changes.Audit(std::move(audit));
    return absl::OkStatus();
  };
  ASSIGN_OR_RETURN(Receipt receipt, ledger_.CommitRolledBack(call, edit));
  ++times_;
  return receipt;
}

absl::Status TakeOverKeys(const std::vector<ChainRecord>& missing, const Snapshot& now, Changes& changes) {
  std::map<std::tuple<KeyKind, std::string, std::uint32_t>, std::pair<KeyIdentity, bool>> named;  // and whether gone
  for (const ChainRecord& record : missing) {
    const bool gone = record.event.ends_with("_revoked") || record.event.ends_with("_destroyed");
    for (const KeyIdentity& key : record.keys) {
      if (now.FindKey(key) == nullptr) continue;
      auto& known = named.try_emplace({key.kind, key.id, key.version}, key, false).first->second;
      known.second = known.second || gone;
    }
  }
  for (const auto& [name, key] : named) {
    // Whatever was done with it: it may have been let out, and it is not let out twice.
    changes.LockKey(key.first);
    if (key.second) changes.DropKey(key.first);
  }
  return absl::OkStatus();
}

}  // namespace virp::keymgr
