// FactBook::Evaluate: asks every source that covers the claim, weighs what they say, and writes the answer.
#include <algorithm>
#include <iterator>
#include <set>

#include "lib/base/status.h"
#include "services/onode/domain/evaluate_source.h"
#include "services/onode/domain/evaluate_verdict.h"
#include "services/onode/domain/fact_book.h"
#include "services/onode/domain/fact_book_impl.h"

namespace virp::onode {
namespace {

using facts::FactState;
using facts::Finding;
using facts::Mark;
using facts::Opinion;
using facts::SourceView;
using Standing = Finding::Standing;

bool Covers(const chain::Registration& registration, std::string_view router, std::string_view vrf,
            std::initializer_list<frame::Type> types) {
  const bool speaks = std::any_of(types.begin(), types.end(), [&](frame::Type type) {
    return std::find(registration.types.begin(), registration.types.end(), static_cast<std::uint8_t>(type)) !=
           registration.types.end();
  });
  return speaks &&
         std::any_of(registration.routers.begin(), registration.routers.end(), [&](const chain::RouterScope& scope) {
           if (scope.name != router) return false;
           return scope.vrfs.empty() ? vrf == "default"
                                     : std::find(scope.vrfs.begin(), scope.vrfs.end(), vrf) != scope.vrfs.end();
         });
}

using Type = frame::Type;
bool CoversClaim(const chain::Source& source, const PeerClaim& claim, const FactState&, const chain::SourceBook&) {
  return Covers(source.registration, claim.router, claim.vrf,
                {Type::kPeerStatusChanged, Type::kPeerBackwardTransition});
}
bool CoversClaim(const chain::Source& source, const RouteClaim& claim, const FactState&, const chain::SourceBook&) {
  if (claim.rib == "best") {
    return Covers(source.registration, claim.router, claim.vrf, {Type::kBgpProcess, Type::kBgpRouteUpdate});
  }
  return Covers(source.registration, claim.router, claim.vrf, {Type::kBgpProcess});
}
bool CoversClaim(const chain::Source& source, const FieldClaim& claim, const FactState&,
                 const chain::SourceBook& book) {
  using Form = facts::SubjectParts::Form;
  const auto parts = facts::ParseSubject(claim.subject);
  if (!parts) return false;
  switch (parts->form) {
    case Form::kPeer:
      return Covers(source.registration, parts->router, parts->vrf,
                    {Type::kPeerStatusChanged, Type::kPeerBackwardTransition});
    case Form::kPath:
    case Form::kTable:
      return Covers(source.registration, parts->router, parts->vrf, {Type::kBgpProcess});
    case Form::kBest:
      return Covers(source.registration, parts->router, parts->vrf, {Type::kBgpRouteUpdate});
    case Form::kSource: {
      const auto about = book.FindByName(parts->source);
      return about != nullptr && chain::SourceBook::MaySpeakFor(source, *about, book.origin());
    }
    case Form::kOther:
      break;
  }
  const auto& prefixes = source.registration.subject_prefixes;
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const std::string& prefix) { return std::string_view(claim.subject).starts_with(prefix); });
}

// Sources that may cover the claim: a short list, found without looking at the others.
std::vector<std::uint32_t> Candidates(const FactState& state, const Claim& claim) {
  std::string_view router;
  const std::vector<std::uint32_t>* found = nullptr;
  const auto look_up = [&](const auto& map, std::string_view key) {
    const auto it = map.find(key);
    if (it != map.end()) found = &it->second;
  };
  if (const auto* peer = std::get_if<PeerClaim>(&claim)) router = peer->router;
  if (const auto* route = std::get_if<RouteClaim>(&claim)) router = route->router;
  if (const auto* field = std::get_if<FieldClaim>(&claim)) {
    const auto parts = facts::ParseSubject(field->subject);
    if (!parts) return {};
    if (parts->form == facts::SubjectParts::Form::kSource) {
      std::vector<std::uint32_t> out;
      if (const auto* rows = state.FindEvents(field->subject); rows != nullptr) {
        for (const auto& row : *rows) out.push_back(row.source);
      }
      std::sort(out.begin(), out.end());
      out.erase(std::unique(out.begin(), out.end()), out.end());
      return out;
    }
    if (parts->form == facts::SubjectParts::Form::kOther) look_up(state.by_domain, parts->domain);
    router = parts->router;
  }
  if (!router.empty()) look_up(state.by_router, router);
  return found != nullptr ? *found : std::vector<std::uint32_t>();
}

