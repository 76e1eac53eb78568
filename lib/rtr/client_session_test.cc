#include "lib/rtr/client_session.h"

#include <gmock/gmock.h>

#include "lib/rtr/rtr_testing.h"

namespace virp::rtr {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Hex;
using ::testing::IsEmpty;
using testing::Split;
using ::testing::StartsWith;

// A router of ours against bytes that a test writes for the cache.
struct Router {
  explicit Router(ClientSessionOptions options = {}) : session(options) {
    session.Connected(now);
    sent = Take();
  }
  std::vector<std::string> Take() {
    return Split(testing::Drain(session, [&](std::size_t bytes) { session.Consume(bytes); }));
  }
  std::vector<std::string> Hear(const std::string& spaced_hex) {
    session.Feed(Hex(spaced_hex), now);
    return Take();
  }
  // The code of the Error Report that answers; -1 when the answer is taken.
  int Judge(const std::string& spaced_hex) {
    const auto answer = Hear(spaced_hex);
    if (answer.empty()) return -1;
    EXPECT_EQ(answer.size(), 1U);
    EXPECT_EQ(answer[0][1], 10);
    EXPECT_TRUE(session.ShouldClose());
    EXPECT_FALSE(session.state().has_data);
    return static_cast<unsigned char>(answer[0][3]);
  }

  ClientSession::Time now{seconds(1000)};
  ClientSession session;
  std::vector<std::string> sent;
};

std::string V(const std::string& version, const std::string& rest) {
  return version + rest;
}
const std::string kTimers = "00000e10 00000258 00001c20";

std::string Begin(const std::string& v) {
  return V(v, "03 0009 00000008");
}
std::string End(const std::string& v, const std::string& serial = "00000001") {
  return v == "00" ? V(v, "07 0009 0000000c" + serial) : V(v, "07 0009 00000018" + serial + kTimers);
}
std::string Four(const std::string& v, const std::string& address, const std::string& as, bool announce = true) {
  return V(v, "04 0000 00000014") + (announce ? "01" : "00") + "08 08 00" + address + as;
}
std::string Aspa2(const std::string& customer, const std::string& providers, bool announce = true) {
  char length[9];
  std::snprintf(length, sizeof(length), "%08zx", 12 + Hex(providers).size());
  return std::string("020b ") + (announce ? "0100 " : "0000 ") + length + customer + providers;
}

constexpr const char* kTen = "0a000000";
constexpr const char* kEleven = "0b000000";
constexpr const char* kOne = "00000001";
constexpr const char* kTwo = "00000002";

TEST(ClientSession, FullAndIncrementalAnswersInEachVersion) {
  for (const std::string v : {"00", "01", "02"}) {
    Router router({.version = static_cast<std::uint8_t>(v[1] - '0')});
    EXPECT_THAT(router.sent, ElementsAre(Hex(V(v, "02 0000 00000008"))));
    EXPECT_THAT(router.Hear(Begin(v) + Four(v, kEleven, kOne) + Four(v, kTen, kOne)), IsEmpty());
    EXPECT_FALSE(router.session.state().has_data);
    EXPECT_THAT(router.session.table().vrps4, IsEmpty());
    router.Hear(End(v));
    ASSERT_TRUE(router.session.state().has_data) << router.session.close_reason();
    EXPECT_EQ(router.session.table().vrps4.size(), 2U);
    EXPECT_EQ(router.session.state().serial, 1U);

    EXPECT_THAT(router.Hear(V(v, "00 0009 0000000c 00000002")), ElementsAre(Hex(V(v, "01 0009 0000000c 00000001"))));
    router.Hear(Begin(v) + Four(v, kEleven, kTwo) + Four(v, kTen, kOne, false) + End(v, kTwo));
    EXPECT_EQ(router.session.state().serial, 2U);
    ASSERT_EQ(router.session.table().vrps4.size(), 2U);
    EXPECT_EQ(router.session.table().vrps4[0].as, 2U);
    EXPECT_EQ(router.session.table().vrps4[1].address, 0x0b000000U);
    EXPECT_FALSE(router.session.state().last_update.full);
    EXPECT_EQ(router.session.state().last_update.withdrawn, 1U);
  }
}

TEST(ClientSession, TakesAnySplit) {
  const std::string bytes = Hex(Begin("02") + Four("02", kEleven, kOne) + Aspa2(kOne, kTwo) + End("02"));
  for (std::size_t piece = 1; piece < bytes.size(); ++piece) {
    Router router;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      router.session.Feed(std::string_view(bytes).substr(at, piece), router.now);
    }
    EXPECT_TRUE(router.session.state().has_data);
    EXPECT_EQ(router.session.table().size(), 2U);
  }
}

