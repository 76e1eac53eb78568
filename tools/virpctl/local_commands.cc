// Commands that need no O-Node: certificates, keys, frames.
#include <algorithm>
#include <iostream>
#include <iterator>

#include "lib/base/bytes.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/names.h"
#include "lib/base/status.h"
#include "lib/chain/note.h"
#include "lib/crypto/pki.h"
#include "lib/frame/frame.h"
#include "lib/frame/key_directory.h"
#include "lib/service/identity.h"
#include "tools/virpctl/commands.h"
#include "tools/virpctl/output.h"

namespace virp::virpctl {
namespace {

constexpr UnixNanos kMinute = 60ULL * 1'000'000'000;
constexpr UnixNanos kDay = 24 * 60 * kMinute;

// Keys are made once: an authority that is overwritten takes all its certificates with it.
absl::Status RefuseExisting(const std::string& path) {
  if (OpenFile(path, 0).ok()) return AlreadyExists("{} is there already; remove it first if it is not needed", path);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Exit> PkiInit(const PkiOptions& pki) {
  RETURN_IF_ERROR(MakeDirectory(pki.directory));
  RETURN_IF_ERROR(RefuseExisting(pki.directory + "/ca.key"));
  const UnixNanos now = SystemClock().NowNanos();
  // Clocks of other machines may be behind this one.
  ASSIGN_OR_RETURN(const auto authority,
                   crypto::CertificateAuthority::Create(pki.name, now - 10 * kMinute, now + pki.days * kDay));
  RETURN_IF_ERROR(
      crypto::WriteCertifiedKey(pki.directory, "ca", {authority.certificate_pem(), authority.private_key_pem()}));
  Print(fmt::format("{0}/ca.crt\n{0}/ca.key\n", pki.directory));
  return Exit::kYes;
}

absl::StatusOr<Exit> PkiIssue(const PkiOptions& pki, const std::string& trust_domain) {
  if (!service::ParseRole(pki.role)) return InvalidArgument("--role: '{}' is no role", pki.role);
  RETURN_IF_ERROR(Annotate(CheckSourceName(pki.name), "--name"));
  RETURN_IF_ERROR(Annotate(service::CheckTrustDomain(trust_domain), "--trust-domain"));
  ASSIGN_OR_RETURN(const std::string certificate, ReadFile(pki.directory + "/ca.crt", crypto::kMaxCertificatePem));
  ASSIGN_OR_RETURN(const std::string key, ReadFile(pki.directory + "/ca.key", crypto::kMaxCertificatePem));
  ASSIGN_OR_RETURN(const auto authority, crypto::CertificateAuthority::Load(certificate, key));
  ASSIGN_OR_RETURN(const auto ca, crypto::ParseCertificate(certificate));
  const UnixNanos now = SystemClock().NowNanos();
  crypto::LeafSpec leaf;
  leaf.common_name = (pki.role + "/" + pki.name).substr(0, 64);
  leaf.uri_sans = {fmt::format("spiffe://{}/{}/{}", trust_domain, pki.role, pki.name)};
  leaf.dns_sans = pki.dns;
  leaf.ip_sans = pki.ips;
  leaf.not_before = std::max(now - 5 * kMinute, ca.not_before);
  leaf.not_after = std::min(now + pki.days * kDay, ca.not_after);
  ASSIGN_OR_RETURN(const auto pair, authority.Issue(leaf));
  const std::string out = pki.out.empty() ? pki.directory : pki.out;
  const std::string name = pki.role + "-" + pki.name;
  RETURN_IF_ERROR(MakeDirectory(out));
  RETURN_IF_ERROR(RefuseExisting(fmt::format("{}/{}.key", out, name)));
  RETURN_IF_ERROR(crypto::WriteCertifiedKey(out, name, pair));
  Print(fmt::format("{0}/{1}.crt\n{0}/{1}.key\n{2}\n", out, name, leaf.uri_sans.front()));
  return Exit::kYes;
}

absl::StatusOr<Exit> KeysCreate(const KeyOptions& keys) {
  frame::Suite suite = frame::Suite::kEd25519;
  if (keys.suite == "hmac") {
    suite = frame::Suite::kHmacSha256;
  } else if (keys.suite != "ed25519") {
    return InvalidArgument("--suite: '{}' is neither ed25519 nor hmac", keys.suite);
  }
  RETURN_IF_ERROR(frame::CreateKeyFile(keys.directory, keys.name, keys.version, suite, SystemClock().NowNanos()));
  Print(fmt::format("{}/{}/{}.{}\n", keys.directory, keys.name, keys.version,
                    suite == frame::Suite::kEd25519 ? "seed" : "hmac"));
  return Exit::kYes;
}

absl::StatusOr<Exit> KeysList(const KeyOptions& keys) {
  ASSIGN_OR_RETURN(const auto directory, frame::KeyDirectory::Open(keys.directory));
  Table table({"NAME", "VERSION", "SUITE", "SIGNS", "ACCEPTED FROM", "UNTIL", "PUBLIC KEY OR COMMITMENT"});
  for (const std::string& name : directory->Sources()) {
    if (!keys.name.empty() && keys.name != name) continue;
    for (const frame::KeyVersion& version : directory->Versions(name)) {
      const bool ed25519 = version.key->suite() == frame::Suite::kEd25519;
      table.Add({name, fmt::format("{}", version.version), std::string(frame::SuiteName(version.key->suite())),
                 version.key->can_sign() ? "yes" : "no", TimeText(version.accept_from),
                 version.accept_until ? TimeText(*version.accept_until) : "-",
                 HexEncode(ed25519 ? version.key->public_key() : version.key->Commitment(name, version.version))});
    }
  }
  Print(table.ToString());
  return Exit::kYes;
}

absl::StatusOr<Exit> KeysVerifier(const KeyOptions& keys) {
  ASSIGN_OR_RETURN(const auto directory, frame::KeyDirectory::Open(keys.directory));
  bool any = false;
  for (const frame::KeyVersion& version : directory->Versions(keys.name)) {
    if (version.key->suite() != frame::Suite::kEd25519) continue;
    ASSIGN_OR_RETURN(const auto key, chain::VerifierKey::Make(keys.name, version.key->public_key()));
    Print(key.ToString() + "\n");
    any = true;
  }
  if (!any) return NotFound("no Ed25519 key of {} in {}", keys.name, keys.directory);
  return Exit::kYes;
}

namespace {

absl::StatusOr<std::string> FrameBytes(const FrameOptions& options) {
  constexpr std::size_t kLimit = 4 * frame::kMaxFrame;
  std::string text;
  if (options.file == "-") {
    text.resize(kLimit);
    std::cin.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(std::cin.gcount()));
  } else {
    ASSIGN_OR_RETURN(text, ReadFile(options.file, kLimit));
  }
  if (!options.hex) return text;
  std::erase_if(text, [](char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; });
  return HexDecode(text);
}

}  // namespace

absl::StatusOr<Exit> FrameDecode(const FrameOptions& options) {
  const auto spelling = frame::SpellingFromName(options.spelling.empty() ? "v2" : options.spelling);
  if (!spelling) return InvalidArgument("--spelling: '{}' is none of v1-le, v1-be, v1-producer, v2", options.spelling);
  ASSIGN_OR_RETURN(const std::string bytes, FrameBytes(options));
  ASSIGN_OR_RETURN(const frame::Frame frame, frame::Decode(bytes, *spelling));
  const frame::Header& header = frame.header;
  Table table({"FIELD", "VALUE"});
  table.Add({"spelling", std::string(frame::SpellingName(header.spelling))});
  table.Add({"type", fmt::format("{} {}", static_cast<int>(header.type), frame::TypeName(header.type))});
  table.Add({"tier", std::string(frame::TierName(header.tier))});
  table.Add({"suite", std::string(frame::SuiteName(header.suite))});
  table.Add({"time", TimeText(header.timestamp)});
  table.Add({"sequence", fmt::format("{}", header.sequence)});
  if (*spelling == frame::Spelling::kV2) {
    table.Add({"boot epoch", fmt::format("{}", header.boot_epoch)});
    table.Add({"key version", fmt::format("{}", header.key_version)});
    table.Add(
        {"source id", HexEncode({reinterpret_cast<const char*>(header.source_id.data()), header.source_id.size()})});
  }
  if (*spelling == frame::Spelling::kV1Producer) table.Add({"producer", fmt::format("{}", header.producer_id)});
  table.Add({"payload", Printable(frame.payload, 4096)});
  table.Add({"tag", HexEncode(frame.tag)});
  Exit exit = Exit::kYes;
  if (!options.keys.empty()) {
    ASSIGN_OR_RETURN(const auto directory, frame::KeyDirectory::Open(options.keys));
    const std::uint32_t version = *spelling == frame::Spelling::kV2 ? header.key_version : 1;
    const auto key = directory->Find(options.source, version);
    if (key == nullptr) {
      table.Add({"tag check", fmt::format("no key of {} version {}", options.source, version)});
      exit = Exit::kCannotSay;
    } else {
      const bool good = frame::VerifyTag(frame, *key);
      table.Add({"tag check", good ? "VERIFIED" : "BAD_TAG"});
      exit = good ? Exit::kYes : Exit::kNo;
    }
  }
  Print(table.ToString());
  return exit;
}

}  // namespace virp::virpctl
