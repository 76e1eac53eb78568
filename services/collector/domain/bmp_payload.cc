#include "services/collector/domain/bmp_payload.h"

#include <fmt/format.h>

#include <charconv>

#include "lib/base/bytes.h"
#include "lib/crypto/sha256.h"
#include "lib/frame/payload.h"

namespace virp::collector {
namespace {

// Neither can stand inside a JSON string, where each quote has a backslash in front.
constexpr std::string_view kAttributesBegin = "\"nexthop\":";
constexpr std::string_view kAttributesEnd = ",\"bmp_session\":";

void AppendNumber(std::string& out, std::uint64_t number) {
  const fmt::format_int text(number);
  out.append(text.data(), text.size());
}

void AppendQuoted(std::string& out, std::string_view text) {
  frame::JsonWriter writer;
  out += writer.String(text).Take();
}

std::string_view OriginText(const std::optional<bmp::Origin>& origin) {
  if (!origin) return "null";
  switch (*origin) {
    case bmp::Origin::kIgp:
      return "\"IGP\"";
    case bmp::Origin::kEgp:
      return "\"EGP\"";
    case bmp::Origin::kIncomplete:
      return "\"INCOMPLETE\"";
  }
  return "null";
}

void AppendOptional(std::string& out, const std::optional<std::uint32_t>& value) {
  if (value) {
    AppendNumber(out, *value);
  } else {
    out += "null";
  }
}

void AppendTail(std::string& out, const PayloadTail& tail) {
  out.append(kAttributesEnd).append("\"").append(tail.protection).append("\"");
  if (tail.router_time_us != 0) {
    out += ",\"router_time\":";
    AppendNumber(out, tail.router_time_us);
    out += "000";  // nanoseconds
  }
  if (!tail.reason.empty()) {
    out += ",\"reason\":";
    AppendQuoted(out, tail.reason);
  }
  if (!tail.red_rule.empty()) out.append(",\"red_rule\":\"").append(tail.red_rule).append("\"");
  if (tail.inferred) out += ",\"inferred\":true";
  if (tail.restated) out += ",\"restated\":true";
  out += '}';
}

void AppendPathHead(std::string& out, std::string_view event, std::string_view peer_text, std::string_view rib,
                    const bmp::Route& route) {
  out.append("{\"domain\":\"bgp\",\"event\":\"").append(event).append("\",\"prefix\":\"");
  route.prefix.AppendTo(out);
  out.append("\",").append(peer_text);
  out.append(route.prefix.family() == IpFamily::kV4 ? ",\"afi\":1,\"safi\":1,\"rib\":\""
                                                    : ",\"afi\":2,\"safi\":1,\"rib\":\"");
  out.append(rib).append("\",\"path_id\":");
  AppendNumber(out, route.path_id);
}

void AppendCommunities(const bmp::PathAttributes& attributes, std::string& out) {
  out += '[';
  bool first = true;
  attributes.VisitCommunities([&](std::string_view community) {
    out.append(first ? "\"" : ",\"").append(community).append("\"");
    first = false;
  });
  out += ']';
}

void FormShortened(const bmp::PathAttributes& attributes, std::string_view head, std::string& out) {
  const std::string digest = HexEncode(View(crypto::Sha256(out)));
  out = head;
  out += "\"as_path\":";
  const std::size_t path = out.size();
  out += '"';
  attributes.as_path.AppendTo(out);
  out += '"';
  if (out.size() > kMaxAttributeText / 2) out.replace(path, std::string::npos, "null");
  out.append(",\"origin\":").append(OriginText(attributes.origin)).append(",\"med\":");
  AppendOptional(out, attributes.med);
  out += ",\"local_pref\":";
  AppendOptional(out, attributes.local_pref);
  out.append(",\"communities\":null,\"attributes_sha256\":\"").append(digest).append("\"");
}

}  // namespace

std::string PeerText(const HeldPeer& peer) {
  std::string out = "\"peer\":";
  AppendQuoted(out, peer.facts.name);
  out += fmt::format(",\"peer_addr\":\"{}\",\"peer_as\":{},\"local_as\":{},\"router_id\":\"{}\",\"vrf\":",
                     peer.address.ToString(), peer.facts.as, peer.facts.local_as, peer.facts.router_id.ToString());
  AppendQuoted(out, peer.vrf);
  return out;
}

void FormAttributes(const bmp::PathAttributes& attributes, const IpAddress& next_hop, std::string& out) {
  out.clear();
  out.append(kAttributesBegin).append("\"");
  next_hop.AppendTo(out);
  out += "\",";
  const std::size_t head = out.size();
  out += "\"as_path\":\"";
  attributes.as_path.AppendTo(out);
  out.append("\",\"origin\":").append(OriginText(attributes.origin)).append(",\"med\":");
  AppendOptional(out, attributes.med);
  out += ",\"local_pref\":";
  AppendOptional(out, attributes.local_pref);
  out += ",\"communities\":";
  AppendCommunities(attributes, out);
  if (out.size() > kMaxAttributeText) FormShortened(attributes, std::string(out, 0, head), out);
}

std::string_view AttributesIn(std::string_view payload) {
  const std::size_t begin = payload.find(kAttributesBegin);
  if (begin == std::string_view::npos) return {};
  const std::size_t end = payload.find(kAttributesEnd, begin);
  return end == std::string_view::npos ? std::string_view() : payload.substr(begin, end - begin);
}

std::optional<std::uint32_t> OriginIn(std::string_view attributes, std::uint32_t local_as) {
  constexpr std::string_view kPath = "\"as_path\":\"";
  const std::size_t begin = attributes.find(kPath);
  if (begin == std::string_view::npos) return std::nullopt;
  std::string_view path = attributes.substr(begin + kPath.size());
  path = path.substr(0, path.find('"'));
  if (path.empty()) return local_as;
  const std::size_t space = path.rfind(' ');
  if (space != std::string_view::npos) path.remove_prefix(space + 1);
  std::uint32_t origin = 0;
  const auto [end, error] = std::from_chars(path.data(), path.data() + path.size(), origin);
  return error == std::errc() && end == path.data() + path.size() ? std::optional(origin) : std::nullopt;
}

void AppendAnnounce(std::string& out, std::string_view peer_text, std::string_view rib, const bmp::Route& route,
                    std::string_view attributes, const PayloadTail& tail) {
  AppendPathHead(out, "route_announce", peer_text, rib, route);
  out.append(",").append(attributes);
  AppendTail(out, tail);
}

void AppendWithdraw(std::string& out, std::string_view peer_text, std::string_view rib, const bmp::Route& route,
                    const PayloadTail& tail) {
  AppendPathHead(out, "route_withdraw", peer_text, rib, route);
  AppendTail(out, tail);
}

void AppendTableComplete(std::string& out, std::string_view peer_text, std::string_view rib,
                         const std::vector<Prefix>* prefixes, const PayloadTail& tail) {
  out.append("{\"domain\":\"bgp\",\"event\":\"table_complete\",").append(peer_text);
  out.append(",\"rib\":\"").append(rib).append("\"");
  if (prefixes != nullptr) {
    out += ",\"prefixes\":[";
    for (const Prefix& prefix : *prefixes) {
      out += &prefix == prefixes->data() ? "\"" : ",\"";
      prefix.AppendTo(out);
      out += '"';
    }
    out += ']';
  }
  if (tail.first_sequence != 0) {
    out += ",\"first_sequence\":";
    AppendNumber(out, tail.first_sequence);
  }
  AppendTail(out, tail);
}

void AppendPeerState(std::string& out, const HeldPeer& peer, std::string_view peer_text, const PayloadTail& tail) {
  out.append("{\"domain\":\"bgp\",\"event\":\"peer_state_change\",").append(peer_text);
  out.append(",\"old_state\":\"").append(PeerStateName(peer.facts.old_state));
  out.append("\",\"new_state\":\"").append(PeerStateName(peer.facts.state)).append("\"");
  out.append(",\"peer_bgp_id\":\"");
  peer.facts.bgp_id.AppendTo(out);
  out += '"';
  AppendTail(out, tail);
}

void AppendPeerDown(std::string& out, std::string_view peer_text, std::uint16_t last_event, std::uint64_t uptime,
                    std::string_view words, const PayloadTail& tail) {
  out.append("{\"domain\":\"bgp\",\"event\":\"peer_down\",").append(peer_text);
  out += ",\"last_state\":\"Established\",\"last_event\":";
  AppendNumber(out, last_event);
  out += ",\"uptime\":";
  AppendNumber(out, uptime);
  if (!words.empty()) {
    out += ",\"shutdown_message\":";
    AppendQuoted(out, words);
  }
  AppendTail(out, tail);
}

std::string ReasonText(const bmp::PeerDown& down) {
  using Reason = bmp::PeerDown::Reason;
  const auto with_notification = [&](std::string_view who) {
    if (!down.notification) return std::string(who);
    return fmt::format("{}: {}", who, bmp::NotificationName(down.notification->code, down.notification->subcode));
  };
  switch (down.reason) {
    case Reason::kLocalNotification:
      return with_notification("local notification");
    case Reason::kLocalNoNotification:
      return "local, no notification";
    case Reason::kRemoteNotification:
      return with_notification("remote notification");
    case Reason::kRemoteNoData:
      return "remote, no notification";
    case Reason::kDeconfigured:
      return "no longer monitored";
    case Reason::kLocalTableGone:
      return "table no longer monitored";
  }
  return fmt::format("reason {}", static_cast<int>(down.reason));
}

}  // namespace virp::collector
