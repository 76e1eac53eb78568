// From what the sources say to the verdict.
#include <algorithm>
#include <set>
#include <sstream>

#include "tests/testutil/naive_world.h"

namespace virp::testutil {

using onode::Acceptance;
using onode::Independence;
using onode::Verdict;

namespace {

constexpr UnixNanos kSecond = 1'000'000'000;

bool Contains(const std::vector<std::string>& names, const std::string& name) {
  return std::count(names.begin(), names.end(), name) > 0;
}

bool HasType(const chain::Registration& r, std::initializer_list<int> any) {
  return std::any_of(any.begin(), any.end(), [&](int type) {
    return std::count(r.types.begin(), r.types.end(), static_cast<std::uint8_t>(type)) > 0;
  });
}

bool HasRouter(const chain::Registration& r, const std::string& router, const std::string& vrf) {
  return std::any_of(r.routers.begin(), r.routers.end(), [&](const chain::RouterScope& scope) {
    return scope.name == router && (scope.vrfs.empty() ? vrf == "default" : Contains(scope.vrfs, vrf));
  });
}

bool ByCollector(const chain::Registration& r) {
  return r.vantage == chain::Vantage::kBmp || r.vantage == chain::Vantage::kDevice;
}

bool SameRouter(const chain::Registration& x, const chain::Registration& y) {
  if (x.routers.empty() || y.routers.empty()) return x.routers.empty() && y.routers.empty();
  return std::any_of(x.routers.begin(), x.routers.end(), [&](const chain::RouterScope& a) {
    return std::any_of(y.routers.begin(), y.routers.end(),
                       [&](const chain::RouterScope& b) { return a.name == b.name; });
  });
}

std::vector<std::string> SplitSubject(const std::string& subject) {
  std::vector<std::string> out;
  std::istringstream text(subject);
  for (std::string part; std::getline(text, part, '/');) out.push_back(part);
  return out;
}

}  // namespace

// All sources and one question.
struct NaiveWorld::Court {
  using Set = std::vector<Finding*>;
  using Ruling = std::pair<Verdict, std::string>;

  bool Covers(const Source& s) const {
    const chain::Registration& r = s.registration;
    if (const auto* peer = std::get_if<onode::PeerClaim>(&claim)) {
      return HasType(r, {1, 2}) && (HasRouter(r, peer->router, peer->vrf) || FarRouter(r) != nullptr);
    }
    if (const auto* route = std::get_if<onode::RouteClaim>(&claim)) {
      return HasRouter(r, route->router, route->vrf) && (HasType(r, {3}) || (route->rib == "best" && HasType(r, {4})));
    }
    const std::string& subject = std::get<onode::FieldClaim>(claim).subject;
    const std::vector<std::string> part = SplitSubject(subject);
    if (part[0] == "source") return SpokeOfSource(s, subject);
    if (part[0] == "bgp") {
      if (part.size() < 5) return false;
      const bool fits = part[3] == "peer" ? HasType(r, {1, 2}) : part[3] == "best" ? HasType(r, {4}) : HasType(r, {3});
      return fits && HasRouter(r, part[1], part[2]);
    }
    return std::any_of(r.subject_prefixes.begin(), r.subject_prefixes.end(),
                       [&](const std::string& prefix) { return subject.starts_with(prefix); });
  }
  // The router of the session's other end, where this source speaks of that and the asker wants both.
  const chain::RouterScope* FarRouter(const chain::Registration& r) const {
    const auto* peer = std::get_if<onode::PeerClaim>(&claim);
    if (peer == nullptr || accept.independence != Independence::kRouter || HasRouter(r, peer->router, peer->vrf))
      return nullptr;
    for (const chain::RouterScope& scope : r.routers) {
      if (std::count(scope.addresses.begin(), scope.addresses.end(), peer->peer) == 0) continue;
      return scope.name != peer->router && HasRouter(r, scope.name, peer->vrf) ? &scope : nullptr;
    }
    return nullptr;
  }
  Question::Answer AskFarEnd(const Question& question, const chain::RouterScope& router) const {
    onode::PeerClaim asked = std::get<onode::PeerClaim>(claim);
    const bool tells = (asked.state == "Established" || asked.state == "down") && !asked.peer_as;
    std::set<std::string> addresses;
    for (const auto& [name, source] : w.sources_) {
      if (!Covers(source) || FarRouter(source.registration) != nullptr) continue;
      for (const chain::RouterScope& scope : source.registration.routers) {
        if (scope.name == asked.router) addresses.insert(scope.addresses.begin(), scope.addresses.end());
      }
    }
    asked.router = router.name;
    asked.peer_as.reset();
    std::vector<Question::Answer> said;
    for (const std::string& address : addresses) {
      asked.peer = address;
      if (const auto answer = question.Ask(asked); answer.says != Says::kNothing || answer.left_out != "NOTHING_SAID")
        said.push_back(answer);
    }
    Question::Answer out;
    if (said.size() == 1 && tells) return said.front();
    if (!said.empty()) out.left_out = "ATTRIBUTE_UNKNOWN";
    return out;
  }
  bool SpokeOfSource(const Source& s, const std::string& subject) const {
    const auto about = w.sources_.find(subject.substr(std::string_view("source/").size()));
    if (about == w.sources_.end() || !w.MaySpeakFor(s, about->second)) return false;
    for (std::size_t i = 0; i < w.size_; ++i) {
      const NaiveEntry& e = w.chain_.entries[i];
      if (e.signer == s.name && e.statement.subject == subject && w.Counts(e)) return true;
    }
    return false;
  }

