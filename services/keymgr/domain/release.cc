#include "services/keymgr/domain/release.h"

#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/status.h"

namespace virp::keymgr {
namespace {

absl::Status NotExportable(const SealedKey& key, std::string_view why) {
  return WithReason(PermissionDenied("{} cannot be exported: policy {}, {}", ToString(key.identity),
                                     ExportPolicyName(key.policy), why),
                    "NOT_EXPORTABLE");
}

absl::Status CheckPolicy(const SealedKey& key, ReleaseTo to) {
  switch (key.policy) {
    case ExportPolicy::kNever:
      return NotExportable(key, "it stays here");
    case ExportPolicy::kOnce:
      return key.locked ? NotExportable(key, "and it was exported") : absl::OkStatus();
    case ExportPolicy::kEscrowOnly:
      return to == ReleaseTo::kEscrow ? absl::OkStatus() : NotExportable(key, "it goes to escrow and nowhere else");
    case ExportPolicy::kShared:
      return absl::OkStatus();
  }
  return NotExportable(key, "which is none");
}

}  // namespace

absl::StatusOr<Released> ReleaseKey(Ledger& ledger, const Custodies& custodies, const Call& call,
                                    const Release& release) {
  const auto key = ledger.snapshot()->FindKey(release.key);
  if (key == nullptr) return NotFound("{} does not exist", ToString(release.key));
  // A repeat of the request that exported a kOnce key is to hear that it was, as everybody else.
  RETURN_IF_ERROR(CheckPolicy(*key, release.to));
  ASSIGN_OR_RETURN(Custody* const custody, custodies.Of(*key));
  ASSIGN_OR_RETURN(crypto::Secret secret, custody->Export(*key));
  const auto record = [&](const Snapshot& now, Changes& changes) -> absl::Status {
    const auto newest = now.FindKey(release.key);
    if (newest == nullptr) return NotFound("{} does not exist any more", ToString(release.key));
    RETURN_IF_ERROR(CheckPolicy(*newest, release.to));
    // Re-wrapped meanwhile it is the same key; another public half or policy is another.
    if (newest->public_half != key->public_half || newest->policy != key->policy || newest->custody != key->custody)
      return Aborted("{} was replaced meanwhile", ToString(release.key));
    if (release.also) RETURN_IF_ERROR(release.also(now, changes));
    if (newest->policy == ExportPolicy::kOnce) changes.LockKey(release.key);
    AuditRecord audit = release.audit;
    if (audit.keys.empty()) audit.keys = {release.key};
    changes.Audit(std::move(audit));
    return absl::OkStatus();
  };
  ASSIGN_OR_RETURN(Receipt receipt, ledger.Commit(call, record));
  if (key->policy != ExportPolicy::kOnce) return Released{std::move(secret), std::move(receipt)};
  if (receipt.replayed) return NotExportable(*key, "and it was exported by this request before");
  SealedKey locked = *key;
  locked.locked = true;
  // The record is committed: the ledger refuses from now on. What the custody could not do it is told again at the next
  // start (Reconcile), so an error here must not take the only copy from who is to have it.
  static_cast<void>(custody->Lock(locked));
  return Released{std::move(secret), std::move(receipt)};
}

}  // namespace virp::keymgr
