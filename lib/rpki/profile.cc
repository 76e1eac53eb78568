#include "lib/rpki/profile.h"

#include <algorithm>
#include <charconv>

#include "lib/base/status.h"
#include "lib/crypto/p256.h"
#include "lib/rpki/oids.h"

namespace virp::rpki::profile {
namespace {

using der::Reader;

constexpr std::uint8_t kUriTag = der::Context(6);
constexpr std::size_t kMaxSerialSize = 20;
constexpr std::string_view kEcPublicKeyP256(
    "\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 21);

// The rsync URI among the GeneralNames; NotFound when there is none, InvalidArgument when one is no URI.
absl::Status NeedRsync(Reader names) {
  bool found = false;
  while (!names.AtEnd()) {
    ASSIGN_OR_RETURN(const der::Element name, names.Take(kUriTag));
    found = found || name.content.starts_with("rsync://");
  }
  return found ? absl::OkStatus() : NotFound("no rsync URI");
}

absl::Status CheckDistributionPoint(std::string_view value) {
  constexpr std::string_view kWhat = "CRL distribution points";
  ASSIGN_OR_RETURN(Reader list, der::Open(value, der::kSequence, kWhat));
  ASSIGN_OR_RETURN(Reader point, list.Enter(der::kSequence));
  RETURN_IF_ERROR(list.End());
  ASSIGN_OR_RETURN(Reader name, point.Enter(der::ContextConstructed(0)));
  RETURN_IF_ERROR(point.End());  // neither reasons nor cRLIssuer
  ASSIGN_OR_RETURN(const Reader full_name, name.Enter(der::ContextConstructed(0)));
  RETURN_IF_ERROR(name.End());
  return NeedRsync(full_name);
}

absl::Status CheckPolicy(std::string_view value) {
  constexpr std::string_view kWhat = "certificate policies";
  ASSIGN_OR_RETURN(Reader list, der::Open(value, der::kSequence, kWhat));
  ASSIGN_OR_RETURN(Reader policy, list.Enter(der::kSequence));
  RETURN_IF_ERROR(list.End());
  ASSIGN_OR_RETURN(const std::string_view id, policy.Oid());
  if (id != oid::kRpkiPolicy) return InvalidArgument("{}: {} is not the RPKI's", kWhat, der::OidText(id));
  if (policy.AtEnd()) return absl::OkStatus();
  ASSIGN_OR_RETURN(Reader qualifiers, policy.Enter(der::kSequence));  // one CPS pointer: RFC 7318
  RETURN_IF_ERROR(policy.End());
  ASSIGN_OR_RETURN(Reader qualifier, qualifiers.Enter(der::kSequence));
  RETURN_IF_ERROR(qualifiers.End());
  ASSIGN_OR_RETURN(const std::string_view kind, qualifier.Oid());
  if (kind != oid::kQualifierCps) return InvalidArgument("{}: a qualifier that is no CPS", kWhat);
  RETURN_IF_ERROR(qualifier.Take(der::kIa5String).status());
  return qualifier.End();
}

}  // namespace

const x509::Extension* FindExtension(const x509::Certificate& certificate, std::string_view oid) {
  const auto found = std::find_if(certificate.extensions.begin(), certificate.extensions.end(),
                                  [&](const x509::Extension& extension) { return extension.oid == oid; });
  return found == certificate.extensions.end() ? nullptr : &*found;
}

const x509::Extension* Examination::Find(std::string_view oid) {
  seen_.insert(oid);
  return FindExtension(certificate_, oid);
}

void Examination::Frame() {
  const x509::Certificate& c = certificate_;
  if (c.version != 2) Refuse(Reason::kVersion, fmt::format("version {}, not 3", c.version + 1));
  if (c.serial.empty()) Refuse(Reason::kSerialNumber, "serial number is zero");
  if (c.serial.size() > kMaxSerialSize ||
      (c.serial.size() == kMaxSerialSize && (static_cast<std::uint8_t>(c.serial.front()) & 0x80) != 0)) {
    Refuse(Reason::kSerialNumber, "serial number is 2^159 or more");
  }
  if (c.inner_algorithm != x509::kSha256WithRsa || c.outer_algorithm != x509::kSha256WithRsa) {
    Refuse(Reason::kSignatureAlgorithm, "not signed with RSA and SHA-256 (RFC 7935 section 2)");
  }
  if (c.has_unique_ids) Refuse(Reason::kUniqueIdentifier, "has a unique identifier, which RFC 6487 has no room for");
  if (const absl::Status status = CheckName(c.issuer, false); !status.ok()) {
    Refuse(Reason::kIssuerName, fmt::format("issuer's {}", Message(status)));
  }
}

void Examination::Dates(const std::optional<Time>& now) {
  const x509::Certificate& c = certificate_;
  if (c.validity != der::Sequence({der::CertificateTime(c.not_before), der::CertificateTime(c.not_after)})) {
    Refuse(Reason::kValidity, "dates up to 2049 are UTCTime, later ones GeneralizedTime");
  }
  if (c.not_before >= c.not_after) Refuse(Reason::kValidity, "it ends before it begins");
  if (!now.has_value()) return;
  if (*now < c.not_before) Refuse(Reason::kNotYetValid, "valid from " + der::TimeText(c.not_before));
  if (*now > c.not_after) Refuse(Reason::kExpired, "valid until " + der::TimeText(c.not_after));
}

std::string_view KeyIdentifierIn(const x509::Certificate& certificate) {
  const x509::Extension* extension = FindExtension(certificate, oid::kSubjectKeyIdentifier);
  if (extension == nullptr) return {};
  Reader reader(extension->value, "subject key identifier");
  const auto value = reader.Take(der::kOctetString);
  return value.ok() && reader.AtEnd() ? value->content : std::string_view();
}

std::string_view AuthorityKeyIdentifierIn(const x509::Certificate& certificate) {
  const x509::Extension* extension = FindExtension(certificate, oid::kAuthorityKeyIdentifier);
  if (extension == nullptr) return {};
  auto reader = der::Open(extension->value, der::kSequence, "authority key identifier");
  if (!reader.ok()) return {};
  const auto value = reader->Take(der::Context(0));
  return value.ok() && reader->AtEnd() && value->content.size() == kKeyIdentifierSize ? value->content
                                                                                      : std::string_view();
}

void Examination::SubjectKeyIdentifier() {
  const x509::Extension* extension = Find(oid::kSubjectKeyIdentifier);
  if (extension == nullptr) {
    return Refuse(Reason::kSubjectKeyIdentifierMissing, "no subject key identifier");
  }
  const auto expected = KeyIdentifier(certificate_.spki);
  if (extension->critical || !expected.ok() || KeyIdentifierIn(certificate_) != *expected) {
    Refuse(Reason::kSubjectKeyIdentifierWrong, "subject key identifier: not the SHA-1 of the public key, or critical");
  }
}

void Examination::AuthorityKeyIdentifier(bool required) {
  const x509::Extension* extension = Find(oid::kAuthorityKeyIdentifier);
  if (extension == nullptr) {
    if (required) Refuse(Reason::kAuthorityKeyIdentifierMissing, "no authority key identifier");
    return;
  }
  const std::string_view identifier = AuthorityKeyIdentifierIn(certificate_);
  if (extension->critical || identifier.empty() || (!required && identifier != KeyIdentifierIn(certificate_))) {
    Refuse(Reason::kAuthorityKeyIdentifierWrong, "authority key identifier: not a key identifier of 20 bytes alone");
  }
}

void Examination::KeyUsage(std::string_view bits, std::string_view what) {
  const x509::Extension* extension = Find(oid::kKeyUsage);
  if (extension == nullptr) return Refuse(Reason::kKeyUsageMissing, "no key usage");
  if (!extension->critical || extension->value != bits) {
    Refuse(Reason::kKeyUsageWrong, fmt::format("key usage: not critical, or not {} alone", what));
  }
}

void Examination::Policy() {
  const x509::Extension* extension = Find(oid::kCertificatePolicies);
  if (extension == nullptr) return Refuse(Reason::kPolicyMissing, "no certificate policy");
  if (!extension->critical) Refuse(Reason::kPolicyWrong, "certificate policies: not critical");
  if (const absl::Status status = CheckPolicy(extension->value); !status.ok()) {
    Refuse(Reason::kPolicyWrong, std::string(Message(status)));
  }
}

void Examination::CrlDistributionPoints(bool required) {
  const x509::Extension* extension = Find(oid::kCrlDistributionPoints);
  if (extension == nullptr) {
    if (required) Refuse(Reason::kCrlDistributionPointsMissing, "no CRL distribution point");
    return;
  }
  if (!required || extension->critical || !CheckDistributionPoint(extension->value).ok()) {
    Refuse(Reason::kCrlDistributionPointsWrong,
           required ? "CRL distribution points: not one full name with an rsync URI, or critical"
                    : "CRL distribution points: a trust anchor has none");
  }
}

absl::StatusOr<std::vector<std::pair<std::string_view, std::string_view>>> Accesses(std::string_view value) {
  constexpr std::size_t kMost = 16;
  ASSIGN_OR_RETURN(Reader list, der::Open(value, der::kSequence, "information access"));
  std::vector<std::pair<std::string_view, std::string_view>> out;
  while (!list.AtEnd()) {
    if (out.size() == kMost) return InvalidArgument("information access: more than {} locations", kMost);
    ASSIGN_OR_RETURN(Reader access, list.Enter(der::kSequence));
    ASSIGN_OR_RETURN(const std::string_view method, access.Oid());
    ASSIGN_OR_RETURN(const der::Element uri, access.Take(kUriTag));
    RETURN_IF_ERROR(access.End());
    out.emplace_back(method, uri.content);
  }
  return out;
}

void Examination::AuthorityInfoAccess(bool required) {
  const x509::Extension* extension = Find(oid::kAuthorityInfoAccess);
  if (extension == nullptr) {
    if (required) Refuse(Reason::kAuthorityInfoAccessMissing, "no authority information access");
    return;
  }
  const auto accesses = Accesses(extension->value);
  const bool named = accesses.ok() && std::any_of(accesses->begin(), accesses->end(), [](const auto& access) {
                       return access.first == oid::kCaIssuers && access.second.starts_with("rsync://");
                     });
  if (!required || extension->critical || !named) {
    Refuse(Reason::kAuthorityInfoAccessWrong,
           required ? "authority information access: no rsync URI of the issuer, or critical"
                    : "authority information access: a trust anchor has none");
  }
}

void Examination::Unknown(Origin origin) {
  for (const x509::Extension& extension : certificate_.extensions) {
    if (seen_.contains(extension.oid)) continue;
    const std::string text = der::OidText(extension.oid);
    if (extension.critical) {
      Refuse(Reason::kUnknownCriticalExtension,
             fmt::format("critical extension {}, which the profile does not have", text));
    } else if (origin == Origin::kOwn) {
      Refuse(Reason::kUnknownExtension, fmt::format("extension {}, which the profile does not have", text));
    }
  }
}

absl::Status CheckName(std::string_view name, bool utf8_allowed) {
  ASSIGN_OR_RETURN(const std::vector<x509::NamePart> parts, x509::ParseName(name));
  int common_names = 0, serial_numbers = 0;
  for (const x509::NamePart& part : parts) {
    const bool common = part.oid == oid::kCommonName;
    if (!common && part.oid != oid::kSerialNumber) {
      return InvalidArgument("name has {} beside CommonName and serialNumber", der::OidText(part.oid));
    }
    ++(common ? common_names : serial_numbers);
    const bool type = part.tag == der::kPrintableString || (common && utf8_allowed && part.tag == der::kUtf8String);
    if (!type || part.value.empty()) return InvalidArgument("name is not a PrintableString");
  }
  if (common_names != 1 || serial_numbers > 1) {
    return InvalidArgument("name has {} CommonNames and {} serialNumbers", common_names, serial_numbers);
  }
  return absl::OkStatus();
}

std::optional<std::uint32_t> AsnInName(std::string_view name) {
  constexpr std::string_view kPrefix = "ROUTER-";
  const auto parts = x509::ParseName(name);
  if (!parts.ok()) return std::nullopt;
  for (const x509::NamePart& part : *parts) {
    if (part.oid != oid::kCommonName || !part.value.starts_with(kPrefix) || part.value.size() != kPrefix.size() + 8) {
      continue;
    }
    const std::string_view digits = part.value.substr(kPrefix.size());
    std::uint32_t asn = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), asn, 16);
    if (error == std::errc() && end == digits.data() + digits.size()) return asn;
  }
  return std::nullopt;
}

