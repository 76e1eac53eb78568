// Whether somebody needs the certificate of a router: what its slot says of the key.
#pragma once

#include "services/keymgr/domain/rpki_record.h"
#include "services/keymgr/domain/snapshot.h"

namespace virp::keymgr {

// False when the certificate's key is on its way out (in twilight or behind it), is compromised, or its router is
// decommissioned. True when no slot knows the certificate.
bool IsInUse(const Snapshot& state, const RouterCertificateRecord& certificate);

}  // namespace virp::keymgr
