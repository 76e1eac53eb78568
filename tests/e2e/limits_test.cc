// Over a limit nothing is lost: it waits in the spool, in order, and others go on.
#include "tests/e2e/platform_fixture.h"

namespace virp::e2e {
namespace {

class LimitsTest : public PlatformTest {
 protected:
  std::uint64_t Held(const std::string& name) {
    return chain_->Read([&](const onode::ChainState& state) -> std::uint64_t {
      const auto source = state.book.FindByName(name);
      const chain::Channel* channel = source == nullptr ? nullptr : state.book.FindChannel(source->short_id);
      return channel == nullptr ? 0 : channel->held;
    });
  }
  bool Gapless(const std::string& name) {
    return chain_->Read([&](const onode::ChainState& state) {
      const chain::Channel* channel = state.book.FindChannel(state.book.FindByName(name)->short_id);
      return channel->epochs.size() == 1 && channel->epochs.begin()->second.missing.empty();
    });
  }
};

TEST_F(LimitsTest, ASourceOverItsLimitWaitsInOrderAndOthersGoOn) {
  const RateLimitTable table{{}, {{"edge-a.bmp", {.entries_per_second = 40, .burst = 20}}}};
  chain_options_.source_limits = std::make_shared<RateLimiter>(table, clock_);
  StartONode();
  RegisterBoth();
  StartCollector();
  for (int i = 0; i < 60; ++i)
    ASSERT_TRUE(outbox_->Emit("edge-a.bmp", {{frame::Type::kPeerStatusChanged, frame::Tier::kGreen, kPeerUp}}).ok());
  const auto beat =
      outbox_->Emit("collector-1", {{frame::Type::kHeartbeat, frame::Tier::kGreen, chain::BuildHeartbeat({})}});
  ASSERT_TRUE(beat.ok());
  ASSERT_TRUE(outbox_->Sync(beat->back().number).ok());
  ASSERT_TRUE(Until([this] { return Held("collector-1") == 1; }));
  EXPECT_LT(Held("edge-a.bmp"), 60U);
  EXPECT_EQ(chain_->limited_sources(), std::vector<std::string>{"edge-a.bmp"});
  ASSERT_TRUE(Until([this] { return Held("edge-a.bmp") == 60; })) << Held("edge-a.bmp");
  EXPECT_TRUE(Gapless("edge-a.bmp"));
  EXPECT_GT(chain_->counters().refused[static_cast<std::size_t>(frame::Reason::kOverLimit)].load(), 0U);
  EXPECT_EQ(deliverer_->status().refused_lasting, 0U);
}

TEST_F(LimitsTest, ADelivererOverItsLimitIsNotReadFrom) {
  delivery_limits_.deliverers = std::make_shared<RateLimiter>(RateLimitTable{{.bytes_per_day = 1}, {}}, clock_);
  StartONode();
  RegisterBoth();
  StartCollector();
  Observe(kPeerUp, frame::Type::kPeerStatusChanged);
  ASSERT_TRUE(Until([this] { return Held("edge-a.bmp") == 1; }));
  Observe(kPeerDown, frame::Type::kPeerBackwardTransition);
  ASSERT_TRUE(Until([this] { return ingest_->counters().throttled_now == 1; }));
  EXPECT_EQ(Held("edge-a.bmp"), 1U);
  clock_.Skip(24h);
  ASSERT_TRUE(Until([this] { return Held("edge-a.bmp") == 2; }));
  EXPECT_EQ(ingest_->counters().throttled_now, 0);
}

TEST_F(LimitsTest, AThrottledDeliveryEndsWithItsDeliverer) {
  delivery_limits_.deliverers = std::make_shared<RateLimiter>(RateLimitTable{{.bytes_per_day = 1}, {}}, clock_);
  StartONode();
  RegisterBoth();
  StartCollector();
  Observe(kPeerUp, frame::Type::kPeerStatusChanged);
  ASSERT_TRUE(Until([this] { return Held("edge-a.bmp") == 1; }));
  Observe(kPeerDown, frame::Type::kPeerBackwardTransition);
  ASSERT_TRUE(Until([this] { return ingest_->counters().throttled_now == 1; }));
  StopCollector();
  EXPECT_TRUE(Until([this] { return ingest_->counters().throttled_now == 0; }));
}

TEST_F(LimitsTest, AFullStoreTakesAlarmsAndNothingElseUntilThereIsRoom) {
  StartONode();
  RegisterBoth();
  const std::uint64_t used = store_->Usage()->used_bytes;
  StopONode();
  store_options_.limit_bytes = used + used / 50;
  StartONode();
  StartCollector();
  ASSERT_TRUE(Until([this] { return chain_->counters().reserve_only.load(); }));
  Observe(kPeerUp, frame::Type::kPeerStatusChanged);
  ASSERT_TRUE(Until([this] { return deliverer_->status().problem.find("full") != std::string::npos; }))
      << deliverer_->status().problem;
  EXPECT_EQ(Held("edge-a.bmp"), 0U);

  const auto stub = source::v1::SourceService::NewStub(pki_.Channel(*server_, Role::kOperator));
  source::v1::MarkBlackRequest black;
  black.set_request_id("00000000-0000-4000-8000-0000000000aa");
  black.set_name("edge-a.bmp");
  black.set_reason("the store is full");
  source::v1::MarkBlackResponse marked;
  grpc::ClientContext marking;
  EXPECT_TRUE(stub->MarkBlack(&marking, black, &marked).ok());

  source::v1::UpdateSourceRequest update;
  update.set_request_id("00000000-0000-4000-8000-0000000000ab");
  *update.mutable_source() = marked.source();
  source::v1::UpdateSourceResponse updated;
  grpc::ClientContext updating;
  EXPECT_EQ(stub->UpdateSource(&updating, update, &updated).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);

  StopCollector();
  StopONode();
  store_options_.limit_bytes = 0;
  StartONode();
  StartCollector();
  EXPECT_TRUE(Until([this] { return Held("edge-a.bmp") == 1; }));
}

}  // namespace
}  // namespace virp::e2e