std::optional<crypto::P256PublicKey> CheckRouterKey(std::string_view spki, Refusals& out) {
  const auto refuse = [&](Reason reason, std::string_view detail) {
    out.push_back({reason, std::string(detail)});
    return std::nullopt;
  };
  auto reader = der::Open(spki, der::kSequence, "public key");
  const auto algorithm = reader.ok() ? reader->Take(der::kSequence) : reader.status();
  const auto bits = algorithm.ok() ? reader->BitStringBytes() : algorithm.status();
  if (!bits.ok() || !reader->AtEnd()) return refuse(Reason::kMalformed, "public key: not a SubjectPublicKeyInfo");
  if (algorithm->whole != kEcPublicKeyP256) {
    return refuse(Reason::kPublicKeyAlgorithm, "public key: not of the named curve secp256r1 (RFC 8608 section 3.1)");
  }
  if (bits->starts_with('\x02') || bits->starts_with('\x03')) {
    return refuse(Reason::kPublicKeyCompressed, "public key: the point is compressed (RFC 8608 section 3.1)");
  }
  auto key = crypto::P256PublicKey::FromSpki(spki);
  if (!key.ok()) return refuse(Reason::kPublicKeyInvalid, "public key: not a point of the curve");
  return *std::move(key);
}

}  // namespace virp::rpki::profile
