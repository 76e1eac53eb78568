#include "tools/virpctl/router_files.h"

#include <fcntl.h>

#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/crypto/p256_file.h"
#include "lib/crypto/random.h"
#include "lib/crypto/sha256.h"
#include "lib/rpki/key_package.h"
#include "tools/virpctl/output.h"

namespace virp::virpctl {
namespace {

x509::Signer SignerOf(const crypto::P256PrivateKey& key) {
  return [&key](std::string_view message) { return key.SignDigest(crypto::Sha256(message)); };
}

}  // namespace

absl::StatusOr<crypto::P256PrivateKey> LoadRouterKey(const std::string& path) {
  ASSIGN_OR_RETURN(std::string file, ReadFile(path, crypto::kMaxP256File));
  auto key = crypto::ReadP256PrivateKey(file);
  crypto::Wipe(file.data(), file.size());
  if (!key.ok()) return Annotate(key.status(), path);
  return key;
}

absl::Status SaveRouterKey(const std::string& path, std::string_view pkcs8) {
  absl::StatusOr<FileDescriptor> file = OpenFile(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (!file.ok()) return file.status();
  std::string pem = x509::PemBlock("PRIVATE KEY", pkcs8);
  absl::Status status = WriteAll(file->get(), pem, path);
  crypto::Wipe(pem.data(), pem.size());
  if (status.ok()) status = SyncFile(file->get(), path);
  if (status.ok()) status = SyncDirectory(ParentDirectory(path));
  return status;
}

absl::StatusOr<crypto::P256PrivateKey> MakeRouterKey(const std::string& path) {
  while (true) {  // once in 2^32 the bytes are no scalar
    const crypto::Secret scalar = crypto::Secret::Random(crypto::kP256ScalarSize);
    auto key = crypto::P256PrivateKey::FromScalar(scalar.view());
    if (!key.ok()) continue;
    ASSIGN_OR_RETURN(const crypto::Secret pkcs8, rpki::EncodePkcs8(scalar.view(), key->public_key().point()));
    RETURN_IF_ERROR(SaveRouterKey(path, pkcs8.view()));
    return key;
  }
}

absl::StatusOr<crypto::Secret> ReadPkcs8(const std::string& path) {
  ASSIGN_OR_RETURN(std::string file, ReadFile(path, x509::kMaxCertificate));
  auto blocks = x509::DerBlocks(file, {"PRIVATE KEY"}, x509::kMaxCertificate, 1);
  crypto::Wipe(file.data(), file.size());
  if (!blocks.ok()) return Annotate(blocks.status(), path);
  crypto::Secret out(blocks->front());
  crypto::Wipe(blocks->front().data(), blocks->front().size());
  return out;
}

absl::StatusOr<std::string> KeptRequest(const std::string& path, const crypto::P256PrivateKey& key) {
  const auto kept = ReadFile(path, 2 * x509::kMaxRequest);
  if (absl::IsNotFound(kept.status())) {
    ASSIGN_OR_RETURN(std::string made, rpki::MakeRouterRequest(key.public_key().spki(), std::nullopt, SignerOf(key)));
    RETURN_IF_ERROR(ReplaceFile(path, x509::PemBlock("CERTIFICATE REQUEST", made), 0644));
    return made;
  }
  RETURN_IF_ERROR(kept.status());
  const auto blocks =
      x509::DerBlocks(*kept, {"CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"}, 2 * x509::kMaxRequest, 1);
  if (!blocks.ok()) return Annotate(blocks.status(), path);
  const auto request = x509::ParseRequest(blocks->front());
  if (!request.ok()) return Annotate(request.status(), path);
  if (request->spki != key.public_key().spki())
    return FailedPrecondition("{}: a request for another key; remove it to have a new one made", path);
  return blocks->front();
}

absl::StatusOr<std::string> LoadCertificate(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string file, ReadFile(path, 2 * x509::kMaxCertificate));
  auto blocks = x509::DerBlocks(file, {"CERTIFICATE"}, 2 * x509::kMaxCertificate, 1);
  if (!blocks.ok()) return Annotate(blocks.status(), path);
  if (const auto parsed = x509::ParseCertificate(blocks->front()); !parsed.ok()) return Annotate(parsed.status(), path);
  return std::move(blocks->front());
}

absl::StatusOr<CertificateCheck> CheckInstalled(const crypto::P256PrivateKey& key, const std::string& router,
                                                const std::vector<std::string>& authorities,
                                                const std::string& trust_anchor, std::uint32_t asn) {
  CertificateCheck out;
  ASSIGN_OR_RETURN(out.facts, rpki::RouterFactsOf(router));
  // RFC 8635 section 8: sign any data with the one, verify with the other.
  const Hash digest = crypto::Sha256(crypto::RandomBytes(32));
  const auto certified = crypto::P256PublicKey::FromSpki(out.facts.spki);
  out.key_match = certified.ok() && certified->VerifyDigest(digest, key.SignDigest(digest));
  std::vector<std::string> between;
  for (const std::string& authority : authorities) {
    if (authority != trust_anchor) between.push_back(authority);
  }
  rpki::RouterExpectation expected{.origin = rpki::Origin::kImported, .asn = std::nullopt, .now = SecondsNow()};
  if (asn != 0) expected.asn = asn;
  out.path = rpki::CheckPath(router, between, trust_anchor, {}, expected);
  return out;
}

void WriteRefusals(frame::JsonWriter& json, const rpki::Refusals& refusals) {
  json.Key("refusals").BeginArray();
  for (const rpki::Refusal& refusal : refusals) {
    json.BeginObject().Field("reason", rpki::ReasonName(refusal.reason));
    json.Field("detail", std::string_view(refusal.detail)).EndObject();
  }
  json.EndArray();
}

void WriteCheck(frame::JsonWriter& json, const CertificateCheck& check) {
  json.Field("keyMatch", check.key_match).Field("chainValid", check.path.empty());
  json.Field("asn", check.facts.asn).Field("keyIdentifier", HexEncode(check.facts.key_identifier));
  json.Field("serial", HexEncode(check.facts.serial));
  json.Field("notBefore", der::TimeText(check.facts.validity.not_before));
  json.Field("notAfter", der::TimeText(check.facts.validity.not_after));
  WriteRefusals(json, check.path);
}

std::string CheckTable(const CertificateCheck& check) {
  Table table({"CHECK", "RESULT"});
  table.Add({"the certificate is for this key", check.key_match ? "yes" : "NO"});
  table.Add({"it leads to the installed trust anchor", check.path.empty() ? "yes" : "NO"});
  table.Add({"AS", fmt::format("{}", check.facts.asn)});
  table.Add({"key identifier", HexEncode(check.facts.key_identifier)});
  table.Add({"valid", fmt::format("{} to {}", der::TimeText(check.facts.validity.not_before),
                                  der::TimeText(check.facts.validity.not_after))});
  for (const rpki::Refusal& refusal : check.path)
    table.Add({std::string(rpki::ReasonName(refusal.reason)), refusal.detail});
  return table.ToString();
}

rpki::Time SecondsNow() {
  const auto nanos = std::chrono::nanoseconds(static_cast<std::int64_t>(SystemClock().NowNanos()));
  return rpki::Time(std::chrono::floor<std::chrono::seconds>(nanos));
}

}  // namespace virp::virpctl
