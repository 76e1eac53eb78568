// One source's history for the property test of the SourceBook: keeps all that happened and answers each question by
// reading it anew, as slowly and as plainly as the rules are written.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "lib/chain/test_chain.h"

namespace virp::chain::naive {

using frame::Reason;
using Where = Placement::Where;

inline constexpr std::uint64_t kSecond = TestChain::kSecond;
inline constexpr std::uint64_t kSkew = 60 * kSecond;

struct Question {
  std::uint64_t epoch = 0, number = 0, time = 0, receipt = 0;
  std::uint32_t version = 1;
  bool v1 = false;
};

// One source's history as a list of what happened, in order.
class NaiveSource {
 public:
  struct Event {
    enum class What { kFrame, kGap, kLoss, kBeat, kReset } what;
    std::uint64_t epoch = 0, from = 0, to = 0, time = 0, receipt = 0;
    Gap::Why why = Gap::Why::kMissing;
  };
  struct NaiveKey {
    std::uint64_t accept_from = 0;
    std::optional<std::uint64_t> sign_until, accept_until, compromised;
  };
  std::vector<Event> history;
  std::map<std::uint32_t, NaiveKey> keys{{1, {}}};
  std::vector<Event> admitted;
  std::map<std::string, ChannelState> alarms;
  bool suspended = false, sent_v2 = false, may_send_v1 = false;

  // ---- the state, out of the history ----

  bool Held(std::uint64_t epoch, std::uint64_t number) const {
    return std::any_of(history.begin(), history.end(), [&](const Event& e) {
      return e.what == Event::What::kFrame && e.epoch == epoch && e.from == number;
    });
  }
  bool InGap(std::uint64_t epoch, std::uint64_t number) const {
    return std::any_of(history.begin(), history.end(), [&](const Event& e) {
      return e.what == Event::What::kGap && e.epoch == epoch && e.from <= number && number <= e.to;
    });
  }
  std::uint64_t Next(std::uint64_t epoch) const {
    std::uint64_t next = 1;
    for (const Event& e : history) {
      if (e.epoch != epoch) continue;
      if (e.what == Event::What::kFrame) next = std::max(next, e.from + 1);
      if (e.what == Event::What::kGap) next = std::max(next, e.to + 1);
    }
    return next;
  }
  std::vector<std::uint64_t> Opened() const {
    std::vector<std::uint64_t> out;
    for (const Event& e : history) {
      const bool opens = e.what == Event::What::kFrame || e.what == Event::What::kGap;
      if (opens && std::find(out.begin(), out.end(), e.epoch) == out.end()) out.push_back(e.epoch);
    }
    return out;
  }
  std::uint64_t Newest() const { return Opened().empty() ? 0 : Opened().back(); }
  // The highest epoch that was opened and not declared poisoned, since the newest one began.
  std::uint64_t Floor() const {
    std::uint64_t floor = 0;
    std::vector<std::uint64_t> seen;
    for (const Event& e : history) {
      if (e.what == Event::What::kReset) {
        floor = 0;
        for (const std::uint64_t epoch : seen) {
          if (epoch < e.epoch) floor = std::max(floor, epoch);
        }
      } else if ((e.what == Event::What::kFrame || e.what == Event::What::kGap) &&
                 std::find(seen.begin(), seen.end(), e.epoch) == seen.end()) {
        seen.push_back(e.epoch);
        floor = e.epoch;
      }
    }
    return floor;
  }
  std::uint64_t LatestEver() const {
    std::uint64_t latest = 0;
    for (const Event& e : history) {
      if (e.what == Event::What::kFrame) latest = std::max(latest, e.time);
      if (e.what == Event::What::kReset) latest = std::min(latest, e.receipt);
    }
    return latest;
  }
  std::uint64_t LatestBefore(std::uint64_t epoch) const {  // LatestEver when the epoch began
    NaiveSource until;
    for (const Event& e : history) {
      if (e.epoch == epoch && (e.what == Event::What::kFrame || e.what == Event::What::kGap)) break;
      until.history.push_back(e);
    }
    return until.LatestEver();
  }
  std::optional<std::uint64_t> LatestBelow(std::uint64_t epoch, std::uint64_t number) const {
    std::optional<std::uint64_t> latest;
    for (const Event& e : history) {
      if (e.what != Event::What::kFrame || e.epoch != epoch || e.from >= number) continue;
      latest = std::max(latest.value_or(0), e.time);
    }
    return latest;
  }
  bool WasOpened(std::uint64_t epoch) const {
    const auto opened = Opened();
    return std::find(opened.begin(), opened.end(), epoch) != opened.end();
  }
  bool MayOpen(std::uint64_t epoch, std::uint64_t receipt) const {
    return epoch > Floor() && !WasOpened(epoch) && epoch <= receipt + kSkew;
  }
  // What beats stated of an epoch: those about a known epoch, and those about one that could have begun then, unless a
  // reset or a newer epoch has done away with it since.
  std::uint64_t Stated(std::uint64_t epoch) const {
    std::uint64_t stated = 0;
    NaiveSource so_far;
    for (const Event& e : history) {
      if (e.what == Event::What::kBeat && e.epoch == epoch) {
        const bool ended = so_far.WasOpened(epoch) && epoch != so_far.Newest();
        if (so_far.WasOpened(epoch) ? !ended : so_far.MayOpen(epoch, e.receipt)) stated = std::max(stated, e.to);
      }
      if (e.what == Event::What::kReset && !so_far.WasOpened(epoch)) stated = 0;
      const bool opens = (e.what == Event::What::kFrame || e.what == Event::What::kGap) && !so_far.WasOpened(e.epoch);
      if (opens && e.epoch > epoch && !so_far.WasOpened(epoch)) stated = 0;
      so_far.history.push_back(e);
    }
    return stated;
  }
  std::vector<std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>> Due(std::uint64_t epoch) const {
    std::vector<std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>> due;
    const std::uint64_t newest = Newest();
    if (newest != 0 && Stated(newest) >= Next(newest)) due.emplace_back(newest, Next(newest), Stated(newest));
    std::set<std::uint64_t> ahead;
    for (const Event& e : history) {
      if (e.what == Event::What::kBeat && e.epoch < epoch && !WasOpened(e.epoch) && Stated(e.epoch) > 0)
        ahead.insert(e.epoch);
    }
    for (const std::uint64_t e : ahead) due.emplace_back(e, 1, Stated(e));
    return due;
  }

