#include "services/collector/domain/liveness.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/chain/control.h"
#include "lib/deliver/outbox_fixture.h"
#include "services/collector/domain/heart.h"

namespace virp::collector {
namespace {

using deliver::testing::MakeFrame;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::IsEmpty;

TEST(LivenessTest, AChangeIsToldOnce) {
  FakeClock clock;
  Liveness liveness(clock);
  liveness.Add("edge-a.bgpd", Path::kFrames, false);
  EXPECT_FALSE(liveness.TakeChanged());
  const UnixNanos begin = clock.NowNanos();
  clock.Advance(std::chrono::seconds(1));
  liveness.SetConnected("edge-a.bgpd", true);
  EXPECT_TRUE(liveness.TakeChanged());
  EXPECT_FALSE(liveness.TakeChanged());
  clock.Advance(std::chrono::seconds(1));
  liveness.SetConnected("edge-a.bgpd", true);  // as it was
  EXPECT_FALSE(liveness.TakeChanged());
  EXPECT_EQ(liveness.Sources()[0].since, begin + 1'000'000'000) << "since it changed, not since it was last said";
  liveness.SetConnected("nobody", true);
  EXPECT_FALSE(liveness.TakeChanged());
  EXPECT_EQ(liveness.Sources().size(), 1);
}

TEST(LivenessTest, BytesAreNoConnection) {
  FakeClock clock;
  Liveness liveness(clock);
  liveness.Add("edge-a.bgpd", Path::kFrames, false);
  liveness.SawBytes("edge-a.bgpd");
  EXPECT_EQ(liveness.Sources()[0].last_bytes, clock.NowNanos());
  EXPECT_FALSE(liveness.Sources()[0].connected);
  EXPECT_FALSE(liveness.TakeChanged());
}

class HeartTest : public deliver::testing::OutboxTest {
 protected:
  HeartTest() {
    EXPECT_OK(opened_);
    liveness_.Add("edge-a.bgpd", Path::kFrames, false);
  }
  void Speak(std::uint64_t sequence) {
    const std::string bytes = MakeFrame({.sequence = sequence, .time = 5});
    ASSERT_OK(outbox_->Relay("edge-a.bgpd", frame::Decode(bytes, frame::Spelling::kV1Le).value(), 5));
  }
  // The heartbeats so far.
  std::vector<chain::Heartbeat> Beats() {
    std::vector<chain::Heartbeat> out;
    frame::PayloadReader reader;
    for (const auto& spooled : Spooled()) {
      if (spooled.source != "collector-1") continue;
      const frame::Frame frame = frame::Decode(spooled.bytes, spooled.spelling).value();
      EXPECT_EQ(frame.header.type, frame::Type::kHeartbeat);
      out.push_back(chain::ParseHeartbeat(reader.Read(frame.payload).value()).value());
    }
    return out;
  }

  const absl::Status opened_ = Open();
  Liveness liveness_{clock_};
  Heart heart_{"collector-1", *outbox_, liveness_, clock_};
};

TEST_F(HeartTest, BeatsAtTheStartThenEveryInterval) {
  ASSERT_OK(heart_.Tick());
  EXPECT_EQ(Beats().size(), 1);
  EXPECT_EQ(outbox_->spool().stats().durable, 1);
  for (int i = 0; i < 99; ++i) {
    clock_.Advance(std::chrono::milliseconds(100));
    ASSERT_OK(heart_.Tick());
  }
  EXPECT_EQ(Beats().size(), 1);
  clock_.Advance(std::chrono::milliseconds(100));
  ASSERT_OK(heart_.Tick());
  EXPECT_EQ(Beats().size(), 2);
}

TEST_F(HeartTest, AConnectionThatComesOrGoesIsToldAtOnce) {
  Speak(7);
  ASSERT_OK(heart_.Tick());
  liveness_.SetConnected("edge-a.bgpd", true);
  ASSERT_OK(heart_.Tick());
  liveness_.SetConnected("edge-a.bgpd", false);
  ASSERT_OK(heart_.Tick());
  const auto beats = Beats();
  ASSERT_EQ(beats.size(), 3);
  EXPECT_THAT(beats[0].sources, ElementsAre(Field(&chain::Beat::connected, false)));
  EXPECT_THAT(beats[1].sources, ElementsAre(Field(&chain::Beat::connected, true)));
  EXPECT_THAT(beats[2].sources, ElementsAre(Field(&chain::Beat::connected, false)));
}

TEST_F(HeartTest, SaysHowFarEachSourceGot) {
  ASSERT_OK(heart_.Tick());
  EXPECT_THAT(Beats()[0].sources, IsEmpty()) << "it has not said anything yet";
  Speak(7);
  Speak(8);
  clock_.Advance(kBeatInterval);
  ASSERT_OK(heart_.Tick());
  const auto beats = Beats();
  ASSERT_EQ(beats.size(), 2);
  ASSERT_EQ(beats[1].sources.size(), 1);
  EXPECT_EQ(beats[1].sources[0].source_id, frame::SourceIdOf("edge-a.bgpd"));
  EXPECT_EQ(beats[1].sources[0].epoch, 5);
  EXPECT_EQ(beats[1].sources[0].last_sequence, 8);
}

TEST_F(HeartTest, ABeatThatCouldNotBeSpooledIsOwed) {
  keys_.Remove("collector-1", 1);
  EXPECT_FALSE(heart_.Tick().ok());
  EXPECT_FALSE(heart_.Tick().ok());
  keys_.Put("collector-1", {1, deliver::testing::KeyOf("collector-1"), 0, std::nullopt});
  ASSERT_OK(heart_.Tick());
  ASSERT_OK(heart_.Tick());
  EXPECT_EQ(Beats().size(), 1);
}

}  // namespace
}  // namespace virp::collector