TEST(ClientSession, ComesDownOnError4) {
  Router router;
  EXPECT_THAT(router.Hear("010a 0004 00000010 00000000 00000000"), ElementsAre(Hex("0102 0000 00000008")));
  EXPECT_THAT(router.Hear("000a 0004 00000010 00000000 00000000"), ElementsAre(Hex("0002 0000 00000008")));
  router.session.Disconnected(router.now);
  router.session.Connected(router.now);
  EXPECT_THAT(router.Take(), ElementsAre(Hex("0002 0000 00000008")));
  Router proud({.min_version = 2});
  EXPECT_THAT(proud.Hear("010a 0004 00000010 00000000 00000000"), IsEmpty());
  EXPECT_TRUE(proud.session.ShouldClose());
}

TEST(ClientSession, ComesDownWhenTheCacheAnswersLowerOrCloses) {
  Router router;
  router.Hear(Begin("01") + End("01"));
  EXPECT_EQ(router.session.state().version, 1);
  Router mute;
  mute.session.Disconnected(mute.now);
  mute.session.Connected(mute.now);
  EXPECT_THAT(mute.Take(), ElementsAre(Hex("0102 0000 00000008")));
  // A cache that spoke before is only away.
  router.session.Disconnected(router.now);
  router.session.Connected(router.now);
  router.session.Disconnected(router.now);
  router.session.Connected(router.now);
  EXPECT_THAT(router.Take(), ElementsAre(Hex("0101 0009 0000000c 00000001")));
}

TEST(ClientSession, DataOfAnotherVersionAreNotAskedOnFrom) {
  Router router;
  router.Hear(Begin("02") + End("02"));
  router.session.Disconnected(router.now);
  router.session.Connected(router.now);
  EXPECT_THAT(router.Take(), ElementsAre(Hex("0201 0009 0000000c 00000001")));
  EXPECT_THAT(router.Hear("010a 0004 00000010 00000000 00000000"), ElementsAre(Hex("0102 0000 00000008")));
}

TEST(ClientSession, CacheResetAsksForEverything) {
  Router router({.version = 1});
  router.Hear(Begin("01") + Four("01", kTen, kOne) + End("01"));
  router.session.Query(false, router.now);
  EXPECT_EQ(router.Take().size(), 1U);
  EXPECT_THAT(router.Hear("0108 0000 00000008"), ElementsAre(Hex("0102 0000 00000008")));
  router.Hear(V("01", "03 0077 00000008") + Four("01", kEleven, kOne) + V("01", "07 0077 00000018 00000005") + kTimers);
  EXPECT_EQ(router.session.state().session, 0x77);
  ASSERT_EQ(router.session.table().vrps4.size(), 1U);
  EXPECT_EQ(router.session.table().vrps4[0].address, 0x0b000000U);
}

TEST(ClientSession, StrictAboutRecords) {
  const auto judge = [](const std::string& v, const std::string& pdus, bool check_order = false) {
    Router router({.version = static_cast<std::uint8_t>(v[1] - '0'), .check_order = check_order});
    return router.Judge(Begin(v) + pdus + End(v));
  };
  for (const std::string v : {"00", "01"}) {
    EXPECT_EQ(judge(v, Four(v, kTen, kOne) + Four(v, kEleven, kOne)), -1);  // order is advice
    EXPECT_EQ(judge(v, Four(v, kTen, kOne) + Four(v, kEleven, kOne) + Four(v, kTen, kOne)), 7);
    EXPECT_EQ(judge(v, Four(v, kTen, kOne, false)), 6);
    EXPECT_EQ(judge(v, Four(v, kTen, kOne) + Four(v, kEleven, kOne), true), v == "00" ? 11 : 11);
  }
  EXPECT_EQ(judge("02", Four("02", kEleven, kOne) + Four("02", kTen, kOne)), -1);
  EXPECT_EQ(judge("02", Four("02", kTen, kOne) + Four("02", kEleven, kOne)), 11);
  EXPECT_EQ(judge("02", Four("02", kTen, kOne) + Four("02", kTen, kOne)), 7);
  EXPECT_EQ(judge("02", Aspa2(kOne, kTwo) + Four("02", kTen, kOne)), 11);
  EXPECT_EQ(judge("02", Aspa2(kOne, kTwo) + Aspa2(kOne, kTwo)), 7);
  EXPECT_EQ(judge("02", Aspa2(kTwo, kOne) + Aspa2(kOne, kTwo)), 11);
  EXPECT_EQ(judge("02", Aspa2(kOne, std::string(kTwo) + kOne)), 9);
  EXPECT_EQ(judge("02", Aspa2(kOne, "", false)), 6);
  EXPECT_EQ(judge("01", Aspa2(kOne, kTwo)), 8);
}

