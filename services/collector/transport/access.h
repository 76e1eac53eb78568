// Who may call what on a collector (docs/operations/identity-and-access.md).
#pragma once

#include <vector>

#include "lib/service/authorization.h"

namespace virp::collector {

std::vector<service::MethodRule> AccessTable();

}  // namespace virp::collector
