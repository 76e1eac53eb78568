#include "services/rtr-bridge/break_glass.h"

#include "lib/chain/break_glass.h"
#include "services/rtr-bridge/transport/access.h"

namespace virp::rtr_bridge {

absl::StatusOr<std::unique_ptr<service::BreakGlassServer>> StartBreakGlass(
    const std::string& socket, Recorder& recorder, const std::vector<service::ServedService>& services) {
  const auto record = [&recorder](const service::BreakGlassUse& use) -> absl::Status {
    deliver::Observation observation;
    observation.type = frame::Type::kActionOutcome;
    observation.tier = frame::Tier::kYellow;
    observation.payload = chain::BuildBreakGlass({use.method, use.peer.uid, static_cast<std::uint64_t>(use.peer.pid)});
    const absl::Status recorded = recorder.Record(observation).status();
    return absl::IsResourceExhausted(recorded) ? absl::OkStatus() : recorded;
  };
  return service::StartBreakGlass(socket, BreakGlassMethods(), services, record);
}

}  // namespace virp::rtr_bridge
