// What of an RpkiAuthority is published, and how.
#include <algorithm>
#include <charconv>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/sha256.h"
#include "lib/frame/payload.h"
#include "services/keymgr/domain/rpki_authority.h"
#include "services/keymgr/domain/rpki_names.h"

namespace virp::keymgr {
namespace {

constexpr std::size_t kExpiredAtOnce = 256;

std::string FileNameOf(const RouterCertificateRecord& record) {
  std::string name = record.id;
  std::replace(name.begin(), name.end(), '/', '-');
  return name + ".cer";
}

// Those whose CRL and manifest are published. Without the two that are always there is no authority any more.
absl::StatusOr<std::vector<std::shared_ptr<const AuthorityRecord>>> PublishingOf(const Snapshot& state) {
  std::vector<std::shared_ptr<const AuthorityRecord>> out;
  for (const std::string_view id : {kAnchorId, kIssuerId, kNewIssuerId}) {
    auto found = state.Find<AuthorityRecord>(id);
    if (found == nullptr && id != kNewIssuerId)
      return WithReason(FailedPrecondition("there is no RPKI authority any more"), "NO_AUTHORITY");
    if (found != nullptr) out.push_back(std::move(found));
  }
  return out;
}

}  // namespace

std::vector<rpki::RouterKey> RpkiAuthority::RouterKeys() const {
  std::vector<rpki::RouterKey> out;
  const UnixNanos now = clock_.NowNanos();
  ledger_.snapshot()->ForEach<RouterCertificateRecord>([&](const CertificatePtr& record) {
    if (record->state != CertificateState::kPublished || record->not_after <= now) return true;
    const auto certificate = x509::ParseCertificate(record->certificate);
    if (certificate.ok()) out.push_back({record->asn, std::string(certificate->spki), certificate->not_after});
    return true;
  });
  auto distinct = rpki::Distinct(std::move(out));
  return distinct.ok() ? *std::move(distinct) : std::vector<rpki::RouterKey>();
}

std::vector<std::string> RpkiAuthority::PublishedCertificates() const {
  std::vector<std::string> out;
  const UnixNanos now = clock_.NowNanos();
  ledger_.snapshot()->ForEach<RouterCertificateRecord>([&](const CertificatePtr& record) {
    if (record->state == CertificateState::kPublished && record->not_after > now) out.push_back(record->certificate);
    return true;
  });
  return out;
}

RpkiAuthority::Wanted RpkiAuthority::WantedNow(const Authorities& both) const {
  Wanted out;
  const UnixNanos now = clock_.NowNanos();
  out.points[both.issuer->key_version];
  if (both.next != nullptr) out.points[both.next->key_version];
  both.snapshot->ForEach<RouterCertificateRecord>([&](const CertificatePtr& record) {
    // What an authority issued that is revoked itself is neither listed nor on a CRL any more.
    const auto point = out.points.find(record->issuer_version);
    if (record->state == CertificateState::kRevoking) out.revoking.push_back(record->id);
    if (point == out.points.end()) return true;
    if (record->state == CertificateState::kIssued) out.issued.push_back(record->id);
    if (record->not_after <= now) return true;  // nor is what ended
    if (record->IsRevoked()) {
      point->second.revoked.push_back({record->serial, TimeOf(record->revoked)});
      ++out.revoked;
    } else {
      point->second.files.emplace(FileNameOf(*record), record->certificate);
      ++out.listed;
    }
    return true;
  });
  both.snapshot->ForEach<AuthorityRecord>([&](const std::shared_ptr<const AuthorityRecord>& authority) {
    const auto certificate = x509::ParseCertificate(authority->certificate);
    if (authority->revoked != 0 && certificate.ok() && NanosOf(certificate->not_after) > now)
      out.authorities.push_back({std::string(certificate->serial), TimeOf(authority->revoked)});
    return true;
  });
  return out;
}

bool RpkiAuthority::IsSuperseded() const {
  const auto issuer = ledger_.snapshot()->Find<AuthorityRecord>(kIssuerId);
  return issuer != nullptr && issuer->state == AuthorityState::kSuperseded;
}

PublicationState RpkiAuthority::State() const {
  PublicationState out;
  const auto both = Find();
  if (!both.ok()) return out;
  out.set_up = true;
  out.number = both->issuer->published_number;
  out.published_at = both->issuer->published_at;
  out.published_until = both->issuer->published_until;
  both->snapshot->ForEach<AuthorityRecord>([&](const std::shared_ptr<const AuthorityRecord>& authority) {
    out.waiting += authority->waiting ? 1U : 0U;
    return true;
  });
  both->snapshot->ForEach<RouterCertificateRecord>([&](const CertificatePtr& record) {
    switch (record->state) {
      case CertificateState::kPublished:
        if (record->issuer_version == both->issuer->key_version) ++out.certificates;  // not those of a roll, twice
        break;
      case CertificateState::kRevoked:
        if (record->not_after > clock_.NowNanos()) ++out.revoked;
        break;
      case CertificateState::kIssued:
      case CertificateState::kRevoking:
        ++out.waiting;
        break;
      case CertificateState::kExpired:
      case CertificateState::kReplaced:
        break;
    }
    return true;
  });
  return out;
}

absl::StatusOr<bool> RpkiAuthority::PublicationDue() const {
  const PublicationState state = State();
  if (!state.set_up || IsSuperseded()) return false;
  const UnixNanos ahead = static_cast<UnixNanos>(options_.refresh_before.count()) * kNanosPerSecond;
  if (state.waiting != 0 || state.published_until <= clock_.NowNanos() + ahead) return true;
  // The clock was wrong when it was made: what is out begins in the future, and was made for another time.
  if (state.published_at > clock_.NowNanos()) return true;
  // Something else is out there: this manager's folder was empty, or a publication was not recorded.
  ASSIGN_OR_RETURN(const std::uint64_t there, target_.Number());
  return there != state.number;
}

absl::StatusOr<PublicationTarget::Tree> RpkiAuthority::Build(const Authorities& both, std::uint64_t number,
                                                             Wanted& wanted, rpki::Time until) {
  PublicationTarget::Tree tree{{"ta.cer", both.anchor->certificate}};
  const auto add = [&](const AuthorityRecord& which, rpki::Files certificates,
                       std::vector<x509::Revoked> revoked) -> absl::Status {
    ASSIGN_OR_RETURN(const rpki::Issuer issuer, IssuerOf(both, which));
    const crypto::RsaPrivateKey one_time_key = one_time_keys_.Take();
    const std::string folder = which.folder();
    ASSIGN_OR_RETURN(rpki::Files files,
                     rpki::BuildPoint({.repository_uri = PointUri(which.base_uri, folder),
                                       .manifest_uri = ManifestUri(which.base_uri, folder, which.stem()),
                                       .number = number,
                                       .this_update = Now(),
                                       .next_update = until,
                                       .revoked = std::move(revoked),
                                       .certificates = std::move(certificates)},
                                      issuer, one_time_key));
    for (auto& [name, bytes] : files) tree[folder + "/" + name] = std::move(bytes);
    return absl::OkStatus();
  };
  rpki::Files authorities;
  for (const auto& which : {both.issuer, both.next}) {
    if (which == nullptr) continue;
    authorities[which->stem() + ".cer"] = which->certificate;
    Wanted::Point& point = wanted.points[which->key_version];
    RETURN_IF_ERROR(add(*which, std::move(point.files), std::move(point.revoked)));
  }
  RETURN_IF_ERROR(add(*both.anchor, std::move(authorities), std::move(wanted.authorities)));
  return tree;
}

// A number that was never used, in the ledger or by the target: a database that was restored from a backup has seen
// lower ones than relying parties have. Taken in a transaction of its own, which only the active manager can make: one
// that may have been seen outside is never used again, whatever crashes.
absl::StatusOr<std::uint64_t> RpkiAuthority::TakeNumber(const Call& call, bool& replayed) {
  ASSIGN_OR_RETURN(const std::uint64_t there, target_.Number());
  const auto receipt = ledger_.Commit(call, [&](const Snapshot& state, Changes& changes) -> absl::Status {
    std::uint64_t number = there;
    ASSIGN_OR_RETURN(const auto all, PublishingOf(state));
    for (const auto& authority : all) number = std::max(number, authority->number);
    ++number;
    for (const auto& authority : all) {
      auto record = std::make_shared<AuthorityRecord>(*authority);
      record->number = number;
      changes.Put(record);
    }
    changes.Answer(std::to_string(number));
    AuditRecord audit;
    audit.event = "rpki_publication_begun";
    frame::JsonWriter json;
    audit.fields = json.BeginObject().Field("number", number).EndObject().Take();
    changes.Audit(std::move(audit));
    return absl::OkStatus();
  });
  if (!receipt.ok()) return receipt.status();
  replayed = receipt->replayed;
  // As it was committed: whoever was fenced since has no state to look into.
  std::uint64_t number = 0;
  const std::string& answer = receipt->answer;
  if (std::from_chars(answer.data(), answer.data() + answer.size(), number).ec != std::errc())
    return Internal("the number of a publication was answered as '{}'", answer);
  return number;
}

absl::Status RpkiAuthority::RecordPublished(const Authorities& both, const Wanted& wanted, std::uint64_t number,
                                            rpki::Time until, std::string fields) {
  const auto receipt = ledger_.Commit(OwnCall("publish"), [&](const Snapshot& state, Changes& changes) -> absl::Status {
    ASSIGN_OR_RETURN(const auto all, PublishingOf(state));
    for (const auto& authority : all) {
      const auto published = both.snapshot->Find<AuthorityRecord>(authority->id);
      if (published == nullptr || published->key_version != authority->key_version) continue;  // a roll went on since
      auto record = std::make_shared<AuthorityRecord>(*authority);
      record->published_number = number;
      record->published_at = changes.now();
      record->published_until = NanosOf(until);
      if (published->certificate == record->certificate) {
        record->waiting = false;
        if (record->state == AuthorityState::kStaging && record->since == 0) record->since = changes.now();
      }
      changes.Put(std::move(record));
    }
    state.ForEach<AuthorityRecord>([&](const std::shared_ptr<const AuthorityRecord>& authority) {
      if (authority->state != AuthorityState::kRetiring ||
          both.snapshot->Find<AuthorityRecord>(authority->id) == nullptr)
        return true;
      auto record = std::make_shared<AuthorityRecord>(*authority);
      record->state = AuthorityState::kRetired;
      record->since = changes.now();
      record->waiting = false;
      changes.Put(std::move(record));
      return true;
    });
    const auto move = [&](const std::vector<std::string>& ids, CertificateState from, CertificateState to) {
      for (const std::string& id : ids) {
        const auto found = state.Find<RouterCertificateRecord>(id);
        if (found == nullptr || found->state != from) continue;  // revoked since: the next publication has it
        auto record = std::make_shared<RouterCertificateRecord>(*found);
        record->state = to;
        changes.Put(std::move(record));
      }
    };
    move(wanted.issued, CertificateState::kIssued, CertificateState::kPublished);
    move(wanted.revoking, CertificateState::kRevoking, CertificateState::kRevoked);
    AuditRecord audit;
    audit.event = "rpki_published";
    audit.fields = fields;
    changes.Audit(std::move(audit));
    return absl::OkStatus();
  });
  return receipt.status();
}

absl::Status RpkiAuthority::Publish(const Call* call) {
  const MutexLock lock(publishing_);
  RETURN_IF_ERROR(Find().status());
  // What is out lists every key; before all are issued again, less would be.
  if (IsSuperseded())
    return WithReason(FailedPrecondition("the issuing authority comes to a new key: try again"), "ROLLING");
  bool replayed = false;
  ASSIGN_OR_RETURN(const std::uint64_t number, TakeNumber(call == nullptr ? OwnCall("publish") : *call, replayed));
  if (replayed) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Authorities both, Find());
  Wanted wanted = WantedNow(both);
  const rpki::Time until = Now() + options_.point_life;
  ASSIGN_OR_RETURN(const PublicationTarget::Tree tree, Build(both, number, wanted, until));
  frame::JsonWriter json;
  json.BeginObject().Field("number", number).Field("certificates", std::uint64_t{wanted.listed});
  json.Field("revoked", std::uint64_t{wanted.revoked});
  // What exactly was out, for whoever asks later: a manifest has the digests of all else.
  json.Field("manifest_sha256", HexEncode(View(crypto::Sha256(tree.at("ca/" + both.issuer->stem() + ".mft")))));
  RETURN_IF_ERROR(target_.Publish(tree, number));
  return RecordPublished(both, wanted, number, until, json.EndObject().Take());
}

