#include "lib/rpki/encode.h"

#include "lib/rpki/oids.h"

namespace virp::rpki::encode {
namespace {

using der::Sequence;
using der::Tlv;
using x509::EncodeExtension;

constexpr std::uint8_t kUriTag = der::Context(6);  // uniformResourceIdentifier in a GeneralName

std::string Oid(std::string_view content) {
  return Tlv(der::kOid, content);
}

}  // namespace

std::string Tbs(const CertificateParts& parts) {
  std::string extensions;
  for (const std::string& extension : parts.extensions) extensions += extension;
  return Sequence(
      {parts.version, der::UnsignedInteger(parts.serial), parts.algorithm, parts.issuer,
       Sequence({der::CertificateTime(parts.validity.not_before), der::CertificateTime(parts.validity.not_after)}),
       parts.subject, parts.spki, Tlv(der::ContextConstructed(3), Sequence({extensions}))});
}

std::string SubjectKeyIdentifier(std::string_view identifier) {
  return EncodeExtension(oid::kSubjectKeyIdentifier, false, Tlv(der::kOctetString, identifier));
}

std::string AuthorityKeyIdentifier(std::string_view identifier) {
  return EncodeExtension(oid::kAuthorityKeyIdentifier, false, Sequence({Tlv(der::Context(0), identifier)}));
}

std::string DigitalSignature() {
  return EncodeExtension(oid::kKeyUsage, true, der::NamedBits({0}));
}

std::string CertificateAndCrlSign() {
  return EncodeExtension(oid::kKeyUsage, true, der::NamedBits({5, 6}));
}

std::string Authority() {
  return EncodeExtension(oid::kBasicConstraints, true, Sequence({std::string_view("\x01\x01\xff", 3)}));
}

std::string BgpsecRouter() {
  return EncodeExtension(oid::kExtendedKeyUsage, false, Sequence({Oid(oid::kBgpsecRouter)}));
}

std::string CrlAt(std::string_view uri) {
  // SEQUENCE { DistributionPoint { distributionPoint [0] { fullName [0] { uri } } } }
  const std::string full_name = Tlv(der::ContextConstructed(0), Tlv(kUriTag, uri));
  return EncodeExtension(oid::kCrlDistributionPoints, false,
                         Sequence({Sequence({Tlv(der::ContextConstructed(0), full_name)})}));
}

std::string IssuerAt(std::string_view uri) {
  return EncodeExtension(oid::kAuthorityInfoAccess, false,
                         Sequence({Sequence({Oid(oid::kCaIssuers), Tlv(kUriTag, uri)})}));
}

std::string Policy() {
  return EncodeExtension(oid::kCertificatePolicies, true, Sequence({Sequence({Oid(oid::kRpkiPolicy)})}));
}

std::string AsNumbers(const AsResources& numbers) {
  return EncodeExtension(oid::kAsResources, true, numbers.Encode());
}

std::string Addresses(const IpResources& addresses) {
  return EncodeExtension(oid::kIpResources, true, addresses.Encode());
}

std::string SubjectInfo(const std::vector<Access>& accesses) {
  std::string list;
  for (const Access& access : accesses) list += Sequence({Oid(access.method), Tlv(kUriTag, access.uri)});
  return EncodeExtension(oid::kSubjectInfoAccess, false, Sequence({list}));
}

}  // namespace virp::rpki::encode
