// Which prefixes are reported, and the RED rules: plain look-ups that are asked once per route.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "lib/base/ip.h"
#include "services/collector/domain/bmp_table.h"

namespace virp::collector {

// A list of prefixes that stands for them and all their more specifics. Asking costs one look-up per length in the
// list.
class PrefixList {
 public:
  explicit PrefixList(const std::vector<Prefix>& prefixes);
  // The prefix of the list that covers it, the longest; null if none.
  const Prefix* Cover(const Prefix& prefix) const;
  bool empty() const { return prefixes_.empty(); }

 private:
  absl::flat_hash_set<Prefix> prefixes_;
  std::vector<int> lengths_v4_, lengths_v6_;  // longest first
};

inline constexpr std::string_view kRedOrigin = "protected_prefix_origin";
inline constexpr std::string_view kRedGone = "protected_prefix_gone";
inline constexpr std::string_view kRedSessions = "sessions_lost";
inline constexpr std::string_view kRedMaximumPrefix = "maximum_prefix";

// The RED rules of one router, and what they must count. Rules answer with their name, empty when nothing is RED.
class RedRules {
 public:
  RedRules(const BmpRedRules& options, const RouterTable& table);

  bool Protects(const Prefix& prefix) const { return !list_.empty() && list_.Cover(prefix) != nullptr; }
  // `origin`: the last AS of the path, none after a set; the router's own for an empty path.
  std::string_view OfAnnouncement(const Prefix& prefix, std::optional<std::uint32_t> origin) const;
  // Of a path that is about to be taken away.
  std::string_view OfWithdrawal(const HeldPeer& peer, bmp::Rib rib, const Prefix& prefix) const;
  // Of a peer whose tables are about to go.
  std::string_view OfLoss(const HeldPeer& peer, bool maximum_prefix, std::chrono::steady_clock::time_point now);

  // Of a peer that was lost before: whether as many as that were lost lately.
  std::string_view OfDownPeer(std::chrono::steady_clock::time_point now) const;

  void Added(const HeldPeer& peer, bmp::Rib rib, const Prefix& prefix);
  void Removed(const HeldPeer& peer, bmp::Rib rib, const Prefix& prefix);
  void RemovedAll(const HeldPeer& peer);

 private:
  struct View {  // one protected prefix in one view of a VRF
    std::string vrf;
    bmp::Rib rib{};
    Prefix prefix;
    friend bool operator==(const View&, const View&) = default;
    template <typename H>
    friend H AbslHashValue(H state, const View& v) {
      return H::combine(std::move(state), v.vrf, v.rib, v.prefix);
    }
  };
  using Holders = absl::flat_hash_map<const HeldPeer*, std::uint64_t>;  // paths by peer

  const BmpRedRules& options_;
  PrefixList list_;
  absl::flat_hash_map<View, Holders> held_;
  std::deque<std::chrono::steady_clock::time_point> losses_;  // at most one more than the rule's number
};

}  // namespace virp::collector