  Finding Hear(const Source& source) const {
    using Standing = Finding::Standing;
    Finding f;
    f.source = &source;
    f.opinion.source = source.name;
    if (Contains(accept.exclude_sources, source.name)) {
      f.opinion.left_out = "EXCLUDED";
      return f;
    }
    if (source.suspended) {
      f.opinion.left_out = "SUSPENDED";
      return f;
    }
    const Question question(w, source, accept);
    const chain::RouterScope* const far = FarRouter(source.registration);
    const Question::Answer answer =
        far != nullptr ? AskFarEnd(question, *far) : std::visit([&](const auto& c) { return question.Ask(c); }, claim);
    const bool speaks = answer.says != Says::kNothing;
    const bool compromised = !speaks && answer.left_out == "KEY_COMPROMISED";
    f.opinion.left_out = speaks ? "" : answer.left_out;
    if (speaks) f.standing = Standing::kSpeaks;
    if (compromised) f.standing = Standing::kCompromised;
    if (speaks && source.State() != chain::ChannelState::kOk && !accept.accept_alarmed) {
      f.opinion.left_out = "ALARMED";
      f.standing = Standing::kRefused;
    }
    if (source.State() == chain::ChannelState::kBlack && (speaks || compromised)) {
      f.opinion.left_out = "BLACK";
      f.standing = Standing::kCompromised;
    }
    if (speaks) Support(question, answer, f);
    return f;
  }
  static void Support(const Question& question, const Question::Answer& answer, Finding& f) {
    f.opinion.says = answer.says;
    f.opinion.in_doubt = answer.in_doubt;
    f.opinion.entry = answer.bases.front()->header.sequence;
    f.fact_time = answer.bases.front()->time();
    f.event_known = answer.is_event && !answer.bases.front()->statement.restated;
    f.lost = question.Lost();
    f.opinion.confirmed_at = ~UnixNanos{0};
    for (const NaiveEntry* basis : answer.bases) {
      f.opinion.confirmed_at = std::min(f.opinion.confirmed_at, question.Confirmed(*basis));
      f.opinion.tier = std::max(f.opinion.tier, basis->tier);
      f.newest_entry = std::max(f.newest_entry, basis->header.sequence);
      if (const auto* beat = question.Covering(*basis)) {
        f.newest_entry = std::max(f.newest_entry, beat->entry->header.sequence);
      }
    }
  }

  bool Related(const Finding& a, const Finding& b) const {
    const chain::Registration &x = a.source->registration, &y = b.source->registration;
    if (accept.independence == Independence::kCollector) return ShareCarrier(x, y);
    if (accept.independence == Independence::kRouter) {
      return std::holds_alternative<onode::RouteClaim>(claim) || SameRouter(x, y);
    }
    if (ByCollector(x) && ByCollector(y) && ShareCarrier(x, y)) return true;
    return std::any_of(a.source->public_keys.begin(), a.source->public_keys.end(),
                       [&](const std::string& key) { return !key.empty() && b.source->public_keys.contains(key); });
  }
  // Number of groups, by spreading labels until nothing changes.
  std::size_t Independent(const Set& set) const {
    std::vector<std::size_t> label(set.size());
    for (std::size_t i = 0; i < set.size(); ++i) label[i] = i;
    for (bool changed = true; changed;) {
      changed = false;
      for (std::size_t i = 0; i < set.size(); ++i) {
        for (std::size_t j = 0; j < set.size(); ++j) {
          if (label[i] >= label[j] || !Related(*set[i], *set[j])) continue;
          label[j] = label[i];
          changed = true;
        }
      }
    }
    return std::set<std::size_t>(label.begin(), label.end()).size();
  }
  bool Enough(const Set& set) const {
    for (const std::string& name : accept.require_sources) {
      if (std::none_of(set.begin(), set.end(), [&](const Finding* f) { return f->opinion.source == name; }))
        return false;
    }
    return Independent(set) >= accept.min_sources;
  }

