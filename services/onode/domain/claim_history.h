// For tests: random histories of a chain, made of everything that can befall one. Few peers, prefixes and subjects, so
// that statements meet each other.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "services/onode/domain/claim_test_util.h"

namespace virp::onode {

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : engine_(seed) {}
  std::uint64_t Below(std::uint64_t n) { return engine_() % n; }
  std::uint64_t Between(std::uint64_t from, std::uint64_t to) { return from + Below(to - from + 1); }
  bool OneIn(std::uint64_t n) { return Below(n) == 0; }
  template <typename T>
  T Of(std::initializer_list<T> values) {
    return values.begin()[Below(values.size())];
  }
  template <typename T>
  const T& In(const std::vector<T>& values) {
    return values[Below(values.size())];
  }

 private:
  std::mt19937_64 engine_;
};

// Few peers, prefixes and subjects, so that statements meet each other.
class History {
 public:
  explicit History(std::uint64_t seed) : dice_(seed) {
    speakers_ = {"daemon", "bmp"};
    scene.AddDaemon("daemon", dice_.Of({frame::Suite::kHmacSha256, frame::Suite::kEd25519}));
    scene.AddBmp("bmp", dice_.OneIn(3) ? Scene::kCollector1 : Scene::kCollector2);
    if (dice_.OneIn(3)) {
      chain::Registration r = scene.Template("second");
      r.carried_by = {Scene::kCollector1, Scene::kCollector2};
      r.types.push_back(64);
      r.subject_prefixes = {"dns/"};
      scene.Register(r);
      speakers_.emplace_back("second");
    }
    if (dice_.OneIn(5)) {
      chain::Registration r = scene.Template("old");
      r.min_frame_version = 1;
      scene.Register(r);
      speakers_.emplace_back("old");
    }
    if (dice_.OneIn(3)) {  // the sessions' other end
      chain::Registration r = scene.Template("far");
      r.routers[0].name = "edge-b";
      r.routers[0].addresses = {"192.0.2.2"};
      r.carried_by = {Scene::kCollector2};
      scene.Register(r);
      speakers_.emplace_back("far");
      r = scene.book.FindByName("daemon")->registration;
      r.routers[0].addresses = {"192.0.2.3"};
      if (dice_.OneIn(4)) r.routers[0].addresses.emplace_back("192.0.2.2");
      scene.Change(r);
    }
    scene.AddCollector("collector-1");
    scene.AddCollector("collector-2", Scene::kCollector2);
    for (const std::string& name : speakers_) versions_[name] = 1;
    steps_ = dice_.Between(5, 45);
  }

  void Run() {
    for (std::uint64_t i = 0; i < steps_; ++i) {
      if (dice_.OneIn(2))
        scene.Advance(dice_.OneIn(15) ? dice_.Between(20, 50) * Scene::kSecond : dice_.Below(6 * Scene::kSecond));
      Step();
    }
  }

  Scene scene;

 private:
  void Step() {
    const std::uint64_t kind = dice_.Below(100);
    const std::string& source = dice_.In(speakers_);
    if (kind < 55) return Speak(source, Number(source));
    if (kind < 62) return FillGap(source);
    if (kind < 80) return Beat();
    if (kind < 84) return Restart(source);
    if (kind < 88) return Alarm(source);
    if (kind < 91) return dice_.OneIn(2) ? scene.Suspend(source) : scene.Resume(source);
    if (kind < 94) return Keys(source);
    if (kind < 96) return Register(source);
    if (kind < 97) return ResetEpoch(source);
    OwnLossRecord(source);
  }

  std::uint64_t Epoch(const std::string& source) {
    const auto it = epochs_.find(source);
    if (it != epochs_.end()) return it->second;
    return epochs_[source] = source == "old" ? scene.now : Scene::kStart + 1;
  }
  std::uint64_t Next(const std::string& source) {
    const auto& epochs = scene.channel(source).epochs;
    const auto it = epochs.find(Epoch(source));
    return it == epochs.end() ? 1 : it->second.next;
  }
  std::uint64_t Number(const std::string& source) { return Next(source) + (dice_.OneIn(8) ? dice_.Between(1, 2) : 0); }

  void Send(const std::string& source, std::uint64_t number, frame::Type type, std::string payload, frame::Tier tier) {
    chain::TestChain::Frame f;
    f.type = type;
    f.payload = std::move(payload);
    f.number = number;
    f.epoch = Epoch(source);
    f.tier = tier;
    const auto version = versions_.find(source);
    f.key_version = version == versions_.end() ? 1 : version->second;
    f.time = scene.now;
    if (source == "old") {
      f.spelling = frame::Spelling::kV1Le;
      if (number == 1 || !started_.contains(source)) f.time = f.epoch;
      started_.insert(source);
    } else if (dice_.OneIn(6)) {
      // Clocks are off, sometimes by more than the skew.
      const std::uint64_t by = dice_.Below(dice_.OneIn(4) ? 120 * Scene::kSecond : 4 * Scene::kSecond);
      f.time = dice_.OneIn(2) ? scene.now + by : scene.now - by;
    }
    scene.Send(source, f);  // refused or not: both are histories
  }

