#include "lib/crypto/cms.h"

#include <algorithm>
#include <utility>

#include "lib/base/status.h"
#include "lib/crypto/p256.h"
#include "lib/crypto/rsa.h"
#include "lib/crypto/sha256.h"

namespace virp::cms {
namespace {

using der::Reader;

constexpr std::string_view kSignedDataType("\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02", 9);
constexpr std::string_view kDataType("\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01", 9);
constexpr std::string_view kContentTypeAttribute("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03", 9);
constexpr std::string_view kMessageDigestAttribute("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04", 9);
constexpr std::string_view kSigningTimeAttribute("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x05", 9);
constexpr std::string_view kSha256("\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01", 13);
constexpr std::string_view kSha256Null("\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00", 15);
constexpr std::string_view kKeyIdentifierExtension("\x55\x1d\x0e", 3);
constexpr std::string_view kWhat = "CMS SignedData";

std::string Attribute(std::string_view type, std::string_view value) {
  return der::Sequence({der::Tlv(der::kOid, type), der::Tlv(der::kSet, value)});
}

// A SET OF in DER: the elements in the order of their bytes (X.690 section 11.6).
std::string SortedContent(std::vector<std::string> elements) {
  std::sort(elements.begin(), elements.end());
  std::string out;
  for (const std::string& element : elements) out += element;
  return out;
}

std::string SignedAttributes(std::string_view content_type, std::string_view content, x509::Time time) {
  return SortedContent({Attribute(kContentTypeAttribute, der::Tlv(der::kOid, content_type)),
                        Attribute(kMessageDigestAttribute, der::Tlv(der::kOctetString, View(crypto::Sha256(content)))),
                        Attribute(kSigningTimeAttribute, der::CertificateTime(time))});
}

// What comes before and after the content's bytes, so that a secret content is copied once.
struct Frame {
  std::string before, after;
};

absl::StatusOr<Frame> MakeFrame(std::string_view type, std::string_view content, const Signing& signing) {
  const std::string attributes = SignedAttributes(type, content, signing.time);
  // Signed as a SET, carried as [0] (RFC 5652 section 5.4).
  ASSIGN_OR_RETURN(const std::string signature, signing.signer(der::Tlv(der::kSet, attributes)));
  const std::string signer_info = der::Sequence({der::Integer(3), der::Tlv(der::Context(0), signing.key_identifier),
                                                 kSha256, der::Tlv(der::ContextConstructed(0), attributes),
                                                 signing.algorithm, der::Tlv(der::kOctetString, signature)});
  std::string certificates;
  for (const std::string_view certificate : signing.certificates) certificates += certificate;
  Frame out;
  out.after = der::Tlv(der::ContextConstructed(0), certificates) + der::Tlv(der::kSet, signer_info);
  // From the inside out: each header has the size of all that it holds.
  std::string before = der::Header(der::kOctetString, content.size());
  before.insert(0, der::Header(der::ContextConstructed(0), before.size() + content.size()));
  before.insert(0, der::Tlv(der::kOid, type));
  before.insert(0, der::Header(der::kSequence, before.size() + content.size()));
  before.insert(0, der::Integer(3) + der::Tlv(der::kSet, kSha256));
  const std::size_t rest = content.size() + out.after.size();
  before.insert(0, der::Header(der::kSequence, before.size() + rest));
  before.insert(0, der::Header(der::ContextConstructed(0), before.size() + rest));
  before.insert(0, der::Tlv(der::kOid, kSignedDataType));
  before.insert(0, der::Header(der::kSequence, before.size() + rest));
  out.before = std::move(before);
  return out;
}

absl::StatusOr<SignerInfo> ParseSigner(Reader& set) {
  ASSIGN_OR_RETURN(Reader info, set.Enter(der::kSequence));
  SignerInfo out;
  ASSIGN_OR_RETURN(const std::uint64_t version, info.Number());
  if (version == 3) {
    ASSIGN_OR_RETURN(const der::Element identifier, info.Take(der::Context(0)));
    out.key_identifier = identifier.content;
  } else {
    RETURN_IF_ERROR(info.Take(der::kSequence).status());
  }
  ASSIGN_OR_RETURN(const der::Element digest, info.Take(der::kSequence));
  out.digest_algorithm = digest.whole;
  if (info.At(der::ContextConstructed(0))) {
    ASSIGN_OR_RETURN(const der::Element attributes, info.Take(der::ContextConstructed(0)));
    out.signed_attributes = attributes.content;
  }
  ASSIGN_OR_RETURN(const der::Element algorithm, info.Take(der::kSequence));
  ASSIGN_OR_RETURN(const der::Element signature, info.Take(der::kOctetString));
  if (info.At(der::ContextConstructed(1))) RETURN_IF_ERROR(info.Any().status());  // unsigned attributes say nothing
  RETURN_IF_ERROR(info.End());
  out.algorithm = algorithm.whole;
  out.signature = signature.content;
  return out;
}

absl::Status ParseContent(Reader& data, SignedData& out) {
  ASSIGN_OR_RETURN(Reader content_info, data.Enter(der::kSequence));
  ASSIGN_OR_RETURN(out.content_type, content_info.Oid());
  if (content_info.At(der::ContextConstructed(0))) {
    ASSIGN_OR_RETURN(Reader explicit_content, content_info.Enter(der::ContextConstructed(0)));
    ASSIGN_OR_RETURN(const der::Element octets, explicit_content.Take(der::kOctetString));
    RETURN_IF_ERROR(explicit_content.End());
    out.content = octets.content;
  }
  return content_info.End();
}

absl::Status ParseCertificates(Reader& data, SignedData& out) {
  if (data.At(der::ContextConstructed(0))) {
    ASSIGN_OR_RETURN(Reader certificates, data.Enter(der::ContextConstructed(0)));
    while (!certificates.AtEnd()) {
      if (out.certificates.size() == kMaxCertificates) {
        return InvalidArgument("{}: more than {} certificates", kWhat, kMaxCertificates);
      }
      ASSIGN_OR_RETURN(const der::Element certificate, certificates.Take(der::kSequence));
      out.certificates.push_back(certificate.whole);
    }
  }
  if (data.At(der::ContextConstructed(1))) {
    RETURN_IF_ERROR(data.Any().status());
    out.has_crls = true;
  }
  return absl::OkStatus();
}

std::string_view KeyIdentifierOf(const x509::Certificate& certificate) {
  for (const x509::Extension& extension : certificate.extensions) {
    if (extension.oid != kKeyIdentifierExtension) continue;
    const auto value = Reader(extension.value, kWhat).Take(der::kOctetString);
    return value.ok() ? value->content : std::string_view();
  }
  return {};
}

// The one attribute of this type; FailedPrecondition unless there is exactly one with exactly one value.
absl::StatusOr<der::Element> OneAttribute(std::string_view attributes, std::string_view type) {
  std::optional<der::Element> out;
  for (Reader list(attributes, "signed attributes"); !list.AtEnd();) {
    ASSIGN_OR_RETURN(Reader attribute, list.Enter(der::kSequence));
    ASSIGN_OR_RETURN(const std::string_view oid, attribute.Oid());
    if (oid != type) continue;
    ASSIGN_OR_RETURN(Reader values, attribute.Enter(der::kSet));
    ASSIGN_OR_RETURN(const der::Element value, values.Any());
    if (out.has_value() || !values.AtEnd() || !attribute.AtEnd()) {
      return FailedPrecondition("signed attributes: {} more than once", der::OidText(type));
    }
    out = value;
  }
  if (!out.has_value()) return FailedPrecondition("signed attributes: no {}", der::OidText(type));
  return *out;
}

absl::Status CheckSignature(const x509::Certificate& certificate, const SignerInfo& signer) {
  const std::string message = der::Tlv(der::kSet, signer.signed_attributes);
  bool good = false;
  if (signer.algorithm == kRsaEncryption || signer.algorithm == x509::kSha256WithRsa) {
    ASSIGN_OR_RETURN(const auto key, crypto::RsaPublicKey::FromSpki(certificate.spki));
    good = key.Verify(message, signer.signature);
  } else if (signer.algorithm == x509::kEcdsaWithSha256) {
    ASSIGN_OR_RETURN(const auto key, crypto::P256PublicKey::FromSpki(certificate.spki));
    good = key.VerifyDigest(crypto::Sha256(message), signer.signature);
  } else {
    return FailedPrecondition("CMS: signature algorithm is neither RSA nor ECDSA with SHA-256");
  }
  return good ? absl::OkStatus() : FailedPrecondition("CMS: the signature does not fit: changed, or of another key");
}

}  // namespace

absl::StatusOr<std::string> Sign(std::string_view type, std::string_view content, const Signing& signing) {
  ASSIGN_OR_RETURN(Frame frame, MakeFrame(type, content, signing));
  frame.before.reserve(frame.before.size() + content.size() + frame.after.size());
  return std::move(frame.before.append(content).append(frame.after));
}

absl::StatusOr<crypto::Secret> SignSecret(std::string_view type, std::string_view content, const Signing& signing) {
  ASSIGN_OR_RETURN(const Frame frame, MakeFrame(type, content, signing));
  crypto::Secret out(frame.before.size() + content.size() + frame.after.size());
  char* at = out.data();
  for (const std::string_view part : {std::string_view(frame.before), content, std::string_view(frame.after)}) {
    at += part.copy(at, part.size());
  }
  return out;
}

std::string CertsOnly(const std::vector<std::string_view>& certificates) {
  std::vector<std::string> elements(certificates.begin(), certificates.end());
  const std::string empty_set = der::Tlv(der::kSet, "");
  return der::Sequence(
      {der::Tlv(der::kOid, kSignedDataType),
       der::Tlv(der::ContextConstructed(0),
                der::Sequence({der::Integer(1), empty_set, der::Sequence({der::Tlv(der::kOid, kDataType)}),
                               der::Tlv(der::ContextConstructed(0), SortedContent(std::move(elements))), empty_set}))});
}

absl::StatusOr<SignedData> Parse(std::string_view bytes) {
  if (bytes.size() > kMaxSignedData) {
    return InvalidArgument("{}: {} bytes; at most {}", kWhat, bytes.size(), kMaxSignedData);
  }
  ASSIGN_OR_RETURN(Reader content_info, der::Open(bytes, der::kSequence, kWhat));
  ASSIGN_OR_RETURN(const std::string_view type, content_info.Oid());
  if (type != kSignedDataType) return InvalidArgument("{}: content type {}", kWhat, der::OidText(type));
  ASSIGN_OR_RETURN(Reader content, content_info.Enter(der::ContextConstructed(0)));
  RETURN_IF_ERROR(content_info.End());
  ASSIGN_OR_RETURN(Reader data, content.Enter(der::kSequence));
  RETURN_IF_ERROR(content.End());
  SignedData out;
  ASSIGN_OR_RETURN(out.version, data.Number());
  RETURN_IF_ERROR(data.Take(der::kSet).status());  // digest algorithms: each signer names its own
  RETURN_IF_ERROR(ParseContent(data, out));
  RETURN_IF_ERROR(ParseCertificates(data, out));
  ASSIGN_OR_RETURN(Reader signers, data.Enter(der::kSet));
  RETURN_IF_ERROR(data.End());
  while (!signers.AtEnd()) {
    if (out.signers.size() == kMaxCertificates) return InvalidArgument("{}: too many signers", kWhat);
    ASSIGN_OR_RETURN(const SignerInfo signer, ParseSigner(signers));
    out.signers.push_back(signer);
  }
  return out;
}

absl::StatusOr<x509::Certificate> VerifySigner(const SignedData& data) {
  if (data.signers.size() != 1) return FailedPrecondition("CMS: {} signers, not one", data.signers.size());
  if (!data.content.has_value()) return FailedPrecondition("CMS: there is no content");
  const SignerInfo& signer = data.signers.front();
  if (signer.key_identifier.empty()) return FailedPrecondition("CMS: the signer is not named by its key identifier");
  if (signer.digest_algorithm != kSha256 && signer.digest_algorithm != kSha256Null) {
    return FailedPrecondition("CMS: digest algorithm is not SHA-256");
  }
  ASSIGN_OR_RETURN(const der::Element type, OneAttribute(signer.signed_attributes, kContentTypeAttribute));
  if (type.tag != der::kOid || type.content != data.content_type) {
    return FailedPrecondition("CMS: the signed content type is another than the content's");
  }
  ASSIGN_OR_RETURN(const der::Element digest, OneAttribute(signer.signed_attributes, kMessageDigestAttribute));
  if (digest.tag != der::kOctetString || digest.content != View(crypto::Sha256(*data.content))) {
    return FailedPrecondition("CMS: the content is not what was signed");
  }
  for (const std::string_view bytes : data.certificates) {
    ASSIGN_OR_RETURN(const x509::Certificate certificate, x509::ParseCertificate(bytes));
    if (KeyIdentifierOf(certificate) != signer.key_identifier) continue;
    RETURN_IF_ERROR(CheckSignature(certificate, signer));
    return certificate;
  }
  return FailedPrecondition("CMS: no certificate within has the signer's key identifier");
}

}  // namespace virp::cms
