// What virpctl's commands about the roll of many routers' keys do: as commands.h.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "tools/virpctl/commands.h"

namespace virp::virpctl {

struct FleetOptions {
  std::string id;
  std::string prefix;                      // of routers' ids
  std::uint32_t asn = 0, concurrency = 0;  // 0: all; the default
  std::string state;                       // running, paused, stopped
  std::string reason, request_id;          // of changes
  bool yes = false;
};

absl::StatusOr<Exit> FleetRoll(const Options& options, const FleetOptions& fleet);
absl::StatusOr<Exit> FleetSet(const Options& options, const FleetOptions& fleet);
absl::StatusOr<Exit> FleetList(const Options& options, const FleetOptions& fleet);
// Until it is over: with a progress bar at a terminal, a line of JSON for each change with --output json.
absl::StatusOr<Exit> FleetWatch(const Options& options, const FleetOptions& fleet);

}  // namespace virp::virpctl
