// What a running collector does beside taking in: beats, snapshots, keys read again, alarms about its O-Node, metrics.
#pragma once

#include <stop_token>
#include <string>

#include "lib/base/mutex.h"
#include "lib/deliver/deliverer.h"
#include "lib/deliver/grpc_connection.h"
#include "lib/frame/key_directory.h"
#include "lib/service/credentials.h"
#include "lib/service/metrics.h"
#include "services/collector/domain/heart.h"

namespace virp::collector {

// Signs alarms, as the collector's own source, about what the audit of the O-Node found. Thread-safe.
class AlarmingObserver final : public deliver::DeliveryObserver {
 public:
  AlarmingObserver(std::string own_source, Outbox& outbox) : own_source_(std::move(own_source)), outbox_(outbox) {}
  void OnRefused(std::string_view source, frame::Reason reason) override;
  void OnAuditFailure(std::string_view what) override;
  // Enters what was found since the last call: the outbox must not be called from within the deliverer.
  absl::Status Flush();

 private:
  const std::string own_source_;
  Outbox& outbox_;
  Mutex mutex_;
  std::vector<std::string> failures_ ABSL_GUARDED_BY(mutex_);
};

// Several times a second until stopped.
absl::Status KeepHouse(const std::stop_token& stop, Heart& heart, Outbox& outbox, frame::KeyDirectory& keys, AlarmingObserver& observer);

// docs/metrics.md, "Collector".
void AddMetrics(service::Metrics& metrics, Outbox& outbox, const deliver::Deliverer& deliverer, const Liveness& liveness);

// Channels to O-Nodes, whose certificates must have role onode.
deliver::ChannelFactory ChannelsTo(const service::TlsFiles& tls, const service::Security& security, const std::string& trust_domain,
                                   const std::string& identity_map);

}  // namespace virp::collector
