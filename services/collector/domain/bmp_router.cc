// Sessions and peers. Routes are in bmp_routes.cc, what time brings about in bmp_restate.cc.
#include "services/collector/domain/bmp_router.h"

#include <algorithm>

#include "services/collector/domain/bmp_router_impl.h"

namespace virp::collector {
namespace {

using frame::Tier;
using frame::Type;

constexpr std::size_t kMaxName = 255;
constexpr std::uint8_t kCease = 6, kMaximumPrefixes = 1;  // RFC 4486 section 3

std::uint8_t FamiliesOf(const bmp::Open& open) {
  if (open.multiprotocol.empty()) return kIpv4Bit;
  std::uint8_t out = 0;
  for (const auto family : open.multiprotocol) out |= FamilyBit(family);
  return out;
}

std::string NameOf(const bmp::PeerUp& message) {
  const bool described =
      message.peer.type != bmp::PeerType::kLocRib && !message.strings.empty() && !message.strings[0].empty();
  if (!described) return message.peer.address.ToString();
  std::string name = message.strings[0].substr(0, kMaxName);
  return name;
}

}  // namespace

BmpRouter::BmpRouter(const BmpOptions& options, const BmpRouterOptions& router, RouterTable& table, BmpOutput& output,
                     const Clock& clock)
    : options_(options),
      router_(router),
      table_(table),
      output_(output),
      clock_(clock),
      wanted_(router.prefixes),
      rules_(router.red, table),
      since_(clock.NowNanos()) {
  for (const auto& [key, peer] : table.peers()) Live(*peer);
  restate_peers_ = !table.peers().empty();
  peers_restated_ = clock.Steady();
  epoch_ = output.Next(router.source).epoch;
}

bool BmpRouter::LivePeer::Dumping() const {
  return awaits || std::any_of(dumps.begin(), dumps.end(), [](const Dump& dump) { return dump.active; });
}

BmpRouter::LivePeer& BmpRouter::Live(HeldPeer& held) {
  auto& live = live_[&held];
  if (live != nullptr) return *live;
  live = std::make_unique<LivePeer>();
  live->held = &held;
  live->mode = router_.mode;
  for (const auto& peer : router_.peers) {
    if (peer.address == held.address && peer.vrf == held.vrf) live->mode = peer.mode;
  }
  live->text = PeerText(held);
  if (live->mode == BmpMode::kPrefixes) live->new_lists = (1u << kRibs) - 1;  // a new configuration may name others
  return *live;
}

BmpRouter::LivePeer* BmpRouter::FindLive(const bmp::PeerHeader& peer) {
  const auto key = peer.key();
  if (const auto known = by_key_.find(key); known != by_key_.end()) return known->second;
  HeldPeer* held = table_.Find(VrfName(router_, peer.type, peer.distinguisher), peer.address);
  if (held == nullptr) return nullptr;
  LivePeer& live = Live(*held);
  live.type = peer.type;
  if (by_key_.size() < router_.max_peers) by_key_.emplace(key, &live);
  return &live;
}

BmpRouter::LivePeer* BmpRouter::FindOrAddLive(const bmp::PeerHeader& peer) {
  if (LivePeer* live = FindLive(peer)) return live;
  if (table_.peers().size() >= router_.max_peers) {
    ++counters_.peers_refused;
    return nullptr;
  }
  table_.FindOrAdd(VrfName(router_, peer.type, peer.distinguisher), peer.address);
  return FindLive(peer);
}

PayloadTail BmpRouter::Tail(const bmp::PeerHeader* peer) const {
  PayloadTail tail;
  tail.protection = protection_;
  if (peer != nullptr) tail.router_time_us = peer->router_time_us();
  return tail;
}

deliver::Observation& BmpRouter::Add(Type type, Tier tier, std::string_view red_rule) {
  deliver::Observation& out = output_.Add(router_.source);
  out.type = type;
  out.tier = red_rule.empty() ? tier : Tier::kRed;
  return out;
}

void BmpRouter::Connected(std::string_view address, std::string_view protection, const bmp::Initiation& initiation) {
  ++counters_.sessions;
  session_up_ = true;
  compared_ = false;
  address_ = address;
  protection_ = protection;
  sys_name_ = initiation.sys_name;
  frr_ = initiation.sys_descr.starts_with("FRRouting");
  connected_at_ = clock_.NowNanos();
  last_bytes_ = connected_at_;
  progress_ = quiet_base_ = clock_.Steady();
  by_key_.clear();
  early_.clear();
  early_routes_ = 0;
  for (auto& [held, live] : live_) {
    live->up = live->awaits = live->over_limit = live->suspect = false;
    BeginDump(*live);
  }
}

void BmpRouter::Disconnected() {
  session_up_ = false;
  if (compared_) since_ = clock_.NowNanos();
  compared_ = false;
  address_.clear();
  by_key_.clear();
  for (auto& [held, live] : live_) live->up = false;
}

void BmpRouter::BeginDump(LivePeer& live) {
  live.progress = clock_.Steady();
  for (std::size_t rib = 0; rib < kRibs; ++rib) {
    PathTable* table = live.held->tables[rib].get();
    live.dumps[rib] = Dump{.active = table != nullptr};
    if (table == nullptr) continue;
    table->BeginDump();
    if (table->size() == 0) live.dumps[rib].first = output_.Next(router_.source);
  }
}

void BmpRouter::RefusedSession(std::string_view address) {
  ++counters_.refused_sessions;
  Alarm("BMP_SECOND_SESSION",
        fmt::format("a second BMP session of this router, from {}, was refused: one from {} is up", address, address_));
}

bool BmpRouter::SamePeer(const PeerFacts& held, const bmp::PeerUp& message) const {
  return held.as == message.peer.as && held.router_id == message.router_id() &&
         (message.peer.type == bmp::PeerType::kLocRib || held.bgp_id == message.received.bgp_id);
}

void BmpRouter::TakeFacts(LivePeer& live, const bmp::PeerUp& message) {
  PeerFacts& facts = live.held->facts;
  const bool loc = message.peer.type == bmp::PeerType::kLocRib;
  facts.as = message.peer.as;
  facts.local_as = loc ? message.peer.as : message.sent.as;
  facts.router_id = message.router_id();
  facts.bgp_id = loc ? message.peer.bgp_id : message.received.bgp_id;
  facts.name = NameOf(message);
  live.text = PeerText(*live.held);
  // A Loc-RIB's OPENs are made up: which families it has only its End-of-RIBs say.
  live.families = loc ? std::uint8_t{kIpv4Bit | kIpv6Bit} : FamiliesOf(message.sent) & FamiliesOf(message.received);
}

void BmpRouter::PeerUp(const bmp::PeerUp& message) {
  LivePeer* live = FindOrAddLive(message.peer);
  if (live == nullptr) return;
  PeerFacts& facts = live->held->facts;
  progress_ = clock_.Steady();
  if (facts.state == PeerState::kEstablished && !SamePeer(facts, message)) {
    Lose(*live, {.reason = "another BGP session than before", .inferred = true, .header = &message.peer});
  }
  const bool news = facts.state != PeerState::kEstablished;
  const bool again = live->up;
  if (news) {
    // Paths may be held of a peer that was never reported up: those of a Loc-RIB whose Peer Up came late.
    deliver::Observation& out = Add(Type::kPeerStatusChanged, Tier::kGreen, {});
    TakeFacts(*live, message);
    facts.old_state = facts.state;
    facts.state = PeerState::kEstablished;
    facts.since = clock_.NowNanos();
    facts.reported = true;
    AppendPeerState(out.payload, *live->held, live->text, Tail(&message.peer));
  } else {
    TakeFacts(*live, message);
  }
  live->up = true;
  live->suspect = live->over_limit = false;
  // Else its dump began with the connect, or, of a Loc-RIB, with routes in front of its Peer Up.
  if (again != news) BeginDump(*live);
  live->progress = clock_.Steady();
  live->awaits = live->Reports();
  TakeEarlyRoutes();
}

void BmpRouter::PeerDown(const bmp::PeerDown& message) {
  LivePeer* live = FindLive(message.peer);
  if (live == nullptr || live->held->facts.state != PeerState::kEstablished) {
    ++counters_.unheld_peer_downs;
    return;
  }
  // FRR 8.4 also sends one for each other connection that fails beside the session, with the identifier 0.0.0.0:
  // anybody who can open a connection from the neighbor's address can bring it about.
  const IpAddress& known = live->held->facts.bgp_id;
  if (frr_ && live->up && live->type != bmp::PeerType::kLocRib && !known.is_unspecified() &&
      message.peer.bgp_id != known) {
    ++counters_.unheld_peer_downs;
    return;
  }
  Loss loss;
  loss.reason = ReasonText(message);
  loss.header = &message.peer;
  loss.event = message.fsm_event.value_or(0);
  loss.still_up = message.reason == bmp::PeerDown::Reason::kDeconfigured;
  if (message.notification) {
    loss.words = message.notification->shutdown_message;
    loss.maximum_prefix = message.notification->code == kCease && message.notification->subcode == kMaximumPrefixes;
  }
  Lose(*live, loss);
}

void BmpRouter::Lose(LivePeer& live, const Loss& loss) {
  HeldPeer& held = *live.held;
  const std::string_view red =
      loss.still_up ? std::string_view() : rules_.OfLoss(held, loss.maximum_prefix, clock_.Steady());
  PayloadTail tail = Tail(loss.header);
  tail.reason = loss.reason;
  tail.red_rule = red;
  tail.inferred = loss.inferred;
  const UnixNanos now = clock_.NowNanos();
  const UnixNanos up_since = held.facts.since;

  deliver::Observation& state = Add(Type::kPeerStatusChanged, Tier::kYellow, red);
  held.facts.old_state = held.facts.state;
  held.facts.state = loss.still_up ? PeerState::kUnknown : PeerState::kIdle;
  held.facts.since = now;
  AppendPeerState(state.payload, held, live.text, tail);
  rules_.RemovedAll(held);
  table_.DropTables(held);
  live.dumps = {};
  live.up = live.awaits = false;
  // A Loc-RIB is a table: it has no session that could be lost.
  if (loss.still_up || live.type == bmp::PeerType::kLocRib) return;
  deliver::Observation& down = Add(Type::kPeerBackwardTransition, Tier::kYellow, red);
  AppendPeerDown(down.payload, live.text, loss.event, now > up_since ? (now - up_since) / 1'000'000'000 : 0, loss.words,
                 tail);
}

void BmpRouter::Skipped(const bmp::Skipped& skipped) {
  ++counters_.skipped[static_cast<std::size_t>(skipped.reason)];
  if (skipped.reason != bmp::Skipped::Reason::kMalformedUpdate || skipped.peer == nullptr) return;
  LivePeer* live = FindLive(*skipped.peer);
  if (live == nullptr || !live->Reports()) return;
  live->suspect = true;
  for (std::size_t rib = 0; rib < kRibs; ++rib) {
    PathTable* table = live->held->tables[rib].get();
    if (table != nullptr) RetractComplete(*live, static_cast<bmp::Rib>(rib), *table, "unreadable UPDATE");
  }
  Alarm("BMP_MALFORMED_UPDATE",
        fmt::format("an UPDATE of peer {} could not be read: {}", live->held->address.ToString(), skipped.detail));
}

}  // namespace virp::collector
