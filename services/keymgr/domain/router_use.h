// Which certificates of routers somebody needs: what their slots say of the keys.
#pragma once

#include <vector>

#include "services/keymgr/domain/expiry_watch.h"
#include "services/keymgr/domain/rpki_record.h"
#include "services/keymgr/domain/snapshot.h"

namespace virp::keymgr {

// False when the certificate's key is on its way out (in twilight or behind it), is compromised, or its router is
// decommissioned. True when no slot knows the certificate.
bool IsInUse(const Snapshot& state, const RouterCertificateRecord& certificate);

// Slots with an active key, for ExpiryWatch.
std::vector<SigningPlace> SigningPlaces(const Snapshot& state, UnixNanos now);

// Certificates of outside authorities whose keys are in use or to be, for ExpiryWatch.
std::vector<ExpiringCertificate> ImportedCertificates(const Snapshot& state, UnixNanos now);

}  // namespace virp::keymgr
