#include "services/onode/domain/claim.h"

#include <gtest/gtest.h>

#include <limits>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "services/onode/domain/claim_test_util.h"

namespace virp::onode {
namespace {

// The field that is wrong is named as the API names it, for a program and in the message.
void ExpectNames(const absl::Status& status, std::string_view field) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << field;
  const auto fields = GetFields(status);
  ASSERT_EQ(fields.size(), 1U) << status;
  EXPECT_EQ(fields[0].field, field);
  EXPECT_TRUE(Message(status).starts_with(std::string(field) + ": ")) << status;
}
void ExpectRefused(const Acceptance& acceptance, std::string_view field) {
  ExpectNames(CheckAcceptance(acceptance), "acceptance." + std::string(field));
}
template <typename C, typename F>
void ExpectClaimRefused(C claim, F&& change, std::string_view field) {
  change(claim);
  ExpectNames(CheckClaim(claim, "claims[7]"), "claims[7]." + std::string(field));
}

TEST(CheckClaim, WellFormedOnesPass) {
  EXPECT_TRUE(CheckClaim(PeerIs()).ok());
  EXPECT_TRUE(CheckClaim(Route(false, "best", "2001:db8::/32")).ok());
  EXPECT_TRUE(CheckClaim(FieldClaim{.subject = "dns/a", .event = {}, .conditions = {}}).ok());
}

TEST(CheckClaim, Peers) {
  ExpectClaimRefused(PeerIs(), [](auto& c) { c.router = ""; }, "peer.router");
  ExpectClaimRefused(PeerIs(), [](auto& c) { c.router = "a/b"; }, "peer.router");
  ExpectClaimRefused(PeerIs(), [](auto& c) { c.vrf = ""; }, "peer.vrf");
  ExpectClaimRefused(PeerIs(), [](auto& c) { c.vrf = "a/b"; }, "peer.vrf");
  ExpectClaimRefused(PeerIs(), [](auto& c) { c.peer = "2001:DB8::1"; }, "peer.peer_address");
  ExpectClaimRefused(PeerIs(), [](auto& c) { c.peer = "edge-b"; }, "peer.peer_address");
  ExpectClaimRefused(PeerIs(), [](auto& c) { c.state = ""; }, "peer.state");
  ExpectClaimRefused(PeerIs(), [](auto& c) { c.state = "Estab\n"; }, "peer.state");
}

TEST(CheckClaim, RoutesAndFields) {
  ExpectClaimRefused(Route(), [](auto& c) { c.rib = "rib"; }, "route.rib");
  ExpectClaimRefused(Route(), [](auto& c) { c.prefix = "203.0.113.1/24"; }, "route.prefix");
  ExpectClaimRefused(Route(), [](auto& c) { c.prefix = "203.0.113.0"; }, "route.prefix");
  ExpectClaimRefused(Route(), [](auto& c) { c.next_hop = "::FFFF:1"; }, "route.next_hop");
  ExpectClaimRefused(Route(), [](auto& c) { c.peer = ""; }, "route.peer_address");

  using Op = FieldCondition::Op;
  const FieldClaim good{.subject = "dns/a", .event = "e", .conditions = {{"n", Op::kEq, true}}};
  EXPECT_TRUE(CheckClaim(good).ok());
  ExpectClaimRefused(good, [](auto& c) { c.subject = "dns"; }, "field.subject");
  ExpectClaimRefused(good, [](auto& c) { c.event.assign(129, 'e'); }, "field.event");
  ExpectClaimRefused(good, [](auto& c) { c.conditions.resize(17, c.conditions[0]); }, "field.conditions");
  ExpectClaimRefused(good, [](auto& c) { c.conditions[0].path = ""; }, "field.conditions[0].path");
  ExpectClaimRefused(
      good, [](auto& c) { c.conditions[0] = {"n", Op::kLt, std::string("x")}; }, "field.conditions[0].value");
  ExpectClaimRefused(
      good, [](auto& c) { c.conditions[0] = {"n", Op::kExists, std::string("x")}; }, "field.conditions[0].value");
  ExpectClaimRefused(
      good, [](auto& c) { c.conditions[0] = {"n", Op::kEq, std::numeric_limits<double>::quiet_NaN()}; },
      "field.conditions[0].value");
}

TEST(CheckAcceptance, Acceptances) {
  ExpectRefused({.max_age = std::chrono::nanoseconds(0)}, "max_age");
  ExpectRefused({.max_age = std::chrono::hours(1'000'000)}, "max_age");
  ExpectRefused({.max_event_age = std::chrono::nanoseconds(-1)}, "max_event_age");
  ExpectRefused({.worst_tier = frame::Tier::kBlack}, "worst_tier");
  ExpectRefused({.min_sources = 0}, "min_sources");
  ExpectRefused({.require_sources = {"a", "Not A Name"}}, "require_sources[1]");
  ExpectRefused({.exclude_sources = std::vector<std::string>(65, "a")}, "exclude_sources");
  ExpectRefused({.require_sources = {"a"}, .exclude_sources = {"a"}}, "exclude_sources");
}

TEST(VerdictName, NamesAreThoseOfTheApi) {
  EXPECT_EQ(VerdictName(Verdict::kChainFrozen), "CHAIN_FROZEN");
  EXPECT_EQ(VerdictName(Verdict::kConfirmed), "CONFIRMED");
}

}  // namespace
}  // namespace virp::onode
