#include "services/keymgr/outlets/notices.h"

#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/crypto/der.h"
#include "lib/frame/payload.h"
#include "lib/service/logging.h"
#include "services/keymgr/domain/expiry_calendar.h"
#include "services/keymgr/domain/rpki_names.h"

namespace virp::keymgr {
namespace {

constexpr int kUrgentDays = 3;

}  // namespace

absl::Status LogRecipient::Tell(const ExpiryNotice& notice) {
  const std::string subject = Subject(notice), advice = Advice(notice.certificate);
  const service::LogFields fields{{"certificate", notice.certificate.id}, {"days", notice.days}, {"advice", advice}};
  notice.days <= kUrgentDays ? service::LogError(subject, fields) : service::LogWarning(subject, fields);
  return absl::OkStatus();
}

std::string NoticeJson(const ExpiryNotice& notice) {
  const ExpiringCertificate& certificate = notice.certificate;
  frame::JsonWriter json;
  json.BeginObject().Field("event", "certificate_ends").Field("kind", std::string_view(certificate.kind));
  json.Field("id", std::string_view(certificate.id));
  if (certificate.IsRouters()) {
    json.Field("router", std::string_view(certificate.router)).Field("asn", certificate.asn);
    json.Field("has_other", certificate.has_other);
  }
  json.Field("not_after", std::string_view(der::TimeText(TimeOf(certificate.not_after)))).Field("days", notice.days);
  json.Field("subject", std::string_view(Subject(notice))).Field("advice", std::string_view(Advice(certificate)));
  return json.EndObject().Take();
}

absl::Status WebhookRecipient::Tell(const ExpiryNotice& notice) {
  return hook_->Post(NoticeJson(notice), notice.key());
}

absl::Status CalendarFile::Write(const std::vector<ExpiringCertificate>& all, UnixNanos now) {
  if (path_.empty()) return absl::OkStatus();
  std::string text = ExpiryCalendar(all, 0);
  if (text == written_) return absl::OkStatus();
  RETURN_IF_ERROR(ReplaceFile(path_, ExpiryCalendar(all, now), 0644));
  written_ = std::move(text);
  return absl::OkStatus();
}

}  // namespace virp::keymgr
