// What one stream delivers enters in order or not at all: behind a batch that was not processed nothing is taken, even
// when the O-Node leads again by then; behind a frame that was refused for a passing reason nothing of its source.
#include <future>

#include "lib/frame/frame.h"
#include "tests/e2e/platform_fixture.h"
#include "tests/testutil/must.h"
#include "tests/testutil/status_matchers.h"

namespace virp::e2e {
namespace {

class StreamOrderTest : public PlatformTest {
 protected:
  using Result = onode::FrameOutcome::Result;
  using Outcomes = absl::StatusOr<std::vector<onode::FrameOutcome>>;

  onode::Delivery Frame(std::uint64_t number) {
    const auto versions = keys_->Versions("edge-a.bmp");
    frame::Header header;
    header.spelling = frame::Spelling::kV2;
    header.type = frame::Type::kPeerStatusChanged;
    header.suite = versions.front().key->suite();
    header.key_version = 1;
    header.timestamp = clock_.NowNanos();
    header.boot_epoch = epoch_;
    header.sequence = number;
    header.source_id = frame::SourceIdOf("edge-a.bmp");
    return {.number = number,
            .source = "edge-a.bmp",
            .frame = testutil::Must(frame::EncodeSigned(header, kPeerUp, *versions.front().key))};
  }

  // Of version 1, which cannot come late: what was left out is refused for good.
  onode::Delivery OldFrame(std::uint32_t number) {
    frame::Header header;
    header.spelling = frame::Spelling::kV1Be;
    header.type = frame::Type::kPeerStatusChanged;
    header.suite = frame::Suite::kHmacSha256;
    header.timestamp = epoch_ + number - 1;  // the first of the run names it
    header.sequence = number;
    return {.number = number,
            .source = kDaemon,
            .frame = testutil::Must(frame::EncodeSigned(header, kPeerUp, *keys_->Versions(kDaemon).front().key)),
            .spelling = header.spelling,
            .epoch = epoch_};
  }
  void RegisterDaemon() {
    onode_->Register(
        {.name = kDaemon, .types = {1, 2, 3}, .router = "edge-a", .bgp_id = "192.0.2.1", .min_frame_version = 1});
  }
  void Tell(chain::SourceEvent::Event event) {
    const auto told = chain_->Mutate(
        "",
        [&](const chain::SourceBook&) -> absl::StatusOr<std::vector<onode::Chain::OwnEntry>> {
          return std::vector<onode::Chain::OwnEntry>{{frame::Type::kSourceEvent, frame::Tier::kGreen,
                                                      chain::BuildSourceEvent({.event = event, .source = kDaemon})}};
        },
        10s);
    ASSERT_OK(told);
  }
  void ExpectAppended(const Outcomes& outcomes, std::size_t frames) {
    ASSERT_OK(outcomes);
    ASSERT_EQ(outcomes->size(), frames);
    for (const onode::FrameOutcome& outcome : *outcomes) {
      EXPECT_EQ(outcome.result, Result::kAppended) << outcome.number << " " << frame::ReasonName(outcome.reason);
    }
    EXPECT_EQ(outcomes->back().sequence, outcomes->front().sequence + frames - 1) << "a gap in between";
  }
  void ExpectRefused(const Outcomes& outcomes, frame::Reason reason) {
    ASSERT_OK(outcomes);
    for (const onode::FrameOutcome& outcome : *outcomes) {
      EXPECT_EQ(outcome.result, Result::kRefused) << outcome.number;
      EXPECT_EQ(outcome.reason, reason) << outcome.number << " " << frame::ReasonName(outcome.reason);
    }
  }

  Outcomes Deliver(const std::shared_ptr<onode::DeliveryOrder>& order, std::vector<onode::Delivery> batch) {
    std::promise<Outcomes> promise;
    auto answer = promise.get_future();
    chain_->Enqueue(order, std::move(batch), pki_.Id(Role::kCollector),
                    [&promise](Outcomes outcomes) { promise.set_value(std::move(outcomes)); });
    return answer.get();
  }

