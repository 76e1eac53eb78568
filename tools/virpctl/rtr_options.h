// What virpctl's commands about RTR caches and the RTR bridge do: as commands.h.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/virpctl/commands.h"
#include "tools/virpctl/rtr_place.h"

namespace virp::virpctl {

struct RtrOptions {
  std::string place;             // as ParseRtrPlace takes it
  RtrAccess access;              //
  std::uint32_t patience = 300;  // seconds for one answer
  bool strict = false;           // as the strictest routers are
  std::string save;              // a file

  std::optional<std::uint16_t> session;  // of `dump`: what changed since this
  std::optional<std::uint32_t> serial;

  std::vector<std::string> routes;  // of `validate`: prefix, AS, prefix, AS...; "-": lines of standard input
};
absl::StatusOr<Exit> RtrDump(const Options& options, const RtrOptions& rtr);
absl::StatusOr<Exit> RtrValidate(const Options& options, const RtrOptions& rtr);

struct RtrMonitorOptions {
  std::array<std::string, 2> places;
  std::array<RtrAccess, 2> access;
  bool once = false;
  std::string interval = "1m", grace = "1h";
  std::vector<std::uint32_t> thresholds{0, 56, 256, 596, 851, 1024, 1706, 3411};  // seconds
  std::string listen;                                                             // HOST:PORT; empty: nowhere
  std::string save;                                                               // file for the differences
  std::uint32_t patience = 300;
};
// Exit::kNo when they differ, of `once`.
absl::StatusOr<Exit> RtrMonitor(const Options& options, const RtrMonitorOptions& monitor);

struct RtrBenchOptions {
  std::string place;
  RtrAccess access;
  std::uint32_t routers = 100;
  std::uint32_t refreshes = 0;  // to wait for
  std::uint32_t patience = 300;
};
absl::StatusOr<Exit> RtrBench(const Options& options, const RtrBenchOptions& bench);

// Of the bridge.
struct RtrBridgeOptions {
  std::string reason, request_id;  // of `refresh`
  std::uint64_t accept = 0;
  std::string accept_set;  // hexadecimal
  std::uint64_t generation = 0;
  bool closed = false;
  std::uint32_t limit = 100;
  std::string save;
  std::string source, router, by;  // of `served`
};
absl::StatusOr<Exit> RtrStatus(const Options& options, const RtrBridgeOptions& bridge);
absl::StatusOr<Exit> RtrSessions(const Options& options, const RtrBridgeOptions& bridge);
absl::StatusOr<Exit> RtrGenerations(const Options& options, const RtrBridgeOptions& bridge);
absl::StatusOr<Exit> RtrGeneration(const Options& options, const RtrBridgeOptions& bridge);
absl::StatusOr<Exit> RtrRefresh(const Options& options, const RtrBridgeOptions& bridge);
absl::StatusOr<Exit> RtrServed(const Options& options, const RtrBridgeOptions& bridge);

}  // namespace virp::virpctl
