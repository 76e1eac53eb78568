// Audit records as the chain gets them: the payload of a frame of type 19 (docs/formats/key-records.md).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "services/keymgr/domain/ledger.h"

namespace virp::keymgr {

inline constexpr std::size_t kMaxAuditKeys = 64;

// InvalidArgument names the limit that is broken (ledger.h says which).
absl::Status CheckCall(const Call& call);

// The payload of record number `record`. `own` is the manager's source name. InvalidArgument when event, source, keys
// or fields break their limits, a field has the name of a member that is not its own, or the whole does not fit a
// frame.
absl::StatusOr<std::string> BuildAuditPayload(std::string_view own, std::uint64_t record, const Call& call,
                                              const AuditRecord& audit);

}  // namespace virp::keymgr