  testutil::BgpPeer Peer() {
    testutil::BgpPeer peer;
    peer.address = dice_.Of<const char*>({"192.0.2.2", "192.0.2.2", "192.0.2.3"});
    if (dice_.OneIn(8)) peer.as = dice_.OneIn(2) ? std::nullopt : std::optional<std::uint32_t>(64999);
    if (dice_.OneIn(25)) peer.router_id = "198.51.100.9";  // another router: out of scope
    return peer;
  }
  testutil::BgpPath Path() {
    testutil::BgpPath path;
    path.prefix = dice_.Of<const char*>({"203.0.113.0/24", "203.0.113.0/24", "198.51.100.0/24"});
    path.rib = dice_.Of<const char*>({"adj-in-pre", "adj-in-pre", "adj-in-pre", "loc"});
    path.path_id = dice_.OneIn(5) ? 1 : 0;
    path.restated = dice_.OneIn(4);
    if (dice_.OneIn(3)) path.as_path = dice_.Of<const char*>({"64501 64520", "64501 {64510}", ""});
    if (dice_.OneIn(8)) path.as_path.reset();
    if (dice_.OneIn(5)) path.next_hop = dice_.OneIn(2) ? std::nullopt : std::optional<std::string>("192.0.2.77");
    return path;
  }
  std::string Table(const testutil::BgpPeer& peer, const std::string& source) {
    const std::string rib = Path().rib;
    const std::uint64_t next = Next(source);
    const std::uint64_t first =
        dice_.OneIn(2) ? 0 : dice_.Between(next > 6 ? next - 6 : 1, next + (dice_.OneIn(20) ? 3 : 0));
    std::string json = TableCompleteJson(peer, rib, first);
    if (dice_.OneIn(8))
      json.replace(json.size() - 1, 1, dice_.OneIn(2) ? R"(,"prefixes":["203.0.112.0/23"]})" : R"(,"prefixes":[]})");
    return json;
  }

  std::string Summary(const testutil::BgpPeer& peer) {
    std::string json = TableCompleteJson(peer, Path().rib);
    json.replace(json.find("table_complete"), 14, "routes_summarised");
    json.replace(json.size() - 1, 1, dice_.Of<const char*>({R"(,"open":true})", R"(,"open":false})", "}"}));
    return json;
  }

  void Speak(const std::string& source, std::uint64_t number) {
    const frame::Tier tier = dice_.OneIn(5)     ? dice_.Of({frame::Tier::kYellow, frame::Tier::kRed})
                             : dice_.OneIn(150) ? frame::Tier::kBlack
                                                : frame::Tier::kGreen;
    const testutil::BgpPeer peer = Peer();
    const testutil::BgpPath path = Path();
    testutil::BgpPeer holder = peer;
    if (path.rib == "loc" && dice_.OneIn(2)) holder.address = "0.0.0.0";
    switch (dice_.Below(20)) {
      case 0:
      case 1:
      case 2:
      case 3:
        return Send(source, number, frame::Type::kPeerStatusChanged,
                    PeerStateJson(peer, "OpenConfirm", "Established", dice_.OneIn(4)), tier);
      case 4:
        return Send(source, number, frame::Type::kPeerStatusChanged,
                    PeerStateJson(peer, "Established", dice_.Of<const char*>({"Idle", "Active"}), dice_.OneIn(4)),
                    tier);
      case 5:
        return Send(source, number, frame::Type::kPeerBackwardTransition,
                    PeerDownJson(peer, dice_.Of<const char*>({"Established", "Established", "OpenSent"})), tier);
      case 6:
      case 7:
      case 8:
      case 9:
        return Send(source, number, frame::Type::kBgpProcess, AnnounceJson(holder, path), tier);
      case 10:
      case 11:
        return Send(source, number, frame::Type::kBgpProcess, WithdrawJson(holder, path), tier);
      case 12:
        if (dice_.OneIn(2)) return Send(source, number, frame::Type::kBgpProcess, Summary(holder), tier);
        [[fallthrough]];
      case 13:
      case 14:
        return Send(source, number, frame::Type::kBgpProcess, Table(holder, source), tier);
      case 15:
      case 16: {
        std::string best = BestJson(peer, path.prefix, dice_.OneIn(4) ? std::nullopt : std::optional(path));
        if (dice_.OneIn(10)) best.replace(best.find("bestpath_change"), 15, "bestpath_odd");
        return Send(source, number, frame::Type::kBgpRouteUpdate, std::move(best), tier);
      }
      case 17:
        return Send(source, number,
                    dice_.Of({frame::Type::kPeerStatusChanged, frame::Type::kBgpProcess, frame::Type::kBgpRouteUpdate,
                              frame::Type{64}}),
                    "{oops", tier);
      default:
        return Send(source, number, frame::Type{64},
                    fmt::format(R"({{"domain":"dns","subject":"{}","event":"{}","n":{}}})",
                                dice_.Of<const char*>({"a", "b"}), dice_.Of<const char*>({"e1", "e2"}), dice_.Below(3)),
                    tier);
    }
  }

