#include "services/collector/domain/bmp_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/status.h"
#include "lib/bmp/reader.h"
#include "services/collector/domain/bmp_payload.h"

namespace virp::collector {
namespace {

constexpr std::uint32_t kSaveVersion = 2;  // 1: without epochs of what is owed
constexpr std::uint8_t kTableSaved = 8;  // plus what is complete; kinds of earlier versions: 1 not complete, 2 complete
constexpr PeerState kStates[] = {PeerState::kUnknown, PeerState::kIdle, PeerState::kEstablished};

void AppendText(std::string& out, std::string_view text) {
  AppendBe(out, static_cast<std::uint32_t>(text.size()));
  out.append(text);
}

void AppendAddress(std::string& out, const IpAddress& address) {
  AppendBe(out, static_cast<std::uint8_t>(address.bytes().size()));
  out.append(address.bytes());
}

// Reads what the functions above wrote; remembers that something was not there.
struct SavedReader {
  bmp::Reader reader;
  bool broken = false;

  template <typename T>
  T Number() {
    T value = 0;
    if (!reader.Read(value)) broken = true;
    return value;
  }
  std::string_view Bytes(std::size_t size) {
    std::string_view out;
    if (!reader.Take(size, out)) broken = true;
    return out;
  }
  std::string_view Text() { return Bytes(Number<std::uint32_t>()); }
  IpAddress Address() {
    auto address = IpAddress::FromBytes(Bytes(Number<std::uint8_t>()));
    if (!address.ok()) broken = true;
    return address.ok() ? *address : IpAddress();
  }
  bmp::Route Route() {
    const IpAddress address = Address();
    const auto prefix = Prefix::Make(address, Number<std::uint8_t>());
    if (!prefix.ok()) broken = true;
    return {prefix.ok() ? *prefix : Prefix(), Number<std::uint32_t>()};
  }
};

// What makes words about it that were said before old: "vrf, address, view, prefix, path id", each with a line feed,
// for a path or a statement of a table; the first two of them for a peer that was lost. Empty: nothing.
std::string SubjectOf(frame::Type type, const frame::Value& payload) {
  const std::string_view vrf = payload["vrf"].AsString().value_or("");
  const std::string_view peer = payload["peer_addr"].AsString().value_or("");
  const std::string_view event = payload["event"].AsString().value_or("");
  if (type == frame::Type::kPeerStatusChanged) {
    return payload["new_state"].AsString() == "Established" ? std::string() : fmt::format("{}\n{}\n", vrf, peer);
  }
  const bool statement = event == "table_complete";
  if (type != frame::Type::kBgpProcess || (!statement && event != "route_announce" && event != "route_withdraw"))
    return {};
  return fmt::format("{}\n{}\n{}\n{}\n{}\n", vrf, peer, payload["rib"].AsString().value_or(""),
                     statement ? event : payload["prefix"].AsString().value_or(""),
                     payload["path_id"].AsUnsigned().value_or(0));
}

PeerState StateFrom(std::string_view name) {
  for (const PeerState state : kStates) {
    if (PeerStateName(state) == name) return state;
  }
  return PeerState::kUnknown;
}

std::optional<bmp::Rib> RibFrom(std::string_view name) {
  for (std::size_t i = 0; i < kRibs; ++i) {
    if (bmp::RibName(static_cast<bmp::Rib>(i)) == name) return static_cast<bmp::Rib>(i);
  }
  return std::nullopt;
}

IpAddress AddressOr(const frame::Value& value, const IpAddress& fallback) {
  const auto text = value.AsString();
  if (!text) return fallback;
  const auto address = IpAddress::Parse(*text);
  return address.ok() ? *address : fallback;
}

// What a statement of completeness with that key is about.
std::uint8_t StatedBy(const frame::Value& prefixes) {
  if (!prefixes.present()) return kBothFamilies;
  std::uint8_t out = 0;
  for (const frame::Value::Member& member : prefixes.members()) {
    const auto prefix = Prefix::Parse(member.value.AsString().value_or(""));
    if (!prefix.ok()) continue;
    out |= FamilyBit(*prefix);
    if (prefix->length() > 0) out |= kListedOnly;
  }
  return out;
}

void SavePeer(const HeldPeer& peer, const RouterTable& router, std::string& out) {
  AppendText(out, peer.vrf);
  AppendAddress(out, peer.address);
  const PeerFacts& facts = peer.facts;
  AppendBe(out, facts.as);
  AppendBe(out, facts.local_as);
  AppendAddress(out, facts.router_id);
  AppendAddress(out, facts.bgp_id);
  AppendText(out, facts.name);
  AppendBe(out, static_cast<std::uint8_t>(facts.old_state));
  AppendBe(out, static_cast<std::uint8_t>(facts.state));
  AppendBe(out, facts.since);
  AppendBe(out, static_cast<std::uint8_t>(facts.reported));
  for (const auto& table : peer.tables) {
    AppendBe(out, static_cast<std::uint8_t>(table == nullptr ? 0 : kTableSaved + table->complete));
    if (table == nullptr) continue;
    // Each text once per table: paths name it by its place.
    absl::flat_hash_map<AttributeTexts::Id, std::uint32_t> places;
    std::vector<AttributeTexts::Id> order;
    table->ForEach([&](const bmp::Route&, const HeldPath& path) {
      if (places.try_emplace(path.attributes, static_cast<std::uint32_t>(order.size())).second) {
        order.push_back(path.attributes);
      }
    });
    AppendBe(out, static_cast<std::uint32_t>(order.size()));
    for (const auto id : order) AppendText(out, router.texts().Text(id));
    AppendBe(out, table->size());
    table->ForEach([&](const bmp::Route& route, const HeldPath& path) {
      AppendAddress(out, route.prefix.address());
      AppendBe(out, static_cast<std::uint8_t>(route.prefix.length()));
      AppendBe(out, route.path_id);
      AppendBe(out, places[path.attributes]);
    });
  }
}

void LoadTable(SavedReader& in, std::uint8_t kind, RouterTable& router, PathTable& table) {
  std::vector<std::string_view> texts;
  for (auto left = in.Number<std::uint32_t>(); left > 0 && !in.broken; --left) texts.push_back(in.Text());
  for (auto left = in.Number<std::uint64_t>(); left > 0 && !in.broken; --left) {
    const bmp::Route route = in.Route();
    const auto place = in.Number<std::uint32_t>();
    if (place >= texts.size() || table.Find(route) != nullptr) in.broken = true;
    if (!in.broken) router.Put(table, route, texts[place]);
  }
  constexpr std::uint8_t kOldComplete = 2;
  table.complete = kind >= kTableSaved ? kind - kTableSaved : kind == kOldComplete ? kBothFamilies : std::uint8_t{0};
}

void LoadPeer(SavedReader& in, RouterTable& router) {
  const std::string_view vrf = in.Text();
  const IpAddress address = in.Address();
  if (in.broken) return;
  HeldPeer& peer = router.FindOrAdd(vrf, address);
  PeerFacts& facts = peer.facts;
  facts.as = in.Number<std::uint32_t>();
  facts.local_as = in.Number<std::uint32_t>();
  facts.router_id = in.Address();
  facts.bgp_id = in.Address();
  facts.name = in.Text();
  const auto old_state = in.Number<std::uint8_t>();
  const auto state = in.Number<std::uint8_t>();
  if (old_state >= std::size(kStates) || state >= std::size(kStates)) in.broken = true;
  if (in.broken) return;
  facts.old_state = kStates[old_state];
  facts.state = kStates[state];
  facts.since = in.Number<std::uint64_t>();
  facts.reported = in.Number<std::uint8_t>() != 0;
  for (std::size_t rib = 0; rib < kRibs && !in.broken; ++rib) {
    const auto kind = in.Number<std::uint8_t>();
    if (kind != 0) LoadTable(in, kind, router, router.Table(peer, static_cast<bmp::Rib>(rib)));
  }
}

}  // namespace

std::string_view PeerStateName(PeerState state) {
  switch (state) {
    case PeerState::kUnknown:
      return "Unknown";
    case PeerState::kIdle:
      return "Idle";
    case PeerState::kEstablished:
      return "Established";
  }
  return "";
}

std::uint64_t HeldPeer::paths() const {
  std::uint64_t sum = 0;
  for (const auto& table : tables) sum += table == nullptr ? 0 : table->size();
  return sum;
}

HeldPeer* RouterTable::Find(std::string_view vrf, const IpAddress& address) {
  const auto at = peers_.find(std::pair(std::string(vrf), address));
  return at == peers_.end() ? nullptr : at->second.get();
}

HeldPeer& RouterTable::FindOrAdd(std::string_view vrf, const IpAddress& address) {
  auto& peer = peers_[std::pair(std::string(vrf), address)];
  if (peer == nullptr) {
    peer = std::make_unique<HeldPeer>();
    peer->vrf = vrf;
    peer->address = address;
  }
  return *peer;
}

PathTable& RouterTable::Table(HeldPeer& peer, bmp::Rib rib) {
  auto& table = peer.tables[static_cast<std::size_t>(rib)];
  if (table == nullptr) table = std::make_unique<PathTable>();
  return *table;
}

RouterTable::Change RouterTable::Compare(PathTable& table, const bmp::Route& route, std::string_view attributes,
                                         bool& newly_stated) {
  HeldPath* path = table.Find(route);
  newly_stated = path == nullptr || !table.IsStated(*path);
  if (path == nullptr) return Change::kNew;
  if (texts_.Text(path->attributes) != attributes) return Change::kChanged;
  table.Restate(*path);
  return Change::kNone;
}

void RouterTable::Put(PathTable& table, const bmp::Route& route, std::string_view attributes) {
  const AttributeTexts::Id id = texts_.Add(attributes);
  if (HeldPath* path = table.Find(route)) {
    texts_.Remove(path->attributes);
    path->attributes = id;
    table.Restate(*path);
    return;
  }
  table.Insert(route, id);
  ++paths_;
}

bool RouterTable::Erase(PathTable& table, const bmp::Route& route) {
  if (!table.Erase(route, texts_)) return false;
  --paths_;
  return true;
}

void RouterTable::DropTable(HeldPeer& peer, bmp::Rib rib) {
  auto& table = peer.tables[static_cast<std::size_t>(rib)];
  if (table == nullptr) return;
  paths_ -= table->size();
  table->Clear(texts_);
  table.reset();
}

void RouterTable::DropTables(HeldPeer& peer) {
  for (std::size_t rib = 0; rib < kRibs; ++rib) DropTable(peer, static_cast<bmp::Rib>(rib));
}

void RouterTable::Clear() {
  for (auto& [key, peer] : peers_) DropTables(*peer);
  peers_.clear();
}

std::set<std::string> OwedBatch::DropBound() {
  std::set<std::string> sources;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < size_; ++i) {
    if (items_[i].observation.epoch != 0) {
      sources.insert(*items_[i].source);
    } else if (kept++ != i) {
      std::swap(items_[kept - 1], items_[i]);
    }
  }
  size_ = kept;
  return sources;
}

