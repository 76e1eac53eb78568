// `bgpsec sign` and `bgpsec verify`: a router key is proven by what it signs (RFC 8205), without any router.
#include <charconv>
#include <map>

#include "lib/base/bytes.h"
#include "lib/base/file.h"
#include "lib/base/ip.h"
#include "lib/base/status.h"
#include "lib/bgpsec/update.h"
#include "lib/bgpsec/validate.h"
#include "lib/crypto/p256_file.h"
#include "lib/frame/payload.h"
#include "lib/rpki/import.h"
#include "tools/virpctl/commands.h"
#include "tools/virpctl/input.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/router_files.h"

namespace virp::virpctl {
namespace {

constexpr std::size_t kMaxMessage = 65'535;  // RFC 8654

struct KeyFile {
  std::uint32_t asn = 0;
  std::string path;
};

absl::StatusOr<KeyFile> ParseKey(std::string_view text) {
  KeyFile key;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), key.asn);
  const auto used = static_cast<std::size_t>(end - text.data());
  if (error != std::errc() || used + 1 >= text.size() || text[used] != '=') {
    return InvalidArgument("--key: '{}' is not AS=FILE, the AS in decimal", text);
  }
  key.path = text.substr(used + 1);
  return key;
}

// A key as such or in a certificate, or the router's among certificates as `router check` takes them.
absl::StatusOr<crypto::P256PublicKey> LoadPublicKey(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string file, ReadFile(path, rpki::kMaxImport));
  auto key = crypto::ReadP256PublicKey(file);
  if (key.ok()) return key;
  const auto imported = rpki::ImportCertificates(file);
  if (!imported.ok()) return Annotate(key.status(), path);
  const auto facts = rpki::RouterFactsOf(imported->router);
  if (!facts.ok()) return Annotate(facts.status(), path);
  return crypto::P256PublicKey::FromSpki(facts->spki);
}

using PublicKeys = std::multimap<std::uint32_t, crypto::P256PublicKey>;

absl::StatusOr<PublicKeys> LoadPublic(const std::vector<std::string>& options) {
  PublicKeys keys;
  for (const std::string& option : options) {
    ASSIGN_OR_RETURN(const KeyFile named, ParseKey(option));
    ASSIGN_OR_RETURN(crypto::P256PublicKey key, LoadPublicKey(named.path));
    keys.emplace(named.asn, std::move(key));
  }
  return keys;
}

struct Route {
  bgpsec::Path path;  // empty when there is no file
  bgpsec::Nlri nlri;
};

// From the file, if there is one, and --prefix, which an UPDATE says itself.
absl::StatusOr<Route> ReadRoute(const BgpsecOptions& bgpsec) {
  std::optional<Prefix> prefix;
  if (!bgpsec.prefix.empty()) {
    ASSIGN_OR_RETURN(prefix, Prefix::Parse(bgpsec.prefix));
  }
  Route route;
  if (prefix.has_value()) route.nlri = bgpsec::NlriOf(*prefix);
  if (!bgpsec.file.empty()) {
    const std::size_t limit = bgpsec.hex ? 4 * kMaxMessage : kMaxMessage;
    ASSIGN_OR_RETURN(const std::string bytes, ReadInput(bgpsec.file, bgpsec.hex, limit));
    std::string_view attribute = bytes;
    if (bytes.starts_with("\xff\xff")) {  // no attribute begins so: its Secure_Path would leave no room for a signature
      ASSIGN_OR_RETURN(const bgpsec::SignedRoute update, bgpsec::ReadUpdate(bytes));
      const Prefix announced = bgpsec::PrefixOf(update.nlri);
      if (prefix.has_value() && *prefix != announced)
        return InvalidArgument("--prefix {}: the UPDATE announces {}", bgpsec.prefix, announced.ToString());
      attribute = update.attribute;
      prefix = announced;
      route.nlri = update.nlri;
    }
    ASSIGN_OR_RETURN(route.path, bgpsec::Decode(attribute));
  }
  if (!prefix.has_value()) return InvalidArgument("--prefix: an attribute does not say what it announces");
  return route;
}

std::string HexOf(const bgpsec::Ski& ski) {
  return HexEncode({ski.data(), ski.size()});
}

// The segments with their signatures of the suite that is known; `verified`: how many, newest first, are good.
void WritePath(frame::JsonWriter& json, const bgpsec::Path& path, std::optional<std::size_t> verified) {
  const auto block = std::ranges::find(path.blocks, bgpsec::kSuiteP256Sha256, &bgpsec::SignatureBlock::suite);
  json.Key("path").BeginArray();
  for (std::size_t i = 0; i < path.segments.size(); ++i) {
    const bgpsec::PathSegment& segment = path.segments[i];
    json.BeginObject().Field("asn", segment.asn).Field("pcount", unsigned{segment.pcount});
    json.Field("flags", unsigned{segment.flags});
    if (block != path.blocks.end()) {
      json.Field("ski", HexOf(block->signatures[i].ski)).Field("signature", HexEncode(block->signatures[i].value));
      if (verified.has_value() && i <= *verified) json.Field("verified", i < *verified);
    }
    json.EndObject();
  }
  json.EndArray();
}

