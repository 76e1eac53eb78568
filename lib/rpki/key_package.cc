#include "lib/rpki/key_package.h"

#include <utility>

#include "lib/base/status.h"
#include "lib/crypto/p256.h"
#include "lib/crypto/rsa.h"
#include "lib/rpki/encode.h"
#include "lib/rpki/oids.h"

namespace virp::rpki {
namespace {

// PrivateKeyInfo (RFC 5208) around ECPrivateKey (RFC 5915): all that is fixed around the scalar and the point.
constexpr std::string_view kAlgorithm(
    "\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 21);
constexpr std::string_view kHead("\x30\x81\x87\x02\x01\x00", 6);
constexpr std::string_view kKeyHead("\x04\x6d\x30\x6b\x02\x01\x01\x04\x20", 9);
constexpr std::string_view kPointHead("\xa1\x44\x03\x42\x00", 5);
constexpr std::string_view kVersion("\x02\x01\x00", 3);

void Put(char*& at, std::string_view bytes) {
  at += bytes.copy(at, bytes.size());
}

}  // namespace

absl::StatusOr<crypto::Secret> EncodePkcs8(std::string_view scalar, std::string_view point) {
  if (scalar.size() != crypto::kP256ScalarSize || point.size() != crypto::kP256PointSize) {
    return InvalidArgument("PKCS #8: a P-256 key has a scalar of {} bytes and a point of {}", crypto::kP256ScalarSize,
                           crypto::kP256PointSize);
  }
  crypto::Secret out(kHead.size() + kAlgorithm.size() + kKeyHead.size() + scalar.size() + kPointHead.size() +
                     point.size());
  char* at = out.data();
  for (const std::string_view part : {kHead, kAlgorithm, kKeyHead, scalar, kPointHead, point}) Put(at, part);
  return out;
}

absl::StatusOr<crypto::Secret> DecodePkcs8(std::string_view der) {
  constexpr std::string_view kWhat = "PKCS #8";
  ASSIGN_OR_RETURN(der::Reader info, der::Open(der, der::kSequence, kWhat));
  ASSIGN_OR_RETURN(const der::Element version, info.Take(der::kInteger));
  ASSIGN_OR_RETURN(const der::Element algorithm, info.Take(der::kSequence));
  ASSIGN_OR_RETURN(const der::Element octets, info.Take(der::kOctetString));
  RETURN_IF_ERROR(info.End());
  if (version.whole != kVersion || algorithm.whole != kAlgorithm) return InvalidArgument("{}: not a P-256 key", kWhat);
  ASSIGN_OR_RETURN(der::Reader key, der::Open(octets.content, der::kSequence, kWhat));
  ASSIGN_OR_RETURN(const std::uint64_t key_version, key.Number());
  ASSIGN_OR_RETURN(const der::Element scalar, key.Take(der::kOctetString));
  if (key_version != 1) return InvalidArgument("{}: an EC key of version {}", kWhat, key_version);
  // Also checks its size and range.
  ASSIGN_OR_RETURN(const crypto::P256PrivateKey made, crypto::P256PrivateKey::FromScalar(scalar.content));
  if (key.At(der::ContextConstructed(0))) RETURN_IF_ERROR(key.Any().status());  // the curve again
  if (!key.AtEnd()) {
    ASSIGN_OR_RETURN(der::Reader point, key.Enter(der::ContextConstructed(1)));
    ASSIGN_OR_RETURN(const std::string_view bits, point.BitStringBytes());
    RETURN_IF_ERROR(point.End());
    if (bits != made.public_key().point()) return InvalidArgument("{}: the public part is another key's", kWhat);
  }
  RETURN_IF_ERROR(key.End());
  return crypto::Secret(scalar.content);
}

absl::StatusOr<std::string> IssueTransferCertificate(const TransferSpec& spec, const Issuer& issuer) {
  if (!crypto::RsaPublicKey::IsSpki(spec.spki)) {
    return InvalidArgument("transfer key: not RSA with 2048 bits and exponent 65537 (RFC 7935 section 3)");
  }
  if (spec.serial.empty() || spec.validity.not_before >= spec.validity.not_after) {
    return InvalidArgument("transfer certificate: no serial number, or it ends before it begins");
  }
  ASSIGN_OR_RETURN(const std::string identifier, KeyIdentifier(spec.spki));
  ASSIGN_OR_RETURN(const std::string subject, EncodeName(HexEncode(identifier)));
  return x509::Sign(encode::Tbs({.serial = spec.serial,
                                 .issuer = issuer.name,
                                 .validity = spec.validity,
                                 .subject = subject,
                                 .spki = spec.spki,
                                 .extensions = {encode::SubjectKeyIdentifier(identifier), encode::DigitalSignature(),
                                                encode::AuthorityKeyIdentifier(issuer.key_identifier),
                                                encode::CrlAt(issuer.crl_uri), encode::IssuerAt(issuer.certificate_uri),
                                                encode::Policy(), encode::Addresses(IpResources::Inherit()),
                                                encode::AsNumbers(AsResources::Inherit())}}),
                    x509::kSha256WithRsa, issuer.signer);
}

absl::StatusOr<crypto::Secret> SignKeyPackage(std::string_view pkcs8, const cms::Signing& signing) {
  // AsymmetricKeyPackage ::= SEQUENCE OF OneAsymmetricKey
  const std::string head = der::Header(der::kSequence, pkcs8.size());
  crypto::Secret package(head.size() + pkcs8.size());
  char* at = package.data();
  Put(at, head);
  Put(at, pkcs8);
  return cms::SignSecret(oid::kKeyPackageContent, package.view(), signing);
}

absl::StatusOr<KeyPackage> OpenKeyPackage(std::string_view der, std::string_view trust_anchor,
                                          std::optional<Time> now) {
  if (der.size() > kMaxKeyPackage)
    return InvalidArgument("key package: {} bytes; at most {}", der.size(), kMaxKeyPackage);
  ASSIGN_OR_RETURN(const cms::SignedData data, cms::Parse(der));
  if (data.content_type != oid::kKeyPackageContent || !data.content.has_value()) {
    return InvalidArgument("key package: content type {}", der::OidText(data.content_type));
  }
  ASSIGN_OR_RETURN(const x509::Certificate signer, cms::VerifySigner(data));
  KeyPackage out;
  for (const std::string_view certificate : data.certificates) out.certificates.emplace_back(certificate);
  out.path = CheckSignerPath(signer.der, out.certificates, trust_anchor, now);
  ASSIGN_OR_RETURN(der::Reader keys, der::Open(*data.content, der::kSequence, "key package"));
  ASSIGN_OR_RETURN(const der::Element key, keys.Take(der::kSequence));
  RETURN_IF_ERROR(keys.End());
  RETURN_IF_ERROR(DecodePkcs8(key.whole).status());
  out.pkcs8 = crypto::Secret(key.whole);
  return out;
}

}  // namespace virp::rpki
