// What the bridge does ten times a second: time passes for the cache and its exports, records are signed, and what is
// wrong is said once.
#pragma once

#include <stop_token>

#include "absl/status/status.h"
#include "lib/base/pulse.h"
#include "services/rtr-bridge/evidence_part.h"
#include "services/rtr-bridge/http_part.h"

namespace virp::rtr_bridge {

// Until `stop`, then OK. `evidence` is null in a bridge that keeps none: what sessions tell is then forgotten.
absl::Status KeepHouse(const std::stop_token& stop, Cache& cache, SessionLog& log, EvidencePart* evidence,
                       HttpPart& http, Pulse& pulse);

}  // namespace virp::rtr_bridge
