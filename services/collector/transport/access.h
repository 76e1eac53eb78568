// Who may call what on a collector (docs/operations/identity-and-access.md).
#pragma once

#include <string>
#include <vector>

#include "lib/service/authorization.h"

namespace virp::collector {

std::vector<service::MethodRule> AccessTable();

// Methods of the break-glass socket: status.
std::vector<std::string> BreakGlassMethods();

}  // namespace virp::collector
