// The authorities' own life: their certificates are made anew before they end, and the issuing one comes to a new key
// (RFC 6489). Each step is one commit or several that may be repeated; what is to be done next, the records say.
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/frame/payload.h"
#include "lib/rpki/oids.h"
#include "services/keymgr/domain/rpki_authority.h"
#include "services/keymgr/domain/rpki_names.h"

namespace virp::keymgr {
namespace {

using AuthorityPtr = std::shared_ptr<const AuthorityRecord>;

constexpr std::size_t kAtOnce = 256;          // certificates in one Advance
constexpr std::size_t kReplacedAtOnce = 128;  // named in one audit record
constexpr std::size_t kMaxCommonName = 64;

AuditRecord AuditOf(std::string_view event, const AuthorityRecord& authority) {
  AuditRecord out;
  out.event = event;
  out.keys = {authority.identity()};
  frame::JsonWriter json;
  json.BeginObject().Field("authority", authority.folder()).Field("key_version", authority.key_version);
  out.fields = json.Field("state", AuthorityStateName(authority.state)).EndObject().Take();
  return out;
}

absl::StatusOr<std::string> CommonNameOf(const AuthorityRecord& authority) {
  ASSIGN_OR_RETURN(const x509::Certificate certificate, x509::ParseCertificate(authority.certificate));
  ASSIGN_OR_RETURN(const auto parts, x509::ParseName(certificate.subject));
  for (const x509::NamePart& part : parts) {
    if (part.oid == rpki::oid::kCommonName) return std::string(part.value);
  }
  return DataLoss("the certificate of authority {} has no name", authority.id);
}

// Names are unique among what an authority issued (RFC 6487 section 4.5): each key has its own.
std::string NameWith(std::string name, std::uint32_t old_version, std::uint32_t version) {
  const std::string old_suffix = fmt::format(" {}", old_version);
  if (old_version > 1 && name.ends_with(old_suffix)) name.resize(name.size() - old_suffix.size());
  const std::string suffix = fmt::format(" {}", version);
  name.resize(std::min(name.size(), kMaxCommonName - suffix.size()));
  return name + suffix;
}

// The resources of a certificate as its extensions have them.
std::vector<std::string> ResourcesOf(const x509::Certificate& certificate) {
  std::vector<std::string> out;
  for (const x509::Extension& extension : certificate.extensions) {
    if (extension.oid == rpki::oid::kIpResources || extension.oid == rpki::oid::kAsResources)
      out.push_back(x509::EncodeExtension(extension.oid, extension.critical, extension.value));
  }
  return out;
}

// Two months ahead, so that nobody is warned of what is done anyway; of short lives a third.
UnixNanos RenewAhead(UnixNanos life) {
  constexpr UnixNanos kTwoMonths = UnixNanos{61} * 86'400 * kNanosPerSecond;
  return std::max(life / 10, std::min(kTwoMonths, life / 3));
}

std::string_view GroupOf(const RouterCertificateRecord& record) {
  return std::string_view(record.id).substr(0, record.id.rfind('/'));
}

absl::Status Moved() {
  return Aborted("the roll of the authority went on meanwhile");
}

}  // namespace

// ---- certificates of authorities ----

// Anew, with the resources that the issuing authority has: options that changed since change no certificate.
absl::StatusOr<std::string> RpkiAuthority::CertifyAuthority(const Authorities& both, const AuthorityRecord& which,
                                                            std::string_view name, std::string_view spki) const {
  const AuthorityRecord& like = which.IsAnchor() ? *both.anchor : *both.issuer;
  ASSIGN_OR_RETURN(const x509::Certificate present, x509::ParseCertificate(like.certificate));
  rpki::AuthoritySpec spec = SpecOf(which, name, spki);
  spec.resources = ResourcesOf(present);
  ASSIGN_OR_RETURN(const rpki::Issuer above, IssuerOf(both, *both.anchor));
  const auto made =
      which.IsAnchor() ? rpki::IssueTrustAnchor(spec, above.signer) : rpki::IssueAuthorityCertificate(spec, above);
  RETURN_IF_ERROR(made.status());
  const auto checked = rpki::Chain::Make(which.IsAnchor() ? both.issuer->certificate : *made,
                                         which.IsAnchor() ? *made : both.anchor->certificate);
  RETURN_IF_ERROR(WithCode(checked.status(), absl::StatusCode::kFailedPrecondition));
  return made;
}

absl::StatusOr<bool> RpkiAuthority::RenewEnding(const Authorities& both, const AuthorityRecord& which) {
  ASSIGN_OR_RETURN(const x509::Certificate present, x509::ParseCertificate(which.certificate));
  const UnixNanos end = NanosOf(present.not_after);
  const UnixNanos now = clock_.NowNanos(), begin = NanosOf(present.not_before);
  // One that begins in the future was made by a clock that an operator believed, and nothing below it is valid till
  // then.
  if (begin <= now && now + RenewAhead(end - begin) < end) return false;
  ASSIGN_OR_RETURN(const std::string name, CommonNameOf(which));
  ASSIGN_OR_RETURN(const std::string certificate, CertifyAuthority(both, which, name, present.spki));
  Call call = OwnCall("rpki-authority");
  call.reason = "the certificate of an authority ends";
  const auto receipt = ledger_.Commit(call, [&](const Snapshot& state, Changes& changes) -> absl::Status {
    const auto before = state.Find<AuthorityRecord>(which.id);
    if (before == nullptr || before->certificate != which.certificate) return Moved();
    auto record = std::make_shared<AuthorityRecord>(*before);
    record->certificate = certificate;
    record->waiting = true;
    changes.Audit(AuditOf("rpki_authority_renewed", *record));
    changes.Put(std::move(record));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(receipt.status());
  return true;
}

// ---- the roll ----

absl::Status RpkiAuthority::StartRoll(const Call& call) {
  ASSIGN_OR_RETURN(const Authorities both, Find());
  return MakeNext(call, both, AuthorityState::kStaging);
}

absl::Status RpkiAuthority::MakeNext(const Call& call, const Authorities& both, AuthorityState state_of_next) {
  auto next = std::make_shared<AuthorityRecord>();
  next->id = kNewIssuerId;
  next->base_uri = both.issuer->base_uri;
  next->key_version = next->last_version = both.issuer->NextVersion();
  next->state = state_of_next;
  next->number = both.issuer->number;
  next->waiting = true;
  ASSIGN_OR_RETURN(const SealedKey key, MakeKey(kIssuerId, next->key_version));
  const auto finish = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const std::string name, CommonNameOf(*both.issuer));
    ASSIGN_OR_RETURN(
        next->certificate,
        CertifyAuthority(both, *next, NameWith(name, both.issuer->key_version, next->key_version), key.public_half));
    return ledger_
        .Commit(call,
                [&](const Snapshot& state, Changes& changes) -> absl::Status {
                  const auto issuer = state.Find<AuthorityRecord>(kIssuerId);
                  const bool superseded = issuer != nullptr && issuer->state == AuthorityState::kSuperseded;
                  bool rolling = state.Find<AuthorityRecord>(kNewIssuerId) != nullptr ||
                                 superseded != (next->state == AuthorityState::kReissuing);
                  state.ForEach<AuthorityRecord>([&](const AuthorityPtr& other) {
                    rolling = rolling || (!superseded && other->state == AuthorityState::kRetiring);
                    return !rolling;
                  });
                  if (rolling || issuer == nullptr || issuer->NextVersion() != next->key_version)
                    return WithReason(FailedPrecondition("a roll of the authority is under way: let it end first"),
                                      "ROLLING");
                  changes.Audit(AuditOf("rpki_authority_roll_started", *next));
                  changes.PutKey(key);
                  changes.Put(std::make_shared<AuthorityRecord>(*next));
                  return absl::OkStatus();
                })
        .status();
  };
  const absl::Status done = finish();
  // What did not come into the ledger is nobody's; when it is not known, the custody's Reconcile finds out.
  if (done.code() != absl::StatusCode::kUnavailable) {
    const auto kept = ledger_.snapshot()->FindKey(key.identity);
    const auto custody = custodies_.Of(key);
    if ((kept == nullptr || kept->public_half != key.public_half) && custody.ok())
      (*custody)->Destroy(key).IgnoreError();
  }
  return done;
}

RpkiAuthority::Left RpkiAuthority::LeftOf(const Snapshot& state, const AuthorityRecord& old_one,
                                          const AuthorityRecord& new_one, UnixNanos now) {
  Left out;
  std::map<std::string_view, CertificatePtr> newest;  // by key and AS
  std::set<std::string_view> again;
  std::vector<CertificatePtr> held;  // what the views are of
  state.ForEach<RouterCertificateRecord>([&](const CertificatePtr& record) {
    if (!record->IsLive() || record->not_after <= now) return true;
    held.push_back(record);
    if (record->issuer_version == new_one.key_version) {
      again.insert(GroupOf(*record));
      out.all_out = out.all_out && record->state == CertificateState::kPublished;
    } else if (record->issuer_version <= old_one.key_version || old_one.state == AuthorityState::kSuperseded) {
      CertificatePtr& place = newest[GroupOf(*record)];
      const auto rank = [](const RouterCertificateRecord& one) { return std::pair(one.not_after, one.issuer_version); };
      if (place == nullptr || rank(*place) < rank(*record)) place = record;
    }
    return true;
  });
  out.reissued = again.size();
  for (const auto& [group, record] : newest) {
    if (!again.contains(group)) out.todo.push_back(record);
  }
  return out;
}

AuthorityRoll RpkiAuthority::Roll() const {
  AuthorityRoll out;
  const auto both = Find();
  if (!both.ok()) return out;
  out.version = both->issuer->key_version;
  if (both->issuer->state == AuthorityState::kSuperseded) {
    out.state = AuthorityState::kReissuing;
    out.since = both->issuer->since;
  }
  if (both->next != nullptr) {
    out.state = both->next->state;
    out.next = both->next->key_version;
    out.since = both->next->since;
    const Left left = LeftOf(*both->snapshot, *both->issuer, *both->next, clock_.NowNanos());
    out.reissued = left.reissued;
    out.left = left.todo.size();
    return out;
  }
  both->snapshot->ForEach<AuthorityRecord>([&](const AuthorityPtr& other) {
    if (other->state != AuthorityState::kRetiring) return true;
    out.state = other->state;
    out.since = other->since;
    return false;
  });
  return out;
}

absl::Status RpkiAuthority::Reissue(const Authorities& both, std::vector<CertificatePtr> todo) {
  if (todo.size() > kAtOnce) todo.resize(kAtOnce);
  Call call = OwnCall("rpki-authority");
  call.reason = "the authority comes to a new key";
  std::vector<std::future<absl::StatusOr<Receipt>>> pending;
  absl::Status first;
  for (const CertificatePtr& old_one : todo) {
    const auto facts = rpki::RouterFactsOf(old_one->certificate);
    auto made = facts.ok() ? Sign(both, old_one->asn, old_one->bgp_id, facts->spki, facts->validity.not_after, nullptr)
                           : facts.status();
    if (!made.ok()) {
      first.Update(Annotate(made.status(), old_one->id));
      continue;
    }
    (*made)->router = old_one->router;
    pending.push_back(ledger_.Submit(
        call, [this, old_one, record = *std::move(made)](const Snapshot& state, Changes& changes) -> absl::Status {
          const auto before = state.Find<RouterCertificateRecord>(old_one->id);
          if (before == nullptr || !before->IsLive()) return absl::CancelledError("it was revoked meanwhile");
          const auto next = state.Find<AuthorityRecord>(kNewIssuerId);
          if (next == nullptr || next->key_version != record->issuer_version) return Moved();
          if (reissued_) reissued_(state, *before, *record, changes);
          AuditRecord audit;
          audit.event = "router_certificate_reissued";
          frame::JsonWriter json;
          json.BeginObject().Field("router", std::string_view(record->router)).Field("asn", record->asn);
          json.Field("certificate", std::string_view(record->id)).Field("replaces", std::string_view(old_one->id));
          audit.fields = json.EndObject().Take();
          changes.Audit(std::move(audit));
          changes.Put(std::make_shared<RouterCertificateRecord>(*record));
          return absl::OkStatus();
        }));
  }
  for (auto& one : pending) {
    const absl::Status done = one.get().status();
    if (!absl::IsCancelled(done)) first.Update(done);
  }
  return first;
}

// From here on the new key is the authority's, and the old one is revoked.
absl::Status RpkiAuthority::Switch(const Authorities& both) {
  Call call = OwnCall("rpki-authority");
  call.reason = "the authority comes to a new key";
  return ledger_
      .Commit(call,
              [&](const Snapshot& state, Changes& changes) -> absl::Status {
                const auto issuer = state.Find<AuthorityRecord>(kIssuerId);
                const auto next = state.Find<AuthorityRecord>(kNewIssuerId);
                if (issuer == nullptr || next == nullptr || next->state != AuthorityState::kReissuing ||
                    next->key_version != both.next->key_version)
                  return Moved();
                const Left left = LeftOf(state, *issuer, *next, changes.now());
                const bool superseded = issuer->state == AuthorityState::kSuperseded;
                if (!left.todo.empty() || (!left.all_out && !superseded)) return Moved();
                auto old_one = std::make_shared<AuthorityRecord>(*issuer);
                old_one->id = OldIssuerId(issuer->key_version);
                old_one->state = AuthorityState::kRetiring;
                auto new_one = std::make_shared<AuthorityRecord>(*next);
                new_one->id = kIssuerId;
                new_one->state = AuthorityState::kCurrent;
                old_one->since = new_one->since = changes.now();
                if (old_one->revoked == 0) old_one->revoked = changes.now();
                new_one->last_version = std::max(issuer->last_version, new_one->key_version);
                old_one->waiting = true;
                changes.Audit(AuditOf("rpki_authority_switched", *new_one));
                changes.Put(std::move(old_one));
                changes.Put(std::move(new_one));
                changes.Erase<AuthorityRecord>(kNewIssuerId);
                return absl::OkStatus();
              })
      .status();
}

absl::StatusOr<bool> RpkiAuthority::GoOn(const Authorities& both) {
  const UnixNanos now = clock_.NowNanos();
  if (both.next->state == AuthorityState::kStaging) {
    const auto staging = static_cast<UnixNanos>(std::chrono::nanoseconds(options_.roll_staging).count());
    if (both.next->since == 0 || now < both.next->since + staging) return false;
    Call call = OwnCall("rpki-authority");
    call.reason = "relying parties know the authority's new key";
    RETURN_IF_ERROR(ledger_
                        .Commit(call,
                                [&](const Snapshot& state, Changes& changes) -> absl::Status {
                                  const auto next = state.Find<AuthorityRecord>(kNewIssuerId);
                                  if (next == nullptr || next->state != AuthorityState::kStaging) return Moved();
                                  auto record = std::make_shared<AuthorityRecord>(*next);
                                  record->state = AuthorityState::kReissuing;
                                  record->since = changes.now();
                                  changes.Audit(AuditOf("rpki_authority_reissuing", *record));
                                  changes.Put(std::move(record));
                                  return absl::OkStatus();
                                })
                        .status());
    return true;
  }
  Left left = LeftOf(*both.snapshot, *both.issuer, *both.next, now);
  if (!left.todo.empty()) {
    RETURN_IF_ERROR(Reissue(both, std::move(left.todo)));
    return true;
  }
  // The next publication has them. A superseded key is not seen again, so that there is nothing to wait for.
  if (!left.all_out && both.issuer->state != AuthorityState::kSuperseded) return false;
  RETURN_IF_ERROR(Switch(both));
  return true;
}

// Of an authority's old key whose certificate is on the CRL: what it issued, then the key itself.
absl::StatusOr<bool> RpkiAuthority::Retire(const Authorities& both, const AuthorityRecord& old_one) {
  const auto key = both.snapshot->FindKey(old_one.identity());
  std::vector<std::string> live;
  both.snapshot->ForEach<RouterCertificateRecord>([&](const CertificatePtr& record) {
    if (record->issuer_version == old_one.key_version && record->IsLive()) live.push_back(record->id);
    return live.size() < kReplacedAtOnce;
  });
  if (key == nullptr && live.empty()) return false;
  Call call = OwnCall("rpki-authority");
  call.reason = "the authority's old key is revoked";
  const auto receipt = ledger_.Commit(call, [&](const Snapshot& state, Changes& changes) -> absl::Status {
    AuditRecord audit = AuditOf("rpki_authority_key_destroyed", old_one);
    if (live.empty()) {
      changes.DropKey(key->identity);
      changes.Audit(std::move(audit));
      return absl::OkStatus();
    }
    frame::JsonWriter json;
    json.BeginObject().Field("key_version", old_one.key_version).Key("certificates").BeginArray();
    for (const std::string& id : live) {
      const auto found = state.Find<RouterCertificateRecord>(id);
      if (found == nullptr || !found->IsLive()) continue;
      auto record = std::make_shared<RouterCertificateRecord>(*found);
      record->state = CertificateState::kReplaced;
      json.String(id);
      changes.Put(std::move(record));
    }
    audit.event = "router_certificates_replaced";
    audit.fields = json.EndArray().EndObject().Take();
    changes.Audit(std::move(audit));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(receipt.status());
  if (!live.empty()) return true;
  if (const auto custody = custodies_.Of(*key); custody.ok()) (*custody)->Destroy(*key).IgnoreError();
  return true;
}

absl::StatusOr<bool> RpkiAuthority::Advance() {
  const auto both = Find();
  if (!both.ok()) return false;
  const bool superseded = both->issuer->state == AuthorityState::kSuperseded;
  for (const AuthorityPtr& which : {both->anchor, both->issuer}) {
    if (superseded && which == both->issuer) continue;
    ASSIGN_OR_RETURN(const bool renewed, RenewEnding(*both, *which));
    if (renewed) return true;
  }
  if (superseded && both->next == nullptr) {
    Call call = OwnCall("rpki-authority");
    call.reason = "the chain knows that the authority's key was replaced; the key that replaced it is lost";
    RETURN_IF_ERROR(MakeNext(call, *both, AuthorityState::kReissuing));
    return true;
  }
  if (both->next != nullptr) return GoOn(*both);
  std::vector<AuthorityPtr> retired;
  both->snapshot->ForEach<AuthorityRecord>([&](const AuthorityPtr& other) {
    if (other->state == AuthorityState::kRetired) retired.push_back(other);
    return true;
  });
  for (const AuthorityPtr& one : retired) {
    ASSIGN_OR_RETURN(const bool done, Retire(*both, *one));
    if (done) return true;
  }
  return false;
}

}  // namespace virp::keymgr
