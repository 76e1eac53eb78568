// What is shown of BMP: the answer of ListBmpPeers, and metrics.
#pragma once

#include "absl/status/status.h"
#include "lib/service/metrics.h"
#include "services/collector/transport/bmp_ingest.h"
#include "virp/collector/v1/collector_service.pb.h"

namespace virp::collector {

// Errors as the RPC's, in collector_service.proto.
absl::Status ListBmpPeers(const BmpIngest& ingest, const v1::ListBmpPeersRequest& request,
                          v1::ListBmpPeersResponse& response);

// docs/metrics.md, "Collector: BMP". `ingest` outlives the metrics.
void AddBmpMetrics(service::Metrics& metrics, const BmpIngest& ingest);

}  // namespace virp::collector
