#include "services/collector/bmp_config.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/base/units.h"
#include "lib/service/config.h"
#include "lib/service/json_fields.h"
#include "lib/service/strict_json.h"

namespace virp::collector {
namespace {

using nlohmann::json;
using service::MemberAt;
using service::ReadMember;

constexpr std::size_t kMaxList = 10'000;
constexpr std::size_t kMaxKeyFile = 4'096;
constexpr std::uint16_t kBmpPort = 11019;  // IANA's

absl::Status ReadMode(const json& object, const char* key, const std::string& where, BmpMode& value) {
  std::string name(BmpModeName(value));
  RETURN_IF_ERROR(ReadMember(object, key, where, name));
  const auto mode = BmpModeFromName(name);
  if (!mode) return InvalidArgument("{}: '{}' is none of events, prefixes, routes", MemberAt(where, key), name);
  value = *mode;
  return absl::OkStatus();
}

absl::StatusOr<IpAddress> AddressIn(const std::string& text, const std::string& where) {
  const auto address = IpAddress::Parse(text);
  if (!address.ok()) return Annotate(address.status(), where);
  return address->Unmapped();
}

// The file's one line, without its end.
absl::Status ReadMd5Key(const json& object, const char* key, const std::string& where, std::string& value) {
  std::string path;
  RETURN_IF_ERROR(ReadMember(object, key, where, path));
  if (!object.contains(key)) return absl::OkStatus();
  const std::string place = MemberAt(where, key);
  RETURN_IF_ERROR(Annotate(service::CheckSecretFile(path), place));
  auto text = ReadFile(path, kMaxKeyFile);
  if (!text.ok()) return Annotate(text.status(), place);
  while (!text->empty() && (text->back() == '\n' || text->back() == '\r')) text->pop_back();
  if (text->empty()) return InvalidArgument("{}: {} is empty", place, path);
  value = *std::move(text);
  return absl::OkStatus();
}

// A route distinguisher as RFC 4364 writes it, or all its eight bytes as 0x and 16 hex digits.
std::optional<std::uint64_t> ParseRd(std::string_view text) {
  const auto number = [](std::string_view digits, std::uint64_t limit, int base = 10) -> std::optional<std::uint64_t> {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
    const bool good = error == std::errc() && end == digits.data() + digits.size() && value <= limit;
    return good ? std::optional(value) : std::nullopt;
  };
  constexpr std::uint64_t kMax16 = 0xffff, kMax32 = 0xffffffff;
  if (text.size() == 18 && text.starts_with("0x")) return number(text.substr(2), ~std::uint64_t{0}, 16);
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::string_view front = text.substr(0, colon), back = text.substr(colon + 1);
  if (const auto address = IpAddress::Parse(front); address.ok() && address->is_v4()) {
    const auto assigned = number(back, kMax16);
    if (!assigned) return std::nullopt;
    return std::uint64_t{1} << 48 | std::uint64_t{LoadBe<std::uint32_t>(address->bytes().data())} << 16 | *assigned;
  }
  const auto as = number(front, kMax32);
  const auto assigned = as ? number(back, *as <= kMax16 ? kMax32 : kMax16) : std::nullopt;
  if (!assigned) return std::nullopt;
  return *as <= kMax16 ? *as << 32 | *assigned : std::uint64_t{2} << 48 | *as << 16 | *assigned;
}

absl::Status ParseVrfs(const json& router, const std::string& where, BmpRouterOptions& options) {
  if (!router.contains("vrfs")) return absl::OkStatus();
  const std::string place = MemberAt(where, "vrfs");
  const json& vrfs = router["vrfs"];
  if (!vrfs.is_object() || vrfs.size() > kMaxList)
    return InvalidArgument("{}: maps route distinguishers to VRF names", place);
  for (const auto& [text, name] : vrfs.items()) {
    const auto rd = ParseRd(text);
    if (!rd) return InvalidArgument("{}: '{}' is no route distinguisher such as 64500:1 or 192.0.2.1:1", place, text);
    const bool good = name.is_string() && !name.get_ref<const std::string&>().empty();
    if (!good) return InvalidArgument("{}: {} needs the name of a VRF", place, text);
    options.vrfs.emplace_back(*rd, name.get<std::string>());
  }
  return absl::OkStatus();
}

absl::Status ParsePeers(const json& router, const std::string& where, BmpRouterOptions& options) {
  if (!router.contains("peers")) return absl::OkStatus();
  const json& peers = router["peers"];
  if (!peers.is_array() || peers.size() > kMaxList)
    return InvalidArgument("{}: is not a list of at most {}", MemberAt(where, "peers"), kMaxList);
  for (std::size_t i = 0; i < peers.size(); ++i) {
    const std::string place = fmt::format("{}.peers[{}]", where, i);
    RETURN_IF_ERROR(service::CheckObject(peers[i], {"address", "vrf", "mode"}, place));
    BmpPeerOptions peer;
    ASSIGN_OR_RETURN(const std::string address, service::StringMember(peers[i], "address", place));
    ASSIGN_OR_RETURN(peer.address, AddressIn(address, place));
    RETURN_IF_ERROR(ReadMember(peers[i], "vrf", place, peer.vrf));
    RETURN_IF_ERROR(ReadMode(peers[i], "mode", place, peer.mode));
    options.peers.push_back(std::move(peer));
  }
  return absl::OkStatus();
}

absl::Status ParseRibs(const json& router, const std::string& where, BmpRouterOptions& options) {
  if (!router.contains("ribs")) return absl::OkStatus();
  std::vector<std::string> names;
  RETURN_IF_ERROR(ReadMember(router, "ribs", where, names));
  options.ribs.fill(false);
  for (const std::string& name : names) {
    bool known = false;
    for (std::size_t i = 0; i < options.ribs.size(); ++i) {
      if (bmp::RibName(static_cast<bmp::Rib>(i)) == name) known = options.ribs[i] = true;
    }
    if (!known) {
      return InvalidArgument("{}: '{}' is none of adj-in-pre, adj-in-post, loc, adj-out-pre, adj-out-post",
                             MemberAt(where, "ribs"), name);
    }
  }
  return absl::OkStatus();
}

absl::Status ParseProtected(const json& red, const std::string& where, BmpRedRules& rules) {
  if (!red.contains("protected_prefixes")) return absl::OkStatus();
  const json& list = red["protected_prefixes"];
  if (!list.is_array() || list.size() > kMaxList) {
    return InvalidArgument("{}: is not a list of at most {}", MemberAt(where, "protected_prefixes"), kMaxList);
  }
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string place = fmt::format("{}.protected_prefixes[{}]", where, i);
    RETURN_IF_ERROR(service::CheckObject(list[i], {"prefix", "origins"}, place));
    ProtectedPrefix entry;
    ASSIGN_OR_RETURN(const std::string text, service::StringMember(list[i], "prefix", place));
    const auto prefix = Prefix::Parse(text);
    if (!prefix.ok()) return Annotate(prefix.status(), place);
    entry.prefix = *prefix;
    const json origins = list[i].contains("origins") ? list[i]["origins"] : json();
    if (!origins.is_array() || origins.empty() || origins.size() > kMaxList)
      return InvalidArgument("{}: origins must list AS numbers", place);
    for (const json& origin : origins) {
      if (!origin.is_number_unsigned() || origin.get<std::uint64_t>() > 0xffffffff)
        return InvalidArgument("{}: origins must list AS numbers", place);
      entry.origins.push_back(origin.get<std::uint32_t>());
    }
    rules.protected_prefixes.push_back(std::move(entry));
  }
  return absl::OkStatus();
}

absl::Status ParseRed(const json& router, const std::string& where, BmpRedRules& rules) {
  if (!router.contains("red")) return absl::OkStatus();
  const json& red = router["red"];
  const std::string place = MemberAt(where, "red");
  RETURN_IF_ERROR(service::CheckObject(red, {"protected_prefixes", "sessions_lost", "maximum_prefix"}, place));
  RETURN_IF_ERROR(ParseProtected(red, place, rules));
  RETURN_IF_ERROR(ReadMember(red, "maximum_prefix", place, rules.maximum_prefix));
  if (!red.contains("sessions_lost")) return absl::OkStatus();
  const json& lost = red["sessions_lost"];
  const std::string lost_place = MemberAt(place, "sessions_lost");
  RETURN_IF_ERROR(service::CheckObject(lost, {"more_than", "within"}, lost_place));
  RETURN_IF_ERROR(ReadMember(lost, "more_than", lost_place, rules.sessions_lost));
  return ReadMember(lost, "within", lost_place, rules.within);
}

absl::Status ParsePathIds(const json& router, const std::string& where, bmp::PathIdPolicy& policy) {
  std::string name = "auto";
  RETURN_IF_ERROR(ReadMember(router, "path_ids", where, name));
  if (name == "auto") {
    policy = bmp::PathIdPolicy::kAuto;
  } else if (name == "negotiated") {
    policy = bmp::PathIdPolicy::kNegotiated;
  } else if (name == "never") {
    policy = bmp::PathIdPolicy::kNever;
  } else {
    return InvalidArgument("{}: '{}' is none of auto, negotiated, never", MemberAt(where, "path_ids"), name);
  }
  return absl::OkStatus();
}

absl::Status ParseRouter(const json& item, const std::string& where, BmpIngestOptions& options) {
  RETURN_IF_ERROR(
      service::CheckObject(item,
                           {"source", "addresses", "sys_name", "dial", "md5_key_file", "mode", "peers", "prefixes",
                            "ribs", "vrfs", "path_ids", "red", "max_paths", "max_attribute_bytes", "max_peers"},
                           where));
  BmpRouterOptions router;
  ASSIGN_OR_RETURN(router.source, service::StringMember(item, "source", where));
  std::vector<std::string> addresses;
  RETURN_IF_ERROR(ReadMember(item, "addresses", where, addresses));
  for (const std::string& text : addresses) {
    ASSIGN_OR_RETURN(const IpAddress address, AddressIn(text, MemberAt(where, "addresses")));
    router.addresses.push_back(address);
  }
  RETURN_IF_ERROR(ReadMember(item, "sys_name", where, router.sys_name));
  RETURN_IF_ERROR(ReadMember(item, "dial", where, router.dial));
  RETURN_IF_ERROR(ReadMd5Key(item, "md5_key_file", where, router.md5_key));
  RETURN_IF_ERROR(ReadMode(item, "mode", where, router.mode));
  RETURN_IF_ERROR(ParsePeers(item, where, router));
  RETURN_IF_ERROR(ReadMember(item, "prefixes", where, router.prefixes));
  RETURN_IF_ERROR(ParseRibs(item, where, router));
  RETURN_IF_ERROR(ParseVrfs(item, where, router));
  RETURN_IF_ERROR(ParsePathIds(item, where, router.path_ids));
  RETURN_IF_ERROR(ParseRed(item, where, router.red));
  RETURN_IF_ERROR(ReadMember(item, "max_paths", where, router.max_paths));
  RETURN_IF_ERROR(service::ReadSizeMember(item, "max_attribute_bytes", where, router.max_attribute_bytes));
  RETURN_IF_ERROR(ReadMember(item, "max_peers", where, router.max_peers));
  options.bmp.routers.push_back(std::move(router));
  return absl::OkStatus();
}

// Absent: loopback, when there is somebody to listen for.
absl::Status ParseListen(const json& section, const std::string& where, BmpIngestOptions& options) {
  std::vector<std::string> texts;
  RETURN_IF_ERROR(ReadMember(section, "listen", where, texts));
  for (const std::string& text : texts) {
    const auto at = ParseHostPort(text);
    if (!at.ok()) return Annotate(at.status(), MemberAt(where, "listen"));
    if (!IpAddress::Parse(at->host).ok())
      return InvalidArgument("{}: {} is not an address; names are not resolved", MemberAt(where, "listen"), text);
    options.listen.push_back(*at);
  }
  const auto& routers = options.bmp.routers;
  const bool awaited = std::any_of(routers.begin(), routers.end(),
                                   [](const BmpRouterOptions& router) { return !router.addresses.empty(); });
  if (!section.contains("listen") && awaited) options.listen.push_back({"127.0.0.1", kBmpPort});
  if (options.listen.empty() && awaited)
    return InvalidArgument("{}: routers with addresses connect to us, and nothing is listened on", where);
  return absl::OkStatus();
}

}  // namespace

