#include "lib/rpki/issue.h"

#include <algorithm>
#include <utility>

#include "lib/base/status.h"
#include "lib/crypto/cms.h"
#include "lib/crypto/p256.h"
#include "lib/crypto/random.h"
#include "lib/crypto/sha1.h"
#include "lib/crypto/sha256.h"
#include "lib/rpki/encode.h"
#include "lib/rpki/oids.h"

namespace virp::rpki {
namespace {

constexpr std::size_t kMaxSerialSize = 20;
constexpr std::size_t kMaxCommonName = 64;  // RFC 5280, ub-common-name
constexpr std::size_t kMaxUri = 2048;

bool IsPrintable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           std::string_view(" '()+,-./:=?").find(c) != std::string_view::npos;
  });
}

absl::Status CheckUri(std::string_view uri, std::string_view scheme, std::string_view what) {
  const auto visible = [](char c) { return c > ' ' && c <= '~'; };
  const std::size_t host = uri.starts_with(scheme) ? uri.find('/', scheme.size()) : std::string_view::npos;
  if (host == std::string_view::npos || host == scheme.size() || uri.size() > kMaxUri ||
      !std::all_of(uri.begin(), uri.end(), visible)) {
    return InvalidArgument("{}: '{}' is not {}HOST/PATH", what, uri.substr(0, kMaxUri), scheme);
  }
  return absl::OkStatus();
}

absl::Status CheckSerial(std::string_view serial) {
  const std::size_t first = serial.find_first_not_of('\0');
  if (first == std::string_view::npos || serial.size() > kMaxSerialSize ||
      (serial.size() == kMaxSerialSize && (static_cast<std::uint8_t>(serial.front()) & 0x80) != 0)) {
    return InvalidArgument("serial number: must be positive and below 2^159");
  }
  return absl::OkStatus();
}

absl::Status CheckValidity(const Validity& validity) {
  if (validity.not_before < validity.not_after) return absl::OkStatus();
  return InvalidArgument("validity: {} is not before {}", der::TimeText(validity.not_before),
                         der::TimeText(validity.not_after));
}

absl::Status CheckIssuer(const Issuer& issuer) {
  if (issuer.key_identifier.size() != kKeyIdentifierSize) return InvalidArgument("issuer: no key identifier");
  RETURN_IF_ERROR(CheckUri(issuer.certificate_uri, "rsync://", "issuer's certificate"));
  return CheckUri(issuer.crl_uri, "rsync://", "issuer's CRL");
}

absl::Status CheckAuthority(const AuthoritySpec& spec) {
  RETURN_IF_ERROR(CheckSerial(spec.serial));
  RETURN_IF_ERROR(CheckValidity(spec.validity));
  RETURN_IF_ERROR(CheckUri(spec.repository_uri, "rsync://", "repository"));
  if (!spec.repository_uri.ends_with('/'))
    return InvalidArgument("repository: '{}' has no '/' at its end", spec.repository_uri);
  RETURN_IF_ERROR(CheckUri(spec.manifest_uri, "rsync://", "manifest"));
  if (!spec.notify_uri.empty()) RETURN_IF_ERROR(CheckUri(spec.notify_uri, "https://", "RRDP"));
  if (!crypto::RsaPublicKey::IsSpki(spec.spki)) {
    return InvalidArgument("authority's key: not RSA with 2048 bits and exponent 65537 (RFC 7935 section 3)");
  }
  if (spec.as_numbers.empty() && spec.addresses.empty() && spec.resources.empty())
    return InvalidArgument("authority: without any resource");
  return absl::OkStatus();
}

// What trust anchors and other authorities have in common (RFC 6487 section 4.8).
std::vector<std::string> AuthorityExtensions(const AuthoritySpec& spec, std::string_view key_identifier) {
  std::vector<encode::Access> accesses{{oid::kCaRepository, spec.repository_uri},
                                       {oid::kRpkiManifest, spec.manifest_uri}};
  if (!spec.notify_uri.empty()) accesses.push_back({oid::kRpkiNotify, spec.notify_uri});
  std::vector<std::string> out{encode::Authority(), encode::SubjectKeyIdentifier(key_identifier),
                               encode::CertificateAndCrlSign(), encode::SubjectInfo(accesses), encode::Policy()};
  if (!spec.resources.empty()) {
    out.insert(out.end(), spec.resources.begin(), spec.resources.end());
    return out;
  }
  if (!spec.addresses.empty()) out.push_back(encode::Addresses(spec.addresses));
  if (!spec.as_numbers.empty()) out.push_back(encode::AsNumbers(spec.as_numbers));
  return out;
}

std::vector<std::string> IssuerExtensions(const Issuer& issuer) {
  return {encode::AuthorityKeyIdentifier(issuer.key_identifier), encode::CrlAt(issuer.crl_uri),
          encode::IssuerAt(issuer.certificate_uri)};
}

absl::StatusOr<std::string> Assemble(const encode::CertificateParts& parts, const x509::Signer& signer) {
  return x509::Sign(encode::Tbs(parts), x509::kSha256WithRsa, signer);
}

