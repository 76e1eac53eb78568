#include "services/keymgr/domain/expiry_watch.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "lib/base/status.h"
#include "lib/crypto/der.h"
#include "lib/crypto/x509.h"
#include "lib/frame/payload.h"
#include "services/keymgr/domain/rpki_names.h"

namespace virp::keymgr {
namespace {

constexpr UnixNanos kDay = 86'400 * kNanosPerSecond;
constexpr UnixNanos kMissedFor = 30 * kDay;  // beyond its end
constexpr std::size_t kAtOnce = 256;
constexpr std::size_t kNamed = 100;

using RecordPtr = std::shared_ptr<const RouterCertificateRecord>;
using Place = std::pair<std::string, std::uint32_t>;  // router, AS

bool IsValid(const RouterCertificateRecord& record, UnixNanos now) {
  return record.state == CertificateState::kPublished && record.not_after > now;
}

}  // namespace

std::optional<int> WarningAt(UnixNanos not_after, UnixNanos now) {
  for (const int days : kWarningDays) {
    if (now + static_cast<UnixNanos>(days) * kDay >= not_after) return days;
  }
  return std::nullopt;
}

std::string ExpiryNotice::key() const {
  return fmt::format("{}/{}/{}", certificate.NoticeId(), certificate.not_after / kNanosPerSecond, days);
}

std::string Subject(const ExpiryNotice& notice) {
  const ExpiringCertificate& certificate = notice.certificate;
  const std::string what =
      certificate.IsRouters()
          ? fmt::format("BGPsec certificate of router {} for AS {}", certificate.router, certificate.asn)
          : fmt::format("certificate of our RPKI authority {}", certificate.id);
  const std::string when = der::TimeText(TimeOf(certificate.not_after));
  return notice.days == 0 ? fmt::format("{} has ended at {}", what, when)
                          : fmt::format("{} ends at {}, in less than {} day{}", what, when, notice.days,
                                        notice.days == 1 ? "" : "s");
}

std::string Advice(const ExpiringCertificate& certificate) {
  if (!certificate.IsRouters()) {
    return "Every router certificate below it ends with it for relying parties: set up its successor and roll the "
           "routers over to it.";
  }
  return certificate.has_other
             ? "Another certificate of this router for this AS stays valid. Roll over to its key, or renew this one."
             : "No other certificate of this router for this AS is valid: renew it, or make and publish the next key "
               "now. Without one, what the router signs is not valid from then on.";
}

ExpiryWatch::ExpiryWatch(Ledger& ledger, const Clock& clock, std::vector<NoticeRecipient*> recipients, std::string self,
                         InUse in_use)
    : ledger_(ledger),
      clock_(clock),
      recipients_(std::move(recipients)),
      self_(std::move(self)),
      in_use_(std::move(in_use)) {}

std::vector<ExpiringCertificate> ExpiryWatch::Watched(const Snapshot& state) const {
  const UnixNanos now = clock_.NowNanos();
  std::map<std::string, RecordPtr, std::less<>> newest;  // by key and AS: one that a later one replaced does not count
  std::map<Place, std::size_t> valid;                    // by key and AS, too
  state.ForEach<RouterCertificateRecord>([&](const RecordPtr& record) {
    if (record->IsRevoked() || record->not_after + kMissedFor <= now || !in_use_(state, *record)) return true;
    RecordPtr& place = newest[record->id.substr(0, record->id.rfind('/'))];
    if (place == nullptr || place->not_after < record->not_after) place = record;
    return true;
  });
  for (const auto& [group, record] : newest) valid[{record->router, record->asn}] += IsValid(*record, now) ? 1U : 0U;
  std::vector<ExpiringCertificate> out;
  for (const auto& [group, record] : newest) {
    const std::size_t others = valid[{record->router, record->asn}] - (IsValid(*record, now) ? 1U : 0U);
    out.push_back({std::string(RouterCertificateRecord::kKind), record->id, record->router, record->asn,
                   record->not_after, others != 0});
  }
  state.ForEach<AuthorityRecord>([&](const std::shared_ptr<const AuthorityRecord>& authority) {
    const auto certificate = x509::ParseCertificate(authority->certificate);
    if (certificate.ok())
      out.push_back(
          {std::string(AuthorityRecord::kKind), authority->id, "", 0, NanosOf(certificate->not_after), false});
    return true;
  });
  std::sort(out.begin(), out.end(), [](const ExpiringCertificate& a, const ExpiringCertificate& b) {
    return std::tie(a.not_after, a.id) < std::tie(b.not_after, b.id);
  });
  return out;
}

std::vector<ExpiringCertificate> ExpiryWatch::Expiring(UnixNanos until, std::size_t most) const {
  std::vector<ExpiringCertificate> out = Watched(*ledger_.snapshot());
  std::erase_if(out, [&](const ExpiringCertificate& one) { return one.not_after >= until; });
  if (out.size() > most) out.resize(most);
  return out;
}

Coverage ExpiryWatch::coverage() const {
  Coverage out;
  const UnixNanos now = clock_.NowNanos();
  const auto snapshot = ledger_.snapshot();
  std::map<Place, bool> covered;
  snapshot->ForEach<RouterCertificateRecord>([&](const RecordPtr& record) {
    if (record->IsRevoked() || record->not_after + kMissedFor <= now || !in_use_(*snapshot, *record)) return true;
    bool& place = covered[{record->router, record->asn}];
    place = place || IsValid(*record, now);
    if (record->not_after > now && (out.soonest == 0 || record->not_after < out.soonest))
      out.soonest = record->not_after;
    return true;
  });
  for (const auto& [place, is] : covered) {
    ++(is ? out.covered : out.uncovered);
    if (!is && out.missing.size() < kNamed) out.missing.push_back(fmt::format("{} AS{}", place.first, place.second));
  }
  return out;
}

absl::StatusOr<std::size_t> ExpiryWatch::Round() {
  const auto snapshot = ledger_.snapshot();
  const UnixNanos now = clock_.NowNanos();
  absl::Status trouble;
  std::set<std::string> watched;
  std::vector<ExpiryNoticeRecord> changed;
  std::size_t told = 0, failed = 0;
  for (const ExpiringCertificate& certificate : Watched(*snapshot)) {
    watched.insert(certificate.NoticeId());
    const auto days = WarningAt(certificate.not_after, now);
    if (!days.has_value() || changed.size() == kAtOnce) continue;
    ExpiryNoticeRecord record;
    if (const auto before = snapshot->Find<ExpiryNoticeRecord>(certificate.NoticeId()); before != nullptr)
      record = *before;
    if (record.not_after != certificate.not_after) record.told.clear();
    record.id = certificate.NoticeId();
    record.not_after = certificate.not_after;
    const std::size_t before = told;
    for (NoticeRecipient* const recipient : recipients_) {
      const auto last = record.told.find(std::string(recipient->name()));
      if (last != record.told.end() && last->second <= *days) continue;
      if (const absl::Status done = recipient->Tell({certificate, *days}); !done.ok()) {
        if (trouble.ok()) trouble = Annotate(done, recipient->name());
        ++failed;
        continue;
      }
      record.told[std::string(recipient->name())] = *days;
      ++told;
    }
    if (told != before) changed.push_back(std::move(record));
  }
  std::vector<std::string> gone;  // replaced, revoked, or over for long
  snapshot->ForEach<ExpiryNoticeRecord>([&](const std::shared_ptr<const ExpiryNoticeRecord>& record) {
    if (!watched.contains(record->id)) gone.push_back(record->id);
    return gone.size() < kAtOnce;
  });
  {
    const MutexLock lock(mutex_);
    told_ += told;
    failed_ += failed;
  }
  if (!changed.empty() || !gone.empty()) RETURN_IF_ERROR(Record(changed, gone, told));
  RETURN_IF_ERROR(trouble);
  return told;
}

absl::Status ExpiryWatch::Record(const std::vector<ExpiryNoticeRecord>& changed, const std::vector<std::string>& gone,
                                 std::size_t told) {
  Call call;
  call.actor = self_;
  call.method = "schedule/expiry";
  call.reason = "certificates end";
  const auto receipt = ledger_.Commit(call, [&](const Snapshot&, Changes& changes) -> absl::Status {
    frame::JsonWriter json;
    json.BeginObject().Field("notices", std::uint64_t{told}).Key("certificates").BeginArray();
    for (const ExpiryNoticeRecord& record : changed) {
      json.String(record.id);
      changes.Put(std::make_shared<ExpiryNoticeRecord>(record));
    }
    for (const std::string& id : gone) changes.Erase<ExpiryNoticeRecord>(id);
    AuditRecord audit;
    audit.event = "expiry_told";
    audit.fields = json.EndArray().EndObject().Take();
    changes.Audit(std::move(audit));
    return absl::OkStatus();
  });
  return receipt.status();
}

std::uint64_t ExpiryWatch::told() const {
  const MutexLock lock(mutex_);
  return told_;
}

std::uint64_t ExpiryWatch::failed() const {
  const MutexLock lock(mutex_);
  return failed_;
}

}  // namespace virp::keymgr
