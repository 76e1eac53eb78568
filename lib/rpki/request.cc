// Certificate requests of routers: RFC 2986 in the profile of RFC 6487 section 6 and RFC 8209 section 3.2.
#include <algorithm>
#include <array>

#include "lib/base/status.h"
#include "lib/crypto/p256.h"
#include "lib/crypto/sha256.h"
#include "lib/rpki/check.h"
#include "lib/rpki/encode.h"
#include "lib/rpki/oids.h"
#include "lib/rpki/profile.h"

namespace virp::rpki {
namespace {

constexpr std::string_view kExtensionRequest("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e", 9);
constexpr std::string_view kEmptyName("\x30\x00", 2);

bool AsksForRouter(std::string_view value) {
  auto list = der::Open(value, der::kSequence, "extended key usage");
  while (list.ok() && !list->AtEnd()) {
    const auto purpose = list->Oid();
    if (!purpose.ok()) return false;
    if (*purpose == oid::kBgpsecRouter) return true;
  }
  return false;
}

void CheckAsked(const x509::Request& request, Refusals& out) {
  // What RFC 6487 section 6 lets a request name. Of these only the purpose is granted.
  constexpr std::array kAllowed{oid::kBasicConstraints, oid::kKeyUsage, oid::kExtendedKeyUsage,
                                oid::kSubjectInfoAccess};
  for (const x509::Extension& extension : request.extensions) {
    if (std::find(kAllowed.begin(), kAllowed.end(), extension.oid) == kAllowed.end()) {
      out.push_back({Reason::kRequestedExtension,
                     fmt::format("asks for extension {}, which a request may not", der::OidText(extension.oid))});
    }
    if (extension.oid == oid::kExtendedKeyUsage && !AsksForRouter(extension.value)) {
      out.push_back({Reason::kExtendedKeyUsageWrong, "asks for another purpose than id-kp-bgpsec-router"});
    }
  }
}

// The key when nothing is wrong.
std::optional<crypto::P256PublicKey> Examine(std::string_view der, const RequestExpectation& expected, Refusals& out) {
  const auto request = x509::ParseRequest(der);
  if (!request.ok()) {
    out.push_back({Reason::kMalformed, std::string(Message(request.status()))});
    return std::nullopt;
  }
  if (request->version != 0) out.push_back({Reason::kVersion, "version is not 0"});
  if (request->algorithm != x509::kEcdsaWithSha256) {
    out.push_back({Reason::kSignatureAlgorithm, "not signed with ECDSA and SHA-256 (RFC 8608 section 2)"});
  }
  std::optional<crypto::P256PublicKey> key = profile::CheckRouterKey(request->spki, out);
  if (request->has_other_attributes) {
    out.push_back({Reason::kRequestAttribute, "has an attribute beside one extensionRequest (RFC 6487 section 6.1.1)"});
  }
  CheckAsked(*request, out);
  if (const auto asn = profile::AsnInName(request->subject);
      asn.has_value() && expected.asn.has_value() && *asn != *expected.asn) {
    out.push_back(
        {Reason::kSubjectOfAnotherAs, fmt::format("subject names AS {}, asked for is {}", *asn, *expected.asn)});
  }
  if (const auto name = x509::ParseName(request->subject); !name.ok()) {
    out.push_back({Reason::kSubjectName, std::string(Message(name.status()))});
  }
  if (key.has_value() && !key->VerifyDigest(crypto::Sha256(request->info), request->signature)) {
    out.push_back({Reason::kSignature, "the signature is not the key's: no proof that the sender has it"});
  }
  return out.empty() ? std::move(key) : std::nullopt;
}

}  // namespace

Refusals CheckRouterRequest(std::string_view der, const RequestExpectation& expected) {
  Refusals out;
  Examine(der, expected, out);
  return out;
}

absl::StatusOr<RouterRequest> RouterRequest::Check(std::string_view der, const RequestExpectation& expected) {
  Refusals refusals;
  std::optional<crypto::P256PublicKey> key = Examine(der, expected, refusals);
  RETURN_IF_ERROR(AsStatus(refusals, "certificate request"));
  return RouterRequest(der, *std::move(key), expected);
}

absl::StatusOr<std::string> MakeRouterRequest(std::string_view spki, std::optional<std::uint32_t> asn,
                                              const x509::Signer& signer) {
  if (!crypto::P256PublicKey::IsSpki(spki)) {
    return InvalidArgument("request: not an uncompressed P-256 key (RFC 8608 section 3.1)");
  }
  std::string subject(kEmptyName);
  if (asn.has_value()) {
    ASSIGN_OR_RETURN(subject, EncodeName(RouterCommonName(*asn)));
  }
  const std::string attribute = der::Sequence(
      {der::Tlv(der::kOid, kExtensionRequest), der::Tlv(der::kSet, der::Sequence({encode::BgpsecRouter()}))});
  const std::string info =
      der::Sequence({der::Integer(0), subject, spki, der::Tlv(der::ContextConstructed(0), attribute)});
  return x509::Sign(info, x509::kEcdsaWithSha256, signer);
}

}  // namespace virp::rpki
