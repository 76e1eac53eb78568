#include <array>
#include <memory>
#include <string>
#include <vector>

#include "services/rtr-bridge/transport/bridge_metrics.h"

namespace virp::rtr_bridge {
namespace {

using service::Counter;
using service::Gauge;
using service::Metrics;
constexpr auto kForeign = service::MetricName::kForeign;

constexpr std::uint8_t kSerialVersion = 1;  // StayRTR has one serial; routers that it serves speak this version

struct Handles {
  Gauge v4, v6, keys, objects_vrps, objects_keys, serial;
  std::vector<Gauge> refreshed, changed;  // by source
  std::vector<Gauge> clients;             // by listener
  std::array<Counter, 3> received;
};
// What a router sends; StayRTR counts nothing else.
constexpr std::array<std::pair<rtr::PduType, const char*>, 3> kReceived{{{rtr::PduType::kSerialQuery, "serial_query"},
                                                                         {rtr::PduType::kResetQuery, "reset_query"},
                                                                         {rtr::PduType::kErrorReport, "error_report"}}};

// StayRTR has one source, and its location in most labels.
std::string PathOf(const std::vector<SourceState>& sources) {
  std::string path;
  for (const SourceState& source : sources) path += (path.empty() ? "" : ",") + source.location;
  return path;
}

std::int64_t Seconds(UnixNanos time) {
  return static_cast<std::int64_t>(time / 1'000'000'000);
}

Handles MakeHandles(Metrics& metrics, const MetricParts& parts) {
  Handles to;
  const std::vector<SourceState> sources = parts.cache.status().sources;
  const auto vrps = [&](const char* ip_version) {
    return metrics.AddGauge("rpki_vrps", "VRPs that are served.",
                            {{"ip_version", ip_version}, {"filtered", "filtered"}, {"path", PathOf(sources)}},
                            kForeign);
  };
  to.v4 = vrps("ipv4");
  to.v6 = vrps("ipv6");
  to.keys = metrics.AddGauge("rpki_bgpsec", "Router keys that are served.", {}, kForeign);
  const auto objects = [&](const char* type) {
    return metrics.AddGauge("rpki_objects", "Payloads that are served.", {{"type", type}}, kForeign);
  };
  to.objects_vrps = objects("effective_vrps");
  to.objects_keys = objects("bgpsec_pubkeys");
  to.serial = metrics.AddGauge("rtr_serial", "Serial of RTR version 1.", {}, kForeign);
  for (const SourceState& source : sources) {
    const service::MetricLabels path{{"path", source.location}};
    to.refreshed.push_back(
        metrics.AddGauge("rpki_refresh", "Last good reading, in seconds since 1970.", path, kForeign));
    to.changed.push_back(
        metrics.AddGauge("rpki_change", "Last change of the data, in seconds since 1970.", path, kForeign));
  }
  for (const RouterServer::Bound& listener : parts.routers.listeners())
    to.clients.push_back(
        metrics.AddGauge("rtr_clients", "Routers that are connected.", {{"bind", listener.address}}, kForeign));
  for (std::size_t i = 0; i < kReceived.size(); ++i)
    to.received.at(i) =
        metrics.AddCounter("rtr_pdus", "PDUs that were received.", {{"type", kReceived.at(i).second}}, kForeign);
  return to;
}

}  // namespace

void AddStayRtrMetrics(Metrics& metrics, const MetricParts& parts) {
  auto to = std::make_shared<const Handles>(MakeHandles(metrics, parts));
  metrics.OnCollect([to, &cache = parts.cache, &routers = parts.routers, &runner = parts.sources] {
    const CacheStatus status = cache.status();
    for (std::size_t i = 0; i < status.sources.size(); ++i) {
      to->refreshed[i].Set(Seconds(status.sources[i].last_good.value_or(0)));
      to->changed[i].Set(Seconds(runner.counters(i).changed));
    }
    const auto listeners = routers.listeners();
    for (std::size_t i = 0; i < listeners.size(); ++i) to->clients[i].Set(listeners[i].routers);
    for (std::size_t i = 0; i < kReceived.size(); ++i)
      to->received.at(i).Set(routers.counters().pdus_in.at(static_cast<std::size_t>(kReceived.at(i).first)));
    const Generation serving = status.serving.value_or(Generation{});  // of which nothing is left when it is stopped
    const Counts& counts = serving.counts;
    to->v4.Set(counts.vrps4);
    to->v6.Set(counts.vrps6);
    to->keys.Set(counts.router_keys);
    to->objects_vrps.Set(counts.vrps4 + counts.vrps6);
    to->objects_keys.Set(counts.router_keys);
    to->serial.Set(serving.serials.at(kSerialVersion).serial);
  });
}

}  // namespace virp::rtr_bridge