TEST(ClientSession, StrictAboutChanges) {
  const auto judge = [](const std::string& pdus) {
    Router router;
    router.Hear(Begin("02") + Four("02", kEleven, kOne) + Four("02", kTen, kOne) + Aspa2(kOne, kTwo) + End("02"));
    router.session.Query(false, router.now);
    router.Take();
    return router.Judge(Begin("02") + pdus + End("02", kTwo));
  };
  EXPECT_EQ(judge(Four("02", kTen, kTwo) + Four("02", kTen, kOne, false)), -1);
  EXPECT_EQ(judge(Four("02", kTen, kOne, false) + Four("02", kTen, kTwo)), 11);
  EXPECT_EQ(judge(Four("02", kTen, kOne, false) + Four("02", kEleven, kOne, false)), -1);
  EXPECT_EQ(judge(Four("02", kEleven, kOne, false) + Four("02", kTen, kOne, false)), 11);
  EXPECT_EQ(judge(Four("02", kTen, kOne, false) + Four("02", kTen, kOne, false)), 6);
  EXPECT_EQ(judge(Four("02", kTen, kOne)), 7);
  EXPECT_EQ(judge(Four("02", kTen, kTwo, false)), 6);
  EXPECT_EQ(judge(Aspa2(kOne, kOne)), -1);  // replaced
  EXPECT_EQ(judge(Aspa2(kOne, "", false)), -1);
  EXPECT_EQ(judge(Aspa2(kTwo, "", false)), 6);
  EXPECT_EQ(judge(Aspa2(kOne, "", false) + Aspa2(kTwo, kOne)), 11);
}

TEST(ClientSession, TheReportNamesTheRecord) {
  Router router({.version = 1});
  const auto answer = router.Hear(Begin("01") + Four("01", kTen, kOne) + Four("01", kEleven, kOne) +
                                  Four("01", kTen, kOne) + End("01"));
  ASSERT_EQ(answer.size(), 1U);
  Body body;
  ASSERT_FALSE(Decode(answer[0], body).has_value());
  EXPECT_EQ(HexEncode(std::get<ErrorReport>(body).pdu), HexEncode(Hex(Four("01", kTen, kOne))));
}

TEST(ClientSession, LenientTakesWhatCanBeTaken) {
  Router router({.strict = false});
  router.Hear(Begin("02") + Aspa2(kOne, kTwo) + Four("02", kTen, kOne) + Four("02", kEleven, kOne) +
              Four("02", kTen, kOne) + Four("02", kTen, kTwo, false) + Aspa2(kTwo, std::string(kTwo) + kOne) +
              V("02", "07 0009 00000018 00000001 00000000 00000000 00000000"));
  ASSERT_TRUE(router.session.state().has_data) << router.session.close_reason();
  EXPECT_EQ(router.session.table().vrps4.size(), 2U);
  EXPECT_EQ(router.session.table().aspas.size(), 1U);
  EXPECT_EQ(router.session.state().timers, Timers{});
  // In the order in which they come.
  router.session.Query(false, router.now);
  router.Take();
  router.Hear(Begin("02") + Four("02", kTen, kOne, false) + Four("02", kTen, kOne) + Four("02", kTen, kTwo) +
              Four("02", kTen, kTwo, false) + Aspa2(kOne, "", false) + End("02", kTwo));
  EXPECT_EQ(router.session.table().vrps4.size(), 2U);
  EXPECT_EQ(router.session.table().aspas.size(), 0U);
}

TEST(ClientSession, StrictAboutTheFrameOfAnAnswer) {
  const auto judge = [](const std::string& pdus) { return Router({.version = 1}).Judge(pdus); };
  EXPECT_EQ(judge(Four("01", kTen, kOne)), 0);
  EXPECT_EQ(judge(End("01")), 0);
  EXPECT_EQ(judge(Begin("01") + Begin("01")), 0);
  EXPECT_EQ(judge(Begin("01") + V("01", "07 0008 00000018 00000001") + kTimers), 0);
  EXPECT_EQ(judge("0108 0000 00000008"), 0);  // to a Reset Query
  EXPECT_EQ(judge("0102 0000 00000008"), 3);
  EXPECT_EQ(judge("0163 0000 00000008"), 5);
  EXPECT_EQ(judge("0103 0009 00000007"), 0);
  EXPECT_EQ(judge(Begin("01") + Begin("00")), 8);
  EXPECT_EQ(judge(Begin("01") + V("01", "07 0009 00000018 00000001 00000e10 00000258 00000e10")),
            0);  // expire = refresh
  EXPECT_EQ(judge(Begin("01") + V("01", "07 0009 00000018 00000001 00000000 00000258 00001c20")), 0);
  Router other({.version = 1});
  other.Hear(Begin("01") + End("01"));
  other.session.Query(false, other.now);
  other.Take();
  EXPECT_EQ(other.Judge("0103 0008 00000008"), 0);
}

