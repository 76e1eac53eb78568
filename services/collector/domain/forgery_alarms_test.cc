#include "services/collector/domain/forgery_alarms.h"

#include <gmock/gmock.h>

#include "lib/base/saved.h"
#include "lib/chain/control.h"
#include "lib/crypto/sha256.h"
#include "lib/deliver/outbox_fixture.h"
#include "lib/frame/payload.h"

namespace virp::collector {
namespace {

using std::chrono::seconds;

class ForgeryAlarmsTest : public deliver::testing::OutboxTest {
 protected:
  // As a collector that starts on this spool, after a stop or a kill.
  void Start() {
    outbox_.reset();
    alarms_ = std::make_unique<ForgeryAlarms>("collector-1");
    ASSERT_OK(Open({alarms_.get()}));
  }
  void Forge(std::string_view source, int frames) {
    for (int i = 0; i < frames; ++i) alarms_->Note(source, "forged");
    EXPECT_OK(alarms_->Emit(*outbox_, clock_.NowNanos()));
  }

  std::unique_ptr<ForgeryAlarms> alarms_;
};

TEST_F(ForgeryAlarmsTest, OneAMinuteForEachSource) {
  Start();
  for (int second = 0; second < 120; ++second) {
    Forge("edge-a.bgpd", 10);
    if (second == 30) Forge("edge-b.bgpd", 1);
    clock_.Advance(seconds(1));
  }
  const auto alarms = SpooledAlarms();
  ASSERT_EQ(alarms.size(), 3);
  EXPECT_EQ(alarms[0].source, "edge-a.bgpd");
  EXPECT_EQ(alarms[0].cause, "BAD_TAG");
  EXPECT_EQ(alarms[0].count, 10);
  EXPECT_EQ(alarms[0].first_sha256, View(crypto::Sha256("forged")));
  EXPECT_EQ(alarms[1].source, "edge-b.bgpd");
  EXPECT_EQ(alarms[2].count, 600);
}

TEST_F(ForgeryAlarmsTest, TheMinuteHoldsOverAKill) {
  Start();
  Forge("edge-a.bgpd", 1);
  for (int start = 0; start < 5; ++start) {
    clock_.Advance(seconds(10));
    Start();
    Forge("edge-a.bgpd", 1);
    ASSERT_EQ(SpooledAlarms().size(), 1) << start;
  }
  Forge("edge-b.bgpd", 1);
  EXPECT_EQ(SpooledAlarms().size(), 2) << "of another source nothing was told";
  clock_.Advance(seconds(10));
  Forge("edge-a.bgpd", 1);
  EXPECT_EQ(SpooledAlarms().size(), 3);
}

TEST_F(ForgeryAlarmsTest, TheMinuteHoldsWhenOnlyTheSnapshotHasIt) {
  Start();
  Forge("edge-a.bgpd", 1);
  ASSERT_OK(outbox_->Snapshot());
  clock_.Advance(seconds(50));
  Start();
  Forge("edge-a.bgpd", 3);
  EXPECT_EQ(SpooledAlarms().size(), 1);
  clock_.Advance(seconds(10));
  Forge("edge-a.bgpd", 1);
  const auto alarms = SpooledAlarms();
  ASSERT_EQ(alarms.size(), 2);
  EXPECT_EQ(alarms[1].count, 4);
}

TEST_F(ForgeryAlarmsTest, AClockThatWasAheadKeepsNobodySilent) {
  Start();
  const UnixNanos now = clock_.NowNanos();
  clock_.SetWall(now + 365 * 24 * 3'600'000'000'000ULL);
  Forge("edge-a.bgpd", 1);
  clock_.SetWall(now);
  Start();
  Forge("edge-a.bgpd", 1);
  EXPECT_EQ(SpooledAlarms().size(), 2);
}

TEST_F(ForgeryAlarmsTest, WhatTheSpoolDidNotTakeIsToldLater) {
  Start();
  keys_.Remove("collector-1", 1);
  alarms_->Note("edge-a.bgpd", "forged");
  EXPECT_FALSE(alarms_->Emit(*outbox_, clock_.NowNanos()).ok());
  keys_.Put("collector-1", {1, deliver::testing::KeyOf("collector-1"), 0, std::nullopt});
  Forge("edge-a.bgpd", 1);
  const auto alarms = SpooledAlarms();
  ASSERT_EQ(alarms.size(), 1);
  EXPECT_EQ(alarms[0].count, 2);
}

TEST_F(ForgeryAlarmsTest, ADamagedSnapshotIsRefused) {
  Start();
  Forge("edge-a.bgpd", 1);
  const std::string saved = alarms_->Save();
  ForgeryAlarms other("collector-1");
  EXPECT_OK(other.Load(saved));
  EXPECT_EQ(other.Save(), saved);
  for (std::size_t size = 1; size < saved.size(); ++size) EXPECT_FALSE(other.Load(saved.substr(0, size)).ok()) << size;
  EXPECT_FALSE(other.Load(saved + "x").ok());
  std::string many;
  AppendSaved(many, ~std::uint64_t{0});
  EXPECT_FALSE(other.Load(many).ok());
}

}  // namespace
}  // namespace virp::collector