absl::Status ParseBmp(const json& section, const std::string& where, BmpIngestOptions& options) {
  RETURN_IF_ERROR(service::CheckObject(section,
                                       {"listen", "max_connections", "max_connections_per_address",
                                        "initiation_timeout", "quiet", "restate_peers", "routers"},
                                       where));
  RETURN_IF_ERROR(ReadMember(section, "max_connections", where, options.max_connections));
  RETURN_IF_ERROR(ReadMember(section, "max_connections_per_address", where, options.max_per_address));
  RETURN_IF_ERROR(ReadMember(section, "initiation_timeout", where, options.initiation_timeout));
  RETURN_IF_ERROR(ReadMember(section, "quiet", where, options.bmp.quiet));
  RETURN_IF_ERROR(ReadMember(section, "restate_peers", where, options.bmp.restate_peers));
  if (options.max_connections == 0 || options.max_per_address == 0)
    return InvalidArgument("{}: limits must be above 0", where);
  const json routers = section.contains("routers") ? section["routers"] : json();
  if (!routers.is_array() || routers.empty() || routers.size() > kMaxList)
    return InvalidArgument("{}: must list 1 to {}", MemberAt(where, "routers"), kMaxList);
  for (std::size_t i = 0; i < routers.size(); ++i) {
    RETURN_IF_ERROR(ParseRouter(routers[i], fmt::format("{}.routers[{}]", where, i), options));
  }
  return ParseListen(section, where, options);
}

}  // namespace virp::collector