bool OwedBatch::DropSaid(std::string_view source, std::string_view payload, std::string_view about) {
  const auto begin = items_.begin(), end = begin + static_cast<std::ptrdiff_t>(size_);
  const auto same = std::find_if(begin, end, [&](const OwedObservation& item) {
    return *item.source == source && item.observation.payload == payload;
  });
  const auto old = std::remove_if(begin, same, [&](const OwedObservation& item) {
    return !about.empty() && *item.source == source && item.subject.starts_with(about);
  });
  const bool was_owed = same != end;
  const auto left = was_owed ? same + 1 : same;
  size_ -= static_cast<std::size_t>(left - old);
  items_.erase(old, left);
  return was_owed;
}

BmpTables::BmpTables(const BmpOptions& options) {
  names_.insert(options.collector_source);
  for (const auto& router : options.routers) {
    routers_[router.source];
    names_.insert(router.source);
  }
}

RouterTable* BmpTables::Find(std::string_view source) {
  const auto at = routers_.find(source);
  return at == routers_.end() ? nullptr : &at->second;
}

const std::string* BmpTables::NameOf(std::string_view source) const {
  const auto at = names_.find(source);
  return at == names_.end() ? nullptr : &*at;
}

std::string BmpTables::Save() const {
  std::string out;
  AppendBe(out, kSaveVersion);
  AppendBe(out, static_cast<std::uint32_t>(routers_.size()));
  for (const auto& [source, router] : routers_) {
    AppendText(out, source);
    AppendBe(out, static_cast<std::uint32_t>(router.peers().size()));
    for (const auto& [key, peer] : router.peers()) SavePeer(*peer, router, out);
  }
  AppendBe(out, static_cast<std::uint32_t>(owed_.size()));
  for (std::size_t i = 0; i < owed_.size(); ++i) {
    AppendText(out, *owed_[i].source);
    AppendBe(out, static_cast<std::uint8_t>(owed_[i].observation.type));
    AppendBe(out, static_cast<std::uint8_t>(owed_[i].observation.tier));
    AppendBe(out, owed_[i].observation.epoch);
    AppendText(out, owed_[i].observation.payload);
  }
  return out;
}

