// BMP observations on their way into a real outbox.
#include "services/collector/domain/bmp_batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/deliver/outbox_fixture.h"
#include "services/collector/domain/bmp_test_util.h"
#include "services/collector/domain/route_fold.h"

namespace virp::collector {
namespace {

using bmp::testing::BasicAttributes;
using bmp::testing::Cat;
using bmp::testing::Nlri;
using bmp::testing::OpenBody;
using bmp::testing::PeerBytes;
using bmp::testing::PeerUpBytes;
using bmp::testing::RouteMonitoringBytes;
using bmp::testing::UpdateBody;
using ::testing::ElementsAre;

class BmpBatchTest : public deliver::testing::OutboxTest, public BmpBinder {
 protected:
  BmpBatchTest() {
    keys_.Put(testing::kSource, {1, deliver::testing::KeyOf(testing::kSource), 0, std::nullopt});
    options_.collector_source = "collector-1";
    BmpRouterOptions router;
    router.source = testing::kSource;
    router.addresses = {IpAddress::V4(0xc0000201)};
    router.mode = BmpMode::kRoutes;
    options_.routers.push_back(router);
    clock_.Advance(std::chrono::hours(1));
  }
  void Start() {
    ASSERT_OK(Open({&tables_, &fold_}, 64ULL << 20, &fold_));
    batch_.emplace(tables_, *outbox_, stopping_);
    router_.emplace(options_, options_.routers[0], *tables_.Find(testing::kSource), *batch_, clock_);
  }
  absl::StatusOr<BmpRouter*> Bind(const bmp::Initiation& initiation) override {
    router_->Connected("192.0.2.1", "plain", initiation);
    return &*router_;
  }
  // Time passes until nothing is folded any more.
  void Drain() {
    for (int i = 0; i < 100 && fold_.counters().tables > 0; ++i) {
      clock_.Advance(std::chrono::milliseconds(500));
      ASSERT_OK(outbox_->EmitDue());
    }
    EXPECT_EQ(fold_.counters().tables, 0);
  }
  void RestateAll() {
    router_->EpochOpened();
    router_->Tick();
    while (router_->RestateSome()) {
    }
    ASSERT_OK(batch_->Flush());
  }
  // A peer comes up, dumps one route, and says that this was all.
  static std::string Dump(const PeerBytes& peer) { return Cat(Up(peer), Routes(peer)); }
  static std::string Up(const PeerBytes& peer) {
    return PeerUpBytes(peer, OpenBody(64500, "192.0.2.1"), OpenBody(peer.as, peer.bgp_id));
  }
  static std::string Routes(const PeerBytes& peer) {
    return Cat(RouteMonitoringBytes(peer, UpdateBody("", BasicAttributes(peer.address), Nlri("203.0.113.0/24"))),
               RouteMonitoringBytes(peer, UpdateBody("", "", "")));
  }
  // "number event", of the newest epoch; with the number that a statement of a table names.
  std::vector<std::string> OfNewestEpoch() {
    std::uint64_t epoch = 0;
    std::vector<std::string> out;
    frame::PayloadReader reader;
    for (const auto& spooled : Spooled()) {
      const frame::Frame frame = frame::Decode(spooled.bytes, spooled.spelling).value();
      const auto payload = reader.Read(frame.payload).value();
      if (std::exchange(epoch, frame.header.boot_epoch) != frame.header.boot_epoch) out.clear();
      out.push_back(fmt::format("{} {}", frame.header.sequence, payload["event"].AsString().value_or("?")));
      if (const auto first = payload["first_sequence"].AsUnsigned()) out.back() += fmt::format(" from {}", *first);
    }
    return out;
  }

