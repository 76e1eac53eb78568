#include "services/keymgr/domain/rpki_authority.h"

#include <future>
#include <optional>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/cms.h"
#include "lib/frame/payload.h"
#include "lib/rpki/key_package.h"
#include "services/keymgr/domain/rpki_names.h"

namespace virp::keymgr {
namespace {

AuditRecord AuditOf(std::string_view event, const RouterCertificateRecord& record) {
  AuditRecord out;
  out.event = event;
  frame::JsonWriter json;
  json.BeginObject().Field("router", std::string_view(record.router)).Field("asn", record.asn);
  out.fields = json.Field("certificate", std::string_view(record.id)).EndObject().Take();
  return out;
}

}  // namespace

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
  out.anchor = out.snapshot->Find<AuthorityRecord>(kAnchorId);
  out.issuer = out.snapshot->Find<AuthorityRecord>(kIssuerId);
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
  out.certificate_uri = which.id == kAnchorId ? AnchorUri(which.base_uri) : IssuerUri(which.base_uri);
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
  if (options_.base_uri.empty()) {
    return WithReason(FailedPrecondition("no base URI of an RPKI publication is configured: set rpki-base-uri"),
                      "NOT_CONFIGURED");
  }
  if (!options_.base_uri.starts_with("rsync://"))
    return InvalidArgument("base URI '{}' is not rsync://HOST/MODULE/", options_.base_uri);
  if (!options_.base_uri.ends_with('/'))
    return InvalidArgument("base URI '{}' has no '/' at its end", options_.base_uri);
  ASSIGN_OR_RETURN(const SealedKey anchor_key, MakeKey(kAnchorId));
  ASSIGN_OR_RETURN(const SealedKey issuer_key, MakeKey(kIssuerId));
  auto anchor = std::make_shared<AuthorityRecord>();
  auto issuer = std::make_shared<AuthorityRecord>();
  anchor->id = kAnchorId;
  issuer->id = kIssuerId;
  anchor->base_uri = issuer->base_uri = options_.base_uri;
  anchor->key_version = issuer->key_version = 1;
  ASSIGN_OR_RETURN(const x509::Signer signer, SignerOf(anchor_key));
  ASSIGN_OR_RETURN(
      anchor->certificate,
      rpki::IssueTrustAnchor(SpecOf(kAnchorId, options_.trust_anchor_name, anchor_key.public_half), signer));
  rpki::Issuer above;
  ASSIGN_OR_RETURN(above.name, rpki::EncodeName(options_.trust_anchor_name));
  ASSIGN_OR_RETURN(above.key_identifier, rpki::KeyIdentifier(anchor_key.public_half));
  above.certificate_uri = AnchorUri(options_.base_uri);
  above.crl_uri = CrlUri(options_.base_uri, kAnchorId);
  above.signer = signer;
  ASSIGN_OR_RETURN(issuer->certificate, rpki::IssueAuthorityCertificate(
                                            SpecOf(kIssuerId, options_.authority_name, issuer_key.public_half), above));
  const auto receipt = ledger_.Commit(call, [&](const Snapshot& now, Changes& changes) -> absl::Status {
    if (now.Find<AuthorityRecord>(kIssuerId) != nullptr)
      return AlreadyExists("the RPKI authority was set up meanwhile");
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

absl::StatusOr<std::shared_ptr<const rpki::Chain>> RpkiAuthority::ChainOf(const Authorities& both) const {
  const MutexLock lock(chain_mutex_);
  if (chain_ == nullptr || chain_->issuer() != both.issuer->certificate ||
      chain_->trust_anchor() != both.anchor->certificate) {
    ASSIGN_OR_RETURN(chain_, rpki::Chain::Make(both.issuer->certificate, both.anchor->certificate));
  }
  return chain_;
}

absl::Status RpkiAuthority::CheckIssued(const Authorities& both, std::string_view der, const Order& order,
                                        const crypto::P256PublicKey& key) const {
  // Fails closed when our own chain is not what it should be: expired, changed, or without this AS.
  const auto chain = ChainOf(both);
  if (!chain.ok()) return WithCode(chain.status(), absl::StatusCode::kFailedPrecondition);
  const rpki::Refusals refusals = (*chain)->Check(der, {.asn = order.asn, .now = Now(), .key = &key});
  return WithCode(rpki::AsStatus(refusals, "the new certificate"), absl::StatusCode::kFailedPrecondition);
}

// Signed and checked, and not recorded yet.
absl::StatusOr<RpkiAuthority::CertificatePtr> RpkiAuthority::Certify(const Order& order) const {
  RETURN_IF_ERROR(CheckKeyId(order.router));
  std::optional<rpki::RouterRequest> checked;
  const rpki::RouterRequest* request = order.checked;
  if (request == nullptr || request->expected().asn != order.asn) {
    ASSIGN_OR_RETURN(checked, rpki::RouterRequest::Check(order.request, {.asn = order.asn}));
    request = &*checked;
  }
  const std::string_view spki = request->key().spki();
  ASSIGN_OR_RETURN(const Authorities both, Find());
  ASSIGN_OR_RETURN(const rpki::Issuer issuer, IssuerOf(both, *both.issuer));
  auto record = std::make_shared<RouterCertificateRecord>();
  record->serial = rpki::RandomSerial();
  const rpki::Time until = Now() + order.life.value_or(options_.router_life);
  ASSIGN_OR_RETURN(record->certificate, rpki::IssueRouterCertificate({.asn = order.asn,
                                                                      .bgp_id = order.bgp_id,
                                                                      .serial = record->serial,
                                                                      .validity = {Now(), until},
                                                                      .spki = spki},
                                                                     issuer));
  RETURN_IF_ERROR(CheckIssued(both, record->certificate, order, request->key()));
  ASSIGN_OR_RETURN(const std::string key_identifier, rpki::KeyIdentifier(spki));
  record->id = fmt::format("{}/{}/{}", HexEncode(key_identifier), order.asn, HexEncode(record->serial));
  record->router = order.router;
  record->asn = order.asn;
  record->bgp_id = order.bgp_id;
  record->not_after = NanosOf(until);
  return record;
}

// `order` outlives it.
Edit RpkiAuthority::EditFor(const Order& order, CertificatePtr record, bool renew) const {
  return [&order, record = std::move(record), renew](const Snapshot& state, Changes& changes) -> absl::Status {
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
        std::string_view(record->id).substr(0, record->id.find('/') + 1));  // those of this key
    RETURN_IF_ERROR(conflict);
    AuditRecord audit = AuditOf("router_certificate_issued", *record);
    audit.keys = order.keys;
    changes.Audit(std::move(audit));
    changes.Answer(record->id);
    changes.Put(std::make_shared<RouterCertificateRecord>(*record));
    return absl::OkStatus();
  };
}

absl::StatusOr<RpkiAuthority::CertificatePtr> RpkiAuthority::Issue(const Call& call, const Order& order, bool renew) {
  ASSIGN_OR_RETURN(CertificatePtr record, Certify(order));
  const auto receipt = ledger_.Commit(call, EditFor(order, std::move(record), renew));
  if (!receipt.ok()) return receipt.status();
  return Get(receipt->answer);
}

std::vector<absl::StatusOr<RpkiAuthority::CertificatePtr>> RpkiAuthority::IssueAll(const std::vector<Item>& items) {
  std::vector<std::future<absl::StatusOr<Receipt>>> pending;
  for (const Item& item : items) {
    auto record = Certify(item.order);
    if (record.ok()) {
      pending.push_back(ledger_.Submit(item.call, EditFor(item.order, *std::move(record), item.renew)));
    } else {
      std::promise<absl::StatusOr<Receipt>> refused;
      refused.set_value(record.status());
      pending.push_back(refused.get_future());
    }
  }
  std::vector<absl::StatusOr<CertificatePtr>> out;
  for (auto& one : pending) {
    const auto receipt = one.get();
    out.push_back(receipt.ok() ? Get(receipt->answer) : absl::StatusOr<CertificatePtr>(receipt.status()));
  }
  return out;
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

std::vector<RpkiAuthority::CertificatePtr> RpkiAuthority::CertificatesOf(const Snapshot& now, std::string_view spki,
                                                                         std::uint32_t asn) {
  std::vector<CertificatePtr> out;
  const auto identifier = rpki::KeyIdentifier(spki);
  if (!identifier.ok()) return out;  // nothing was ever certified
  now.ForEach<RouterCertificateRecord>(
      [&](const CertificatePtr& record) {
        out.push_back(record);
        return true;
      },
      fmt::format("{}/{}/", HexEncode(*identifier), asn));
  return out;
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

absl::Status RpkiAuthority::CheckChain() const {
  ASSIGN_OR_RETURN(const Authorities both, Find());
  for (const rpki::Refusals& refusals :
       {rpki::CheckAuthorityCertificate(both.anchor->certificate, rpki::AuthorityKind::kTrustAnchor, Now()),
        rpki::CheckAuthorityCertificate(both.issuer->certificate, rpki::AuthorityKind::kSubordinate, Now()),
        rpki::CheckIssuedBy(both.issuer->certificate, both.anchor->certificate)}) {
    RETURN_IF_ERROR(WithCode(rpki::AsStatus(refusals, "our own authorities"), absl::StatusCode::kFailedPrecondition));
  }
  return absl::OkStatus();
}

}  // namespace virp::keymgr