  static constexpr const char* kDaemon = "edge-a.bgpd";
  const std::uint64_t epoch_ = clock_.NowNanos();
};

TEST_F(StreamOrderTest, BehindABatchThatWasNotProcessedNothingOfThatStreamIsTaken) {
  StartONode();
  RegisterBoth();
  const onode::Delivery one = Frame(1), two = Frame(2), three = Frame(3);
  const auto order = std::make_shared<onode::DeliveryOrder>();
  ASSERT_OK(Deliver(order, {one}));

  // Another one leads for a moment.
  const onode::ChainId chain = chain_->info().id;
  ASSERT_OK(store_->ReleaseLease(chain, chain_->term()));
  const auto other = store_->TakeLease(chain, "other", "192.0.2.1:1", 30s);
  ASSERT_OK(other);
  EXPECT_FALSE(Deliver(order, {two}).ok());
  ASSERT_OK(store_->ReleaseLease(chain, other->term));
  ASSERT_TRUE(Until([&] { return chain_->leading() && chain_->term() > other->term; }));

  EXPECT_FALSE(Deliver(order, {three}).ok());
  const Outcomes again = Deliver(std::make_shared<onode::DeliveryOrder>(), {one, two, three});
  ASSERT_OK(again);
  EXPECT_EQ(again->at(0).result, onode::FrameOutcome::Result::kDuplicate);
  EXPECT_EQ(again->at(1).result, onode::FrameOutcome::Result::kAppended);
  EXPECT_EQ(again->at(2).result, onode::FrameOutcome::Result::kAppended);
  EXPECT_EQ(again->at(2).sequence, again->at(1).sequence + 1) << "a gap in between";
}

TEST_F(StreamOrderTest, BehindAFrameOfAnUnknownSourceNothingOfItIsTaken) {
  site_.AddKey(kDaemon, frame::Suite::kHmacSha256);
  StartONode();
  RegisterBoth();
  const auto order = std::make_shared<onode::DeliveryOrder>();
  ExpectRefused(Deliver(order, {OldFrame(1), OldFrame(2)}), frame::Reason::kSourceUnknown);
  RegisterDaemon();
  // Was on its way meanwhile.
  ExpectRefused(Deliver(order, {OldFrame(3)}), frame::Reason::kSourceUnknown);
  ASSERT_OK(Deliver(order, {Frame(1)}));  // other sources go on
  EXPECT_EQ(Deliver(order, {Frame(2)})->front().result, Result::kAppended);
  ExpectAppended(Deliver(std::make_shared<onode::DeliveryOrder>(), {OldFrame(1), OldFrame(2), OldFrame(3)}), 3);
}

TEST_F(StreamOrderTest, BehindAFrameOfASuspendedSourceNothingOfItIsTakenUntilItComesAgain) {
  site_.AddKey(kDaemon, frame::Suite::kHmacSha256);
  StartONode();
  RegisterBoth();
  RegisterDaemon();
  using Event = chain::SourceEvent::Event;
  const auto order = std::make_shared<onode::DeliveryOrder>();
  ExpectAppended(Deliver(order, {OldFrame(1), OldFrame(2)}), 2);
  ASSERT_NO_FATAL_FAILURE(Tell(Event::kSuspended));
  ExpectRefused(Deliver(order, {OldFrame(3), OldFrame(4)}), frame::Reason::kSourceSuspended);
  ASSERT_NO_FATAL_FAILURE(Tell(Event::kResumed));
  ExpectRefused(Deliver(order, {OldFrame(4), OldFrame(5)}), frame::Reason::kSourceSuspended);
  const Outcomes held = Deliver(order, {OldFrame(2)});
  ASSERT_OK(held);
  EXPECT_EQ(held->front().result, Result::kDuplicate) << "what is held is told all the same";
  ExpectAppended(Deliver(order, {OldFrame(3), OldFrame(4), OldFrame(5)}), 3);
}

}  // namespace
}  // namespace virp::e2e
