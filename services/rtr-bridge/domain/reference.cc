#include "services/rtr-bridge/domain/reference.h"

#include <chrono>
#include <type_traits>
#include <utility>

#include "services/rtr-bridge/domain/candidate.h"

namespace virp::rtr_bridge {
namespace {

constexpr UnixNanos kHour = 3'600'000'000'000;
constexpr std::size_t kFewInAnHour = 10;  // of a kind: so many may come or go one by one

// What is in both lasts for as long as the later of the two says.
template <typename T>
void Prolong(std::vector<T>& set, const std::vector<T>& by) {
  auto other = by.begin();
  for (T& payload : set) {
    while (other != by.end() && Order(*other, payload) < 0) ++other;
    if (other == by.end()) return;
    if (Order(*other, payload) != 0) continue;
    if constexpr (std::is_same_v<T, vrp::Aspa>) {
      if (other->providers != payload.providers) continue;  // another ASPA
    }
    payload.expires = vrp::LaterExpiry(payload.expires, other->expires);
  }
}

std::shared_ptr<const vrp::Payloads> Prolonged(vrp::Payloads set, const vrp::Payloads& by) {
  Prolong(set.vrps4, by.vrps4);
  Prolong(set.vrps6, by.vrps6);
  Prolong(set.router_keys, by.router_keys);
  Prolong(set.aspas, by.aspas);
  return std::make_shared<const vrp::Payloads>(std::move(set));
}

}  // namespace

void Reference::Begin(Set served, UnixNanos now) {
  payloads_ = std::move(served);
  since_ = now;
  change_ = {};
}

void Reference::Follow(const rtr::Delta& delta) {
  change_ = rtr::Compose(change_, delta);
}

std::vector<Objection> Reference::FindObjections(const GuardOptions& options, const Set& served,
                                                 const rtr::Delta* delta, const vrp::Payloads& next, UnixNanos now,
                                                 vrp::FirstExpiry& expiries) {
  if (now < since_ || now - since_ >= kHour) Begin(served, now);
  if (payloads_ == served && delta != nullptr) return {};  // guards have compared with that
  if (WithoutExpired(payloads_, now, expiries) != payloads_) {
    // Its expiries are those of back then, and were renewed since.
    payloads_ = WithoutExpired(Prolonged(*payloads_, *served), now, expiries);
    change_ = rtr::Diff(*payloads_, *served);
  }
  const rtr::Delta whole = delta != nullptr ? rtr::Compose(change_, *delta) : rtr::Diff(*payloads_, next);
  return FindChanges(options, Counts::Of(*payloads_), whole, kFewInAnHour, std::chrono::nanoseconds(now - since_));
}

}  // namespace virp::rtr_bridge