// The same session as its other end has it: what a peer claim is to the sources of that router, one claim for each
// address of the router that was asked about.
struct FarEnd {
  const PeerClaim& asked;
  std::vector<PeerClaim> mirrored;
};

absl::StatusOr<Opinion> Ask(const SourceView& view, const PeerClaim& claim, const FactBook::EntryReader&) {
  return facts::PeerOpinion(view, claim);
}
// Of two sessions between the two routers nobody says here which one is meant; nor of states but Established what the
// other end makes of them.
absl::StatusOr<Opinion> Ask(const SourceView& view, const FarEnd& far, const FactBook::EntryReader&) {
  Opinion out;
  out.left_out = kLeftOutNothing;
  std::size_t said = 0;
  for (const PeerClaim& claim : far.mirrored) {
    Opinion opinion = facts::PeerOpinion(view, claim);
    if (opinion.left_out == kLeftOutNothing) continue;
    out = std::move(opinion);
    ++said;
  }
  const bool told = far.asked.state == "Established" || far.asked.state == "down";
  if (said > 1 || (said == 1 && (!told || far.asked.peer_as))) {
    out = {};
    out.left_out = kLeftOutAttributeUnknown;
  }
  return out;
}
absl::StatusOr<Opinion> Ask(const SourceView& view, const RouteClaim& claim, const FactBook::EntryReader&) {
  return facts::RouteOpinion(view, claim);
}
absl::StatusOr<Opinion> Ask(const SourceView& view, const FieldClaim& claim, const FactBook::EntryReader& read) {
  return facts::FieldOpinion(view, claim, read);
}

OriginStrength StrengthOf(const chain::Registration& registration, frame::Suite suite) {
  if (registration.vantage == chain::Vantage::kBmp || registration.vantage == chain::Vantage::kDevice) {
    return OriginStrength::kCollectorAsserted;
  }
  return suite == frame::Suite::kEd25519 ? OriginStrength::kSourceSigned : OriginStrength::kSharedKey;
}

// Fills in what an opinion rests on: entries, beats, times, tier, strength.
void Support(const SourceView& view, const Opinion& opinion, Finding& finding) {
  SourceOpinion& out = finding.opinion;
  const Mark& newest = opinion.bases.front();
  out.entry = newest.entry;
  out.observed_at = newest.observed;
  out.received_at = newest.received;
  out.tier = newest.tier;
  out.strength = StrengthOf(view.source().registration, newest.suite);
  out.path_liveness_only = !view.source().sent_v2;
  finding.fact_time = newest.time();
  finding.event_known = opinion.is_event && !newest.restated;
  finding.lost = view.ConnectionLost();

  bool first = true;
  for (const Mark& basis : opinion.bases) {
    const facts::Report* beat = view.Covering(basis.at());
    const UnixNanos confirmed = beat != nullptr ? std::max(beat->time, basis.time()) : basis.time();
    out.confirmed_at = first ? confirmed : std::min(out.confirmed_at, confirmed);
    out.tier = std::max(out.tier, basis.tier);
    out.strength = std::min(out.strength, StrengthOf(view.source().registration, basis.suite));
    if (first && beat != nullptr) out.beat_entry = beat->entry;
    if (!first) {
      out.also.push_back(basis.entry);
      if (beat != nullptr && beat->entry != out.beat_entry) out.also.push_back(beat->entry);
    }
    first = false;
  }
  std::sort(out.also.begin(), out.also.end());
  out.also.erase(std::unique(out.also.begin(), out.also.end()), out.also.end());
  finding.newest_entry = std::max(out.entry, out.beat_entry.value_or(0));
  if (!out.also.empty()) finding.newest_entry = std::max(finding.newest_entry, out.also.back());
}

