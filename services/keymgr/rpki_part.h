// The key manager's own RPKI: authority, publication, feed, expiry watch, their service and their threads. Composition
// only.
#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/base/pulse.h"
#include "lib/base/task_group.h"
#include "lib/service/access.h"
#include "lib/service/admin.h"
#include "lib/service/caller.h"
#include "lib/service/metrics.h"
#include "lib/service/server.h"
#include "services/keymgr/domain/custody.h"
#include "services/keymgr/domain/ledger_engine.h"
#include "services/keymgr/outlets/folder_target.h"
#include "services/keymgr/outlets/notices.h"
#include "services/keymgr/rpki_options.h"
#include "services/keymgr/transport/rpki_handler.h"

namespace virp::keymgr {

class RpkiPart {
 public:
  // What the ledger must know before there is a part.
  static std::vector<RecordType> Types();

  // All outlive it; make it before the ledger starts. `self`: the manager's own identity, actor of what the clock
  // causes. InvalidArgument names the option.
  static absl::StatusOr<std::unique_ptr<RpkiPart>> Make(const RpkiConfig& config, LedgerEngine& ledger,
                                                        const Custodies& custodies,
                                                        std::shared_ptr<const service::CallerResolver> callers,
                                                        const Clock& clock, const std::string& self);

  RpkiAuthority& authority() { return authority_; }

  void AddTo(std::vector<service::ServedService>& served);
  void AddMetrics(service::Metrics& metrics);
  void AddReadiness(service::Readiness& readiness);
  void Start(TaskGroup& tasks);
  absl::Status CheckAlive() const;  // of the thread that publishes
  void Drain();                     // ends streams that would never end

 private:
  RpkiPart(const RpkiConfig& config, LedgerEngine& ledger, const Custodies& custodies,
           std::shared_ptr<const service::CallerResolver> callers, const Clock& clock, const std::string& self,
           std::unique_ptr<WebhookRecipient> webhook);
  absl::Status Publish(const std::stop_token& stop);
  absl::Status Warn(const std::stop_token& stop);
  std::vector<NoticeRecipient*> Recipients();
  bool IsOpen() const;

  LedgerEngine& ledger_;
  const Clock& clock_;
  LogRecipient log_;
  const std::unique_ptr<WebhookRecipient> webhook_;  // may be null
  CalendarFile calendar_;
  FolderTarget target_;
  rpki::OneTimeKeys one_time_keys_;
  RpkiAuthority authority_;
  RouterKeyFeed feed_;
  ExpiryWatch expiry_;
  PublicationKeeper keeper_;
  RpkiHandler handler_;
  Pulse pulse_;
};

}  // namespace virp::keymgr
