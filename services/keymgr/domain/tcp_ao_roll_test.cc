#include "services/keymgr/domain/tcp_ao_roll.h"

#include <gtest/gtest.h>

#include "tests/testutil/status_matchers.h"

namespace virp::keymgr {
namespace {

using absl::StatusCode;
using testing::HasSubstr;
using testing::IsEmpty;
using testutil::StatusIs;

constexpr TcpAoTuple kOld{4, {7, 8}}, kNew{5, {9, 10}};
constexpr UnixNanos kHold = 60 * kSecond;

class TcpAoRollTest : public testing::Test {
 protected:
  TcpAoRollTest() : roll_(StartRoll(kOld, kNew, 40, now_, 0, now_ + 600 * kSecond, kHold)) {}

  // What an end says that did what its plan says.
  TcpAoReport Obedient(TcpAoEnd end, int sessions = 1) const {
    const TcpAoPlan plan = PlanFor(roll_);
    TcpAoReport report;
    report.serial = plan.serial;
    for (const TcpAoTuple& key : plan.keys)
      report.keys.push_back({key.ids.SendId(end), key.ids.RecvId(end), plan.preferred == key.version ? 3U : 0U, 0});
    const TcpAoIds& ids = plan.preferred == kNew.version ? kNew.ids : kOld.ids;
    for (int i = 0; i < sessions; ++i) report.sessions.push_back({ids.SendId(end), ids.RecvId(end)});
    report.asked_for = kHold;
    return report;
  }
  void Say(TcpAoEnd end, const TcpAoReport& report) { EXPECT_OK(Report(roll_, end, report, now_)); }
  void BothObey(int sessions = 1) {
    const TcpAoReport a = Obedient(TcpAoEnd::kA, sessions), b = Obedient(TcpAoEnd::kB, sessions);
    Say(TcpAoEnd::kA, a);
    Say(TcpAoEnd::kB, b);
  }
  void Reach(TcpAoPhase phase) {
    for (int i = 0; i < 8 && roll_.phase != phase; ++i) BothObey();
    ASSERT_EQ(roll_.phase, phase);
  }

