// What the collector last reported of each router: its peers, and the paths of their tables. Durable through the
// outbox: a snapshot, and our own signed payloads behind it.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/hash_map.h"
#include "lib/base/ip.h"
#include "lib/base/mutex.h"
#include "lib/bmp/message.h"
#include "lib/deliver/outbox.h"
#include "lib/frame/payload.h"
#include "services/collector/domain/bmp_options.h"
#include "services/collector/domain/bmp_paths.h"

namespace virp::collector {

inline constexpr std::size_t kRibs = 5;

// States that are reported; BMP shows no others. A peer that was never up is not held.
enum class PeerState : std::uint8_t { kUnknown, kIdle, kEstablished };
std::string_view PeerStateName(PeerState state);  // "Unknown", "Idle", "Established"

// What was last said of a peer; a Loc-RIB is the peer 0.0.0.0.
struct PeerFacts {
  std::uint32_t as = 0;
  std::uint32_t local_as = 0;
  IpAddress router_id;  // the monitored router's BGP identifier
  IpAddress bgp_id;     // the peer's own
  std::string name;     // the router's description of it, else its address
  PeerState old_state = PeerState::kUnknown;
  PeerState state = PeerState::kUnknown;  // as reported; kUnknown also when routes came and no Peer Up
  UnixNanos since = 0;                    // frame time of the last change of state
  bool reported = false;                  // a type 1 was emitted

  friend bool operator==(const PeerFacts&, const PeerFacts&) = default;
};

struct HeldPeer {
  std::string vrf;
  IpAddress address;
  PeerFacts facts;
  std::array<std::unique_ptr<PathTable>, kRibs> tables;  // by bmp::Rib; null where nothing was said

  std::uint64_t paths() const;
};

// Not thread-safe.
class RouterTable {
 public:
  using Peers = std::map<std::pair<std::string, IpAddress>, std::unique_ptr<HeldPeer>>;

  HeldPeer* Find(std::string_view vrf, const IpAddress& address);
  HeldPeer& FindOrAdd(std::string_view vrf, const IpAddress& address);  // stays where it is until Clear
  PathTable& Table(HeldPeer& peer, bmp::Rib rib);

  enum class Change : std::uint8_t { kNone, kNew, kChanged };
  // What Put would do; restates an unchanged path.
  Change Compare(PathTable& table, const bmp::Route& route, std::string_view attributes, bool& newly_stated);
  void Put(PathTable& table, const bmp::Route& route, std::string_view attributes);
  bool Erase(PathTable& table, const bmp::Route& route);
  void DropTable(HeldPeer& peer, bmp::Rib rib);
  void DropTables(HeldPeer& peer);
  void Clear();

  const Peers& peers() const { return peers_; }
  const AttributeTexts& texts() const { return texts_; }
  std::uint64_t paths() const { return paths_; }

 private:
  Peers peers_;
  AttributeTexts texts_;
  std::uint64_t paths_ = 0;
};

// An observation that the tables already count as said and that is not in the spool yet.
struct OwedObservation {
  const std::string* source = nullptr;
  deliver::Observation observation;
  std::string subject{};  // while the spool is replayed: of what, as a key
};

// Those that are owed, first in, first out. Keeps its memory.
class OwedBatch {
 public:
  // A place behind the last one, its payload empty.
  OwedObservation& Add() {
    if (size_ == items_.size()) items_.emplace_back();
    OwedObservation& item = items_[size_++];
    item.observation.payload.clear();
    item.observation.epoch = 0;
    return item;
  }
  const OwedObservation& operator[](std::size_t i) const { return items_[i]; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  void Clear() { size_ = 0; }
  // Those that are bound to an epoch are taken out; their sources.
  std::set<std::string> DropBound();
  // A frame of that source and payload is in the spool: what was owed before it of subjects whose key begins with
  // `about` (empty: none) is old by now. Whether the frame itself was owed.
  bool DropSaid(std::string_view source, std::string_view payload, std::string_view about);

 private:
  std::vector<OwedObservation> items_;
  std::size_t size_ = 0;
};

// Part of the outbox's durable state. What a router says changes its table and fills the batch that says so; both
// happen under `mutex`, so that a snapshot holds either both or neither. Lock order: `mutex`, then the outbox's own.
class BmpTables final : public deliver::OutboxState {
 public:
  explicit BmpTables(const BmpOptions& options);

  Mutex& mutex() const ABSL_LOCK_RETURNED(mutex_) { return mutex_; }
  // The sources that were given to the constructor; others are not kept.
  RouterTable* Find(std::string_view source);
  OwedBatch& owed() { return owed_; }
  // The object that OwedObservation::source points to; null for a source that is not configured.
  const std::string* NameOf(std::string_view source) const;
  const std::set<std::string, std::less<>>& names() const { return names_; }

  std::string_view tag() const override { return "bmp"; }
  void BeforeSave() override ABSL_NO_THREAD_SAFETY_ANALYSIS { mutex_.lock(); }
  void AfterSave() override ABSL_NO_THREAD_SAFETY_ANALYSIS { mutex_.unlock(); }
  std::string Save() const override;
  absl::Status Load(std::string_view saved) override;
  std::vector<std::string> Forgotten() const override { return forgotten_; }
  absl::Status ReplayNote(std::string_view) override { return absl::OkStatus(); }
  absl::Status ReplayFrame(std::string_view source, const frame::Frame& frame, std::uint64_t epoch) override;

 private:
  void ReplayPeer(RouterTable& table, const frame::Frame& frame, const frame::Value& payload);
  void ReplayRoute(RouterTable& table, std::string_view text, const frame::Value& payload);

  mutable Mutex mutex_;
  std::map<std::string, RouterTable, std::less<>> routers_;
  std::set<std::string, std::less<>> names_;  // of all sources that may owe something, the collector's own too
  OwedBatch owed_;
  std::vector<std::string> forgotten_;
  frame::PayloadReader reader_;
};

}  // namespace virp::collector