std::string_view Name(bgpsec::Validity validity) {
  switch (validity) {
    case bgpsec::Validity::kValid:
      return "VALID";
    case bgpsec::Validity::kNotValid:
      return "NOT_VALID";
    case bgpsec::Validity::kUnsupported:
      return "UNSUPPORTED";
    case bgpsec::Validity::kMalformed:
      return "MALFORMED";
  }
  return "?";
}

void PrintVerdict(const Options& options, const Route& route, const bgpsec::Verdict& verdict) {
  const std::string prefix = bgpsec::PrefixOf(route.nlri).ToString();
  if (options.json) {
    frame::JsonWriter json;
    json.BeginObject().Field("result", Name(verdict.validity)).Field("reason", std::string_view(verdict.reason));
    json.Field("prefix", std::string_view(prefix)).Field("verified", verdict.verified);
    const bool tried = verdict.validity == bgpsec::Validity::kValid || verdict.validity == bgpsec::Validity::kNotValid;
    WritePath(json, route.path, tried ? std::optional(verdict.verified) : std::nullopt);
    PrintJson(json.EndObject());
    return;
  }
  std::string path;
  for (const bgpsec::PathSegment& segment : route.path.segments)
    path += fmt::format("{}AS{}", path.empty() ? "" : " ", segment.asn);
  Print(fmt::format("{}\n", Name(verdict.validity)));
  if (!verdict.reason.empty()) Print(verdict.reason + "\n");
  Print(fmt::format("{} by {}; {} signatures verified\n", prefix, path, verdict.verified));
}

}  // namespace

absl::StatusOr<Exit> BgpsecSign(const Options& options, const BgpsecOptions& bgpsec) {
  ASSIGN_OR_RETURN(const Route route, ReadRoute(bgpsec));
  bgpsec::Path path = route.path;
  for (std::size_t i = 0; i < bgpsec.keys.size(); ++i) {
    ASSIGN_OR_RETURN(const KeyFile named, ParseKey(bgpsec.keys[i]));
    ASSIGN_OR_RETURN(const crypto::P256PrivateKey key, LoadRouterKey(named.path));
    const bool last = i + 1 == bgpsec.keys.size();
    std::uint32_t target = bgpsec.target;
    if (!last) {
      ASSIGN_OR_RETURN(const KeyFile next, ParseKey(bgpsec.keys[i + 1]));
      target = next.asn;
    }
    bgpsec::PathSegment segment{.asn = named.asn};
    if (last) {
      segment.pcount = static_cast<std::uint8_t>(bgpsec.pcount);
      if (bgpsec.confederation) segment.flags = bgpsec::kConfedSegment;
    }
    const bgpsec::Signer signer{segment, bgpsec::SkiOf(key.public_key()),
                                [&key](const Hash& digest) { return key.SignDigest(digest); }};
    ASSIGN_OR_RETURN(path, bgpsec::Sign(path, signer, target, route.nlri));
  }
  ASSIGN_OR_RETURN(const std::string attribute, bgpsec::Encode(path));
  if (!bgpsec.save.empty()) RETURN_IF_ERROR(ReplaceFile(bgpsec.save, attribute, 0644));
  if (options.json) {
    frame::JsonWriter json;
    json.BeginObject().Field("attribute", HexEncode(attribute));
    json.Field("prefix", bgpsec::PrefixOf(route.nlri).ToString()).Field("target", bgpsec.target);
    WritePath(json, path, std::nullopt);
    PrintJson(json.EndObject());
  } else {
    Print(HexEncode(attribute) + "\n");
  }
  return Exit::kYes;
}

absl::StatusOr<Exit> BgpsecVerify(const Options& options, const BgpsecOptions& bgpsec) {
  ASSIGN_OR_RETURN(const PublicKeys keys, LoadPublic(bgpsec.keys));
  ASSIGN_OR_RETURN(const Route route, ReadRoute(bgpsec));
  const bgpsec::Receiver receiver{.asn = bgpsec.target,
                                  .peer_asn = bgpsec.peer == 0 ? route.path.segments.front().asn : bgpsec.peer,
                                  .peer_in_confederation = bgpsec.confederation,
                                  .peer_transparent = bgpsec.transparent};
  const auto find = [&keys](std::uint32_t asn, const bgpsec::Ski& ski) {
    std::vector<crypto::P256PublicKey> found;
    for (auto [it, end] = keys.equal_range(asn); it != end; ++it) {
      if (bgpsec::SkiOf(it->second) == ski) found.push_back(it->second);
    }
    return found;
  };
  ASSIGN_OR_RETURN(const bgpsec::Verdict verdict, bgpsec::Validate(route.path, route.nlri, receiver, find));
  PrintVerdict(options, route, verdict);
  if (verdict.validity == bgpsec::Validity::kValid) return Exit::kYes;
  return verdict.validity == bgpsec::Validity::kUnsupported ? Exit::kCannotSay : Exit::kNo;
}

}  // namespace virp::virpctl
