#include "services/rtr-bridge/transport/access.h"

namespace virp::rtr_bridge {

std::vector<service::MethodRule> AccessTable() {
  using service::Role;
  const service::RoleSet readers{Role::kReader, Role::kOperator};
  const service::RoleSet watchers{Role::kReader, Role::kOperator, Role::kRtrBridge};
  return {{"/virp.rtr.v1.RtrService/GetStatus", readers},       {"/virp.rtr.v1.RtrService/ListVrps", readers},
          {"/virp.rtr.v1.RtrService/ListRouterKeys", readers},  {"/virp.rtr.v1.RtrService/ListAspas", readers},
          {"/virp.rtr.v1.RtrService/ValidateRoute", readers},   {"/virp.rtr.v1.RtrService/ValidateRoutes", readers},
          {"/virp.rtr.v1.RtrService/ListSessions", readers},    {"/virp.rtr.v1.RtrService/Refresh", {Role::kOperator}},
          {"/virp.rtr.v1.RtrService/ListGenerations", readers}, {"/virp.rtr.v1.RtrService/GetGeneration", readers},
          {"/virp.rtr.v1.RtrService/WatchPayloads", watchers}};
}

std::vector<std::string> BreakGlassMethods() {
  return {"/virp.rtr.v1.RtrService/GetStatus", "/virp.rtr.v1.RtrService/ListSessions",
          "/virp.rtr.v1.RtrService/Refresh"};
}

}  // namespace virp::rtr_bridge