absl::StatusOr<std::size_t> RpkiAuthority::ExpireEnded() {
  std::vector<std::string> ended, not_ended;
  const UnixNanos time = clock_.NowNanos();
  ledger_.snapshot()->ForEach<RouterCertificateRecord>([&](const CertificatePtr& record) {
    if (record->due.has_value() && *record->due <= time) ended.push_back(record->id);
    // A clock that was wrong took it away. It is published anew, as if it had just been issued.
    if (record->state == CertificateState::kExpired && record->not_after > time) not_ended.push_back(record->id);
    return ended.size() < kExpiredAtOnce && not_ended.size() < kExpiredAtOnce;
  });
  RETURN_IF_ERROR(Mark(ended, CertificateState::kExpired, "router_certificates_expired"));
  RETURN_IF_ERROR(Mark(not_ended, CertificateState::kIssued, "router_certificates_not_expired"));
  return ended.size() + not_ended.size();
}

absl::Status RpkiAuthority::Mark(const std::vector<std::string>& ids, CertificateState as, std::string_view event) {
  if (ids.empty()) return absl::OkStatus();
  const auto edit = [&](const Snapshot& state, Changes& changes) -> absl::Status {
    frame::JsonWriter json;
    json.BeginObject().Key("certificates").BeginArray();
    for (const std::string& id : ids) {
      const auto found = state.Find<RouterCertificateRecord>(id);
      if (found == nullptr || found->IsRevoked() || found->state == as) continue;  // revoked since
      auto record = std::make_shared<RouterCertificateRecord>(*found);
      record->state = as;
      json.String(id);
      changes.Put(std::move(record));
    }
    AuditRecord audit;
    audit.event = event;
    audit.fields = json.EndArray().EndObject().Take();
    changes.Audit(std::move(audit));
    return absl::OkStatus();
  };
  return ledger_.Commit(OwnCall("expire"), edit).status();
}

}  // namespace virp::keymgr
