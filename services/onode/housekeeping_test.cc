#include "services/onode/housekeeping.h"

#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <future>
#include <string>
#include <thread>

#include "lib/base/pulse.h"
#include "lib/base/status.h"
#include "lib/chain/break_glass.h"
#include "lib/chain/entry.h"
#include "lib/store/sqlite.h"
#include "services/onode/transport/chain_handler.h"
#include "services/onode/transport/source_handler.h"
#include "tests/testutil/busy.h"
#include "tests/testutil/must.h"
#include "tests/testutil/onode_lab.h"
#include "tests/testutil/skipping_clock.h"
#include "tests/testutil/wait.h"
#include "virp/chain/v1/chain_service.grpc.pb.h"

namespace virp::onode {
namespace {

using testutil::Must;

class HousekeepingTest : public ::testing::Test {
 protected:
  HousekeepingTest() {
    ChainOptions options;
    options.checkpoint_interval = std::chrono::hours(1);
    lab_ = Start("one", options);
    EXPECT_TRUE(lab_->AwaitLeading());
  }
  std::unique_ptr<testutil::OnodeLab> Start(const std::string& name, ChainOptions chain) {
    testutil::OnodeLabOptions options{.store_url = "sqlite:" + site_.File("chain.db"), .state = "state-" + name};
    options.chain = std::move(chain);
    options.chain.instance = name;
    return std::make_unique<testutil::OnodeLab>(site_, std::move(options));
  }
  frame::Frame FrameAt(std::uint64_t entry) {
    row_ = Must(lab_->store().ReadEntries(lab_->chain().info().id, entry, 1)).at(0);
    const chain::Entry decoded = Must(chain::DecodeEntry(row_.bytes));
    return Must(frame::Decode(decoded.frame, decoded.header.spelling));
  }

  testutil::SkippingClock clock_;
  testutil::OnodeSite site_{"virp.example.net/site1", clock_};
  std::unique_ptr<testutil::OnodeLab> lab_;
  EntryRow row_;
};

TEST_F(HousekeepingTest, ASequencerThatStandsStillIsNoLife) {
  clock_.Skip(kStandstill);
  EXPECT_TRUE(testutil::WaitUntil(std::chrono::seconds(10), [&] { return lab_->node().CheckAlive().ok(); }));
  std::promise<void> arrived, go_on;
  const auto decide = [&](const chain::SourceBook&) -> absl::StatusOr<std::vector<Chain::OwnEntry>> {
    arrived.set_value();
    go_on.get_future().wait();
    return std::vector<Chain::OwnEntry>{};
  };
  std::thread caller([&] { static_cast<void>(lab_->chain().Mutate("", decide, std::chrono::seconds(60))); });
  arrived.get_future().wait();
  EXPECT_TRUE(testutil::WaitUntil(std::chrono::seconds(10), [&] { return lab_->node().CheckAlive().ok(); }));
  clock_.Skip(kStandstill);
  EXPECT_EQ(Message(lab_->node().CheckAlive()), "the sequencer of virp.example.net/site1 has stood still for 90 s");
  go_on.set_value();
  caller.join();
  EXPECT_TRUE(testutil::WaitUntil(std::chrono::seconds(10), [&] { return lab_->node().CheckAlive().ok(); }));
}

// Cut from its store it does not hear that another leads. Deliverers would stay with it.
TEST_F(HousekeepingTest, WhoCannotRenewItsLeaseResignsWhenItIsOver) {
  clock_.Skip(std::chrono::hours(1));
  ASSERT_TRUE(lab_->AwaitLeading()) << "it renews while the store answers, however late";
  store::SqliteOptions options;
  options.path = site_.File("chain.db");
  const auto other = Must(store::SqliteDb::Open(options));
  {
    const auto held = Must(store::SqliteTransaction::Begin(*other));  // nobody else writes meanwhile
    clock_.Skip(std::chrono::hours(1));
    EXPECT_TRUE(testutil::WaitUntil(std::chrono::seconds(60), [&] { return !lab_->chain().leading(); }));
  }
  EXPECT_TRUE(testutil::WaitUntil(std::chrono::seconds(60), [&] { return lab_->chain().leading(); }));
}

// However many entries no checkpoint covers: whoever may sign none has nothing to hurry for.
TEST_F(HousekeepingTest, AFollowersCheckpointerRests) {
  ChainOptions follower;
  follower.read_only = true;
  follower.checkpoint_entries = 1;
  const auto reader = Start("two", follower);
  ASSERT_EQ(reader->chain().size(), 1U);
  ASSERT_FALSE(reader->chain().latest_checkpoint().has_value());
  EXPECT_LT(testutil::BusyShare(), 0.05);
}

// Until what was queued is answered it leads, and its checkpointer has not been told to end.
TEST_F(HousekeepingTest, TheCheckpointerRestsWhileTheSequencerDrains) {
  ASSERT_TRUE(testutil::WaitUntil(std::chrono::seconds(10), [&] { return lab_->chain().leading(); }));
  std::promise<void> arrived, go_on;
  const auto decide = [&](const chain::SourceBook&) -> absl::StatusOr<std::vector<Chain::OwnEntry>> {
    arrived.set_value();
    go_on.get_future().wait();
    return std::vector<Chain::OwnEntry>{};
  };
  std::thread caller([&] { static_cast<void>(lab_->chain().Mutate("", decide, std::chrono::seconds(60))); });
  arrived.get_future().wait();
  std::thread stopper([&] { lab_->chain().Stop(); });
  EXPECT_TRUE(testutil::WaitUntil(std::chrono::seconds(10), [&] { return lab_->chain().stopping(); }));
  EXPECT_LT(testutil::BusyShare(), 0.05);
  go_on.set_value();
  caller.join();
  stopper.join();
}

TEST_F(HousekeepingTest, AUseOfTheBreakGlassSocketIsAnEntryWithWhoAndWhat) {
  ChainHandler chains(lab_->node());
  const std::string socket = site_.File("break-glass/socket");
  SourceHandler sources(lab_->node(), site_.security().callers, site_.security().scopes, clock_);
  const auto server = Must(StartBreakGlass(
      socket, lab_->node(), {{&chains, "virp.chain.v1.ChainService"}, {&sources, "virp.source.v1.SourceService"}}));
  const auto stub =
      virp::chain::v1::ChainService::NewStub(grpc::CreateChannel("unix:" + socket, grpc::InsecureChannelCredentials()));
  const std::uint64_t before = lab_->chain().size();
  grpc::ClientContext context;
  virp::chain::v1::GetChainResponse response;
  const grpc::Status status = stub->GetChain(&context, {}, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.size(), before + 1) << "entered before the call runs";
  const frame::Frame frame = FrameAt(before);
  EXPECT_EQ(frame.header.type, frame::Type::kDecision);
  EXPECT_EQ(frame.header.tier, frame::Tier::kYellow);
  EXPECT_EQ(frame.payload, chain::BuildBreakGlass({"/virp.chain.v1.ChainService/GetChain", ::geteuid(),
                                                   static_cast<std::uint64_t>(::getpid())}));
}

}  // namespace
}  // namespace virp::onode
