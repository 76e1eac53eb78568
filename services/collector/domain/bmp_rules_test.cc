#include "services/collector/domain/bmp_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/collector/domain/bmp_router_test_util.h"

namespace virp::collector {
namespace {

using bmp::testing::BasicAttributes;
using bmp::testing::Cat;
using bmp::testing::PeerBytes;
using std::chrono::seconds;
using testing::Announce;
using testing::Cease;
using testing::Down;
using ::testing::ElementsAre;
using testing::EndOfRib;
using testing::RouterBench;
using testing::Routes;
using ::testing::UnorderedElementsAre;
using testing::Up;
using testing::Withdraw;
using testing::WithTwoRoutes;

// ---- RED ----

TEST(BmpRed, ARestatedFactIsRedWhileTheRuleHolds) {
  auto options = Routes();
  options.red.protected_prefixes = {{Prefix::Parse("203.0.113.0/24").value(), {64501}}};
  options.red.sessions_lost = 1;
  options.red.within = seconds(10);
  RouterBench bench(options);
  const PeerBytes other = {.address = "192.0.2.9", .as = 64509, .bgp_id = "192.0.2.9"};
  bench.Connect();
  bench.Feed(
      Cat(RouterBench::Initiation(), Up(), Announce("203.0.113.0/24", {}, BasicAttributes("192.0.2.2", {64501, 64510})),
          Announce("198.51.100.0/24"), EndOfRib(), Up(other), Down(4, "", other), Up(other), Down(4, "", other)));
  bench.Pass(seconds(1));
  bench.output.Take();
  bench.router->Restate(true);
  bench.Pass(seconds(1));
  // Peers have no order among each other; a table is complete after its routes.
  const auto restated = bench.output.Take();
  EXPECT_THAT(
      restated,
      UnorderedElementsAre(
          "1 RED 192.0.2.9 Established>Idle sessions_lost restated", "1 GREEN 192.0.2.2 Unknown>Established restated",
          "3 GREEN route_announce 192.0.2.2 adj-in-pre 198.51.100.0/24#0 restated",
          "3 RED route_announce 192.0.2.2 adj-in-pre 203.0.113.0/24#0 protected_prefix_origin restated",
          "3 GREEN table_complete 192.0.2.2 adj-in-pre restated"));
  EXPECT_EQ(restated.back(), "3 GREEN table_complete 192.0.2.2 adj-in-pre restated");
  bench.router->Restate(false);
  bench.Pass(seconds(11));
  EXPECT_THAT(bench.output.Take(), UnorderedElementsAre("1 GREEN 192.0.2.9 Established>Idle restated",
                                                        "1 GREEN 192.0.2.2 Unknown>Established restated"));
}

TEST(BmpRed, AProtectedPrefixChangesOriginOrDisappears) {
  auto options = Routes();
  options.red.protected_prefixes = {{Prefix::Parse("203.0.113.0/24").value(), {64501}}};
  auto bench = WithTwoRoutes(options);
  const PeerBytes other = {.address = "192.0.2.9", .as = 64509, .bgp_id = "192.0.2.9"};
  bench->Feed(Cat(Up(other), Announce("203.0.113.0/25", other, BasicAttributes("192.0.2.9", {64509})),
                  Announce("203.0.113.0/24", other, BasicAttributes("192.0.2.9", {64509, 64501}))));
  EXPECT_THAT(bench->output.Take(),
              ElementsAre("1 GREEN 192.0.2.9 Unknown>Established",
                          "3 RED route_announce 192.0.2.9 adj-in-pre 203.0.113.0/25#0 protected_prefix_origin",
                          "3 GREEN route_announce 192.0.2.9 adj-in-pre 203.0.113.0/24#0"));
  bench->Feed(Withdraw("203.0.113.0/24"));
  EXPECT_THAT(bench->output.Take(), ElementsAre("3 GREEN route_withdraw 192.0.2.2 adj-in-pre 203.0.113.0/24#0"));
  bench->Feed(Down(4, "", other));
  EXPECT_THAT(bench->output.Take(), ElementsAre("1 RED 192.0.2.9 Established>Idle protected_prefix_gone",
                                                "2 RED 192.0.2.9 down after Established protected_prefix_gone"));
}

TEST(BmpRed, ManySessionsLostAndMaximumPrefix) {
  auto options = Routes();
  options.red.sessions_lost = 1;
  options.red.within = seconds(10);
  options.red.maximum_prefix = true;
  RouterBench bench(options);
  bench.Connect();
  bench.Feed(Cat(RouterBench::Initiation(), Up(), Down(4), Up(), Down(4)));
  EXPECT_THAT(bench.output.Take(),
              ElementsAre("1 GREEN 192.0.2.2 Unknown>Established", "1 YELLOW 192.0.2.2 Established>Idle",
                          "2 YELLOW 192.0.2.2 down after Established", "1 GREEN 192.0.2.2 Idle>Established",
                          "1 RED 192.0.2.2 Established>Idle sessions_lost",
                          "2 RED 192.0.2.2 down after Established sessions_lost"));
  bench.Pass(seconds(11));
  bench.Feed(Cat(Up(), Down(1, Cease(1))));
  EXPECT_EQ(bench.output.Take().back(), "2 RED 192.0.2.2 down after Established maximum_prefix");
}

}  // namespace
}  // namespace virp::collector
