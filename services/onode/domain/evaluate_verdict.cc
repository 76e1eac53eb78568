#include "services/onode/domain/evaluate_verdict.h"

#include <algorithm>
#include <numeric>

namespace virp::onode::facts {
namespace {

using Says = SourceOpinion::Says;
using Standing = Finding::Standing;

constexpr UnixNanos kSecond = 1'000'000'000;
constexpr UnixNanos kSilence = 3 * 10 * kSecond;  // three intervals of heartbeats
constexpr UnixNanos kSettling = 2 * kSecond;
// Beyond this many instants at which something changes, an answer says that it holds until the last one looked at.
constexpr std::size_t kMaxInstants = 64;

UnixNanos Age(UnixNanos since, UnixNanos now) {
  return now > since ? now - since : 0;
}

bool Intersect(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  return std::any_of(a.begin(), a.end(),
                     [&](const std::string& x) { return std::find(b.begin(), b.end(), x) != b.end(); });
}

// The collector holds the key of what it hears itself; a daemon or a service holds its own.
bool SignedByCollector(const chain::Registration& r) {
  return r.vantage == chain::Vantage::kBmp || r.vantage == chain::Vantage::kDevice;
}

bool SameSigner(const chain::Source& a, const chain::Source& b) {
  if (SignedByCollector(a.registration) && SignedByCollector(b.registration) &&
      Intersect(a.registration.carried_by, b.registration.carried_by)) {
    return true;
  }
  for (const auto& [version_a, key_a] : a.keys) {
    const std::string& key = key_a.statement.public_key;
    if (key.empty()) continue;
    for (const auto& [version_b, key_b] : b.keys) {
      if (key_b.statement.public_key == key) return true;
    }
  }
  return false;
}

bool SameRouter(const chain::Registration& a, const chain::Registration& b) {
  if (a.routers.empty() || b.routers.empty()) return a.routers.empty() && b.routers.empty();
  return std::any_of(a.routers.begin(), a.routers.end(), [&](const chain::RouterScope& x) {
    return std::any_of(b.routers.begin(), b.routers.end(),
                       [&](const chain::RouterScope& y) { return x.name == y.name; });
  });
}

}  // namespace

Judge::Judge(const std::vector<Finding>& findings, const Acceptance& acceptance, const Limits& limits)
    : findings_(findings), acceptance_(acceptance), limits_(limits), related_(findings.size() * findings.size()) {
  for (std::size_t a = 0; a < findings.size(); ++a) {
    for (std::size_t b = 0; b < a; ++b) related_[a * findings.size() + b] = Related(a, b);
  }
}

bool Judge::Related(std::size_t a, std::size_t b) const {
  const chain::Source& x = *findings_[a].source;
  const chain::Source& y = *findings_[b].source;
  switch (acceptance_.independence) {
    case Independence::kSigner:
      return SameSigner(x, y);
    case Independence::kCollector:
      return Intersect(x.registration.carried_by, y.registration.carried_by);
    case Independence::kRouter:
      return limits_.one_router || SameRouter(x.registration, y.registration);
  }
  return true;
}

// Sources that share something, directly or over a third, are one.
std::size_t Judge::Groups(const Set& set) const {
  std::vector<std::size_t> parent(set.size());
  std::iota(parent.begin(), parent.end(), std::size_t{0});
  const auto root = [&](std::size_t i) {
    while (parent[i] != i) i = parent[i] = parent[parent[i]];
    return i;
  };
  std::size_t groups = set.size();
  for (std::size_t i = 0; i < set.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const std::size_t a = std::max(set[i], set[j]), b = std::min(set[i], set[j]);
      if (!related_[a * findings_.size() + b] || root(i) == root(j)) continue;
      parent[root(i)] = root(j);
      --groups;
    }
  }
  return groups;
}

bool Judge::Enough(const Set& set) const {
  for (const std::string& name : acceptance_.require_sources) {
    const bool there =
        std::any_of(set.begin(), set.end(), [&](std::size_t i) { return findings_[i].opinion.source == name; });
    if (!there) return false;
  }
  return set.size() >= acceptance_.min_sources && Groups(set) >= acceptance_.min_sources;
}

bool Judge::Silent(const Finding& finding, UnixNanos now) const {
  return finding.lost || Age(finding.opinion.confirmed_at, now) > kSilence;
}

bool Judge::Stale(const Finding& finding, UnixNanos now) const {
  if (Age(finding.opinion.confirmed_at, now) > static_cast<UnixNanos>(acceptance_.max_age.count())) return true;
  if (!acceptance_.max_event_age) return false;
  return !finding.event_known ||
         Age(finding.fact_time, now) > static_cast<UnixNanos>(acceptance_.max_event_age->count());
}

bool Judge::Settling(const Set& set, UnixNanos now) const {
  return std::any_of(set.begin(), set.end(),
                     [&](std::size_t i) { return Age(findings_[i].fact_time, now) < kSettling; });
}

