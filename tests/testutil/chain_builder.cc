#include "tests/testutil/chain_builder.h"

#include <algorithm>

#include "lib/frame/payload.h"

namespace virp::testutil {
namespace {

using frame::JsonWriter;
using frame::Type;

void BeginPeer(JsonWriter& json, const BgpPeer& peer, std::string_view event) {
  json.BeginObject().Field("domain", "bgp").Field("event", event);
  if (!peer.vrf.empty()) json.Field("vrf", peer.vrf);
  json.Field("peer_addr", peer.address);
  if (peer.as) json.Field("peer_as", std::uint64_t{*peer.as});
  json.Field("local_as", std::uint64_t{64500}).Field("router_id", peer.router_id);
}

std::string End(JsonWriter& json) {
  json.EndObject();
  return json.Take();
}

void BeginPath(JsonWriter& json, const BgpPeer& peer, const BgpPath& path, std::string_view event) {
  BeginPeer(json, peer, event);
  json.Field("rib", path.rib).Field("path_id", std::uint64_t{path.path_id}).Field("prefix", path.prefix);
  json.Field("safi", std::uint64_t{1});
}

void AddAttributes(JsonWriter& json, const BgpPath& path) {
  if (path.next_hop) json.Field("nexthop", *path.next_hop);
  if (path.as_path) json.Field("as_path", *path.as_path);
}

}  // namespace

std::string PeerStateJson(const BgpPeer& peer, std::string_view old_state, std::string_view new_state, bool restated) {
  JsonWriter json;
  BeginPeer(json, peer, "peer_state_change");
  json.Field("old_state", old_state).Field("new_state", new_state);
  if (restated) json.Field("restated", true);
  return End(json);
}

std::string PeerDownJson(const BgpPeer& peer, std::string_view last_state) {
  JsonWriter json;
  BeginPeer(json, peer, "peer_down");
  json.Field("last_state", last_state).Field("last_event", std::uint64_t{20}).Field("uptime", std::uint64_t{3600});
  return End(json);
}

std::string AnnounceJson(const BgpPeer& peer, const BgpPath& path) {
  JsonWriter json;
  BeginPath(json, peer, path, "route_announce");
  AddAttributes(json, path);
  if (path.restated) json.Field("restated", true);
  return End(json);
}

std::string WithdrawJson(const BgpPeer& peer, const BgpPath& path) {
  JsonWriter json;
  BeginPath(json, peer, path, "route_withdraw");
  return End(json);
}

std::string TableCompleteJson(const BgpPeer& peer, std::string_view rib, std::uint64_t first_sequence) {
  JsonWriter json;
  BeginPeer(json, peer, "table_complete");
  json.Field("rib", rib);
  if (first_sequence != 0) json.Field("first_sequence", first_sequence);
  return End(json);
}

std::string BestJson(const BgpPeer& peer, std::string_view prefix, const std::optional<BgpPath>& best) {
  JsonWriter json;
  json.BeginObject().Field("domain", "bgp").Field("event", "bestpath_change").Field("prefix", prefix);
  json.Field("safi", std::uint64_t{1}).Field("router_id", peer.router_id).Key("old").Null().Key("new");
  if (best) {
    json.BeginObject().Field("peer_addr", peer.address);
    AddAttributes(json, *best);
    json.EndObject();
  } else {
    json.Null();
  }
  return End(json);
}

void ChainBuilder::AddDaemon(const std::string& name, frame::Suite suite, std::string carrier) {
  chain::Registration r = Template(name, suite);
  r.carried_by = {std::move(carrier)};
  Register(r);
}

void ChainBuilder::AddBmp(const std::string& name, std::string carrier) {
  chain::Registration r = Template(name, frame::Suite::kEd25519);
  r.vantage = chain::Vantage::kBmp;
  r.carried_by = {std::move(carrier)};
  Register(r);
}

void ChainBuilder::AddCollector(const std::string& name, std::string carrier) {
  chain::Registration r = Template(name, frame::Suite::kEd25519);
  r.vantage = chain::Vantage::kService;
  r.types = {22, 23, 24};
  r.routers.clear();
  r.carried_by = {std::move(carrier)};
  Register(r);
}

void ChainBuilder::Change(const chain::Registration& registration) {
  Event({.event = chain::SourceEvent::Event::kChanged, .source = registration.source, .registration = registration});
}

void ChainBuilder::Suspend(const std::string& source) {
  Event({.event = chain::SourceEvent::Event::kSuspended, .source = source, .registration = {}});
}

void ChainBuilder::Resume(const std::string& source) {
  Event({.event = chain::SourceEvent::Event::kResumed, .source = source, .registration = {}});
}

void ChainBuilder::AddKey(const std::string& source, std::uint32_t version) {
  const auto suite = book.FindByName(source)->registration.key.suite;
  Event({.event = chain::KeyEvent::Event::kVersion, .source = source, .key = MakeKey(source, version, suite)});
  key_versions_[source] = version;
}

void ChainBuilder::Compromise(const std::string& source, std::uint32_t version, UnixNanos since) {
  chain::KeyEvent event;
  event.event = chain::KeyEvent::Event::kCompromised;
  event.source = source;
  event.version = version;
  event.compromised_since = since;
  Event(event);
}

void ChainBuilder::RaiseAlarm(const std::string& source, std::string_view cause, chain::ChannelState state) {
  chain::Alarm alarm;
  alarm.source = source;
  alarm.cause = cause;
  alarm.state = state;
  Event(alarm);
}

void ChainBuilder::ClearAlarm(const std::string& source, std::string_view cause) {
  chain::AlarmCleared cleared;
  cleared.source = source;
  cleared.cause = cause;
  cleared.by = "spiffe://example.net/operator/noc-1";
  cleared.reason = "checked";
  Event(cleared);
}

std::uint64_t ChainBuilder::epoch(const std::string& source) const {
  const auto it = epochs_.find(source);
  return it == epochs_.end() ? kStart + 1 : it->second;
}

std::uint64_t ChainBuilder::last_number(const std::string& source) const {
  const auto& epochs = channel(source).epochs;
  const auto found = epochs.find(epoch(source));
  const auto skipped = skip_.find(source);
  return (found == epochs.end() ? 0 : found->second.next - 1) + (skipped == skip_.end() ? 0 : skipped->second);
}

ChainBuilder::Frame ChainBuilder::Numbered(const std::string& source, std::uint64_t number, Type type,
                                           std::string payload) const {
  const auto version = key_versions_.find(source);
  Frame out;
  out.type = type;
  out.payload = std::move(payload);
  out.number = number;
  out.epoch = epoch(source);
  out.key_version = version == key_versions_.end() ? 1 : version->second;
  return out;
}

std::uint64_t ChainBuilder::Say(const std::string& source, Type type, std::string payload, frame::Tier tier) {
  Frame out = Numbered(source, last_number(source) + 1, type, std::move(payload));
  out.tier = tier;
  const Result result = Send(source, out);
  EXPECT_TRUE(result.entry.has_value()) << source << ": " << frame::ReasonName(result.reason());
  skip_.erase(source);
  return result.entry.value_or(chain::kNone);
}

std::uint64_t ChainBuilder::PeerUp(const std::string& source, const BgpPeer& peer) {
  return Say(source, Type::kPeerStatusChanged, PeerStateJson(peer, "OpenConfirm", "Established"));
}

std::uint64_t ChainBuilder::PeerLost(const std::string& source, const BgpPeer& peer) {
  Say(source, Type::kPeerStatusChanged, PeerStateJson(peer, "Established", "Idle"), frame::Tier::kYellow);
  return Say(source, Type::kPeerBackwardTransition, PeerDownJson(peer), frame::Tier::kYellow);
}

std::uint64_t ChainBuilder::Announce(const std::string& source, const BgpPath& path, const BgpPeer& peer) {
  return Say(source, Type::kBgpProcess, AnnounceJson(peer, path));
}

std::uint64_t ChainBuilder::Withdraw(const std::string& source, const BgpPath& path, const BgpPeer& peer) {
  return Say(source, Type::kBgpProcess, WithdrawJson(peer, path));
}

std::uint64_t ChainBuilder::TableComplete(const std::string& source, std::string_view rib, std::uint64_t first_sequence,
                                          const BgpPeer& peer) {
  return Say(source, Type::kBgpProcess, TableCompleteJson(peer, rib, first_sequence));
}

std::uint64_t ChainBuilder::Beat(const std::string& source) {
  return Say(source, Type::kHeartbeat, R"({"domain":"virp","event":"heartbeat"})");
}

std::uint64_t ChainBuilder::Beat(const std::string& collector, const std::vector<Line>& lines) {
  chain::Heartbeat heartbeat;
  for (const Line& line : lines) {
    chain::Beat beat;
    beat.source_id = frame::SourceIdOf(line.source);
    beat.epoch = line.epoch.value_or(epoch(line.source));
    beat.last_sequence = line.last.value_or(last_number(line.source));
    beat.connected = line.connected;
    beat.since = kStart;
    beat.last_bytes = now;
    heartbeat.sources.push_back(beat);
  }
  return Say(collector, Type::kHeartbeat, chain::BuildHeartbeat(heartbeat));
}

void ChainBuilder::Restart(const std::string& source) {
  epochs_[source] = std::max<std::uint64_t>(now, epoch(source) + 1);
  skip_.erase(source);
}

}  // namespace virp::testutil
