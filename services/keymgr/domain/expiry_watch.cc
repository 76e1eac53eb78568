#include "services/keymgr/domain/expiry_watch.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "lib/base/error_info.h"
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

bool Matters(const RouterCertificateRecord& record, UnixNanos now) {
  return !record.IsRevoked() && record.state != CertificateState::kReplaced && record.not_after + kMissedFor > now;
}

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

namespace {

// What stands in the record counts for the certificate as it is, and for the warning that is due.
std::optional<Acknowledgement> SeenBy(const ExpiryNoticeRecord* record, UnixNanos not_after, std::optional<int> days) {
  if (record == nullptr || !record->acknowledged || !days || record->not_after != not_after) return std::nullopt;
  return record->acknowledged->days == *days ? record->acknowledged : std::nullopt;
}

}  // namespace

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
    return "Every router certificate below it ends with it for relying parties. The manager makes it anew two months "
           "ahead: `virpctl keys rpki publication` says what keeps it from that, and `virpctl keys rpki "
           "roll-authority` "
           "gives the issuing authority another key.";
  }
  if (certificate.kind == kImportedCertificate && !certificate.has_other) {
    return "No other certificate of this router for this AS is valid: have the outside authority make the next one, "
           "and "
           "import it. Without one, what the router signs is not valid from then on.";
  }
  return certificate.has_other
             ? "Another certificate of this router for this AS stays valid. Roll over to its key, or renew this one."
             : "No other certificate of this router for this AS is valid: renew it, or make and publish the next key "
               "now. Without one, what the router signs is not valid from then on.";
}

ExpiryWatch::ExpiryWatch(Ledger& ledger, const Clock& clock, std::vector<NoticeRecipient*> recipients, std::string self,
                         InUse in_use, Outside outside, Signing signing)
    : ledger_(ledger),
      clock_(clock),
      recipients_(std::move(recipients)),
      self_(std::move(self)),
      in_use_(std::move(in_use)),
      outside_(std::move(outside)),
      signing_(std::move(signing)) {}

std::vector<ExpiringCertificate> ExpiryWatch::OfRouters(const Snapshot& state, UnixNanos now) const {
  std::map<std::string, RecordPtr, std::less<>> newest;  // by key and AS: one that a later one replaced does not count
  state.ForEach<RouterCertificateRecord>([&](const RecordPtr& record) {
    if (!Matters(*record, now) || !in_use_(state, *record)) return true;
    RecordPtr& place = newest[record->id.substr(0, record->id.rfind('/'))];
    if (place == nullptr || place->not_after < record->not_after) place = record;
    return true;
  });
  std::vector<ExpiringCertificate> out;
  for (const auto& [group, record] : newest) {
    out.push_back({.kind = std::string(RouterCertificateRecord::kKind),
                   .id = record->id,
                   .router = record->router,
                   .asn = record->asn,
                   .not_after = record->not_after,
                   .is_valid = IsValid(*record, now)});
  }
  for (ExpiringCertificate& one : outside_(state, now)) {
    if (one.not_after + kMissedFor > now) out.push_back(std::move(one));
  }
  std::map<Place, std::size_t> valid;
  for (const ExpiringCertificate& one : out) valid[{one.router, one.asn}] += one.is_valid ? 1U : 0U;
  for (ExpiringCertificate& one : out) one.has_other = valid[{one.router, one.asn}] > (one.is_valid ? 1U : 0U);
  return out;
}

std::vector<ExpiringCertificate> ExpiryWatch::Watched(const Snapshot& state) const {
  const UnixNanos now = clock_.NowNanos();
  std::vector<ExpiringCertificate> out = OfRouters(state, now);
  state.ForEach<AuthorityRecord>([&](const std::shared_ptr<const AuthorityRecord>& authority) {
    const auto certificate = x509::ParseCertificate(authority->certificate);
    if (!certificate.ok() || authority->revoked != 0) return true;
    const UnixNanos end = NanosOf(certificate->not_after);
    out.push_back({.kind = std::string(AuthorityRecord::kKind),
                   .id = authority->id,
                   .router = "",
                   .not_after = end,
                   .is_valid = end > now});
    return true;
  });
  for (ExpiringCertificate& one : out) {
    const auto record = state.Find<ExpiryNoticeRecord>(one.NoticeId());
    one.acknowledged = SeenBy(record.get(), one.not_after, WarningAt(one.not_after, now));
  }
  std::sort(out.begin(), out.end(), [](const ExpiringCertificate& a, const ExpiringCertificate& b) {
    return std::tie(a.not_after, a.id) < std::tie(b.not_after, b.id);
  });
  return out;
}

