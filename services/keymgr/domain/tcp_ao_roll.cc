#include "services/keymgr/domain/tcp_ao_roll.h"

#include <algorithm>

#include "lib/base/status.h"

namespace virp::keymgr {
namespace {

constexpr std::array kEnds{TcpAoEnd::kA, TcpAoEnd::kB};
constexpr std::array<std::string_view, 8> kPhaseNames{"PENDING", "INSTALLED",   "RNEXT_SET", "CONFIRMING",
                                                      "CURRENT", "OLD_REMOVED", "ABORTING",  "ABORTED"};

std::string_view EndName(TcpAoEnd end) {
  return end == TcpAoEnd::kA ? "a" : "b";
}

void Enter(TcpAoRoll& roll, TcpAoPhase phase) {
  roll.phase = phase;
  ++roll.serial;
}

// Whether the end has said so since it was told to.
bool Fresh(const TcpAoRoll& roll, TcpAoEnd end) {
  return roll.view(end).at != 0 && roll.view(end).serial == roll.serial;
}

// Asks for the new key everywhere, for so long that nothing that asks for another is under way.
bool HasAsked(const TcpAoRoll& roll, TcpAoEnd end) {
  const TcpAoView& view = roll.view(end);
  return view.has_new && view.all_ask && view.asked_for >= roll.hold;
}

// All connections of both ends are on the new key. Counters say so in both directions, unless there is no connection.
bool IsCurrent(const TcpAoRoll& roll, TcpAoEnd end) {
  const TcpAoView& view = roll.view(end);
  const bool idle = roll.views[0].sessions == 0 && roll.views[1].sessions == 0;
  return HasAsked(roll, end) && view.all_current && (idle || view.good > 0);
}

// What the end has not done yet of what its plan says; empty when it has.
std::string_view Wanting(const TcpAoRoll& roll, TcpAoEnd end) {
  const TcpAoView& view = roll.view(end);
  if (!Fresh(roll, end)) return "has not reported on its newest plan";
  switch (roll.phase) {
    case TcpAoPhase::kPending:
      return view.has_new ? "" : "has not installed the new key";
    case TcpAoPhase::kRnextSet:
      return HasAsked(roll, end) ? "" : "has not asked for the new key, and nothing else, for long enough";
    case TcpAoPhase::kConfirming:
      return IsCurrent(roll, end) ? "" : "has connections that do not send, or were not heard, by the new key";
    case TcpAoPhase::kCurrent:
      return view.has_old ? "has not removed the old key" : "";
    case TcpAoPhase::kAborting:
      return view.has_new ? "has not removed the new key" : "";
    case TcpAoPhase::kInstalled:
    case TcpAoPhase::kOldRemoved:
    case TcpAoPhase::kAborted:
      break;
  }
  return "";
}

bool Step(TcpAoRoll& roll, UnixNanos now) {
  if (IsOver(roll)) return false;
  if (roll.phase == TcpAoPhase::kInstalled) {
    if (now < roll.use_from) return false;
    Enter(roll, TcpAoPhase::kRnextSet);
    return true;
  }
  if (!std::ranges::all_of(kEnds, [&](TcpAoEnd end) { return Wanting(roll, end).empty(); })) return false;
  switch (roll.phase) {
    case TcpAoPhase::kPending:
      Enter(roll, TcpAoPhase::kInstalled);
      break;
    case TcpAoPhase::kRnextSet:
      Enter(roll, TcpAoPhase::kConfirming);
      break;
    case TcpAoPhase::kConfirming:
      Enter(roll, TcpAoPhase::kCurrent);
      break;
    case TcpAoPhase::kCurrent:
      Enter(roll, TcpAoPhase::kOldRemoved);
      break;
    default:
      Enter(roll, TcpAoPhase::kAborted);
      break;
  }
  return true;
}

bool WasToldToUse(const TcpAoRoll& roll) {
  return roll.phase == TcpAoPhase::kRnextSet || roll.phase == TcpAoPhase::kConfirming;
}

}  // namespace

std::string_view TcpAoPhaseName(TcpAoPhase phase) {
  return kPhaseNames[static_cast<std::size_t>(phase) - 1];
}

std::optional<TcpAoPhase> TcpAoPhaseFromName(std::string_view name) {
  const auto found = std::ranges::find(kPhaseNames, name);
  if (found == kPhaseNames.end()) return std::nullopt;
  return static_cast<TcpAoPhase>(found - kPhaseNames.begin() + 1);
}

bool IsOver(const TcpAoRoll& roll) {
  return roll.phase == TcpAoPhase::kOldRemoved || roll.phase == TcpAoPhase::kAborted;
}

bool IsOverdue(const TcpAoRoll& roll, UnixNanos now) {
  return !IsOver(roll) && now >= roll.deadline;
}

std::vector<std::string> Missing(const TcpAoRoll& roll, UnixNanos now) {
  std::vector<std::string> out;
  if (IsOver(roll)) return out;
  if (roll.phase == TcpAoPhase::kInstalled) {
    if (now < roll.use_from) out.push_back(fmt::format("the new key is used in {} s", (roll.use_from - now) / kSecond));
    return out;
  }
  for (const TcpAoEnd end : kEnds) {
    const std::string_view what = Wanting(roll, end);
    if (!what.empty()) out.push_back(fmt::format("end {} {}", EndName(end), what));
  }
  return out;
}

TcpAoRoll StartRoll(std::optional<TcpAoTuple> old_key, TcpAoTuple new_key, std::uint64_t last_serial, UnixNanos now,
                    UnixNanos use_from, UnixNanos deadline, UnixNanos hold) {
  TcpAoRoll roll;
  roll.old_key = old_key;
  roll.new_key = new_key;
  roll.serial = last_serial + 1;
  roll.started = now;
  roll.use_from = use_from;
  roll.deadline = deadline;
  roll.hold = hold;
  return roll;
}

TcpAoPlan PlanFor(const TcpAoRoll& roll) {
  TcpAoPlan plan;
  plan.serial = roll.serial;
  const bool has_old = roll.phase != TcpAoPhase::kCurrent && roll.phase != TcpAoPhase::kOldRemoved;
  const bool has_new = roll.phase != TcpAoPhase::kAborting && roll.phase != TcpAoPhase::kAborted;
  if (has_old && roll.old_key.has_value()) plan.keys.push_back(*roll.old_key);
  if (has_new) plan.keys.push_back(roll.new_key);
  const bool uses_new = roll.phase >= TcpAoPhase::kRnextSet && roll.phase <= TcpAoPhase::kOldRemoved;
  if (uses_new) {
    plan.preferred = roll.new_key.version;
    plan.set_current = roll.force_current && !IsOver(roll);
  } else if (roll.old_key.has_value()) {
    plan.preferred = roll.old_key->version;
  }
  return plan;
}

absl::Status Report(TcpAoRoll& roll, TcpAoEnd end, const TcpAoReport& report, UnixNanos now) {
  if (report.serial > roll.serial)
    return InvalidArgument("serial {}: the newest plan is {}", report.serial, roll.serial);
  if (report.keys.size() > kMaxReportedKeys || report.sessions.size() > kMaxReportedSessions) {
    return InvalidArgument("{} keys and {} sessions; at most {} and {}", report.keys.size(), report.sessions.size(),
                           kMaxReportedKeys, kMaxReportedSessions);
  }
  TcpAoView& view = roll.views[At(end)];
  if (view.at != 0 && report.serial < view.serial) return absl::OkStatus();
  const TcpAoIds& ids = roll.new_key.ids;
  view = {.serial = report.serial, .at = now, .asked_for = report.asked_for};
  for (const TcpAoReport::Key& key : report.keys) {
    const auto is = [&](const TcpAoIds& of) { return key.send_id == of.SendId(end) && key.recv_id == of.RecvId(end); };
    if (roll.old_key.has_value() && is(roll.old_key->ids)) view.has_old = true;
    if (!is(ids)) continue;
    view.has_new = true;
    view.good = key.good;
    view.bad = key.bad;
  }
  view.sessions = static_cast<std::uint32_t>(report.sessions.size());
  view.all_ask = std::ranges::all_of(report.sessions, [&](const auto& s) { return s.rnext == ids.RecvId(end); });
  view.all_current = std::ranges::all_of(report.sessions, [&](const auto& s) { return s.current == ids.SendId(end); });
  Advance(roll, now);
  return absl::OkStatus();
}

bool Advance(TcpAoRoll& roll, UnixNanos now) {
  bool changed = false;
  while (Step(roll, now)) changed = true;
  return changed;
}

absl::Status ForceCurrent(TcpAoRoll& roll, UnixNanos now) {
  Advance(roll, now);
  if (!WasToldToUse(roll)) {
    return FailedPrecondition("the rollover is {}: the ends are made to send by the new key in RNEXT_SET or CONFIRMING",
                              TcpAoPhaseName(roll.phase));
  }
  roll.force_current = true;
  Enter(roll, TcpAoPhase::kRnextSet);
  return absl::OkStatus();
}

absl::Status ForceRemoval(TcpAoRoll& roll, UnixNanos now) {
  Advance(roll, now);
  if (!roll.old_key.has_value()) return FailedPrecondition("there is no old key to remove");
  if (!WasToldToUse(roll)) {
    return FailedPrecondition("the rollover is {}: the old key can be removed in RNEXT_SET or CONFIRMING",
                              TcpAoPhaseName(roll.phase));
  }
  for (const TcpAoEnd end : kEnds) {
    if (!roll.view(end).has_new)
      return FailedPrecondition("end {} does not have the new key: without the old one it has none", EndName(end));
  }
  roll.force_current = roll.forced_removal = true;
  Enter(roll, TcpAoPhase::kCurrent);
  return absl::OkStatus();
}

absl::Status Abort(TcpAoRoll& roll, UnixNanos now) {
  Advance(roll, now);
  if (roll.phase != TcpAoPhase::kPending && roll.phase != TcpAoPhase::kInstalled) {
    return FailedPrecondition("the rollover is {}: an end may use the new key already, so go on, and roll again",
                              TcpAoPhaseName(roll.phase));
  }
  Enter(roll, TcpAoPhase::kAborting);
  return absl::OkStatus();
}

}  // namespace virp::keymgr
