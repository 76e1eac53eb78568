// Commands that make, move or end keys say first what they are about to do, and do it when somebody agreed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace virp::virpctl {

// Writes `title` and the steps, numbered, to standard error. OK at once with `agreed` (--yes); else asks whoever sits
// at the terminal. FailedPrecondition when they say anything but yes, or nobody sits there.
absl::Status Announce(bool agreed, std::string_view title, const std::vector<std::string>& steps);

}  // namespace virp::virpctl
