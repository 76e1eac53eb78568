// The bridge as it is run, asked octet by octet: what RFC 6810, RFC 8210 and draft-ietf-sidrops-8210bis-27 expect where
// other caches are known to do something else.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "lib/rtr/rtr_testing.h"
#include "lib/vrp/export.h"
#include "lib/vrp/json.h"
#include "lib/vrp/test_payloads.h"
#include "tests/e2e/rtr_raw_router.h"
#include "tests/testutil/must.h"
#include "tests/testutil/rtr_lab.h"
#include "tests/testutil/status_matchers.h"

namespace virp::rtr {
namespace {

using ::testing::ElementsAre;
using testing::Hex;
using ::testing::IsEmpty;
using testing::V4;
using testing::V6;

// The records of an answer, without its frame.
std::vector<std::string> Records(std::vector<std::string> answer) {
  if (answer.size() < 2) return {"no answer"};
  return {answer.begin() + 1, answer.end() - 1};
}

class RtrWire : public ::testing::Test {
 protected:
  // Written by hand, with all that sources get wrong.
  static constexpr const char* kByHand = R"({"roas": [
    {"prefix": "10.1.2.3/8", "maxLength": 24, "asn": 64500}, {"prefix": "10.0.0.0/8", "maxLength": 24, "asn": "AS64500"},
    {"prefix": "0.0.0.0/0", "maxLength": 0, "asn": 1}, {"prefix": "::/0", "maxLength": 128, "asn": 2},
    {"prefix": "2001:db8::1/32", "maxLength": 48, "asn": 3}, {"prefix": "10.0.0.0/8", "maxLength": 8, "asn": 0}]})";

  void Start(std::string_view json, const std::vector<std::string>& more = {}) {
    lab_.WriteText(json);
    ASSERT_OK(lab_.Start(more));
    generation_ = 1;
  }
  void Start(const vrp::Payloads& set) { Start(vrp::WriteJson(set, {})); }
  // Returns when it is served.
  void Serve(std::string_view json) {
    lab_.WriteText(json);
    lab_.Hangup();
    ++generation_;
    EXPECT_TRUE(testutil::Eventually([&] { return lab_.Metric("virp_rtr_bridge_generation") == generation_; }))
        << lab_.log();
  }
  RawRouter Router() const { return RawRouter(lab_.tcp_port()); }

  testutil::RtrLab lab_;
  double generation_ = 0;
};

TEST_F(RtrWire, EachVersionHasItsSessionAndTheTableInOrder) {
  Start(kByHand);
  std::set<int> sessions;
  for (int version = 0; version <= 2; ++version) {
    RawRouter router = Router();
    const auto answer = router.Ask(ResetQuery(version));
    sessions.insert(SessionOf(answer));
    const std::string v = fmt::format("{:02x}", version);
    EXPECT_THAT(Records(answer),
                ElementsAre(Hex(v + "04 0000 00000014 01 08 18 00 0a000000 0000fbf4"),  // twice in the source
                            Hex(v + "04 0000 00000014 01 08 08 00 0a000000 00000000"),
                            Hex(v + "04 0000 00000014 01 00 00 00 00000000 00000001"),
                            Hex(v + "06 0000 00000020 01 20 30 00 20010db8000000000000000000000000 00000003"),
                            Hex(v + "06 0000 00000020 01 00 80 00 00000000000000000000000000000000 00000002")));
    EXPECT_EQ(answer.front(), Hex(fmt::format("{} 03 {:04x} 00000008", v, SessionOf(answer))));
    EXPECT_EQ(answer.back().size(), version == 0 ? 12U : 24U);
  }
  EXPECT_EQ(sessions.size(), 3U);
}

TEST_F(RtrWire, RouterKeysFromVersion1OnAspasInVersion2) {
  vrp::Payloads set;
  set.router_keys = {vrp::TestKey(64500)};
  set.aspas = {testing::AspaOf(64500, {1, 2})};
  Start(set);
  EXPECT_THAT(Records(Router().Ask(ResetQuery(0))), IsEmpty());
  const auto one = Records(Router().Ask(ResetQuery(1)));
  ASSERT_EQ(one.size(), 1U);
  EXPECT_EQ(one[0].size(), 123U);
  EXPECT_EQ(one[0].substr(0, 8), Hex("0109 0100 0000007b"));
  const auto two = Records(Router().Ask(ResetQuery(2)));
  ASSERT_EQ(two.size(), 2U);
  EXPECT_EQ(two[1], Hex("020b 0100 00000014 0000fbf4 00000001 00000002"));
}

TEST_F(RtrWire, HigherVersionsAreToldTheHighestAndComeDownOnTheSameConnection) {
  Start(kByHand);
  for (const int version : {3, 255}) {
    RawRouter router = Router();
    EXPECT_EQ(ErrorOf(router.Ask(ResetQuery(version))), Error(2, 4, ResetQuery(version)));
    EXPECT_EQ(Records(router.Ask(ResetQuery(2))).size(), 5U);
  }
}

