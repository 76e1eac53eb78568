#include "services/collector/domain/frame_intake.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/base/status.h"
#include "lib/deliver/outbox_fixture.h"
#include "lib/frame/reason.h"

namespace virp::collector {
namespace {

using absl::StatusCode;
using deliver::testing::FrameSpec;
using deliver::testing::MakeFrame;
using frame::Spelling;
using ::testing::ElementsAre;
using ::testing::Optional;
using testutil::IsOkAndHolds;
using testutil::ReasonIs;
using testutil::StatusIs;

constexpr UnixNanos kSecond = 1'000'000'000;

class FrameIntakeTest : public deliver::testing::OutboxTest {
 protected:
  FrameIntakeTest() {
    options_.source = "edge-a.bgpd";
    options_.spelling = Spelling::kV1Le;
    liveness_.Add("edge-a.bgpd", Path::kFrames, false);
    EXPECT_OK(Open({&runs_}));
  }

  // Of a new intake each time: what it knows is in the run book and the outbox.
  absl::StatusOr<std::optional<std::uint64_t>> Take(const FrameSpec& spec) {
    const std::string bytes = MakeFrame(spec);
    FrameIntake intake(options_, *outbox_, runs_, liveness_, keys_, clock_,
                       [this](std::string_view source, std::string_view) { forged_.emplace_back(source); });
    ASSIGN_OR_RETURN(const FrameIntake::Taken taken, intake.Take(frame::Decode(bytes, spec.spelling).value()));
    news_ = taken.news;
    return taken.number;
  }
  FrameSpec V1(std::uint64_t sequence, UnixNanos time) const { return {.sequence = sequence, .time = time}; }
  FrameSpec V2(std::uint64_t sequence) const {
    return {.spelling = Spelling::kV2, .sequence = sequence, .time = clock_.NowNanos(), .epoch = 7};
  }