  BmpOptions options_;
  BmpTables tables_{[] {
    BmpOptions options;
    options.collector_source = "collector-1";
    options.routers.emplace_back().source = testing::kSource;
    return options;
  }()};
  const std::atomic<bool> stopping_{false};
  EdgeLimits limits_{RateLimitTable{}, clock_};
  RouteFold fold_{limits_, clock_};
  std::optional<BmpBatch> batch_;
  std::optional<BmpRouter> router_;
};

TEST_F(BmpBatchTest, StatementsNameTheNumbersThatTheOutboxGives) {
  Start();
  const MutexLock lock(tables_.mutex());
  BmpSession session(*this);
  ASSERT_OK(session.Feed(Cat(testing::RouterBench::Initiation(), Dump({}))));
  ASSERT_OK(batch_->Flush());
  ASSERT_OK(session.Feed(Dump({.address = "192.0.2.9", .as = 64509, .bgp_id = "192.0.2.9"})));
  ASSERT_OK(batch_->Flush());
  EXPECT_THAT(OfNewestEpoch(), ElementsAre("1 peer_state_change", "2 route_announce", "3 table_complete from 1",
                                           "4 peer_state_change", "5 route_announce", "6 table_complete from 4"))
      << "what is owed has no number yet";
}

// The clock steps back between what was said and its signature: what is said of the table would be untrue of the new
// epoch.
TEST_F(BmpBatchTest, AStatementIsNotSignedInAnotherEpoch) {
  Start();
  const MutexLock lock(tables_.mutex());
  BmpSession session(*this);
  ASSERT_OK(session.Feed(Cat(testing::RouterBench::Initiation(), Dump({}))));
  ASSERT_OK(batch_->Flush());
  EXPECT_TRUE(batch_->TakeOpenedEpochs().empty());
  ASSERT_OK(session.Feed(Dump({.address = "192.0.2.9", .as = 64509, .bgp_id = "192.0.2.9"})));
  clock_.SetWall(clock_.NowNanos() - 120'000'000'000ULL);
  ASSERT_OK(batch_->Flush());
  EXPECT_THAT(OfNewestEpoch(), ElementsAre("1 peer_state_change", "2 route_announce"));
  EXPECT_THAT(batch_->TakeOpenedEpochs(), ElementsAre(testing::kSource));

  RestateAll();
  EXPECT_THAT(OfNewestEpoch(), ElementsAre("1 peer_state_change", "2 route_announce", "3 peer_state_change",
                                           "4 peer_state_change", "5 route_announce", "6 table_complete from 3",
                                           "7 route_announce", "8 table_complete from 3"));
}

// Over a limit nothing has a number before it is stated; a statement still names none beyond its paths.
TEST_F(BmpBatchTest, StatementsThatWereFoldedBeginBeforeTheirPaths) {
  Start();
  const MutexLock lock(tables_.mutex());
  BmpSession session(*this);
  limits_.Told(testing::kSource);
  ASSERT_OK(session.Feed(Cat(testing::RouterBench::Initiation(), Dump({}))));
  ASSERT_OK(batch_->Flush());
  ASSERT_OK(session.Feed(Dump({.address = "192.0.2.9", .as = 64509, .bgp_id = "192.0.2.9"})));
  ASSERT_OK(batch_->Flush());
  Drain();
  EXPECT_THAT(OfNewestEpoch(), ElementsAre("1 peer_state_change", "2 routes_summarised", "3 routes_summarised",
                                           "4 peer_state_change", "5 routes_summarised", "6 routes_summarised",
                                           "7 route_announce", "8 route_announce", "9 table_complete from 1",
                                           "10 routes_summarised", "11 table_complete from 3", "12 routes_summarised"));
}

// The clock steps back while a statement waits: it is dropped, and all is said again although the router is silent.
TEST_F(BmpBatchTest, AnEpochThatWasOpenedByFoldedRoutesIsNoticed) {
  Start();
  const MutexLock lock(tables_.mutex());
  BmpSession session(*this);
  ASSERT_OK(session.Feed(Cat(testing::RouterBench::Initiation(), Up({}))));
  ASSERT_OK(batch_->Flush());
  limits_.Told(testing::kSource);
  ASSERT_OK(session.Feed(Routes({})));
  ASSERT_OK(batch_->Flush());
  batch_->NoteEpochs();
  EXPECT_THAT(batch_->TakeOpenedEpochs(), ::testing::IsEmpty());
  clock_.SetWall(clock_.NowNanos() - 120'000'000'000ULL);
  Drain();
  EXPECT_THAT(OfNewestEpoch(), ElementsAre("1 routes_summarised", "2 route_announce", "3 routes_summarised"));
  batch_->NoteEpochs();
  EXPECT_THAT(batch_->TakeOpenedEpochs(), ElementsAre(testing::kSource));
  batch_->NoteEpochs();
  EXPECT_THAT(batch_->TakeOpenedEpochs(), ::testing::IsEmpty());
  RestateAll();
  EXPECT_THAT(OfNewestEpoch(), ElementsAre("1 routes_summarised", "2 route_announce", "3 routes_summarised",
                                           "4 peer_state_change", "5 route_announce", "6 table_complete from 4"));
}

}  // namespace
}  // namespace virp::collector
