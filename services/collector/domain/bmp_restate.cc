// BmpRouter: what time brings about (quiet, restating, alarms held back), and status.
#include <algorithm>

#include "lib/chain/control.h"
#include "services/collector/domain/bmp_router.h"
#include "services/collector/domain/bmp_router_impl.h"

namespace virp::collector {
namespace {

using frame::Type;

constexpr std::chrono::seconds kAlarmPace{60};
constexpr std::chrono::seconds kMinLossPace{60}, kMaxLossPace{3'600};

}  // namespace

bool BmpRouter::Quiet(Time since) const {
  return clock_.Steady() - std::max(since, quiet_base_) >= options_.quiet;
}

void BmpRouter::EndQuietDumps(LivePeer& live) {
  // Peers that come without a Peer Up are waited for as long as the session's dump goes on.
  const bool expected = live.up || live.held->facts.state != PeerState::kEstablished;
  if (!live.Dumping() || !expected || !Quiet(live.up ? live.progress : progress_)) return;
  live.awaits = false;
  for (std::size_t rib = 0; rib < kRibs; ++rib) {
    if (live.dumps[rib].active) Complete(live, static_cast<bmp::Rib>(rib));
  }
}

// The dump that follows a connect is compared when all peers are back or known to be gone, and all their views ended.
void BmpRouter::CheckCompared() {
  if (compared_) return;
  bool waiting = live_.empty() && !Quiet(progress_);
  for (auto& [held, live] : live_) {
    if (held->facts.state == PeerState::kEstablished && !live->up && Quiet(progress_)) {
      Lose(*live, {.reason = "not up any more after a reconnect", .inferred = true});
    }
    waiting |= live->Dumping() || (held->facts.state == PeerState::kEstablished && !live->up);
  }
  if (waiting) return;
  compared_ = true;
  since_ = clock_.NowNanos();
}

void BmpRouter::Tick(bool paused) {
  const Time now = clock_.Steady();
  for (auto& [cause, state] : alarms_) {
    if (state.held_back > 0 && now - state.said >= kAlarmPace) SayAlarm(cause, state, state.held_back);
  }
  if (!session_up_) return;
  if (paused) quiet_base_ = now;
  for (auto& [held, live] : live_) EndQuietDumps(*live);
  CheckCompared();
  if (!compared_) return;
  CheckLosses();
  if (now - peers_restated_ >= options_.restate_peers) restate_peers_ = true;
  if (restate_peers_) {
    restate_peers_ = false;
    peers_restated_ = now;
    peers_to_restate_.clear();
    for (auto& [held, live] : live_) {
      if (held->facts.reported) peers_to_restate_.push_back(live.get());
    }
  }
  if (restate_tables_) {
    restate_tables_ = false;
    tables_to_restate_.clear();
    restating_ = {};
    for (auto& [held, live] : live_) {
      for (std::size_t rib = 0; rib < kRibs; ++rib) {
        if (held->tables[rib] != nullptr) tables_to_restate_.emplace_back(live.get(), static_cast<bmp::Rib>(rib));
      }
    }
  }
}

void BmpRouter::Restate(bool tables) {
  restate_peers_ = true;
  restate_tables_ |= tables;
}

void BmpRouter::EpochOpened() {
  epoch_ = output_.Next(router_.source).epoch;
  Restate(true);
}

// While an O-Node refuses all that a source says, restating must not become a load of its own.
void BmpRouter::CheckLosses() {
  const auto since = clock_.Steady() - loss_restated_;
  const bool ever = loss_pace_.count() > 0;
  if (!frame_lost_ || (ever && since < loss_pace_)) return;
  loss_pace_ = ever && since < 2 * loss_pace_ ? std::min(2 * loss_pace_, kMaxLossPace) : kMinLossPace;
  loss_restated_ = clock_.Steady();
  frame_lost_ = false;
  Restate(true);
}

// Whether all of that table is about to be said again, or has to be since an epoch opened.
bool BmpRouter::RestatesSoon(const LivePeer& live, bmp::Rib rib) {
  const std::uint64_t epoch = output_.Next(router_.source).epoch;
  if (epoch_ == 0) epoch_ = epoch;
  const auto is_it = [&](const auto& table) { return table.first == &live && table.second == rib; };
  return restate_tables_ || epoch != epoch_ || (restating_.peer == &live && restating_.rib == rib) ||
         std::any_of(tables_to_restate_.begin(), tables_to_restate_.end(), is_it);
}

// The tier is that of the moment: a peer that is still down is not lost once more, but a RED rule may still hold.
void BmpRouter::RestatePeer(const LivePeer& live) {
  PayloadTail tail = Tail(nullptr);
  tail.restated = true;
  const bool down = live.held->facts.state == PeerState::kIdle && live.type != bmp::PeerType::kLocRib;
  if (down) tail.red_rule = rules_.OfDownPeer(clock_.Steady());
  AppendPeerState(Add(Type::kPeerStatusChanged, Tier::kGreen, tail.red_rule).payload, *live.held, live.text, tail);
}

void BmpRouter::RestatePath(const LivePeer& live, bmp::Rib rib, const bmp::Route& route, const HeldPath& path) {
  PayloadTail tail = Tail(nullptr);
  tail.restated = true;
  const std::string_view attributes = table_.texts().Text(path.attributes);
  if (rules_.Protects(route.prefix)) {
    tail.red_rule = rules_.OfAnnouncement(route.prefix, OriginIn(attributes, live.held->facts.local_as));
  }
  deliver::Observation& out = Add(Type::kBgpProcess, Tier::kGreen, tail.red_rule);
  AppendAnnounce(out.payload, live.text, bmp::RibName(rib), route, attributes, tail);
}

bool BmpRouter::RestateSome(std::size_t limit) {
  if (!compared_) return false;
  for (; limit > 0 && !peers_to_restate_.empty(); --limit) {
    const LivePeer& live = *peers_to_restate_.back();
    peers_to_restate_.pop_back();
    RestatePeer(live);
  }
  while (limit > 0) {
    if (restating_.peer == nullptr) {
      if (tables_to_restate_.empty()) break;
      const auto [peer, rib] = tables_to_restate_.front();
      tables_to_restate_.pop_front();
      const PathTable* table = peer->held->tables[static_cast<std::size_t>(rib)].get();
      if (table == nullptr) continue;
      restating_ = {peer, rib, table->Routes(), 0, output_.Next(router_.source)};
    }
    LivePeer& live = *restating_.peer;
    PathTable* table = live.held->tables[static_cast<std::size_t>(restating_.rib)].get();
    for (; table != nullptr && limit > 0 && restating_.next < restating_.routes.size(); ++restating_.next) {
      const bmp::Route& route = restating_.routes[restating_.next];
      const HeldPath* path = table->Find(route);
      if (path == nullptr) continue;  // withdrawn since, and said so
      --limit;
      RestatePath(live, restating_.rib, route, *path);
    }
    if (table != nullptr && restating_.next < restating_.routes.size()) return true;
    const deliver::Position& first = restating_.first;
    const bool one_epoch = first.epoch == 0 || first.epoch == output_.Next(router_.source).epoch;
    if (table != nullptr && table->complete != 0 && one_epoch) {
      PayloadTail tail = Tail(nullptr);
      tail.restated = true;
      SayComplete(live, restating_.rib, *table, table->complete, Tier::kGreen, tail, &first);
    }
    restating_ = {};
  }
  return !peers_to_restate_.empty() || !tables_to_restate_.empty() || restating_.peer != nullptr;
}

// At most one a minute for each cause; the next one counts those held back.
void BmpRouter::Alarm(std::string_view cause, std::string_view reason) {
  auto at = alarms_.find(cause);
  if (at == alarms_.end()) at = alarms_.emplace(std::string(cause), AlarmState{}).first;
  AlarmState& state = at->second;
  state.reason = reason;
  ++state.held_back;
  if (!state.ever || clock_.Steady() - state.said >= kAlarmPace) SayAlarm(at->first, state, state.held_back);
}

void BmpRouter::SayAlarm(const std::string& cause, AlarmState& state, std::uint64_t count) {
  chain::Alarm alarm;
  alarm.source = router_.source;
  alarm.cause = cause;
  alarm.count = count;
  alarm.reason = state.reason;
  deliver::Observation& out = output_.Add(options_.collector_source);
  out.type = Type::kChannelAlarm;
  out.tier = Tier::kYellow;
  out.payload = chain::BuildAlarm(alarm);
  state.said = clock_.Steady();
  state.ever = true;
  state.held_back = 0;
  ++counters_.alarms;
}

BmpCounters& BmpCounters::operator+=(const BmpCounters& more) {
  for (const auto field :
       {&BmpCounters::sessions, &BmpCounters::refused_sessions, &BmpCounters::announced, &BmpCounters::withdrawn,
        &BmpCounters::inferred, &BmpCounters::unchanged, &BmpCounters::unheld_withdrawals,
        &BmpCounters::unheld_peer_downs, &BmpCounters::routes_without_peer, &BmpCounters::peers_refused,
        &BmpCounters::update_errors, &BmpCounters::path_ids_changed, &BmpCounters::statistics, &BmpCounters::mirrored,
        &BmpCounters::alarms}) {
    this->*field += more.*field;
  }
  for (std::size_t i = 0; i < skipped.size(); ++i) skipped[i] += more.skipped[i];
  return *this;
}

BmpRouterStatus BmpRouter::Status() const {
  BmpRouterStatus out;
  out.source = router_.source;
  out.address = address_;
  if (session_up_) out.protection = protection_;
  out.sys_name = sys_name_;
  out.session_up = session_up_;
  out.connected = compared_;
  out.since = since_;
  out.last_bytes = last_bytes_;
  out.paths = table_.paths();
  out.attribute_bytes = table_.texts().bytes();
  out.counters = counters_;
  for (const auto& [key, held] : table_.peers()) {
    const auto live = live_.find(held.get());
    BmpPeerStatus peer;
    peer.vrf = held->vrf;
    peer.address = held->address;
    peer.as = held->facts.as;
    peer.state = PeerStateName(held->facts.state);
    peer.since = held->facts.since;
    if (live != live_.end()) {
      peer.mode = live->second->mode;
      peer.over_limit = live->second->over_limit;
    }
    for (std::size_t rib = 0; rib < kRibs; ++rib) {
      const PathTable* table = held->tables[rib].get();
      if (table != nullptr)
        peer.views[rib] = {.reported = true, .complete = table->complete != 0, .paths = table->size()};
    }
    out.peers.push_back(std::move(peer));
  }
  return out;
}

}  // namespace virp::collector
