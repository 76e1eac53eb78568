// What a server's RefusalHook and DenyList::Hook are for: each refused call is counted by its reason, and a few are
// logged.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include "lib/base/clock.h"
#include "lib/service/caller.h"
#include "lib/service/logging.h"
#include "lib/service/metrics.h"
#include "lib/service/server.h"

namespace virp::service {

// Thread-safe. Outlives the server whose hooks it makes. `clock` outlives it.
class RefusalLog {
 public:
  // The reasons that callers, tables and gates give; whatever else comes counts under the last.
  static constexpr std::array<std::string_view, 11> kReasons{
      "NO_CERTIFICATE", "BAD_IDENTITY", "CERTIFICATE_EXPIRED",  "UNKNOWN_IDENTITY",      "IDENTITY_DENIED",
      "METHOD_DENIED",  "SCOPE_DENIED", "TOO_MANY_CONNECTIONS", "TOO_MANY_FROM_ADDRESS", "UNREAD_MESSAGES",
      "OTHER"};

  explicit RefusalLog(const Clock& clock) : limiter_(std::chrono::seconds(10), 20, clock) {}

  RefusalHook OnRefusal();
  // Says when another version of the deny list took effect, or why the file does not do.
  DenyList::Hook OnDenyListChanged();

  // virp_<service>_refused_calls by `reason`, virp_<service>_deny_list_broken, and of `server`, where there is one,
  // which outlives the metrics, virp_<service>_failed_handshakes_total and virp_<service>_certificate_expiry_seconds.
  void AddMetrics(Metrics& metrics, const ServerRunner* server = nullptr) const;

  std::uint64_t count(std::string_view reason) const;

 private:
  void Refused(const Refusal& refusal);
  static std::size_t IndexOf(std::string_view reason);

  LogLimiter limiter_;
  std::array<std::atomic<std::uint64_t>, kReasons.size()> counts_{};
  std::atomic<bool> deny_list_broken_{false};
};

}  // namespace virp::service
