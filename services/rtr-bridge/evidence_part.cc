#include "services/rtr-bridge/evidence_part.h"

#include <grpcpp/client_context.h>

#include <algorithm>
#include <utility>

#include "lib/base/status.h"
#include "lib/chain/control.h"
#include "lib/service/errors.h"
#include "lib/service/logging.h"
#include "virp/verify/v1/verify_service.grpc.pb.h"

namespace virp::rtr_bridge {
namespace {

constexpr std::size_t kMostFailures = 16;
constexpr std::uint64_t kSnapshotBytes = 16 << 20;
constexpr std::chrono::seconds kProveWithin{5};

absl::StatusOr<deliver::DelivererOptions> DeliveryOf(const Config& config) {
  ASSIGN_OR_RETURN(const service::TlsFilesState files, service::InspectTlsFiles(config.tls));
  deliver::DelivererOptions options;
  options.identity = files.leaf.uri_sans.front();  // InspectTlsFiles: exactly one
  options.origin = config.evidence.origin;
  options.addresses = config.evidence.onodes;
  options.state_directory = config.evidence.spool + "/audit";
  for (const std::string& text : config.evidence.checkpoint_keys) {
    ASSIGN_OR_RETURN(const chain::VerifierKey key, chain::VerifierKey::Parse(text));
    options.verifiers.push_back(key);
  }
  return options;
}

}  // namespace

void AuditFindings::OnRefused(std::string_view source, frame::Reason reason) {
  service::LogWarning("the O-Node refused a record for good",
                      {{"source", source}, {"reason", frame::ReasonName(reason)}});
}

void AuditFindings::OnAuditFailure(std::string_view what) {
  service::LogError("the O-Node's chain does not hold what it acknowledged; nothing is freed from the spool",
                    {{"what", what}});
  const MutexLock lock(mutex_);
  const bool known = std::find(failures_.begin(), failures_.end(), what) != failures_.end();
  if (!known && failures_.size() < kMostFailures) failures_.emplace_back(what);
}

absl::Status AuditFindings::Flush(std::string_view own_source, deliver::Outbox& outbox) {
  const MutexLock lock(mutex_);
  if (failures_.empty()) return absl::OkStatus();
  std::vector<deliver::Observation> observations;
  for (const std::string& what : failures_) {
    chain::Alarm alarm;
    alarm.source = own_source;
    alarm.cause = "AUDIT_FAILED";
    alarm.reason = what;
    deliver::Observation& observation = observations.emplace_back();
    observation.type = frame::Type::kChannelAlarm;
    observation.tier = frame::Tier::kYellow;
    observation.payload = chain::BuildAlarm(alarm);
  }
  RETURN_IF_ERROR(outbox.Emit(own_source, observations).status());
  failures_.clear();
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<EvidencePart>> EvidencePart::Make(const Config& config, const Witness& witness,
                                                                 const service::Security& security,
                                                                 const Clock& clock) {
  const EvidenceConfig& evidence = config.evidence;
  std::unique_ptr<EvidencePart> part(
      new EvidencePart(config, service::ChannelsTo(service::Role::kOnode, config.tls, config.access, security),
                       service::ChannelsTo(service::Role::kKeymgr, config.tls, config.access, security)));
  ASSIGN_OR_RETURN(part->supply_, keys::KeySupply::Open(evidence.keys, evidence.key_supply, clock));
  deliver::SpoolOptions spool;
  spool.directory = evidence.spool + "/frames";
  spool.max_bytes = evidence.spool_limit;
  ASSIGN_OR_RETURN(part->outbox_, deliver::Outbox::Open(spool, part->supply_->keys(), clock, {&part->records_}));
  part->recorder_ = std::make_unique<OutboxRecorder>(witness, *part->outbox_, part->records_, clock);
  ASSIGN_OR_RETURN(auto delivery, DeliveryOf(config));
  ASSIGN_OR_RETURN(part->deliverer_, deliver::Deliverer::Make(std::move(delivery), part->outbox_->spool(),
                                                              part->connector_, part->findings_, clock));
  return part;
}

EvidencePart::~EvidencePart() {
  if (supply_ != nullptr) supply_->Stop();
}

void EvidencePart::Start() {
  supply_->Start(managers_);
  deliverer_->Start();
}

absl::Status EvidencePart::Tick(SessionLog& log) {
  absl::Status first = recorder_->Flush(log);
  first.Update(recorder_->Beat());
  first.Update(findings_.Flush(config_.evidence.name, *outbox_));
  first.Update(outbox_->SnapshotIfDue(kSnapshotBytes));
  return first;
}

void EvidencePart::Drain(SessionLog& log, std::chrono::nanoseconds patience) {
  service::LogStatus(service::LogLevel::kInfo, "the last records", recorder_->Stop(log));
  const bool flushed =
      outbox_->spool().problem().ok() && deliverer_->Flush(std::chrono::steady_clock::now() + patience);
  if (!flushed) {
    service::LogWarning("not all records were delivered; the next start goes on with them",
                        {{"problem", deliverer_->status().problem}});
  }
  deliverer_->Stop();
  service::LogStatus(service::LogLevel::kInfo, "snapshot of the spool's state", outbox_->Snapshot());
}

absl::Status EvidencePart::CheckAlive() const {
  RETURN_IF_ERROR(outbox_->spool().CheckAlive());
  return deliverer_->CheckAlive();
}

absl::StatusOr<std::string> EvidencePart::Prove(const std::string& frame) const {
  absl::Status problem = Unavailable("no O-Node is configured");
  for (const std::string& address : config_.evidence.onodes) {
    auto channel = onodes_(address);
    if (!channel.ok()) {
      problem = channel.status();
      continue;
    }
    const auto stub = virp::verify::v1::VerifyService::NewStub(*channel);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kProveWithin);
    virp::verify::v1::VerifyFrameRequest request;
    request.set_origin(config_.evidence.origin);
    request.set_frame(frame);
    virp::verify::v1::VerifyFrameResponse response;
    const grpc::Status asked = stub->VerifyFrame(&context, request, &response);
    if (!asked.ok()) {
      problem = Annotate(service::FromGrpcStatus(asked), address);
    } else if (!response.verified()) {
      problem = Unavailable("{}: the O-Node does not verify the record: {}", address, response.reason());
    } else if (!response.proof().empty()) {
      return response.proof();
    } else {
      problem = Unavailable(
          "{}: {}", address,
          response.has_chain_sequence() ? "in the chain, and not covered by a checkpoint yet" : "not in the chain yet");
    }
  }
  return problem;
}

}  // namespace virp::rtr_bridge
