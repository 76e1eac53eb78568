#include "services/rtr-bridge/transport/door.h"

#include <utility>

namespace virp::rtr_bridge {
namespace {

// Programs of this host: a proxy, a tunnel, a tool that plays many routers.
bool IsOwnHost(const IpAddress& peer) {
  static const IpAddress kV4 = IpAddress::V4(0x7F000001U), kV6 = *IpAddress::Parse("::1");
  return peer == kV4 || peer == kV6;
}

}  // namespace

std::shared_ptr<Door::Seat> Door::Admit(const IpAddress& peer, const Count& listener, bool stranger) {
  {
    const auto full = [](std::size_t count, std::size_t limit) { return limit != 0 && count >= limit; };
    const MutexLock lock(mutex_);
    const auto found = by_address_.find(peer);
    const Same same = found == by_address_.end() ? Same{} : found->second;
    if (inside_ >= limits_.connections || (full(same.all, limits_.per_address) && !IsOwnHost(peer)) ||
        (stranger && full(same.strangers, limits_.strangers_per_address))) {
      ++counters_.too_many;
      return nullptr;
    }
    by_address_[peer] = {same.all + 1, same.strangers + (stranger ? 1 : 0)};
    ++inside_;
  }
  ++*listener;
  ++counters_.accepted;
  return std::make_shared<Seat>(*this, peer, listener, stranger);
}

void Door::LogIn(Seat& seat) {
  const MutexLock lock(mutex_);
  if (std::exchange(seat.stranger_, false)) --by_address_[seat.peer_].strangers;
}

void Door::Leave(Seat& seat) {
  const MutexLock lock(mutex_);
  const auto same = by_address_.find(seat.peer_);
  if (seat.stranger_) --same->second.strangers;
  if (--same->second.all == 0) by_address_.erase(same);
  --inside_;
  --*seat.listener_;
}

}  // namespace virp::rtr_bridge
