// Field claims: any domain, conditions on payloads.
#include "services/onode/domain/claim_test_util.h"

namespace virp::onode {
namespace {

using Op = FieldCondition::Op;
using Says = SourceOpinion::Says;

constexpr auto kOther = static_cast<frame::Type>(64);

class Fields : public ::testing::Test {
 protected:
  Fields() {
    chain::Registration r = scene.Template("resolver-1");
    r.types = {64, 24};
    r.routers.clear();
    r.subject_prefixes = {"dns/zone."};
    scene.Register(r);
  }
  void Say(std::string_view fields) {
    scene.Say("resolver-1", kOther, fmt::format(R"({{"domain":"dns","subject":"zone.example",{}}})", fields));
  }
  FieldClaim Claim(std::vector<FieldCondition> conditions, std::string event = "serial") {
    return {.subject = "dns/zone.example", .event = std::move(event), .conditions = std::move(conditions)};
  }
  Verdict On(FieldCondition condition, std::string event = "serial") {
    return scene.VerdictOn(Claim({std::move(condition)}, std::move(event)));
  }
  bool Holds(FieldCondition condition) {
    const Verdict verdict = On(std::move(condition));
    EXPECT_TRUE(verdict == Verdict::kConfirmed || verdict == Verdict::kRefuted) << verdict;
    return verdict == Verdict::kConfirmed;
  }
  Scene scene;
};

TEST_F(Fields, EveryOperator) {
  Say(R"("event":"serial","n":7,"neg":-3,"d":0.5,"s":"up","b":true,"nil":null,"o":{"a":[1,2]})");
  EXPECT_TRUE(Holds({"n", Op::kEq, std::uint64_t{7}}));
  EXPECT_TRUE(Holds({"n", Op::kEq, std::int64_t{7}}));
  EXPECT_TRUE(Holds({"n", Op::kEq, 7.0}));
  EXPECT_FALSE(Holds({"n", Op::kEq, 7.5}));
  EXPECT_TRUE(Holds({"n", Op::kNeq, std::int64_t{8}}));
  EXPECT_FALSE(Holds({"n", Op::kNeq, std::int64_t{7}}));
  EXPECT_TRUE(Holds({"n", Op::kLt, 7.5}));
  EXPECT_FALSE(Holds({"n", Op::kLt, std::uint64_t{7}}));
  EXPECT_TRUE(Holds({"n", Op::kLe, std::uint64_t{7}}));
  EXPECT_TRUE(Holds({"n", Op::kGt, std::int64_t{-1}}));
  EXPECT_TRUE(Holds({"n", Op::kGe, 6.999}));
  EXPECT_TRUE(Holds({"neg", Op::kLt, std::uint64_t{0}}));
  EXPECT_TRUE(Holds({"neg", Op::kEq, std::int64_t{-3}}));
  EXPECT_TRUE(Holds({"neg", Op::kGt, -3.5}));
  EXPECT_TRUE(Holds({"d", Op::kEq, 0.5}));
  EXPECT_TRUE(Holds({"d", Op::kGt, std::int64_t{0}}));
  EXPECT_TRUE(Holds({"d", Op::kLt, std::uint64_t{1}}));
  EXPECT_TRUE(Holds({"s", Op::kEq, std::string("up")}));
  EXPECT_TRUE(Holds({"s", Op::kNeq, std::string("down")}));
  EXPECT_TRUE(Holds({"b", Op::kEq, true}));
  EXPECT_FALSE(Holds({"b", Op::kEq, false}));
  EXPECT_TRUE(Holds({"o.a.1", Op::kEq, std::uint64_t{2}}));
  EXPECT_TRUE(Holds({"nil", Op::kExists, true}));
  EXPECT_TRUE(Holds({"nothing", Op::kExists, false}));
  EXPECT_FALSE(Holds({"nothing", Op::kExists, true}));
}

TEST_F(Fields, WhatIsAbsentOrOfAnotherKindFulfilsNothing) {
  Say(R"("event":"serial","n":7,"s":"up")");
  EXPECT_FALSE(Holds({"nothing", Op::kNeq, std::string("down")}));
  EXPECT_FALSE(Holds({"n", Op::kNeq, std::string("7")}));
  EXPECT_FALSE(Holds({"s", Op::kNeq, std::int64_t{7}}));
  EXPECT_FALSE(Holds({"s", Op::kLt, std::int64_t{7}}));
  EXPECT_FALSE(Holds({"n", Op::kEq, true}));
}

TEST_F(Fields, IntegersAreComparedWithoutRounding) {
  Say(R"("event":"serial","big":18446744073709551615,"low":-9223372036854775808,"odd":9007199254740993)");
  EXPECT_TRUE(Holds({"big", Op::kEq, ~std::uint64_t{0}}));
  EXPECT_FALSE(Holds({"big", Op::kEq, 18446744073709551616.0}));
  EXPECT_TRUE(Holds({"big", Op::kLt, 18446744073709551616.0}));
  EXPECT_TRUE(Holds({"big", Op::kGt, std::int64_t{-1}}));
  EXPECT_TRUE(Holds({"low", Op::kEq, std::numeric_limits<std::int64_t>::min()}));
  EXPECT_TRUE(Holds({"low", Op::kEq, -9223372036854775808.0}));
  EXPECT_TRUE(Holds({"low", Op::kGt, -1e300}));
  EXPECT_TRUE(Holds({"odd", Op::kGt, 9007199254740992.0}));  // 2^53 and one more
}

TEST_F(Fields, TheNewestOfTheEventCounts) {
  Say(R"("event":"serial","n":1)");
  Say(R"("event":"other","n":2)");
  EXPECT_EQ(On({"n", Op::kEq, std::uint64_t{1}}), Verdict::kConfirmed);
  EXPECT_EQ(On({"n", Op::kEq, std::uint64_t{2}}, "other"), Verdict::kConfirmed);
  EXPECT_EQ(On({"n", Op::kEq, std::uint64_t{2}}, ""), Verdict::kConfirmed);  // whatever the event
  EXPECT_EQ(On({"n", Op::kEq, std::uint64_t{1}}, ""), Verdict::kRefuted);
  EXPECT_EQ(On({"n", Op::kEq, std::uint64_t{1}}, "third"), Verdict::kNoEvidence);
  Say(R"("event":"serial","n":3)");
  EXPECT_EQ(scene.VerdictOn(Claim({{"n", Op::kGt, std::uint64_t{2}}, {"n", Op::kLt, std::uint64_t{4}}})),
            Verdict::kConfirmed);
  EXPECT_EQ(scene.VerdictOn(Claim({{"n", Op::kGt, std::uint64_t{2}}, {"n", Op::kLt, std::uint64_t{3}}})),
            Verdict::kRefuted);
  EXPECT_EQ(scene.VerdictOn(Claim({})), Verdict::kConfirmed);  // it was said, and recently
}

TEST_F(Fields, SubjectsOutsideTheRegistrationSupportNothing) {
  scene.Say("resolver-1", kOther, R"({"domain":"dns","subject":"other.example","event":"serial","n":1})");
  FieldClaim claim = Claim({});
  claim.subject = "dns/other.example";
  EXPECT_EQ(scene.VerdictOn(claim), Verdict::kNoEvidence);
}

TEST_F(Fields, SubjectsOfTheBgpDomainAndOfSources) {
  scene.AddDaemon("d");
  scene.PeerUp("d");
  scene.Announce("d");
  scene.TableComplete("d");
  scene.Say("d", frame::Type::kBgpRouteUpdate, testutil::BestJson({}, "203.0.113.0/24", testutil::BgpPath{}));
  scene.Beat("d");
  const auto asks = [&](std::string subject, std::string event, FieldCondition condition) {
    return scene.VerdictOn(
        FieldClaim{.subject = std::move(subject), .event = std::move(event), .conditions = {std::move(condition)}});
  };
  EXPECT_EQ(asks("bgp/edge-a/default/peer/192.0.2.2", "peer_state_change", {"peer_as", Op::kEq, std::uint64_t{64501}}),
            Verdict::kConfirmed);
  const std::string path = "bgp/edge-a/default/adj-in-pre/192.0.2.2/203.0.113.0/24/0";
  EXPECT_EQ(asks(path, "route_announce", {"as_path", Op::kEq, std::string("64501 64510")}), Verdict::kConfirmed);
  EXPECT_EQ(asks(path, "route_withdraw", {"prefix", Op::kExists, true}), Verdict::kNoEvidence);
  EXPECT_EQ(asks("bgp/edge-a/default/best/203.0.113.0/24", "bestpath_change", {"new.peer_addr", Op::kExists, true}),
            Verdict::kConfirmed);
  EXPECT_EQ(asks("bgp/edge-a/default/adj-in-pre/192.0.2.2", "table_complete", {"rib", Op::kExists, true}),
            Verdict::kConfirmed);
  EXPECT_EQ(asks("source/d", "heartbeat", {"sources", Op::kExists, false}), Verdict::kConfirmed);
  EXPECT_EQ(asks("source/d", "source_registered", {"min_frame_version", Op::kEq, std::uint64_t{2}}),
            Verdict::kConfirmed);
  EXPECT_EQ(asks("bgp/edge-a/default/nonsense/192.0.2.2", "", {"rib", Op::kExists, true}), Verdict::kNoEvidence);

  // Both events of a path are kept.
  scene.Withdraw("d");
  EXPECT_EQ(asks(path, "route_announce", {"as_path", Op::kExists, true}), Verdict::kConfirmed);
  EXPECT_EQ(asks(path, "", {"as_path", Op::kExists, false}), Verdict::kConfirmed);
}

TEST_F(Fields, AnEntryThatIsNotTheOneThatWasFolded) {
  Say(R"("event":"serial","n":1)");
  const PastState& state = scene.Now();
  const auto evaluate = [&](const FactBook::EntryReader& read) {
    return state.facts()
        .Evaluate(Claim({{"n", Op::kEq, std::uint64_t{1}}}), {}, state.sources(), scene.now, false, 0, read)
        .status()
        .code();
  };
  EXPECT_EQ(evaluate(scene.Reader()), absl::StatusCode::kOk);
  EXPECT_EQ(evaluate([&](std::uint64_t) -> absl::StatusOr<std::string> { return scene.entries[0]; }),
            absl::StatusCode::kDataLoss);
  EXPECT_EQ(evaluate([&](std::uint64_t) -> absl::StatusOr<std::string> { return "short"; }),
            absl::StatusCode::kDataLoss);
  EXPECT_EQ(evaluate([&](std::uint64_t) -> absl::StatusOr<std::string> { return Unavailable("store"); }),
            absl::StatusCode::kUnavailable);
}

TEST_F(Fields, SubjectsAreListedInOrder) {
  scene.AddDaemon("d");
  scene.PeerUp("d");
  scene.Announce("d");
  scene.Withdraw("d");
  Say(R"("event":"serial","n":1)");
  const FactBook& facts = scene.Now().facts();
  const auto peer = facts.FindSubject("bgp/edge-a/default/peer/192.0.2.2");
  ASSERT_TRUE(peer.has_value());
  ASSERT_EQ(peer->sources.size(), 1U);
  EXPECT_EQ(peer->sources[0].state, "Established");
  const auto path = facts.FindSubject("bgp/edge-a/default/adj-in-pre/192.0.2.2/203.0.113.0/24/0");
  ASSERT_TRUE(path.has_value());
  EXPECT_EQ(path->sources[0].state, "absent");
  EXPECT_EQ(path->newest_entry, scene.entries.size() - 2);
  EXPECT_FALSE(facts.FindSubject("bgp/edge-a/default/peer/192.0.2.99").has_value());

  const auto all = facts.ListSubjects("", "", 100);
  ASSERT_EQ(all.size(), facts.subjects());
  for (std::size_t i = 1; i < all.size(); ++i) EXPECT_LT(all[i - 1].subject, all[i].subject);
  const auto page = facts.ListSubjects("bgp/", all[0].subject, 1);
  ASSERT_EQ(page.size(), 1U);
  EXPECT_EQ(page[0].subject, all[1].subject);
  EXPECT_EQ(facts.ListSubjects("dns/", "", 100).size(), 1U);
  EXPECT_GT(facts.MemoryBytes(), 0U);
}

}  // namespace
}  // namespace virp::onode
