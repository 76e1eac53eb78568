#include "lib/rtr/server_session.h"

#include <gmock/gmock.h>

#include "lib/rtr/rtr_testing.h"

namespace virp::rtr {
namespace {

using std::chrono::seconds;
using testing::Counting;
using ::testing::ElementsAre;
using testing::HashOf;
using ::testing::HasSubstr;
using testing::Hex;
using ::testing::IsEmpty;
using testing::Shared;
using testing::Split;
using ::testing::StartsWith;
using testing::V4;

constexpr const char* kTimers = "00000e10 00000258 00001c20";

// A cache with sessions 0x100, 0x101, 0x102 and one record whose AS is the generation, and one router's session.
struct Cache {
  explicit Cache(ServerSessionOptions server = {}, bool loaded = true, HistoryOptions kept = {.max_deltas = 3})
      : options(server), history(std::move(kept), Counting(0x100)) {
    if (loaded) Load();
    Connect();
  }
  void Connect() { session.emplace(options, history.snapshot(), now); }
  void Load() {
    ++generation;
    history.Update(Shared(testing::Sets{.vrps4 = {V4("10.0.0.0/8", 8, generation)}}),
                   HashOf(static_cast<std::uint8_t>(generation)));
    if (session) session->OnNewSnapshot(history.snapshot(), now);
  }
  // What the session sends until it has nothing more; the transport takes everything at once.
  std::vector<std::string> Take() {
    return Split(testing::Drain(*session, [&](std::size_t bytes) { session->Consume(bytes, now); }));
  }
  std::vector<std::string> Ask(const std::string& spaced_hex) {
    session->Feed(Hex(spaced_hex), now);
    return Take();
  }

