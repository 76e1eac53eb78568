#include "lib/deliver/outbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "lib/chain/source_book.h"
#include "lib/crypto/sha256.h"
#include "lib/deliver/outbox_fixture.h"

namespace virp::deliver {
namespace {

using absl::StatusCode;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::MakeFrame;
using testutil::StatusIs;

Observation Say(std::string payload = "{}") {
  Observation observation;
  observation.type = frame::Type::kSourceEvent;
  observation.payload = std::move(payload);
  return observation;
}

// Remembers what it is told, as text.
class Diary final : public OutboxState {
 public:
  std::string_view tag() const override { return "diary"; }
  std::string Save() const override { return text; }
  absl::Status Load(std::string_view saved) override { return text = saved, absl::OkStatus(); }
  absl::Status ReplayNote(std::string_view note) override {
    return text += "note " + std::string(note) + ";", absl::OkStatus();
  }
  absl::Status ReplayFrame(std::string_view source, const frame::Frame& frame, std::uint64_t) override {
    text += std::string(source) + " " + std::to_string(frame.header.sequence) + ";";
    return absl::OkStatus();
  }
  std::string text;
};

class OutboxRulesTest : public testing::OutboxTest {};

TEST_F(OutboxRulesTest, FramesAreNumberedSignedAndStampedAtTheInstantOfTheCall) {
  ASSERT_OK(Open());
  ASSERT_OK_AND_ASSIGN(const auto receipts, outbox_->Emit("edge-a.bgpd", {Say(R"({"n":1})"), Say(R"({"n":2})")}));
  const auto frames = Spooled();
  ASSERT_EQ(frames.size(), 2);
  for (std::size_t i = 0; i < 2; ++i) {
    const frame::Frame frame = frame::Decode(frames[i].bytes, frames[i].spelling).value();
    EXPECT_TRUE(frame::VerifyTag(frame, *testing::KeyOf("edge-a.bgpd")));
    EXPECT_EQ(frame.header.source_id, frame::SourceIdOf("edge-a.bgpd"));
    EXPECT_EQ(frame.header.sequence, i + 1);
    EXPECT_EQ(frame.header.timestamp, clock_.NowNanos());
    EXPECT_EQ(frame.header.boot_epoch, clock_.NowNanos()) << "the first epoch begins now";
    EXPECT_EQ(receipts[i].digest, crypto::Sha256(frames[i].bytes));
    EXPECT_EQ(receipts[i].number, i + 1);
    EXPECT_EQ(receipts[i].sequence, i + 1);
  }
}

TEST_F(OutboxRulesTest, SourcesCountEachForItself) {
  ASSERT_OK(Open());
  const Observation one = Say();
  ASSERT_OK(outbox_->Emit({{"edge-a.bgpd", &one}, {"edge-b.bgpd", &one}, {"edge-a.bgpd", &one}}));
  const auto frames = Spooled();
  EXPECT_THAT(Numbers(frames, "edge-a.bgpd"), ElementsAre(1, 2));
  EXPECT_THAT(Numbers(frames, "edge-b.bgpd"), ElementsAre(1));
  EXPECT_EQ(outbox_->position("edge-a.bgpd").frames, 2);
}

TEST_F(OutboxRulesTest, AllOrNone) {
  ASSERT_OK(Open());
  const Observation good = Say();
  const Observation huge = Say(std::string(frame::kMaxPayload + 1, ' '));
  EXPECT_THAT(outbox_->Emit({{"edge-a.bgpd", &good}, {"edge-a.bgpd", &huge}}), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(outbox_->Emit({{"edge-a.bgpd", &good}, {"nobody", &good}}), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(Spooled(), IsEmpty());
  ASSERT_OK(outbox_->Emit("edge-a.bgpd", {good}));
  EXPECT_THAT(Numbers(Spooled(), "edge-a.bgpd"), ElementsAre(1)) << "a number that was not spooled is not used up";
}

TEST_F(OutboxRulesTest, NumbersGoOnAfterARestartWithAndWithoutASnapshot) {
  ASSERT_OK(Open());
  ASSERT_OK(outbox_->Emit("edge-a.bgpd", {Say()}));
  const std::uint64_t epoch = outbox_->position("edge-a.bgpd").epoch;
  ASSERT_OK(outbox_->Sync(1));
  ASSERT_OK(Open());  // from the records
  clock_.Advance(std::chrono::seconds(5));
  ASSERT_OK(outbox_->Emit("edge-a.bgpd", {Say()}));
  ASSERT_OK(outbox_->Sync(2));
  ASSERT_OK(outbox_->Snapshot());
  ASSERT_OK(Open());  // from the snapshot
  ASSERT_OK(outbox_->Emit("edge-a.bgpd", {Say()}));
  EXPECT_THAT(Numbers(Spooled(), "edge-a.bgpd"), ElementsAre(1, 2, 3));
  EXPECT_EQ(outbox_->position("edge-a.bgpd").epoch, epoch);
}

TEST_F(OutboxRulesTest, AClockThatStepsBackOpensAnEpochOnlyWhenTheSkewIsNotEnough) {
  ASSERT_OK(Open());
  ASSERT_OK(outbox_->Emit("edge-a.bgpd", {Say()}));
  const std::uint64_t epoch = outbox_->position("edge-a.bgpd").epoch;

  const UnixNanos before = clock_.NowNanos();
  clock_.SetWall(before - chain::kSkewNanos);
  ASSERT_OK(outbox_->Emit("edge-a.bgpd", {Say()}));
  EXPECT_EQ(outbox_->position("edge-a.bgpd").epoch, epoch);
  EXPECT_EQ(frame::Decode(Spooled()[1].bytes, frame::Spelling::kV2).value().header.timestamp, before)
      << "times do not run backwards in an epoch";

  clock_.SetWall(before - chain::kSkewNanos - 1);
  ASSERT_OK(outbox_->Emit("edge-a.bgpd", {Say()}));
  EXPECT_GT(outbox_->position("edge-a.bgpd").epoch, epoch);
  EXPECT_EQ(outbox_->position("edge-a.bgpd").last_sequence, 1);
}

TEST_F(OutboxRulesTest, SignsWithTheNewestKeyThatMaySignNow) {
  ASSERT_OK(Open());
  const UnixNanos now = clock_.NowNanos();
  keys_.Put("edge-a.bgpd", {1, testing::KeyOf("edge-a.bgpd"), 0, now + 10});
  keys_.Put("edge-a.bgpd", {2, testing::KeyOf("version 2"), now + 10, std::nullopt});
  const auto version = [&] {
    EXPECT_OK(outbox_->Emit("edge-a.bgpd", {Say()}));
    return frame::Decode(Spooled().back().bytes, frame::Spelling::kV2).value().header.key_version;
  };
  EXPECT_EQ(version(), 1);
  clock_.Advance(std::chrono::nanoseconds(11));
  EXPECT_EQ(version(), 2);
  keys_.Remove("edge-a.bgpd", 2);
  EXPECT_THAT(outbox_->Emit("edge-a.bgpd", {Say()}), StatusIs(StatusCode::kNotFound)) << "the old one ran out";
}

TEST_F(OutboxRulesTest, RelayedFramesStayAsTheyAre) {
  ASSERT_OK(Open());
  const std::string bytes = MakeFrame({.sequence = 9, .time = 5});
  ASSERT_OK(outbox_->Relay("edge-a.bgpd", frame::Decode(bytes, frame::Spelling::kV1Le).value(), 5));
  const auto frames = Spooled();
  ASSERT_EQ(frames.size(), 1);
  EXPECT_EQ(frames[0].bytes, bytes);
  EXPECT_EQ(frames[0].epoch, 5);
  EXPECT_EQ(outbox_->position("edge-a.bgpd").last_sequence, 9);
}

TEST_F(OutboxRulesTest, StatesComeBackFromSnapshotNotesAndFrames) {
  Diary diary;
  ASSERT_OK(Open({&diary}));
  ASSERT_OK(outbox_->Emit("edge-a.bgpd", {Say()}));
  ASSERT_OK(outbox_->Sync(1));
  diary.text = "all before;";
  ASSERT_OK(outbox_->Snapshot());
  const Observation one = Say();
  ASSERT_OK(outbox_->Emit({{"edge-b.bgpd", &one}}, [](const std::vector<Receipt>& receipts) {
    return Outbox::Note{"diary", "of frame " + std::to_string(receipts[0].sequence)};
  }));
  ASSERT_OK(outbox_->Sync(outbox_->spool().stats().last));
  Diary again;
  ASSERT_OK(Open({&again}));
  EXPECT_EQ(again.text, "all before;edge-b.bgpd 1;note of frame 1;");
}

TEST_F(OutboxRulesTest, AFullSpoolSaysSoAndTakesNothing) {
  ASSERT_OK(Open({}, 1 << 20));
  const Observation big = Say(R"({"x":")" + std::string(60'000, 'x') + "\"}");
  absl::StatusOr<std::vector<Receipt>> taken = std::vector<Receipt>{};
  std::uint64_t count = 0;
  for (; taken.ok(); ++count) taken = outbox_->Emit("edge-a.bgpd", {big});
  EXPECT_THAT(taken, testutil::ReasonIs("SPOOL_FULL"));
  EXPECT_EQ(Numbers(Spooled(), "edge-a.bgpd").size(), count - 1);
  EXPECT_LE(outbox_->spool().stats().bytes, 1 << 20);
}

// A spool holds on to all that lies behind its snapshot: one that is small against the usual distance of snapshots
// needs them sooner, or it fills up with what was delivered long ago.
TEST_F(OutboxRulesTest, ASmallSpoolIsKeptFreeBySnapshotsThatAreDueSooner) {
  constexpr std::uint64_t kLimit = 4 << 20, kUsualDistance = 64 << 20;
  ASSERT_OK(Open({}, kLimit));
  const Observation big = Say(R"({"x":")" + std::string(60'000, 'x') + "\"}");
  std::uint64_t written = 0;
  for (int i = 0; i < 400; ++i, written += big.payload.size()) {
    ASSERT_OK(outbox_->Emit("edge-a.bgpd", {big})) << "after " << written << " bytes";
    const std::uint64_t last = outbox_->spool().stats().last;
    ASSERT_OK(outbox_->Sync(last));
    ASSERT_OK(outbox_->spool().Free(last));  // delivered at once
    ASSERT_OK(outbox_->SnapshotIfDue(kUsualDistance));
  }
  EXPECT_GT(written, 5 * kLimit);
  EXPECT_LT(written, kUsualDistance) << "or the usual distance would have done";
}

TEST_F(OutboxRulesTest, ASnapshotIsDueAfterSoManyBytesAndNotBefore) {
  ASSERT_OK(Open());
  const Observation some = Say(R"({"x":")" + std::string(1'000, 'x') + "\"}");
  ASSERT_OK(outbox_->Emit("edge-a.bgpd", {some}));
  ASSERT_OK(outbox_->SnapshotIfDue(3'000));
  EXPECT_FALSE(std::filesystem::exists(folder_.File("spool/snapshot-00000000000000000001.bin")));
  ASSERT_OK(outbox_->Emit("edge-a.bgpd", {some, some}));
  ASSERT_OK(outbox_->SnapshotIfDue(3'000));
  EXPECT_TRUE(std::filesystem::exists(folder_.File("spool/snapshot-00000000000000000003.bin")));
}

}  // namespace
}  // namespace virp::deliver