  UnixNanos Age(UnixNanos since) const { return now > since ? now - since : 0; }
  bool IsSilent(const Finding& f) const { return f.lost || Age(f.opinion.confirmed_at) > 30 * kSecond; }
  bool IsStale(const Finding& f) const {
    if (Age(f.opinion.confirmed_at) > static_cast<UnixNanos>(accept.max_age.count())) return true;
    return accept.max_event_age &&
           (!f.event_known || Age(f.fact_time) > static_cast<UnixNanos>(accept.max_event_age->count()));
  }

  Ruling Decide(bool frozen) {
    using Standing = Finding::Standing;
    Set speaking, compromised, refused;
    bool not_monitored = false;
    for (Finding& f : findings) {
      if (f.standing == Standing::kSpeaks) speaking.push_back(&f);
      if (f.standing == Standing::kCompromised) compromised.push_back(&f);
      if (f.standing == Standing::kRefused) refused.push_back(&f);
      not_monitored |= f.opinion.left_out == "RIB_NOT_MONITORED";
    }
    if (frozen) return {Verdict::kChainFrozen, ""};
    if (speaking.empty() && compromised.empty() && refused.empty()) {
      if (not_monitored) return {Verdict::kInsufficient, "RIB_NOT_MONITORED"};
      return {Verdict::kNoEvidence, ""};
    }
    Set with_them = speaking;
    with_them.insert(with_them.end(), compromised.begin(), compromised.end());
    if (!compromised.empty() && !Enough(speaking) && (speaking.empty() || Enough(with_them))) {
      return {Verdict::kChannelCompromised, ""};
    }
    Set fresh;
    bool any_silent = false, any_stale = false;
    for (Finding* f : speaking) {
      if (IsSilent(*f)) {
        any_silent = true;
        f->opinion.left_out = "SILENT";
      } else if (IsStale(*f)) {
        any_stale = true;
        f->opinion.left_out = "STALE";
      } else {
        fresh.push_back(f);
      }
    }
    if (!Enough(fresh) && any_silent) return {Verdict::kSourceSilent, ""};
    if (!Enough(fresh) && any_stale) return {Verdict::kStale, ""};
    return Weigh(fresh);
  }
  Ruling Weigh(const Set& fresh) {
    Set agree, dissent;
    bool settling = false;
    for (Finding* f : fresh) {
      (f->opinion.says == Says::kAgrees ? agree : dissent).push_back(f);
      settling |= Age(f->fact_time) < 2 * kSecond;
    }
    if (!agree.empty() && dissent.size() > accept.max_dissent) return {Verdict::kConflict, settling ? "SETTLING" : ""};
    const Set& basis = agree.empty() ? dissent : agree;
    for (const Finding* f : basis) {
      if (f->opinion.in_doubt) return {Verdict::kIncomplete, ""};
    }
    Set tolerable;
    for (Finding* f : basis) {
      if (f->opinion.tier <= accept.worst_tier) {
        tolerable.push_back(f);
      } else {
        f->opinion.left_out = "TIER";
      }
    }
    if (!Enough(basis)) return {Verdict::kInsufficient, "MIN_SOURCES"};
    if (!Enough(tolerable)) return {Verdict::kInsufficient, "TIER"};
    bool covered = accept.level != onode::ChainLevel::kWitnessed;
    for (const Finding* f : tolerable) {
      covered &= accept.level == onode::ChainLevel::kCommitted || f->newest_entry < checkpointed;
    }
    if (!covered) return {Verdict::kInsufficient, "LEVEL"};
    return {agree.empty() ? Verdict::kRefuted : Verdict::kConfirmed, ""};
  }

  const NaiveWorld& w;
  const onode::Claim& claim;
  const Acceptance& accept;
  UnixNanos now;
  std::uint64_t checkpointed;
  std::vector<Finding> findings{};
};

NaiveAnswer NaiveWorld::Evaluate(const onode::Claim& claim, const Acceptance& accept, UnixNanos now, bool frozen,
                                 std::uint64_t checkpointed) const {
  NaiveAnswer out;
  out.evaluated_at = std::max(now, size_ == 0 ? 0 : chain_.entries[size_ - 1].received);
  Court court{*this, claim, accept, out.evaluated_at, checkpointed};
  for (const auto& [name, source] : sources_) {
    if (court.Covers(source)) court.findings.push_back(court.Hear(source));
  }
  std::tie(out.verdict, out.reason) = court.Decide(frozen);
  for (Finding& f : court.findings) {
    f.opinion.counted = f.standing == Finding::Standing::kSpeaks && f.opinion.left_out.empty();
    out.opinions.push_back(f.opinion);
  }
  return out;
}

}  // namespace virp::testutil
