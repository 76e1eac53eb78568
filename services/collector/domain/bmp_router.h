// What one router says over BMP, turned into observations: differences to what was last reported of it, and nothing
// else. docs/operations/bmp.md tells an operator what comes out of what.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "lib/base/clock.h"
#include "lib/bmp/session.h"
#include "services/collector/domain/bmp_options.h"
#include "services/collector/domain/bmp_payload.h"
#include "services/collector/domain/bmp_rules.h"
#include "services/collector/domain/bmp_table.h"

namespace virp::collector {

// Where observations go.
class BmpOutput {
 public:
  virtual ~BmpOutput() = default;
  // A place for the next observation of `source`, its payload empty; valid until the next call. May wait until the
  // spool has room and release the tables' lock meanwhile, for readers: so ask for the place first, and change the
  // table after.
  virtual deliver::Observation& Add(std::string_view source) = 0;
  // The epoch of the observation that Add would make next, and a number that is not above the one it will have; both
  // may turn out otherwise when that opens an epoch. Epoch 0: none was opened yet.
  virtual deliver::Position Next(std::string_view source) const = 0;
};

struct BmpCounters {
  std::uint64_t sessions = 0, refused_sessions = 0;
  std::uint64_t announced = 0, withdrawn = 0, inferred = 0;  // observations
  std::uint64_t unchanged = 0;                               // announcements of what was reported already
  std::uint64_t unheld_withdrawals = 0, unheld_peer_downs = 0;
  std::uint64_t routes_without_peer = 0;  // of peers that are not up
  std::uint64_t peers_refused = 0;        // beyond max_peers
  std::uint64_t update_errors = 0;        // UPDATEs with attributes at fault (RFC 7606)
  std::uint64_t path_ids_changed = 0;
  std::uint64_t statistics = 0, mirrored = 0;
  std::uint64_t alarms = 0;
  std::array<std::uint64_t, 7> skipped{};  // by bmp::Skipped::Reason

  BmpCounters& operator+=(const BmpCounters& more);
};

struct BmpPeerStatus {
  std::string vrf;
  IpAddress address;
  std::uint32_t as = 0;
  std::string state;
  UnixNanos since = 0;
  BmpMode mode = BmpMode::kEvents;
  bool over_limit = false;  // fell back to `events`
  struct View {
    bool reported = false;  // something was said of it
    bool complete = false;
    std::uint64_t paths = 0;
  };
  std::array<View, kRibs> views{};  // by bmp::Rib
};

struct BmpRouterStatus {
  std::string source;
  std::string address;     // as connected; empty while it is not
  std::string protection;  // "plain", "tcp-md5"; empty while it is not connected
  std::string sys_name;    // of the session, else as last seen
  bool session_up = false;
  bool connected = false;  // and the dump that followed the connect was compared: for heartbeats
  UnixNanos since = 0;     // of `connected`
  UnixNanos last_bytes = 0;
  std::uint64_t paths = 0;
  std::uint64_t attribute_bytes = 0;
  BmpCounters counters;
  std::vector<BmpPeerStatus> peers;
};

// Not thread-safe: all calls under the tables' lock.
class BmpRouter {
 public:
  // All must outlive this. `restate`: what is in the table survived a restart and is to be said again.
  BmpRouter(const BmpOptions& options, const BmpRouterOptions& router, RouterTable& table, BmpOutput& output,
            const Clock& clock);

  const BmpRouterOptions& options() const { return router_; }
  bool session_up() const { return session_up_; }
  bool connected() const { return compared_; }
  UnixNanos last_bytes() const { return last_bytes_; }

  // A session of this router was accepted: its dump will be compared with what is held.
  void Connected(std::string_view address, std::string_view protection, const bmp::Initiation& initiation);
  // It ended. Nothing is said of any peer.
  void Disconnected();
  void NoteBytes() { last_bytes_ = clock_.NowNanos(); }
  // Another session for this router was refused.
  void RefusedSession(std::string_view address);

