// Options of how router keys come and go; docs/operations/router-keys.md explains each in its place.
#pragma once

#include <chrono>

#include "lib/service/config.h"
#include "services/keymgr/domain/router_plan.h"

namespace virp::keymgr {

struct RouterConfig {
  std::chrono::seconds staging{std::chrono::hours(24)};
  std::chrono::seconds propagation{std::chrono::hours(24)};
  std::chrono::seconds destroy_after{std::chrono::hours(24 * 7)};
  RouterKeyOptions keys;  // what needs no other form
};

void AddRouterOptions(service::Options& options, RouterConfig& config);
// Once all were read.
RouterKeyOptions RouterKeyOptionsOf(const RouterConfig& config);

}  // namespace virp::keymgr
