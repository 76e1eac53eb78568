// From a router's certificate up to the trust anchor.
#include <algorithm>
#include <utility>

#include "lib/base/status.h"
#include "lib/crypto/rsa.h"
#include "lib/rpki/chain.h"
#include "lib/rpki/check.h"
#include "lib/rpki/oids.h"
#include "lib/rpki/profile.h"

namespace virp::rpki {
namespace {

constexpr std::size_t kMaxDepth = 32;

void Append(Refusals& out, Refusals more, std::string_view whose) {
  for (Refusal& refusal : more) out.push_back({refusal.reason, fmt::format("{}: {}", whose, refusal.detail)});
}

constexpr std::string_view kNotHeld = "claims AS numbers that the authority above does not hold";
constexpr std::string_view kNobodyIssued = "no authority at hand that issued it, or one of those above it";

AsResources HoldingsOf(const x509::Certificate& certificate) {
  const x509::Extension* extension = profile::FindExtension(certificate, oid::kAsResources);
  if (extension == nullptr) return {};
  const auto decoded = AsResources::Decode(extension->value);
  return decoded.ok() ? decoded->numbers : AsResources();
}

// The certificate that `below` names as its issuer; null when it is not among them.
const x509::Certificate* IssuerOf(const x509::Certificate& below, const std::vector<x509::Certificate>& all) {
  const std::string_view identifier = profile::AuthorityKeyIdentifierIn(below);
  const auto found = std::find_if(all.begin(), all.end(), [&](const x509::Certificate& candidate) {
    return candidate.subject == below.issuer && profile::KeyIdentifierIn(candidate) == identifier;
  });
  return found == all.end() ? nullptr : &*found;
}

void CheckAgainstCrl(const x509::Certificate& certificate, const x509::Certificate& issuer, std::string_view crl_der,
                     const std::optional<Time>& now, Refusals& out) {
  const auto crl = x509::ParseRevocationList(crl_der);
  if (!crl.ok()) return out.push_back({Reason::kMalformed, std::string(Message(crl.status()))});
  if (crl->issuer != issuer.subject) return;
  const auto key = crypto::RsaPublicKey::FromSpki(issuer.spki);
  if (!key.ok() || !key->Verify(crl->tbs, crl->signature)) {
    return out.push_back({Reason::kSignature, "CRL: the signature is not the CA's"});
  }
  if (now.has_value() && (!crl->next_update.has_value() || *now > *crl->next_update)) {
    out.push_back({Reason::kExpired, "CRL: its next update is overdue"});
  }
  const auto same = [&](const x509::Revoked& entry) { return entry.serial == certificate.serial; };
  if (std::any_of(crl->revoked.begin(), crl->revoked.end(), same)) {
    out.push_back({Reason::kRevoked, "on its issuer's CRL"});
  }
}

struct Above {
  const std::vector<std::string>& authorities;
  std::string_view trust_anchor;
  const std::vector<std::string>& crls;
  std::optional<Time> now;
};

// From `leaf`, which was checked by itself: upwards, each certificate once; what is claimed is then held from the top
// down.
Refusals Climb(std::string_view leaf, const Above& given) {
  Refusals out;
  Append(out, CheckAuthorityCertificate(given.trust_anchor, AuthorityKind::kTrustAnchor, given.now), "trust anchor");
  if (given.authorities.size() > kMaxDepth) out.push_back({Reason::kMalformed, "too many authorities"});
  if (!out.empty()) return out;
  std::vector<x509::Certificate> above;
  for (const std::string& authority : given.authorities) {
    auto parsed = x509::ParseCertificate(authority);
    if (!parsed.ok()) return {{Reason::kMalformed, std::string(Message(parsed.status()))}};
    if (parsed->der != given.trust_anchor && parsed->der != leaf) above.push_back(*std::move(parsed));
  }
  above.push_back(*x509::ParseCertificate(given.trust_anchor));

  std::vector<x509::Certificate> path{*x509::ParseCertificate(leaf)};
  while (path.back().der != given.trust_anchor) {
    const x509::Certificate* issuer = path.size() > kMaxDepth ? nullptr : IssuerOf(path.back(), above);
    if (issuer == nullptr) return {{Reason::kIssuerName, std::string(kNobodyIssued)}};
    Append(out, CheckIssuedBy(path.back().der, issuer->der), path.size() == 1 ? "certificate" : "authority");
    if (issuer->der != given.trust_anchor) {
      Append(out, CheckAuthorityCertificate(issuer->der, AuthorityKind::kSubordinate, given.now), "authority");
    }
    for (const std::string& crl : given.crls) CheckAgainstCrl(path.back(), *issuer, crl, given.now, out);
    if (!out.empty()) return out;
    path.push_back(*issuer);
  }
  AsResources held = HoldingsOf(path.back());
  for (auto at = path.rbegin() + 1; at != path.rend(); ++at) {
    const AsResources claimed = HoldingsOf(*at);
    if (claimed.inherit()) continue;
    if (!held.Contains(claimed)) return {{Reason::kAsNotHeld, std::string(kNotHeld)}};
    held = claimed;
  }
  return out;
}

}  // namespace

Refusals CheckPath(std::string_view router, const std::vector<std::string>& authorities, std::string_view trust_anchor,
                   const std::vector<std::string>& crls, const RouterExpectation& expected) {
  Refusals out = CheckRouterCertificate(router, expected);
  return out.empty() ? Climb(router, {authorities, trust_anchor, crls, expected.now}) : out;
}

absl::StatusOr<std::shared_ptr<const Chain>> Chain::Make(std::string issuer, std::string trust_anchor) {
  const std::shared_ptr<Chain> out(new Chain(std::move(issuer), std::move(trust_anchor)));
  Refusals refusals;
  Append(refusals, CheckAuthorityCertificate(out->anchor_der_, AuthorityKind::kTrustAnchor, std::nullopt),
         "trust anchor");
  Append(refusals, CheckAuthorityCertificate(out->issuer_der_, AuthorityKind::kSubordinate, std::nullopt), "authority");
  if (refusals.empty()) Append(refusals, CheckIssuedBy(out->issuer_der_, out->anchor_der_), "authority");
  RETURN_IF_ERROR(AsStatus(refusals, "our own authorities"));
  ASSIGN_OR_RETURN(out->anchor_, x509::ParseCertificate(out->anchor_der_));
  ASSIGN_OR_RETURN(out->issuer_, x509::ParseCertificate(out->issuer_der_));
  ASSIGN_OR_RETURN(crypto::RsaPublicKey key, crypto::RsaPublicKey::FromSpki(out->issuer_.spki));
  out->key_ = std::make_unique<const crypto::RsaPublicKey>(std::move(key));
  out->held_ = HoldingsOf(out->anchor_);
  const AsResources claimed = HoldingsOf(out->issuer_);
  if (!claimed.inherit() && !out->held_.Contains(claimed))
    return AsStatus({{Reason::kAsNotHeld, std::string(kNotHeld)}}, "our own authorities");
  if (!claimed.inherit()) out->held_ = claimed;
  return out;
}

Refusals Chain::Check(std::string_view router, const RouterExpectation& expected) const {
  Refusals out = CheckRouterCertificate(router, expected);
  if (!out.empty()) return out;
  const auto dates = [&](const x509::Certificate& certificate, std::string_view whose) {
    profile::Examination exam(certificate);
    exam.Dates(expected.now);
    Append(out, exam.Take(), whose);
  };
  dates(anchor_, "trust anchor");
  dates(issuer_, "authority");
  const auto certificate = x509::ParseCertificate(router);
  if (!certificate.ok()) return {{Reason::kMalformed, std::string(Message(certificate.status()))}};
  if (certificate->issuer != issuer_.subject ||
      profile::AuthorityKeyIdentifierIn(*certificate) != profile::KeyIdentifierIn(issuer_)) {
    out.push_back({Reason::kIssuerName, std::string(kNobodyIssued)});
  } else if (!key_->Verify(certificate->tbs, certificate->signature)) {
    out.push_back({Reason::kSignature, "certificate: the signature is not the CA's"});
  }
  if (out.empty() && !held_.Contains(HoldingsOf(*certificate)))
    out.push_back({Reason::kAsNotHeld, std::string(kNotHeld)});
  return out;
}

Refusals CheckSignerPath(std::string_view signer, const std::vector<std::string>& authorities,
                         std::string_view trust_anchor, std::optional<Time> now) {
  const auto certificate = x509::ParseCertificate(signer);
  if (!certificate.ok()) return {{Reason::kMalformed, std::string(Message(certificate.status()))}};
  profile::Examination exam(*certificate);
  exam.Frame();
  exam.Dates(now);
  exam.SubjectKeyIdentifier();
  exam.AuthorityKeyIdentifier(true);
  exam.KeyUsage(der::NamedBits({0}), "digitalSignature");
  exam.Policy();
  if (exam.Find(oid::kBasicConstraints) != nullptr)
    exam.Refuse(Reason::kBasicConstraints, "basic constraints: a signer is no CA");
  Refusals out = exam.Take();
  const std::vector<std::string> no_crls;
  return out.empty() ? Climb(signer, {authorities, trust_anchor, no_crls, now}) : out;
}

}  // namespace virp::rpki
