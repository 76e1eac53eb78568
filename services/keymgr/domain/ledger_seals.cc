#include "services/keymgr/domain/ledger_seals.h"

#include <string>
#include <string_view>

#include "lib/base/error_info.h"
#include "lib/base/status.h"

namespace virp::keymgr {

std::string_view SealReasonName(SealReason reason) {
  switch (reason) {
    case SealReason::kStarting:
      return "STARTING";
    case SealReason::kNoKek:
      return "NO_KEK";
    case SealReason::kOperator:
      return "OPERATOR";
    case SealReason::kClock:
      return "CLOCK";
    case SealReason::kRollback:
      return "ROLLBACK";
  }
  return "UNKNOWN";
}

bool IsAllowed(InSpiteOf in_spite_of, const std::set<SealReason>& sealed) {
  switch (in_spite_of) {
    case InSpiteOf::kNothing:
      return sealed.empty();
    case InSpiteOf::kSeals:
      // A record that is written before the comparison with the chain is through may stand beside the chain's.
      return !sealed.contains(SealReason::kStarting) && !sealed.contains(SealReason::kRollback);
    case InSpiteOf::kRollback:
      return true;
  }
  return false;
}

absl::Status SealedStatus(const std::set<SealReason>& reasons) {
  const std::string why(SealReasonName(*reasons.rbegin()));
  return WithReason(FailedPrecondition("the key manager is sealed: {}", why), "SEALED", {{"why", why}});
}

}  // namespace virp::keymgr
