// Who may call what of the key manager: one table for all its services.
#pragma once

#include <string>
#include <vector>

#include "lib/service/authorization.h"

namespace virp::keymgr {

std::vector<service::MethodRule> AccessTable();

// What may be called by the root-only socket when certificates have lapsed.
std::vector<std::string> BreakGlassMethods();

}  // namespace virp::keymgr
