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
  out.next = out.snapshot->Find<AuthorityRecord>(kNewIssuerId);
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
  if (which.state == AuthorityState::kSuperseded)
    return WithReason(FailedPrecondition("the issuing authority comes to a new key: try again"), "ROLLING");
  const auto key = both.snapshot->FindKey(which.identity());
  if (key == nullptr) return DataLoss("{} is not in the ledger", ToString(which.identity()));
  ASSIGN_OR_RETURN(const x509::Certificate certificate, x509::ParseCertificate(which.certificate));
  rpki::Issuer out;
  out.name = certificate.subject;
  ASSIGN_OR_RETURN(out.key_identifier, rpki::KeyIdentifier(certificate.spki));
  out.certificate_uri = which.IsAnchor() ? AnchorUri(which.base_uri) : IssuerUri(which.base_uri, which.stem());
  out.crl_uri = CrlUri(which.base_uri, which.folder(), which.stem());
  ASSIGN_OR_RETURN(out.signer, SignerOf(*key));
  return out;
}

rpki::AuthoritySpec RpkiAuthority::SpecOf(const AuthorityRecord& which, std::string_view name,
                                          std::string_view spki) const {
  return {.common_name = std::string(name),
          .serial = rpki::RandomSerial(),
          .validity = {Now(), Now() + options_.authority_life},
          .spki = spki,
          .as_numbers = options_.as_numbers,
          .addresses = options_.addresses,
          .repository_uri = PointUri(which.base_uri, which.folder()),
          .manifest_uri = ManifestUri(which.base_uri, which.folder(), which.stem()),
          .notify_uri = ""};
}

absl::StatusOr<SealedKey> RpkiAuthority::MakeKey(std::string_view id, std::uint32_t version) {
  const KeyIdentity identity{KeyKind::kIssuer, std::string(id), version, Algorithm::kRsa2048};
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
  ASSIGN_OR_RETURN(const SealedKey anchor_key, MakeKey(kAnchorId, 1));
  ASSIGN_OR_RETURN(const SealedKey issuer_key, MakeKey(kIssuerId, 1));
  auto anchor = std::make_shared<AuthorityRecord>();
  auto issuer = std::make_shared<AuthorityRecord>();
  anchor->id = kAnchorId;
  issuer->id = kIssuerId;
  anchor->base_uri = issuer->base_uri = options_.base_uri;
  anchor->key_version = issuer->key_version = 1;
  ASSIGN_OR_RETURN(const x509::Signer signer, SignerOf(anchor_key));
  ASSIGN_OR_RETURN(anchor->certificate,
                   rpki::IssueTrustAnchor(SpecOf(*anchor, options_.trust_anchor_name, anchor_key.public_half), signer));
  rpki::Issuer above;
  ASSIGN_OR_RETURN(above.name, rpki::EncodeName(options_.trust_anchor_name));
  ASSIGN_OR_RETURN(above.key_identifier, rpki::KeyIdentifier(anchor_key.public_half));
  above.certificate_uri = AnchorUri(options_.base_uri);
  above.crl_uri = CrlUri(options_.base_uri, kAnchorId, kAnchorId);
  above.signer = signer;
  ASSIGN_OR_RETURN(issuer->certificate, rpki::IssueAuthorityCertificate(
                                            SpecOf(*issuer, options_.authority_name, issuer_key.public_half), above));
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
  const std::string& issuer = both.Signing().certificate;
  const MutexLock lock(chain_mutex_);
  if (chain_ == nullptr || chain_->issuer() != issuer || chain_->trust_anchor() != both.anchor->certificate) {
    ASSIGN_OR_RETURN(chain_, rpki::Chain::Make(issuer, both.anchor->certificate));
  }
  return chain_;
}

