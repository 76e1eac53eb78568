#include "services/keymgr/domain/rpki_authority.h"

#include <algorithm>
#include <array>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/cms.h"
#include "lib/frame/payload.h"
#include "lib/rpki/key_package.h"

namespace virp::keymgr {
namespace {

constexpr std::string_view kAnchor = "ta", kIssuer = "ca";
constexpr UnixNanos kNanos = 1'000'000'000;
constexpr UnixNanos kDay = 86'400 * kNanos;

rpki::Time TimeOf(UnixNanos nanos) {
  return rpki::Time(std::chrono::seconds(nanos / kNanos));
}
UnixNanos NanosOf(rpki::Time time) {
  return static_cast<UnixNanos>(time.time_since_epoch().count()) * kNanos;
}

// Names below the base URI. Relying parties know them from certificates, so they never change.
std::string PointUri(std::string_view base, std::string_view id) {
  return fmt::format("{}{}/", base, id);
}
std::string CrlUri(std::string_view base, std::string_view id) {
  return fmt::format("{}{}/{}.crl", base, id, id);
}
std::string ManifestUri(std::string_view base, std::string_view id) {
  return fmt::format("{}{}/{}.mft", base, id, id);
}
std::string AnchorUri(std::string_view base) {
  return fmt::format("{}ta.cer", base);
}
std::string IssuerUri(std::string_view base) {
  return fmt::format("{}ta/ca.cer", base);
}

std::string FileNameOf(const RouterCertificateRecord& record) {
  std::string name = record.id;
  std::replace(name.begin(), name.end(), '/', '-');
  return name + ".cer";
}

AuditRecord AuditOf(std::string_view event, const RouterCertificateRecord& record) {
  AuditRecord out;
  out.event = event;
  frame::JsonWriter json;
  json.BeginObject().Field("router", std::string_view(record.router)).Field("asn", record.asn);
  out.fields = json.Field("certificate", std::string_view(record.id)).EndObject().Take();
  return out;
}

}  // namespace

std::optional<int> ExpiryWarning(UnixNanos not_after, UnixNanos told, UnixNanos now) {
  constexpr std::array kDays{0, 1, 3, 7, 14, 30, 60};
  const auto passed = [&](UnixNanos at) -> std::optional<int> {
    for (const int days : kDays) {
      if (at + static_cast<UnixNanos>(days) * kDay >= not_after) return days;
    }
    return std::nullopt;
  };
  const auto last = passed(now);
  return last.has_value() && (told == 0 || passed(told) != last) ? last : std::nullopt;
}

RpkiAuthority::RpkiAuthority(Ledger& ledger, const Custodies& custodies, PublicationTarget& target,
                             rpki::OneTimeKeys& one_time_keys, const Clock& clock, RpkiOptions options,
                             std::string self)
    : ledger_(ledger),
      custodies_(custodies),
      target_(target),
      one_time_keys_(one_time_keys),
      clock_(clock),
      options_(std::move(options)),
      self_(std::move(self)) {}

rpki::Time RpkiAuthority::Now() const {
  return TimeOf(clock_.NowNanos());
}

Call RpkiAuthority::OwnCall(std::string_view what) const {
  Call call;
  call.actor = self_;
  call.method = fmt::format("schedule/{}", what);
  call.reason = "publication is due";
  return call;
}

absl::StatusOr<RpkiAuthority::Authorities> RpkiAuthority::Find() const {
  Authorities out;
  out.snapshot = ledger_.snapshot();
  out.anchor = out.snapshot->Find<AuthorityRecord>(kAnchor);
  out.issuer = out.snapshot->Find<AuthorityRecord>(kIssuer);
  if (out.anchor == nullptr || out.issuer == nullptr) {
    return WithReason(FailedPrecondition("there is no RPKI authority yet: set it up first"), "NO_AUTHORITY");
  }
  return out;
}

absl::StatusOr<x509::Signer> RpkiAuthority::SignerOf(const SealedKey& key) const {
  ASSIGN_OR_RETURN(Custody* const custody, custodies_.Of(key));
  return [custody, key](std::string_view message) { return custody->Sign(key, message); };
}

absl::StatusOr<rpki::Issuer> RpkiAuthority::IssuerOf(const Authorities& both, const AuthorityRecord& which) const {
  const auto key = both.snapshot->FindKey(which.identity());
  if (key == nullptr) return DataLoss("{} is not in the ledger", ToString(which.identity()));
  ASSIGN_OR_RETURN(const x509::Certificate certificate, x509::ParseCertificate(which.certificate));
  rpki::Issuer out;
  out.name = certificate.subject;
  ASSIGN_OR_RETURN(out.key_identifier, rpki::KeyIdentifier(certificate.spki));
  out.certificate_uri = which.id == kAnchor ? AnchorUri(which.base_uri) : IssuerUri(which.base_uri);
  out.crl_uri = CrlUri(which.base_uri, which.id);
  ASSIGN_OR_RETURN(out.signer, SignerOf(*key));
  return out;
}

rpki::AuthoritySpec RpkiAuthority::SpecOf(std::string_view id, std::string_view name, std::string_view spki) const {
  return {.common_name = std::string(name),
          .serial = rpki::RandomSerial(),
          .validity = {Now(), Now() + options_.authority_life},
          .spki = spki,
          .as_numbers = options_.as_numbers,
          .addresses = options_.addresses,
          .repository_uri = PointUri(options_.base_uri, id),
          .manifest_uri = ManifestUri(options_.base_uri, id),
          .notify_uri = ""};
}

absl::StatusOr<SealedKey> RpkiAuthority::MakeKey(std::string_view id) {
  const KeyIdentity identity{KeyKind::kIssuer, std::string(id), 1, Algorithm::kRsa2048};
  return custodies_.For(KeyKind::kIssuer).Generate(identity, ExportPolicy::kNever);
}

absl::Status RpkiAuthority::SetUp(const Call& call) {
  if (Find().ok()) return absl::OkStatus();
  if (!options_.base_uri.ends_with('/'))
    return InvalidArgument("base URI '{}' has no '/' at its end", options_.base_uri);
  ASSIGN_OR_RETURN(const SealedKey anchor_key, MakeKey(kAnchor));
  ASSIGN_OR_RETURN(const SealedKey issuer_key, MakeKey(kIssuer));
  auto anchor = std::make_shared<AuthorityRecord>();
  auto issuer = std::make_shared<AuthorityRecord>();
  anchor->id = kAnchor;
  issuer->id = kIssuer;
  anchor->base_uri = issuer->base_uri = options_.base_uri;
  anchor->key_version = issuer->key_version = 1;
  ASSIGN_OR_RETURN(const x509::Signer signer, SignerOf(anchor_key));
  ASSIGN_OR_RETURN(anchor->certificate,
                   rpki::IssueTrustAnchor(SpecOf(kAnchor, options_.trust_anchor_name, anchor_key.public_half), signer));
  rpki::Issuer above;
  ASSIGN_OR_RETURN(above.name, rpki::EncodeName(options_.trust_anchor_name));
  ASSIGN_OR_RETURN(above.key_identifier, rpki::KeyIdentifier(anchor_key.public_half));
  above.certificate_uri = AnchorUri(options_.base_uri);
  above.crl_uri = CrlUri(options_.base_uri, kAnchor);
  above.signer = signer;
  ASSIGN_OR_RETURN(issuer->certificate, rpki::IssueAuthorityCertificate(
                                            SpecOf(kIssuer, options_.authority_name, issuer_key.public_half), above));
  const auto receipt = ledger_.Commit(call, [&](const Snapshot& now, Changes& changes) -> absl::Status {
    if (now.Find<AuthorityRecord>(kIssuer) != nullptr) return AlreadyExists("the RPKI authority was set up meanwhile");
    changes.Put(std::make_shared<AuthorityRecord>(*anchor));
    changes.Put(std::make_shared<AuthorityRecord>(*issuer));
    changes.PutKey(anchor_key);
    changes.PutKey(issuer_key);
    AuditRecord record;
    record.event = "rpki_authority_created";
    record.keys = {anchor_key.identity, issuer_key.identity};
    changes.Audit(std::move(record));
    return absl::OkStatus();
  });
  // What did not come into the ledger is nobody's. When it is not known, the custody's Reconcile finds out.
  if (!receipt.ok() && receipt.status().code() != absl::StatusCode::kUnavailable) {
    for (const SealedKey& key : {anchor_key, issuer_key}) {
      if (const auto custody = custodies_.Of(key); custody.ok()) (*custody)->Destroy(key).IgnoreError();
    }
  }
  return receipt.status();
}

absl::Status RpkiAuthority::CheckIssued(const Authorities& both, std::string_view der, const Order& order,
                                        std::string_view spki) const {
  // Fails closed when our own chain is not what it should be: expired, changed, or without this AS.
  const rpki::Refusals refusals = rpki::CheckPath(der, {both.issuer->certificate}, both.anchor->certificate, {},
                                                  {.asn = order.asn, .now = Now(), .spki = spki});
  return WithCode(rpki::AsStatus(refusals, "the new certificate"), absl::StatusCode::kFailedPrecondition);
}

absl::StatusOr<RpkiAuthority::CertificatePtr> RpkiAuthority::Issue(const Call& call, const Order& order, bool renew) {
  RETURN_IF_ERROR(CheckKeyId(order.router));
  RETURN_IF_ERROR(rpki::AsStatus(rpki::CheckRouterRequest(order.request, {.asn = order.asn}), "certificate request"));
  ASSIGN_OR_RETURN(const x509::Request request, x509::ParseRequest(order.request));
  ASSIGN_OR_RETURN(const Authorities both, Find());
  ASSIGN_OR_RETURN(const rpki::Issuer issuer, IssuerOf(both, *both.issuer));
  auto record = std::make_shared<RouterCertificateRecord>();
  record->serial = rpki::RandomSerial();
  const rpki::Time until = Now() + order.life.value_or(options_.router_life);
  ASSIGN_OR_RETURN(record->certificate, rpki::IssueRouterCertificate({.asn = order.asn,
                                                                      .bgp_id = order.bgp_id,
                                                                      .serial = record->serial,
                                                                      .validity = {Now(), until},
                                                                      .spki = request.spki},
                                                                     issuer));
  RETURN_IF_ERROR(CheckIssued(both, record->certificate, order, request.spki));
  ASSIGN_OR_RETURN(const std::string key_identifier, rpki::KeyIdentifier(request.spki));
  const std::string of_key = HexEncode(key_identifier) + "/";
  record->id = fmt::format("{}{}/{}", of_key, order.asn, HexEncode(record->serial));
  record->router = order.router;
  record->asn = order.asn;
  record->bgp_id = order.bgp_id;
  record->not_after = NanosOf(until);
  const auto receipt = ledger_.Commit(call, [&](const Snapshot& state, Changes& changes) -> absl::Status {
    if (order.also) RETURN_IF_ERROR(order.also(state, *record, changes));
    absl::Status conflict;
    state.ForEach<RouterCertificateRecord>(
        [&](const CertificatePtr& other) {
          const bool counts = !other->IsRevoked() && other->not_after > changes.now();
          if (other->router != order.router || (other->asn == order.asn && counts && !renew)) {
            conflict = WithReason(AlreadyExists("this key has certificate {} of router {}", other->id, other->router),
                                  "KEY_IN_USE");
          }
          return conflict.ok();
        },
        of_key);
    RETURN_IF_ERROR(conflict);
    AuditRecord audit = AuditOf("router_certificate_issued", *record);
    audit.keys = order.keys;
    changes.Audit(std::move(audit));
    changes.Answer(record->id);
    changes.Put(std::make_shared<RouterCertificateRecord>(*record));
    return absl::OkStatus();
  });
  if (!receipt.ok()) return receipt.status();
  return Get(receipt->answer);
}

absl::Status RpkiAuthority::Revoke(const Call& call, std::string_view id) {
  const auto receipt = ledger_.Commit(call, [&](const Snapshot& state, Changes& changes) -> absl::Status {
    const auto found = state.Find<RouterCertificateRecord>(id);
    if (found == nullptr) return NotFound("router certificate {} is not there", id);
    if (found->IsRevoked()) return WithReason(FailedPrecondition("router certificate {} is revoked", id), "REVOKED");
    auto record = std::make_shared<RouterCertificateRecord>(*found);
    record->state = CertificateState::kRevoking;
    record->revoked = changes.now();
    changes.Audit(AuditOf("router_certificate_revoked", *record));
    changes.Put(std::move(record));
    return absl::OkStatus();
  });
  return receipt.status();
}

absl::Status RpkiAuthority::RevokeIn(const Snapshot& now, Changes& changes, std::string_view id) {
  const auto found = now.Find<RouterCertificateRecord>(id);
  if (found == nullptr) return NotFound("router certificate {} is not there", id);
  if (found->IsRevoked()) return absl::OkStatus();
  auto record = std::make_shared<RouterCertificateRecord>(*found);
  record->state = CertificateState::kRevoking;
  record->revoked = changes.now();
  changes.Put(std::move(record));
  return absl::OkStatus();
}

absl::StatusOr<RpkiAuthority::CertificatePtr> RpkiAuthority::Get(std::string_view id) const {
  CertificatePtr out = ledger_.snapshot()->Find<RouterCertificateRecord>(id);
  if (out == nullptr) return NotFound("router certificate {} is not there", id);
  return out;
}

absl::StatusOr<std::string> RpkiAuthority::CertsOnly(std::string_view id) const {
  ASSIGN_OR_RETURN(const CertificatePtr certificate, Get(id));
  ASSIGN_OR_RETURN(const Authorities both, Find());
  return cms::CertsOnly({certificate->certificate, both.issuer->certificate});
}

absl::StatusOr<std::string> RpkiAuthority::TrustAnchor() const {
  ASSIGN_OR_RETURN(const Authorities both, Find());
  return both.anchor->certificate;
}

absl::StatusOr<std::string> RpkiAuthority::Tal() const {
  ASSIGN_OR_RETURN(const Authorities both, Find());
  ASSIGN_OR_RETURN(const x509::Certificate certificate, x509::ParseCertificate(both.anchor->certificate));
  return rpki::EncodeTal({AnchorUri(both.anchor->base_uri)}, certificate.spki);
}

std::vector<std::string> RpkiAuthority::AuthoritiesBelow() const {
  const auto both = Find();
  return both.ok() ? std::vector<std::string>{both->issuer->certificate} : std::vector<std::string>();
}

absl::StatusOr<std::string> RpkiAuthority::CertifyTransferKey(std::string_view spki, std::chrono::seconds life) const {
  ASSIGN_OR_RETURN(const Authorities both, Find());
  ASSIGN_OR_RETURN(const rpki::Issuer issuer, IssuerOf(both, *both.issuer));
  return rpki::IssueTransferCertificate(
      {.serial = rpki::RandomSerial(), .validity = {Now(), Now() + life}, .spki = spki}, issuer);
}

std::vector<rpki::RouterKey> RpkiAuthority::RouterKeys() const {
  std::vector<rpki::RouterKey> out;
  ledger_.snapshot()->ForEach<RouterCertificateRecord>([&](const CertificatePtr& record) {
    if (record->state != CertificateState::kPublished || record->not_after <= clock_.NowNanos()) return true;
    const auto certificate = x509::ParseCertificate(record->certificate);
    if (certificate.ok()) out.push_back({record->asn, std::string(certificate->spki), certificate->not_after});
    return true;
  });
  auto distinct = rpki::Distinct(std::move(out));
  return distinct.ok() ? *std::move(distinct) : std::vector<rpki::RouterKey>();
}

RpkiAuthority::Wanted RpkiAuthority::WantedNow(const Snapshot& state) const {
  Wanted out;
  const UnixNanos now = clock_.NowNanos();
  state.ForEach<RouterCertificateRecord>([&](const CertificatePtr& record) {
    if (record->state == CertificateState::kIssued) out.issued.push_back(record->id);
    if (record->state == CertificateState::kRevoking) out.revoking.push_back(record->id);
    if (record->not_after <= now) return true;  // neither listed nor on the CRL any more
    if (record->IsRevoked()) {
      out.revoked.push_back({record->serial, TimeOf(record->revoked)});
    } else {
      out.files.emplace(FileNameOf(*record), record->certificate);
    }
    return true;
  });
  return out;
}

bool RpkiAuthority::PublicationDue() const {
  const auto both = Find();
  if (!both.ok()) return false;
  const Wanted wanted = WantedNow(*both->snapshot);
  const UnixNanos ahead = static_cast<UnixNanos>(options_.refresh_before.count()) * kNanos;
  return !wanted.issued.empty() || !wanted.revoking.empty() ||
         both->issuer->published_until <= clock_.NowNanos() + ahead;
}

absl::StatusOr<std::map<std::string, std::string>> RpkiAuthority::Build(const Authorities& both, std::uint64_t number,
                                                                        Wanted& wanted, rpki::Time until) {
  std::map<std::string, std::string> tree{{"ta.cer", both.anchor->certificate}};
  const auto add = [&](const AuthorityRecord& which, rpki::Files certificates,
                       std::vector<x509::Revoked> revoked) -> absl::Status {
    ASSIGN_OR_RETURN(const rpki::Issuer issuer, IssuerOf(both, which));
    const crypto::RsaPrivateKey one_time_key = one_time_keys_.Take();
    ASSIGN_OR_RETURN(rpki::Files files, rpki::BuildPoint({.repository_uri = PointUri(which.base_uri, which.id),
                                                          .manifest_uri = ManifestUri(which.base_uri, which.id),
                                                          .number = number,
                                                          .this_update = Now(),
                                                          .next_update = until,
                                                          .revoked = std::move(revoked),
                                                          .certificates = std::move(certificates)},
                                                         issuer, one_time_key));
    for (auto& [name, bytes] : files) tree[which.id + "/" + name] = std::move(bytes);
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(add(*both.anchor, {{"ca.cer", both.issuer->certificate}}, {}));
  RETURN_IF_ERROR(add(*both.issuer, std::move(wanted.files), std::move(wanted.revoked)));
  return tree;
}

absl::Status RpkiAuthority::Publish() {
  const MutexLock lock(publishing_);
  // The number first, for itself: one that may have been seen outside is never used again, whatever crashes.
  RETURN_IF_ERROR(Find().status());
  const auto numbered =
      ledger_.Commit(OwnCall("publish"), [&](const Snapshot& state, Changes& changes) -> absl::Status {
        for (const std::string_view id : {kAnchor, kIssuer}) {
          auto record = std::make_shared<AuthorityRecord>(*state.Find<AuthorityRecord>(id));
          ++record->number;
          changes.Put(std::move(record));
        }
        AuditRecord audit;
        audit.event = "rpki_publication_begun";
        changes.Audit(std::move(audit));
        return absl::OkStatus();
      });
  if (!numbered.ok()) return numbered.status();
  ASSIGN_OR_RETURN(const Authorities both, Find());
  Wanted wanted = WantedNow(*both.snapshot);
  const rpki::Time until = Now() + options_.point_life;
  const std::size_t listed = wanted.files.size(), revoked = wanted.revoked.size();
  ASSIGN_OR_RETURN(const auto tree, Build(both, both.issuer->number, wanted, until));
  RETURN_IF_ERROR(target_.Publish(tree));
  const auto receipt = ledger_.Commit(OwnCall("publish"), [&](const Snapshot& state, Changes& changes) -> absl::Status {
    for (const std::string_view id : {kAnchor, kIssuer}) {
      auto record = std::make_shared<AuthorityRecord>(*state.Find<AuthorityRecord>(id));
      record->published_until = NanosOf(until);
      changes.Put(std::move(record));
    }
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
    frame::JsonWriter json;
    json.BeginObject().Field("number", both.issuer->number).Field("certificates", std::uint64_t{listed});
    audit.fields = json.Field("revoked", std::uint64_t{revoked}).EndObject().Take();
    changes.Audit(std::move(audit));
    return absl::OkStatus();
  });
  return receipt.status();
}

}  // namespace virp::keymgr
