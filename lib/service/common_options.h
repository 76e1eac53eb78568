// The options that every service has.
#pragma once

#include <chrono>

#include "lib/base/units.h"
#include "lib/service/config.h"
#include "lib/service/logging.h"

namespace virp::service {

struct CommonConfig {
  LogLevel log_level = LogLevel::kInfo;
  LogFormat log_format = LogFormat::kText;
  HostPort admin_listen{"127.0.0.1", 0};     // each service has its own default port
  std::chrono::milliseconds drain_delay{0};  // from not ready to the closed door; a few seconds behind a load balancer
  std::chrono::milliseconds drain_grace{10'000};
};

inline void AddCommonOptions(Options& options, CommonConfig* config) {
  options.AddCustom("log-level", "LEVEL", "Log what is at least: debug, info, warning, error; or off.", "info",
                    [config](const std::string& text, ValueOrigin) -> absl::Status {
                      ASSIGN_OR_RETURN(config->log_level, ParseLogLevel(text));
                      return absl::OkStatus();
                    });
  options.AddCustom("log-format", "FORMAT", "Log lines as text or json.", "text",
                    [config](const std::string& text, ValueOrigin) -> absl::Status {
                      ASSIGN_OR_RETURN(config->log_format, ParseLogFormat(text));
                      return absl::OkStatus();
                    });
  options.Add(&config->admin_listen, "admin-listen", "Where /metrics, /livez and /readyz are served, in plain HTTP.");
  options.Add(&config->drain_delay, "drain-delay", "At SIGTERM, be not ready for this long before the door closes.");
  options.Add(&config->drain_grace, "drain-grace", "How long calls that run may take to end after that.");
}

}  // namespace virp::service
