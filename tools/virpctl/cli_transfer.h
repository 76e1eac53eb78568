// Parts of `keys router` that cli_router_keys.cc puts in.
#pragma once

#include "tools/virpctl/cli.h"

namespace virp::virpctl {

void AddTransfers(CLI::App& router, State& state);
void AddFleets(CLI::App& router, State& state);

}  // namespace virp::virpctl
