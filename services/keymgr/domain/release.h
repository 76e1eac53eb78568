// The one way of private bytes out of the manager: the record is committed first, with the lock where the policy has
// one, and only then are they let out. A crash in between loses an export; none happens twice.
#pragma once

#include <functional>

#include "absl/status/statusor.h"
#include "lib/crypto/secret.h"
#include "services/keymgr/domain/custody.h"
#include "services/keymgr/domain/ledger.h"

namespace virp::keymgr {

enum class ReleaseTo : std::uint8_t {
  kOwner = 1,   // whom the key is for
  kEscrow = 2,  // into escrow, or out of it to a replacement
};

struct Release {
  KeyIdentity key;
  ReleaseTo to = ReleaseTo::kOwner;
  AuditRecord audit;  // `keys` gets `key` when it is empty
  // What else must hold when the record is committed, over the newest state; may put changes of its own, and leaves no
  // audit record. May be null.
  Edit also;
};

struct Released {
  crypto::Secret secret;  // in the form of Custody::Import
  Receipt receipt;
};

// Errors besides those of Ledger::Commit, Custodies::Of and Custody::Export:
//   NotFound          there is no such key
//   PermissionDenied  reason NOT_EXPORTABLE: the policy forbids it, or it was exported already; also for a repeated
//                     request of a kOnce key, whose first answer is gone
absl::StatusOr<Released> ReleaseKey(Ledger& ledger, const Custodies& custodies, const Call& call,
                                    const Release& release);

}  // namespace virp::keymgr
