// Commands that need no O-Node: certificates, keys, frames.
#include <algorithm>

#include "lib/base/bytes.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/names.h"
#include "lib/base/status.h"
#include "lib/chain/note.h"
#include "lib/crypto/pki.h"
#include "lib/frame/frame.h"
#include "lib/frame/key_directory.h"
#include "lib/frame/payload.h"
#include "lib/service/identity.h"
#include "tools/virpctl/commands.h"
#include "tools/virpctl/input.h"
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

// The files that were written, and whom they are for.
void PrintPair(const Options& options, const std::string& path, const std::string& identity) {
  if (options.json) {
    frame::JsonWriter json;
    json.BeginObject().Field("certificate", path + ".crt").Field("privateKey", path + ".key");
    if (!identity.empty()) json.Field("identity", std::string_view(identity));
    PrintJson(json.EndObject());
  } else {
    Print(fmt::format("{0}.crt\n{0}.key\n{1}{2}", path, identity, identity.empty() ? "" : "\n"));
  }
}

}  // namespace

absl::StatusOr<Exit> PkiInit(const Options& options, const PkiOptions& pki) {
  RETURN_IF_ERROR(MakeDirectory(pki.directory));
  RETURN_IF_ERROR(RefuseExisting(pki.directory + "/ca.key"));
  const UnixNanos now = SystemClock().NowNanos();
  // Clocks of other machines may be behind this one.
  ASSIGN_OR_RETURN(const auto authority,
                   crypto::CertificateAuthority::Create(pki.name, now - 10 * kMinute, now + pki.days * kDay));
  RETURN_IF_ERROR(
      crypto::WriteCertifiedKey(pki.directory, "ca", {authority.certificate_pem(), authority.private_key_pem()}));
  PrintPair(options, pki.directory + "/ca", "");
  return Exit::kYes;
}

absl::StatusOr<Exit> PkiIssue(const Options& options, const PkiOptions& pki) {
  const std::string& trust_domain = options.connection.trust_domain;
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
  PrintPair(options, fmt::format("{}/{}", out, name), leaf.uri_sans.front());
  return Exit::kYes;
}

absl::StatusOr<Exit> KeysCreate(const Options& options, const KeyOptions& keys) {
  frame::Suite suite = frame::Suite::kEd25519;
  if (keys.suite == "hmac") {
    suite = frame::Suite::kHmacSha256;
  } else if (keys.suite != "ed25519") {
    return InvalidArgument("--suite: '{}' is neither ed25519 nor hmac", keys.suite);
  }
  RETURN_IF_ERROR(frame::CreateKeyFile(keys.directory, keys.name, keys.version, suite, SystemClock().NowNanos()));
  const std::string file = fmt::format("{}/{}/{}.{}", keys.directory, keys.name, keys.version,
                                       suite == frame::Suite::kEd25519 ? "seed" : "hmac");
  if (options.json) {
    frame::JsonWriter json;
    PrintJson(json.BeginObject().Field("key", std::string_view(file)).EndObject());
  } else {
    Print(file + "\n");
  }
  return Exit::kYes;
}

absl::StatusOr<Exit> KeysList(const Options& options, const KeyOptions& keys) {
  ASSIGN_OR_RETURN(const auto directory, frame::KeyDirectory::Open(keys.directory));
  Table table({"NAME", "VERSION", "SUITE", "SIGNS", "ACCEPTED FROM", "UNTIL", "PUBLIC KEY OR COMMITMENT"});
  frame::JsonWriter json;
  json.BeginObject().Key("keys").BeginArray();
  for (const std::string& name : directory->Sources()) {
    if (!keys.name.empty() && keys.name != name) continue;
    for (const frame::KeyVersion& version : directory->Versions(name)) {
      const bool ed25519 = version.key->suite() == frame::Suite::kEd25519;
      const std::string suite(frame::SuiteName(version.key->suite()));
      const std::string half =
          HexEncode(ed25519 ? version.key->public_key() : version.key->Commitment(name, version.version));
      table.Add({name, fmt::format("{}", version.version), suite, version.key->can_sign() ? "yes" : "no",
                 TimeText(version.accept_from), version.accept_until ? TimeText(*version.accept_until) : "-", half});
      json.BeginObject().Field("name", std::string_view(name)).Field("version", version.version);
      json.Field("suite", std::string_view(suite)).Field("signs", version.key->can_sign());
      json.Field("acceptFrom", TimeText(version.accept_from)).Key("acceptUntil");
      version.accept_until ? json.String(TimeText(*version.accept_until)) : json.Null();
      json.Field(ed25519 ? "publicKey" : "commitment", std::string_view(half)).EndObject();
    }
  }
  options.json ? PrintJson(json.EndArray().EndObject()) : Print(table.ToString());
  return Exit::kYes;
}

