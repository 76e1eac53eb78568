// The bridge's way in when the PKI has lapsed (lib/service/break_glass.h).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/service/break_glass.h"
#include "services/rtr-bridge/domain/evidence.h"

namespace virp::rtr_bridge {

// Null when `socket` is empty. Each use is logged and recorded (type 21) before it runs; without room for the record
// the log stands for it, since a full spool is what lapsed certificates lead to. `recorder` outlives the server.
absl::StatusOr<std::unique_ptr<service::BreakGlassServer>> StartBreakGlass(
    const std::string& socket, Recorder& recorder, const std::vector<service::ServedService>& services);

}  // namespace virp::rtr_bridge