template <typename C>
absl::StatusOr<Finding> Find(const SourceView& view, const C& claim, const Acceptance& acceptance,
                             const FactBook::EntryReader& read) {
  Finding out;
  out.source = view.shared_source();
  out.opinion.source = out.source->registration.source;
  out.opinion.channel = view.channel();
  const auto& excluded = acceptance.exclude_sources;
  if (std::find(excluded.begin(), excluded.end(), out.opinion.source) != excluded.end()) {
    out.opinion.left_out = kLeftOutExcluded;
    return out;
  }
  if (out.source->suspended) {
    out.opinion.left_out = kLeftOutSuspended;
    return out;
  }
  ASSIGN_OR_RETURN(Opinion opinion, Ask(view, claim, read));
  const bool speaks = opinion.says != SourceOpinion::Says::kNothing;
  const bool compromised = opinion.left_out == kLeftOutKeyCompromised || view.self().awaits_refold;
  if (view.channel() == chain::ChannelState::kBlack && (speaks || compromised)) {
    out.opinion.left_out = kLeftOutBlack;
    out.standing = Standing::kCompromised;
  } else if (compromised) {
    out.opinion.left_out = kLeftOutKeyCompromised;
    out.standing = Standing::kCompromised;
  } else if (!speaks) {
    out.opinion.left_out = opinion.left_out;
  } else if (view.channel() != chain::ChannelState::kOk && !acceptance.accept_alarmed) {
    out.opinion.left_out = kLeftOutAlarmed;
    out.standing = Standing::kRefused;
  } else {
    out.standing = Standing::kSpeaks;
  }
  if (!speaks || view.self().awaits_refold) return out;
  out.opinion.says = opinion.says;
  out.opinion.doubt = opinion.doubt;
  out.opinion.missing = std::move(opinion.missing);
  Support(view, opinion, out);
  out.tier_ok = out.opinion.tier <= acceptance.worst_tier;
  return out;
}

std::string_view Plural(std::size_t count) {
  return count == 1 ? "" : "s";
}

std::string Explain(const facts::Decision& decision, const std::vector<Finding>& findings,
                    const Acceptance& acceptance) {
  const std::size_t count = decision.rests_on.size();
  const auto first_doubt = [&]() -> std::string {
    for (const std::size_t i : decision.rests_on) {
      const SourceOpinion& opinion = findings[i].opinion;
      if (!opinion.doubt.empty())
        return fmt::format("{} may have said otherwise since ({})", opinion.source, opinion.doubt);
    }
    return {};
  };
  switch (decision.verdict) {
    case Verdict::kChainFrozen:
      return "The chain is frozen: what the store holds does not extend a checkpoint that was signed.";
    case Verdict::kNoEvidence:
      return "No source that may speak about this has said anything that counts.";
    case Verdict::kChannelCompromised:
      return "Too few sources are left because a channel is BLACK or its key was compromised.";
    case Verdict::kSourceSilent:
      return "Too few sources are alive: no beat covers what the others said within three intervals, or their "
             "connection is lost.";
    case Verdict::kStale:
      return "Too few sources confirm what they said recently enough.";
    case Verdict::kConflict:
      return decision.reason == kReasonSettling ? "The sources disagree, and the newer fact is under two seconds old."
                                                : "The sources disagree.";
    case Verdict::kIncomplete:
      return first_doubt() + ".";
    case Verdict::kInsufficient:
      break;
    case Verdict::kRefuted:
      return fmt::format("{} source{} say{} otherwise.", count, Plural(count), count == 1 ? "s" : "");
    case Verdict::kConfirmed:
      return fmt::format("{} source{} say{} so.", count, Plural(count), count == 1 ? "s" : "");
  }
  if (decision.reason == kReasonMinSources) {
    return fmt::format("Fewer than {} independent source{} say so, or a required one does not.", acceptance.min_sources,
                       Plural(acceptance.min_sources));
  }
  if (decision.reason == kReasonTier) return "The sources that say so did it with a tier worse than tolerated.";
  if (decision.reason == kReasonRibNotMonitored) return "The router is reported, but not this table.";
  return acceptance.level == ChainLevel::kWitnessed ? "There are no witnesses yet."
                                                    : "An entry that the answer rests on is under no checkpoint yet.";
}

const chain::RouterScope* RouterOfAddress(const chain::Registration& registration, std::string_view address) {
  const auto at =
      std::find_if(registration.routers.begin(), registration.routers.end(), [&](const chain::RouterScope& scope) {
        return std::find(scope.addresses.begin(), scope.addresses.end(), address) != scope.addresses.end();
      });
  return at == registration.routers.end() ? nullptr : &*at;
}