// RFC 9286 section 4.2.2: what a file in a manifest may be called.
bool IsFileName(std::string_view name) {
  const std::size_t dot = name.find('.');
  if (dot == 0 || dot == std::string_view::npos || name.size() != dot + 4) return false;
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  const auto allowed = [&](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '_'; };
  return std::all_of(name.begin(), name.begin() + static_cast<std::ptrdiff_t>(dot), allowed) &&
         std::all_of(name.end() - 3, name.end(), letter);
}

absl::StatusOr<std::string> ManifestContent(const ManifestSpec& spec, const Files& files) {
  std::string list;
  for (const auto& [name, content] : files) {
    if (!IsFileName(name))
      return InvalidArgument("manifest: '{}' is no file name for it (RFC 9286 section 4.2.2)", name);
    list += der::Sequence({der::Tlv(der::kIa5String, name), der::Bits(View(crypto::Sha256(content)))});
  }
  return der::Sequence({der::Integer(spec.number), der::GeneralizedTime(spec.this_update),
                        der::GeneralizedTime(spec.next_update), der::Tlv(der::kOid, oid::kSha256Oid),
                        der::Sequence({list})});
}

// The one-time certificate: valid as long as the manifest, all resources inherited (RFC 9286 section 5.1.2).
absl::StatusOr<std::string> ManifestCertificate(const ManifestSpec& spec, std::string_view spki,
                                                std::string_view identifier, const Issuer& issuer) {
  ASSIGN_OR_RETURN(const std::string subject, EncodeName(HexEncode(identifier)));
  std::vector<std::string> extensions{encode::SubjectKeyIdentifier(identifier), encode::DigitalSignature()};
  for (std::string& extension : IssuerExtensions(issuer)) extensions.push_back(std::move(extension));
  extensions.push_back(encode::SubjectInfo({{oid::kSignedObject, spec.uri}}));
  extensions.push_back(encode::Policy());
  extensions.push_back(encode::Addresses(IpResources::Inherit()));
  extensions.push_back(encode::AsNumbers(AsResources::Inherit()));
  return Assemble({.serial = spec.ee_serial,
                   .issuer = issuer.name,
                   .validity = {spec.this_update, spec.next_update},
                   .subject = subject,
                   .spki = spki,
                   .extensions = std::move(extensions)},
                  issuer.signer);
}

}  // namespace

absl::StatusOr<std::string> KeyIdentifier(std::string_view spki) {
  ASSIGN_OR_RETURN(const std::string_view bits, x509::PublicKeyBits(spki));
  const auto digest = crypto::Sha1(bits);
  return std::string(digest.data(), digest.size());
}

std::string RandomSerial() {
  std::string out = crypto::RandomBytes(16);
  out.front() = static_cast<char>((static_cast<std::uint8_t>(out.front()) & 0x3f) | 0x40);
  return out;
}

absl::StatusOr<std::string> EncodeName(std::string_view common_name, std::string_view serial_number) {
  if (common_name.empty() || common_name.size() > kMaxCommonName || serial_number.size() > kMaxCommonName ||
      !IsPrintable(common_name) || !IsPrintable(serial_number)) {
    return InvalidArgument("name '{}': 1 to {} characters of a PrintableString", common_name.substr(0, kMaxCommonName),
                           kMaxCommonName);
  }
  const auto part = [](std::string_view type, std::string_view value) {
    return der::Sequence({der::Tlv(der::kOid, type), der::Tlv(der::kPrintableString, value)});
  };
  std::string first = part(oid::kCommonName, common_name);
  std::string second = serial_number.empty() ? std::string() : part(oid::kSerialNumber, serial_number);
  if (second < first) std::swap(first, second);  // a SET OF in DER is sorted
  return der::Sequence({der::Tlv(der::kSet, {first, second})});
}

std::string RouterCommonName(std::uint32_t asn) {
  return fmt::format("ROUTER-{:08X}", asn);
}

absl::StatusOr<std::string> IssueRouterCertificate(const RouterSpec& spec, const Issuer& issuer) {
  RETURN_IF_ERROR(CheckIssuer(issuer));
  RETURN_IF_ERROR(CheckSerial(spec.serial));
  RETURN_IF_ERROR(CheckValidity(spec.validity));
  if (!crypto::P256PublicKey::IsSpki(spec.spki)) {
    return InvalidArgument("router's key: not an uncompressed P-256 key (RFC 8608 section 3.1)");
  }
  ASSIGN_OR_RETURN(const std::string subject,
                   EncodeName(RouterCommonName(spec.asn), fmt::format("{:08X}", spec.bgp_id)));
  ASSIGN_OR_RETURN(const std::string identifier, KeyIdentifier(spec.spki));
  std::vector<std::string> extensions{encode::SubjectKeyIdentifier(identifier), encode::DigitalSignature(),
                                      encode::BgpsecRouter()};
  for (std::string& extension : IssuerExtensions(issuer)) extensions.push_back(std::move(extension));
  extensions.push_back(encode::Policy());
  extensions.push_back(encode::AsNumbers(AsResources::Single(spec.asn)));
  return Assemble({.serial = spec.serial,
                   .issuer = issuer.name,
                   .validity = spec.validity,
                   .subject = subject,
                   .spki = spec.spki,
                   .extensions = std::move(extensions)},
                  issuer.signer);
}

