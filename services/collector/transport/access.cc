#include "services/collector/transport/access.h"

namespace virp::collector {

std::vector<service::MethodRule> AccessTable() {
  using service::Role;
  // What a producer may hand in is bound in the sources file, by identity.
  return {{"/virp.collector.v1.CollectorService/Submit", {Role::kProducer}},
          {"/virp.collector.v1.CollectorService/GetStatus", {Role::kOperator}},
          {"/virp.collector.v1.CollectorService/ListProducers", {Role::kOperator}},
          {"/virp.collector.v1.CollectorService/ListBmpPeers", {Role::kOperator}}};
}

std::vector<std::string> BreakGlassMethods() {
  return {"/virp.collector.v1.CollectorService/GetStatus", "/virp.collector.v1.CollectorService/ListProducers",
          "/virp.collector.v1.CollectorService/ListBmpPeers"};
}

}  // namespace virp::collector