absl::Status BmpTables::Load(std::string_view saved) {
  for (auto& [source, router] : routers_) router.Clear();
  owed_.Clear();
  forgotten_.clear();
  if (saved.empty()) return absl::OkStatus();
  SavedReader in{bmp::Reader(saved)};
  const auto version = in.Number<std::uint32_t>();
  if (version == 0 || version > kSaveVersion) {
    return FailedPrecondition("the spool's snapshot of BMP tables was written by another version of the collector");
  }
  RouterTable unwanted;  // of a source that is no longer configured
  std::set<std::string_view> known;
  for (auto left = in.Number<std::uint32_t>(); left > 0 && !in.broken; --left) {
    const std::string_view source = in.Text();
    known.insert(source);
    RouterTable* router = Find(source);
    if (router == nullptr) router = &unwanted;
    for (auto peers = in.Number<std::uint32_t>(); peers > 0 && !in.broken; --peers) LoadPeer(in, *router);
    unwanted.Clear();
  }
  for (auto left = in.Number<std::uint32_t>(); left > 0 && !in.broken; --left) {
    const std::string* source = NameOf(in.Text());
    const auto type = static_cast<frame::Type>(in.Number<std::uint8_t>());
    const auto tier = static_cast<frame::Tier>(in.Number<std::uint8_t>());
    const std::uint64_t epoch = version == 1 ? 0 : in.Number<std::uint64_t>();
    const std::string_view payload = in.Text();
    if (source == nullptr || in.broken) continue;
    OwedObservation& owed = owed_.Add();
    owed.source = source;
    owed.observation.type = type;
    owed.observation.tier = tier;
    owed.observation.epoch = epoch;
    owed.observation.payload = payload;
    const auto read = reader_.Read(payload);
    owed.subject = read.ok() ? SubjectOf(type, *read) : std::string();
  }
  if (in.broken || !in.reader.empty()) return DataLoss("the snapshot of BMP tables is not what was written");
  for (const auto& [source, router] : routers_) {
    if (!known.contains(source)) forgotten_.push_back(source);
  }
  return absl::OkStatus();
}

