// `router keygen`, `router open`, `router check`: the router of RFC 8635, without any server.
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/crypto/der.h"
#include "lib/crypto/secret.h"
#include "lib/crypto/sha256.h"
#include "lib/rpki/import.h"
#include "lib/rpki/key_package.h"
#include "tools/virpctl/ceremony.h"
#include "tools/virpctl/commands.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/router_files.h"

namespace virp::virpctl {
namespace {

// What was found in a key package, before and after it was opened.
struct Opened {
  bool package_valid = false;
  rpki::Refusals path;
  std::string detail;          // why it is not valid
  std::string key_identifier;  // hex
};

void PrintOpened(const Options& options, const RouterOptions& router, const Opened& opened, bool saved) {
  if (options.json) {
    frame::JsonWriter json;
    json.BeginObject().Field("result", saved ? "INSTALLED" : "REFUSED");
    json.Field("packageValid", opened.package_valid);
    json.Field("chainValid", opened.package_valid && opened.path.empty());
    json.Field("detail", std::string_view(opened.detail));
    json.Field("keyIdentifier", std::string_view(opened.key_identifier));
    if (saved) json.Field("key", std::string_view(router.key));
    WriteRefusals(json, opened.path);
    PrintJson(json.EndObject());
    return;
  }
  Table table({"CHECK", "RESULT"});
  table.Add({"the package's signature is good", opened.package_valid ? "yes" : "NO"});
  table.Add(
      {"its signer leads to the installed trust anchor", opened.package_valid && opened.path.empty() ? "yes" : "NO"});
  if (!opened.detail.empty()) table.Add({"because", opened.detail});
  for (const rpki::Refusal& refusal : opened.path)
    table.Add({std::string(rpki::ReasonName(refusal.reason)), refusal.detail});
  if (!opened.key_identifier.empty()) table.Add({"key identifier", opened.key_identifier});
  table.Add({"installed", saved ? router.key : "nothing"});
  Print(table.ToString());
}

// The SignedData of a package, decrypted when it was encrypted for us.
absl::StatusOr<crypto::Secret> ReadPackage(const RouterOptions& router) {
  ASSIGN_OR_RETURN(std::string file, ReadFile(router.file, rpki::kMaxKeyPackage));
  auto blocks = x509::DerBlocks(file, {"CMS", "PKCS7"}, rpki::kMaxKeyPackage, 1);
  crypto::Wipe(file.data(), file.size());
  if (!blocks.ok()) return Annotate(blocks.status(), router.file);
  crypto::Secret package(blocks->front());
  crypto::Wipe(blocks->front().data(), blocks->front().size());
  if (router.decrypt_key.empty()) return package;
  ASSIGN_OR_RETURN(const std::string certificate, LoadCertificate(router.decrypt_certificate));
  ASSIGN_OR_RETURN(const crypto::Secret key, ReadPkcs8(router.decrypt_key));
  auto inner = cms::Decrypt(package.view(), certificate, key.view());
  if (!inner.ok()) return Annotate(inner.status(), router.file);
  return inner;
}

// AuthEnvelopedData (RFC 5083).
bool IsEncrypted(std::string_view package) {
  auto content_info = der::Open(package, der::kSequence, "CMS");
  if (!content_info.ok()) return false;
  const auto type = content_info->Oid();
  return type.ok() && der::OidText(*type) == "1.2.840.113549.1.9.16.1.23";
}

}  // namespace

absl::StatusOr<Exit> RouterKeygen(const Options& options, const RouterOptions& router) {
  RETURN_IF_ERROR(
      Announce(router.yes, "A new BGPsec key for this router (RFC 8635 section 6.1)",
               {fmt::format("makes an ECDSA P-256 key and writes it to {}, which only its owner may read", router.key),
                fmt::format("writes a certificate request, signed by it, to {}", router.request),
                "asks nobody and sends nothing: the request goes to the key manager by router enrol, or "
                "by whoever carries it"}));
  ASSIGN_OR_RETURN(const crypto::P256PrivateKey key, MakeRouterKey(router.key));
  ASSIGN_OR_RETURN(const std::string request, KeptRequest(router.request, key));
  ASSIGN_OR_RETURN(const std::string identifier, rpki::KeyIdentifier(key.public_key().spki()));
  const std::string id = HexEncode(View(crypto::Sha256(request)));
  if (options.json) {
    frame::JsonWriter json;
    json.BeginObject().Field("key", std::string_view(router.key)).Field("request", std::string_view(router.request));
    json.Field("requestSha256", std::string_view(id)).Field("keyIdentifier", HexEncode(identifier));
    PrintJson(json.EndObject());
    return Exit::kYes;
  }
  Table table({"ITEM", "VALUE"});
  table.Add({"key", router.key});
  table.Add({"request", router.request});
  table.Add({"request's SHA-256", id});
  table.Add({"key identifier", HexEncode(identifier)});
  Print(table.ToString());
  return Exit::kYes;
}

absl::StatusOr<Exit> RouterOpen(const Options& options, const RouterOptions& router) {
  ASSIGN_OR_RETURN(const std::string anchor, LoadCertificate(router.trust_anchor));
  ASSIGN_OR_RETURN(const crypto::Secret bytes, ReadPackage(router));
  Opened opened;
  auto package = rpki::OpenKeyPackage(bytes.view(), anchor, SecondsNow());
  opened.package_valid = package.ok();
  if (!package.ok()) {
    opened.detail = IsEncrypted(bytes.view())
                        ? "it is encrypted: --decrypt-key and --decrypt-certificate are of whom it is for"
                        : Message(package.status());
    PrintOpened(options, router, opened, /*saved=*/false);
    return Exit::kNo;
  }
  opened.path = std::move(package->path);
  ASSIGN_OR_RETURN(const crypto::Secret scalar, rpki::DecodePkcs8(package->pkcs8.view()));
  ASSIGN_OR_RETURN(const auto key, crypto::P256PrivateKey::FromScalar(scalar.view()));
  ASSIGN_OR_RETURN(const std::string identifier, rpki::KeyIdentifier(key.public_key().spki()));
  opened.key_identifier = HexEncode(identifier);
  if (!opened.path.empty()) {
    PrintOpened(options, router, opened, /*saved=*/false);
    return Exit::kNo;
  }
  RETURN_IF_ERROR(Announce(
      router.yes, "A key from the operator for this router (RFC 8635 section 6.2.1)",
      {"the package is signed, and its signer leads to the installed trust anchor",
       fmt::format("writes the key {} to {}, which only its owner may read", opened.key_identifier, router.key),
       fmt::format("{} is to be destroyed afterwards: it holds the key, too", router.file)}));
  RETURN_IF_ERROR(SaveRouterKey(router.key, package->pkcs8.view()));
  PrintOpened(options, router, opened, /*saved=*/true);
  return Exit::kYes;
}

absl::StatusOr<Exit> RouterCheck(const Options& options, const RouterOptions& router) {
  ASSIGN_OR_RETURN(const std::string anchor, LoadCertificate(router.trust_anchor));
  ASSIGN_OR_RETURN(const crypto::P256PrivateKey key, LoadRouterKey(router.key));
  ASSIGN_OR_RETURN(const std::string file, ReadFile(router.file, rpki::kMaxImport));
  const auto imported = rpki::ImportCertificates(file);
  if (!imported.ok()) return Annotate(imported.status(), router.file);
  ASSIGN_OR_RETURN(const CertificateCheck check,
                   CheckInstalled(key, imported->router, imported->authorities, anchor, router.asn));
  if (options.json) {
    frame::JsonWriter json;
    json.BeginObject().Field("result", check.good() ? "VERIFIED" : "REFUSED");
    WriteCheck(json, check);
    PrintJson(json.EndObject());
  } else {
    Print(CheckTable(check));
  }
  return check.good() ? Exit::kYes : Exit::kNo;
}

}  // namespace virp::virpctl