  UnixNanos now_ = 1'000 * kSecond;
  TcpAoRoll roll_;
};

TEST_F(TcpAoRollTest, BothEndsGoThroughThePhasesTogether) {
  EXPECT_EQ(PlanFor(roll_).keys, (std::vector{kOld, kNew}));
  EXPECT_EQ(PlanFor(roll_).preferred, kOld.version);
  EXPECT_EQ(roll_.serial, 41U);
  Say(TcpAoEnd::kA, Obedient(TcpAoEnd::kA));
  EXPECT_EQ(roll_.phase, TcpAoPhase::kPending) << "one end is not both";
  EXPECT_EQ(Missing(roll_, now_).size(), 1U);
  Say(TcpAoEnd::kB, Obedient(TcpAoEnd::kB));
  EXPECT_EQ(roll_.phase, TcpAoPhase::kRnextSet) << "it may be used at once";
  EXPECT_EQ(PlanFor(roll_).preferred, kNew.version);
  BothObey();
  EXPECT_EQ(roll_.phase, TcpAoPhase::kConfirming);
  BothObey();
  EXPECT_EQ(roll_.phase, TcpAoPhase::kCurrent);
  EXPECT_EQ(PlanFor(roll_).keys, std::vector{kNew});
  BothObey();
  EXPECT_EQ(roll_.phase, TcpAoPhase::kOldRemoved);
  EXPECT_TRUE(IsOver(roll_));
  EXPECT_THAT(Missing(roll_, now_), IsEmpty());
  const TcpAoRoll over = roll_;
  BothObey();
  EXPECT_EQ(roll_.serial, over.serial) << "nothing more is to do";
}

TEST_F(TcpAoRollTest, AFirstKeyHasNothingToRemove) {
  roll_ = StartRoll(std::nullopt, kNew, 0, now_, 0, now_ + 600 * kSecond, kHold);
  EXPECT_EQ(PlanFor(roll_).preferred, 0U);
  Reach(TcpAoPhase::kOldRemoved);
  EXPECT_EQ(PlanFor(roll_).keys, std::vector{kNew});
}

TEST_F(TcpAoRollTest, AKeyThatIsForLaterWaits) {
  roll_.use_from = now_ + 100 * kSecond;
  BothObey();
  EXPECT_EQ(roll_.phase, TcpAoPhase::kInstalled);
  EXPECT_EQ(PlanFor(roll_).preferred, kOld.version);
  EXPECT_THAT(Missing(roll_, now_).at(0), HasSubstr("100 s"));
  EXPECT_FALSE(Advance(roll_, now_ + 99 * kSecond));
  EXPECT_TRUE(Advance(roll_, now_ + 100 * kSecond));
  EXPECT_EQ(roll_.phase, TcpAoPhase::kRnextSet);
}

TEST_F(TcpAoRollTest, NothingIsRemovedBeforeBothAreOnTheNewKey) {
  Reach(TcpAoPhase::kConfirming);
  Say(TcpAoEnd::kA, Obedient(TcpAoEnd::kA));
  const TcpAoReport good = Obedient(TcpAoEnd::kB);
  const auto stays = [&](auto change) {
    TcpAoReport report = good;
    change(report);
    Say(TcpAoEnd::kB, report);
    EXPECT_EQ(roll_.phase, TcpAoPhase::kConfirming);
    EXPECT_EQ(Missing(roll_, now_).size(), 1U);
  };
  stays([](TcpAoReport& r) { r.sessions[0].current = kOld.ids.SendId(TcpAoEnd::kB); });
  stays([](TcpAoReport& r) { r.sessions[0].rnext = kOld.ids.RecvId(TcpAoEnd::kB); });
  stays([](TcpAoReport& r) { r.sessions.push_back({1, 1}); });
  stays([](TcpAoReport& r) { r.keys[1].good = 0; });
  stays([](TcpAoReport& r) { r.keys.pop_back(); });
  stays([](TcpAoReport& r) { std::swap(r.keys[1].send_id, r.keys[1].recv_id); });
  stays([](TcpAoReport& r) { r.asked_for = kHold - 1; });
  stays([](TcpAoReport& r) { --r.serial; });
  Say(TcpAoEnd::kB, good);
  EXPECT_EQ(roll_.phase, TcpAoPhase::kCurrent);
}

TEST_F(TcpAoRollTest, WithoutAConnectionThereIsNothingToCount) {
  for (int i = 0; i < 6; ++i) {
    TcpAoReport a = Obedient(TcpAoEnd::kA, 0), b = Obedient(TcpAoEnd::kB, 0);
    for (auto& key : a.keys) key.good = 0;
    for (auto& key : b.keys) key.good = 0;
    Say(TcpAoEnd::kA, a);
    Say(TcpAoEnd::kB, b);
  }
  EXPECT_EQ(roll_.phase, TcpAoPhase::kOldRemoved);
}

TEST_F(TcpAoRollTest, ReportsOfTheFutureAndTooLargeOnesAreRefused) {
  const TcpAoRoll before = roll_;
  TcpAoReport report = Obedient(TcpAoEnd::kA);
  ++report.serial;
  EXPECT_THAT(Report(roll_, TcpAoEnd::kA, report, now_),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("serial 42")));
  --report.serial;
  report.keys.resize(kMaxReportedKeys + 1);
  EXPECT_THAT(Report(roll_, TcpAoEnd::kA, report, now_), StatusIs(StatusCode::kInvalidArgument));
  report.keys.clear();
  report.sessions.resize(kMaxReportedSessions + 1);
  EXPECT_THAT(Report(roll_, TcpAoEnd::kA, report, now_), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_EQ(roll_, before);
}

TEST_F(TcpAoRollTest, APeerThatIgnoresWhatItIsAskedForIsMadeTo) {
  EXPECT_THAT(ForceCurrent(roll_, now_), StatusIs(StatusCode::kFailedPrecondition));
  Reach(TcpAoPhase::kConfirming);
  EXPECT_FALSE(IsOverdue(roll_, now_ + 599 * kSecond));
  EXPECT_TRUE(IsOverdue(roll_, now_ + 600 * kSecond));
  EXPECT_FALSE(PlanFor(roll_).set_current);
  EXPECT_OK(ForceCurrent(roll_, now_));
  EXPECT_TRUE(PlanFor(roll_).set_current);
  EXPECT_EQ(roll_.phase, TcpAoPhase::kRnextSet) << "both must say it anew";
  Reach(TcpAoPhase::kOldRemoved);
  EXPECT_FALSE(PlanFor(roll_).set_current);
}

TEST_F(TcpAoRollTest, TheOldKeyIsForcedAwayOnlyFromEndsThatHaveTheNewOne) {
  EXPECT_THAT(ForceRemoval(roll_, now_), StatusIs(StatusCode::kFailedPrecondition, HasSubstr("PENDING")));
  Reach(TcpAoPhase::kRnextSet);
  TcpAoReport without = Obedient(TcpAoEnd::kB);
  without.keys.pop_back();
  Say(TcpAoEnd::kB, without);
  EXPECT_THAT(ForceRemoval(roll_, now_), StatusIs(StatusCode::kFailedPrecondition, HasSubstr("end b")));
  Say(TcpAoEnd::kB, Obedient(TcpAoEnd::kB));
  EXPECT_OK(ForceRemoval(roll_, now_));
  EXPECT_EQ(roll_.phase, TcpAoPhase::kCurrent);
  EXPECT_TRUE(roll_.forced_removal);
  Reach(TcpAoPhase::kOldRemoved);
  EXPECT_THAT(ForceRemoval(roll_, now_), StatusIs(StatusCode::kFailedPrecondition));
}

TEST_F(TcpAoRollTest, BeforeItIsUsedTheNewKeyCanBeTakenAway) {
  roll_.use_from = now_ + 100 * kSecond;
  BothObey();
  EXPECT_OK(Abort(roll_, now_));
  EXPECT_EQ(PlanFor(roll_).keys, std::vector{kOld});
  EXPECT_EQ(PlanFor(roll_).preferred, kOld.version);
  Say(TcpAoEnd::kA, Obedient(TcpAoEnd::kA));
  EXPECT_EQ(roll_.phase, TcpAoPhase::kAborting);
  Say(TcpAoEnd::kB, Obedient(TcpAoEnd::kB));
  EXPECT_EQ(roll_.phase, TcpAoPhase::kAborted);
  EXPECT_TRUE(IsOver(roll_));
  EXPECT_EQ(PlanFor(roll_).keys, std::vector{kOld});

  roll_ = StartRoll(kOld, kNew, 0, now_, 0, now_ + 600 * kSecond, kHold);
  Reach(TcpAoPhase::kRnextSet);
  EXPECT_THAT(Abort(roll_, now_), StatusIs(StatusCode::kFailedPrecondition, HasSubstr("go on")));
}

TEST(TcpAoPhaseName, ReadsBack) {
  for (int i = 1; i <= 8; ++i) {
    const auto phase = static_cast<TcpAoPhase>(i);
    EXPECT_EQ(TcpAoPhaseFromName(TcpAoPhaseName(phase)), phase);
  }
  EXPECT_EQ(TcpAoPhaseFromName("REMOVED"), std::nullopt);
}

}  // namespace
}  // namespace virp::keymgr