  ServerSessionOptions options;
  ServerSession::Time now{seconds(1000)};
  History history;
  std::uint32_t generation = 0;
  std::optional<ServerSession> session;
};

std::string Record(const std::string& version, int as, bool announce = true) {
  return Hex(version + "04 0000 00000014 0" + (announce ? "1" : "0") + " 08 08 00 0a000000 0000000" +
             std::to_string(as));
}

// Version, code and copy of an Error Report; the text is free.
std::string ErrorBegin(const std::string& version, const std::string& code) {
  return Hex(version + "0a " + code);
}
void ExpectError(const std::vector<std::string>& pdus, const std::string& version, const std::string& code,
                 const std::string& copy) {
  ASSERT_EQ(pdus.size(), 1U);
  EXPECT_THAT(pdus[0], StartsWith(ErrorBegin(version, code)));
  Body body;
  ASSERT_FALSE(Decode(pdus[0], body).has_value());
  EXPECT_EQ(HexEncode(std::get<ErrorReport>(body).pdu), HexEncode(Hex(copy)));
  EXPECT_NE(std::get<ErrorReport>(body).text, "");
}

TEST(ServerSession, ResetQueryInEachVersion) {
  for (const std::string v : {"00", "01", "02"}) {
    Cache cache;
    const std::string session = "01" + v;
    const std::string end =
        v == "00" ? "0007 " + session + " 0000000c 00000001" : v + "07 " + session + " 00000018 00000001" + kTimers;
    EXPECT_THAT(cache.Ask(v + "02 0000 00000008"),
                ElementsAre(Hex(v + "03 " + session + " 00000008"), Record(v, 1), Hex(end)));
    EXPECT_EQ(cache.session->state().version, v[1] - '0');
    EXPECT_FALSE(cache.session->closing());
  }
}

TEST(ServerSession, HigherVersionsGetError4WithOurHighestAndMayComeDown) {
  for (const std::string v : {"03", "ff"}) {
    Cache cache;
    ExpectError(cache.Ask(v + "02 0000 00000008"), "02", "0004", v + "02 0000 00000008");
    EXPECT_FALSE(cache.session->closing());
    EXPECT_EQ(cache.Ask("0202 0000 00000008").size(), 3U);
  }
  Cache cache({.max_version = 1});
  ExpectError(cache.Ask("0202 0000 00000008"), "01", "0004", "0202 0000 00000008");
  EXPECT_EQ(cache.Ask("0102 0000 00000008").size(), 3U);
}

TEST(ServerSession, WhoDoesNotComeDownIsClosed) {
  Cache cache;
  for (int i = 0; i < 2; ++i) cache.Ask("0302 0000 00000008");
  EXPECT_FALSE(cache.session->closing());
  EXPECT_EQ(cache.Ask("0302 0000 00000008").size(), 1U);
  EXPECT_TRUE(cache.session->ShouldClose());
}

TEST(ServerSession, LowerVersionsThanServedGetError4AndTheClose) {
  Cache cache({.min_version = 1});
  ExpectError(cache.Ask("0002 0000 00000008"), "02", "0004", "0002 0000 00000008");
  EXPECT_TRUE(cache.session->ShouldClose());
}

TEST(ServerSession, QueriesMayBeSplitAnywhereAndPipelined) {
  const std::string bytes = Hex("0102 0000 00000008 0101 0101 0000000c 00000001 0102 0000 00000008");
  const auto whole = Cache().Ask(HexEncode(bytes));
  EXPECT_EQ(whole.size(), 8U);
  for (std::size_t piece = 1; piece < bytes.size(); ++piece) {
    Cache cache;
    std::vector<std::string> got;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      for (auto& pdu : cache.Ask(HexEncode(bytes.substr(at, piece)))) got.push_back(std::move(pdu));
    }
    EXPECT_EQ(got, whole) << piece;
  }
}

TEST(ServerSession, AnotherSessionInAnAgreedOneIsError0) {
  Cache cache;
  cache.Ask("0102 0000 00000008");
  ExpectError(cache.Ask("0101 0999 0000000c 00000001"), "01", "0000", "0101 0999 0000000c 00000001");
  EXPECT_TRUE(cache.session->ShouldClose());
  EXPECT_THAT(cache.session->close_reason(), HasSubstr("session"));
}

TEST(ServerSession, AnUnknownSessionOnAFreshConnectionIsCacheReset) {
  for (const std::string v : {"00", "01", "02"}) {
    Cache cache;
    EXPECT_THAT(cache.Ask(v + "01 0999 0000000c 00000001"), ElementsAre(Hex(v + "08 0000 00000008")));
    EXPECT_EQ(cache.Ask(v + "02 0000 00000008").size(), 3U);
    EXPECT_EQ(cache.session->state().cache_resets, 1U);
    EXPECT_EQ(cache.session->state().unknown_session_resets, 1U);
  }
  // The id of another version is as unknown as any.
  Cache cache;
  EXPECT_THAT(cache.Ask("0101 0102 0000000c 00000001"), ElementsAre(Hex("0108 0000 00000008")));
}

TEST(ServerSession, SerialsOutsideOfTheWindowAreCacheReset) {
  Cache cache;
  for (int i = 0; i < 5; ++i) cache.Load();  // serial 6, window from 3 on
  for (const std::string serial : {"00000002", "00000007", "80000006", "ffffffff"}) {
    cache.Connect();
    EXPECT_THAT(cache.Ask("0101 0101 0000000c" + serial), ElementsAre(Hex("0108 0000 00000008"))) << serial;
  }
  cache.Connect();
  EXPECT_THAT(cache.Ask("0101 0101 0000000c 00000003"),
              ElementsAre(Hex("0103 0101 00000008"), Record("01", 6), Record("01", 3, false),
                          Hex(std::string("0107 0101 00000018 00000006") + kTimers)));
  EXPECT_THAT(cache.Ask("0101 0101 0000000c 00000006"),
              ElementsAre(Hex("0103 0101 00000008"), Hex(std::string("0107 0101 00000018 00000006") + kTimers)));
}

// Its serial is ours all the same, and on record as its word.
TEST(ServerSession, AnAnswerThatHasNoRoomIsCacheReset) {
  Cache cache({}, true, {.max_deltas = 3, .max_answer_octets = 0});
  for (int i = 0; i < 2; ++i) cache.Load();
  EXPECT_THAT(cache.Ask("0101 0101 0000000c 00000001"), ElementsAre(Hex("0108 0000 00000008")));
  EXPECT_EQ(cache.session->state().confirmed, (ServedData{.session = 0x101, .serial = 1, .hash = {}}));
  EXPECT_EQ(cache.session->state().cache_resets, 1U);
  EXPECT_EQ(cache.session->state().unknown_session_resets, 0U);
  EXPECT_EQ(cache.Ask("0102 0000 00000008").size(), 3U);
}

TEST(ServerSession, AVersionChangeIsError8OrIn0Error3) {
  Cache one;
  one.Ask("0102 0000 00000008");
  ExpectError(one.Ask("0202 0000 00000008"), "01", "0008", "0202 0000 00000008");
  EXPECT_TRUE(one.session->ShouldClose());
  Cache zero;
  zero.Ask("0002 0000 00000008");
  ExpectError(zero.Ask("0102 0000 00000008"), "00", "0003", "0102 0000 00000008");
  EXPECT_TRUE(zero.session->ShouldClose());
}

TEST(ServerSession, UnknownTypesAndLengthsAreErrors5And0) {
  const auto ends = [](const std::string& pdu, const std::string& code, const std::string& version = "01") {
    Cache cache;
    ExpectError(cache.Ask(pdu), version, code, pdu);
    EXPECT_TRUE(cache.session->ShouldClose());
  };
  ends("0163 0000 00000008", "0005");
  ends("0105 0000 00000008", "0005");
  ends("010b 0000 0000000c 00000001", "0005");
  ends("0102 0000 00000007", "0000");
  ends("0102 0000 00000000", "0000");
  ends("0102 0000 00010000", "0000");
  ends("0102 0000 0000000c 00000000", "0000");
  ends("0002 0000 00000007", "0000", "00");
  ends("6302 0000 00000007", "0000", "02");
  ends("0103 0000 00000008", "0003");  // a cache's
  ends("020b 0100 0000000c 00000001", "0009", "02");
  ends("4745 5420 2f204854", "0000", "02");  // GET / HTTP/1.1
}

TEST(ServerSession, ErrorReportsOfARouterEndItWithoutAnAnswer) {
  for (const std::string pdu : {"010a 0007 00000012 00000000 00000002 6f68", "030a 0004 00000010 00000000 00000000",
                                "010a 0000 00000004", "010a 0000 00000010 ffffffff 00000000", "010a 0000 00ffffff"}) {
    for (const bool agreed : {false, true}) {
      Cache cache;
      if (agreed) cache.Ask("0102 0000 00000008");
      EXPECT_THAT(cache.Ask(pdu), IsEmpty()) << pdu;
      EXPECT_TRUE(cache.session->ShouldClose());
      EXPECT_NE(cache.session->close_reason(), "");
    }
  }
  Cache cache;
  cache.Ask("010a 0007 00000012 00000000 00000002 6f68");
  EXPECT_EQ(cache.session->state().error_received, (ErrorNote{.code = 7, .text = "oh"}));
  EXPECT_THAT(cache.Ask("0102 0000 00000008"), IsEmpty());
}

TEST(ServerSession, NothingLoadedIsError2AndThenANotify) {
  Cache cache({}, false);
  ExpectError(cache.Ask("0102 0000 00000008"), "01", "0002", "0102 0000 00000008");
  ExpectError(cache.Ask("0101 0999 0000000c 00000001"), "01", "0002", "0101 0999 0000000c 00000001");
  EXPECT_FALSE(cache.session->closing());
  cache.Load();
  EXPECT_THAT(cache.Take(), ElementsAre(Hex("0100 0101 0000000c 00000001")));
  EXPECT_EQ(cache.Ask("0102 0000 00000008").size(), 3U);
}

TEST(ServerSession, WhatIsWithdrawnAndComesBackIsTold) {
  Cache cache({.notify_interval = seconds(0)});
  EXPECT_EQ(cache.Ask("0102 0000 00000008").size(), 3U);
  cache.session->OnNewSnapshot(nullptr, cache.now);
  EXPECT_THAT(cache.Take(), IsEmpty());
  ExpectError(cache.Ask("0101 0101 0000000c 00000001"), "01", "0002", "0101 0101 0000000c 00000001");
  EXPECT_FALSE(cache.session->closing());
  cache.session->OnNewSnapshot(cache.history.snapshot(), cache.now);
  EXPECT_THAT(cache.Take(), ElementsAre(Hex("0100 0101 0000000c 00000001")));
  EXPECT_EQ(cache.Ask("0101 0101 0000000c 00000001").size(), 2U);
}

TEST(ServerSession, AnEmptySetIsServed) {
  Cache cache({}, false);
  cache.history.Update(Shared({}), HashOf(1));
  cache.Connect();
  EXPECT_EQ(cache.Ask("0102 0000 00000008").size(), 2U);
}

TEST(ServerSession, NotifiesAtOnceAndThenOnceAMinute) {
  Cache cache;
  cache.Load();
  EXPECT_THAT(cache.Take(), IsEmpty());  // no version yet
  cache.Ask("0102 0000 00000008");
  cache.Load();
  EXPECT_THAT(cache.Take(), ElementsAre(Hex("0100 0101 0000000c 00000003")));
  cache.now += seconds(10);
  cache.Load();
  cache.Load();
  EXPECT_THAT(cache.Take(), IsEmpty());
  EXPECT_EQ(cache.session->NextTick(), cache.now + seconds(50));
  cache.now += seconds(49);
  cache.session->Tick(cache.now);
  EXPECT_THAT(cache.Take(), IsEmpty());
  cache.now += seconds(1);
  cache.session->Tick(cache.now);
  EXPECT_THAT(cache.Take(), ElementsAre(Hex("0100 0101 0000000c 00000005")));
  EXPECT_EQ(cache.session->NextTick(), std::nullopt);
}

TEST(ServerSession, WhatTheRouterAskedForIsNotNotified) {
  Cache cache;
  cache.Ask("0102 0000 00000008");
  cache.Load();
  cache.Take();
  cache.Load();
  cache.Ask("0101 0101 0000000c 00000002");
  cache.now += seconds(60);
  cache.session->Tick(cache.now);
  EXPECT_THAT(cache.Take(), IsEmpty());
}

TEST(ServerSession, AnAnswerIsFinishedWithTheSnapshotItBeganWith) {
  Cache cache;
  cache.session->Feed(Hex("0102 0000 00000008"), cache.now);
  std::string bytes = testing::Drain(*cache.session, [&](std::size_t n) { cache.session->Consume(n, cache.now); }, 13);
  cache.Load();
  bytes += testing::Drain(*cache.session, [&](std::size_t n) { cache.session->Consume(n, cache.now); });
  EXPECT_THAT(Split(bytes), ElementsAre(Hex("0103 0101 00000008"), Record("01", 1),
                                        Hex(std::string("0107 0101 00000018 00000001") + kTimers),
                                        Hex("0100 0101 0000000c 00000002")));
}

TEST(ServerSession, ARouterThatDoesNotReadIsBounded) {
  Cache cache;
  vrp::Payloads many;
  for (std::uint32_t as = 0; as < 5000; ++as) many.vrps4.push_back(V4("10.0.0.0/8", 8, as));
  cache.history.Update(Shared(many), HashOf(9));
  cache.Connect();
  std::string queries;
  for (int i = 0; i < 1000; ++i) queries += Hex("0102 0000 00000008");
  cache.session->Feed(queries, cache.now);
  EXPECT_FALSE(cache.session->WantsRead());
  EXPECT_EQ(cache.session->queued(), 8U + 5000 * 20 + 24);
  EXPECT_EQ(cache.session->state().full_answers, 1U);
  // Whoever reads gets all of them.
  EXPECT_EQ(cache.Take().size(), 1000U * 5002);
  EXPECT_TRUE(cache.session->WantsRead());
  // A transport that does not ask is cut off.
  cache.session->Feed(Hex("0102 0000 00000008"), cache.now);
  for (int i = 0; i < 40 && !cache.session->closing(); ++i) cache.session->Feed(queries, cache.now);
  EXPECT_TRUE(cache.session->closing());
}

TEST(ServerSession, AStalledRouterGetsError10BehindAWholePduAndIsClosed) {
  Cache cache;
  cache.session->Feed(Hex("0202 0000 00000008 0202 0000 00000008"), cache.now);
  std::string bytes = testing::Drain(*cache.session, [&](std::size_t n) { cache.session->Consume(n, cache.now); }, 13);
  EXPECT_EQ(cache.session->NextTick(), cache.now + seconds(600));
  cache.now += seconds(599);
  cache.session->Tick(cache.now);
  EXPECT_FALSE(cache.session->closing());
  cache.now += seconds(1);
  cache.session->Tick(cache.now);
  EXPECT_TRUE(cache.session->closing());
  bytes += testing::Drain(*cache.session, [&](std::size_t n) { cache.session->Consume(n, cache.now); });
  const auto pdus = Split(bytes);
  ASSERT_EQ(pdus.size(), 3U);
  EXPECT_EQ(pdus[1], Record("02", 1));
  EXPECT_THAT(pdus[2], StartsWith(ErrorBegin("02", "000a")));
  EXPECT_FALSE(cache.session->state().sent.has_value());
}

TEST(ServerSession, AStalledRouterOfVersion1IsClosedWithoutAWord) {
  Cache cache({.timers = {.refresh = 900, .retry = 60, .expire = 7200}});
  cache.session->Feed(Hex("0102 0000 00000008"), cache.now);
  cache.now += seconds(180);
  cache.session->Tick(cache.now);
  EXPECT_TRUE(cache.session->ShouldClose());
}

// It would keep the set that it began with in memory, and every router could do so with another one.
TEST(ServerSession, ATrickleIsGivenUp) {
  Cache cache;
  cache.session->Feed(Hex("0202 0000 00000008"), cache.now);
  EXPECT_EQ(cache.session->pinned().size(), 1U);
  for (int i = 0; i < 11 && !cache.session->closing(); ++i) {
    cache.now += seconds(60);
    testing::Drain(*cache.session, [&](std::size_t n) { cache.session->Consume(n, cache.now); }, 1);
    cache.session->Tick(cache.now);
  }
  EXPECT_TRUE(cache.session->closing());
  EXPECT_EQ(cache.now, ServerSession::Time(seconds(1000 + 600)));
  EXPECT_TRUE(cache.session->pinned().empty());
}

TEST(ServerSession, ATrickleDoesNotOutliveItsData) {
  Cache cache({.answer_timeout = seconds(100'000)});
  cache.session->Feed(Hex("0202 0000 00000008"), cache.now);
  for (int i = 0; i < 7 && !cache.session->closing(); ++i) {
    cache.now += seconds(1200);
    testing::Drain(*cache.session, [&](std::size_t n) { cache.session->Consume(n, cache.now); }, 1);
    cache.session->Tick(cache.now);
  }
  EXPECT_TRUE(cache.session->closing());
  EXPECT_EQ(cache.now, ServerSession::Time(seconds(1000 + 7200)));
}

TEST(ServerSession, LastWordsHaveADeadline) {
  Cache cache;
  cache.session->Feed(Hex("0163 0000 00000008"), cache.now);
  EXPECT_TRUE(cache.session->closing());
  EXPECT_FALSE(cache.session->ShouldClose());
  EXPECT_EQ(cache.session->NextTick(), cache.now + seconds(30));
  cache.now += seconds(30);
  cache.session->Tick(cache.now);
  EXPECT_TRUE(cache.session->ShouldClose());
}

// What ends a session frees what it was sending: else a peer that makes a mistake on purpose and then reads an octet
// now and then keeps an old set in memory for as long as it likes.
TEST(ServerSession, WhatEndsASessionCutsTheAnswerUnderWay) {
  for (const std::string last : {"0263 0000 00000008", "020a 0007 00000010 00000000 00000000", "020a 0000 00000004"}) {
    Cache cache;
    cache.session->Feed(Hex("0202 0000 00000008"), cache.now);
    std::string bytes = testing::Drain(*cache.session, [&](std::size_t n) { cache.session->Consume(n, cache.now); }, 5);
    cache.session->Feed(Hex(last), cache.now);
    EXPECT_TRUE(cache.session->closing()) << last;
    EXPECT_TRUE(cache.session->pinned().empty()) << last;
    bytes += testing::Drain(*cache.session, [&](std::size_t n) { cache.session->Consume(n, cache.now); });
    EXPECT_EQ(Split(bytes).size(), last[3] == '3' ? 2U : 1U) << last;  // the Cache Response, and error 5
    EXPECT_FALSE(cache.session->state().sent.has_value());
  }
}

TEST(ServerSession, ATrickleOfLastWordsHasADeadlineToo) {
  Cache cache;
  cache.session->Feed(Hex("0163 0000 00000008"), cache.now);
  for (int i = 0; i < 20 && !cache.session->ShouldClose(); ++i) {
    cache.now += seconds(20);
    testing::Drain(*cache.session, [&](std::size_t n) { cache.session->Consume(n, cache.now); }, 1);
    cache.session->Tick(cache.now);
  }
  EXPECT_TRUE(cache.session->ShouldClose());
  EXPECT_EQ(cache.now, ServerSession::Time(seconds(1000 + 60)));
}

// An End of Data that has begun to leave goes on behind the cut, and is on record.
TEST(ServerSession, AnEndOfDataInTheMiddleIsToldOfThoughTheSessionEnds) {
  Cache cache;
  cache.session->Feed(Hex("0202 0000 00000008"), cache.now);
  testing::Drain(*cache.session, [&](std::size_t n) { cache.session->Consume(n, cache.now); }, 8 + 20 + 5);
  cache.session->Shutdown(ErrorCode::kCacheRestart, cache.now);
  testing::Drain(*cache.session, [&](std::size_t n) { cache.session->Consume(n, cache.now); });
  EXPECT_EQ(cache.session->state().sent, (ServedData{.session = 0x102, .serial = 1, .hash = HashOf(1)}));
}

TEST(ServerSession, APeerThatSaysNothingIsClosed) {
  Cache cache;
  EXPECT_EQ(cache.session->NextTick(), cache.now + seconds(60));
  cache.session->Feed(Hex("0102"), cache.now);
  cache.now += seconds(60);
  cache.session->Tick(cache.now);
  EXPECT_TRUE(cache.session->ShouldClose());
  cache.Connect();
  cache.Ask("0102 0000 00000008");
  cache.now += seconds(86'400);
  cache.session->Tick(cache.now);
  EXPECT_FALSE(cache.session->closing());
}

TEST(ServerSession, ShutdownReportsInVersion2Only) {
  for (const auto& [report, code] :
       {std::pair{ErrorCode::kCacheRestart, "000c"}, std::pair{ErrorCode::kCacheShutdown, "000d"}}) {
    Cache two;
    two.Ask("0202 0000 00000008");
    two.session->Feed(Hex("0202 0000 00000008"), two.now);  // its answer is not worth waiting for
    two.session->Shutdown(report, two.now);
    const auto pdus = two.Take();
    ASSERT_EQ(pdus.size(), 1U);
    EXPECT_THAT(pdus[0], StartsWith(ErrorBegin("02", code)));
    EXPECT_TRUE(two.session->ShouldClose());
    Cache one;
    one.Ask("0102 0000 00000008");
    one.session->Shutdown(report, one.now);
    EXPECT_TRUE(one.session->ShouldClose());
  }
}

TEST(ServerSession, KnowsWhatWasSentAndWhatWasConfirmed) {
  Cache cache;
  cache.session->Feed(Hex("0102 0000 00000008"), cache.now);
  testing::Drain(*cache.session, [&](std::size_t n) { cache.session->Consume(n, cache.now); }, 8 + 20 + 23);
  EXPECT_FALSE(cache.session->state().sent.has_value());
  cache.Take();
  const ServedData first{.session = 0x101, .serial = 1, .hash = HashOf(1)};
  EXPECT_EQ(cache.session->state().sent, first);
  EXPECT_FALSE(cache.session->state().confirmed.has_value());
  cache.Load();
  cache.Take();
  cache.Ask("0101 0101 0000000c 00000001");
  EXPECT_EQ(cache.session->state().confirmed, first);
  EXPECT_EQ(cache.session->state().sent, (ServedData{.session = 0x101, .serial = 2, .hash = HashOf(2)}));
  std::vector<SessionEvent::Kind> kinds;
  for (const auto& event : cache.session->TakeEvents()) kinds.push_back(event.kind);
  using Kind = SessionEvent::Kind;
  EXPECT_THAT(kinds, ElementsAre(Kind::kVersionAgreed, Kind::kEndOfDataSent, Kind::kConfirmed, Kind::kEndOfDataSent));
  EXPECT_THAT(cache.session->TakeEvents(), IsEmpty());
  // On another connection its hash is not known here.
  cache.Connect();
  cache.Ask("0101 0101 0000000c 00000001");
  EXPECT_EQ(cache.session->state().confirmed, (ServedData{.session = 0x101, .serial = 1, .hash = {}}));
}

// Anybody can name a serial: it is on record as the router's word only when we gave it.
TEST(ServerSession, ASerialThatIsNotOursIsNoConfirmation) {
  Cache cache;
  cache.Ask("0102 0000 00000008");
  cache.session->TakeEvents();
  EXPECT_THAT(cache.Ask("0101 0101 0000000c 00000063"), ElementsAre(Hex("0108 0000 00000008")));
  EXPECT_FALSE(cache.session->state().confirmed.has_value());
  for (const auto& event : cache.session->TakeEvents()) EXPECT_NE(event.kind, SessionEvent::Kind::kConfirmed);
  // What this connection was sent is ours, though the window no longer reaches back to it.
  for (int i = 0; i < 5; ++i) cache.Load();
  cache.Take();
  cache.Ask("0101 0101 0000000c 00000001");
  EXPECT_EQ(cache.session->state().confirmed, (ServedData{.session = 0x101, .serial = 1, .hash = HashOf(1)}));
}

TEST(ServerSession, Counts) {
  Cache cache;
  cache.Ask("0102 0000 00000008");
  cache.Ask("0101 0101 0000000c 00000001");
  const ServerSessionState& state = cache.session->state();
  EXPECT_EQ(state.bytes_in, 20U);
  EXPECT_EQ(state.bytes_out, 8U + 20 + 24 + 8 + 24);
  EXPECT_EQ(state.pdus_in, (PduCounts{0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(state.pdus_out, (PduCounts{0, 0, 0, 2, 1, 0, 0, 2, 0, 0, 0, 0}));
  EXPECT_EQ(state.full_answers, 1U);
  EXPECT_EQ(state.incremental_answers, 1U);
}

TEST(ServerSession, NewSessionIdsInALiveConnectionAreNotTheRoutersFault) {
  Cache cache;
  cache.Ask("0102 0000 00000008");
  cache.history.StartSessions();
  cache.session->OnNewSnapshot(cache.history.snapshot(), cache.now);
  EXPECT_THAT(cache.Take(), ElementsAre(Hex("0100 0104 0000000c 00000001")));
  EXPECT_THAT(cache.Ask("0101 0101 0000000c 00000001"), ElementsAre(Hex("0108 0000 00000008")));
}

}  // namespace
}  // namespace virp::rtr