absl::Status BmpTables::ReplayFrame(std::string_view source, const frame::Frame& frame, std::uint64_t) {
  const auto type = frame.header.type;
  const bool ours = type == frame::Type::kPeerStatusChanged || type == frame::Type::kBgpProcess;
  RouterTable* router = ours && frame.header.spelling == frame::Spelling::kV2 ? Find(source) : nullptr;
  if (router == nullptr && owed_.empty()) return absl::OkStatus();
  const auto payload = reader_.Read(frame.payload);
  if (!owed_.empty()) {
    // RouteFold may have kept back some of what was owed: what was said since of the same path or peer is newer.
    const std::string about = payload.ok() ? SubjectOf(type, *payload) : std::string();
    if (owed_.DropSaid(source, frame.payload, about)) return absl::OkStatus();  // the snapshot's tables have it already
  }
  if (router == nullptr || !payload.ok()) return absl::OkStatus();  // relayed, under a name that BMP has now
  if (type == frame::Type::kPeerStatusChanged) {
    ReplayPeer(*router, frame, *payload);
  } else {
    ReplayRoute(*router, frame.payload, *payload);
  }
  return absl::OkStatus();
}

void BmpTables::ReplayPeer(RouterTable& table, const frame::Frame& frame, const frame::Value& payload) {
  const auto vrf = payload["vrf"].AsString();
  const auto text = payload["peer_addr"].AsString();
  const auto address = IpAddress::Parse(text.value_or(""));
  if (!vrf || !address.ok()) return;
  HeldPeer& peer = table.FindOrAdd(*vrf, *address);
  PeerFacts& facts = peer.facts;
  facts.as = static_cast<std::uint32_t>(payload["peer_as"].AsUnsigned().value_or(0));
  facts.local_as = static_cast<std::uint32_t>(payload["local_as"].AsUnsigned().value_or(0));
  facts.router_id = AddressOr(payload["router_id"], facts.router_id);
  facts.bgp_id = AddressOr(payload["peer_bgp_id"], facts.bgp_id);
  facts.name = payload["peer"].AsString().value_or("");
  facts.old_state = StateFrom(payload["old_state"].AsString().value_or(""));
  facts.state = StateFrom(payload["new_state"].AsString().value_or(""));
  facts.reported = true;
  if (!payload["restated"].present()) facts.since = frame.header.timestamp;
  if (facts.state != PeerState::kEstablished) table.DropTables(peer);
}