  FrameListenerOptions options_;
  RunBook runs_;
  Liveness liveness_{clock_};
  std::vector<std::string> forged_;  // sources of which forgeries were told
  bool news_ = false;                // of the last frame that was taken
};

TEST_F(FrameIntakeTest, Version1FramesGetTheEpochOfTheirRun) {
  const UnixNanos start = clock_.NowNanos();
  EXPECT_THAT(Take(V1(1, start)), IsOkAndHolds(Optional(1)));
  EXPECT_THAT(Take(V1(2, start + kSecond)), IsOkAndHolds(Optional(2)));
  const auto frames = Spooled();
  ASSERT_EQ(frames.size(), 2);
  EXPECT_EQ(frames[0].epoch, start);
  EXPECT_EQ(frames[1].epoch, start);
  EXPECT_EQ(frames[1].spelling, Spelling::kV1Le);
  EXPECT_EQ(outbox_->position("edge-a.bgpd").last_sequence, 2);
}

TEST_F(FrameIntakeTest, ARepeatedFrameIsNoSecondObservation) {
  const UnixNanos start = clock_.NowNanos();
  ASSERT_OK(Take(V1(1, start)));
  ASSERT_OK(Take(V1(2, start + 1)));
  EXPECT_THAT(Take(V1(2, start + 1)), IsOkAndHolds(std::nullopt));
  EXPECT_THAT(Take(V1(1, start)), IsOkAndHolds(std::nullopt));
  EXPECT_EQ(Spooled().size(), 2);
}

TEST_F(FrameIntakeTest, ARestartedProducerBeginsANewRun) {
  const UnixNanos start = clock_.NowNanos();
  ASSERT_OK(Take(V1(1, start)));
  clock_.Advance(std::chrono::minutes(5));
  ASSERT_OK(Take(V1(1, clock_.NowNanos())));
  EXPECT_EQ(Spooled()[1].epoch, clock_.NowNanos());
}

TEST_F(FrameIntakeTest, AnEarlierRunIsAReplay) {
  const UnixNanos start = clock_.NowNanos();
  ASSERT_OK(Take(V1(1, start)));
  clock_.Advance(std::chrono::minutes(5));
  ASSERT_OK(Take(V1(1, clock_.NowNanos())));
  // Never seen, and of a time before what was heard last: what a recording of the first run would bring.
  EXPECT_THAT(Take(V1(2, start + kSecond)), ReasonIs("REPLAYED"));
  EXPECT_EQ(Spooled().size(), 2);
}

TEST_F(FrameIntakeTest, ARunFarAheadIsRefused) {
  EXPECT_THAT(Take(V1(1, clock_.NowNanos() + 3'600 * kSecond)), ReasonIs("EPOCH_AHEAD"));
  EXPECT_TRUE(Spooled().empty());
}

TEST_F(FrameIntakeTest, ForgeriesEndAtTheDoor) {
  FrameSpec forged = V1(1, clock_.NowNanos());
  forged.wrong_key = true;
  EXPECT_THAT(Take(forged), ReasonIs("BAD_TAG"));
  EXPECT_TRUE(Spooled().empty());
  EXPECT_THAT(forged_, ElementsAre("edge-a.bgpd"));
  EXPECT_EQ(liveness_.Sources()[0].last_bytes, 0) << "bytes of a stranger are no sign of life";
  EXPECT_OK(Take(V1(1, clock_.NowNanos())));
  EXPECT_NE(liveness_.Sources()[0].last_bytes, 0);
}

TEST_F(FrameIntakeTest, WithoutTheKeyNothingIsRelayed) {
  keys_.Remove("edge-a.bgpd", 1);
  EXPECT_THAT(Take(V1(1, clock_.NowNanos())), ReasonIs("KEY_VERSION_UNKNOWN"));
  EXPECT_TRUE(Spooled().empty());
  EXPECT_TRUE(forged_.empty()) << "nobody can say that it is one";
}

TEST_F(FrameIntakeTest, ARecordingIsNoNewsAndNoSignOfLife) {
  options_.spelling = Spelling::kV2;
  ASSERT_OK(Take(V2(41)));
  EXPECT_TRUE(news_);
  const UnixNanos heard = liveness_.Sources()[0].last_bytes;
  clock_.Advance(std::chrono::seconds(5));
  ASSERT_OK(Take(V2(41)));
  EXPECT_FALSE(news_);
  EXPECT_EQ(liveness_.Sources()[0].last_bytes, heard);
  EXPECT_EQ(outbox_->position("edge-a.bgpd").last_sequence, 41);
}

TEST_F(FrameIntakeTest, Version2CarriesItsOwnEpochAndMustBeOfTheSource) {
  options_.spelling = Spelling::kV2;
  EXPECT_THAT(Take(V2(41)), IsOkAndHolds(Optional(1)));
  EXPECT_EQ(Spooled()[0].epoch, 7);
  FrameSpec other = V2(42);
  other.source = "edge-b.bgpd";
  EXPECT_THAT(Take(other), ReasonIs("SOURCE_UNKNOWN"));
  EXPECT_EQ(Spooled().size(), 1);
}

TEST_F(FrameIntakeTest, ProducerIdsNameSources) {
  options_.spelling = Spelling::kV1Producer;
  options_.producers = {{7, "edge-b.bgpd"}};
  const UnixNanos now = clock_.NowNanos();
  ASSERT_OK(Take({.spelling = Spelling::kV1Producer, .source = "edge-b.bgpd", .time = now, .producer_id = 7}));
  ASSERT_OK(Take({.spelling = Spelling::kV1Producer, .source = "edge-a.bgpd", .time = now, .producer_id = 8}));
  const auto frames = Spooled();
  EXPECT_EQ(frames[0].source, "edge-b.bgpd");
  EXPECT_EQ(frames[1].source, "edge-a.bgpd");
  // The key of another producer does not do.
  EXPECT_THAT(
      Take({.spelling = Spelling::kV1Producer, .source = "edge-a.bgpd", .sequence = 2, .time = now, .producer_id = 7}),
      ReasonIs("BAD_TAG"));
}

TEST_F(FrameIntakeTest, AnExpiredOrUnknownKeyVersionMakesNoGoodTag) {
  options_.spelling = Spelling::kV2;
  const std::string bytes = MakeFrame(V2(1));
  const frame::Frame frame = frame::Decode(bytes, Spelling::kV2).value();
  const FrameIntake intake(options_, *outbox_, runs_, liveness_, keys_, clock_);
  EXPECT_TRUE(intake.TagIsGood(frame));
  keys_.Remove("edge-a.bgpd", 1);
  keys_.Put("edge-a.bgpd", {2, deliver::testing::KeyOf("edge-a.bgpd"), 0, std::nullopt});
  EXPECT_FALSE(intake.TagIsGood(frame)) << "a frame of version 2 names its key version";
}

TEST_F(FrameIntakeTest, AFullSpoolTakesNothingAndForgetsNothing) {
  ASSERT_OK(Open({&runs_}, 1 << 20));
  const std::string big = R"({"x":")" + std::string(60'000, 'x') + "\"}";
  std::uint64_t sequence = 0;
  absl::Status taken;
  const UnixNanos start = clock_.NowNanos();
  while (taken.ok()) {
    ++sequence;
    FrameSpec spec = V1(sequence, start + sequence);
    spec.payload = big;
    taken = Take(spec).status();
  }
  ASSERT_THAT(taken, StatusIs(StatusCode::kResourceExhausted));
  const std::uint64_t before = outbox_->position("edge-a.bgpd").last_sequence;
  EXPECT_EQ(before, sequence - 1);
  // The frame that did not fit is not taken for known: it goes on once there is room.
  const std::uint64_t last = outbox_->spool().stats().last;
  ASSERT_OK(outbox_->Sync(last));
  ASSERT_OK(outbox_->Snapshot());
  ASSERT_OK(outbox_->spool().Free(last));
  FrameSpec again = V1(sequence, start + sequence);
  again.payload = big;
  EXPECT_THAT(Take(again), IsOkAndHolds(Optional(last + 1)));
}

TEST_F(FrameIntakeTest, OverTheCollectorsOwnLimitAFrameWaitsAndTheONodesWordIsForTheSpool) {
  EdgeLimits limits({{}, {{"edge-a.bgpd", {.entries_per_second = 1, .burst = 1}}}}, clock_);
  FrameIntake intake(options_, *outbox_, runs_, liveness_, keys_, clock_, nullptr, &limits);
  const auto take = [&](const FrameSpec& spec) {
    const std::string bytes = MakeFrame(spec);
    return intake.Take(frame::Decode(bytes, spec.spelling).value()).status();
  };
  const UnixNanos start = clock_.NowNanos();
  ASSERT_OK(take(V1(1, start)));
  EXPECT_THAT(take(V1(2, start + 1)), ReasonIs("OVER_LIMIT"));
  EXPECT_EQ(Spooled().size(), 1);
  FrameSpec forged = V1(2, start + 1);
  forged.wrong_key = true;
  EXPECT_THAT(take(forged), ReasonIs("BAD_TAG")) << "who forges does not wait";
  clock_.Advance(std::chrono::seconds(1));
  limits.Told("edge-a.bgpd");
  EXPECT_OK(take(V1(2, start + 1)));
}

TEST_F(FrameIntakeTest, RunsOutliveARestart) {
  const UnixNanos start = clock_.NowNanos();
  ASSERT_OK(Take(V1(1, start)));
  ASSERT_OK(outbox_->Snapshot());
  ASSERT_OK(Take(V1(2, start + 1)));  // behind the snapshot: replayed from the record
  ASSERT_OK(outbox_->Sync(2));
  RunBook again;
  ASSERT_OK(Open({&again}));
  const auto decide = [&](const FrameSpec& spec) {
    const std::string bytes = MakeFrame(spec);
    return again.Decide("edge-a.bgpd", frame::Decode(bytes, spec.spelling).value(), clock_.NowNanos()).step;
  };
  EXPECT_EQ(decide(V1(1, start)), frame::RunDecision::Step::kDuplicate);
  EXPECT_EQ(decide(V1(2, start + 1)), frame::RunDecision::Step::kDuplicate);
  EXPECT_EQ(decide(V1(3, start + 2)), frame::RunDecision::Step::kGoesOn);
}

TEST(RunBookTest, SavedRunsThatAreCutShortAreDataLoss) {
  RunBook book;
  const std::string bytes = MakeFrame({.time = 1'750'000'000'000'000'000ULL});
  const frame::Frame frame = frame::Decode(bytes, Spelling::kV1Le).value();
  book.Accept("edge-a.bgpd", frame, book.Decide("edge-a.bgpd", frame, frame.header.timestamp));
  const std::string saved = book.Save();
  for (std::size_t size = 1; size < saved.size(); ++size) {
    EXPECT_FALSE(RunBook().Load(std::string_view(saved).substr(0, size)).ok()) << size;
  }
  RunBook loaded;
  ASSERT_OK(loaded.Load(saved));
  EXPECT_EQ(loaded.Save(), saved);
  ASSERT_OK(loaded.Load(""));
  EXPECT_EQ(loaded.Save(), "");
}

}  // namespace
}  // namespace virp::collector
