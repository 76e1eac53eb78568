#include "services/collector/domain/bmp_rules.h"

#include <algorithm>
#include <functional>

namespace virp::collector {
namespace {

std::vector<Prefix> PrefixesOf(const BmpRedRules& options) {
  std::vector<Prefix> out;
  out.reserve(options.protected_prefixes.size());
  for (const auto& entry : options.protected_prefixes) out.push_back(entry.prefix);
  return out;
}

}  // namespace

PrefixList::PrefixList(const std::vector<Prefix>& prefixes) {
  for (const Prefix& prefix : prefixes) {
    prefixes_.insert(prefix);
    (prefix.family() == IpFamily::kV4 ? lengths_v4_ : lengths_v6_).push_back(prefix.length());
  }
  for (auto* lengths : {&lengths_v4_, &lengths_v6_}) {
    std::sort(lengths->begin(), lengths->end(), std::greater<>());
    lengths->erase(std::unique(lengths->begin(), lengths->end()), lengths->end());
  }
}

const Prefix* PrefixList::Cover(const Prefix& prefix) const {
  for (const int length : prefix.family() == IpFamily::kV4 ? lengths_v4_ : lengths_v6_) {
    if (length > prefix.length()) continue;
    const auto at = prefixes_.find(Prefix::MakeMasked(prefix.address(), length));
    if (at != prefixes_.end()) return &*at;
  }
  return nullptr;
}

RedRules::RedRules(const BmpRedRules& options, const RouterTable& table)
    : options_(options), list_(PrefixesOf(options)) {
  if (list_.empty()) return;
  for (const auto& [key, peer] : table.peers()) {
    for (std::size_t rib = 0; rib < kRibs; ++rib) {
      if (peer->tables[rib] == nullptr) continue;
      peer->tables[rib]->ForEach(
          [&](const bmp::Route& route, const HeldPath&) { Added(*peer, static_cast<bmp::Rib>(rib), route.prefix); });
    }
  }
}

std::string_view RedRules::OfAnnouncement(const Prefix& prefix, std::optional<std::uint32_t> origin) const {
  const Prefix* cover = list_.empty() ? nullptr : list_.Cover(prefix);
  if (cover == nullptr) return {};
  for (const auto& entry : options_.protected_prefixes) {
    if (entry.prefix != *cover) continue;
    const bool known = origin && std::find(entry.origins.begin(), entry.origins.end(), *origin) != entry.origins.end();
    return known ? std::string_view() : kRedOrigin;
  }
  return {};
}

std::string_view RedRules::OfWithdrawal(const HeldPeer& peer, bmp::Rib rib, const Prefix& prefix) const {
  const auto at = held_.empty() ? held_.end() : held_.find(View{peer.vrf, rib, prefix});
  if (at == held_.end()) return {};
  std::uint64_t paths = 0;
  for (const auto& [holder, count] : at->second) paths += count;
  return paths == 1 ? kRedGone : std::string_view();
}

std::string_view RedRules::OfLoss(const HeldPeer& peer, bool maximum_prefix,
                                  std::chrono::steady_clock::time_point now) {
  if (options_.sessions_lost > 0) {
    losses_.push_back(now);
    while (losses_.size() > options_.sessions_lost + std::size_t{1} || losses_.front() + options_.within < now) {
      losses_.pop_front();
    }
  }
  for (const auto& [view, holders] : held_) {
    if (view.vrf == peer.vrf && holders.size() == 1 && holders.begin()->first == &peer) return kRedGone;
  }
  if (options_.maximum_prefix && maximum_prefix) return kRedMaximumPrefix;
  return options_.sessions_lost > 0 && losses_.size() > options_.sessions_lost ? kRedSessions : std::string_view();
}

std::string_view RedRules::OfDownPeer(std::chrono::steady_clock::time_point now) const {
  if (options_.sessions_lost == 0) return {};
  const auto lately =
      std::count_if(losses_.begin(), losses_.end(), [&](const auto lost) { return lost + options_.within >= now; });
  return static_cast<std::size_t>(lately) > options_.sessions_lost ? kRedSessions : std::string_view();
}

void RedRules::Added(const HeldPeer& peer, bmp::Rib rib, const Prefix& prefix) {
  if (list_.empty()) return;
  const Prefix* cover = list_.Cover(prefix);
  if (cover != nullptr && *cover == prefix) ++held_[View{peer.vrf, rib, prefix}][&peer];
}

void RedRules::Removed(const HeldPeer& peer, bmp::Rib rib, const Prefix& prefix) {
  const auto at = held_.empty() ? held_.end() : held_.find(View{peer.vrf, rib, prefix});
  if (at == held_.end()) return;
  const auto holder = at->second.find(&peer);
  if (holder == at->second.end()) return;
  if (--holder->second == 0) at->second.erase(holder);
  if (at->second.empty()) held_.erase(at);
}

void RedRules::RemovedAll(const HeldPeer& peer) {
  for (auto at = held_.begin(); at != held_.end();) {
    at->second.erase(&peer);
    const auto now = at++;
    if (now->second.empty()) held_.erase(now);
  }
}

}  // namespace virp::collector