// Signed and checked, for whoever knows the rest. `key`: the same as `spki`, when its point is known to be good.
absl::StatusOr<std::shared_ptr<RouterCertificateRecord>> RpkiAuthority::Sign(const Authorities& both, std::uint32_t asn,
                                                                             std::uint32_t bgp_id,
                                                                             std::string_view spki, rpki::Time until,
                                                                             const crypto::P256PublicKey* key) const {
  ASSIGN_OR_RETURN(const rpki::Issuer issuer, IssuerOf(both, both.Signing()));
  auto record = std::make_shared<RouterCertificateRecord>();
  record->serial = rpki::RandomSerial();
  ASSIGN_OR_RETURN(
      record->certificate,
      rpki::IssueRouterCertificate(
          {.asn = asn, .bgp_id = bgp_id, .serial = record->serial, .validity = {Now(), until}, .spki = spki}, issuer));
  // Fails closed when our own chain is not what it should be: expired, changed, or without this AS.
  const auto chain = ChainOf(both);
  if (!chain.ok()) return WithCode(chain.status(), absl::StatusCode::kFailedPrecondition);
  const rpki::Refusals refusals =
      (*chain)->Check(record->certificate, {.asn = asn, .now = Now(), .spki = spki, .key = key});
  RETURN_IF_ERROR(WithCode(rpki::AsStatus(refusals, "the new certificate"), absl::StatusCode::kFailedPrecondition));
  ASSIGN_OR_RETURN(const std::string key_identifier, rpki::KeyIdentifier(spki));
  record->id = fmt::format("{}/{}/{}", HexEncode(key_identifier), asn, HexEncode(record->serial));
  record->asn = asn;
  record->bgp_id = bgp_id;
  record->not_after = NanosOf(until);
  record->issuer_version = both.Signing().key_version;
  return record;
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
  ASSIGN_OR_RETURN(const Authorities both, Find());
  ASSIGN_OR_RETURN(auto record, Sign(both, order.asn, order.bgp_id, request->key().spki(),
                                     Now() + order.life.value_or(options_.router_life), &request->key()));
  record->router = order.router;
  return record;
}

// `order` outlives it.
Edit RpkiAuthority::EditFor(const Order& order, CertificatePtr record, bool renew) const {
  return [&order, record = std::move(record), renew](const Snapshot& state, Changes& changes) -> absl::Status {
    const auto next = state.Find<AuthorityRecord>(kNewIssuerId);
    const bool rolled = next != nullptr && next->state == AuthorityState::kReissuing;
    const auto signing = rolled ? next : state.Find<AuthorityRecord>(kIssuerId);
    if (signing == nullptr || signing->key_version != record->issuer_version)
      return Aborted("the authority came to a new key meanwhile: try again");
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
  if (!both.ok()) return {};
  std::vector<std::string> out{both->issuer->certificate};
  if (both->next != nullptr) out.push_back(both->next->certificate);
  return out;
}

bool RpkiAuthority::IsOurs(std::string_view certificate) const {
  const auto both = Find();
  return both.ok() && rpki::CheckIssuedBy(certificate, both->Signing().certificate).empty();
}

absl::StatusOr<std::string> RpkiAuthority::CertifyTransferKey(std::string_view spki, std::chrono::seconds life) const {
  ASSIGN_OR_RETURN(const Authorities both, Find());
  ASSIGN_OR_RETURN(const rpki::Issuer issuer, IssuerOf(both, both.Signing()));
  return rpki::IssueTransferCertificate(
      {.serial = rpki::RandomSerial(), .validity = {Now(), Now() + life}, .spki = spki}, issuer);
}

absl::Status RpkiAuthority::CheckChain() const {
  ASSIGN_OR_RETURN(const Authorities both, Find());
  std::vector<rpki::Refusals> all{
      rpki::CheckAuthorityCertificate(both.anchor->certificate, rpki::AuthorityKind::kTrustAnchor, Now())};
  for (const std::string& below : AuthoritiesBelow()) {
    all.push_back(rpki::CheckAuthorityCertificate(below, rpki::AuthorityKind::kSubordinate, Now()));
    all.push_back(rpki::CheckIssuedBy(below, both.anchor->certificate));
  }
  for (const rpki::Refusals& refusals : all) {
    RETURN_IF_ERROR(WithCode(rpki::AsStatus(refusals, "our own authorities"), absl::StatusCode::kFailedPrecondition));
  }
  return absl::OkStatus();
}

}  // namespace virp::keymgr
