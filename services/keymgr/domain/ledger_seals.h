// What may be changed in spite of which seals. Part of the ledger engine.
#pragma once

#include <cstdint>
#include <set>

#include "absl/status/status.h"
#include "services/keymgr/domain/ledger_engine.h"

namespace virp::keymgr {

// What an Edit may be done in spite of.
enum class InSpiteOf : std::uint8_t { kNothing, kSeals, kRollback };

bool IsAllowed(InSpiteOf in_spite_of, const std::set<SealReason>& sealed);

// FailedPrecondition with reason SEALED and, as `why`, the weightiest of the reasons, of which there is one at least.
absl::Status SealedStatus(const std::set<SealReason>& reasons);

}  // namespace virp::keymgr