absl::StatusOr<Exit> KeysVerifier(const Options& options, const KeyOptions& keys) {
  ASSIGN_OR_RETURN(const auto directory, frame::KeyDirectory::Open(keys.directory));
  std::string lines;
  frame::JsonWriter json;
  json.BeginObject().Key("verifierKeys").BeginArray();
  for (const frame::KeyVersion& version : directory->Versions(keys.name)) {
    if (version.key->suite() != frame::Suite::kEd25519) continue;
    ASSIGN_OR_RETURN(const auto key, chain::VerifierKey::Make(keys.name, version.key->public_key()));
    lines += key.ToString() + "\n";
    json.String(key.ToString());
  }
  if (lines.empty()) return NotFound("no Ed25519 key of {} in {}", keys.name, keys.directory);
  options.json ? PrintJson(json.EndArray().EndObject()) : Print(lines);
  return Exit::kYes;
}

namespace {

// Whether a key of the directory made the frame's tag, in words.
absl::StatusOr<std::string> CheckTag(const FrameOptions& options, const frame::Frame& frame) {
  ASSIGN_OR_RETURN(const auto directory, frame::KeyDirectory::Open(options.keys));
  // Version 1 does not say which key it is: whichever fits.
  const bool v2 = frame.header.spelling == frame::Spelling::kV2;
  bool any = false;
  for (const frame::KeyVersion& version : directory->Versions(options.source)) {
    if (v2 && version.version != frame.header.key_version) continue;
    any = true;
    if (frame::VerifyTag(frame, *version.key)) return "VERIFIED";
  }
  return any ? "BAD_TAG" : "NO_KEY";
}

std::string IdText(const frame::SourceId& id) {
  return HexEncode({reinterpret_cast<const char*>(id.data()), id.size()});
}

void PrintFrame(const frame::Frame& frame, const std::string& tag_check) {
  const frame::Header& header = frame.header;
  Table table({"FIELD", "VALUE"});
  table.Add({"spelling", std::string(frame::SpellingName(header.spelling))});
  table.Add({"type", fmt::format("{} {}", static_cast<int>(header.type), frame::TypeName(header.type))});
  table.Add({"tier", std::string(frame::TierName(header.tier))});
  table.Add({"suite", std::string(frame::SuiteName(header.suite))});
  table.Add({"time", TimeText(header.timestamp)});
  table.Add({"sequence", fmt::format("{}", header.sequence)});
  if (header.spelling == frame::Spelling::kV2) {
    table.Add({"boot epoch", fmt::format("{}", header.boot_epoch)});
    table.Add({"key version", fmt::format("{}", header.key_version)});
    table.Add({"source id", IdText(header.source_id)});
  }
  if (header.spelling == frame::Spelling::kV1Producer) table.Add({"producer", fmt::format("{}", header.producer_id)});
  table.Add({"payload", Printable(frame.payload, 4096)});
  table.Add({"tag", HexEncode(frame.tag)});
  if (!tag_check.empty()) table.Add({"tag check", tag_check});
  Print(table.ToString());
}

void PrintFrameJson(const frame::Frame& frame, const std::string& tag_check) {
  const frame::Header& header = frame.header;
  frame::JsonWriter json;
  json.BeginObject().Field("spelling", frame::SpellingName(header.spelling));
  json.Field("type", static_cast<unsigned>(header.type)).Field("typeName", frame::TypeName(header.type));
  json.Field("tier", frame::TierName(header.tier)).Field("suite", frame::SuiteName(header.suite));
  json.Field("observedAt", TimeText(header.timestamp)).Field("timestampNs", std::to_string(header.timestamp));
  json.Field("sequence", std::to_string(header.sequence));  // 64 bits are text, as in protobuf's JSON
  if (header.spelling == frame::Spelling::kV2) {
    json.Field("bootEpoch", std::to_string(header.boot_epoch)).Field("keyVersion", header.key_version);
    json.Field("sourceId", IdText(header.source_id));
  }
  if (header.spelling == frame::Spelling::kV1Producer) json.Field("producerId", header.producer_id);
  json.Field("payload", frame.payload).Field("tag", HexEncode(frame.tag));
  if (!tag_check.empty()) json.Field("tagCheck", std::string_view(tag_check));
  PrintJson(json.EndObject());
}

}  // namespace

absl::StatusOr<Exit> FrameDecode(const Options& options, const FrameOptions& what) {
  const auto spelling = frame::SpellingFromName(what.spelling.empty() ? "v2" : what.spelling);
  if (!spelling) return InvalidArgument("--spelling: '{}' is none of v1-le, v1-be, v1-producer, v2", what.spelling);
  ASSIGN_OR_RETURN(const std::string bytes, ReadInput(what.file, what.hex, 4 * frame::kMaxFrame));
  ASSIGN_OR_RETURN(const frame::Frame frame, frame::Decode(bytes, *spelling));
  std::string check;
  if (!what.keys.empty()) {
    ASSIGN_OR_RETURN(check, CheckTag(what, frame));
  }
  options.json ? PrintFrameJson(frame, check) : PrintFrame(frame, check);
  if (check == "BAD_TAG") return Exit::kNo;
  return check == "NO_KEY" ? Exit::kCannotSay : Exit::kYes;
}

}  // namespace virp::virpctl
