// Private to the naive evaluator: the world as entries tell it, and one source as one question sees it.
#pragma once

#include <algorithm>
#include <functional>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/testutil/naive_claims.h"

namespace virp::testutil {

using Says = onode::SourceOpinion::Says;
using What = chain::Statement::What;
using Types = std::set<int>;  // frame types whose unreadable frames put a claim in doubt

inline bool ShareCarrier(const chain::Registration& a, const chain::Registration& b) {
  return std::any_of(a.carried_by.begin(), a.carried_by.end(), [&](const std::string& id) {
    return std::count(b.carried_by.begin(), b.carried_by.end(), id) > 0;
  });
}

struct NaiveWorld::Source {
  std::string name;
  chain::Registration registration;
  std::uint64_t registered_at = 0;
  bool suspended = false;
  bool sent_anything = false;
  std::map<std::uint32_t, UnixNanos> compromised;  // version -> since
  std::set<std::string> public_keys;
  std::map<std::string, chain::ChannelState> alarms;
  std::vector<std::uint64_t> epochs;                      // in the order in which they began
  std::uint64_t floor = 0;                                // an epoch that begins must be above it
  std::map<std::uint64_t, std::set<std::uint64_t>> held;  // epoch -> numbers
  std::map<std::uint64_t, std::uint64_t> top;             // epoch -> highest number held or in a gap entry

  int Rank(std::uint64_t epoch) const {
    const auto it = std::find(epochs.begin(), epochs.end(), epoch);
    return it == epochs.end() ? -1 : static_cast<int>(it - epochs.begin());
  }
  void Open(std::uint64_t epoch) {
    if (Rank(epoch) >= 0) return;
    epochs.push_back(epoch);
    floor = epoch;
  }
  // Any number from `from` to `to` that is missing.
  bool Missing(std::uint64_t epoch, std::uint64_t from, std::uint64_t to) const {
    const auto limit = top.find(epoch);
    if (limit == top.end()) return false;
    const std::uint64_t end = std::min(to, limit->second);
    if (end < from) return false;
    const auto numbers = held.find(epoch);
    if (numbers == held.end()) return true;
    const auto first = numbers->second.lower_bound(from);
    const auto there = static_cast<std::uint64_t>(std::distance(first, numbers->second.upper_bound(end)));
    return there <= end - from;
  }
  chain::ChannelState State() const {
    chain::ChannelState worst = chain::ChannelState::kOk;
    for (const auto& [cause, state] : alarms) worst = std::max(worst, state);
    return worst;
  }
};

struct NaiveWorld::Finding {
  NaiveOpinion opinion;
  const Source* source = nullptr;
  enum class Standing { kNothing, kRefused, kCompromised, kSpeaks } standing = Standing::kNothing;
  UnixNanos fact_time = 0;
  bool event_known = false;
  bool lost = false;
  std::uint64_t newest_entry = 0;
};

struct NaiveWorld::Question {
  // A beat, as far as it is about this source.
  struct Beat {
    const NaiveEntry* entry = nullptr;
    const Source* signer = nullptr;
    std::uint64_t epoch = 0, last = 0;
    bool connected = false;
  };
  // What the source answers: the entries it rests on.
  struct Answer {
    Says says = Says::kNothing;
    std::string left_out = "NOTHING_SAID";
    std::vector<const NaiveEntry*> bases;
    bool in_doubt = false;
    bool is_event = true;  // of the newest basis
  };

  Question(const NaiveWorld& world, const Source& about, const onode::Acceptance& accept)
      : w(world), s(about), accept(accept) {
    for (std::size_t i = 0; i < w.size_; ++i) {
      const NaiveEntry& entry = w.chain_.entries[i];
      const bool counts = w.Counts(entry);
      const bool in_scope = (entry.header.result & chain::kScopeViolation) == 0;
      if (entry.signer == s.name && in_scope) (counts ? said : unreliable).push_back(&entry);
      if (counts && entry.type == frame::Type::kHeartbeat) ReadBeat(entry);
    }
  }

  void ReadBeat(const NaiveEntry& entry) {
    const Source& signer = w.sources_.at(entry.signer);
    if (!entry.lists_sources) {
      if (signer.name == s.name) Take({&entry, &signer, entry.header.source_epoch, entry.header.source_sequence, true});
      return;
    }
    if (!entry.heartbeat || entry.header.sequence < s.registered_at) return;
    for (const chain::Beat& line : entry.heartbeat->sources) {
      if (line.source_id == frame::SourceIdOf(s.name))
        Take({&entry, &signer, line.epoch, line.last_sequence, line.connected});
    }
  }
  void Take(const Beat& beat) {
    if (!w.BeatCounts(s, *beat.signer, accept)) return;
    auto keep = [&](std::map<std::string, Beat>& map) {
      const auto [held, first] = map.emplace(beat.signer->name, beat);
      if (!first && Newer(*beat.signer, *beat.entry, *held->second.entry)) held->second = beat;
    };
    keep(newest);
    if (beat.connected) keep(connected);
  }

