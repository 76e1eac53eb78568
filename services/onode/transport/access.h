// Who may call what on an O-Node (docs/operations/identity-and-access.md).
#pragma once

#include <string>
#include <vector>

#include "lib/service/authorization.h"

namespace virp::onode {

// One row for every method of the five services.
std::vector<service::MethodRule> AccessTable();

// Methods of the break-glass socket: status, alarms.
std::vector<std::string> BreakGlassMethods();

}  // namespace virp::onode
