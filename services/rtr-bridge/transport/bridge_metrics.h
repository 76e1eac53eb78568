// docs/metrics.md, "RTR bridge".
#pragma once

#include "lib/service/metrics.h"
#include "services/rtr-bridge/domain/board.h"
#include "services/rtr-bridge/domain/cache.h"
#include "services/rtr-bridge/domain/recorder.h"
#include "services/rtr-bridge/transport/router_server.h"
#include "services/rtr-bridge/transport/source_runner.h"

namespace virp::rtr_bridge {

// What is given outlives the metrics; `recorder` may be null.
void AddMetrics(service::Metrics& metrics, const Cache& cache, const RouterServer& routers, const SourceRunner& sources,
                const OutboxRecorder* recorder, const Clock& clock);

}  // namespace virp::rtr_bridge
