#include "services/keymgr/domain/router_roll.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/testutil/status_matchers.h"

namespace virp::keymgr {
namespace {

using State = RouterKeyState;
using testing::ElementsAre;
using testing::IsEmpty;
using testutil::ReasonIs;
using testutil::StatusIs;

constexpr UnixNanos kHour = 3'600'000'000'000ULL;
constexpr UnixNanos kYear = 365 * 24 * kHour;

class RouterRollTest : public testing::Test {
 protected:
  // The first key, in use.
  void Begin() {
    ASSERT_OK(AddNext(roll_, 1, now_));
    ASSERT_OK(MarkPublished(roll_, 1, now_ + kYear, now_));
    Pass(24 * kHour);
    ASSERT_OK(Activate(roll_, 1, false, now_));
  }
  void Pass(UnixNanos time) {
    now_ += time;
    Advance(roll_, times_, now_);
  }
  State StateOf(std::uint32_t version) const { return roll_.Find(version)->state; }

  RouterRoll roll_;
  const RollTimes times_;
  UnixNanos now_ = 1'000 * kYear / 10;
};

TEST_F(RouterRollTest, OneKeyFollowsTheOther) {
  Begin();
  ASSERT_OK(AddNext(roll_, 2, now_));
  EXPECT_THAT(Activate(roll_, 2, true, now_), ReasonIs("ROUTER_KEY_STATE"));  // nobody could check it
  ASSERT_OK(MarkPublished(roll_, 2, now_ + kYear, now_));
  Pass(0);
  EXPECT_EQ(StateOf(2), State::kStaging);
  Pass(23 * kHour);
  EXPECT_THAT(Activate(roll_, 2, false, now_), ReasonIs("ROUTER_KEY_STATE"));
  EXPECT_EQ(StateOf(1), State::kActive);
  Pass(kHour);
  EXPECT_EQ(StateOf(2), State::kReady);
  Pass(90 * 24 * kHour);  // ready for months
  ASSERT_OK(Activate(roll_, 2, false, now_));
  EXPECT_EQ(StateOf(1), State::kTwilight);
  EXPECT_EQ(roll_.Active()->version, 2u);
  EXPECT_THAT(MarkRevoked(roll_, 1, std::nullopt, true, now_),
              ReasonIs("ROUTER_KEY_STATE"));  // UPDATEs under it are out
  ASSERT_OK(MarkReplaced(roll_, 1));
  ASSERT_OK(MarkRevoked(roll_, 1, std::nullopt, true, now_));
  Pass(24 * kHour - 1);
  EXPECT_EQ(StateOf(1), State::kRevoked);
  Pass(1);
  EXPECT_EQ(StateOf(1), State::kWithdrawn);
  Pass(7 * 24 * kHour);
  EXPECT_EQ(StateOf(1), State::kDestroyed);
  EXPECT_EQ(NextAdvance(roll_, times_), std::nullopt);
}

TEST_F(RouterRollTest, WithoutRevocationItEndsWithItsCertificate) {
  Begin();
  const UnixNanos end = roll_.Find(1)->not_after;
  ASSERT_OK(AddNext(roll_, 2, now_));
  ASSERT_OK(MarkPublished(roll_, 2, now_ + 3 * kYear, now_));
  Pass(24 * kHour);
  ASSERT_OK(Activate(roll_, 2, false, now_));
  EXPECT_EQ(NextAdvance(roll_, times_), end);
  Pass(end - now_ - 1);
  EXPECT_EQ(StateOf(1), State::kTwilight);
  Pass(1);
  EXPECT_EQ(StateOf(1), State::kWithdrawn);
}

TEST_F(RouterRollTest, EmergencySkipsStagingOnly) {
  Begin();
  ASSERT_OK(MarkCompromised(roll_, 1, now_));
  EXPECT_THAT(MarkPublished(roll_, 1, now_ + 2 * kYear, now_), ReasonIs("ROUTER_KEY_STATE"));  // never certified again
  ASSERT_OK(AddNext(roll_, 2, now_));
  ASSERT_OK(MarkPublished(roll_, 2, now_ + kYear, now_));
  ASSERT_OK(Activate(roll_, 2, true, now_));
  ASSERT_OK(MarkRevoked(roll_, 1, std::nullopt, true, now_));
  EXPECT_GT(roll_.Active()->not_after, now_);
}

TEST_F(RouterRollTest, TheActiveKeyIsRevokedOnlyWithItsConsequence) {
  Begin();
  EXPECT_THAT(MarkRevoked(roll_, 1, std::nullopt, true, now_), ReasonIs("ROUTER_KEY_STATE"));
  EXPECT_THAT(MarkRevoked(roll_, 1, Continuity::kKeepSigning, true, now_), ReasonIs("ROUTER_KEY_STATE"));
  ASSERT_OK(MarkRevoked(roll_, 1, Continuity::kDisableBgpsec, true, now_));
  EXPECT_EQ(roll_.continuity, Continuity::kDisableBgpsec);
  EXPECT_EQ(roll_.Active(), nullptr);
  ASSERT_OK(AddNext(roll_, 2, now_));
  ASSERT_OK(MarkPublished(roll_, 2, now_ + kYear, now_));
  ASSERT_OK(Activate(roll_, 2, true, now_));
  EXPECT_EQ(roll_.continuity, std::nullopt);
}

TEST_F(RouterRollTest, RenewalKeepsTheKeyAndItsPlace) {
  Begin();
  ASSERT_OK(MarkPublished(roll_, 1, now_ + 2 * kYear, now_));
  EXPECT_EQ(StateOf(1), State::kActive);
  EXPECT_EQ(roll_.Find(1)->not_after, now_ + 2 * kYear);
  Pass(2 * kYear);
  EXPECT_LE(roll_.Active()->not_after, now_);
}

TEST_F(RouterRollTest, TwoSlots) {
  Begin();
  ASSERT_OK(AddNext(roll_, 2, now_));
  EXPECT_THAT(AddNext(roll_, 3, now_), ReasonIs("ROUTER_KEY_STATE"));
  ASSERT_OK(MarkCompromised(roll_, 2, now_));  // lost before anybody saw it
  EXPECT_EQ(StateOf(2), State::kWithdrawn);
  EXPECT_THAT(MarkRevoked(roll_, 2, std::nullopt, false, now_), ReasonIs("ROUTER_KEY_STATE"));
  EXPECT_OK(MarkRevoked(roll_, 2, std::nullopt, true, now_));
  EXPECT_EQ(StateOf(2), State::kWithdrawn) << "nothing goes back";
  EXPECT_THAT(AddNext(roll_, 2, now_), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_OK(AddNext(roll_, 3, now_));
  EXPECT_THAT(Activate(roll_, 9, true, now_), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(RouterRollTest, TimePassesTheSameInOneStepOrMany) {
  Begin();
  ASSERT_OK(AddNext(roll_, 2, now_));
  ASSERT_OK(MarkPublished(roll_, 2, now_ + 3 * kYear, now_));
  Pass(24 * kHour);
  ASSERT_OK(Activate(roll_, 2, false, now_));
  RouterRoll many = roll_, once = roll_;
  for (int day = 1; day <= 800; ++day) Advance(many, times_, now_ + static_cast<UnixNanos>(day) * 24 * kHour);
  EXPECT_THAT(Advance(once, times_, now_ + 800 * 24 * kHour), ElementsAre(1));
  EXPECT_EQ(once, many);
  EXPECT_THAT(Advance(once, times_, now_ + 800 * 24 * kHour), IsEmpty());
}

// Whatever is asked in whatever order: one active key at most, nothing goes back, and only an operator's word takes the
// last key away.
TEST_F(RouterRollTest, NoOrderOfCallsBreaksTheRules) {
  std::mt19937_64 random(20261122);
  for (int run = 0; run < 2'000; ++run) {
    RouterRoll roll;
    UnixNanos now = kYear;
    std::uint32_t newest = 0;
    for (int step = 0; step < 40; ++step) {
      const RouterRoll before = roll;
      const std::uint32_t version = newest == 0 ? 1 : static_cast<std::uint32_t>(1 + random() % newest);
      absl::Status status;
      bool revoked_by_word = false;
      switch (random() % 7) {
        case 0:
          status = AddNext(roll, newest + 1, now);
          newest += status.ok() ? 1 : 0;
          break;
        case 1:
          status = MarkPublished(roll, version, now + kYear / 2, now);
          break;
        case 2:
          status = Activate(roll, version, random() % 4 == 0, now);
          break;
        case 3:
          status = MarkReplaced(roll, version);
          break;
        case 4:
          status = MarkRevoked(roll, version, random() % 2 == 0 ? std::nullopt : std::optional(Continuity::kOffline),
                               random() % 2 == 0, now);
          revoked_by_word = status.ok() && roll.continuity.has_value();
          break;
        case 5:
          status = random() % 8 == 0 ? MarkCompromised(roll, version, now) : absl::OkStatus();
          break;
        default:
          now += random() % (60 * 24 * kHour);
          Advance(roll, times_, now);
      }
      if (!status.ok()) ASSERT_EQ(roll, before) << status;
      ASSERT_LE(std::ranges::count(roll.keys, State::kActive, &RollKey::state), 1);
      ASSERT_LE(
          std::ranges::count_if(roll.keys, [](const RollKey& k) { return k.state <= State::kReady && !k.compromised; }),
          1);
      for (const RollKey& old : before.keys) ASSERT_GE(roll.Find(old.version)->state, old.state);
      if (before.Active() != nullptr && roll.Active() == nullptr) ASSERT_TRUE(revoked_by_word);
    }
  }
}

}  // namespace
}  // namespace virp::keymgr
