#include "services/rtr-bridge/domain/session_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace virp::rtr_bridge {
namespace {

using nlohmann::json;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = rtr::SessionEvent::Kind;

rtr::SessionEvent Sent(std::uint32_t serial, std::uint8_t hash = 0) {
  rtr::SessionEvent event{.kind = Kind::kEndOfDataSent, .data = {.session = 7, .serial = serial, .hash = {}}};
  event.data.hash.fill(hash);
  return event;
}
rtr::SessionEvent Confirmed(std::uint32_t serial) {
  return {.kind = Kind::kConfirmed, .data = {.session = 7, .serial = serial, .hash = {}}};
}
const rtr::SessionEvent kAgreed{.kind = Kind::kVersionAgreed};

class SessionLogTest : public ::testing::Test {
 protected:
  SessionLog& Make(const SessionLogOptions& options) {
    log_ = std::make_unique<SessionLog>(witness_, clock_, options);
    return *log_;
  }
  static SessionName Router(const std::string& peer, std::uint64_t connection, const std::string& identity = "") {
    return {connection, peer, 4711, Transport::kSsh, identity};
  }
  void Take(const SessionName& name, const std::vector<rtr::SessionEvent>& events) {
    rtr::ServerSessionState state;
    state.version = 1;
    log_->Take(name, state, events, told_[name.connection]);
  }
  void Close(const SessionName& name, const std::string& why = "the router closed") {
    RouterView view;
    view.name = name;
    view.closed = clock_.NowNanos();
    view.close_reason = why;
    log_->TakeClosed(view, told_[name.connection]);
  }
  // A connection that opens, is served and closes: three records.
  void Flap(const std::string& peer, std::uint32_t serial = 1, const std::string& identity = "") {
    const SessionName name = Router(peer, ++connections_, identity);
    Take(name, {kAgreed, Sent(serial)});
    Close(name);
  }
  // Events of what waited, and the newest summary.
  std::vector<std::string> Drained(bool last = false) {
    batch_ = log_->Drain(last);
    std::vector<std::string> events;
    for (const deliver::Observation& observation : batch_.observations) {
      const auto payload = nlohmann::json::parse(observation.payload);
      events.push_back(payload.at("event"));
      if (events.back() == "sessions_summarised") summary_ = payload;
    }
    return events;
  }