TEST_F(RtrWire, QueriesArriveInPiecesAndTogether) {
  Start(kByHand);
  RawRouter slow = Router();
  for (const char octet : Hex(ResetQuery(1))) slow.Send({&octet, 1});
  EXPECT_EQ(Records(slow.Answer()).size(), 5U);
  RawRouter eager = Router();
  eager.Send(Hex(ResetQuery(1) + ResetQuery(1)));
  EXPECT_EQ(Records(eager.Answer()).size(), 5U);
  EXPECT_EQ(Records(eager.Answer()).size(), 5U);
}

TEST_F(RtrWire, SessionsAndSerialsThatItDoesNotKnow) {
  Start(kByHand);
  for (int version = 0; version <= 2; ++version) {
    RawRouter router = Router();
    const std::string reset = fmt::format("{:02x} 08 0000 00000008", version);
    const auto full = Router().Ask(ResetQuery(version));
    EXPECT_THAT(router.Ask(SerialQuery(version, SessionOf(full) ^ 1, 1)), ElementsAre(Hex(reset)));
    EXPECT_EQ(Records(router.Ask(ResetQuery(version))).size(), 5U);
    for (const std::uint32_t ahead : {1U, 0x7fff'ffffU, 0x8000'0000U}) {
      EXPECT_THAT(router.Ask(SerialQuery(version, SessionOf(full), SerialOf(full) + ahead)), ElementsAre(Hex(reset)));
    }
    const std::string other = SerialQuery(version, SessionOf(full) ^ 1, 1);
    EXPECT_EQ(ErrorOf(router.Ask(other)), Error(version, 0, other));
    EXPECT_TRUE(router.Closed());
  }
}

TEST_F(RtrWire, ErrorsArriveBeforeTheClose) {
  Start(kByHand);
  RawRouter changed = Router();
  changed.Ask(ResetQuery(1));
  EXPECT_EQ(ErrorOf(changed.Ask(ResetQuery(2))), Error(1, 8, ResetQuery(2)));
  EXPECT_TRUE(changed.Closed());
  for (const auto& [pdu, code] :
       {std::pair("0163 0000 00000008", 5), std::pair("0102 0000 00000007", 0), std::pair("0102 0000 00010000", 0)}) {
    RawRouter router = Router();
    EXPECT_EQ(ErrorOf(router.Ask(pdu)), Error(1, code, pdu));
    EXPECT_TRUE(router.Closed());
  }
}

