// What one stream delivers enters in order or not at all: behind a batch that was not processed nothing is taken, even
// when the O-Node leads again by then.
#include <future>

#include "lib/frame/frame.h"
#include "tests/e2e/platform_fixture.h"
#include "tests/testutil/must.h"
#include "tests/testutil/status_matchers.h"

namespace virp::e2e {
namespace {

class StreamOrderTest : public PlatformTest {
 protected:
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

  Outcomes Deliver(const std::shared_ptr<onode::DeliveryOrder>& order, std::vector<onode::Delivery> batch) {
    std::promise<Outcomes> promise;
    auto answer = promise.get_future();
    chain_->Enqueue(order, std::move(batch), pki_.Id(Role::kCollector),
                    [&promise](Outcomes outcomes) { promise.set_value(std::move(outcomes)); });
    return answer.get();
  }

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

}  // namespace
}  // namespace virp::e2e
