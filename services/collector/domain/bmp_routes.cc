// BmpRouter: routes, and the dumps that they come in.
#include <algorithm>
#include <utility>

#include "services/collector/domain/bmp_router.h"
#include "services/collector/domain/bmp_router_impl.h"

namespace virp::collector {

using frame::Tier;
using frame::Type;

namespace {

constexpr std::size_t kMaxEarlyRoutes = 1'024;  // of one session

}  // namespace

// Routes count of a peer that is up. Two kinds come without a Peer Up: a Loc-RIB (gobgp), and the router's own networks
// as routes of 0.0.0.0 (FRR 8.4).
BmpRouter::LivePeer* BmpRouter::LiveForRoutes(const bmp::PeerHeader& peer) {
  LivePeer* live = FindLive(peer);
  if (live != nullptr && live->up) return live;
  if (!peer.address.is_unspecified()) return nullptr;
  live = FindOrAddLive(peer);
  if (live == nullptr || !KnowsRouterId(*live->held, peer)) return nullptr;
  live->text = PeerText(*live->held);
  live->up = true;
  return live;
}

// Of a peer that has no Peer Up: the identifier is in its header (Loc-RIB), was said before, or is that of the others.
bool BmpRouter::KnowsRouterId(HeldPeer& held, const bmp::PeerHeader& peer) {
  PeerFacts& facts = held.facts;
  if (facts.router_id.is_unspecified()) facts.router_id = peer.bgp_id;
  for (const auto& [key, other] : table_.peers()) {
    if (!facts.router_id.is_unspecified()) break;
    if (other->vrf == held.vrf) facts.router_id = other->facts.router_id;
  }
  if (facts.name.empty()) {
    facts.as = peer.as;
    facts.name = peer.address.ToString();
  }
  return !facts.router_id.is_unspecified();
}

void BmpRouter::TakeEarlyRoutes() {
  if (early_.empty()) return;
  const auto early = std::exchange(early_, {});
  early_routes_ = 0;
  for (const EarlyRoutes& routes : early) Routes(routes.peer, routes.rib, routes.update);
}

bool BmpRouter::Wanted(const LivePeer& live, const Prefix& prefix) const {
  return live.mode == BmpMode::kRoutes || wanted_.Cover(prefix) != nullptr;
}

void BmpRouter::Routes(const bmp::PeerHeader& peer, bmp::Rib rib, const bmp::Update& update) {
  if (update.error != bmp::UpdateError::kNone) ++counters_.update_errors;
  if (update.path_ids_changed) ++counters_.path_ids_changed;
  const auto index = static_cast<std::size_t>(rib);
  if (!router_.ribs[index]) return;
  LivePeer* live = LiveForRoutes(peer);
  if (live == nullptr && peer.address.is_unspecified() && early_routes_ + update.announced.size() <= kMaxEarlyRoutes) {
    early_routes_ += update.announced.size() + 1;
    early_.push_back({peer, rib, update});
    return;
  }
  if (live == nullptr) ++counters_.routes_without_peer;
  if (live == nullptr || !live->Reports()) return;

  const bool first = live->held->tables[index] == nullptr;
  PathTable& table = table_.Table(*live->held, rib);
  Dump& dump = live->dumps[index];
  if (first) {
    dump = Dump{.active = true, .first = output_.Next(router_.source)};
    live->progress = progress_ = clock_.Steady();
  }
  live->awaits = false;
  dump.mentioned = true;
  const PayloadTail tail = Tail(&peer);
  for (const bmp::Route& route : update.withdrawn) {
    if (!Wanted(*live, route.prefix)) continue;
    if (table.Find(route) == nullptr) {
      ++counters_.unheld_withdrawals;
      continue;
    }
    Withdraw(*live, rib, table, route, tail);
    ++counters_.withdrawn;
  }
  const IpAddress* next_hop = nullptr;
  for (const bmp::Announcement& announcement : update.announced) {
    NoteShown(*live, dump, table, announcement.route.prefix);
    if (!Wanted(*live, announcement.route.prefix)) continue;
    if (next_hop == nullptr || *next_hop != announcement.next_hop) {
      next_hop = &announcement.next_hop;
      FormAttributes(update.attributes, *next_hop, attributes_);
    }
    if (!Announce(*live, rib, table, announcement, update, tail)) return;
  }
}

bool BmpRouter::Announce(LivePeer& live, bmp::Rib rib, PathTable& table, const bmp::Announcement& announcement,
                         const bmp::Update& update, const PayloadTail& tail) {
  const bmp::Route& route = announcement.route;
  bool newly_stated = false;
  const auto change = table_.Compare(table, route, attributes_, newly_stated);
  if (newly_stated) live.progress = progress_ = clock_.Steady();
  if (change == RouterTable::Change::kNone) {
    ++counters_.unchanged;
    return true;
  }
  const bool full = (change == RouterTable::Change::kNew && table_.paths() >= router_.max_paths) ||
                    table_.texts().bytes() + attributes_.size() > router_.max_attribute_bytes;
  if (full) {
    GiveUp(live);
    return false;
  }
  std::string_view red;
  if (rules_.Protects(route.prefix)) {
    const bmp::AsPath& path = update.attributes.as_path;
    const auto own = path.empty() ? std::optional(live.held->facts.local_as) : std::nullopt;
    red = rules_.OfAnnouncement(route.prefix, path.empty() ? own : path.OriginAs());
  }
  deliver::Observation& out = Add(Type::kBgpProcess, Tier::kGreen, red);
  if (change == RouterTable::Change::kNew) rules_.Added(*live.held, rib, route.prefix);
  table_.Put(table, route, attributes_);
  if (red.empty()) {
    AppendAnnounce(out.payload, live.text, bmp::RibName(rib), route, attributes_, tail);
  } else {
    PayloadTail with_rule = tail;
    with_rule.red_rule = red;
    AppendAnnounce(out.payload, live.text, bmp::RibName(rib), route, attributes_, with_rule);
  }
  ++counters_.announced;
  return true;
}

void BmpRouter::Withdraw(LivePeer& live, bmp::Rib rib, PathTable& table, const bmp::Route& route, PayloadTail tail) {
  tail.red_rule = rules_.OfWithdrawal(*live.held, rib, route.prefix);
  deliver::Observation& out = Add(Type::kBgpProcess, Tier::kGreen, tail.red_rule);
  table_.Erase(table, route);
  rules_.Removed(*live.held, rib, route.prefix);
  AppendWithdraw(out.payload, live.text, bmp::RibName(rib), route, tail);
}

void BmpRouter::WithdrawAll(LivePeer& live, bmp::Rib rib, PathTable& table, const std::vector<bmp::Route>& routes,
                            std::string_view reason) {
  PayloadTail tail = Tail(nullptr);
  tail.inferred = true;
  tail.reason = reason;
  for (const bmp::Route& route : routes) {
    Withdraw(live, rib, table, route, tail);
    ++counters_.inferred;
  }
}

void BmpRouter::EndOfRib(const bmp::PeerHeader& peer, bmp::Rib rib, bmp::AfiSafi family) {
  const auto index = static_cast<std::size_t>(rib);
  if (!router_.ribs[index]) return;
  LivePeer* live = LiveForRoutes(peer);
  if (live == nullptr || !live->Reports()) return;
  Dump& dump = live->dumps[index];
  if (live->held->tables[index] == nullptr) {
    table_.Table(*live->held, rib);
    dump = Dump{.active = true, .first = output_.Next(router_.source)};
    live->progress = progress_ = clock_.Steady();
  }
  live->awaits = false;
  dump.mentioned = true;
  dump.ended |= FamilyBit(family);
  if (!dump.active && !frr_ &&
      (FamilyBit(family) & ~live->held->tables[index]->complete) != 0) {  // of a family that is new
    dump.active = true;
    live->progress = clock_.Steady();
  }
  // BIRD sends it before the routes: then only quiet ends the dump, as it does for those who send none.
  const bool all = live->families != 0 && (dump.ended & live->families) == live->families;
  if (dump.active && dump.announced != 0 && all) Complete(*live, rib);
}

void BmpRouter::Complete(LivePeer& live, bmp::Rib rib) {
  const auto index = static_cast<std::size_t>(rib);
  PathTable& table = *live.held->tables[index];
  const bool mentioned = live.dumps[index].mentioned;
  live.dumps[index].active = false;
  const auto gone = table.Unstated();
  WithdrawAll(live, rib, table, gone, {});
  if (mentioned) {
    StateComplete(live, rib, table);
  } else if (table.size() == 0) {  // no longer monitored
    RetractComplete(live, rib, table, "no longer monitored");
    table_.DropTable(*live.held, rib);
  }
}

// The first path of a family that a session shows proves that the view is reported at all. Where it comes after the
// dump, others may follow it (a route refresh, monitoring that was switched on), so they are waited for.
void BmpRouter::NoteShown(LivePeer& live, Dump& dump, const PathTable& table, const Prefix& prefix) {
  const std::uint8_t family = FamilyBit(prefix);
  if ((dump.announced & family) != 0) return;
  dump.announced |= family;
  if (dump.active || (table.complete & family) != 0) return;
  dump.active = true;
  live.progress = clock_.Steady();
}

// The families of a view that this session is known to report all paths of, once its dump ended. A family counts when
// it was shown: by a path or by an End-of-RIB. FRR's End-of-RIBs show nothing: its bgp_bmp.c sends them for every
// established peer and every view, monitored or not, and for adj-in-pre also when the neighbor lacks
// `soft-reconfiguration inbound` and bgpd keeps no such routes, so that an empty table cannot be told from one that is
// never sent. Nor does a withdrawal show anything: FRR withdraws in adj-in-pre whatever it does not find there.
std::uint8_t BmpRouter::Covered(const LivePeer& live, bmp::Rib rib) const {
  const Dump& dump = live.dumps[static_cast<std::size_t>(rib)];
  std::uint8_t covered = dump.announced;
  if (!frr_) covered |= dump.ended;
  if (covered == 0) return 0;
  // The peer has no paths of a family that was not negotiated.
  if (live.type != bmp::PeerType::kLocRib && live.families != 0) covered |= kBothFamilies & ~live.families;
  if (live.mode != BmpMode::kPrefixes) return covered;
  std::uint8_t listed = 0;
  for (const Prefix& prefix : router_.prefixes) listed |= FamilyBit(prefix);
  return (covered & listed) == 0 ? std::uint8_t{0} : static_cast<std::uint8_t>((covered & listed) | kListedOnly);
}

// The prefixes that a statement about `covered` names.
std::vector<Prefix> BmpRouter::Listed(std::uint8_t covered) const {
  static const std::vector<Prefix> kAll = {*Prefix::Parse("0.0.0.0/0"), *Prefix::Parse("::/0")};
  std::vector<Prefix> out;
  for (const Prefix& prefix : (covered & kListedOnly) != 0 ? router_.prefixes : kAll) {
    if ((FamilyBit(prefix) & covered) != 0) out.push_back(prefix);
  }
  return out;
}

// A statement about no prefix at all takes the place of the one before: nothing is claimed to be absent any more.
void BmpRouter::SayComplete(LivePeer& live, bmp::Rib rib, PathTable& table, std::uint8_t complete, Tier tier,
                            PayloadTail tail, const deliver::Position* first) {
  const auto only = Listed(complete);
  const deliver::Position next = output_.Next(router_.source);
  if (first != nullptr && (first->epoch == next.epoch || first->epoch == 0)) tail.first_sequence = first->last_sequence;
  deliver::Observation& out = Add(Type::kBgpProcess, tier, {});
  if (complete != 0) out.epoch = next.epoch;  // what it is about was said in that one
  table.complete = complete;
  live.new_lists &= static_cast<std::uint8_t>(~RibBit(rib));
  AppendTableComplete(out.payload, live.text, bmp::RibName(rib), complete == kBothFamilies ? nullptr : &only, tail);
}

void BmpRouter::StateComplete(LivePeer& live, bmp::Rib rib, PathTable& table) {
  const std::uint8_t covered = Covered(live, rib);
  if (live.suspect || (covered == table.complete && (live.new_lists & RibBit(rib)) == 0)) return;
  if (covered == 0) return RetractComplete(live, rib, table, "no path of this view is shown");
  if (RestatesSoon(live, rib)) {  // which ends with a statement; before that it would not be true of this epoch
    table.complete = covered;
    live.new_lists &= static_cast<std::uint8_t>(~RibBit(rib));
    return;
  }
  const bool less = (table.complete & kBothFamilies & ~covered) != 0;
  const Dump& dump = live.dumps[static_cast<std::size_t>(rib)];
  SayComplete(live, rib, table, covered, less ? Tier::kYellow : Tier::kGreen, Tail(nullptr),
              dump.first ? &*dump.first : nullptr);
}

void BmpRouter::RetractComplete(LivePeer& live, bmp::Rib rib, PathTable& table, std::string_view reason) {
  if (table.complete == 0) return;
  PayloadTail tail = Tail(nullptr);
  tail.reason = reason;
  SayComplete(live, rib, table, 0, Tier::kYellow, tail);
}

// Paths that will not be followed any more must not look present for ever: they are withdrawn, and the table is no
// longer complete.
void BmpRouter::GiveUp(LivePeer& live) {
  constexpr std::string_view kReason = "path limit";
  for (std::size_t i = 0; i < kRibs; ++i) {
    const auto rib = static_cast<bmp::Rib>(i);
    PathTable* table = live.held->tables[i].get();
    if (table == nullptr) continue;
    WithdrawAll(live, rib, *table, table->Routes(), kReason);
    RetractComplete(live, rib, *table, kReason);
    table_.DropTable(*live.held, rib);
  }
  live.dumps = {};
  live.awaits = false;
  live.over_limit = true;
  Alarm("BMP_PATH_LIMIT",
        fmt::format(
            "peer {} of VRF {} crossed the limit of {} paths or {} bytes of attributes: it is reported by events only",
            live.held->address.ToString(), live.held->vrf, router_.max_paths, router_.max_attribute_bytes));
}

}  // namespace virp::collector
