// docs/metrics.md, "RTR bridge".
#pragma once

#include "lib/keys/key_supply.h"
#include "lib/service/http_server.h"
#include "lib/service/metrics.h"
#include "lib/service/refusal_log.h"
#include "services/rtr-bridge/domain/board.h"
#include "services/rtr-bridge/domain/cache.h"
#include "services/rtr-bridge/domain/recorder.h"
#include "services/rtr-bridge/transport/router_server.h"
#include "services/rtr-bridge/transport/source_runner.h"

namespace virp::rtr_bridge {

// What metrics are read from; all of it outlives them. What may be null is a part that this bridge runs without.
struct MetricParts {
  const Cache& cache;
  const RouterServer& routers;
  const SourceRunner& sources;
  const Clock& clock;
  const service::HttpServer* http = nullptr;
  const OutboxRecorder* recorder = nullptr;  // with `keys`: evidence
  const keys::KeySupply* keys = nullptr;
  const service::RefusalLog* refusals = nullptr;  // of gRPC
  const service::ServerRunner* server = nullptr;
};
void AddMetrics(service::Metrics& metrics, const MetricParts& parts);

// What StayRTR tells, by its names, where it is the same here.
void AddStayRtrMetrics(service::Metrics& metrics, const MetricParts& parts);

}  // namespace virp::rtr_bridge
