// Who is told that certificates end: the log, a web server, a calendar file.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "lib/service/webhook.h"
#include "services/keymgr/domain/expiry_watch.h"

namespace virp::keymgr {

// A line of the log each: a warning, from three days on an error.
class LogRecipient final : public NoticeRecipient {
 public:
  std::string_view name() const override { return "log"; }
  absl::Status Tell(const ExpiryNotice& notice) override;
};

// A POST each (docs/operations/rpki.md has the document).
class WebhookRecipient final : public NoticeRecipient {
 public:
  explicit WebhookRecipient(std::unique_ptr<service::Webhook> hook) : hook_(std::move(hook)) {}
  std::string_view name() const override { return "webhook"; }
  absl::Status Tell(const ExpiryNotice& notice) override;

 private:
  const std::unique_ptr<service::Webhook> hook_;
};
std::string NoticeJson(const ExpiryNotice& notice);

// A calendar file with the ends of all certificates, for calendars to subscribe to. It is replaced when they change.
// For one thread.
class CalendarFile {
 public:
  explicit CalendarFile(std::string path) : path_(std::move(path)) {}  // empty: none is written
  absl::Status Write(const std::vector<ExpiringCertificate>& all, UnixNanos now);

 private:
  const std::string path_;
  std::string written_;  // what it says, without its times
};

}  // namespace virp::keymgr
