#include "services/rtr-bridge/admin_part.h"

#include "lib/base/status.h"
#include "lib/service/program.h"
#include "services/rtr-bridge/transport/bridge_metrics.h"

namespace virp::rtr_bridge {

absl::StatusOr<std::unique_ptr<AdminPart>> AdminPart::Start(const service::CommonConfig& config, ServingPart& serving,
                                                            ApiPart* api, const HttpPart& http, EvidencePart* evidence,
                                                            const service::RefusalLog& refusals, const Clock& clock) {
  auto part = std::make_unique<AdminPart>();
  part->readiness_.Add("data", [&serving] {
    return serving.board().view() != nullptr ? absl::OkStatus() : Unavailable("nothing is loaded yet");
  });
  MetricParts measured{.cache = serving.cache(),
                       .routers = serving.routers(),
                       .sources = serving.sources(),
                       .clock = clock,
                       .http = http.server()};
  if (evidence != nullptr) {
    measured.recorder = &evidence->recorder();
    measured.keys = &evidence->supply();
  }
  if (api != nullptr) {
    measured.refusals = &refusals;
    measured.server = &api->server();
    part->readiness_.Add("certificates", [api] { return api->server().Ready(); });
  }
  AddMetrics(part->metrics_, measured);
  ASSIGN_OR_RETURN(part->server_, service::StartAdmin(config, part->metrics_, part->readiness_));
  return part;
}

}  // namespace virp::rtr_bridge
