// Over a limit nothing is lost: it waits in the spool, in order, and others go on.
#include <fmt/format.h>

#include "services/collector/domain/route_fold.h"
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
  void OnOverLimit(std::string_view source) override { edge_.Told(source); }
  collector::EdgeLimits edge_{RateLimitTable{}, clock_};

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

// Over a source's limit routes are summarised where they are signed, claims say so, and afterwards all is known again.
TEST_F(LimitsTest, TheEdgeSummarisesRoutesOfASourceOverItsLimit) {
  constexpr int kPrefixes = 10, kChanges = 2'000;
  const RateLimitTable table{{}, {{"edge-a.bmp", {.entries_per_second = 40, .burst = 40}}}};
  chain_options_.source_limits = std::make_shared<RateLimiter>(table, clock_);
  StartONode();
  RegisterBoth();
  collector::RouteFold fold(edge_, clock_);
  StartCollector({&fold}, &fold);
  const auto announce = [&](int prefix, int hop) {
    Observe(fmt::format(
                R"({{"domain":"bgp","event":"route_announce","prefix":"10.0.{}.0/24","peer_addr":"192.0.2.2",)"
                R"("router_id":"192.0.2.1","vrf":"default","rib":"adj-in-pre","path_id":0,"nexthop":"10.9.{}.{}"}})",
                prefix, hop / 256, hop % 256)
                .c_str(),
            frame::Type::kBgpProcess);
  };
  const auto ask = [&](int prefix, int hop) {
    const auto stub = verify::v1::VerifyService::NewStub(pki_.Channel(*server_, Role::kReader));
    verify::v1::VerifyClaimRequest request;
    verify::v1::RouteClaim& claim = *request.mutable_claim()->mutable_route();
    claim.set_router("edge-a");
    claim.set_prefix(fmt::format("10.0.{}.0/24", prefix));
    claim.set_rib("adj-in-pre");
    claim.set_next_hop(fmt::format("10.9.{}.{}", hop / 256, hop % 256));
    verify::v1::VerifyClaimResponse response;
    grpc::ClientContext context;
    const grpc::Status status = stub->VerifyClaim(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.answer();
  };

  Observe(kPeerUp, frame::Type::kPeerStatusChanged);
  for (int i = 0; i < kPrefixes; ++i) announce(i, 0);
  Beat();
  EXPECT_EQ(ask(3, 0).verdict(), verify::v1::VERDICT_CONFIRMED) << ask(3, 0).ShortDebugString();

  int hop = 0;
  for (; hop < kChanges || fold.counters().folded < 100; ++hop) announce(hop % (kPrefixes - 1), hop + 1);
  EXPECT_GT(fold.counters().summaries, 0U);
  Observe(kPeerUp, frame::Type::kPeerStatusChanged);  // never folded
  while (fold.counters().folded > 0 && Held("edge-a.bmp") < outbox_->position("edge-a.bmp").last_sequence) {
    clock_.Skip(1s);
    edge_.Told("edge-a.bmp");
    ASSERT_TRUE(Until([&, before = Held("edge-a.bmp")] {
      return Held("edge-a.bmp") > before || Held("edge-a.bmp") == outbox_->position("edge-a.bmp").last_sequence;
    }));
  }
  Beat();
  const auto folded = ask(3, 0);
  EXPECT_EQ(folded.verdict(), verify::v1::VERDICT_INCOMPLETE) << folded.ShortDebugString();
  EXPECT_EQ(folded.opinions(0).doubt(), "SUMMARISED");
  EXPECT_EQ(ask(kPrefixes - 1, 0).verdict(), verify::v1::VERDICT_INCOMPLETE)
      << "nobody said that this one stayed as it was";
  EXPECT_EQ(Ask().verdict(), verify::v1::VERDICT_CONFIRMED);

  ASSERT_TRUE(Until([&] {
    clock_.Skip(1s);
    EXPECT_TRUE(outbox_->EmitDue().ok());
    return fold.counters().tables == 0;
  }));
  Beat();
  for (int i = 0; i < kPrefixes - 1; ++i) {
    const int newest = hop - (hop - 1 - i) % (kPrefixes - 1);
    EXPECT_EQ(ask(i, newest).verdict(), verify::v1::VERDICT_CONFIRMED)
        << i << ": " << ask(i, newest).ShortDebugString();
  }
  EXPECT_EQ(ask(kPrefixes - 1, 0).verdict(), verify::v1::VERDICT_CONFIRMED) << "said before, and not folded";
  EXPECT_TRUE(Gapless("edge-a.bmp"));
  EXPECT_LT(Held("edge-a.bmp"), static_cast<std::uint64_t>(hop));
  EXPECT_EQ(deliverer_->status().refused_lasting, 0U);
  EXPECT_EQ(VerifyChain(/*subjects=*/true).result(), chain::v1::VerifyReport::RESULT_VERIFIED);
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
  StopONode();  // folds the write-ahead log away, so that the store begins at this size
  StartONode();
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
