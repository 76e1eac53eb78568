#include "services/collector/transport/bmp_report.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/service/wire.h"

namespace virp::collector {
namespace {

using v1::ListBmpPeersRequest;
using v1::ListBmpPeersResponse;

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
  *to.mutable_since() = service::TimestampOf(from.since);
  to.set_address(from.address);
  to.set_sys_name(from.sys_name);
  to.set_protection(from.protection);
  if (from.last_bytes != 0) *to.mutable_last_bytes_at() = service::TimestampOf(from.last_bytes);
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
  if (from.since != 0) *to.mutable_since() = service::TimestampOf(from.since);
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
bool AddRouter(const BmpRouterStatus& router, const Place& after, std::size_t& room, Place& last,
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
  ASSIGN_OR_RETURN(std::size_t room, service::PageSizeOf(request.page_size()));
  ASSIGN_OR_RETURN(const std::string cursor, service::ReadPageToken(request.page_token(), request.source()));
  ASSIGN_OR_RETURN(const Place after, Place::Parse(cursor));
  // Only as many routers are copied as a page can show.
  std::set<std::string> sources;
  ingest.ForEachRouter([&](const BmpRouter& router) {
    const std::string& source = router.options().source;
    if ((request.source().empty() || source == request.source()) && source >= after.source) sources.insert(source);
  });
  if (!request.source().empty() && sources.empty()) {
    return NotFound("no BMP router of source '{}' is configured", request.source().substr(0, 128));
  }
  if (sources.size() > room + 2)
    sources.erase(std::next(sources.begin(), static_cast<std::ptrdiff_t>(room) + 2), sources.end());
  std::map<std::string, BmpRouterStatus> routers;
  ingest.ForEachRouter([&](const BmpRouter& router) {
    if (sources.contains(router.options().source)) routers.emplace(router.options().source, router.Status());
  });
  Place last = after;
  for (const auto& [source, router] : routers) {
    if (AddRouter(router, after, room, last, response)) continue;
    response.set_next_page_token(service::MakePageToken(last.Text(), request.source()));
    break;
  }
  return absl::OkStatus();
}

namespace {

// A counter that is summed over the routers.
struct Deed {
  std::uint64_t BmpCounters::* from;
  std::string_view name, help, label, value;
};
constexpr std::string_view kObservations = "Observations of paths signed.";
constexpr std::string_view kPassedOver = "What was received and gave no observation.";
constexpr Deed kDeeds[] = {
    {&BmpCounters::announced, "bmp_observations_total", kObservations, "kind", "announced"},
    {&BmpCounters::withdrawn, "bmp_observations_total", kObservations, "kind", "withdrawn"},
    {&BmpCounters::inferred, "bmp_observations_total", kObservations, "kind", "inferred"},
    {&BmpCounters::unchanged, "bmp_passed_over_total", kPassedOver, "reason", "unchanged"},
    {&BmpCounters::unheld_withdrawals, "bmp_passed_over_total", kPassedOver, "reason", "withdrawal_not_held"},
    {&BmpCounters::unheld_peer_downs, "bmp_passed_over_total", kPassedOver, "reason", "peer_down_not_up"},
    {&BmpCounters::routes_without_peer, "bmp_passed_over_total", kPassedOver, "reason", "routes_without_peer"},
    {&BmpCounters::peers_refused, "bmp_passed_over_total", kPassedOver, "reason", "peer_limit"},
    {&BmpCounters::update_errors, "bmp_update_errors_total", "UPDATEs with attributes at fault (RFC 7606).", "", ""},
    {&BmpCounters::path_ids_changed, "bmp_path_ids_turned_total",
     "Times that a view was found to be with path identifiers, or without, against what was negotiated.", "", ""},
    {&BmpCounters::statistics, "bmp_statistics_messages_total", "Statistics Reports received.", "", ""},
    {&BmpCounters::mirrored, "bmp_mirrored_messages_total", "BGP messages received by Route Mirroring.", "", ""},
    {&BmpCounters::alarms, "bmp_alarms_total", "Alarms signed about BMP.", "", ""},
};

// By router: how it stands, and what it did.
void AddRouterMetrics(service::Metrics& metrics, const BmpIngest& ingest) {
  const auto routers = metrics.AddGauge("bmp_routers", "Routers that may speak BMP.");
  const auto sessions = metrics.AddGauge("bmp_sessions", "BMP sessions that are up.");
  const auto compared = metrics.AddGauge("bmp_sessions_compared", "BMP sessions whose first dump has been compared.");
  const auto peers = metrics.AddGauge("bmp_peers_established", "BGP peers that were last reported Established.");
  const auto paths = metrics.AddGauge("bmp_paths", "Paths held.");
  const auto attributes = metrics.AddGauge("bmp_attribute_bytes", "Bytes of the attributes of the paths held.");
  std::vector<service::Counter> deeds;
  for (const Deed& deed : kDeeds) {
    service::MetricLabels labels;
    if (!deed.label.empty()) labels.emplace(deed.label, deed.value);
    deeds.push_back(metrics.AddCounter(deed.name, deed.help, labels));
  }
  std::array<service::Counter, std::tuple_size_v<decltype(BmpCounters::skipped)>> skipped;
  for (std::size_t i = 0; i < skipped.size(); ++i) {
    const auto reason = bmp::SkippedName(static_cast<bmp::Skipped::Reason>(i));
    skipped[i] = metrics.AddCounter("bmp_passed_over_total", kPassedOver, {{"reason", std::string(reason)}});
  }
  metrics.OnCollect([=, &ingest] {
    BmpCounters sum;
    std::uint64_t all = 0, up = 0, done = 0, established = 0, held = 0, texts = 0;
    ingest.ForEachRouter([&](const BmpRouter& router) {
      ++all;
      up += router.session_up() ? 1U : 0U;
      done += router.connected() ? 1U : 0U;
      held += router.table().paths();
      texts += router.table().texts().bytes();
      for (const auto& [key, peer] : router.table().peers())
        established += peer->facts.state == PeerState::kEstablished ? 1U : 0U;
      sum += router.counters();
    });
    routers.Set(all);
    sessions.Set(up);
    compared.Set(done);
    peers.Set(established);
    paths.Set(held);
    attributes.Set(texts);
    for (std::size_t i = 0; i < deeds.size(); ++i) deeds[i].Set(sum.*kDeeds[i].from);
    for (std::size_t i = 0; i < skipped.size(); ++i) skipped[i].Set(sum.skipped[i]);
  });
}

// Of connections, which may belong to no router.
void AddConnectionMetrics(service::Metrics& metrics, const BmpIngest& ingest) {
  const auto connections = metrics.AddGauge(
      "bmp_connections", "TCP connections, those that are being made or have not said who they are included.");
  const auto bytes = metrics.AddCounter("bmp_received_bytes_total", "Bytes received.");
  const auto accepted = metrics.AddCounter("bmp_accepted_connections_total", "Connections taken.");
  const auto ended = metrics.AddCounter("bmp_ended_connections_total",
                                        "Connections ended because of what they sent, or did not send.");
  const auto dials = metrics.AddCounter("bmp_failed_dials_total", "Connections to routers that could not be made.");
  const auto refused = [&metrics](const char* reason) {
    return metrics.AddCounter("bmp_refused_connections_total", "Connections refused.", {{"reason", reason}});
  };
  const auto unknown = refused("unknown_sender"), over_cap = refused("over_cap"), second = refused("second_session");
  metrics.OnCollect([=, &ingest] {
    const BmpIngestCounters& counters = ingest.counters();
    connections.Set(ingest.connections());
    bytes.Set(counters.bytes);
    accepted.Set(counters.accepted);
    ended.Set(counters.ended_by_error);
    dials.Set(counters.dials_failed);
    unknown.Set(counters.unknown_senders);
    over_cap.Set(counters.over_cap);
    second.Set(counters.second_sessions);
  });
}

}  // namespace

void AddBmpMetrics(service::Metrics& metrics, const BmpIngest& ingest) {
  AddRouterMetrics(metrics, ingest);
  AddConnectionMetrics(metrics, ingest);
}

}  // namespace virp::collector
