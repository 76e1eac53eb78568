#include "services/rtr-bridge/api_part.h"

#include <string>
#include <utility>
#include <vector>

#include "lib/base/status.h"
#include "services/rtr-bridge/break_glass.h"

namespace virp::rtr_bridge {

absl::StatusOr<std::unique_ptr<ApiPart>> ApiPart::Start(const Config& config, const service::Security& security,
                                                        ServingPart& serving, EvidencePart* evidence,
                                                        Recorder& recorder, const Clock& clock) {
  RtrHandlerParts parts{.name = config.evidence.name,
                        .cache = serving.cache(),
                        .board = serving.board(),
                        .routers = serving.routers(),
                        .sessions = serving.log(),
                        .sources = serving.sources(),
                        .clock = clock,
                        .callers = security.callers,
                        .prove = {}};
  if (evidence != nullptr) {
    parts.deliverer = &evidence->deliverer();
    parts.spool = &evidence->outbox().spool();
    parts.prove = [evidence](const std::string& frame) { return evidence->Prove(frame); };
  }
  std::unique_ptr<ApiPart> part(new ApiPart(std::move(parts)));
  service::ServerOptions options;
  options.listen = FormatHostPort(config.listen);
  options.tls = config.tls;
  options.reflection = config.reflection;
  const std::vector<service::ServedService> services{{&part->handler_, "virp.rtr.v1.RtrService"}};
  ASSIGN_OR_RETURN(part->server_, service::ServerRunner::Start(options, security, clock, services));
  ASSIGN_OR_RETURN(part->break_glass_, StartBreakGlass(config.break_glass_socket, recorder, services));
  return part;
}

void ApiPart::Drain(const service::CommonConfig& config) {
  break_glass_.reset();
  handler_.Drain();
  server_->Drain(config.drain_delay, config.drain_grace);
}

}  // namespace virp::rtr_bridge
