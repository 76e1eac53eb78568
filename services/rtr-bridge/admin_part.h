// The admin port: metrics, and whether the bridge is ready. Composition only.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "lib/service/admin.h"
#include "lib/service/metrics.h"
#include "lib/service/refusal_log.h"
#include "services/rtr-bridge/api_part.h"
#include "services/rtr-bridge/http_part.h"

namespace virp::rtr_bridge {

class AdminPart {
 public:
  // `api` and `evidence` are null in a bridge that has none. All that is given outlives it.
  static absl::StatusOr<std::unique_ptr<AdminPart>> Start(const service::CommonConfig& config, ServingPart& serving,
                                                          ApiPart* api, const HttpPart& http, EvidencePart* evidence,
                                                          const service::RefusalLog& refusals, const Clock& clock);

  void SetDraining() { readiness_.SetDraining(); }
  std::uint16_t port() const { return server_->port(); }

 private:
  service::Metrics metrics_{"rtr_bridge"};
  service::Readiness readiness_;
  std::unique_ptr<service::PageServer> server_;
};

}  // namespace virp::rtr_bridge
