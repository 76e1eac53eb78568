// A machine-readable reason on a status, beside its code and message: one UPPER_SNAKE_CASE word that a program can
// dispatch on, and that the gRPC layer puts into google.rpc.ErrorInfo. Kept by Annotate(). Thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace virp {

// Puts `reason` on a failed status, in place of one that is there. An OK status stays as it is.
void SetReason(absl::Status& status, std::string_view reason);

inline absl::Status WithReason(absl::Status status, std::string_view reason) {
  SetReason(status, reason);
  return status;
}

// The reason, or an empty string when there is none.
std::string GetReason(const absl::Status& status);

}  // namespace virp
