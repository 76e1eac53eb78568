#include "services/collector/domain/bmp_router.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/collector/domain/bmp_router_test_util.h"

namespace virp::collector {
namespace {

using bmp::testing::AttributeBytes;
using bmp::testing::BasicAttributes;
using bmp::testing::CapabilityBytes;
using bmp::testing::Cat;
using bmp::testing::OpenBody;
using bmp::testing::PeerBytes;
using bmp::testing::PeerUpBytes;
using bmp::testing::RouteMonitoringBytes;
using bmp::testing::U16;
using bmp::testing::U32;
using bmp::testing::U8;
using bmp::testing::UpdateBody;
using std::chrono::seconds;
using testing::Announce;
using testing::Cease;
using testing::Contents;
using testing::Down;
using ::testing::ElementsAre;
using testing::EndOfRib;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::RouterBench;
using testing::Routes;
using testing::Up;
using testing::Withdraw;
using testing::WithTwoRoutes;

TEST(BmpRouter, SaysWhatHappens) {
  RouterBench bench(Routes());
  bench.Connect();
  bench.Feed(Cat(RouterBench::Initiation(), Up(), Announce("203.0.113.0/24"), Announce("203.0.113.0/24"),
                 Withdraw("198.51.100.0/24"), EndOfRib(), Withdraw("203.0.113.0/24"), Down(4)));
  EXPECT_THAT(bench.output.Take(),
              ElementsAre("1 GREEN 192.0.2.2 Unknown>Established",
                          "3 GREEN route_announce 192.0.2.2 adj-in-pre 203.0.113.0/24#0",
                          "3 GREEN table_complete 192.0.2.2 adj-in-pre",
                          "3 GREEN route_withdraw 192.0.2.2 adj-in-pre 203.0.113.0/24#0",
                          "1 YELLOW 192.0.2.2 Established>Idle", "2 YELLOW 192.0.2.2 down after Established"));
  const auto counters = bench.router->Status().counters;
  EXPECT_EQ(counters.unchanged, 1u);
  EXPECT_EQ(counters.unheld_withdrawals, 1u);
}

TEST(BmpRouter, WritesThePublishedKeysAndOurs) {
  RouterBench bench(Routes());
  bench.Connect();
  const std::string attributes = Cat(BasicAttributes("192.0.2.2", {64501, 64510}), AttributeBytes(0x80, 4, U32(7)),
                                     AttributeBytes(0xc0, 8, U32(0xfbf50064)));
  bench.Feed(Cat(RouterBench::Initiation(), Up(), Announce("203.0.113.0/24", {}, attributes),
                 Withdraw("203.0.113.0/24"), Down(3, Cease(2))));
  ASSERT_EQ(bench.output.items.size(), 5u);
  const auto payload = [&](std::size_t i) { return bench.output.items[i].observation.payload; };
  EXPECT_EQ(
      payload(0),
      R"({"domain":"bgp","event":"peer_state_change","peer":"192.0.2.2","peer_addr":"192.0.2.2","peer_as":64501,)"
      R"("local_as":64500,"router_id":"192.0.2.1","vrf":"default","old_state":"Unknown","new_state":"Established",)"
      R"("peer_bgp_id":"192.0.2.2","bmp_session":"plain","router_time":1700000000250000000})");
  EXPECT_EQ(
      payload(1),
      R"({"domain":"bgp","event":"route_announce","prefix":"203.0.113.0/24","peer":"192.0.2.2","peer_addr":"192.0.2.2",)"
      R"("peer_as":64501,"local_as":64500,"router_id":"192.0.2.1","vrf":"default","afi":1,"safi":1,"rib":"adj-in-pre",)"
      R"("path_id":0,"nexthop":"192.0.2.2","as_path":"64501 64510","origin":"IGP","med":7,"local_pref":null,)"
      R"("communities":["64501:100"],"bmp_session":"plain","router_time":1700000000250000000})");
  EXPECT_EQ(
      payload(2),
      R"({"domain":"bgp","event":"route_withdraw","prefix":"203.0.113.0/24","peer":"192.0.2.2","peer_addr":"192.0.2.2",)"
      R"("peer_as":64501,"local_as":64500,"router_id":"192.0.2.1","vrf":"default","afi":1,"safi":1,"rib":"adj-in-pre",)"
      R"("path_id":0,"bmp_session":"plain","router_time":1700000000250000000})");
  EXPECT_EQ(
      payload(4),
      R"({"domain":"bgp","event":"peer_down","peer":"192.0.2.2","peer_addr":"192.0.2.2","peer_as":64501,"local_as":64500,)"
      R"("router_id":"192.0.2.1","vrf":"default","last_state":"Established","last_event":0,"uptime":0,)"
      R"("bmp_session":"plain","router_time":1700000000250000000,)"
      R"("reason":"remote notification: Cease/Administrative Shutdown"})");
}

TEST(BmpRouter, PeerDownOfAPeerThatWasNotUpIsOnlyCounted) {
  RouterBench bench(Routes());
  bench.Connect();
  bench.Feed(Cat(RouterBench::Initiation(), Down(2, U16(0)), Down(2, U16(0))));
  EXPECT_THAT(bench.output.Take(), IsEmpty());
  EXPECT_EQ(bench.router->Status().counters.unheld_peer_downs, 2u);
  EXPECT_THAT(bench.router->Status().peers, IsEmpty());
}

TEST(BmpRouter, APeerNoLongerMonitoredIsUnknownNotDown) {
  auto bench = WithTwoRoutes();
  bench->Feed(Down(5));
  EXPECT_THAT(bench->output.Take(), ElementsAre("1 YELLOW 192.0.2.2 Established>Unknown"));
}

TEST(BmpRouter, AReconnectRepeatsNothing) {
  auto bench = WithTwoRoutes();
  EXPECT_TRUE(bench->router->connected());
  bench->session.reset();
  EXPECT_FALSE(bench->router->connected());
  EXPECT_THAT(bench->output.Take(), IsEmpty());
  bench->Connect();
  bench->Feed(Cat(RouterBench::Initiation(), Up(), Announce("203.0.113.0/24"), Announce("198.51.100.0/24")));
  bench->Pass(seconds(1));
  EXPECT_FALSE(bench->router->connected());  // the dump is not over
  bench->Feed(EndOfRib());
  bench->Pass(seconds(1));
  EXPECT_TRUE(bench->router->connected());
  EXPECT_THAT(bench->output.Take(), IsEmpty());
}

TEST(BmpRouter, WhatADumpDoesNotRestateIsWithdrawn) {
  auto bench = WithTwoRoutes();
  bench->Connect();
  bench->Feed(Cat(RouterBench::Initiation(), Up(), Announce("203.0.113.0/24", {}, BasicAttributes("192.0.2.3"))));
  EXPECT_THAT(bench->output.Take(), ElementsAre("3 GREEN route_announce 192.0.2.2 adj-in-pre 203.0.113.0/24#0"));
  bench->Feed(EndOfRib());
  EXPECT_THAT(bench->output.Take(),
              ElementsAre("3 GREEN route_withdraw 192.0.2.2 adj-in-pre 198.51.100.0/24#0 inferred"));
}

TEST(BmpRouter, QuietEndsADumpWithoutEndOfRib) {
  auto bench = WithTwoRoutes();
  bench->Connect();
  bench->Feed(Cat(RouterBench::Initiation(), Up(), Announce("203.0.113.0/24")));
  bench->Pass(seconds(29));
  bench->Feed(Announce("203.0.113.0/24", {}, BasicAttributes("192.0.2.3")));  // churn is not the dump going on
  EXPECT_EQ(bench->output.Take().size(), 1u);
  bench->Pass(seconds(1));
  EXPECT_THAT(bench->output.Take(),
              ElementsAre("3 GREEN route_withdraw 192.0.2.2 adj-in-pre 198.51.100.0/24#0 inferred"));
  EXPECT_TRUE(bench->router->connected());
}

TEST(BmpRouter, QuietDoesNotCountWhileNothingIsRead) {
  auto bench = WithTwoRoutes();
  bench->Connect();
  bench->Feed(Cat(RouterBench::Initiation(), Up(), Announce("203.0.113.0/24")));
  bench->clock.Advance(seconds(60));
  bench->router->Tick(/*paused=*/true);
  EXPECT_THAT(bench->output.Take(), IsEmpty());
  bench->Pass(seconds(30));
  EXPECT_EQ(bench->output.Take().size(), 1u);
}

TEST(BmpRouter, EndOfRibInFrontOfTheRoutesIsNotBelieved) {
  auto bench = WithTwoRoutes();
  bench->Connect();
  bench->Feed(
      Cat(RouterBench::Initiation(), Up(), EndOfRib(), Announce("203.0.113.0/24"), Announce("198.51.100.0/24")));
  bench->Pass(seconds(31));
  EXPECT_THAT(bench->output.Take(), IsEmpty());
  EXPECT_TRUE(bench->router->connected());
}

TEST(BmpRouter, APeerThatIsGoneAfterAReconnectIsLost) {
  auto bench = WithTwoRoutes();
  bench->Connect();
  bench->Feed(RouterBench::Initiation());
  bench->Pass(seconds(29));
  EXPECT_THAT(bench->output.Take(), IsEmpty());
  bench->Pass(seconds(2));
  EXPECT_THAT(bench->output.Take(), ElementsAre("1 YELLOW 192.0.2.2 Established>Idle inferred",
                                                "2 YELLOW 192.0.2.2 down after Established inferred"));
  EXPECT_TRUE(bench->router->connected());
  EXPECT_EQ(bench->router->Status().paths, 0u);
}

TEST(BmpRouter, AnotherPeerUnderTheSameAddressIsALossAndAnUp) {
  auto bench = WithTwoRoutes();
  bench->Connect();
  bench->Feed(Cat(RouterBench::Initiation(), Up({.as = 64777})));
  EXPECT_THAT(bench->output.Take(),
              ElementsAre("1 YELLOW 192.0.2.2 Established>Idle inferred",
                          "2 YELLOW 192.0.2.2 down after Established inferred", "1 GREEN 192.0.2.2 Idle>Established"));
}

TEST(BmpRouter, RestatesPeersEveryQuarterOfAnHour) {
  auto bench = WithTwoRoutes();
  bench->Pass(seconds(850));
  EXPECT_THAT(bench->output.Take(), IsEmpty());
  bench->Pass(seconds(50));
  EXPECT_THAT(bench->output.Take(), ElementsAre("1 GREEN 192.0.2.2 Unknown>Established restated"));
}

TEST(BmpRouter, RestatesTablesInSmallStepsOnRequest) {
  auto bench = WithTwoRoutes();
  bench->router->Restate(true);
  bench->router->Tick();
  ASSERT_TRUE(bench->router->RestateSome(2));
  bench->Feed(Withdraw("203.0.113.0/24"));
  while (bench->router->RestateSome(1)) {
  }
  EXPECT_THAT(bench->output.Take(),
              ElementsAre("1 GREEN 192.0.2.2 Unknown>Established restated",
                          "3 GREEN route_announce 192.0.2.2 adj-in-pre 198.51.100.0/24#0 restated",
                          "3 GREEN route_withdraw 192.0.2.2 adj-in-pre 203.0.113.0/24#0",
                          "3 GREEN table_complete 192.0.2.2 adj-in-pre restated"));
}

TEST(BmpRouter, ARestartRestatesPeersOnceTheDumpIsCompared) {
  auto bench = WithTwoRoutes();
  const auto before = Contents(*bench->tables->Find(testing::kSource));
  ASSERT_EQ(before.size(), 2u);
  bench->Restart();
  EXPECT_EQ(Contents(*bench->tables->Find(testing::kSource)), before);
  bench->Pass(seconds(1000));
  EXPECT_THAT(bench->output.Take(), IsEmpty());  // nothing is known while the router is not connected
  bench->Connect();
  bench->Feed(
      Cat(RouterBench::Initiation(), Up(), Announce("203.0.113.0/24"), Announce("198.51.100.0/24"), EndOfRib()));
  bench->Pass(seconds(1));
  EXPECT_THAT(bench->output.Take(), ElementsAre("1 GREEN 192.0.2.2 Unknown>Established restated"));
}

TEST(BmpRouter, ModeEventsSaysNothingOfRoutes) {
  BmpRouterOptions options;
  auto bench = WithTwoRoutes(options);
  EXPECT_TRUE(bench->router->connected());
  bench->Feed(Cat(Announce("203.0.113.0/24"), Down(4)));
  EXPECT_EQ(bench->output.Take().size(), 2u);
}

TEST(BmpRouter, ModePrefixesKeepsTheListAndWhatIsInIt) {
  BmpRouterOptions options;
  options.mode = BmpMode::kPrefixes;
  options.prefixes = {Prefix::Parse("203.0.112.0/23").value()};
  RouterBench bench(options);
  bench.Connect();
  bench.Feed(Cat(RouterBench::Initiation(), Up(), Announce("203.0.113.0/24"), Announce("198.51.100.0/24"), EndOfRib()));
  EXPECT_THAT(bench.output.Take(), ElementsAre("1 GREEN 192.0.2.2 Unknown>Established",
                                               "3 GREEN route_announce 192.0.2.2 adj-in-pre 203.0.113.0/24#0",
                                               "3 GREEN table_complete 192.0.2.2 adj-in-pre of 1"));
}

TEST(BmpRouter, BeyondTheBoundThePeerFallsBackToEvents) {
  auto options = Routes();
  options.max_paths = 2;
  auto bench = WithTwoRoutes(options);
  bench->Feed(Cat(Announce("192.0.2.0/24"), Announce("192.0.2.128/25"), Withdraw("203.0.113.0/24")));
  EXPECT_THAT(
      bench->output.Take(),
      ElementsAre("3 GREEN route_withdraw 192.0.2.2 adj-in-pre 198.51.100.0/24#0 inferred",
                  "3 GREEN route_withdraw 192.0.2.2 adj-in-pre 203.0.113.0/24#0 inferred",
                  "3 YELLOW table_complete 192.0.2.2 adj-in-pre of 0", "23 YELLOW alarm edge-a.bmp BMP_PATH_LIMIT x1"));
  bench->Feed(Down(4));
  EXPECT_EQ(bench->output.Take().size(), 2u);
}

TEST(BmpRouter, AnUnreadableUpdateTakesTheTablesCompletenessBack) {
  auto bench = WithTwoRoutes();
  const std::string bad = UpdateBody("", "", "\x21");  // a prefix of 33 bits
  bench->Feed(RouteMonitoringBytes({}, bad));
  EXPECT_THAT(bench->output.Take(), ElementsAre("3 YELLOW table_complete 192.0.2.2 adj-in-pre of 0",
                                                "23 YELLOW alarm edge-a.bmp BMP_MALFORMED_UPDATE x1"));
  bench->Feed(RouteMonitoringBytes({}, bad));
  EXPECT_THAT(bench->output.Take(), IsEmpty());
  bench->Pass(seconds(60));
  EXPECT_THAT(bench->output.Take(), ElementsAre("23 YELLOW alarm edge-a.bmp BMP_MALFORMED_UPDATE x1"));
}

TEST(BmpRouter, RoutesOfAPeerThatIsNotUpAreCounted) {
  RouterBench bench(Routes());
  bench.Connect();
  bench.Feed(Cat(RouterBench::Initiation(), Announce("203.0.113.0/24")));
  EXPECT_THAT(bench.output.Take(), IsEmpty());
  EXPECT_EQ(bench.router->Status().counters.routes_without_peer, 1u);
}

TEST(BmpRouter, HugeAttributesAreNamedByTheirDigest) {
  RouterBench bench(Routes());
  bench.Connect();
  std::string communities;
  for (std::uint32_t i = 0; i < 10'000; ++i) communities += U32(i);
  const std::string attributes = Cat(BasicAttributes(), AttributeBytes(0xd0, 8, communities));
  bench.Feed(Cat(RouterBench::Initiation(), Up(), Announce("203.0.113.0/24", {}, attributes)));
  const std::string& payload = bench.output.items.back().observation.payload;
  EXPECT_LT(payload.size(), 1'000u);
  EXPECT_NE(payload.find(R"("communities":null,"attributes_sha256":")"), std::string::npos);
  EXPECT_EQ(bench.output.Take().back().substr(0, 1), "3");
}

// ---- tables stated complete ----

constexpr std::string_view kFrr = "FRRouting 8.4.4";

TEST(BmpComplete, FrrsEndOfRibProvesNothing) {
  RouterBench bench(Routes());
  bench.Connect();
  // As bgpd sends it when nothing is kept from before policy: End-of-RIB, and withdrawals of what it does not find.
  bench.Feed(Cat(RouterBench::Initiation("edge-a", kFrr), Up(), EndOfRib(), Withdraw("203.0.113.0/24")));
  bench.Pass(seconds(31));
  EXPECT_TRUE(bench.router->connected());
  EXPECT_THAT(bench.output.Take(), ElementsAre("1 GREEN 192.0.2.2 Unknown>Established"));
  EXPECT_FALSE(bench.router->Status().peers.at(0).views[0].complete);
  // The view is shown after all; others may follow the first.
  bench.Feed(Announce("203.0.113.0/24"));
  bench.Pass(seconds(29));
  bench.Feed(Announce("198.51.100.0/24"));
  bench.Pass(seconds(29));
  EXPECT_EQ(bench.output.Take().size(), 2u);
  bench.Pass(seconds(1));
  EXPECT_THAT(bench.output.Take(), ElementsAre("3 GREEN table_complete 192.0.2.2 adj-in-pre"));
  EXPECT_TRUE(bench.router->connected());
}

TEST(BmpComplete, FrrsViewsAreProvedOneByOne) {
  const PeerBytes after_policy = {.flags = 0x40};
  RouterBench bench(Routes());
  bench.Connect();
  bench.Feed(Cat(RouterBench::Initiation("edge-a", kFrr), Up(), Announce("203.0.113.0/24"), EndOfRib(),
                 EndOfRib(after_policy)));
  bench.Pass(seconds(31));
  EXPECT_THAT(bench.output.Take(), ElementsAre("1 GREEN 192.0.2.2 Unknown>Established",
                                               "3 GREEN route_announce 192.0.2.2 adj-in-pre 203.0.113.0/24#0",
                                               "3 GREEN table_complete 192.0.2.2 adj-in-pre"));
}

TEST(BmpComplete, IsTakenBackWhenFrrShowsTheViewNoMore) {
  RouterBench bench(Routes());
  for (const bool shown : {true, false, true}) {
    bench.Connect();
    bench.Feed(Cat(RouterBench::Initiation("edge-a", kFrr), Up(), shown ? Announce("203.0.113.0/24") : "", EndOfRib()));
    bench.Pass(seconds(31));
    const auto said = bench.output.Take();
    EXPECT_EQ(said.back(), shown ? "3 GREEN table_complete 192.0.2.2 adj-in-pre"
                                 : "3 YELLOW table_complete 192.0.2.2 adj-in-pre of 0");
  }
}

TEST(BmpComplete, OnlyFamiliesThatWereShownAreStated) {
  const std::string both = Cat(CapabilityBytes(1, Cat(U16(1), U16(1))), CapabilityBytes(1, Cat(U16(2), U16(1))));
  RouterBench bench(Routes());
  bench.Connect();
  bench.Feed(Cat(RouterBench::Initiation(),
                 PeerUpBytes({}, OpenBody(64500, "192.0.2.1", both), OpenBody(64501, "192.0.2.2", both)),
                 Announce("203.0.113.0/24"), EndOfRib()));
  bench.Pass(seconds(31));
  ASSERT_EQ(bench.output.items.size(), 3u);
  EXPECT_NE(bench.output.items[2].observation.payload.find(R"("prefixes":["0.0.0.0/0"])"), std::string::npos);
  bench.output.Take();
  const std::string end_of_ipv6 = RouteMonitoringBytes({}, UpdateBody("", bmp::testing::MpUnreachBytes(2, 1, ""), ""));
  bench.Feed(end_of_ipv6);
  EXPECT_THAT(bench.output.Take(), ElementsAre("3 GREEN table_complete 192.0.2.2 adj-in-pre"));
  bench.Restart();  // and it is not said again
  bench.Connect();
  bench.Feed(Cat(RouterBench::Initiation(),
                 PeerUpBytes({}, OpenBody(64500, "192.0.2.1", both), OpenBody(64501, "192.0.2.2", both)),
                 Announce("203.0.113.0/24"), EndOfRib(), end_of_ipv6));
  bench.Pass(seconds(1));
  EXPECT_THAT(bench.output.Take(), ElementsAre("1 GREEN 192.0.2.2 Unknown>Established restated"));
}

TEST(BmpComplete, AnotherListOfPrefixesIsStatedAtTheNextDump) {
  BmpRouterOptions options;
  options.mode = BmpMode::kPrefixes;
  options.prefixes = {Prefix::Parse("203.0.113.0/24").value(), Prefix::Parse("2001:db8::/32").value()};
  auto bench = WithTwoRoutes(options);
  bench->options.routers[0].prefixes = {Prefix::Parse("198.51.100.0/24").value()};
  bench->Restart();
  bench->Connect();
  bench->Feed(
      Cat(RouterBench::Initiation(), Up(), Announce("203.0.113.0/24"), Announce("198.51.100.0/24"), EndOfRib()));
  bench->Pass(seconds(1));
  EXPECT_THAT(bench->output.Take(), ElementsAre("3 GREEN route_announce 192.0.2.2 adj-in-pre 198.51.100.0/24#0",
                                                "3 GREEN route_withdraw 192.0.2.2 adj-in-pre 203.0.113.0/24#0 inferred",
                                                "3 YELLOW table_complete 192.0.2.2 adj-in-pre of 1",
                                                "1 GREEN 192.0.2.2 Unknown>Established restated"));
}

TEST(BmpRouter, FrrsFailedSecondConnectionIsNoLoss) {
  RouterBench bench(Routes());
  bench.Connect();
  bench.Feed(Cat(RouterBench::Initiation("edge-a", kFrr), Up(), Announce("203.0.113.0/24")));
  bench.output.Take();
  bench.Feed(Cat(Down(2, U16(0), {.bgp_id = "0.0.0.0"}), Down(3, Cease(7), {.bgp_id = "0.0.0.0"})));
  EXPECT_THAT(bench.output.Take(), IsEmpty());
  EXPECT_EQ(bench.router->Status().counters.unheld_peer_downs, 2u);
  EXPECT_EQ(bench.router->Status().paths, 1u);
  bench.Feed(Down(4));
  EXPECT_EQ(bench.output.Take().size(), 2u);
}

// What was said last, as text.
std::string LastPayload(const RouterBench& bench) {
  return bench.output.items.back().observation.payload;
}

TEST(BmpComplete, NamesTheFirstFrameOfTheStatement) {
  RouterBench bench(Routes());
  bench.Connect();
  bench.Feed(Cat(RouterBench::Initiation(), Up(), Announce("203.0.113.0/24"), EndOfRib()));
  EXPECT_THAT(LastPayload(bench), HasSubstr(R"("event":"table_complete")"));
  EXPECT_THAT(LastPayload(bench), HasSubstr(R"("first_sequence":2,)"));
  EXPECT_EQ(bench.output.items.back().observation.epoch, 7u);
  bench.Feed(Announce("198.51.100.0/24"));  // the fourth
  bench.router->Restate(true);
  bench.Pass(seconds(1));  // the peer's state is the fifth
  EXPECT_THAT(LastPayload(bench), HasSubstr(R"("first_sequence":6,)"));
  EXPECT_THAT(LastPayload(bench), HasSubstr(R"("restated":true)"));
}

TEST(BmpComplete, AReconnectThatRepeatsNothingNamesNoFirstFrame) {
  RouterBench bench(Routes());
  bench.Connect();
  bench.Feed(
      Cat(RouterBench::Initiation(), Up(), Announce("203.0.113.0/24")));  // and the session ends before the dump does
  bench.Connect();
  bench.Feed(Cat(RouterBench::Initiation(), Up(), Announce("203.0.113.0/24"), EndOfRib()));
  EXPECT_THAT(LastPayload(bench), HasSubstr(R"("event":"table_complete")"));
  EXPECT_THAT(LastPayload(bench), Not(HasSubstr("first_sequence")));
}

TEST(BmpComplete, IsNotSaidInAnEpochThatTheTableWasNotSaidIn) {
  RouterBench bench(Routes());
  bench.Connect();
  bench.Feed(Cat(RouterBench::Initiation(), Up(), Announce("203.0.113.0/24")));
  bench.output.Take();
  bench.output.epoch = 8;
  bench.output.said = 0;
  bench.Feed(EndOfRib());
  EXPECT_THAT(bench.output.Take(), IsEmpty());
  bench.router->EpochOpened();
  bench.Pass(seconds(1));
  EXPECT_THAT(LastPayload(bench), HasSubstr(R"("first_sequence":2,)"));
  EXPECT_THAT(bench.output.Take(), ElementsAre("1 GREEN 192.0.2.2 Unknown>Established restated",
                                               "3 GREEN route_announce 192.0.2.2 adj-in-pre 203.0.113.0/24#0 restated",
                                               "3 GREEN table_complete 192.0.2.2 adj-in-pre restated"));
}

TEST(BmpComplete, ARestatementThatAnEpochCutsInTwoEndsWithoutAStatement) {
  auto bench = WithTwoRoutes();
  bench->router->Restate(true);
  bench->router->Tick();
  ASSERT_TRUE(bench->router->RestateSome(2));
  bench->output.epoch = 8;
  while (bench->router->RestateSome(1)) {
  }
  EXPECT_THAT(bench->output.Take(),
              ElementsAre("1 GREEN 192.0.2.2 Unknown>Established restated",
                          "3 GREEN route_announce 192.0.2.2 adj-in-pre 198.51.100.0/24#0 restated",
                          "3 GREEN route_announce 192.0.2.2 adj-in-pre 203.0.113.0/24#0 restated"));
  bench->router->EpochOpened();
  bench->Pass(seconds(1));
  EXPECT_EQ(bench->output.Take().back(), "3 GREEN table_complete 192.0.2.2 adj-in-pre restated");
}

TEST(BmpRouter, ALostFrameMakesItRestateAtAGrowingPace) {
  auto bench = WithTwoRoutes();
  const auto restates = [&](seconds after) {
    bench->router->LostFrame();
    bench->Pass(after);
    const auto said = bench->output.Take();
    EXPECT_TRUE(said.empty() || said.back() == "3 GREEN table_complete 192.0.2.2 adj-in-pre restated") << said.back();
    return said.size();
  };
  EXPECT_EQ(restates(seconds(1)), 4u);
  EXPECT_EQ(restates(seconds(59)), 0u);
  EXPECT_EQ(restates(seconds(1)), 4u);
  EXPECT_EQ(restates(seconds(119)), 0u);
  EXPECT_EQ(restates(seconds(1)), 4u);
  bench->router->LostFrame();
  bench->session.reset();  // it waits for the router
  bench->Pass(seconds(600));
  EXPECT_THAT(bench->output.Take(), IsEmpty());
}

TEST(BmpPayload, TheOriginIsReadBackAsItWasWritten) {
  EXPECT_EQ(OriginIn(R"("nexthop":"192.0.2.2","as_path":"64501 64510","origin":"IGP")", 64500), 64510u);
  EXPECT_EQ(OriginIn(R"("as_path":"64501")", 64500), 64501u);
  EXPECT_EQ(OriginIn(R"("as_path":"","origin":null)", 64500), 64500u);
  for (const char* none : {R"("as_path":"64501 {64510}")", R"("as_path":"64501 {1 2}")", R"("as_path":null)", "",
                           R"x("as_path":"(65001)")x"}) {
    EXPECT_EQ(OriginIn(none, 64500), std::nullopt) << none;
  }
}

// ---- sessions ----

TEST(BmpSession, NothingIsBelievedBeforeTheInitiation) {
  RouterBench bench(Routes());
  bench.Connect();
  EXPECT_FALSE(bench.session->Feed(Up()).ok());
  bench.Connect();
  EXPECT_FALSE(bench.session->Feed("GET / HTTP/1.1\r\n").ok());
  bench.Connect();
  EXPECT_FALSE(bench.session->Feed(Cat(U8(3), U32(1'000'000), U8(4))).ok());
  EXPECT_EQ(bench.router->Status().counters.sessions, 0u);
}

TEST(BmpSession, IsBoundHoweverItsBytesAreCut) {
  RouterBench bench(Routes());
  bench.Connect();
  for (const char byte : Cat(RouterBench::Initiation(), Up())) bench.Feed({&byte, 1});
  EXPECT_EQ(bench.output.Take().size(), 1u);
}

TEST(BmpSession, CannotChangeItsName) {
  RouterBench bench(Routes());
  bench.Connect();
  bench.Feed(RouterBench::Initiation());
  EXPECT_FALSE(bench.session->Feed(RouterBench::Initiation("edge-b")).ok());
}

}  // namespace
}  // namespace virp::collector
