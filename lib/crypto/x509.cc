#include "lib/crypto/x509.h"

#include <algorithm>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/status.h"

namespace virp::x509 {
namespace {

using der::Reader;

// pkcs-9-at-extensionRequest
constexpr std::string_view kExtensionRequest("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e", 9);

struct SignedParts {
  std::string_view content, algorithm, signature;
};

absl::StatusOr<SignedParts> TakeApart(std::string_view bytes, std::size_t limit, std::string_view what) {
  if (bytes.size() > limit) return InvalidArgument("{}: {} bytes; at most {}", what, bytes.size(), limit);
  ASSIGN_OR_RETURN(Reader reader, der::Open(bytes, der::kSequence, what));
  ASSIGN_OR_RETURN(const der::Element content, reader.Take(der::kSequence));
  ASSIGN_OR_RETURN(const der::Element algorithm, reader.Take(der::kSequence));
  ASSIGN_OR_RETURN(const std::string_view signature, reader.BitStringBytes());
  RETURN_IF_ERROR(reader.End());
  return SignedParts{content.whole, algorithm.whole, signature};
}

absl::StatusOr<std::vector<Extension>> ParseExtensions(std::string_view whole, std::string_view what) {
  ASSIGN_OR_RETURN(Reader list, der::Open(whole, der::kSequence, what));
  std::vector<Extension> out;
  while (!list.AtEnd()) {
    if (out.size() == kMaxExtensions) return InvalidArgument("{}: more than {} extensions", what, kMaxExtensions);
    ASSIGN_OR_RETURN(Reader one, list.Enter(der::kSequence));
    Extension extension;
    ASSIGN_OR_RETURN(extension.oid, one.Oid());
    if (one.At(der::kBoolean)) {
      ASSIGN_OR_RETURN(extension.critical, one.Boolean());
      if (!extension.critical) return InvalidArgument("{}: an extension says FALSE where DER says nothing", what);
    }
    ASSIGN_OR_RETURN(const der::Element value, one.Take(der::kOctetString));
    extension.value = value.content;
    RETURN_IF_ERROR(one.End());
    const auto same = [&](const Extension& other) { return other.oid == extension.oid; };
    if (std::any_of(out.begin(), out.end(), same)) {
      return InvalidArgument("{}: extension {} twice", what, der::OidText(extension.oid));
    }
    out.push_back(extension);
  }
  return out;
}

absl::Status ParseAttribute(Reader& attributes, Request& out, bool& seen) {
  constexpr std::string_view kWhat = "certificate request, attributes";
  ASSIGN_OR_RETURN(Reader attribute, attributes.Enter(der::kSequence));
  ASSIGN_OR_RETURN(const std::string_view oid, attribute.Oid());
  ASSIGN_OR_RETURN(Reader values, attribute.Enter(der::kSet));
  RETURN_IF_ERROR(attribute.End());
  if (oid != kExtensionRequest || std::exchange(seen, true)) {
    out.has_other_attributes = true;
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const der::Element list, values.Take(der::kSequence));
  RETURN_IF_ERROR(values.End());
  ASSIGN_OR_RETURN(out.extensions, ParseExtensions(list.whole, kWhat));
  return absl::OkStatus();
}

absl::Status ParseRevoked(Reader list, RevocationList& out) {
  while (!list.AtEnd()) {
    if (out.revoked.size() == kMaxRevoked) return InvalidArgument("CRL: more than {} entries", kMaxRevoked);
    ASSIGN_OR_RETURN(Reader entry, list.Enter(der::kSequence));
    ASSIGN_OR_RETURN(const std::string_view serial, entry.Unsigned());
    ASSIGN_OR_RETURN(const Time at, entry.TimeValue());
    out.has_entry_extensions = out.has_entry_extensions || !entry.AtEnd();
    out.revoked.push_back({std::string(serial), at});
  }
  return absl::OkStatus();
}

// [number] EXPLICIT around one element.
absl::StatusOr<std::string_view> Inside(Reader& reader, std::uint8_t number) {
  ASSIGN_OR_RETURN(const der::Element element, reader.Take(der::ContextConstructed(number)));
  return element.content;
}

}  // namespace

absl::StatusOr<Certificate> ParseCertificate(std::string_view bytes) {
  constexpr std::string_view kWhat = "certificate";
  ASSIGN_OR_RETURN(const SignedParts parts, TakeApart(bytes, kMaxCertificate, kWhat));
  Certificate out;
  out.der = bytes;
  out.tbs = parts.content;
  out.outer_algorithm = parts.algorithm;
  out.signature = parts.signature;
  ASSIGN_OR_RETURN(Reader tbs, der::Open(parts.content, der::kSequence, kWhat));
  if (tbs.At(der::ContextConstructed(0))) {
    ASSIGN_OR_RETURN(const std::string_view version, Inside(tbs, 0));
    Reader inner(version, kWhat);
    ASSIGN_OR_RETURN(out.version, inner.Number());
    RETURN_IF_ERROR(inner.End());
  }
  ASSIGN_OR_RETURN(out.serial, tbs.Unsigned());
  ASSIGN_OR_RETURN(const der::Element algorithm, tbs.Take(der::kSequence));
  ASSIGN_OR_RETURN(const der::Element issuer, tbs.Take(der::kSequence));
  ASSIGN_OR_RETURN(const der::Element dates, tbs.Take(der::kSequence));
  out.validity = dates.whole;
  Reader validity(dates.content, kWhat);
  ASSIGN_OR_RETURN(out.not_before, validity.TimeValue());
  ASSIGN_OR_RETURN(out.not_after, validity.TimeValue());
  RETURN_IF_ERROR(validity.End());
  ASSIGN_OR_RETURN(const der::Element subject, tbs.Take(der::kSequence));
  ASSIGN_OR_RETURN(const der::Element spki, tbs.Take(der::kSequence));
  out.inner_algorithm = algorithm.whole;
  out.issuer = issuer.whole;
  out.subject = subject.whole;
  out.spki = spki.whole;
  for (const std::uint8_t number : {std::uint8_t{1}, std::uint8_t{2}}) {
    if (!tbs.At(der::Context(number))) continue;
    RETURN_IF_ERROR(tbs.Any().status());
    out.has_unique_ids = true;
  }
  if (tbs.At(der::ContextConstructed(3))) {
    ASSIGN_OR_RETURN(const std::string_view extensions, Inside(tbs, 3));
    ASSIGN_OR_RETURN(out.extensions, ParseExtensions(extensions, kWhat));
  }
  RETURN_IF_ERROR(tbs.End());
  return out;
}

absl::StatusOr<Request> ParseRequest(std::string_view bytes) {
  constexpr std::string_view kWhat = "certificate request";
  ASSIGN_OR_RETURN(const SignedParts parts, TakeApart(bytes, kMaxRequest, kWhat));
  Request out;
  out.info = parts.content;
  out.algorithm = parts.algorithm;
  out.signature = parts.signature;
  ASSIGN_OR_RETURN(Reader info, der::Open(parts.content, der::kSequence, kWhat));
  ASSIGN_OR_RETURN(out.version, info.Number());
  ASSIGN_OR_RETURN(const der::Element subject, info.Take(der::kSequence));
  ASSIGN_OR_RETURN(const der::Element spki, info.Take(der::kSequence));
  out.subject = subject.whole;
  out.spki = spki.whole;
  ASSIGN_OR_RETURN(Reader attributes, info.Enter(der::ContextConstructed(0)));
  RETURN_IF_ERROR(info.End());
  for (bool seen = false; !attributes.AtEnd();) RETURN_IF_ERROR(ParseAttribute(attributes, out, seen));
  return out;
}

absl::StatusOr<RevocationList> ParseRevocationList(std::string_view bytes) {
  constexpr std::string_view kWhat = "CRL";
  ASSIGN_OR_RETURN(const SignedParts parts, TakeApart(bytes, kMaxCrl, kWhat));
  RevocationList out;
  out.tbs = parts.content;
  out.outer_algorithm = parts.algorithm;
  out.signature = parts.signature;
  ASSIGN_OR_RETURN(Reader tbs, der::Open(parts.content, der::kSequence, kWhat));
  if (tbs.At(der::kInteger)) {
    ASSIGN_OR_RETURN(out.version, tbs.Number());
  }
  ASSIGN_OR_RETURN(const der::Element algorithm, tbs.Take(der::kSequence));
  ASSIGN_OR_RETURN(const der::Element issuer, tbs.Take(der::kSequence));
  out.inner_algorithm = algorithm.whole;
  out.issuer = issuer.whole;
  ASSIGN_OR_RETURN(out.this_update, tbs.TimeValue());
  if (tbs.At(der::kUtcTime) || tbs.At(der::kGeneralizedTime)) {
    ASSIGN_OR_RETURN(out.next_update, tbs.TimeValue());
  }
  if (tbs.At(der::kSequence)) {
    ASSIGN_OR_RETURN(const Reader list, tbs.Enter(der::kSequence));
    RETURN_IF_ERROR(ParseRevoked(list, out));
  }
  if (tbs.At(der::ContextConstructed(0))) {
    ASSIGN_OR_RETURN(const std::string_view extensions, Inside(tbs, 0));
    ASSIGN_OR_RETURN(out.extensions, ParseExtensions(extensions, kWhat));
  }
  RETURN_IF_ERROR(tbs.End());
  return out;
}

absl::StatusOr<std::vector<NamePart>> ParseName(std::string_view name) {
  constexpr std::string_view kWhat = "name";
  ASSIGN_OR_RETURN(Reader list, der::Open(name, der::kSequence, kWhat));
  std::vector<NamePart> out;
  while (!list.AtEnd()) {
    ASSIGN_OR_RETURN(Reader set, list.Enter(der::kSet));
    if (set.AtEnd()) return InvalidArgument("{}: an empty part", kWhat);
    while (!set.AtEnd()) {
      if (out.size() == kMaxNameParts) return InvalidArgument("{}: more than {} parts", kWhat, kMaxNameParts);
      ASSIGN_OR_RETURN(Reader part, set.Enter(der::kSequence));
      ASSIGN_OR_RETURN(const std::string_view oid, part.Oid());
      ASSIGN_OR_RETURN(const der::Element value, part.Any());
      RETURN_IF_ERROR(part.End());
      out.push_back({oid, value.tag, value.content});
    }
  }
  return out;
}

absl::StatusOr<std::string> Sign(std::string_view content, std::string_view algorithm, const Signer& signer) {
  ASSIGN_OR_RETURN(const std::string signature, signer(content));
  return der::Sequence({content, algorithm, der::Bits(signature)});
}

std::string EncodeExtension(std::string_view oid, bool critical, std::string_view value) {
  return der::Sequence({der::Tlv(der::kOid, oid), critical ? std::string_view("\x01\x01\xff", 3) : std::string_view(),
                        der::Tlv(der::kOctetString, value)});
}

absl::StatusOr<std::string_view> PublicKeyBits(std::string_view spki) {
  ASSIGN_OR_RETURN(Reader reader, der::Open(spki, der::kSequence, "public key"));
  RETURN_IF_ERROR(reader.Take(der::kSequence).status());
  ASSIGN_OR_RETURN(const std::string_view bits, reader.BitStringBytes());
  RETURN_IF_ERROR(reader.End());
  return bits;
}

absl::StatusOr<std::vector<std::string>> DerBlocks(std::string_view input, const std::vector<std::string>& labels,
                                                   std::size_t limit, std::size_t most) {
  if (input.size() > limit) return InvalidArgument("{} bytes; at most {}", input.size(), limit);
  if (!input.empty() && static_cast<std::uint8_t>(input.front()) == der::kSequence)
    return std::vector{std::string(input)};
  constexpr std::string_view kBegin = "-----BEGIN ", kDashes = "-----";
  std::vector<std::string> out;
  for (std::size_t at = input.find(kBegin); at != std::string_view::npos; at = input.find(kBegin, at)) {
    at += kBegin.size();
    const std::size_t label_end = input.find(kDashes, at);
    if (label_end == std::string_view::npos) return InvalidArgument("PEM: a BEGIN line without its end");
    const std::string label(input.substr(at, std::min<std::size_t>(label_end - at, 64)));
    const std::size_t body = label_end + kDashes.size();
    const std::size_t end = input.find("-----END " + label + "-----", body);
    if (end == std::string_view::npos) return InvalidArgument("PEM: no END line for a block");
    at = end;
    if (std::find(labels.begin(), labels.end(), label) == labels.end()) continue;
    if (out.size() == most) return InvalidArgument("PEM: more than {} blocks", most);
    std::string text;
    for (const char c : input.substr(body, end - body)) {
      if (c != '\n' && c != '\r' && c != ' ' && c != '\t') text.push_back(c);
    }
    auto bytes = Base64Decode(text);
    if (!bytes.ok()) return Annotate(bytes.status(), "PEM");
    out.push_back(*std::move(bytes));
  }
  if (out.empty()) return InvalidArgument("neither DER nor PEM with a {} block", labels.front());
  return out;
}

std::string PemBlock(std::string_view label, std::string_view bytes) {
  constexpr std::size_t kLine = 64;
  const std::string text = Base64Encode(bytes);
  std::string out = fmt::format("-----BEGIN {}-----\n", label);
  for (std::size_t at = 0; at < text.size(); at += kLine) out.append(text, at, kLine).push_back('\n');
  return out + fmt::format("-----END {}-----\n", label);
}

}  // namespace virp::x509
