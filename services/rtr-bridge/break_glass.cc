#include "services/rtr-bridge/break_glass.h"

#include <utility>

#include "lib/chain/break_glass.h"
#include "lib/service/logging.h"
#include "services/rtr-bridge/transport/access.h"

namespace virp::rtr_bridge {

absl::StatusOr<std::unique_ptr<service::BreakGlassServer>> StartBreakGlass(
    const std::string& socket, Recorder& recorder, const std::vector<service::ServedService>& services) {
  if (socket.empty()) return nullptr;
  const auto hook = [&recorder](const service::BreakGlassUse& use) -> absl::Status {
    service::LogWarning("break-glass socket used",
                        {{"method", use.method}, {"uid", use.peer.uid}, {"pid", use.peer.pid}});
    if (!use.refused.ok()) return absl::OkStatus();
    deliver::Observation observation;
    observation.type = frame::Type::kActionOutcome;
    observation.tier = frame::Tier::kYellow;
    observation.payload = chain::BuildBreakGlass({use.method, use.peer.uid, static_cast<std::uint64_t>(use.peer.pid)});
    const absl::Status recorded = recorder.Record(observation).status();
    return absl::IsResourceExhausted(recorded) ? absl::OkStatus() : recorded;
  };
  service::BreakGlassOptions options;
  options.socket = socket;
  options.methods = BreakGlassMethods();
  return service::BreakGlassServer::Start(std::move(options), hook, services);
}

}  // namespace virp::rtr_bridge
