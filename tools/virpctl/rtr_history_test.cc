#include "tools/virpctl/rtr_history.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/testutil/status_matchers.h"

namespace virp::virpctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class RtrHistoryTest : public ::testing::Test {
 protected:
  // From the newest to the oldest.
  static void Take(RtrHistory& history, UnixNanos time, const std::string& event, int serial,
                   const std::string& more = "") {
    const std::string set = event == "end_of_data_sent" ? fmt::format(R"(,"set_sha256":"set {}")", serial) : "";
    ASSERT_OK_AND_ASSIGN(
        RtrTold told,
        ReadRtrTold(
            time, time,
            fmt::format(R"({{"domain":"rtr","event":"{}","subject":"b/router/192.0.2.1","connection":3,"port":1,)"
                        R"("transport":"tcp","identity":"","version":1,"session_id":7,"serial":{}{}{}}})",
                        event, serial, set, more)));
    history.Take(std::move(told));
  }
  static void TakeAll(RtrHistory& history) {
    Take(history, 50, "serial_confirmed", 2);
    Take(history, 40, "end_of_data_sent", 2);
    Take(history, 30, "serial_confirmed", 1);
    Take(history, 20, "end_of_data_sent", 1);
    Take(history, 10, "session_opened", 0);
  }
};

TEST_F(RtrHistoryTest, AnswersForEachTime) {
  struct Case {
    UnixNanos by;
    std::uint64_t sent, confirmed;
  };
  for (const Case& c : {Case{9, 0, 0}, Case{20, 1, 0}, Case{39, 1, 1}, Case{45, 2, 1}, Case{99, 2, 2}}) {
    RtrHistory history(c.by, 100);
    TakeAll(history);
    EXPECT_EQ(history.sent() ? history.sent()->serial : 0, c.sent) << c.by;
    EXPECT_EQ(history.confirmed() ? history.confirmed()->serial : 0, c.confirmed) << c.by;
    EXPECT_EQ(history.confirmed_set(), c.confirmed == 0 ? "" : fmt::format("set {}", c.confirmed)) << c.by;
    EXPECT_THAT(history.missing(), IsEmpty());
  }
}

TEST_F(RtrHistoryTest, ItIsEnoughWhenNothingOlderMatters) {
  RtrHistory history(99, 2);
  Take(history, 50, "serial_confirmed", 1);
  Take(history, 40, "end_of_data_sent", 2);
  EXPECT_FALSE(history.enough()) << "which set was confirmed is not known yet";
  Take(history, 20, "end_of_data_sent", 1);
  EXPECT_TRUE(history.enough());
  EXPECT_EQ(history.told().size(), 2U);
}

TEST_F(RtrHistoryTest, WhatStandsBehindASummaryCountsByWhenItWas) {
  const auto take = [](RtrHistory& history) {
    Take(history, 100, "end_of_data_sent", 5, R"(,"told_ns":70)");
    Take(history, 100, "sessions_summarised", 0, R"(,"first_ns":30,"last_ns":70)");
    Take(history, 20, "end_of_data_sent", 1);
  };
  RtrHistory after(80, 100), within(50, 100), before(25, 100);
  take(after);
  EXPECT_EQ(after.sent()->serial, 5U);
  EXPECT_THAT(after.missing(), IsEmpty());
  take(within);
  EXPECT_EQ(within.sent()->serial, 1U);
  EXPECT_THAT(within.missing(), ElementsAre(HasSubstr("summarised: entry 100")));
  take(before);
  EXPECT_EQ(before.sent()->serial, 1U);
  EXPECT_THAT(before.missing(), IsEmpty());
}

TEST_F(RtrHistoryTest, WhatTheBridgeLostIsSaid) {
  const std::string lost =
      R"({"domain":"rtr","event":"records_lost","subject":"b/cache","why":"crash","count":null,"since_ns":30,"until_ns":60})";
  RtrHistory within(45, 100), before(25, 100), after(99, 100);
  for (RtrHistory* const history : {&within, &before}) {
    Take(*history, 20, "end_of_data_sent", 1);
    ASSERT_OK(history->TakeCache(lost));
  }
  EXPECT_THAT(within.missing(), ElementsAre(HasSubstr("may be lost (crash)")));
  EXPECT_THAT(before.missing(), IsEmpty());
  // What was sent behind the hole is the newest all the same.
  Take(after, 70, "end_of_data_sent", 2);
  ASSERT_OK(after.TakeCache(lost));
  EXPECT_THAT(after.missing(), IsEmpty());
  ASSERT_OK(after.TakeCache(R"({"domain":"rtr","event":"bridge_started","subject":"b/cache","previous":"none"})"));
}

}  // namespace
}  // namespace virp::virpctl
