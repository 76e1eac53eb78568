// The set that a guard holds, until somebody accepts it, its time is over, or sources say something else. Plain values:
// not thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "lib/base/clock.h"
#include "lib/vrp/set.h"
#include "services/rtr-bridge/domain/candidate.h"
#include "services/rtr-bridge/domain/generation.h"
#include "services/rtr-bridge/domain/guards.h"

namespace virp::rtr_bridge {

class Quarantine {
 public:
  // `guards` outlives it. `hold_max`: how long a set is held; nothing: until it is accepted.
  Quarantine(const GuardOptions& guards, std::optional<std::chrono::nanoseconds> hold_max)
      : guards_(guards), hold_max_(hold_max) {}

  // Holds the candidate, which would be generation `number`, in place of what was held. What is about the same as that
  // goes on with its time: an upstream that changes all the time must not be held for ever, and what a person has seen
  // for an hour must not be replaced by something worse in the last second. True when it has another name than before.
  bool Hold(Candidate candidate, std::vector<Objection> objections, std::uint64_t number, UnixNanos now,
            vrp::FirstExpiry& expiries);
  // What was held, which then is no longer.
  Candidate Release() { return std::exchange(held_, std::nullopt)->candidate; }
  void Clear() { held_.reset(); }

  const HeldGeneration* held() const { return held_ ? &held_->told : nullptr; }
  // Whether it is held under that name, or was before payloads of it expired, or of what is served meanwhile.
  bool IsNamed(std::uint64_t number, const Hash& sha256) const;
  // When its time is over.
  std::optional<UnixNanos> until() const { return held_ ? held_->told.until : std::nullopt; }

 private:
  struct Held {
    HeldGeneration told;
    std::vector<Objection> objections;
    Candidate candidate;
    std::vector<std::pair<std::uint64_t, Hash>> names;
  };
  bool GoesOn(const vrp::Payloads& before, const Candidate& candidate, const std::vector<Objection>& objections) const;

  const GuardOptions& guards_;
  const std::optional<std::chrono::nanoseconds> hold_max_;
  std::optional<Held> held_;
};

}  // namespace virp::rtr_bridge
