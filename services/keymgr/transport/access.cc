#include "services/keymgr/transport/access.h"

#include <utility>

#include "services/keymgr/transport/observation_handler.h"
#include "services/keymgr/transport/router_key_handler.h"
#include "services/keymgr/transport/rpki_handler.h"
#include "services/keymgr/transport/tcp_ao_handler.h"

namespace virp::keymgr {

using service::MethodRule;
using service::Role;

std::vector<MethodRule> AccessTable() {
  const service::RoleSet readers{Role::kReader, Role::kOperator, Role::kApprover};
  const service::RoleSet operators{Role::kOperator};
  std::vector<MethodRule> rows;
  const auto add = [&rows](std::string_view service, std::initializer_list<std::string_view> methods,
                           const service::RoleSet& roles) {
    for (const std::string_view method : methods)
      rows.push_back({"/" + std::string(service) + "/" + std::string(method), roles});
  };
  add("virp.keymgr.v1.KeyAdminService", {"GetStatus", "ListAuditRecords", "ListExpiring"}, readers);
  add("virp.keymgr.v1.KeyAdminService", {"Seal", "Unseal", "RotateKek", "AcceptRollback"}, operators);
  for (MethodRule& row : ObservationAccess()) rows.push_back(std::move(row));
  for (MethodRule& row : RouterKeyAccess()) rows.push_back(std::move(row));
  for (MethodRule& row : RpkiAccess()) rows.push_back(std::move(row));
  for (service::MethodRule& row : TcpAoAccess()) rows.push_back(std::move(row));
  return rows;
}

std::vector<std::string> BreakGlassMethods() {
  return {"/virp.keymgr.v1.KeyAdminService/GetStatus", "/virp.keymgr.v1.KeyAdminService/Seal"};
}

}  // namespace virp::keymgr