absl::StatusOr<ExpiringCertificate> ExpiryWatch::Acknowledge(const Call& call, std::string_view id) const {
  const std::vector<ExpiringCertificate> watched = Watched(*ledger_.snapshot());
  const auto found = std::find_if(watched.begin(), watched.end(),
                                  [&](const ExpiringCertificate& one) { return one.NoticeId() == id; });
  if (found == watched.end()) return NotFound("no certificate {} is watched", id.substr(0, 512));
  ExpiringCertificate out = *found;
  const auto receipt = ledger_.Commit(call, [&](const Snapshot& state, Changes& changes) -> absl::Status {
    const auto days = WarningAt(out.not_after, changes.now());
    if (!days)
      return WithReason(
          FailedPrecondition("{} does not end within {} days: there is no warning", id, kWarningDays.back()),
          "NOT_DUE");
    const auto before = state.Find<ExpiryNoticeRecord>(id);
    auto record =
        before == nullptr ? std::make_shared<ExpiryNoticeRecord>() : std::make_shared<ExpiryNoticeRecord>(*before);
    if (record->not_after != out.not_after) record->told.clear();
    record->id = id;
    record->not_after = out.not_after;
    record->acknowledged = Acknowledgement{*days, call.actor, call.reason, changes.now()};
    out.acknowledged = record->acknowledged;
    AuditRecord audit;
    audit.event = "expiry_acknowledged";
    frame::JsonWriter json;
    json.BeginObject().Field("certificate", id).Field("days", *days);
    if (out.IsRouters()) json.Field("router", std::string_view(out.router)).Field("asn", out.asn);
    audit.fields = json.EndObject().Take();
    changes.Audit(std::move(audit));
    changes.Put(std::move(record));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(receipt.status());
  if (receipt->replayed) {
    const auto record = ledger_.snapshot()->Find<ExpiryNoticeRecord>(id);
    out.acknowledged = record == nullptr ? std::nullopt : record->acknowledged;
  }
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
  const auto count = [&](const Place& at, bool valid, UnixNanos not_after) {
    bool& place = covered[at];
    place = place || valid;
    if (not_after > now && (out.soonest == 0 || not_after < out.soonest)) out.soonest = not_after;
  };
  snapshot->ForEach<RouterCertificateRecord>([&](const RecordPtr& record) {
    if (!Matters(*record, now) || !in_use_(*snapshot, *record)) return true;
    count({record->router, record->asn}, IsValid(*record, now), record->not_after);
    return true;
  });
  for (const ExpiringCertificate& one : outside_(*snapshot, now)) {
    if (one.not_after + kMissedFor > now) count({one.router, one.asn}, one.is_valid, one.not_after);
  }
  // Who signs is what its key is, however long ago the certificate ended.
  std::map<Place, bool> signing;
  for (const SigningPlace& one : signing_(*snapshot, now)) {
    const auto place = signing.try_emplace({one.router, one.asn}, true).first;
    place->second = place->second && one.covered;
  }
  for (const auto& [place, is] : signing) covered[place] = is;
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
    if (!days.has_value() || certificate.acknowledged || changed.size() == kAtOnce) continue;
    ExpiryNoticeRecord record;
    if (const auto before = snapshot->Find<ExpiryNoticeRecord>(certificate.NoticeId()); before != nullptr)
      record = *before;
    if (record.not_after != certificate.not_after) {
      record.told.clear();
      record.acknowledged.reset();
    }
    record.id = certificate.NoticeId();
    record.not_after = certificate.not_after;
    const std::size_t before = told;
    for (NoticeRecipient* const recipient : recipients_) {
      const auto last = record.told.find(std::string(recipient->name()));
      if (last != record.told.end() && last->second == *days) continue;
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
