#include "lib/vrp/validate.h"

#include <nlohmann/json.hpp>

#include "lib/vrp/builder.h"
#include "lib/vrp/test_payloads.h"
#include "tests/testutil/status_matchers.h"

namespace virp::vrp {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::virp::testutil::IsOk;
using Json = nlohmann::json;

std::shared_ptr<const Payloads> Set(const std::vector<std::tuple<std::string, int, std::uint32_t>>& vrps) {
  Builder builder;
  for (const auto& [prefix, max, as] : vrps)
    EXPECT_OK(builder.Add(*Prefix::Parse(prefix), static_cast<std::uint64_t>(max), as));
  return std::make_shared<const Payloads>(std::move(builder).Build().payloads);
}

std::string Answer(const RouteValidator& validator, std::string_view route, std::uint32_t origin) {
  const RouteAnswer answer = validator.Check(*Prefix::Parse(route), origin);
  std::string out(Text(answer.state));
  if (answer.reason != InvalidReason::kNone) out.append(" ").append(Text(answer.reason));
  return out;
}

TEST(Validate, AsRfc6811Says) {
  const RouteValidator validator(Set({{"10.0.0.0/8", 16, 1},
                                      {"10.0.0.0/8", 24, 2},
                                      {"10.1.0.0/16", 16, 0},
                                      {"0.0.0.0/0", 0, 3},
                                      {"192.0.2.0/24", 24, 0},
                                      {"2001:db8::/32", 48, 1},
                                      {"::/0", 0, 9}}));
  EXPECT_EQ(Answer(validator, "10.0.0.0/8", 1), "valid");
  EXPECT_EQ(Answer(validator, "10.2.0.0/16", 1), "valid");
  EXPECT_EQ(Answer(validator, "10.2.3.0/24", 1), "invalid length");
  EXPECT_EQ(Answer(validator, "10.2.3.0/24", 2), "valid");
  EXPECT_EQ(Answer(validator, "10.2.3.0/24", 4), "invalid as");
  EXPECT_EQ(Answer(validator, "10.1.0.0/16", 1), "valid");
  EXPECT_EQ(Answer(validator, "10.1.0.0/16", 0), "invalid as");
  EXPECT_EQ(Answer(validator, "192.0.2.0/24", 0), "invalid as");
  EXPECT_EQ(Answer(validator, "0.0.0.0/0", 3), "valid");
  EXPECT_EQ(Answer(validator, "11.0.0.0/8", 3), "invalid length");
  EXPECT_EQ(Answer(validator, "255.255.255.255/32", 4), "invalid as");
  EXPECT_EQ(Answer(validator, "2001:db8:1::/48", 1), "valid");
  EXPECT_EQ(Answer(validator, "2001:db8:1::/49", 1), "invalid length");
  EXPECT_EQ(Answer(validator, "::/0", 9), "valid");
  const RouteValidator none(Set({{"10.0.0.0/9", 16, 1}}));
  EXPECT_EQ(Answer(none, "10.0.0.0/8", 1), "not-found");
  EXPECT_EQ(Answer(none, "10.128.0.0/16", 1), "not-found");
  EXPECT_EQ(Answer(none, "9.0.0.0/8", 1), "not-found");
  EXPECT_EQ(Answer(none, "2001:db8::/32", 1), "not-found");
  EXPECT_EQ(Answer(RouteValidator(Set({})), "10.0.0.0/8", 1), "not-found");
}

struct Naive {
  RouteAnswer answer;
  std::size_t matched = 0;
  std::size_t unmatched_as = 0;
  std::size_t unmatched_length = 0;
};

template <typename Vrp>
void Look(const std::vector<Vrp>& vrps, const Prefix& route, std::uint32_t origin, Naive& out) {
  for (const Vrp& v : vrps) {
    if (!PrefixOf(v).Contains(route)) continue;
    if (v.as != origin || origin == 0) {
      ++out.unmatched_as;
    } else if (route.length() > v.max_length) {
      ++out.unmatched_length;
    } else {
      ++out.matched;
    }
  }
}

TEST(Validate, AgreesWithLookingAtEachVrp) {
  Random random(31);
  std::array<int, 5> seen = {};
  for (int round = 0; round < 150; ++round) {
    const auto set = std::make_shared<const Payloads>(RandomPayloads(random, static_cast<int>(Below(random, 120))));
    const RouteValidator validator(set);
    for (int route_number = 0; route_number < 200; ++route_number) {
      // Routes at, around and far from VRPs.
      const bool v6 = Below(random, 2) == 0;
      Vrp4 v4 = RandomVrp4(random);
      Vrp6 six = RandomVrp6(random);
      if (Below(random, 3) == 0) v4.address ^= 1U << Below(random, 32);
      if (Below(random, 3) == 0) (Below(random, 2) == 0 ? six.high : six.low) ^= 1ULL << Below(random, 64);
      if (Below(random, 2) == 0) v4.length = static_cast<std::uint8_t>(Below(random, 33));
      if (Below(random, 2) == 0) six.length = static_cast<std::uint8_t>(Below(random, 129));
      const Prefix route = v6 ? PrefixOf(six) : PrefixOf(v4);
      const std::uint32_t origin = Below(random, 5);
      Naive want;
      v6 ? Look(set->vrps6, route, origin, want) : Look(set->vrps4, route, origin, want);
      const RouteValidity got = validator.Explain(route, origin);
      ASSERT_EQ(got.matched.size(), want.matched) << route.ToString();
      ASSERT_EQ(got.unmatched_as.size(), want.unmatched_as) << route.ToString();
      ASSERT_EQ(got.unmatched_length.size(), want.unmatched_length) << route.ToString();
      for (const auto* list : {&got.matched, &got.unmatched_as, &got.unmatched_length}) {
        for (const CoveringVrp& v : *list) ASSERT_TRUE(v.prefix.Contains(route));
      }
      const RouteState state = want.matched > 0                                ? RouteState::kValid
                               : want.unmatched_as + want.unmatched_length > 0 ? RouteState::kInvalid
                                                                               : RouteState::kNotFound;
      ASSERT_EQ(got.answer.state, state) << route.ToString();
      const RouteAnswer checked = validator.Check(route, origin);
      ASSERT_EQ(checked.state, state);
      ASSERT_EQ(checked.reason, got.answer.reason);
      const InvalidReason reason = state != RouteState::kInvalid ? InvalidReason::kNone
                                   : want.unmatched_length > 0   ? InvalidReason::kLength
                                                                 : InvalidReason::kAs;
      ASSERT_EQ(checked.reason, reason);
      ++seen[static_cast<std::size_t>(state)];
      ++seen[2 + static_cast<std::size_t>(reason)];
    }
  }
  for (const int times : seen) EXPECT_GT(times, 500);
}

// Large enough that searches begin at a slot of the address, with VRPs in few slots and in the first and last ones.
TEST(Validate, ALargeTableIsEnteredByAddress) {
  Random random(32);
  Builder builder;
  for (std::uint32_t i = 0; i < 15'000; ++i) {
    Vrp4 v4{static_cast<std::uint32_t>(random()), Below(random, 3), 0, static_cast<std::uint8_t>(1 + Below(random, 24)),
            32};
    Vrp6 v6{random(), random(), Below(random, 3), 0, static_cast<std::uint8_t>(1 + Below(random, 128)), 128};
    if (i % 2 == 0) v6.high = (v6.high >> 3) | (1ULL << 61);
    if (i % 16 == 0) v4.address = i % 32 == 0 ? Below(random, 1 << 16) : ~Below(random, 1 << 16);
    ASSERT_OK(builder.Add(v4));
    ASSERT_OK(builder.Add(v6));
  }
  const auto set = std::make_shared<const Payloads>(std::move(builder).Build().payloads);
  const RouteValidator validator(set);
  for (int round = 0; round < 300; ++round) {
    const Vrp4& v4 = set->vrps4[random() % set->vrps4.size()];
    const Vrp6& v6 = set->vrps6[random() % set->vrps6.size()];
    Prefix route = round % 2 == 0 ? PrefixOf(v4) : PrefixOf(v6);
    if (round % 4 > 1)
      route = round % 2 == 0 ? PrefixOf(Vrp4{static_cast<std::uint32_t>(random()), 0, 0, 24, 24})
                             : PrefixOf(Vrp6{random(), 0, 0, 0, 48, 48});
    Naive want;
    round % 2 == 0 ? Look(set->vrps4, route, 1, want) : Look(set->vrps6, route, 1, want);
    const RouteValidity got = validator.Explain(route, 1);
    ASSERT_EQ(got.matched.size(), want.matched) << route.ToString();
    ASSERT_EQ(got.unmatched_as.size(), want.unmatched_as) << route.ToString();
    ASSERT_EQ(got.unmatched_length.size(), want.unmatched_length) << route.ToString();
  }
}

TEST(Validate, OfManyThatCoverARouteSomeAreShown) {
  constexpr std::size_t kMost = RouteValidity::kMostShown;
  std::vector<std::tuple<std::string, int, std::uint32_t>> vrps;
  for (std::uint32_t as = 1; as <= kMost + 50; ++as) vrps.emplace_back("10.0.0.0/8", 24, as);
  for (int length = 9; length <= 20; ++length) vrps.emplace_back("10.0.0.0/8", length, 7);
  const RouteValidator validator(Set(vrps));
  const Prefix route = *Prefix::Parse("10.2.0.0/24");
  const RouteValidity some = validator.Explain(route, 7);
  EXPECT_EQ(some.answer.state, RouteState::kValid);
  EXPECT_THAT(some.matched, SizeIs(1));
  EXPECT_THAT(some.unmatched_length, SizeIs(12));
  EXPECT_THAT(some.unmatched_as, SizeIs(kMost));
  EXPECT_EQ(some.left_out, 49U);
  EXPECT_EQ(Json::parse(ValidityJson(route, 7, some, 0))["validated_route"]["validity"]["VRPs"]["left_out"], 49);
}

TEST(Validate, TheAnswerHasTheShapeOfRoutinator) {
  const RouteValidator validator(Set({{"10.0.0.0/8", 16, 1}, {"10.2.0.0/16", 16, 1}, {"10.0.0.0/8", 24, 2}}));
  const Prefix route = *Prefix::Parse("10.2.3.0/24");
  const Json invalid = Json::parse(ValidityJson(route, 1, validator.Explain(route, 1), 1'795'345'612));
  EXPECT_EQ(invalid["generatedTime"], "2026-11-22T11:06:52Z");
  EXPECT_EQ(invalid["validated_route"]["route"], Json({{"origin_asn", "AS1"}, {"prefix", "10.2.3.0/24"}}));
  const Json& validity = invalid["validated_route"]["validity"];
  EXPECT_EQ(validity["state"], "invalid");
  EXPECT_EQ(validity["reason"], "length");
  EXPECT_TRUE(validity["description"].is_string());
  EXPECT_EQ(validity["VRPs"]["matched"], Json::array());
  EXPECT_EQ(validity["VRPs"]["unmatched_as"],
            Json::array({{{"asn", "AS2"}, {"prefix", "10.0.0.0/8"}, {"max_length", "24"}}}));
  EXPECT_EQ(validity["VRPs"]["unmatched_length"],
            Json::array({{{"asn", "AS1"}, {"prefix", "10.2.0.0/16"}, {"max_length", "16"}},
                         {{"asn", "AS1"}, {"prefix", "10.0.0.0/8"}, {"max_length", "16"}}}));
  const Json valid = Json::parse(ValidityJson(route, 2, validator.Explain(route, 2), 0));
  EXPECT_EQ(valid["validated_route"]["validity"]["state"], "valid");
  EXPECT_FALSE(valid["validated_route"]["validity"].contains("reason"));
  EXPECT_THAT(valid["validated_route"]["validity"]["VRPs"]["matched"], SizeIs(1));
}

}  // namespace
}  // namespace virp::vrp