  FakeClock clock_;
  const Witness witness_{"bridge-1"};
  std::unique_ptr<SessionLog> log_ = std::make_unique<SessionLog>(witness_, clock_);
  std::map<std::uint64_t, SessionLog::Told> told_;
  std::uint64_t connections_ = 0;
  SessionLog::Batch batch_;
  nlohmann::json summary_;
};

TEST_F(SessionLogTest, OnlyWhatChangesIsARecord) {
  const SessionName router = Router("192.0.2.1", 1);
  Take(router, {kAgreed, Sent(1, 0xaa)});
  EXPECT_THAT(Drained(), ElementsAre("session_opened", "end_of_data_sent"));
  Take(router, {Confirmed(1), Sent(1, 0xaa)});
  Take(router, {Confirmed(1), Sent(1, 0xaa)});
  EXPECT_THAT(Drained(), ElementsAre("serial_confirmed"));
  Take(router, {Confirmed(1), Sent(2, 0xbb), {.kind = Kind::kCacheResetSent}});
  EXPECT_THAT(Drained(), ElementsAre("end_of_data_sent"));
  Take(router, {kAgreed});
  EXPECT_THAT(Drained(), IsEmpty());
  Close(router);
  EXPECT_THAT(Drained(), ElementsAre("session_closed"));
  Take(Router("192.0.2.1", 2), {kAgreed, Sent(2, 0xbb)});
  EXPECT_THAT(Drained(), ElementsAre("session_opened", "end_of_data_sent")) << "another connection was told nothing";
}

TEST_F(SessionLogTest, StrangersThatNeverSpokeLeaveNoRecord) {
  const SessionName stranger = Router("192.0.2.1", 1);
  log_->Take(stranger, {}, {{.kind = Kind::kErrorSent}}, told_[1]);
  Close(stranger);
  EXPECT_THAT(Drained(), IsEmpty());
  EXPECT_EQ(log_->Closed(clock_.NowNanos()).size(), 1U) << "but they are shown";
}

TEST_F(SessionLogTest, ARouterThatFlapsIsSummarised) {
  Make({.per_router = 7});
  for (std::uint32_t i = 1; i <= 100; ++i) Flap("192.0.2.1", i);
  EXPECT_THAT(Drained(), ElementsAre("session_opened", "end_of_data_sent", "session_closed", "session_opened",
                                     "end_of_data_sent", "session_closed", "session_opened"));
  clock_.Advance(seconds(59));
  Flap("192.0.2.1", 200);
  EXPECT_THAT(Drained(), IsEmpty());
  clock_.Advance(seconds(1));
  EXPECT_THAT(Drained(), ElementsAre("sessions_summarised", "end_of_data_sent"));
  EXPECT_EQ(batch_.observations[0].type, frame::Type::kRouterSessionChange);
  EXPECT_EQ(batch_.observations[0].tier, frame::Tier::kYellow);
  EXPECT_EQ(summary_.at("subject"), "bridge-1/router/192.0.2.1");
  EXPECT_EQ(summary_.at("opened"), 98) << "100 of the first moment without 3, and one a minute later";
  EXPECT_EQ(summary_.at("sent"), 99);
  EXPECT_EQ(summary_.at("confirmed"), 0);
  EXPECT_EQ(summary_.at("closed"), 99);
  EXPECT_EQ(summary_.at("last_ns").get<UnixNanos>() - summary_.at("first_ns").get<UnixNanos>(), 59'000'000'000U);
  const auto sent = json::parse(batch_.observations[1].payload);
  EXPECT_EQ(sent.at("serial"), 200) << "what it was served is known all the same";
  EXPECT_EQ(sent.at("connection"), 101);
  EXPECT_EQ(sent.at("told_ns"), summary_.at("last_ns"));
  Flap("192.0.2.1");
  EXPECT_THAT(Drained(), ElementsAre("session_opened", "end_of_data_sent", "session_closed")) << "a new minute";
  EXPECT_EQ(batch_.lost + batch_.over_limit, 0U);
}

// One that asks by every serial there is on one connection is no better.
TEST_F(SessionLogTest, AnEndlessRunOfConfirmationsIsSummarised) {
  Make({.per_router = 3});
  const SessionName router = Router("192.0.2.1", 9, "ssh:rpki/SHA256:x");
  for (std::uint32_t serial = 0; serial < 1'000; ++serial) Take(router, {kAgreed, Confirmed(serial)});
  EXPECT_EQ(Drained().size(), 3U);
  clock_.Advance(minutes(1));
  EXPECT_THAT(Drained(), ElementsAre("sessions_summarised", "serial_confirmed"));
  EXPECT_EQ(summary_.at("confirmed"), 998);
  EXPECT_EQ(summary_.at("identity"), "ssh:rpki/SHA256:x");
  const auto confirmed = json::parse(batch_.observations[1].payload);
  EXPECT_EQ(confirmed.at("serial"), 999);
  EXPECT_EQ(confirmed.at("connection"), 9);
}

// Behind one address there may be several, as far as they prove it.
TEST_F(SessionLogTest, ARouterThatFlapsTakesNothingFromOthers) {
  Make({.per_router = 3});
  for (int i = 0; i < 10; ++i) Flap("192.0.2.1", 1, "ssh:bad/password");
  EXPECT_EQ(Drained().size(), 3U);
  Flap("192.0.2.1", 1, "ssh:good/password");
  Flap("192.0.2.2");
  EXPECT_EQ(Drained().size(), 6U);
}

TEST_F(SessionLogTest, ThereIsALimitForAllTogether) {
  Make({.per_router = 100, .all_routers = 6});
  Flap("192.0.2.1");
  Flap("192.0.2.2");
  EXPECT_EQ(Drained().size(), 6U);
  for (int i = 0; i < 1'000; ++i) Flap("2001:db8::" + std::to_string(i));
  Flap("192.0.2.1", 5);
  EXPECT_THAT(Drained(), IsEmpty());
  EXPECT_EQ(batch_.over_limit, 3'000U) << "strangers are counted and cost no memory";
  clock_.Advance(minutes(1));
  EXPECT_THAT(Drained(), ElementsAre("sessions_summarised", "end_of_data_sent"))
      << "whoever was heard before is summarised";
  EXPECT_EQ(json::parse(batch_.observations[1].payload).at("serial"), 5);
  EXPECT_EQ(batch_.over_limit, 0U) << "told once";
  Flap("192.0.2.3");
  EXPECT_EQ(Drained().size(), 3U);
}

TEST_F(SessionLogTest, TellsHowFarItIsComplete) {
  Make({.per_router = 3});
  Flap("192.0.2.1");
  Drained();
  EXPECT_EQ(batch_.complete_until, clock_.NowNanos());
  clock_.Advance(seconds(5));
  const UnixNanos first = clock_.NowNanos();
  Flap("192.0.2.1");
  for (int i = 0; i < 50; ++i) {
    clock_.Advance(seconds(1));
    Drained();
    EXPECT_EQ(batch_.complete_until, first) << "what waits in a summary is in no batch";
  }
  clock_.Advance(seconds(10));
  EXPECT_THAT(Drained(), ElementsAre("sessions_summarised", "end_of_data_sent"));
  EXPECT_EQ(batch_.complete_until, clock_.NowNanos());
}

TEST_F(SessionLogTest, TheLastBatchHasTheSummariesToo) {
  Make({.per_router = 3});
  Flap("192.0.2.1");
  Flap("192.0.2.1");
  EXPECT_THAT(Drained(true), ElementsAre("session_opened", "end_of_data_sent", "session_closed", "sessions_summarised",
                                         "end_of_data_sent"));
  EXPECT_EQ(batch_.complete_until, clock_.NowNanos());
}

TEST_F(SessionLogTest, CountsWhatHadNoPlaceToWait) {
  Make({.most_waiting = 4, .per_router = 100});
  Flap("192.0.2.1");
  Flap("192.0.2.2");
  EXPECT_EQ(Drained().size(), 4U);
  EXPECT_EQ(batch_.lost, 2U);
  Drained();
  EXPECT_EQ(batch_.lost, 0U);
}

TEST_F(SessionLogTest, StrangersPushNoRouterOut) {
  Flap("192.0.2.1");
  for (int i = 0; i < 12'000; ++i) Close(Router("192.0.2.66", 0));
  const auto closed = log_->Closed(clock_.NowNanos());
  EXPECT_EQ(closed.size(), 1'001U);
  EXPECT_EQ(closed.front().name.peer, "192.0.2.1");
}

TEST_F(SessionLogTest, ShowsWhoLeftWithinTheLastHour) {
  for (int i = 0; i < 10'005; ++i) Flap("192.0.2.1");
  auto closed = log_->Closed(clock_.NowNanos());
  ASSERT_EQ(closed.size(), 10'000U);
  EXPECT_EQ(closed.front().name.connection, 6U);
  EXPECT_EQ(closed.back().name.connection, 10'005U);
  clock_.Advance(minutes(30));
  Flap("192.0.2.2");
  clock_.Advance(minutes(30));
  closed = log_->Closed(clock_.NowNanos());
  ASSERT_EQ(closed.size(), 1U);
  EXPECT_EQ(closed[0].name.peer, "192.0.2.2");
  clock_.Advance(hours(1));
  EXPECT_THAT(log_->Closed(clock_.NowNanos()), IsEmpty());
}

}  // namespace
}  // namespace virp::rtr_bridge
