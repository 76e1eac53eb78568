#include "services/rtr-bridge/domain/reference.h"

#include <chrono>
#include <utility>

#include "services/rtr-bridge/domain/candidate.h"

namespace virp::rtr_bridge {
namespace {

constexpr UnixNanos kHour = 3'600'000'000'000;
constexpr std::size_t kFewInAnHour = 10;  // of a kind: so many may come or go one by one

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
  if (Set lasting = WithoutExpired(payloads_, now, expiries); lasting != payloads_) {
    payloads_ = std::move(lasting);
    change_ = rtr::Diff(*payloads_, *served);
  }
  const rtr::Delta whole = delta != nullptr ? rtr::Compose(change_, *delta) : rtr::Diff(*payloads_, next);
  return FindChanges(options, Counts::Of(*payloads_), whole, kFewInAnHour, std::chrono::nanoseconds(now - since_));
}

}  // namespace virp::rtr_bridge
