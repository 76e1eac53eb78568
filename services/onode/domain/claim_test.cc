#include "services/onode/domain/claim.h"

#include <gtest/gtest.h>

#include <limits>

#include "lib/base/status.h"
#include "services/onode/domain/claim_test_util.h"

namespace virp::onode {
namespace {

// The message names the field that is wrong.
void ExpectRefused(const Claim& claim, const Acceptance& acceptance, std::string_view field) {
  const absl::Status status = CheckClaim(claim, acceptance);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << field;
  EXPECT_NE(Message(status).find(field), std::string_view::npos) << status;
}
template <typename C, typename F>
void ExpectClaimRefused(C claim, F&& change, std::string_view field) {
  change(claim);
  ExpectRefused(claim, {}, field);
}

TEST(CheckClaim, WellFormedOnesPass) {
  EXPECT_TRUE(CheckClaim(PeerIs(), {}).ok());
  EXPECT_TRUE(CheckClaim(Route(false, "best", "2001:db8::/32"), {}).ok());
  EXPECT_TRUE(CheckClaim(FieldClaim{.subject = "dns/a", .event = {}, .conditions = {}}, {}).ok());
}

TEST(CheckClaim, Peers) {
  ExpectClaimRefused(PeerIs(), [](auto& c) { c.router = ""; }, "router");
  ExpectClaimRefused(PeerIs(), [](auto& c) { c.router = "a/b"; }, "router");
  ExpectClaimRefused(PeerIs(), [](auto& c) { c.vrf = ""; }, "vrf");
  ExpectClaimRefused(PeerIs(), [](auto& c) { c.vrf = "a/b"; }, "vrf");
  ExpectClaimRefused(PeerIs(), [](auto& c) { c.peer = "2001:DB8::1"; }, "peer");
  ExpectClaimRefused(PeerIs(), [](auto& c) { c.peer = "edge-b"; }, "peer");
  ExpectClaimRefused(PeerIs(), [](auto& c) { c.state = ""; }, "state");
  ExpectClaimRefused(PeerIs(), [](auto& c) { c.state = "Estab\n"; }, "state");
}

TEST(CheckClaim, RoutesAndFields) {
  ExpectClaimRefused(Route(), [](auto& c) { c.rib = "rib"; }, "rib");
  ExpectClaimRefused(Route(), [](auto& c) { c.prefix = "203.0.113.1/24"; }, "prefix");
  ExpectClaimRefused(Route(), [](auto& c) { c.prefix = "203.0.113.0"; }, "prefix");
  ExpectClaimRefused(Route(), [](auto& c) { c.next_hop = "::FFFF:1"; }, "next hop");
  ExpectClaimRefused(Route(), [](auto& c) { c.peer = ""; }, "peer");

  using Op = FieldCondition::Op;
  const FieldClaim good{.subject = "dns/a", .event = "e", .conditions = {{"n", Op::kEq, true}}};
  EXPECT_TRUE(CheckClaim(good, {}).ok());
  ExpectClaimRefused(good, [](auto& c) { c.subject = "dns"; }, "subject");
  ExpectClaimRefused(good, [](auto& c) { c.event.assign(129, 'e'); }, "event");
  ExpectClaimRefused(good, [](auto& c) { c.conditions.resize(17, c.conditions[0]); }, "conditions");
  ExpectClaimRefused(good, [](auto& c) { c.conditions[0].path = ""; }, "conditions[0]: path");
  ExpectClaimRefused(good, [](auto& c) { c.conditions[0] = {"n", Op::kLt, std::string("x")}; }, "conditions[0]: value");
  ExpectClaimRefused(
      good, [](auto& c) { c.conditions[0] = {"n", Op::kExists, std::string("x")}; }, "conditions[0]: value");
  ExpectClaimRefused(
      good, [](auto& c) { c.conditions[0] = {"n", Op::kEq, std::numeric_limits<double>::quiet_NaN()}; }, "value");
}

TEST(CheckClaim, Acceptances) {
  const Claim claim = PeerIs();
  ExpectRefused(claim, {.max_age = std::chrono::nanoseconds(0)}, "max age");
  ExpectRefused(claim, {.max_age = std::chrono::hours(1'000'000)}, "max age");
  ExpectRefused(claim, {.max_event_age = std::chrono::nanoseconds(-1)}, "max event age");
  ExpectRefused(claim, {.worst_tier = frame::Tier::kBlack}, "worst tier");
  ExpectRefused(claim, {.min_sources = 0}, "min sources");
  ExpectRefused(claim, {.require_sources = {"Not A Name"}}, "require sources");
  ExpectRefused(claim, {.exclude_sources = std::vector<std::string>(65, "a")}, "exclude sources");
  ExpectRefused(claim, {.require_sources = {"a"}, .exclude_sources = {"a"}}, "exclude sources");
}

TEST(VerdictName, NamesAreThoseOfTheApi) {
  EXPECT_EQ(VerdictName(Verdict::kChainFrozen), "CHAIN_FROZEN");
  EXPECT_EQ(VerdictName(Verdict::kConfirmed), "CONFIRMED");
  EXPECT_EQ(OriginStrengthName(OriginStrength::kCollectorAsserted), "COLLECTOR_ASSERTED");
}

}  // namespace
}  // namespace virp::onode