// With ROUTER independence the other end of a session has a say. `near`: what was found of the router's own sources.
absl::Status AddFarEnd(const FactState& state, const PeerClaim& claim, const Acceptance& acceptance,
                       const chain::SourceBook& book, std::vector<Finding>& findings) {
  std::set<std::string> own_addresses;
  std::set<std::string_view> near;
  for (const Finding& finding : findings) {
    near.insert(finding.source->registration.source);
    for (const chain::RouterScope& scope : finding.source->registration.routers) {
      if (scope.name == claim.router) own_addresses.insert(scope.addresses.begin(), scope.addresses.end());
    }
  }
  std::vector<Finding> far;
  for (std::uint32_t index = 0; index < state.sources.size(); ++index) {
    const auto source = book.FindByShortId(state.sources[index].short_id);
    if (source == nullptr || near.contains(source->registration.source)) continue;
    const chain::RouterScope* const router = RouterOfAddress(source->registration, claim.peer);
    if (router == nullptr || router->name == claim.router) continue;
    PeerClaim own = claim;
    own.router = router->name;
    if (!CoversClaim(*source, own, state, book)) continue;
    FarEnd other{claim, {}};
    for (const std::string& address : own_addresses) {
      PeerClaim mirrored = own;
      mirrored.peer = address;
      mirrored.peer_as.reset();
      other.mirrored.push_back(std::move(mirrored));
    }
    ASSIGN_OR_RETURN(Finding finding, Find(SourceView(state, book, acceptance, index), other, acceptance, nullptr));
    far.push_back(std::move(finding));
  }
  std::move(far.begin(), far.end(), std::back_inserter(findings));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Answer> FactBook::Evaluate(const Claim& claim, const Acceptance& acceptance,
                                          const chain::SourceBook& book, UnixNanos now, bool frozen,
                                          std::uint64_t checkpointed_size, const EntryReader& read) const {
  RETURN_IF_ERROR(CheckClaim(claim));
  RETURN_IF_ERROR(CheckAcceptance(acceptance));
  const FactState& state = impl_->state;
  if (book.size() != state.size) {
    return Internal("facts of {} entries were asked together with sources of {}", state.size, book.size());
  }
  std::vector<Finding> findings;
  for (const std::uint32_t index : Candidates(state, claim)) {
    const auto source = book.FindByShortId(state.sources[index].short_id);
    if (source == nullptr) continue;
    const bool covered = std::visit([&](const auto& c) { return CoversClaim(*source, c, state, book); }, claim);
    if (!covered) continue;
    const SourceView view(state, book, acceptance, index);
    ASSIGN_OR_RETURN(Finding finding,
                     std::visit([&](const auto& c) { return Find(view, c, acceptance, read); }, claim));
    findings.push_back(std::move(finding));
  }
  if (const auto* peer = std::get_if<PeerClaim>(&claim);
      peer != nullptr && acceptance.independence == Independence::kRouter) {
    RETURN_IF_ERROR(AddFarEnd(state, *peer, acceptance, book, findings));
  }
  std::sort(findings.begin(), findings.end(),
            [](const Finding& a, const Finding& b) { return a.opinion.source < b.opinion.source; });

  Answer out;
  out.chain_size = state.size;
  // What is asked as of a time before the newest entry is answered as of that entry: nothing is fresher than its
  // receipt.
  out.evaluated_at = std::max(now, state.last_received);
  const facts::Judge judge(findings, acceptance,
                           {.frozen = frozen,
                            .checkpointed_size = checkpointed_size,
                            .one_router = std::holds_alternative<RouteClaim>(claim)});
  const facts::Decision decision = judge.At(out.evaluated_at);
  out.verdict = decision.verdict;
  out.reason = decision.reason;
  out.explanation = Explain(decision, findings, acceptance);
  out.valid_until = judge.ValidUntil(out.evaluated_at, decision);
  out.origin_strength = OriginStrength::kSourceSigned;
  UnixNanos newest = 0;
  for (const std::size_t i : decision.rests_on) {
    const SourceOpinion& opinion = findings[i].opinion;
    out.origin_strength = std::min(out.origin_strength, opinion.strength);
    if (findings[i].fact_time < newest) continue;
    newest = findings[i].fact_time;
    out.observed_at = opinion.observed_at;
    out.received_at = opinion.received_at;
    out.confirmed_at = opinion.confirmed_at;
  }
  if (decision.rests_on.empty()) out.origin_strength = OriginStrength::kCollectorAsserted;
  for (std::size_t i = 0; i < findings.size(); ++i) {
    findings[i].opinion.left_out = decision.left_out[i];
    findings[i].opinion.counted = decision.left_out[i].empty() && findings[i].standing == Standing::kSpeaks;
    out.opinions.push_back(std::move(findings[i].opinion));
  }
  return out;
}

}  // namespace virp::onode
