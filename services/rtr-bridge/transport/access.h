// Who may call what on an RTR bridge (docs/operations/identity-and-access.md).
#pragma once

#include <string>
#include <vector>

#include "lib/service/authorization.h"

namespace virp::rtr_bridge {

std::vector<service::MethodRule> AccessTable();

// Methods of the break-glass socket: status, and the acceptance of a generation that is held.
std::vector<std::string> BreakGlassMethods();

}  // namespace virp::rtr_bridge