Decision Judge::At(UnixNanos now) const {
  Decision out;
  Set speaking, compromised, refused;
  bool not_monitored = false;
  for (std::size_t i = 0; i < findings_.size(); ++i) {
    const Finding& finding = findings_[i];
    out.left_out.push_back(finding.opinion.left_out);
    not_monitored |= finding.opinion.left_out == kLeftOutRibNotMonitored;
    if (finding.standing == Standing::kSpeaks) speaking.push_back(i);
    if (finding.standing == Standing::kCompromised) compromised.push_back(i);
    if (finding.standing == Standing::kRefused) refused.push_back(i);
  }
  out.rests_on = speaking;
  const auto decide = [&](Verdict verdict, std::string_view reason = {}) {
    out.verdict = verdict;
    out.reason = reason;
    return out;
  };

  if (limits_.frozen) return decide(Verdict::kChainFrozen);
  if (speaking.empty() && compromised.empty() && refused.empty()) {
    return not_monitored ? decide(Verdict::kInsufficient, kReasonRibNotMonitored) : decide(Verdict::kNoEvidence);
  }
  if (!compromised.empty() && !Enough(speaking)) {
    Set with_them = speaking;
    with_them.insert(with_them.end(), compromised.begin(), compromised.end());
    if (speaking.empty() || Enough(with_them)) return decide(Verdict::kChannelCompromised);
  }

  Set fresh;
  bool any_silent = false, any_stale = false;
  for (const std::size_t i : speaking) {
    const bool silent = Silent(findings_[i], now);
    const bool stale = !silent && Stale(findings_[i], now);
    any_silent |= silent;
    any_stale |= stale;
    if (silent) out.left_out[i] = kLeftOutSilent;
    if (stale) out.left_out[i] = kLeftOutStale;
    if (!silent && !stale) fresh.push_back(i);
  }
  if (fresh.size() < speaking.size() && !Enough(fresh)) {
    if (any_silent) return decide(Verdict::kSourceSilent);
    if (any_stale) return decide(Verdict::kStale);
  }
  out.rests_on = fresh;
  Weigh(fresh, now, out);
  return out;
}

// The verdicts that look at what is said: from CONFLICT on.
void Judge::Weigh(const Set& left, UnixNanos now, Decision& out) const {
  const auto decide = [&](Verdict verdict, std::string_view reason = {}) {
    out.verdict = verdict;
    out.reason = reason;
  };
  Set agree, dissent;
  for (const std::size_t i : left) (findings_[i].opinion.says == Says::kAgrees ? agree : dissent).push_back(i);
  if (!agree.empty() && dissent.size() > acceptance_.max_dissent) {
    return decide(Verdict::kConflict, Settling(left, now) ? kReasonSettling : std::string_view());
  }

  const Set& basis = agree.empty() ? dissent : agree;
  out.rests_on = basis;
  if (std::any_of(basis.begin(), basis.end(), [&](std::size_t i) { return !findings_[i].opinion.doubt.empty(); })) {
    return decide(Verdict::kIncomplete);
  }

  Set tolerable;
  for (const std::size_t i : basis) {
    if (findings_[i].tier_ok) {
      tolerable.push_back(i);
    } else {
      out.left_out[i] = kLeftOutTier;
    }
  }
  if (!Enough(basis)) return decide(Verdict::kInsufficient, kReasonMinSources);
  if (!Enough(tolerable)) return decide(Verdict::kInsufficient, kReasonTier);
  out.rests_on = tolerable;
  const bool covered = std::all_of(tolerable.begin(), tolerable.end(), [&](std::size_t i) {
    return findings_[i].newest_entry < limits_.checkpointed_size;
  });
  if (acceptance_.level == ChainLevel::kWitnessed || (acceptance_.level == ChainLevel::kCheckpointed && !covered)) {
    return decide(Verdict::kInsufficient, kReasonLevel);
  }
  decide(agree.empty() ? Verdict::kRefuted : Verdict::kConfirmed);
}

UnixNanos Judge::ValidUntil(UnixNanos now, const Decision& decision) const {
  std::vector<UnixNanos> instants;  // at each, something is as it was for the last time
  for (const Finding& finding : findings_) {
    if (finding.standing != Standing::kSpeaks) continue;
    instants.push_back(finding.opinion.confirmed_at + kSilence);
    instants.push_back(finding.opinion.confirmed_at + static_cast<UnixNanos>(acceptance_.max_age.count()));
    if (acceptance_.max_event_age) {
      instants.push_back(finding.fact_time + static_cast<UnixNanos>(acceptance_.max_event_age->count()));
    }
    instants.push_back(finding.fact_time + kSettling - 1);
  }
  std::sort(instants.begin(), instants.end());
  instants.erase(std::unique(instants.begin(), instants.end()), instants.end());
  instants.erase(instants.begin(), std::lower_bound(instants.begin(), instants.end(), now));
  for (std::size_t i = 0; i < instants.size(); ++i) {
    const Decision next = At(instants[i] + 1);
    if (next.verdict != decision.verdict || next.reason != decision.reason) return instants[i];
    if (i + 1 == kMaxInstants) return instants[i];
  }
  return 0;
}

}  // namespace virp::onode::facts
