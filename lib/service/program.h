// What the mains of our services have in common. A main reads its configuration, makes its objects on the stack and
// runs; everything else about being a process is here.
#pragma once

#include <functional>
#include <iostream>
#include <memory>
#include <ostream>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "lib/base/status.h"
#include "lib/service/admin.h"
#include "lib/service/common_options.h"
#include "lib/service/config.h"
#include "lib/service/logging.h"
#include "lib/service/metrics.h"
#include "lib/service/run.h"
#include "lib/service/server.h"

namespace virp::service {

// The log as the options want it. `service` is what lines call us: "onode".
inline void SetUpLogging(std::string service, const CommonConfig& config) {
  LogOptions options;
  options.service = std::move(service);
  options.level = config.log_level;
  options.format = config.log_format;
  SetUpLogging(std::move(options));
}

// The admin port as the options want it. Metrics that could not be registered are an error here, before anything is
// served.
inline absl::StatusOr<std::unique_ptr<PageServer>> StartAdmin(const CommonConfig& config, Metrics& metrics,
                                                              Readiness& readiness) {
  RETURN_IF_ERROR(metrics.status());
  PageServerOptions options;
  options.listen = config.admin_listen;
  return StartAdminServer(options, metrics, readiness);
}

// What every service reads again on SIGHUP: its key folders, its limits, the deny file, in this order.
// docs/operations/configuration.md, "Signals".
inline void ReloadOnHangup(Runner& runner, std::function<absl::Status()> keys, std::function<absl::Status()> limits,
                           ServerRunner& server) {
  runner.OnReload("keys", std::move(keys));
  runner.OnReload("limits", std::move(limits));
  runner.OnReload("deny-file", [&server] { return server.ReloadDenyList(); });
}

// A service's whole main. Exit status 2 for a wrong configuration, 1 when it could not start or a task failed, 0 after
// a drain, or when the options asked for nothing more (--help, --check-config).
//   read: absl::StatusOr<Options::Next>(int argc, const char* const* argv, std::ostream& out, Config&)
//   run:  absl::StatusOr<int>(const Config&), the exit status
template <typename Config, typename Read, typename Run>
int RunProgram(const char* name, int argc, const char* const* argv, const Read& read, const Run& run) {
  BlockSignals();  // before anything makes a thread
  RaiseDescriptorLimit();
  Config config;
  const absl::StatusOr<Options::Next> next = read(argc, argv, std::cout, config);
  if (!next.ok()) return std::cerr << name << ": " << Message(next.status()) << "\n", 2;
  if (*next == Options::Next::kExit) return 0;
  const absl::StatusOr<int> status = run(std::as_const(config));
  if (!status.ok()) return std::cerr << name << ": " << Message(status.status()) << "\n", 1;
  return *status;
}

}  // namespace virp::service
