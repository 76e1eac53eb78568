#include "services/keymgr/domain/router_use.h"

#include <algorithm>

#include "services/keymgr/domain/router_book.h"

namespace virp::keymgr {

bool IsInUse(const Snapshot& state, const RouterCertificateRecord& certificate) {
  const auto router = state.Find<RouterRecord>(certificate.router);
  if (router != nullptr && router->decommissioned) return false;
  bool in_use = true;
  RouterBook::ForEachSlot(state, certificate.router, [&](const RouterBook::SlotPtr& slot) {
    if (slot->asn != certificate.asn) return true;
    for (const RouterVersion& version : slot->versions) {
      if (std::find(version.certificates.begin(), version.certificates.end(), certificate.id) ==
          version.certificates.end()) {
        continue;
      }
      const RollKey* const key = slot->roll.Find(version.version);
      in_use = key != nullptr && !key->compromised && key->state <= RouterKeyState::kActive;
      return false;
    }
    return true;
  });
  return in_use;
}

}  // namespace virp::keymgr
