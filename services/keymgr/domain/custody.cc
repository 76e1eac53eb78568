#include "services/keymgr/domain/custody.h"

#include "lib/base/error_info.h"
#include "lib/base/status.h"

namespace virp::keymgr {

Custody& Custodies::For(KeyKind kind) const {
  for (const auto& [candidate, custody] : preferred_) {
    if (candidate == kind) return *custody;
  }
  return *all_.front();
}

absl::StatusOr<Custody*> Custodies::Of(const SealedKey& key) const {
  for (Custody* const custody : all_) {
    if (custody->name() == key.custody) return custody;
  }
  return WithReason(
      FailedPrecondition("{} is kept by custody {}, which is not configured", ToString(key.identity), key.custody),
      "NO_CUSTODY", {{"custody", key.custody}});
}

}  // namespace virp::keymgr
