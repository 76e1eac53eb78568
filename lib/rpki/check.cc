#include "lib/rpki/check.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/rsa.h"
#include "lib/rpki/oids.h"
#include "lib/rpki/profile.h"

namespace virp::rpki {
namespace {

using profile::Examination;

constexpr std::array<std::string_view, 44> kNames{
    "MALFORMED",
    "VERSION",
    "SERIAL_NUMBER",
    "SIGNATURE_ALGORITHM",
    "SIGNATURE",
    "ISSUER_NAME",
    "SUBJECT_NAME",
    "SUBJECT_OF_ANOTHER_AS",
    "VALIDITY",
    "NOT_YET_VALID",
    "EXPIRED",
    "REVOKED",
    "PUBLIC_KEY_ALGORITHM",
    "PUBLIC_KEY_COMPRESSED",
    "PUBLIC_KEY_INVALID",
    "UNIQUE_IDENTIFIER",
    "BASIC_CONSTRAINTS",
    "SUBJECT_KEY_IDENTIFIER_MISSING",
    "SUBJECT_KEY_IDENTIFIER_WRONG",
    "AUTHORITY_KEY_IDENTIFIER_MISSING",
    "AUTHORITY_KEY_IDENTIFIER_WRONG",
    "KEY_USAGE_MISSING",
    "KEY_USAGE_WRONG",
    "EXTENDED_KEY_USAGE_MISSING",
    "EXTENDED_KEY_USAGE_WRONG",
    "CRL_DISTRIBUTION_POINTS_MISSING",
    "CRL_DISTRIBUTION_POINTS_WRONG",
    "AUTHORITY_INFO_ACCESS_MISSING",
    "AUTHORITY_INFO_ACCESS_WRONG",
    "SUBJECT_INFO_ACCESS_MISSING",
    "SUBJECT_INFO_ACCESS_WRONG",
    "POLICY_MISSING",
    "POLICY_WRONG",
    "IP_RESOURCES",
    "AS_RESOURCES_MISSING",
    "AS_RESOURCES_WRONG",
    "AS_RESOURCES_INHERITED",
    "SEVERAL_AS_NUMBERS",
    "ANOTHER_AS_NUMBER",
    "AS_NOT_HELD",
    "UNKNOWN_EXTENSION",
    "UNKNOWN_CRITICAL_EXTENSION",
    "REQUEST_ATTRIBUTE",
    "REQUESTED_EXTENSION",
};
static_assert(kNames.size() == static_cast<std::size_t>(Reason::kRequestedExtension) + 1);

void CheckPurpose(Examination& exam, Origin origin) {
  const x509::Extension* extension = exam.Find(oid::kExtendedKeyUsage);
  if (extension == nullptr) return exam.Refuse(Reason::kExtendedKeyUsageMissing, "no extended key usage");
  if (extension->critical) exam.Refuse(Reason::kExtendedKeyUsageWrong, "extended key usage: critical");
  constexpr std::string_view kAny("\x55\x1d\x25\x00", 4);  // anyExtendedKeyUsage
  bool router = false, other = false, any = false, broken = false;
  auto list = der::Open(extension->value, der::kSequence, "extended key usage");
  broken = !list.ok();
  while (!broken && !list->AtEnd()) {
    const auto purpose = list->Oid();
    broken = !purpose.ok();
    if (broken) break;
    router = router || *purpose == oid::kBgpsecRouter;
    other = other || *purpose != oid::kBgpsecRouter;
    any = any || *purpose == kAny;
  }
  if (broken || !router || any || (other && origin == Origin::kOwn)) {
    exam.Refuse(Reason::kExtendedKeyUsageWrong,
                "extended key usage: not id-kp-bgpsec-router, or any purpose beside it");
  }
}

// The one AS that it is for.
std::optional<std::uint32_t> CheckAsNumber(Examination& exam) {
  const x509::Extension* extension = exam.Find(oid::kAsResources);
  if (extension == nullptr) {
    exam.Refuse(Reason::kAsResourcesMissing, "no AS number");
    return std::nullopt;
  }
  if (!extension->critical) exam.Refuse(Reason::kAsResourcesWrong, "AS resources: not critical");
  const auto decoded = AsResources::Decode(extension->value);
  if (!decoded.ok()) {
    exam.Refuse(Reason::kAsResourcesWrong, std::string(Message(decoded.status())));
    return std::nullopt;
  }
  if (decoded->has_rdi) exam.Refuse(Reason::kAsResourcesWrong, "AS resources: has routing domain identifiers");
  if (decoded->numbers.inherit()) {
    exam.Refuse(Reason::kAsResourcesInherited, "AS resources: inherited instead of named");
    return std::nullopt;
  }
  const std::vector<AsRange>& ranges = decoded->numbers.ranges();
  if (ranges.empty()) {
    exam.Refuse(Reason::kAsResourcesMissing, "AS resources: none");
    return std::nullopt;
  }
  if (ranges.size() != 1 || ranges.front().first != ranges.front().last) {
    exam.Refuse(Reason::kSeveralAsNumbers, "several AS numbers: relying parties take one (RFC 8209 section 5)");
    return std::nullopt;
  }
  return ranges.front().first;
}

void CheckSubject(Examination& exam, std::optional<std::uint32_t> asn, Origin origin) {
  const std::string_view subject = exam.certificate().subject;
  if (const absl::Status status = profile::CheckName(subject, true); !status.ok()) {
    return exam.Refuse(Reason::kSubjectName, fmt::format("subject's {}", Message(status)));
  }
  const auto named = profile::AsnInName(subject);
  if (named.has_value() && asn.has_value() && *named != *asn) {
    exam.Refuse(Reason::kSubjectOfAnotherAs,
                fmt::format("subject names AS {}, the certificate is for {}", *named, *asn));
  }
  if (!named.has_value() && origin == Origin::kOwn) {
    exam.Refuse(Reason::kSubjectName, "subject is not ROUTER-XXXXXXXX (RFC 8209 section 3.1.1)");
  }
}

Refusals Malformed(const absl::Status& status) {
  return {{Reason::kMalformed, std::string(Message(status))}};
}

void CheckRepository(Examination& exam) {
  const x509::Extension* extension = exam.Find(oid::kSubjectInfoAccess);
  if (extension == nullptr) return exam.Refuse(Reason::kSubjectInfoAccessMissing, "no subject information access");
  const auto accesses = profile::Accesses(extension->value);
  const auto has = [&](std::string_view method) {
    return accesses.ok() && std::any_of(accesses->begin(), accesses->end(), [&](const auto& access) {
             return access.first == method && access.second.starts_with("rsync://");
           });
  };
  if (extension->critical || !has(oid::kCaRepository) || !has(oid::kRpkiManifest)) {
    exam.Refuse(Reason::kSubjectInfoAccessWrong,
                "subject information access: no rsync repository or manifest, or critical");
  }
}

void CheckHoldings(Examination& exam, AuthorityKind kind) {
  const x509::Extension* addresses = exam.Find(oid::kIpResources);
  const x509::Extension* numbers = exam.Find(oid::kAsResources);
  if (addresses == nullptr && numbers == nullptr) {
    return exam.Refuse(Reason::kAsResourcesMissing, "neither AS numbers nor addresses");
  }
  if (addresses != nullptr && !addresses->critical) exam.Refuse(Reason::kIpResources, "IP resources: not critical");
  if (numbers == nullptr) return;
  if (!numbers->critical) exam.Refuse(Reason::kAsResourcesWrong, "AS resources: not critical");
  const auto decoded = AsResources::Decode(numbers->value);
  if (!decoded.ok()) return exam.Refuse(Reason::kAsResourcesWrong, std::string(Message(decoded.status())));
  if (decoded->has_rdi) exam.Refuse(Reason::kAsResourcesWrong, "AS resources: has routing domain identifiers");
  if (decoded->numbers.inherit() && kind == AuthorityKind::kTrustAnchor) {
    exam.Refuse(Reason::kAsResourcesInherited, "AS resources: a trust anchor has nobody to inherit from");
  }
}

}  // namespace

std::string_view ReasonName(Reason reason) {
  return kNames[static_cast<std::size_t>(reason)];
}

absl::Status AsStatus(const Refusals& refusals, std::string_view what) {
  if (refusals.empty()) return absl::OkStatus();
  std::string details;
  for (const Refusal& refusal : refusals) details += (details.empty() ? "" : "; ") + refusal.detail;
  return WithReason(InvalidArgument("{}: {}", what, details), ReasonName(refusals.front().reason));
}

Refusals CheckRouterCertificate(std::string_view der, const RouterExpectation& expected) {
  const auto certificate = x509::ParseCertificate(der);
  if (!certificate.ok()) return Malformed(certificate.status());
  Examination exam(*certificate);
  exam.Frame();
  exam.Dates(expected.now);
  exam.SubjectKeyIdentifier();
  exam.AuthorityKeyIdentifier(true);
  exam.KeyUsage(der::NamedBits({0}), "digitalSignature");
  exam.Policy();
  exam.CrlDistributionPoints(true);
  exam.AuthorityInfoAccess(true);
  CheckPurpose(exam, expected.origin);
  if (exam.Find(oid::kBasicConstraints) != nullptr) {
    exam.Refuse(Reason::kBasicConstraints, "basic constraints: a router is no CA");
  }
  if (exam.Find(oid::kSubjectInfoAccess) != nullptr) {
    exam.Refuse(Reason::kSubjectInfoAccessWrong, "subject information access: a router publishes nothing");
  }
  if (exam.Find(oid::kIpResources) != nullptr) exam.Refuse(Reason::kIpResources, "IP resources: a router has none");
  const std::optional<std::uint32_t> asn = CheckAsNumber(exam);
  CheckSubject(exam, asn, expected.origin);
  if (asn.has_value() && expected.asn.has_value() && *asn != *expected.asn) {
    exam.Refuse(Reason::kAnotherAsNumber, fmt::format("for AS {}, not {}", *asn, *expected.asn));
  }
  exam.Unknown(expected.origin);
  Refusals out = exam.Take();
  const bool known = expected.key != nullptr && certificate->spki == expected.key->spki();
  if (!known) profile::CheckRouterKey(certificate->spki, out);
  if ((expected.key != nullptr && !known) || (!expected.spki.empty() && certificate->spki != expected.spki)) {
    out.push_back({Reason::kPublicKeyInvalid, "public key: another than the key that it was asked for"});
  }
  return out;
}

Refusals CheckAuthorityCertificate(std::string_view der, AuthorityKind kind, std::optional<Time> now) {
  const auto certificate = x509::ParseCertificate(der);
  if (!certificate.ok()) return Malformed(certificate.status());
  const bool subordinate = kind == AuthorityKind::kSubordinate;
  Examination exam(*certificate);
  exam.Frame();
  exam.Dates(now);
  exam.SubjectKeyIdentifier();
  exam.AuthorityKeyIdentifier(subordinate);
  exam.KeyUsage(der::NamedBits({5, 6}), "keyCertSign and cRLSign");
  exam.Policy();
  exam.CrlDistributionPoints(subordinate);
  exam.AuthorityInfoAccess(subordinate);
  const x509::Extension* constraints = exam.Find(oid::kBasicConstraints);
  if (constraints == nullptr || !constraints->critical ||
      constraints->value != std::string_view("\x30\x03\x01\x01\xff", 5)) {
    exam.Refuse(Reason::kBasicConstraints, "basic constraints: not critical, not a CA, or with a path length");
  }
  if (exam.Find(oid::kExtendedKeyUsage) != nullptr) {
    exam.Refuse(Reason::kExtendedKeyUsageWrong, "extended key usage: a CA has none");
  }
  CheckRepository(exam);
  CheckHoldings(exam, kind);
  if (const absl::Status status = profile::CheckName(certificate->subject, false); !status.ok()) {
    exam.Refuse(Reason::kSubjectName, fmt::format("subject's {}", Message(status)));
  }
  if (!crypto::RsaPublicKey::IsSpki(certificate->spki)) {
    exam.Refuse(Reason::kPublicKeyAlgorithm,
                "public key: not RSA with 2048 bits and exponent 65537 (RFC 7935 section 3)");
  }
  exam.Unknown(Origin::kImported);
  Refusals out = exam.Take();
  if (!subordinate && out.empty()) out = CheckIssuedBy(der, der);
  return out;
}

Refusals CheckIssuedBy(std::string_view der, std::string_view issuer_der) {
  const auto certificate = x509::ParseCertificate(der);
  if (!certificate.ok()) return Malformed(certificate.status());
  const auto issuer = x509::ParseCertificate(issuer_der);
  if (!issuer.ok()) return Malformed(issuer.status());
  Refusals out;
  if (certificate->issuer != issuer->subject) {
    out.push_back({Reason::kIssuerName, "issuer's name is not the CA's, byte for byte"});
  }
  const std::string_view named = profile::AuthorityKeyIdentifierIn(*certificate);
  if (!(named.empty() && der == issuer_der) && named != profile::KeyIdentifierIn(*issuer)) {
    out.push_back({Reason::kAuthorityKeyIdentifierWrong, "authority key identifier: not the CA's"});
  }
  const auto key = crypto::RsaPublicKey::FromSpki(issuer->spki);
  if (!key.ok() || !key->Verify(certificate->tbs, certificate->signature)) {
    out.push_back({Reason::kSignature, "the signature is not the CA's"});
  }
  return out;
}

absl::StatusOr<RouterFacts> RouterFactsOf(std::string_view der) {
  ASSIGN_OR_RETURN(const x509::Certificate certificate, x509::ParseCertificate(der));
  Examination exam(certificate);
  const std::optional<std::uint32_t> asn = CheckAsNumber(exam);
  if (!asn.has_value()) return AsStatus(exam.Take(), "router certificate");
  RouterFacts out;
  out.asn = *asn;
  ASSIGN_OR_RETURN(out.key_identifier, KeyIdentifier(certificate.spki));
  out.spki = certificate.spki;
  out.serial = certificate.serial;
  out.validity = {certificate.not_before, certificate.not_after};
  return out;
}

}  // namespace virp::rpki