TEST(ClientSession, ErrorReportsAreNotAnswered) {
  for (const auto& [pdu, keeps] : {std::pair{"010a 0000 00000010 00000000 00000000", false},
                                   std::pair{"010a 000c 00000010 00000000 00000000", true},
                                   std::pair{"010a 0000 00000010 00000001 00000000", true},
                                   std::pair{"280a 0000 00000008", true}, std::pair{"010a 0000 00000008", true}}) {
    Router router({.version = 1});
    router.Hear(Begin("01") + End("01"));
    EXPECT_THAT(router.Hear(pdu), IsEmpty());
    EXPECT_TRUE(router.session.ShouldClose());
    EXPECT_EQ(router.session.state().has_data, keeps) << pdu;
  }
}

TEST(ClientSession, NoDataIsAskedAgainAfterRetry) {
  Router router({.version = 1});
  EXPECT_THAT(router.Hear("010a 0002 00000010 00000000 00000000"), IsEmpty());
  EXPECT_FALSE(router.session.closing());
  EXPECT_EQ(router.session.NextTick(), router.now + seconds(600));
  router.now += seconds(600);
  router.session.Tick(router.now);
  EXPECT_THAT(router.Take(), ElementsAre(Hex("0102 0000 00000008")));
  Router notified({.version = 1});
  notified.Hear("010a 0002 00000010 00000000 00000000");
  EXPECT_THAT(notified.Hear("0100 0009 0000000c 00000001"), ElementsAre(Hex("0102 0000 00000008")));
}

TEST(ClientSession, Timers) {
  Router router({.version = 1});
  router.Hear(Begin("01") + Four("01", kTen, kOne) + V("01", "07 0009 00000018 00000001 00000064 00000032 00000258"));
  EXPECT_EQ(router.session.NextTick(), router.now + seconds(100));
  router.now += seconds(100);
  router.session.Tick(router.now);
  EXPECT_THAT(router.Take(), ElementsAre(Hex("0101 0009 0000000c 00000001")));
  router.now += seconds(50);
  router.session.Tick(router.now);
  EXPECT_TRUE(router.session.closing());
  EXPECT_TRUE(router.session.state().has_data);
  router.session.Disconnected(router.now);
  EXPECT_EQ(router.session.NextTick(), router.now + seconds(450));
  router.now += seconds(450);
  router.session.Tick(router.now);
  EXPECT_FALSE(router.session.state().has_data);
  EXPECT_EQ(router.session.table().size(), 0U);
}

TEST(ClientSession, NotifiesDuringAnAnswerAreFollowedBehindIt) {
  Router router({.version = 1});
  EXPECT_THAT(router.Hear("0100 0009 0000000c 00000003"), IsEmpty());  // before a version is agreed: ignored
  router.Hear(Begin("01") + "0100 0009 0000000c 00000002" + Four("01", kTen, kOne));
  EXPECT_THAT(router.Hear(End("01")), ElementsAre(Hex("0101 0009 0000000c 00000001")));
  router.Hear(Begin("01") + "0100 0009 0000000c 00000002" + End("01", kTwo));
  EXPECT_TRUE(router.session.idle());
  EXPECT_THAT(router.Hear("0100 0055 0000000c 00000002"), ElementsAre(Hex("0102 0000 00000008")));
}

TEST(ClientSession, CountsWithoutKeeping) {
  Router router({.version = 2, .keep = false});
  router.Hear(Begin("02") + Four("02", kEleven, kOne) + Four("02", kTen, kOne) + End("02"));
  EXPECT_TRUE(router.session.state().has_data);
  EXPECT_EQ(router.session.state().last_update.announced, 2U);
  EXPECT_EQ(router.session.table().size(), 0U);
  Router strict({.version = 2, .keep = false});
  EXPECT_EQ(strict.Judge(Begin("02") + Four("02", kTen, kOne) + Four("02", kEleven, kOne)), 11);
}

}  // namespace
}  // namespace virp::rtr
