#include "lib/base/pulse.h"

#include <gtest/gtest.h>

namespace virp {
namespace {

using namespace std::chrono_literals;

TEST(PulseTest, SilenceCountsFromTheLastBeat) {
  FakeClock clock;
  Pulse pulse("sequencer", clock);
  clock.Advance(1h);
  EXPECT_EQ(pulse.Silence(), 0s) << "it was never at work";
  pulse.Beat();
  clock.Advance(5s);
  EXPECT_EQ(pulse.Silence(), 5s);
  pulse.Beat();
  EXPECT_EQ(pulse.Silence(), 0s);
}

TEST(PulseTest, WhoRestsIsNotSilent) {
  FakeClock clock;
  Pulse pulse("delivery", clock);
  {
    const AtWork work(pulse);
    {
      const AtRest rest(pulse);
      clock.Advance(1h);
      EXPECT_EQ(pulse.Silence(), 0s);
    }
    clock.Advance(2s);
    EXPECT_EQ(pulse.Silence(), 2s) << "it counts from the end of the rest";
  }
  clock.Advance(1h);
  EXPECT_EQ(pulse.Silence(), 0s);
}

TEST(PulseTest, TheFirstThatStandsStillIsNamed) {
  FakeClock clock;
  Pulse well("heart", clock), stuck("spool", clock);
  stuck.Beat();
  clock.Advance(kStandstill - 1s);
  well.Beat();
  EXPECT_TRUE(CheckPulses({&well, &stuck}).ok());
  clock.Advance(1s);
  const absl::Status status = CheckPulses({&well, &stuck});
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_EQ(Message(status), "spool has stood still for 90 s");
  stuck.Beat();
  EXPECT_TRUE(CheckPulses({&well, &stuck}).ok());
}

TEST(PulseTest, AWallClockThatStepsChangesNothing) {
  FakeClock clock;
  Pulse pulse("spool", clock);
  pulse.Beat();
  clock.SetWall(clock.NowNanos() + 4'000'000'000'000'000'000ULL);
  EXPECT_EQ(pulse.Silence(), 0s);
}

}  // namespace
}  // namespace virp