TEST_F(RtrWire, ErrorReportsOfRoutersAreNeverAnswered) {
  Start(kByHand);
  // The smallest, and the largest that there can be: 65,535 octets, of which 60,000 are text.
  const std::string largest =
      Hex("010a 0007 0000ffff 0000158f") + std::string(0x158f, 'p') + Hex("0000ea60") + std::string(60'000, 't');
  ASSERT_EQ(largest.size(), 65'535U);
  for (const std::string& report : {Hex("010a 0007 00000010 00000000 00000000"), largest}) {
    RawRouter router = Router();
    router.Ask(ResetQuery(1));
    router.Send(report);
    EXPECT_THAT(router.Answer(), IsEmpty());
  }
  EXPECT_TRUE(testutil::Eventually([&] {
    return lab_.Metric("virp_rtr_bridge_errors_total{code=\"7\",direction=\"received\"}") == 2;
  })) << lab_.log();
}

TEST_F(RtrWire, ThePduOf65535OctetsIsReadAsAWhole) {
  Start(kByHand);
  RawRouter router = Router();
  router.Send(Hex("0163 0000 0000ffff") + std::string(65'527, 'x'));
  const auto answer = router.Answer();
  ASSERT_EQ(answer.size(), 1U);
  EXPECT_EQ(answer[0].substr(0, 4), Hex("010a 0005"));
}

TEST_F(RtrWire, ACustomerWithAllTheProvidersThatFit) {
  vrp::Payloads set;
  std::vector<std::uint32_t> providers(vrp::kMaxProviders);
  for (std::size_t i = 0; i < providers.size(); ++i) providers[i] = static_cast<std::uint32_t>(i + 1);
  set.aspas = {testing::AspaOf(64500, providers)};
  Start(set);
  const auto records = Records(Router().Ask(ResetQuery(2)));
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].size(), 65'532U);
  Body body;
  ASSERT_FALSE(Decode(records[0], body).has_value());
  EXPECT_EQ(std::get<Aspa>(body).Value().providers, providers);
}

// Deltas over up to three changes: each record at most once, in order, and nothing of what came back.
TEST_F(RtrWire, DeltasAreMinimalAndInOrder) {
  const auto json = [](const std::vector<std::string>& prefixes) {
    std::string out;
    for (const auto& prefix : prefixes)
      out += fmt::format("{}{{\"prefix\": \"{}\", \"asn\": 7}}", out.empty() ? "" : ",", prefix);
    return "{\"roas\": [" + out + "]}";
  };
  Start(json({"10.0.0.0/16", "10.2.0.0/16", "2001:db8::/32"}), {"--history", "3"});
  RawRouter first = Router(), second = Router(), third = Router();
  const auto full = first.Ask(ResetQuery(1));
  second.Ask(ResetQuery(1));
  Serve(json({"10.2.0.0/16", "10.4.0.0/16"}));                 // 10.0 and 2001:db8 go, 10.4 comes
  Serve(json({"10.2.0.0/16", "10.0.0.0/16", "10.5.0.0/16"}));  // 10.0 is back, 10.4 gone again
  const int session = SessionOf(full);
  const auto announce = [](const std::string& octet) {
    return Hex("0104 0000 00000014 01 10 10 00 0a" + octet + "0000 00000007");
  };
  const auto withdraw = [](const std::string& octet) {
    return Hex("0104 0000 00000014 00 10 10 00 0a" + octet + "0000 00000007");
  };
  const std::string withdraw6 = Hex("0106 0000 00000020 00 20 20 00 20010db8000000000000000000000000 00000007");
  auto delta = first.Ask(SerialQuery(1, session, SerialOf(full)));
  EXPECT_EQ(SerialOf(delta), SerialOf(full) + 2);
  EXPECT_THAT(Records(delta), ElementsAre(announce("05"), withdraw6));
  // Each of two routers gets its own, whoever asked before.
  EXPECT_THAT(Records(second.Ask(SerialQuery(1, session, SerialOf(full) + 1))),
              ElementsAre(announce("05"), announce("00"), withdraw("04")));
  Serve("{\"roas\": []}");  // empty, and filled again
  Serve(json({"10.0.0.0/16", "10.2.0.0/16", "10.9.0.0/16"}));
  delta = first.Ask(SerialQuery(1, session, SerialOf(full) + 2));
  EXPECT_EQ(SerialOf(delta), SerialOf(full) + 4);
  EXPECT_THAT(Records(delta), ElementsAre(announce("09"), withdraw("05")));
  EXPECT_THAT(second.Ask(SerialQuery(1, session, SerialOf(full))), ElementsAre(Hex("0108 0000 00000008")));
  EXPECT_THAT(Records(third.Ask(ResetQuery(1))), ElementsAre(announce("09"), announce("02"), announce("00")));
}

TEST_F(RtrWire, AnEmptySetIsServed) {
  Start("{\"roas\": []}");
  RawRouter router = Router();
  EXPECT_THAT(Records(router.Ask(ResetQuery(1))), IsEmpty());
}

// A recording of an export is as well-formed as the export: its own time tells.
TEST_F(RtrWire, AnOldDocumentIsAFailedSource) {
  std::ofstream(lab_.File("old.json"))
      << R"({"metadata": {"buildtime": "2020-01-01T00:00:00Z"}, "roas": [{"prefix": "192.0.2.0/24", "asn": 1}]})";
  std::ofstream(lab_.File("sources.json"))
      << R"({"sources": [{"name": "old", "max_age": "24h", "location": ")" << lab_.File("old.json") << "\"}]}";
  Start(kByHand, {"--sources", lab_.File("sources.json")});
  EXPECT_GE(lab_.Metric("virp_rtr_bridge_source_readings_total{result=\"failed\",source=\"old\"}"), 1) << lab_.log();
  EXPECT_EQ(Records(Router().Ask(ResetQuery(1))).size(), 5U);
}

// It asks for the table forty times and reads nothing, which is far more than sockets take.
TEST_F(RtrWire, ARouterThatDoesNotReadIsAloneWithIt) {
  testutil::RtrTable table = testutil::MakeRtrTable(20'000);
  Start(testutil::RtrTableJson(table));
  RawRouter stuck = Router(), other = Router();
  for (int i = 0; i < 40; ++i) stuck.Send(Hex(ResetQuery(1)));
  const auto full = other.Ask(ResetQuery(1));
  EXPECT_EQ(Records(full).size(), table.size());
  for (int round = 1; round <= 3; ++round) {
    table.erase(table.begin());
    Serve(testutil::RtrTableJson(table));
    const auto notify = other.Next();
    ASSERT_TRUE(notify.has_value());
    EXPECT_EQ(ReadHeader(*notify).type, static_cast<int>(PduType::kSerialNotify));
    const auto serial = SerialOf(full) + static_cast<std::uint32_t>(round);
    EXPECT_EQ(LoadBe<std::uint32_t>(notify->data() + 8), serial);
    EXPECT_EQ(Records(other.Ask(SerialQuery(1, SessionOf(full), serial - 1))).size(), 1U);
  }
  EXPECT_EQ(lab_.Metric("virp_rtr_bridge_connections_closed_total"), 0);
}

}  // namespace
}  // namespace virp::rtr
