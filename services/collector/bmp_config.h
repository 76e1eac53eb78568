// The section "bmp" of the sources file; docs/operations/bmp.md explains each key.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "services/collector/transport/bmp_ingest.h"

namespace virp::collector {

// Reads key files too. InvalidArgument names the place; the rules over several keys are CheckBmpOptions', once the
// collector's own source is known.
absl::Status ParseBmp(const nlohmann::json& section, const std::string& where, BmpIngestOptions& options);

}  // namespace virp::collector
