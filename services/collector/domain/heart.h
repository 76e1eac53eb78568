// Beats every ten seconds and at once when a connection comes or goes, as the collector's own source.
#pragma once

#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "lib/deliver/outbox.h"
#include "services/collector/domain/liveness.h"

namespace virp::collector {

inline constexpr std::chrono::seconds kBeatInterval{10};

// Not thread-safe: one task calls Tick several times a second.
class Heart {
 public:
  Heart(std::string own_source, deliver::Outbox& outbox, Liveness& liveness, const Clock& clock)
      : own_source_(std::move(own_source)), outbox_(outbox), liveness_(liveness), clock_(clock) {}

  // Beats when it is time, durably. Errors of Outbox::Emit; the next Tick tries again.
  absl::Status Tick();

 private:
  const std::string own_source_;
  deliver::Outbox& outbox_;
  Liveness& liveness_;
  const Clock& clock_;
  std::chrono::steady_clock::time_point next_{};
  bool owed_ = true;
};

}  // namespace virp::collector