  void FillGap(const std::string& source) {
    for (const auto& [epoch, state] : scene.channel(source).epochs) {
      if (state.missing.empty() || dice_.OneIn(3)) continue;
      const chain::MissingRange range = dice_.In(state.missing);
      const std::uint64_t now = Epoch(source);
      epochs_[source] = epoch;
      Speak(source, dice_.Between(range.from, range.to));
      epochs_[source] = now;
      return;
    }
  }

  void Beat() {
    if (dice_.OneIn(3)) {
      const std::string source = dice_.Of<const char*>({"daemon", "bmp"});
      return Send(source, Number(source), frame::Type::kHeartbeat, R"({"domain":"virp","event":"heartbeat"})",
                  frame::Tier::kGreen);
    }
    chain::Heartbeat heartbeat;
    for (const std::string& source : speakers_) {
      if (dice_.OneIn(5)) continue;
      chain::Beat line;
      line.source_id = frame::SourceIdOf(source);
      line.epoch =
          dice_.OneIn(20) ? dice_.Of({scene.now, Epoch(source) - 1, scene.now + 10 * Scene::kSecond}) : Epoch(source);
      line.last_sequence = Next(source) - 1;
      if (dice_.OneIn(6))
        line.last_sequence = dice_.Between(line.last_sequence > 2 ? line.last_sequence - 2 : 0, line.last_sequence + 2);
      line.connected = !dice_.OneIn(7);
      heartbeat.sources.push_back(line);
    }
    const std::string collector = dice_.Of<const char*>({"collector-1", "collector-2"});
    Send(collector, Number(collector), frame::Type::kHeartbeat, chain::BuildHeartbeat(heartbeat), frame::Tier::kGreen);
  }

  void Restart(const std::string& source) {
    epochs_[source] = std::max(scene.now, Epoch(source) + 1);
    started_.erase(source);
    if (dice_.OneIn(2)) Speak(source, 1);
  }

  void Alarm(const std::string& speaker) {
    const std::string source = dice_.OneIn(4) ? "collector-1" : speaker;
    switch (dice_.Below(4)) {
      case 0:
        return scene.RaiseAlarm(source, "BAD_TAG", chain::ChannelState::kAlarmed);
      case 1:
        return scene.RaiseAlarm(source, "OPERATOR",
                                dice_.Of({chain::ChannelState::kAlarmed, chain::ChannelState::kBlack}));
      default:
        for (const char* cause : {"BAD_TAG", "OPERATOR", "KEY_COMPROMISED", "TIER_BLACK"})
          scene.ClearAlarm(source, cause);
    }
  }

  void Keys(const std::string& speaker) {
    const std::string source = dice_.OneIn(4) ? "collector-1" : speaker;
    auto version = versions_.emplace(source, 1).first;
    if (dice_.OneIn(2)) {
      scene.Compromise(source, version->second,
                       scene.now - dice_.Below(20 * Scene::kSecond) + (dice_.OneIn(4) ? 30 * Scene::kSecond : 0));
      if (dice_.OneIn(2)) scene.ClearAlarm(source, "KEY_COMPROMISED");
    }
    if (dice_.OneIn(4)) return;
    scene.AddKey(source, ++version->second);
  }

  void Register(const std::string& source) {
    chain::Registration r = scene.book.FindByName(source)->registration;
    switch (dice_.Below(4)) {
      case 0:
        r.routers[0].name = r.routers[0].name == "edge-a" ? "edge-b" : "edge-a";
        break;
      case 1:
        r.carried_by = {dice_.OneIn(2) ? Scene::kCollector1 : Scene::kCollector2};
        break;
      case 2:
        r.routers[0].vrfs =
            r.routers[0].vrfs[0] == "default" ? std::vector<std::string>{"blue"} : std::vector<std::string>{"default"};
        break;
      default:
        r.types =
            dice_.OneIn(2) ? std::vector<std::uint8_t>{1, 2, 22, 24} : std::vector<std::uint8_t>{1, 2, 3, 4, 22, 24};
    }
    scene.Change(r);
  }

  void ResetEpoch(const std::string& source) {
    chain::SourceEvent event;
    event.event = chain::SourceEvent::Event::kEpochReset;
    event.source = source;
    event.epoch = Epoch(source);
    if (scene.book.CheckSourceEvent(event).ok()) scene.Event(event);
  }

  void OwnLossRecord(const std::string& source) {
    const std::uint64_t next = Next(source);
    Send(source, next + 2, frame::Type::kGap,
         chain::BuildGap({source, Epoch(source), next, next + 1, chain::Gap::Why::kOverflow}), frame::Tier::kYellow);
  }

  Dice dice_;
  std::uint64_t steps_ = 0;
  std::vector<std::string> speakers_;
  std::map<std::string, std::uint64_t> epochs_;
  std::map<std::string, std::uint32_t> versions_;
  std::set<std::string> started_;
};

}  // namespace virp::onode
