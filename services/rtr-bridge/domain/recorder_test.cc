#include "services/rtr-bridge/domain/recorder.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "lib/deliver/outbox_fixture.h"

namespace virp::rtr_bridge {
namespace {

using nlohmann::json;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = rtr::SessionEvent::Kind;

class RecorderTest : public deliver::testing::OutboxTest {
 protected:
  RecorderTest() { keys_.Put("bridge-1", {1, deliver::testing::KeyOf("bridge-1"), 0, std::nullopt}); }

  // A start of the bridge, on what the one before left.
  void Begin(std::uint64_t max_bytes = 64ULL << 20) {
    recorder_.reset();
    state_ = std::make_unique<RecordsState>();
    ASSERT_OK(Open({state_.get()}, max_bytes));
    log_ = std::make_unique<SessionLog>(witness_, clock_, SessionLogOptions{.per_router = 1'000'000});
    recorder_ = std::make_unique<OutboxRecorder>(witness_, *outbox_, *state_, clock_);
    told_ = {};
  }
  // Somebody is served serial after serial.
  void Serve(std::size_t times) {
    rtr::ServerSessionState state;
    state.version = 1;
    for (std::size_t i = 0; i < times; ++i) {
      log_->Take({7, "192.0.2.1", 4711, Transport::kTcp, ""}, state,
                 {{.kind = Kind::kEndOfDataSent, .data = {.session = 1, .serial = ++serial_, .hash = {}}}}, told_);
    }
  }
  // What is in the spool, from the number on that was asked for last.
  std::vector<json> News() {
    std::vector<json> out;
    const auto frames = Spooled();
    for (; seen_ < frames.size(); ++seen_)
      out.push_back(json::parse(frame::Decode(frames[seen_].bytes, frames[seen_].spelling).value().payload));
    return out;
  }
  static std::vector<std::string> Events(const std::vector<json>& payloads) {
    std::vector<std::string> out;
    for (const json& payload : payloads) out.push_back(payload.at("event"));
    return out;
  }

