// virp-rtr-bridge: composition root.
#include <malloc.h>

#include "lib/base/status.h"
#include "lib/service/logging.h"
#include "lib/service/program.h"
#include "lib/service/refusal_log.h"
#include "lib/service/run.h"
#include "services/rtr-bridge/admin_part.h"
#include "services/rtr-bridge/api_part.h"
#include "services/rtr-bridge/config.h"
#include "services/rtr-bridge/evidence_part.h"
#include "services/rtr-bridge/house.h"
#include "services/rtr-bridge/http_part.h"
#include "services/rtr-bridge/serving_part.h"
#include "services/rtr-bridge/transport/access.h"

namespace virp::rtr_bridge {
namespace {

// The parts in the order in which they are made: each uses those above it, so the last one goes first.
class Bridge {
 public:
  explicit Bridge(const Config& config) : config_(config), witness_(config.evidence.name) {}

  absl::Status Start() {
    RETURN_IF_ERROR(StartEvidence());
    Recorder& recorder = evidence_ != nullptr ? static_cast<Recorder&>(evidence_->recorder()) : no_recorder_;
    ASSIGN_OR_RETURN(serving_, ServingPart::Make(config_, witness_, recorder, security_, clock_));
    if (config_.serves_grpc()) {
      ASSIGN_OR_RETURN(api_, ApiPart::Start(config_, security_, *serving_, evidence_.get(), recorder, clock_));
    }
    ASSIGN_OR_RETURN(http_, HttpPart::Start(config_.http, config_.evidence.name, serving_->board(), serving_->cache(),
                                            evidence_ != nullptr ? &evidence_->supply().keys() : nullptr, clock_));
    ASSIGN_OR_RETURN(
        admin_, AdminPart::Start(config_.common, *serving_, api_.get(), *http_, evidence_.get(), refusals_, clock_));
    return absl::OkStatus();
  }
  absl::StatusOr<int> Serve();

 private:
  absl::Status StartEvidence();
  void OnReload();
  void OnDrain();
  void LogServing();

  const Config& config_;
  const SystemClock clock_;
  service::RefusalLog refusals_{clock_};
  const Witness witness_;
  service::Security security_;
  NoRecorder no_recorder_;
  std::unique_ptr<EvidencePart> evidence_;  // null: it keeps none
  std::unique_ptr<ServingPart> serving_;
  std::unique_ptr<ApiPart> api_;  // null: there is no certificate
  std::unique_ptr<HttpPart> http_;
  std::unique_ptr<AdminPart> admin_;
  Pulse pulse_{"the house", clock_};
  service::Runner runner_;
};

absl::Status Bridge::StartEvidence() {
  if (config_.serves_grpc()) {
    ASSIGN_OR_RETURN(security_, service::LoadSecurity(config_.access, AccessTable(), config_.reflection, clock_,
                                                      refusals_.OnRefusal(), refusals_.OnDenyListChanged()));
  }
  if (!config_.keeps_evidence()) {
    service::LogWarning("no name is given: this bridge keeps no evidence of what it serves");
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(evidence_, EvidencePart::Make(config_, witness_, security_, clock_));
  return absl::OkStatus();
}

void Bridge::OnReload() {
  // This thread feeds the watchdog: it does not wait for other people's servers.
  runner_.OnReload("sources", [this] {
    serving_->sources().RefreshAll(std::chrono::milliseconds(0));
    return absl::OkStatus();
  });
  runner_.OnReload("routers' keys", [this] { return serving_->routers().Reload(); });
  if (evidence_ != nullptr) runner_.OnReload("keys", [this] { return evidence_->supply().files().Refresh(); });
}

void Bridge::OnDrain() {
  runner_.OnDrain("readiness", [this] { admin_->SetDraining(); });
  runner_.OnDrain("sources", [this] { serving_->sources().Stop(); });
  runner_.OnDrain("http", [this] { http_->Drain(); });
  runner_.OnDrain("routers", [this] {
    serving_->routers().Drain(config_.for_good ? rtr::ErrorCode::kCacheShutdown : rtr::ErrorCode::kCacheRestart,
                              config_.drain_patience);
  });
  runner_.OnDrain("server", [this] {
    if (api_ != nullptr) api_->Drain(config_.common);
  });
  runner_.OnDrain("evidence", [this] {
    serving_->routers().Stop();
    runner_.tasks().Stop();  // the house: what time does to the served set is on record before the last record
    if (evidence_ != nullptr) evidence_->Drain(serving_->log(), config_.common.drain_grace);
  });
}

absl::StatusOr<int> Bridge::Serve() {
  OnReload();
  OnDrain();
  runner_.OnWatchdog([this]() -> absl::Status {
    RETURN_IF_ERROR(serving_->routers().CheckAlive());
    if (evidence_ != nullptr) RETURN_IF_ERROR(evidence_->CheckAlive());
    return CheckPulses({&pulse_});
  });
  runner_.tasks().Start("house", [this](const std::stop_token& stop) {
    return KeepHouse(stop, serving_->cache(), serving_->log(), evidence_.get(), *http_, pulse_);
  });
  if (evidence_ != nullptr) evidence_->Start();
  serving_->StartSources();
  if (api_ != nullptr) api_->server().SetServing(true);
  LogServing();
  return runner_.Run();
}

void Bridge::LogServing() {
  std::vector<std::string> listeners;
  for (const RouterServer::Bound& listener : serving_->routers().listeners()) listeners.push_back(listener.address);
  service::LogInfo("serving", {{"routers", fmt::format("{}", fmt::join(listeners, " "))},
                               {"address", api_ != nullptr ? api_->server().address() : "none"},
                               {"http", http_->address()},
                               {"admin_port", admin_->port()}});
}

absl::StatusOr<int> Run(const Config& config) {
  // A set of 600,000 VRPs takes 13 MB, and each generation is a new one. What goes back to the kernel in between costs
  // a page fault for every 4 KiB when it is wanted again.
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 64 << 20);
  service::SetUpLogging("rtr-bridge", config.common);
  Bridge bridge(config);
  RETURN_IF_ERROR(bridge.Start());
  return bridge.Serve();
}

}  // namespace
}  // namespace virp::rtr_bridge

int main(int argc, char** argv) {
  return virp::service::RunProgram<virp::rtr_bridge::Config>("virp-rtr-bridge", argc, argv,
                                                             virp::rtr_bridge::ReadConfig, virp::rtr_bridge::Run);
}