  bool Ahead(std::uint64_t epoch) const { return s.Rank(epoch) < 0 && epoch > s.floor; }
  bool Covers(const Beat& beat, const NaiveEntry& e) const {
    if (beat.epoch == e.header.source_epoch) return beat.last >= e.header.source_sequence;
    return s.Rank(beat.epoch) > s.Rank(e.header.source_epoch) || Ahead(beat.epoch);
  }
  const Beat* Covering(const NaiveEntry& e) const {
    const Beat* best = nullptr;
    for (const auto& [name, beat] : connected) {
      if (!Covers(beat, e)) continue;
      if (best == nullptr || std::pair(beat.entry->time(), beat.entry->header.sequence) >
                                 std::pair(best->entry->time(), best->entry->header.sequence)) {
        best = &beat;
      }
    }
    return best;
  }
  UnixNanos Confirmed(const NaiveEntry& e) const {
    const Beat* beat = Covering(e);
    return beat == nullptr ? e.time() : std::max(beat->entry->time(), e.time());
  }
  bool Lost() const {
    for (const auto& [name, lost] : newest) {
      if (lost.connected) continue;
      bool since = false;
      for (const auto& [other, beat] : connected) {
        if (other != name && beat.entry->header.sequence > lost.entry->header.sequence &&
            beat.entry->time() >= lost.entry->time()) {
          since = true;
        }
      }
      if (!since) return true;
    }
    return false;
  }

  // Whether something may have changed unseen after this statement.
  bool Doubt(const NaiveEntry& e, const Types& types) const {
    const std::uint64_t epoch = e.header.source_epoch;
    if (epoch != s.epochs.back() || s.floor != s.epochs.back()) return true;
    for (const auto& [name, beat] : newest) {
      if (Ahead(beat.epoch)) return true;
      if (beat.epoch == epoch && beat.last > s.top.at(epoch)) return true;
    }
    if (s.Missing(epoch, e.header.source_sequence + 1, ~std::uint64_t{0})) return true;
    return std::any_of(unreliable.begin(), unreliable.end(),
                       [&](const NaiveEntry* other) { return MayBeOf(*other, types) && Newer(s, *other, e); });
  }
  bool FoldedSince(const NaiveEntry& fact) const;
  // An opaque frame may have said what its type can say; one of a compromised key, anything.
  bool MayBeOf(const NaiveEntry& e, const Types& types) const {
    return !w.KeyCounts(e) || types.contains(static_cast<int>(e.type));
  }
  bool Whole(std::uint64_t epoch, std::uint64_t from, std::uint64_t to, const Types& types) const {
    if (s.Missing(epoch, from, to)) return false;
    // Of each kind the newest unreadable one: when there is a newer one behind `to`, the table is in doubt anyway.
    for (const Types& kind : {Types{1, 2}, Types{3}, Types{4}}) {
      if (!types.contains(*kind.begin())) continue;
      std::vector<const NaiveEntry*> same;
      for (const NaiveEntry* e : unreliable) {
        if (MayBeOf(*e, kind)) same.push_back(e);
      }
      if (same.empty()) continue;
      const chain::EntryHeader& e = Newest(s, same)->header;
      if (e.source_epoch == epoch && e.source_sequence >= from && e.source_sequence <= to) return false;
    }
    return true;
  }

  std::vector<const NaiveEntry*> SaidAs(const std::function<bool(const NaiveEntry&)>& fits) const {
    std::vector<const NaiveEntry*> out;
    for (const NaiveEntry* e : said) {
      if (fits(*e)) out.push_back(e);
    }
    return out;
  }
  bool CompromisedSaid(const std::function<bool(const NaiveEntry&)>& fits) const {
    return std::any_of(unreliable.begin(), unreliable.end(), [&](const NaiveEntry* e) { return fits(*e); });
  }

  Answer Ask(const onode::PeerClaim& claim) const;
  Answer Ask(const onode::RouteClaim& claim) const;
  Answer Ask(const onode::FieldClaim& claim) const;

  const NaiveWorld& w;
  const Source& s;
  const onode::Acceptance& accept;
  std::vector<const NaiveEntry*> said, unreliable;
  std::map<std::string, Beat> newest, connected;  // by signer
};

}  // namespace virp::testutil