  void PeerUp(const bmp::PeerUp& message);
  void PeerDown(const bmp::PeerDown& message);
  void Routes(const bmp::PeerHeader& peer, bmp::Rib rib, const bmp::Update& update);
  void EndOfRib(const bmp::PeerHeader& peer, bmp::Rib rib, bmp::AfiSafi family);
  void Statistics() { ++counters_.statistics; }
  void Mirroring(const bmp::RouteMirroring& message) { counters_.mirrored += message.bgp_messages; }
  void Skipped(const bmp::Skipped& skipped);

  // Ends dumps by quiet, starts what is due. `paused`: no bytes were read lately for want of room, so quiet says
  // nothing.
  void Tick(bool paused = false);
  // All peers are said again once connected, and with `tables` all paths too.
  void Restate(bool tables);
  // Says some of what is to be said again; true while there is more.
  bool RestateSome(std::size_t limit = 256);
  // The outbox opened a new epoch for this source: all that was said is to be said again.
  void EpochOpened();
  // A frame of this source is lost for good: all is said again, soon for the first, at growing distances for further
  // ones.
  void LostFrame() { frame_lost_ = true; }

  BmpRouterStatus Status() const;
  const BmpCounters& counters() const { return counters_; }
  const RouterTable& table() const { return table_; }

 private:
  using Time = std::chrono::steady_clock::time_point;
  using Tier = frame::Tier;

  // One view of a peer: the dump that it came in, and what this session has shown of it.
  struct Dump {
    bool active = false;
    bool mentioned = false;                    // a route or an End-of-RIB came
    std::uint8_t announced = 0;                // families of which a path came, bits of FamilyBit
    std::uint8_t ended = 0;                    // families of which an End-of-RIB came
    std::optional<deliver::Position> first{};  // of the observations about a table that was empty when it began
  };
  // What is known of a peer beside what was reported.
  struct LivePeer {
    HeldPeer* held = nullptr;
    bmp::PeerType type{};
    bool up = false;      // Peer Up in this session
    bool awaits = false;  // since then no view was mentioned, and it was not quiet
    bool over_limit = false;
    bool suspect = false;        // an UPDATE could not be read: no table is stated complete before the next dump
    std::uint8_t new_lists = 0;  // views whose list of prefixes may not be the one that was stated, bits of RibBit
    BmpMode mode = BmpMode::kEvents;
    std::uint8_t families = 0;  // negotiated, bits of FamilyBit; 0: not known
    Time progress{};            // when something was stated that this dump had not stated yet
    std::array<Dump, kRibs> dumps;
    std::string text;  // PeerText
    bool Dumping() const;
    bool Reports() const { return mode != BmpMode::kEvents && !over_limit; }
  };
  // Routes of 0.0.0.0 that came before it was known whose they are.
  struct EarlyRoutes {
    bmp::PeerHeader peer;
    bmp::Rib rib{};
    bmp::Update update;
  };
  struct Restatement {  // of one table
    LivePeer* peer = nullptr;
    bmp::Rib rib{};
    std::vector<bmp::Route> routes;
    std::size_t next = 0;
    deliver::Position first{};
  };
  struct AlarmState {
    Time said{};
    bool ever = false;
    std::uint64_t held_back = 0;
    std::string reason;
  };

  LivePeer& Live(HeldPeer& held);
  LivePeer* FindLive(const bmp::PeerHeader& peer);
  LivePeer* FindOrAddLive(const bmp::PeerHeader& peer);
  LivePeer* LiveForRoutes(const bmp::PeerHeader& peer);
  bool KnowsRouterId(HeldPeer& held, const bmp::PeerHeader& peer);
  void TakeEarlyRoutes();
  bool SamePeer(const PeerFacts& held, const bmp::PeerUp& message) const;
  void TakeFacts(LivePeer& live, const bmp::PeerUp& message);
  void BeginDump(LivePeer& live);
  PayloadTail Tail(const bmp::PeerHeader* peer) const;
  deliver::Observation& Add(frame::Type type, frame::Tier tier, std::string_view red_rule);