  const Witness witness_{"bridge-1"};
  std::unique_ptr<RecordsState> state_;
  std::unique_ptr<SessionLog> log_;
  std::unique_ptr<OutboxRecorder> recorder_;
  SessionLog::Told told_;
  std::uint32_t serial_ = 0;
  std::size_t seen_ = 0;
};

TEST_F(RecorderTest, AStartAndAnEndInOrderAreOnRecord) {
  Begin();
  Serve(2);
  ASSERT_OK(recorder_->Flush(*log_));
  Serve(1);
  ASSERT_OK(recorder_->Stop(*log_));
  auto news = News();
  EXPECT_THAT(Events(news), ElementsAre("bridge_started", "end_of_data_sent", "end_of_data_sent", "end_of_data_sent",
                                        "bridge_stopped"));
  EXPECT_EQ(news[0].at("previous"), "none");
  Serve(1);
  ASSERT_OK(recorder_->Flush(*log_));
  ASSERT_OK(recorder_->Beat());
  ASSERT_OK(recorder_->Stop(*log_));
  EXPECT_THAT(recorder_->Record(witness_.SlurmFailed("late")),
              testutil::StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(recorder_->lost(), 0U);
  EXPECT_THAT(News(), IsEmpty()) << "after the last record there is none";

  Begin();
  ASSERT_OK(recorder_->Flush(*log_));
  news = News();
  EXPECT_THAT(Events(news), ElementsAre("bridge_started"));
  EXPECT_EQ(news[0].at("previous"), "stopped");
}

TEST_F(RecorderTest, ACrashIsOnRecordWithTheTimeSinceWhichRecordsAreLost) {
  Begin();
  ASSERT_OK(recorder_->Flush(*log_));
  clock_.Advance(minutes(10));
  Serve(1);
  ASSERT_OK(recorder_->Flush(*log_));
  const UnixNanos complete = clock_.NowNanos();
  ASSERT_OK(recorder_->Beat());
  clock_.Advance(seconds(5));
  Serve(3);  // of these nobody knows any more
  News();

  clock_.Advance(seconds(1));
  Begin();
  ASSERT_OK(recorder_->Flush(*log_));
  const auto news = News();
  ASSERT_THAT(Events(news), ElementsAre("bridge_started", "records_lost"));
  EXPECT_EQ(news[0].at("previous"), "crashed");
  EXPECT_EQ(news[1].at("why"), "crash");
  EXPECT_TRUE(news[1].at("count").is_null());
  EXPECT_EQ(news[1].at("since_ns"), complete);
  EXPECT_EQ(news[1].at("until_ns"), clock_.NowNanos());

  // The next one is told of this start's end, and not of that crash again.
  ASSERT_OK(recorder_->Stop(*log_));
  Begin();
  ASSERT_OK(recorder_->Flush(*log_));
  EXPECT_THAT(Events(News()), ElementsAre("bridge_stopped", "bridge_started"));
}

// Whatever of the mark is in a snapshot, and what only in the records behind it.
TEST_F(RecorderTest, TheMarkIsKnownFromASnapshotToo) {
  Begin();
  ASSERT_OK(recorder_->Stop(*log_));
  ASSERT_OK(outbox_->Snapshot());
  News();
  Begin();
  ASSERT_OK(recorder_->Flush(*log_));
  ASSERT_OK(outbox_->Snapshot());
  EXPECT_EQ(News().at(0).at("previous"), "stopped");
  Begin();
  ASSERT_OK(recorder_->Flush(*log_));
  EXPECT_EQ(News().at(0).at("previous"), "crashed");
}

TEST_F(RecorderTest, TheFirstRecordOfAStartIsThatItBegan) {
  Begin();
  ASSERT_OK(recorder_->Record(witness_.SourceRecovered("validator-a")).status());
  EXPECT_THAT(Events(News()), ElementsAre("bridge_started", "source_recovered"));
  Begin();
  ASSERT_OK(recorder_->Beat());
  EXPECT_THAT(Events(News()), ElementsAre("bridge_started", "records_lost", "heartbeat"));
}

// Without a key nothing can be signed: what is told waits.
TEST_F(RecorderTest, WhatIsToldBeforeThereIsAKeyWaits) {
  Begin();
  frame::KeyRing none;
  deliver::SpoolOptions options;
  options.directory = folder_.File("other");
  RecordsState state;
  ASSERT_OK_AND_ASSIGN(const auto outbox, deliver::Outbox::Open(options, none, clock_, {&state}));
  OutboxRecorder recorder(witness_, *outbox, state, clock_);
  Serve(3);
  EXPECT_FALSE(recorder.Flush(*log_).ok());
  EXPECT_EQ(recorder.lost(), 0U);
  none.Put("bridge-1", {1, deliver::testing::KeyOf("bridge-1"), 0, std::nullopt});
  ASSERT_OK(recorder.Flush(*log_));
  EXPECT_EQ(recorder.recorded(), 3U);
}

TEST_F(RecorderTest, WhatFindsNoRoomIsCountedAndToldOnceThereIsSome) {
  Begin(3 << 20);
  ASSERT_OK(recorder_->Flush(*log_));
  const UnixNanos since = clock_.NowNanos();
  Serve(20'000);  // some 7 MB
  EXPECT_FALSE(recorder_->Flush(*log_).ok());
  const std::uint64_t lost = recorder_->lost();
  EXPECT_GT(lost, 1'000U);
  EXPECT_EQ(recorder_->recorded() + lost, 20'000U);
  EXPECT_GE(recorder_->recorded(), 1'000U) << "as many as there was room for";
  clock_.Advance(minutes(1));

  ASSERT_OK(recorder_->Flush(*log_));  // one record has room where a thousand have none
  const std::uint64_t last = outbox_->spool().stats().last_frame;
  ASSERT_OK_AND_ASSIGN(const auto frames, outbox_->spool().Read(last - 1, 1, 1 << 20));
  ASSERT_EQ(frames.size(), 1U);
  const json told = json::parse(frame::Decode(frames[0].bytes, frames[0].spelling).value().payload);
  EXPECT_EQ(told.at("event"), "records_lost");
  EXPECT_EQ(told.at("why"), "no_room");
  EXPECT_EQ(told.at("count"), recorder_->lost());
  EXPECT_EQ(told.at("since_ns"), since);
}

// The crash record then has to begin where the loss did, which nobody could tell of.
TEST_F(RecorderTest, ACrashWithoutRoomIsCoveredSinceTheRoomWasGone) {
  Begin(3 << 20);
  ASSERT_OK(recorder_->Flush(*log_));
  const UnixNanos since = clock_.NowNanos();
  clock_.Advance(seconds(30));
  Serve(20'000);
  EXPECT_FALSE(recorder_->Flush(*log_).ok());
  clock_.Advance(minutes(10));
  Begin();
  seen_ = Spooled().size();
  ASSERT_OK(recorder_->Flush(*log_));
  const auto news = News();
  ASSERT_THAT(Events(news), ElementsAre("bridge_started", "records_lost"));
  EXPECT_EQ(news[1].at("since_ns"), since);
}

TEST(RecordsStateTest, RefusesANoteThatIsDamaged) {
  RecordsState state;
  EXPECT_FALSE(state.last().has_value());
  const std::string good = state.NoteOf({true, 77}).content;
  ASSERT_OK(state.ReplayNote(good));
  EXPECT_EQ(state.last(), (RecordsState::Mark{true, 77}));
  EXPECT_EQ(state.Save(), good);
  for (std::size_t size = 0; size < good.size(); ++size) EXPECT_FALSE(state.ReplayNote(good.substr(0, size)).ok());
  EXPECT_FALSE(state.ReplayNote(good + "x").ok());
  std::string odd = good;
  odd[7] = 2;
  EXPECT_FALSE(state.ReplayNote(odd).ok());
  EXPECT_EQ(state.last(), (RecordsState::Mark{true, 77})) << "what is damaged changes nothing";
  ASSERT_OK(state.Load(""));
  EXPECT_FALSE(state.last().has_value());
}

}  // namespace
}  // namespace virp::rtr_bridge
