#include "services/rtr-bridge/serving_part.h"

#include <utility>
#include <vector>

#include "lib/base/status.h"
#include "lib/crypto/random.h"
#include "lib/service/logging.h"

namespace virp::rtr_bridge {
namespace {

std::uint16_t RandomSession() {
  return LoadBe<std::uint16_t>(crypto::RandomBytes(2).data());
}

SourceTable TableOf(const Config& config) {
  std::vector<SourceState> sources;
  for (const SourceOptions& source : config.sources) {
    SourceState& state = sources.emplace_back();
    state.name = source.name;
    state.location = source.location;
    state.expire = source.expire;
  }
  return {std::move(sources), config.merge};
}

FeedChannels ChannelsOf(const Config& config, const service::Security& security) {
  if (!config.serves_grpc()) return {};
  return {.key_manager = service::ChannelsTo(service::Role::kKeymgr, config.tls, config.access, security),
          .bridge = service::ChannelsTo(service::Role::kRtrBridge, config.tls, config.access, security)};
}

}  // namespace

absl::StatusOr<std::unique_ptr<ServingPart>> ServingPart::Make(const Config& config, const Witness& witness,
                                                               Recorder& recorder, const service::Security& security,
                                                               const Clock& clock) {
  std::unique_ptr<ServingPart> part(new ServingPart(config, witness, clock));
  ASSIGN_OR_RETURN(part->state_, StateDirectory::Open(config.state));
  ASSIGN_OR_RETURN(part->routers_, RouterServer::Start(config.routers, part->log_, clock));
  part->MakeCache(witness, recorder, clock);
  part->Restore();
  ASSIGN_OR_RETURN(part->sources_, SourceRunner::Make(config.sources, {.paths = config.slurm},
                                                      ChannelsOf(config, security), *part->cache_, clock));
  return part;
}

ServingPart::~ServingPart() {
  if (routers_ != nullptr) routers_->Stop();
}

void ServingPart::MakeCache(const Witness& witness, Recorder& recorder, const Clock& clock) {
  CacheOptions options = config_.cache;
  options.history.owner = config_.keeps_evidence() ? config_.evidence.name : state_->Place();
  const auto on_snapshot = [this](const std::shared_ptr<const rtr::Snapshot>& snapshot, const Generation& generation) {
    routers_->Publish(snapshot);
    if (snapshot == nullptr) return board_.Clear();
    board_.Publish(snapshot, generation);
    service::LogInfo(
        "a generation is served",
        {{"generation", generation.number}, {"announced", generation.announced}, {"withdrawn", generation.withdrawn}});
  };
  const auto on_renewal = [this](const std::shared_ptr<const rtr::Snapshot>& snapshot, const Generation& generation,
                                 const std::shared_ptr<const vrp::Payloads>& payloads) {
    board_.Renew(snapshot, generation, payloads);
  };
  cache_ = std::make_unique<Cache>(std::move(options), TableOf(config_), !config_.slurm.empty(), RandomSession, witness,
                                   recorder, *state_, clock, on_snapshot, on_renewal);
}

// What was served before this start. A state that does not do is no reason not to serve: sessions then begin anew.
void ServingPart::Restore() {
  const auto state = state_->Read();
  if (state.ok() && state->empty()) return;
  const absl::Status restored = state.ok() ? cache_->Restore(*state) : state.status();
  if (restored.ok()) return;
  service::LogStatus(service::LogLevel::kWarning, "the state of the last run is not used: routers will reload",
                     restored);
}

}  // namespace virp::rtr_bridge
