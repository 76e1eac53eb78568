#include "services/rtr-bridge/domain/quarantine.h"

#include <algorithm>

namespace virp::rtr_bridge {
namespace {

constexpr std::size_t kMostNames = 100;  // of one held generation

}  // namespace

bool Quarantine::Hold(Candidate candidate, std::vector<Objection> objections, std::uint64_t number, UnixNanos now,
                      vrp::FirstExpiry& expiries) {
  const auto before = held_ ? WithoutExpired(held_->candidate.payloads, now, expiries) : nullptr;
  const bool goes_on = held_ && GoesOn(*before, candidate, objections);
  const bool same = held_ && (held_->candidate.sha256 == candidate.sha256 || vrp::HashOf(*before) == candidate.sha256);
  Held next;
  HeldGeneration& told = next.told;
  told.number = number;
  told.since = goes_on ? held_->told.since : now;
  if (hold_max_) told.until = told.since + static_cast<UnixNanos>(hold_max_->count());
  for (const Objection& objection : objections) told.reasons.push_back(objection.text);
  told.counts = Counts::Of(*candidate.payloads);
  told.sha256 = candidate.sha256;
  if (same) next.names = std::move(held_->names);
  const std::pair name(told.number, told.sha256);
  const bool is_new = next.names.empty() || next.names.back() != name;
  if (is_new) next.names.push_back(name);
  if (next.names.size() > kMostNames) next.names.erase(next.names.begin());
  next.objections = std::move(objections);
  next.candidate = std::move(candidate);
  next.candidate.delta.reset();  // routers may have something else by then
  held_ = std::move(next);
  return is_new;
}

bool Quarantine::GoesOn(const vrp::Payloads& before, const Candidate& candidate,
                        const std::vector<Objection>& objections) const {
  const bool known = std::all_of(objections.begin(), objections.end(), [&](const Objection& objection) {
    return std::any_of(held_->objections.begin(), held_->objections.end(),
                       [&](const Objection& one) { return one.about == objection.about; });
  });
  return known && FindChanges(guards_, before, *candidate.payloads, 1, {}).empty();
}

bool Quarantine::IsNamed(std::uint64_t number, const Hash& sha256) const {
  return held_ && std::find(held_->names.begin(), held_->names.end(), std::pair(number, sha256)) != held_->names.end();
}

}  // namespace virp::rtr_bridge