void BmpTables::ReplayRoute(RouterTable& table, std::string_view text, const frame::Value& payload) {
  const auto vrf = payload["vrf"].AsString();
  const auto address = IpAddress::Parse(payload["peer_addr"].AsString().value_or(""));
  const auto rib = RibFrom(payload["rib"].AsString().value_or(""));
  if (!vrf || !address.ok() || !rib) return;
  HeldPeer& peer = table.FindOrAdd(*vrf, *address);
  if (!peer.facts.reported) {  // a peer without Peer Up
    peer.facts.as = static_cast<std::uint32_t>(payload["peer_as"].AsUnsigned().value_or(0));
    peer.facts.local_as = static_cast<std::uint32_t>(payload["local_as"].AsUnsigned().value_or(0));
    peer.facts.router_id = AddressOr(payload["router_id"], peer.facts.router_id);
    peer.facts.name = payload["peer"].AsString().value_or("");
  }
  PathTable& paths = table.Table(peer, *rib);
  const auto event = payload["event"].AsString().value_or("");
  if (event == "table_complete") {
    paths.complete = StatedBy(payload["prefixes"]);
    return;
  }
  const auto prefix = Prefix::Parse(payload["prefix"].AsString().value_or(""));
  const auto path_id = payload["path_id"].AsUnsigned();
  if (!prefix.ok() || !path_id) return;
  const bmp::Route route{*prefix, static_cast<std::uint32_t>(*path_id)};
  if (event == "route_withdraw") {
    table.Erase(paths, route);
  } else if (event == "route_announce") {
    table.Put(paths, route, AttributesIn(text));
  }
}

}  // namespace virp::collector
