#include "services/keymgr/domain/router_roll.h"

#include <algorithm>
#include <array>

#include "lib/base/error_info.h"
#include "lib/base/status.h"

namespace virp::keymgr {
namespace {

using State = RouterKeyState;

constexpr std::array<std::string_view, 9> kNames{"CREATED",  "PUBLISHED", "STAGING",   "READY",    "ACTIVE",
                                                 "TWILIGHT", "REVOKED",   "WITHDRAWN", "DESTROYED"};

absl::Status NotYet(const RollKey& key, std::string_view why) {
  return WithReason(FailedPrecondition("version {} is {}: {}", key.version, RouterKeyStateName(key.state), why),
                    "ROUTER_KEY_STATE");
}

absl::StatusOr<RollKey*> Get(RouterRoll& roll, std::uint32_t version) {
  const auto found = std::ranges::find(roll.keys, version, &RollKey::version);
  if (found == roll.keys.end()) return NotFound("there is no version {}", version);
  return &*found;
}

void Move(RollKey& key, State to, UnixNanos now) {
  key.state = to;
  key.since = now;
}

bool IsNext(const RollKey& key) {
  return key.state <= State::kReady && !key.compromised;
}

// What time moves this key to, and when; nothing when it waits for somebody.
struct Due {
  State to;
  UnixNanos at;
};
std::optional<Due> DueOf(const RollKey& key, const RollTimes& times) {
  switch (key.state) {
    case State::kPublished:
      return Due{State::kStaging, key.since};
    case State::kStaging:
      return Due{State::kReady, key.since + times.staging};
    case State::kTwilight:
      return Due{State::kWithdrawn, key.not_after};
    case State::kRevoked:
      return Due{State::kWithdrawn, std::min(key.since + times.propagation, std::max(key.since, key.not_after))};
    case State::kWithdrawn:
      return Due{State::kDestroyed, key.since + times.destroy_after};
    default:
      return std::nullopt;
  }
}

}  // namespace

std::string_view RouterKeyStateName(RouterKeyState state) {
  return kNames[static_cast<std::size_t>(state) - 1];
}

const RollKey* RouterRoll::Find(std::uint32_t version) const {
  const auto found = std::ranges::find(keys, version, &RollKey::version);
  return found == keys.end() ? nullptr : &*found;
}

const RollKey* RouterRoll::Active() const {
  const auto found = std::ranges::find(keys, State::kActive, &RollKey::state);
  return found == keys.end() ? nullptr : &*found;
}

const RollKey* RouterRoll::Next() const {
  const auto found = std::find_if(keys.rbegin(), keys.rend(), IsNext);
  return found == keys.rend() ? nullptr : &*found;
}

absl::Status AddNext(RouterRoll& roll, std::uint32_t version, UnixNanos now) {
  if (const RollKey* next = roll.Next(); next != nullptr)
    return NotYet(*next, "it is the next key; activate or revoke it");
  if (!roll.keys.empty() && roll.keys.back().version >= version) {
    return InvalidArgument("version {} does not come behind {}", version, roll.keys.back().version);
  }
  RollKey& key = roll.keys.emplace_back();
  key.version = version;
  key.since = now;
  return absl::OkStatus();
}

absl::Status MarkPublished(RouterRoll& roll, std::uint32_t version, UnixNanos not_after, UnixNanos now) {
  ASSIGN_OR_RETURN(RollKey* const key, Get(roll, version));
  if (key->compromised) return NotYet(*key, "it is compromised and never certified again");
  if (not_after <= now) return NotYet(*key, "the certificate has expired");
  // A renewal: the same key, and relying parties have it already (RFC 8634 section 3.1).
  const bool renewal = key->state >= State::kPublished && key->state <= State::kTwilight;
  if (key->state != State::kCreated && !renewal) return NotYet(*key, "its time is over; make another key");
  key->not_after = not_after;
  if (!renewal) Move(*key, State::kPublished, now);
  return absl::OkStatus();
}

absl::Status Activate(RouterRoll& roll, std::uint32_t version, bool emergency, UnixNanos now) {
  ASSIGN_OR_RETURN(RollKey* const key, Get(roll, version));
  if (key->compromised) return NotYet(*key, "it is compromised");
  if (key->state == State::kCreated)
    return NotYet(*key, "nobody can check what it signs: publish its certificate first");
  if (key->state > State::kReady) return NotYet(*key, "only the next key can be activated");
  if (key->state < State::kReady && !emergency)
    return NotYet(*key, "relying parties may not have it yet: wait, or say it is an emergency");
  if (key->not_after <= now) return NotYet(*key, "its certificate has expired: renew it first");
  for (RollKey& other : roll.keys) {
    if (other.state == State::kActive) Move(other, State::kTwilight, now);
  }
  Move(*key, State::kActive, now);
  roll.continuity.reset();
  return absl::OkStatus();
}

absl::Status MarkReplaced(RouterRoll& roll, std::uint32_t version) {
  ASSIGN_OR_RETURN(RollKey* const key, Get(roll, version));
  if (key->state != State::kTwilight) return NotYet(*key, "only a key whose successor signs can be done with");
  key->replaced = true;
  return absl::OkStatus();
}

absl::Status MarkRevoked(RouterRoll& roll, std::uint32_t version, std::optional<Continuity> continuity, bool certified,
                         UnixNanos now) {
  ASSIGN_OR_RETURN(RollKey* const key, Get(roll, version));
  if (key->state == State::kCreated && !certified) return NotYet(*key, "it has no certificate to revoke");
  if (key->state >= State::kRevoked) return certified ? absl::OkStatus() : NotYet(*key, "it is over already");
  if (key->state == State::kActive) {
    if (!continuity.has_value()) return NotYet(*key, "the router signs with it: say how it goes on meanwhile");
    if (*continuity == Continuity::kKeepSigning) {
      return NotYet(*key, "to keep signing, activate the next key first, then revoke this one");
    }
    roll.continuity = continuity;
  }
  if (key->state == State::kTwilight && !key->replaced && !key->compromised) {
    return NotYet(*key,
                  "UPDATEs that it signed may still be in the network: let the router confirm that they are replaced");
  }
  Move(*key, State::kRevoked, now);
  return absl::OkStatus();
}

absl::Status MarkCompromised(RouterRoll& roll, std::uint32_t version, UnixNanos now) {
  ASSIGN_OR_RETURN(RollKey* const key, Get(roll, version));
  key->compromised = true;
  if (key->state == State::kCreated) Move(*key, State::kWithdrawn, now);  // nobody has ever seen it
  return absl::OkStatus();
}

std::vector<std::uint32_t> Advance(RouterRoll& roll, const RollTimes& times, UnixNanos now) {
  std::vector<std::uint32_t> moved;
  for (RollKey& key : roll.keys) {
    bool changed = false;
    for (auto due = DueOf(key, times); due.has_value() && due->at <= now; due = DueOf(key, times)) {
      // As of when it was due: a manager that was down is not later than one that was not.
      Move(key, due->to, std::max(key.since, due->at));
      changed = true;
    }
    if (changed) moved.push_back(key.version);
  }
  return moved;
}

std::optional<UnixNanos> NextAdvance(const RouterRoll& roll, const RollTimes& times) {
  std::optional<UnixNanos> out;
  for (const RollKey& key : roll.keys) {
    if (const auto due = DueOf(key, times); due.has_value() && (!out.has_value() || due->at < *out)) out = due->at;
  }
  return out;
}

}  // namespace virp::keymgr
