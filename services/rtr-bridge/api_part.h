// RtrService with what it needs, in a bridge that has a certificate. Composition only.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "lib/service/break_glass.h"
#include "lib/service/server.h"
#include "services/rtr-bridge/config.h"
#include "services/rtr-bridge/evidence_part.h"
#include "services/rtr-bridge/serving_part.h"
#include "services/rtr-bridge/transport/rtr_handler.h"

namespace virp::rtr_bridge {

class ApiPart {
 public:
  // Nothing is answered before SetServing. `evidence` is null in a bridge that keeps none. All that is given outlives
  // it.
  static absl::StatusOr<std::unique_ptr<ApiPart>> Start(const Config& config, const service::Security& security,
                                                        ServingPart& serving, EvidencePart* evidence,
                                                        Recorder& recorder, const Clock& clock);

  service::ServerRunner& server() { return *server_; }
  void Drain(const service::CommonConfig& config);

 private:
  explicit ApiPart(RtrHandlerParts parts) : handler_(std::move(parts)) {}

  RtrHandler handler_;
  std::unique_ptr<service::ServerRunner> server_;
  std::unique_ptr<service::BreakGlassServer> break_glass_;
};

}  // namespace virp::rtr_bridge
