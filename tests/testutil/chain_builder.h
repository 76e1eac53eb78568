// Chains with histories, for tests and benchmarks: sources, and what they say about BGP, signed with real keys and
// entered as a leader would (lib/chain/test_chain.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/chain/test_chain.h"

namespace virp::testutil {

// Payloads as the producers of docs/formats write them.
struct BgpPeer {
  std::string address = "192.0.2.2";
  std::optional<std::uint32_t> as = 64501;
  std::string router_id = "192.0.2.1";
  std::string vrf{};  // empty: not in the payload
};
std::string PeerStateJson(const BgpPeer& peer, std::string_view old_state, std::string_view new_state,
                          bool restated = false);
std::string PeerDownJson(const BgpPeer& peer, std::string_view last_state = "Established");

struct BgpPath {
  std::string prefix = "203.0.113.0/24";
  std::string rib = "adj-in-pre";
  std::uint32_t path_id = 0;
  std::optional<std::string> next_hop = "192.0.2.2";
  std::optional<std::string> as_path = "64501 64510";
  bool restated = false;
};
std::string AnnounceJson(const BgpPeer& peer, const BgpPath& path);
std::string WithdrawJson(const BgpPeer& peer, const BgpPath& path);
std::string TableCompleteJson(const BgpPeer& peer, std::string_view rib = "adj-in-pre",
                              std::uint64_t first_sequence = 0);
// Type 4; `best` empty: there is no best path any more.
std::string BestJson(const BgpPeer& peer, std::string_view prefix, const std::optional<BgpPath>& best);

class ChainBuilder : public chain::TestChain {
 public:
  static constexpr const char* kCollector1 = "spiffe://example.net/collector/collector-1";
  static constexpr const char* kCollector2 = "spiffe://example.net/collector/collector-2";

  explicit ChainBuilder(std::string origin = "virp.example.net/test") : TestChain(std::move(origin)) {}

  // Registers a source of router edge-a. A daemon signs with HMAC unless told otherwise, a BMP source with Ed25519.
  void AddDaemon(const std::string& name, frame::Suite suite = frame::Suite::kHmacSha256,
                 std::string carrier = kCollector1);
  void AddBmp(const std::string& name, std::string carrier = kCollector1);
  // A collector as a source of its own: beats and alarms.
  void AddCollector(const std::string& name, std::string carrier = kCollector1);
  void Change(const chain::Registration& registration);
  void Suspend(const std::string& source);
  void Resume(const std::string& source);
  void AddKey(const std::string& source, std::uint32_t version);
  void Compromise(const std::string& source, std::uint32_t version, UnixNanos since);
  void RaiseAlarm(const std::string& source, std::string_view cause, chain::ChannelState state);
  void ClearAlarm(const std::string& source, std::string_view cause);

  // A source says something now, under its next number; the entry's chain sequence.
  std::uint64_t Say(const std::string& source, frame::Type type, std::string payload,
                    frame::Tier tier = frame::Tier::kGreen);
  std::uint64_t PeerUp(const std::string& source, const BgpPeer& peer = {});
  std::uint64_t PeerLost(const std::string& source,
                         const BgpPeer& peer = {});  // types 1 and 2, as published; the second's entry
  std::uint64_t Announce(const std::string& source, const BgpPath& path = {}, const BgpPeer& peer = {});
  std::uint64_t Withdraw(const std::string& source, const BgpPath& path = {}, const BgpPeer& peer = {});
  std::uint64_t TableComplete(const std::string& source, std::string_view rib = "adj-in-pre",
                              std::uint64_t first_sequence = 0, const BgpPeer& peer = {});
  // A frame that never arrives: the next one of this source leaves a gap.
  void Lose(const std::string& source, std::uint64_t frames = 1) { skip_[source] += frames; }

  // A daemon's own beat.
  std::uint64_t Beat(const std::string& source);
  // A collector's beat: each source with its epoch and last number as the collector has spooled them.
  struct Line {
    std::string source;
    bool connected = true;
    std::optional<std::uint64_t> last{};   // else the last one sent, lost ones included
    std::optional<std::uint64_t> epoch{};  // else the newest
  };
  std::uint64_t Beat(const std::string& collector, const std::vector<Line>& lines);

  // The source starts again: a new boot epoch.
  void Restart(const std::string& source);
  std::uint64_t epoch(const std::string& source) const;
  std::uint64_t last_number(const std::string& source) const;
  // The frame that the source would send as this number, for late arrivals.
  Frame Numbered(const std::string& source, std::uint64_t number, frame::Type type, std::string payload) const;

 private:
  std::map<std::string, std::uint64_t> skip_, epochs_;
  std::map<std::string, std::uint32_t> key_versions_;
};

}  // namespace virp::testutil
