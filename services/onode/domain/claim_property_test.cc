// Random histories: at every chain size, the fact book says what the naive evaluator says.
#include <array>
#include <cstdlib>

#include "services/onode/domain/claim_history.h"
#include "services/onode/domain/claim_test_util.h"
#include "tests/testutil/naive_claims.h"

namespace virp::onode {
namespace {

using frame::Tier;
using frame::Type;

constexpr UnixNanos kSecond = 1'000'000'000;

// ---- questions ----

Claim RandomClaim(Dice& dice) {
  const char* router = dice.OneIn(12) ? "edge-b" : "edge-a";
  const auto peer = [&] { return std::string(dice.Of<const char*>({"192.0.2.2", "192.0.2.2", "192.0.2.3"})); };
  const auto prefix = [&] {
    return std::string(dice.Of<const char*>({"203.0.113.0/24", "203.0.113.0/24", "198.51.100.0/24"}));
  };
  switch (dice.Below(3)) {
    case 0: {
      PeerClaim claim = PeerIs(dice.Of<const char*>({"Established", "Established", "down", "Idle"}));
      claim.router = router;
      claim.peer = peer();
      claim.negate = dice.OneIn(3);
      if (dice.OneIn(4)) claim.peer_as = dice.Of<std::uint32_t>({64501, 64999});
      return claim;
    }
    case 1: {
      RouteClaim claim = Route(
          dice.OneIn(2), dice.Of<const char*>({"adj-in-pre", "adj-in-pre", "loc", "best", "adj-in-post"}), prefix());
      claim.router = router;
      if (dice.OneIn(2)) claim.peer = peer();
      if (dice.OneIn(5)) claim.origin_as = dice.Of<std::uint32_t>({64510, 64520, 64500});
      if (dice.OneIn(6)) claim.next_hop = dice.Of<const char*>({"192.0.2.2", "192.0.2.77"});
      return claim;
    }
    default:
      break;
  }
  FieldClaim claim;
  const std::string place = fmt::format("bgp/{}/default/", router);
  switch (dice.Below(6)) {
    case 0:
      claim = {place + "peer/" + peer(), dice.Of<const char*>({"", "peer_state_change", "peer_down"}), {}};
      if (dice.OneIn(2)) claim.conditions = {{"new_state", FieldCondition::Op::kEq, std::string("Established")}};
      break;
    case 1:
      claim = {place + "adj-in-pre/" + peer() + "/" + prefix() + "/0",
               dice.Of<const char*>({"", "route_announce", "route_withdraw"}),
               {}};
      if (dice.OneIn(2)) claim.conditions = {{"as_path", FieldCondition::Op::kExists, true}};
      break;
    case 2:
      claim = {place + "best/" + prefix(), dice.Of<const char*>({"", "bestpath_change", "bestpath_odd"}), {}};
      break;
    case 3:
      claim = {place + "adj-in-pre/" + peer(), dice.Of<const char*>({"", "table_complete", "routes_summarised"}), {}};
      break;
    case 4:
      claim = {dice.Of<const char*>({"source/daemon", "source/collector-1"}),
               dice.Of<const char*>({"", "heartbeat", "gap"}),
               {}};
      break;
    default:
      claim = {dice.Of<const char*>({"dns/a", "dns/b"}), dice.Of<const char*>({"", "e1", "e2"}), {}};
      claim.conditions = {{"n", dice.Of({FieldCondition::Op::kLt, FieldCondition::Op::kNeq, FieldCondition::Op::kGe}),
                           std::uint64_t{1}}};
  }
  return claim;
}

Acceptance RandomAcceptance(Dice& dice) {
  Acceptance out;
  if (dice.OneIn(3)) out.max_age = std::chrono::seconds(dice.Of({5, 15, 120}));
  if (dice.OneIn(6)) out.max_event_age = std::chrono::seconds(dice.Of({5, 30, 300}));
  out.worst_tier = dice.Of({Tier::kGreen, Tier::kYellow, Tier::kYellow, Tier::kRed});
  out.min_sources = dice.OneIn(3) ? static_cast<std::uint32_t>(dice.Between(2, 3)) : 1;
  out.independence =
      dice.Of({Independence::kSigner, Independence::kSigner, Independence::kCollector, Independence::kRouter});
  out.max_dissent = dice.OneIn(4) ? 1 : 0;
  if (dice.OneIn(8)) out.require_sources = {dice.Of<const char*>({"daemon", "bmp"})};
  if (dice.OneIn(8)) out.exclude_sources = {dice.Of<const char*>({"second", "collector-1", "old"})};
  if (dice.OneIn(10)) out.level = dice.OneIn(8) ? ChainLevel::kWitnessed : ChainLevel::kCheckpointed;
  out.accept_alarmed = !dice.OneIn(5);
  return out;
}

std::string Describe(const Claim& claim, const Acceptance& accept) {
  std::string out;
  if (const auto* c = std::get_if<PeerClaim>(&claim))
    out = fmt::format("peer {} {} is{} {}", c->router, c->peer, c->negate ? " not" : "", c->state);
  if (const auto* c = std::get_if<RouteClaim>(&claim)) {
    out = fmt::format("route {} {} {} {} peer {} as {} nh {}", c->router, c->rib, c->prefix,
                      c->exists ? "exists" : "does not exist", c->peer.value_or("any"), c->origin_as.value_or(0),
                      c->next_hop.value_or("any"));
  }
  if (const auto* c = std::get_if<FieldClaim>(&claim)) out = fmt::format("field {} {}", c->subject, c->event);
  return out + fmt::format(" [age {} min {} indep {} dissent {} alarmed {} level {} tier {}]",
                           accept.max_age.count() / 1'000'000'000, accept.min_sources,
                           static_cast<int>(accept.independence), accept.max_dissent, accept.accept_alarmed,
                           static_cast<int>(accept.level), static_cast<int>(accept.worst_tier));
}

std::string Describe(const testutil::NaiveChain& chain, std::size_t size) {
  std::string out;
  for (std::size_t i = 0; i < size; ++i) {
    const auto& e = chain.entries[i];
    out += fmt::format("{:3} {:6.1f}s {:12} epoch {} #{} type {} tier {} flags {} key {} time {:+.1f} {}\n", i,
                       static_cast<double>(e.received - Scene::kStart) / 1e9, e.signer,
                       static_cast<std::int64_t>(e.header.source_epoch - Scene::kStart), e.header.source_sequence,
                       static_cast<int>(e.type), static_cast<int>(e.tier), e.header.result, e.header.key_version,
                       (static_cast<double>(e.frame_time) - static_cast<double>(e.received)) / 1e9,
                       e.type == Type::kSourceEvent ? e.event : e.payload);
  }
  return out;
}

// ---- agreement ----

std::array<std::uint64_t, 11> verdicts_seen{};

// Empty when both say the same.
std::string Difference(const Answer& fast, const testutil::NaiveAnswer& naive) {
  if (fast.verdict != naive.verdict || fast.reason != naive.reason) {
    return fmt::format("{} {} against naive {} {}", VerdictName(fast.verdict), fast.reason, VerdictName(naive.verdict),
                       naive.reason);
  }
  if (fast.evaluated_at != naive.evaluated_at) return "evaluated at different times";
  if (fast.opinions.size() != naive.opinions.size()) {
    return fmt::format("{} opinions against naive {}", fast.opinions.size(), naive.opinions.size());
  }
  for (std::size_t i = 0; i < fast.opinions.size(); ++i) {
    const SourceOpinion& f = fast.opinions[i];
    const testutil::NaiveOpinion& n = naive.opinions[i];
    if (f.source != n.source || f.says != n.says || f.left_out != n.left_out || f.counted != n.counted ||
        f.entry != n.entry || f.doubt.empty() == n.in_doubt || f.confirmed_at != n.confirmed_at || f.tier != n.tier) {
      return fmt::format(
          "{}: says {} left out '{}' counted {} entry {} doubt '{}' confirmed {} against naive {} {} '{}' {} {} {} {}",
          f.source, static_cast<int>(f.says), f.left_out, f.counted, f.entry, f.doubt, f.confirmed_at, n.source,
          static_cast<int>(n.says), n.left_out, n.counted, n.entry, n.in_doubt, n.confirmed_at);
    }
  }
  return {};
}

// At valid_until the verdict is still the same, one nanosecond later it is not; without one it stays.
void CheckValidUntil(const PastState& state, const Claim& claim, const Acceptance& accept, const Answer& answer,
                     std::uint64_t checkpointed, const FactBook::EntryReader& read) {
  const auto at = [&](UnixNanos now) {
    const auto later = state.facts().Evaluate(claim, accept, state.sources(), now, false, checkpointed, read);
    return std::pair(later->verdict, later->reason);
  };
  const auto same = std::pair(answer.verdict, answer.reason);
  if (answer.valid_until == 0) {
    EXPECT_EQ(at(answer.evaluated_at + 3600 * kSecond), same);
    return;
  }
  ASSERT_GE(answer.valid_until, answer.evaluated_at);
  EXPECT_EQ(at(answer.valid_until), same);
  EXPECT_NE(at(answer.valid_until + 1), same);
  EXPECT_EQ(at(answer.evaluated_at + (answer.valid_until - answer.evaluated_at) / 2), same);
}

void CheckHistory(std::uint64_t seed) {
  History history(seed);
  history.Run();
  const Scene& scene = history.scene;
  const testutil::NaiveChain naive = testutil::ParseNaively(scene.origin(), scene.entries);
  Dice dice(seed ^ 0x9e3779b97f4a7c15);
  PastState state(scene.origin());
  for (std::size_t size = 1; size <= scene.entries.size(); ++size) {
    ASSERT_TRUE(state.Add(scene.entries[size - 1]).ok());
    ASSERT_TRUE(state.Settle(scene.Reader()).ok());
    const testutil::NaiveWorld world(naive, size);
    const UnixNanos received = naive.entries[size - 1].received;
    for (int i = 0; i < 3; ++i) {
      const Claim claim = RandomClaim(dice);
      const Acceptance accept = RandomAcceptance(dice);
      const UnixNanos now =
          dice.OneIn(6) ? received - 5 * kSecond : received + dice.Below(dice.OneIn(4) ? 60 * kSecond : 3 * kSecond);
      const bool frozen = dice.OneIn(200);
      const std::uint64_t checkpointed = dice.Between(size / 2, size);
      const auto fast =
          state.facts().Evaluate(claim, accept, state.sources(), now, frozen, checkpointed, scene.Reader());
      ASSERT_TRUE(fast.ok()) << fast.status();
      const auto slow = world.Evaluate(claim, accept, now, frozen, checkpointed);
      const std::string difference = Difference(*fast, slow);
      ASSERT_TRUE(difference.empty()) << "seed " << seed << " size " << size << ": " << Describe(claim, accept) << "\n"
                                      << difference << "\n"
                                      << Describe(naive, size);
      ++verdicts_seen[static_cast<std::size_t>(fast->verdict)];
      if (!frozen && dice.OneIn(40)) CheckValidUntil(state, claim, accept, *fast, checkpointed, scene.Reader());
    }
  }
  // A replica that folds everything first and settles at the end says the same.
  if (!dice.OneIn(20)) return;
  PastState replica(scene.origin());
  for (const std::string& entry : scene.entries) ASSERT_TRUE(replica.Add(entry).ok());
  ASSERT_TRUE(replica.Settle(scene.Reader()).ok());
  const testutil::NaiveWorld world(naive, scene.entries.size());
  for (int i = 0; i < 10; ++i) {
    const Claim claim = RandomClaim(dice);
    const Acceptance accept = RandomAcceptance(dice);
    const auto answer = replica.facts().Evaluate(claim, accept, replica.sources(), scene.now, false, 0, scene.Reader());
    ASSERT_TRUE(answer.ok());
    ASSERT_EQ(Difference(*answer, world.Evaluate(claim, accept, scene.now, false, 0)), "")
        << "seed " << seed << " " << Describe(claim, accept);
  }
}

// Sanitizers cost much and find what they find in the first histories.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::uint64_t kHistories = 1'000;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr std::uint64_t kHistories = 1'000;
#else
constexpr std::uint64_t kHistories = 10'000;
#endif
#else
constexpr std::uint64_t kHistories = 10'000;
#endif

// How many histories: VIRP_CLAIM_HISTORIES; the first seed: VIRP_CLAIM_SEED.
std::uint64_t FromEnvironment(const char* name, std::uint64_t fallback) {
  const char* text = std::getenv(name);
  return text == nullptr ? fallback : std::strtoull(text, nullptr, 10);
}

TEST(RandomHistories, TheFactBookAgreesWithTheNaiveEvaluatorAtEveryChainSize) {
  const std::uint64_t first = FromEnvironment("VIRP_CLAIM_SEED", 1);
  const std::uint64_t histories = FromEnvironment("VIRP_CLAIM_HISTORIES", kHistories);
  for (std::uint64_t seed = first; seed < first + histories && !::testing::Test::HasFailure(); ++seed)
    CheckHistory(seed);
  for (std::size_t verdict = 1; verdict < verdicts_seen.size(); ++verdict) {
    RecordProperty(std::string(VerdictName(static_cast<Verdict>(verdict))), std::to_string(verdicts_seen[verdict]));
    if (histories >= 1'000)
      EXPECT_GT(verdicts_seen[verdict], histories / 50) << VerdictName(static_cast<Verdict>(verdict));
  }
}

}  // namespace
}  // namespace virp::onode
