#include "services/onode/transport/claim_wire.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/error_info.h"
#include "tests/testutil/status_matchers.h"

namespace virp::onode {
namespace {

namespace pb = ::virp::verify::v1;
using ::testing::ElementsAre;

template <typename Message>
Message Parse(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

// As it comes out again.
std::string ThereAndBack(const std::string& text) {
  const auto claim = ClaimOf(Parse<pb::Claim>(text), "claim");
  return claim.ok() ? MessageOf(*claim).ShortDebugString() : claim.status().ToString();
}

std::string FieldOf(const absl::Status& status) {
  const auto fields = GetFields(status);
  return fields.size() == 1 && absl::IsInvalidArgument(status) ? fields[0].field : status.ToString();
}

TEST(ClaimWire, WhatIsLeftOutIsFilledInAndSpellingsBecomeCanonical) {
  EXPECT_EQ(ThereAndBack(R"(peer { router: "edge-a" peer_address: "2001:DB8:0::1" })"),
            R"(peer { router: "edge-a" vrf: "default" peer_address: "2001:db8::1" state: "Established" })");
  EXPECT_EQ(ThereAndBack(R"(route { router: "edge-a" prefix: "198.51.100.0/24" })"),
            R"(route { router: "edge-a" vrf: "default" rib: "adj-in-pre" prefix: "198.51.100.0/24" })");
  EXPECT_EQ(ThereAndBack(R"(field { subject: "ntp/clock" conditions { path: "a" operator: OPERATOR_EXISTS } })"),
            R"(field { subject: "ntp/clock" conditions { path: "a" operator: OPERATOR_EXISTS bool_value: true } })");
}

TEST(ClaimWire, EverythingThatMayBeSaidComesOutAgain) {
  for (
      const char* text :
      {R"(peer { router: "edge-a" vrf: "red" peer_address: "192.0.2.1" peer_as: 4200000000 state: "down" negate: true })",
       R"(route { router: "edge-a" vrf: "red" rib: "best" prefix: "2001:db8::/32" absent: true origin_as: 64500 next_hop: "192.0.2.7" peer_address: "192.0.2.9" })",
       R"(field { subject: "ntp/clock" event: "sync" conditions { path: "a.b" operator: OPERATOR_EQ string_value: "x" } conditions { path: "c" operator: OPERATOR_LT number_value: 1.5 } conditions { path: "d" operator: OPERATOR_GE integer_value: -9223372036854775808 } conditions { path: "e" operator: OPERATOR_NEQ bool_value: false } })"}) {
    EXPECT_EQ(ThereAndBack(text), text);
  }
}

TEST(ClaimWire, EachMistakeIsNamedByItsField) {
  const std::pair<const char*, const char*> mistakes[] = {
      {"", "claims[3]"},
      {R"(peer { peer_address: "192.0.2.1" })", "claims[3].peer.router"},
      {R"(peer { router: "no/name" peer_address: "192.0.2.1" })", "claims[3].peer.router"},
      {R"(peer { router: "edge-a" })", "claims[3].peer.peer_address"},
      {R"(peer { router: "edge-a" peer_address: "192.0.2.256" })", "claims[3].peer.peer_address"},
      {R"(peer { router: "edge-a" peer_address: "192.0.2.1" vrf: "a/b" })", "claims[3].peer.vrf"},
      {R"(peer { router: "edge-a" peer_address: "192.0.2.1" state: "a\n" })", "claims[3].peer.state"},
      {R"(route { router: "edge-a" })", "claims[3].route.prefix"},
      {R"(route { router: "edge-a" prefix: "192.0.2.0/33" })", "claims[3].route.prefix"},
      {R"(route { router: "edge-a" prefix: "192.0.2.1/24" })", "claims[3].route.prefix"},
      {R"(route { router: "edge-a" prefix: "192.0.2.0/24" rib: "fib" })", "claims[3].route.rib"},
      {R"(route { router: "edge-a" prefix: "192.0.2.0/24" next_hop: "gateway" })", "claims[3].route.next_hop"},
      {R"(route { router: "edge-a" prefix: "192.0.2.0/24" peer_address: "::g" })", "claims[3].route.peer_address"},
      {R"(field { subject: "clock" })", "claims[3].field.subject"},
      {R"(field { subject: "ntp/clock" conditions { path: "a" string_value: "x" } })",
       "claims[3].field.conditions[0].operator"},
      {R"(field { subject: "ntp/clock" conditions { path: "a" operator: OPERATOR_EQ } })",
       "claims[3].field.conditions[0].value"},
      {R"(field { subject: "ntp/clock" conditions { path: "a" operator: OPERATOR_LT string_value: "x" } })",
       "claims[3].field.conditions[0].value"},
      {R"(field { subject: "ntp/clock" conditions { path: "a" operator: OPERATOR_LT number_value: nan } })",
       "claims[3].field.conditions[0].value"},
      {R"(field { subject: "ntp/clock" conditions { operator: OPERATOR_EQ bool_value: true } })",
       "claims[3].field.conditions[0].path"}};
  for (const auto& [text, field] : mistakes) {
    EXPECT_EQ(FieldOf(ClaimOf(Parse<pb::Claim>(text), "claims[3]").status()), field) << text;
  }
  pb::Claim unknown = Parse<pb::Claim>(R"(field { subject: "ntp/clock" conditions { path: "a" bool_value: true } })");
  for (const int number : {-1, 8, std::numeric_limits<int>::max(), std::numeric_limits<int>::min()}) {
    unknown.mutable_field()->mutable_conditions(0)->set_operator_(static_cast<pb::FieldCondition::Operator>(number));
    EXPECT_EQ(FieldOf(ClaimOf(unknown, "claim").status()), "claim.field.conditions[0].operator") << number;
  }
}

TEST(AcceptanceWire, WhatIsLeftOutIsTheDefault) {
  ASSERT_OK_AND_ASSIGN(const Acceptance acceptance, AcceptanceOf(pb::Acceptance()));
  EXPECT_EQ(MessageOf(acceptance).ShortDebugString(),
            "max_age { seconds: 30 } worst_tier: TIER_YELLOW min_sources: 1 independence: INDEPENDENCE_SIGNER "
            "chain_level: CHAIN_LEVEL_COMMITTED");
}

TEST(AcceptanceWire, EverythingThatMayBeSaidComesOutAgain) {
  const std::string text =
      "max_age { seconds: 1 nanos: 500000000 } max_event_age { seconds: 3600 } worst_tier: TIER_RED min_sources: 3 "
      "independence: INDEPENDENCE_ROUTER require_sources: \"edge-a.bgpd\" exclude_sources: \"edge-b.bgpd\" "
      "max_dissent: 2 chain_level: CHAIN_LEVEL_WITNESSED refuse_alarmed: true";
  ASSERT_OK_AND_ASSIGN(const Acceptance acceptance, AcceptanceOf(Parse<pb::Acceptance>(text)));
  EXPECT_EQ(MessageOf(acceptance).ShortDebugString(), text);
}

TEST(AcceptanceWire, EachMistakeIsNamedByItsField) {
  const std::pair<const char*, const char*> mistakes[] = {
      {"max_age {}", "acceptance.max_age"},
      {"max_age { seconds: -1 }", "acceptance.max_age"},
      {"max_age { nanos: -1 }", "acceptance.max_age"},
      {"max_age { nanos: 1000000000 }", "acceptance.max_age"},
      {"max_age { seconds: 315360001 }", "acceptance.max_age"},
      {"max_age { seconds: 9223372036854775807 }", "acceptance.max_age"},
      {"max_event_age { seconds: 9223372036854775807 }", "acceptance.max_event_age"},
      {"worst_tier: TIER_BLACK", "acceptance.worst_tier"},
      {"min_sources: 1001", "acceptance.min_sources"},
      {"require_sources: \"no name\"", "acceptance.require_sources[0]"},
      {"require_sources: \"a\" exclude_sources: \"a\"", "acceptance.exclude_sources"}};
  for (const auto& [text, field] : mistakes) {
    EXPECT_EQ(FieldOf(AcceptanceOf(Parse<pb::Acceptance>(text)).status()), field) << text;
  }
  for (const int number : {-1, 5, 77, std::numeric_limits<int>::max()}) {
    pb::Acceptance tier, independence, level;
    tier.set_worst_tier(static_cast<pb::Tier>(number));
    EXPECT_EQ(FieldOf(AcceptanceOf(tier).status()), "acceptance.worst_tier") << number;
    independence.set_independence(static_cast<pb::Independence>(number));
    EXPECT_EQ(FieldOf(AcceptanceOf(independence).status()), "acceptance.independence") << number;
    level.set_chain_level(static_cast<pb::ChainLevel>(number));
    EXPECT_EQ(FieldOf(AcceptanceOf(level).status()), "acceptance.chain_level") << number;
  }
}

SourceOpinion SomeOpinion() {
  SourceOpinion opinion;
  opinion.source = "edge-a.bmp";
  opinion.says = SourceOpinion::Says::kDissents;
  opinion.counted = true;
  opinion.doubt = kDoubtGap;
  opinion.entry = 7;
  opinion.beat_entry = 9;
  opinion.also = {8, 9};
  opinion.tier = frame::Tier::kYellow;
  opinion.strength = OriginStrength::kCollectorAsserted;
  opinion.channel = chain::ChannelState::kAlarmed;
  opinion.observed_at = 1'000'000'001;
  opinion.missing = {{.from = 3, .to = 5}};
  return opinion;
}

TEST(AnswerWire, SaysWhatTheVerdictRestsOn) {
  Answer answer;
  answer.verdict = Verdict::kIncomplete;
  answer.explanation = "frames 3 to 5 are missing";
  answer.opinions = {SomeOpinion()};
  answer.chain_size = 10;
  answer.evaluated_at = 2'000'000'000;
  answer.origin_strength = OriginStrength::kCollectorAsserted;
  EXPECT_EQ(MessageOf(answer).ShortDebugString(), Parse<pb::ClaimAnswer>(R"(
              verdict: VERDICT_INCOMPLETE explanation: "frames 3 to 5 are missing" chain_size: 10
              evaluated_at { seconds: 2 } origin_strength: ORIGIN_STRENGTH_COLLECTOR_ASSERTED
              opinions {
                source: "edge-a.bmp" says: SAYS_DISSENTS counted: true doubt: "GAP" entries: [7, 9, 8, 9]
                tier: TIER_YELLOW origin_strength: ORIGIN_STRENGTH_COLLECTOR_ASSERTED channel_state: "ALARMED"
                observed_at { seconds: 1 nanos: 1 } missing: "3-5"
              })")
                                                      .ShortDebugString());
}

TEST(AnswerWire, EntriesToProveAreThoseOfOpinionsThatCountedOnceEach) {
  Answer answer;
  answer.opinions = {SomeOpinion(), SomeOpinion(), SomeOpinion()};
  answer.opinions[1].entry = chain::kNone;  // it says nothing; its beat was seen
  answer.opinions[1].beat_entry = 4;
  answer.opinions[1].also.clear();
  answer.opinions[2].counted = false;
  answer.opinions[2].entry = 1;
  EXPECT_THAT(EntriesOf(answer), ElementsAre(7, 9, 8, 4));
}

}  // namespace
}  // namespace virp::onode
