// What a running O-Node does beside answering: keys read again, chains that other replicas opened, metrics, the way in
// when certificates have lapsed.
#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/frame/key_directory.h"
#include "lib/service/break_glass.h"
#include "lib/service/metrics.h"
#include "lib/service/server.h"
#include "services/onode/domain/node.h"
#include "services/onode/transport/ingest_handler.h"

namespace virp::onode {

// Once a second until stopped.
absl::Status KeepHouse(const std::stop_token& stop, Node& node, frame::KeyDirectory& keys);

// docs/metrics.md, "O-Node". Everything given outlives the metrics.
void AddMetrics(service::Metrics& metrics, Node& node, const Clock& clock);
void AddIngestMetrics(service::Metrics& metrics, const IngestHandler& ingest);

// Null when `socket` is empty. Every use is an entry of each chain that this O-Node leads, and a line of the log.
absl::StatusOr<std::unique_ptr<service::BreakGlassServer>> StartBreakGlass(
    const std::string& socket, Node& node, const std::vector<service::ServedService>& services);

}  // namespace virp::onode
