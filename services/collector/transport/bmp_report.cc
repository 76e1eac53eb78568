#include "services/collector/transport/bmp_report.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "services/collector/transport/wire_time.h"

namespace virp::collector {
namespace {

using v1::ListBmpPeersRequest;
using v1::ListBmpPeersResponse;

constexpr int kDefaultPage = 100, kMaxPage = 1'000;

// The last thing on a page: a peer, or a router that has none.
struct Place {
  std::string source, vrf, address;

  std::string Text() const { return source + "\n" + vrf + "\n" + address; }
  static absl::StatusOr<Place> Parse(std::string_view text) {
    Place place;
    if (text.empty()) return place;
    const std::size_t first = text.find('\n'), last = text.rfind('\n');
    if (first == std::string_view::npos || first == last) return InvalidField("page_token", "is not one of ours");
    place.source = text.substr(0, first);
    place.vrf = text.substr(first + 1, last - first - 1);
    place.address = text.substr(last + 1);
    if (!place.address.empty() && !IpAddress::Parse(place.address).ok())
      return InvalidField("page_token", "is not one of ours");
    return place;
  }
};

void ToWire(const BmpRouterStatus& from, ListBmpPeersResponse::BmpRouter& to) {
  to.set_source(from.source);
  to.set_session_up(from.session_up);
  to.set_connected(from.connected);
  *to.mutable_since() = WireTime(from.since);
  to.set_address(from.address);
  to.set_sys_name(from.sys_name);
  to.set_protection(from.protection);
  if (from.last_bytes != 0) *to.mutable_last_bytes_at() = WireTime(from.last_bytes);
  to.set_paths(from.paths);
  to.set_attribute_bytes(from.attribute_bytes);
  to.set_sessions(from.counters.sessions);
  to.set_refused_sessions(from.counters.refused_sessions);
}

void ToWire(const BmpPeerStatus& from, ListBmpPeersResponse::BmpPeer& to) {
  to.set_vrf(from.vrf);
  to.set_address(from.address.ToString());
  to.set_as_number(from.as);
  to.set_state(from.state);
  if (from.since != 0) *to.mutable_since() = WireTime(from.since);
  to.set_mode(std::string(BmpModeName(from.mode)));
  to.set_over_limit(from.over_limit);
  for (std::size_t rib = 0; rib < kRibs; ++rib) {
    if (!from.views[rib].reported) continue;
    auto& view = *to.add_views();
    view.set_rib(std::string(bmp::RibName(static_cast<bmp::Rib>(rib))));
    view.set_paths(from.views[rib].paths);
    view.set_complete(from.views[rib].complete);
  }
}

// As much of a router as fits; false when there is more of it.
bool AddRouter(const BmpRouterStatus& router, const Place& after, int& room, Place& last,
               ListBmpPeersResponse& response) {
  auto peer = router.peers.begin();
  if (after.source == router.source) {
    const IpAddress address = IpAddress::Parse(after.address).value_or(IpAddress());
    peer = std::upper_bound(
        router.peers.begin(), router.peers.end(), std::pair(after.vrf, address),
        [](const auto& place, const BmpPeerStatus& status) { return place < std::pair(status.vrf, status.address); });
    if (after.address.empty() || peer == router.peers.end()) return true;
  }
  if (room == 0) return false;
  auto& to = *response.add_routers();
  ToWire(router, to);
  if (peer == router.peers.end()) {
    --room;
    last = {router.source, "", ""};
  }
  for (; peer != router.peers.end(); ++peer, --room) {
    if (room == 0) return false;
    ToWire(*peer, *to.add_peers());
    last = {router.source, peer->vrf, peer->address.ToString()};
  }
  return true;
}

}  // namespace

absl::Status ListBmpPeers(const BmpIngest& ingest, const ListBmpPeersRequest& request, ListBmpPeersResponse& response) {
  if (request.page_size() < 0) return InvalidField("page_size", "is negative");
  int room = request.page_size() == 0 ? kDefaultPage : std::min(request.page_size(), kMaxPage);
  ASSIGN_OR_RETURN(const Place after, Place::Parse(request.page_token()));
  // Only as many routers are copied as a page can show.
  std::set<std::string> sources;
  ingest.ForEachRouter([&](const BmpRouter& router) {
    const std::string& source = router.options().source;
    if ((request.source().empty() || source == request.source()) && source >= after.source) sources.insert(source);
  });
  if (!request.source().empty() && sources.empty()) {
    return NotFound("no BMP router of source '{}' is configured", request.source().substr(0, 128));
  }
  if (sources.size() > static_cast<std::size_t>(room) + 2)
    sources.erase(std::next(sources.begin(), room + 2), sources.end());
  std::map<std::string, BmpRouterStatus> routers;
  ingest.ForEachRouter([&](const BmpRouter& router) {
    if (sources.contains(router.options().source)) routers.emplace(router.options().source, router.Status());
  });
  Place last = after;
  for (const auto& [source, router] : routers) {
    if (AddRouter(router, after, room, last, response)) continue;
    response.set_next_page_token(last.Text());
    break;
  }
  return absl::OkStatus();
}

void AddBmpMetrics(service::Metrics& metrics, const BmpIngest& ingest) {
  const auto gauge = [&metrics](std::string_view name, std::string_view help) { return metrics.AddGauge(name, help); };
  const auto routers = gauge("bmp_routers", "Routers that may speak BMP.");
  const auto sessions = gauge("bmp_sessions", "BMP sessions that are up.");
  const auto compared = gauge("bmp_sessions_compared", "BMP sessions whose first dump has been compared.");
  const auto connections =
      gauge("bmp_connections", "TCP connections, those that are being made or have not said who they are included.");
  const auto peers = gauge("bmp_peers_established", "BGP peers that were last reported Established.");
  const auto paths = gauge("bmp_paths", "Paths held.");
  const auto attributes = gauge("bmp_attribute_bytes", "Bytes of the attributes of the paths held.");
  const auto bytes = gauge("bmp_received_bytes", "Bytes received since the start.");
  const auto accepted = gauge("bmp_accepted_connections", "Connections taken since the start.");
  const auto errors = gauge("bmp_ended_connections", "Connections ended because of what they sent, or did not send.");
  const auto dials = gauge("bmp_failed_dials", "Connections to routers that could not be made.");
  const auto updates = gauge("bmp_update_errors", "UPDATEs with attributes at fault (RFC 7606).");
  const auto turned =
      gauge("bmp_path_ids_turned",
            "Times that a view was found to be with path identifiers, or without, against what was negotiated.");
  const auto statistics = gauge("bmp_statistics_messages", "Statistics Reports received.");
  const auto mirrored = gauge("bmp_mirrored_messages", "BGP messages received by Route Mirroring.");
  const auto alarms = gauge("bmp_alarms", "Alarms signed about BMP.");
  const auto labelled = [&metrics](std::string_view name, std::string_view help, std::string key) {
    return [&metrics, name, help, key](std::string_view value) {
      return metrics.AddGauge(name, help, {{key, std::string(value)}});
    };
  };
  const auto refusal = labelled("bmp_refused_connections", "Connections refused since the start.", "reason");
  const auto unknown = refusal("unknown_sender"), over_cap = refusal("over_cap"), second = refusal("second_session");
  const auto observation = labelled("bmp_observations", "Observations of paths signed since the start.", "kind");
  const auto announced = observation("announced"), withdrawn = observation("withdrawn"),
             inferred = observation("inferred");
  const auto passed = labelled("bmp_passed_over", "What was received and gave no observation.", "reason");
  const auto unchanged = passed("unchanged"), not_held = passed("withdrawal_not_held"),
             not_up = passed("peer_down_not_up"), no_peer = passed("routes_without_peer"),
             too_many = passed("peer_limit");
  std::array<service::Gauge, std::tuple_size_v<decltype(BmpCounters::skipped)>> skipped;
  for (std::size_t i = 0; i < skipped.size(); ++i)
    skipped[i] = passed(bmp::SkippedName(static_cast<bmp::Skipped::Reason>(i)));

  metrics.OnCollect([=, &ingest] {
    BmpCounters sum;
    std::uint64_t all = 0, up = 0, done = 0, established = 0, held = 0, texts = 0;
    ingest.ForEachRouter([&](const BmpRouter& router) {
      ++all;
      up += router.session_up() ? 1 : 0;
      done += router.connected() ? 1 : 0;
      held += router.table().paths();
      texts += router.table().texts().bytes();
      for (const auto& [key, peer] : router.table().peers())
        established += peer->facts.state == PeerState::kEstablished ? 1 : 0;
      sum += router.counters();
    });
    const auto set = [](const service::Gauge& to, std::uint64_t value) { to.Set(static_cast<double>(value)); };
    set(routers, all), set(sessions, up), set(compared, done), set(peers, established), set(paths, held),
        set(attributes, texts);
    const BmpIngestCounters& counters = ingest.counters();
    set(connections, ingest.connections()), set(bytes, counters.bytes), set(accepted, counters.accepted);
    set(errors, counters.ended_by_error), set(dials, counters.dials_failed);
    set(unknown, counters.unknown_senders), set(over_cap, counters.over_cap), set(second, counters.second_sessions);
    set(announced, sum.announced), set(withdrawn, sum.withdrawn), set(inferred, sum.inferred);
    set(unchanged, sum.unchanged), set(not_held, sum.unheld_withdrawals), set(not_up, sum.unheld_peer_downs);
    set(no_peer, sum.routes_without_peer), set(too_many, sum.peers_refused);
    for (std::size_t i = 0; i < skipped.size(); ++i) set(skipped[i], sum.skipped[i]);
    set(updates, sum.update_errors), set(turned, sum.path_ids_changed), set(statistics, sum.statistics);
    set(mirrored, sum.mirrored), set(alarms, sum.alarms);
  });
}

}  // namespace virp::collector
