#include "services/keymgr/domain/router_use.h"

#include <algorithm>

#include "lib/base/bytes.h"
#include "lib/crypto/x509.h"
#include "lib/rpki/issue.h"
#include "services/keymgr/domain/router_book.h"
#include "services/keymgr/domain/rpki_authority.h"
#include "services/keymgr/domain/rpki_names.h"

namespace virp::keymgr {

bool IsInUse(const Snapshot& state, const RouterCertificateRecord& certificate) {
  const auto router = state.Find<RouterRecord>(certificate.router);
  if (router != nullptr && router->decommissioned) return false;
  bool in_use = true;
  RouterBook::ForEachSlot(state, certificate.router, [&](const RouterBook::SlotPtr& slot) {
    if (slot->asn != certificate.asn) return true;
    for (const RouterVersion& version : slot->versions) {
      // By the key: a slot lists its newest certificates only.
      const auto identifier = rpki::KeyIdentifier(version.spki);
      if (!identifier.ok() || !certificate.id.starts_with(HexEncode(*identifier) + "/")) continue;
      const RollKey* const key = slot->roll.Find(version.version);
      in_use = key != nullptr && !key->compromised && key->state <= RouterKeyState::kActive;
      return false;
    }
    return true;
  });
  return in_use;
}

std::vector<ExpiringCertificate> ImportedCertificates(const Snapshot& state, UnixNanos now) {
  std::vector<ExpiringCertificate> out;
  state.ForEach<RouterSlotRecord>([&](const RouterBook::SlotPtr& slot) {
    const auto router = state.Find<RouterRecord>(slot->router);
    if (router == nullptr || router->decommissioned) return true;
    for (const RouterVersion& version : slot->versions) {
      const RollKey* const key = slot->roll.Find(version.version);
      if (version.imported.empty() || key == nullptr || key->compromised || key->state > RouterKeyState::kActive)
        continue;
      const auto certificate = x509::ParseCertificate(version.imported);
      if (!certificate.ok()) continue;
      const UnixNanos end = NanosOf(certificate->not_after);
      out.push_back({.kind = std::string(kImportedCertificate),
                     .id = fmt::format("{}/{}", slot->id(), version.version),
                     .router = slot->router,
                     .asn = slot->asn,
                     .not_after = end,
                     .is_valid = end > now});
    }
    return true;
  });
  return out;
}

std::vector<SigningPlace> SigningPlaces(const Snapshot& state, UnixNanos now) {
  std::vector<SigningPlace> out;
  state.ForEach<RouterSlotRecord>([&](const RouterBook::SlotPtr& slot) {
    const RollKey* const active = slot->roll.Active();
    const RouterVersion* const version = active == nullptr ? nullptr : slot->Find(active->version);
    const auto router = state.Find<RouterRecord>(slot->router);
    if (version == nullptr || router == nullptr || router->decommissioned) return true;
    SigningPlace& place = out.emplace_back(SigningPlace{.router = slot->router, .asn = slot->asn});
    if (const auto imported = x509::ParseCertificate(version->imported); !version->imported.empty() && imported.ok())
      place.covered = NanosOf(imported->not_after) > now;
    const auto own = RpkiAuthority::CertificatesOf(state, version->spki, slot->asn);
    place.covered = place.covered || std::any_of(own.begin(), own.end(), [&](const auto& one) {
                      return one->state == CertificateState::kPublished && one->not_after > now;
                    });
    return true;
  });
  return out;
}

}  // namespace virp::keymgr
