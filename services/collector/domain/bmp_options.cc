#include "services/collector/domain/bmp_options.h"

#include <algorithm>
#include <set>

#include "lib/base/names.h"
#include "lib/base/status.h"
#include "lib/base/units.h"

namespace virp::collector {
namespace {

constexpr std::size_t kMaxMd5Key = 80;  // the kernel's bound

absl::Status CheckRouter(const BmpRouterOptions& router) {
  const std::string where = "BMP router of source '" + router.source + "'";
  RETURN_IF_ERROR(Annotate(CheckSourceName(router.source), where));
  if (router.addresses.empty() && router.dial.empty())
    return InvalidArgument("{}: needs an address or a place to dial", where);
  if (router.md5_key.size() > kMaxMd5Key)
    return InvalidArgument("{}: a TCP-MD5 key has at most {} bytes", where, kMaxMd5Key);
  if (!router.dial.empty()) {
    const auto target = ParseHostPort(router.dial);
    RETURN_IF_ERROR(Annotate(target.status(), where + ": dial"));
    if (target->port == 0 || !IpAddress::Parse(target->host).ok()) {
      return InvalidArgument("{}: dial must be ADDRESS:PORT, not {}", where, router.dial);
    }
  }
  const bool lists = router.mode == BmpMode::kPrefixes ||
                     std::any_of(router.peers.begin(), router.peers.end(),
                                 [](const BmpPeerOptions& peer) { return peer.mode == BmpMode::kPrefixes; });
  if (lists && router.prefixes.empty()) return InvalidArgument("{}: mode prefixes needs a list of prefixes", where);
  if (router.prefixes.size() > kMaxListedPrefixes) {
    return InvalidArgument("{}: at most {} prefixes can be listed", where, kMaxListedPrefixes);
  }
  if ((router.red.sessions_lost > 0) != (router.red.within.count() > 0)) {
    return InvalidArgument("{}: the rule for lost sessions needs a number and a time", where);
  }
  if (router.max_paths == 0 || router.max_peers == 0 || router.max_attribute_bytes == 0) {
    return InvalidArgument("{}: limits must be above 0", where);
  }
  return absl::OkStatus();
}

// Whether a connection could belong to both.
absl::Status CheckPair(const BmpRouterOptions& a, const BmpRouterOptions& b) {
  if (a.source == b.source) return InvalidArgument("two BMP routers have the source '{}'", a.source);
  for (const IpAddress& address : a.addresses) {
    if (std::find(b.addresses.begin(), b.addresses.end(), address) == b.addresses.end()) continue;
    if (a.sys_name.empty() || b.sys_name.empty() || a.sys_name == b.sys_name) {
      return InvalidArgument(
          "BMP routers of sources '{}' and '{}' share the address {}: each needs a sysName of its own", a.source,
          b.source, address.ToString());
    }
    if (a.md5_key != b.md5_key) {
      return InvalidArgument("BMP routers of sources '{}' and '{}' share the address {} and must share its TCP-MD5 key",
                             a.source, b.source, address.ToString());
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string_view BmpModeName(BmpMode mode) {
  switch (mode) {
    case BmpMode::kEvents:
      return "events";
    case BmpMode::kPrefixes:
      return "prefixes";
    case BmpMode::kRoutes:
      return "routes";
  }
  return "";
}

std::optional<BmpMode> BmpModeFromName(std::string_view name) {
  for (const BmpMode mode : {BmpMode::kEvents, BmpMode::kPrefixes, BmpMode::kRoutes}) {
    if (name == BmpModeName(mode)) return mode;
  }
  return std::nullopt;
}

absl::Status CheckBmpOptions(const BmpOptions& options) {
  RETURN_IF_ERROR(Annotate(CheckSourceName(options.collector_source), "the collector's own source"));
  for (std::size_t i = 0; i < options.routers.size(); ++i) {
    RETURN_IF_ERROR(CheckRouter(options.routers[i]));
    for (std::size_t k = 0; k < i; ++k) RETURN_IF_ERROR(CheckPair(options.routers[k], options.routers[i]));
  }
  return absl::OkStatus();
}

std::string VrfName(const BmpRouterOptions& options, bmp::PeerType type, std::uint64_t distinguisher) {
  if (type == bmp::PeerType::kGlobal) return "default";
  for (const auto& [number, name] : options.vrfs) {
    if (number == distinguisher) return name;
  }
  if (distinguisher == 0) return "default";
  const auto low = static_cast<std::uint32_t>(distinguisher);
  const auto middle = static_cast<std::uint32_t>(distinguisher >> 16);
  const auto kind = static_cast<std::uint16_t>(distinguisher >> 48);
  if (kind == 0) return fmt::format("{}:{}", static_cast<std::uint16_t>(distinguisher >> 32), low);
  if (kind == 1) return fmt::format("{}:{}", IpAddress::V4(middle).ToString(), distinguisher & 0xffff);
  return fmt::format("{}:{}", middle, distinguisher & 0xffff);
}

}  // namespace virp::collector