  struct Loss {
    std::string reason{};
    std::string words{};
    std::uint16_t event = 0;
    bool maximum_prefix = false;
    bool inferred = false;
    bool still_up = false;  // only no longer reported
    const bmp::PeerHeader* header = nullptr;
  };
  void ReportState(LivePeer& live, PeerState to, frame::Tier tier, const PayloadTail& tail);
  void Lose(LivePeer& live, const Loss& loss);

  bool Wanted(const LivePeer& live, const Prefix& prefix) const;
  void Withdraw(LivePeer& live, bmp::Rib rib, PathTable& table, const bmp::Route& route, PayloadTail tail);
  void WithdrawAll(LivePeer& live, bmp::Rib rib, PathTable& table, const std::vector<bmp::Route>& routes,
                   std::string_view reason);
  // False when the peer was given up for want of room.
  bool Announce(LivePeer& live, bmp::Rib rib, PathTable& table, const bmp::Announcement& announcement,
                const bmp::Update& update, const PayloadTail& tail);
  void Complete(LivePeer& live, bmp::Rib rib);
  void NoteShown(LivePeer& live, Dump& dump, const PathTable& table, const Prefix& prefix);
  std::uint8_t Covered(const LivePeer& live, bmp::Rib rib) const;
  std::vector<Prefix> Listed(std::uint8_t covered) const;
  void StateComplete(LivePeer& live, bmp::Rib rib, PathTable& table);
  void SayComplete(LivePeer& live, bmp::Rib rib, PathTable& table, std::uint8_t complete, Tier tier, PayloadTail tail,
                   const deliver::Position* first = nullptr);
  bool RestatesSoon(const LivePeer& live, bmp::Rib rib);
  void CheckLosses();
  void RestatePeer(const LivePeer& live);
  void RestatePath(const LivePeer& live, bmp::Rib rib, const bmp::Route& route, const HeldPath& path);
  void RetractComplete(LivePeer& live, bmp::Rib rib, PathTable& table, std::string_view reason);
  void GiveUp(LivePeer& live);
  bool Quiet(Time since) const;
  void EndQuietDumps(LivePeer& live);
  void CheckCompared();
  void Alarm(std::string_view cause, std::string_view reason);
  void SayAlarm(const std::string& cause, AlarmState& state, std::uint64_t count);

  const BmpOptions& options_;
  const BmpRouterOptions& router_;
  RouterTable& table_;
  BmpOutput& output_;
  const Clock& clock_;
  const PrefixList wanted_;
  RedRules rules_;

  std::map<const HeldPeer*, std::unique_ptr<LivePeer>> live_;
  absl::flat_hash_map<bmp::PeerKey, LivePeer*> by_key_;  // of this session

  bool session_up_ = false;
  bool compared_ = false;
  bool frr_ = false;  // the sender is FRRouting
  std::string address_, sys_name_;
  std::string protection_ = "plain";
  UnixNanos since_ = 0;
  UnixNanos last_bytes_ = 0;
  UnixNanos connected_at_ = 0;
  Time progress_{};    // of the session's dump
  Time quiet_base_{};  // quiet counts from here at the earliest

  bool restate_peers_ = false, restate_tables_ = false;
  Time peers_restated_{};
  std::vector<LivePeer*> peers_to_restate_;
  std::deque<std::pair<LivePeer*, bmp::Rib>> tables_to_restate_;
  Restatement restating_;

  std::uint64_t epoch_ = 0;  // in which what is held was said
  bool frame_lost_ = false;
  Time loss_restated_{};
  std::chrono::seconds loss_pace_{0};

  std::vector<EarlyRoutes> early_;
  std::size_t early_routes_ = 0;
  std::string attributes_;  // scratch
  std::map<std::string, AlarmState, std::less<>> alarms_;
  BmpCounters counters_;
};

}  // namespace virp::collector