absl::StatusOr<std::string> IssueAuthorityCertificate(const AuthoritySpec& spec, const Issuer& issuer) {
  RETURN_IF_ERROR(CheckIssuer(issuer));
  RETURN_IF_ERROR(CheckAuthority(spec));
  ASSIGN_OR_RETURN(const std::string subject, EncodeName(spec.common_name));
  ASSIGN_OR_RETURN(const std::string identifier, KeyIdentifier(spec.spki));
  std::vector<std::string> extensions = AuthorityExtensions(spec, identifier);
  for (std::string& extension : IssuerExtensions(issuer)) extensions.push_back(std::move(extension));
  return Assemble({.serial = spec.serial,
                   .issuer = issuer.name,
                   .validity = spec.validity,
                   .subject = subject,
                   .spki = spec.spki,
                   .extensions = std::move(extensions)},
                  issuer.signer);
}

absl::StatusOr<std::string> IssueTrustAnchor(const AuthoritySpec& spec, const x509::Signer& signer) {
  RETURN_IF_ERROR(CheckAuthority(spec));
  if (spec.as_numbers.inherit()) return InvalidArgument("trust anchor: nobody to inherit resources from");
  ASSIGN_OR_RETURN(const std::string name, EncodeName(spec.common_name));
  ASSIGN_OR_RETURN(const std::string identifier, KeyIdentifier(spec.spki));
  return Assemble({.serial = spec.serial,
                   .issuer = name,
                   .validity = spec.validity,
                   .subject = name,
                   .spki = spec.spki,
                   .extensions = AuthorityExtensions(spec, identifier)},
                  signer);
}

absl::StatusOr<std::string> EncodeTal(const std::vector<std::string>& uris, std::string_view spki) {
  if (uris.empty()) return InvalidArgument("TAL: without a URI");
  constexpr std::size_t kLine = 64;
  std::string out;
  for (const std::string& uri : uris) {
    if (!CheckUri(uri, "rsync://", "TAL").ok()) RETURN_IF_ERROR(CheckUri(uri, "https://", "TAL"));
    out += uri + "\n";
  }
  out += "\n";
  const std::string key = Base64Encode(spki);
  for (std::size_t at = 0; at < key.size(); at += kLine) out.append(key, at, kLine).push_back('\n');
  return out;
}

absl::StatusOr<std::string> IssueCrl(const CrlSpec& spec, const Issuer& issuer) {
  RETURN_IF_ERROR(CheckIssuer(issuer));
  RETURN_IF_ERROR(CheckValidity({spec.this_update, spec.next_update}));
  std::string entries;
  for (const x509::Revoked& entry : spec.revoked) {
    entries += der::Sequence({der::UnsignedInteger(entry.serial), der::CertificateTime(entry.at)});
  }
  const std::string extensions = encode::AuthorityKeyIdentifier(issuer.key_identifier) +
                                 x509::EncodeExtension(oid::kCrlNumber, false, der::Integer(spec.number));
  const std::string tbs =
      der::Sequence({der::Integer(1), x509::kSha256WithRsa, issuer.name, der::CertificateTime(spec.this_update),
                     der::CertificateTime(spec.next_update), entries.empty() ? std::string() : der::Sequence({entries}),
                     der::Tlv(der::ContextConstructed(0), der::Sequence({extensions}))});
  return x509::Sign(tbs, x509::kSha256WithRsa, issuer.signer);
}

absl::StatusOr<std::string> IssueManifest(const ManifestSpec& spec, const Files& files,
                                          const crypto::RsaPrivateKey& one_time_key, const Issuer& issuer) {
  RETURN_IF_ERROR(CheckIssuer(issuer));
  RETURN_IF_ERROR(CheckSerial(spec.ee_serial));
  RETURN_IF_ERROR(CheckValidity({spec.this_update, spec.next_update}));
  RETURN_IF_ERROR(CheckUri(spec.uri, "rsync://", "manifest"));
  const std::string& spki = one_time_key.public_key().spki();
  ASSIGN_OR_RETURN(const std::string identifier, KeyIdentifier(spki));
  ASSIGN_OR_RETURN(const std::string certificate, ManifestCertificate(spec, spki, identifier, issuer));
  ASSIGN_OR_RETURN(const std::string content, ManifestContent(spec, files));
  return cms::Sign(oid::kManifestContent, content,
                   {.certificates = {certificate},
                    .key_identifier = identifier,
                    .algorithm = cms::kRsaEncryption,
                    .time = spec.this_update,
                    .signer = [&](std::string_view message) { return one_time_key.Sign(message); }});
}

}  // namespace virp::rpki
