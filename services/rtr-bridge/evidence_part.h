// What makes records of the bridge evidence: key, spool, delivery, beats. Absent in a bridge without a name of its own.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "lib/deliver/deliverer.h"
#include "lib/deliver/grpc_connection.h"
#include "lib/deliver/outbox.h"
#include "lib/keys/key_supply.h"
#include "lib/service/access.h"
#include "lib/service/metrics.h"
#include "services/rtr-bridge/config.h"
#include "services/rtr-bridge/domain/recorder.h"
#include "services/rtr-bridge/transport/rtr_handler.h"

namespace virp::rtr_bridge {

// Notes what delivery finds, until the house has room to sign it. Thread-safe.
class AuditFindings final : public deliver::DeliveryObserver {
 public:
  void OnRefused(std::string_view source, frame::Reason reason) override;
  void OnAuditFailure(std::string_view what) override;
  // Signs alarms about what was found since the last call.
  absl::Status Flush(std::string_view own_source, deliver::Outbox& outbox);

 private:
  Mutex mutex_;
  std::vector<std::string> failures_ ABSL_GUARDED_BY(mutex_);
};

class EvidencePart {
 public:
  // Opens key directory and spool. `witness`, `security` and `clock` outlive it.
  static absl::StatusOr<std::unique_ptr<EvidencePart>> Make(const Config& config, const Witness& witness,
                                                            const service::Security& security, const Clock& clock);
  ~EvidencePart();

  void Start();
  // Several times a second: beats, sessions' records, alarms, snapshots of the spool.
  absl::Status Tick(SessionLog& log);
  // The last records, and their delivery as far as it comes in time.
  void Drain(SessionLog& log, std::chrono::nanoseconds patience);

  OutboxRecorder& recorder() { return *recorder_; }
  const deliver::Deliverer& deliverer() const { return *deliverer_; }
  deliver::Outbox& outbox() { return *outbox_; }
  keys::KeySupply& supply() { return *supply_; }
  absl::Status CheckAlive() const;
  // Asks the O-Nodes about a frame of this bridge.
  absl::StatusOr<std::string> Prove(const std::string& frame) const;

 private:
  EvidencePart(const Config& config, service::ChannelFactory onodes, service::ChannelFactory managers)
      : config_(config), onodes_(std::move(onodes)), managers_(std::move(managers)), connector_(onodes_) {}

  const Config& config_;
  const service::ChannelFactory onodes_, managers_;
  std::unique_ptr<keys::KeySupply> supply_;
  RecordsState records_;
  std::unique_ptr<deliver::Outbox> outbox_;
  std::unique_ptr<OutboxRecorder> recorder_;
  AuditFindings findings_;
  deliver::GrpcConnector connector_;
  std::unique_ptr<deliver::Deliverer> deliverer_;
};

}  // namespace virp::rtr_bridge