  // ---- the rules ----

  Reason Key(const Question& q, bool* late) const {
    *late = false;
    const auto found = keys.find(q.version);
    if (found == keys.end()) return Reason::kKeyVersionUnknown;
    const NaiveKey& key = found->second;
    if (q.time + kSkew < key.accept_from) return Reason::kKeyVersionUnknown;
    *late = (key.sign_until && q.time > *key.sign_until) || (key.accept_until && q.receipt > *key.accept_until);
    const bool may = std::any_of(admitted.begin(), admitted.end(), [&](const Event& e) {
      return e.epoch == q.epoch && e.from <= q.number && q.number <= e.to;
    });
    if (*late && !may) return Reason::kLateKey;
    return key.compromised && q.receipt >= *key.compromised ? Reason::kKeyCompromised : Reason::kNone;
  }

  struct Expected {
    Reason reason = Reason::kNone;
    Where where = Where::kRefused;
    std::vector<std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>> gaps;
    std::uint8_t flags = 0;
  };

  Expected Ask(const Question& q) const {
    Expected out;
    bool late_key = false;
    if (suspended) {
      out.reason = Reason::kSourceSuspended;
    } else if (q.v1 && (sent_v2 || !may_send_v1)) {
      out.reason = Reason::kDowngrade;
    } else {
      out.reason = Key(q, &late_key);
    }
    if (out.reason != Reason::kNone) return out;
    if (WasOpened(q.epoch) && q.epoch == Newest()) {
      PlaceInNewest(q, out);
    } else if (WasOpened(q.epoch)) {
      if (!q.v1 && InGap(q.epoch, q.number) && !Held(q.epoch, q.number)) {
        out.where = Where::kLate;
      } else {
        out.reason = q.v1 ? Reason::kReplayed : Reason::kEpochOld;
      }
    } else if (q.epoch <= Floor()) {
      out.reason = q.v1 ? Reason::kReplayed : Reason::kEpochOld;
    } else if (q.epoch > q.receipt + kSkew) {
      out.reason = Reason::kEpochAhead;
    } else if (q.v1 && (q.time != q.epoch || q.time <= LatestEver())) {
      out.reason = Reason::kReplayed;
    } else {
      out.gaps = Due(q.epoch);
      if (q.number > 1) out.gaps.emplace_back(q.epoch, 1, q.number - 1);
      out.where = out.gaps.empty() ? Where::kNext : Where::kAfterGap;
    }
    if (out.reason != Reason::kNone) return out;
    const auto below = LatestBelow(q.epoch, q.number);
    if (q.time > q.receipt + kSkew || (below && *below > q.time + kSkew)) out.flags |= kClockSuspect;
    if (late_key) out.flags |= kAdmittedLate;
    return out;
  }

  void PlaceInNewest(const Question& q, Expected& out) const {
    if (q.number < Next(q.epoch)) {
      if (!InGap(q.epoch, q.number) || Held(q.epoch, q.number)) {
        out.where = Where::kHeld;
      } else if (q.v1) {
        out.reason = Reason::kReplayed;
      } else {
        out.where = Where::kLate;
      }
      return;
    }
    if (q.v1) {
      const auto latest = LatestBelow(q.epoch, kNone);
      const bool goes_on = latest ? q.time > LatestBefore(q.epoch) && *latest <= q.time + kSkew
                                  : q.time == q.epoch && q.time > LatestEver();
      if (!goes_on) {
        out.reason = Reason::kReplayed;
        return;
      }
    }
    out.where = q.number == Next(q.epoch) ? Where::kNext : Where::kAfterGap;
    if (out.where == Where::kAfterGap) out.gaps.emplace_back(q.epoch, Next(q.epoch), q.number - 1);
  }
};

}  // namespace virp::chain::naive
