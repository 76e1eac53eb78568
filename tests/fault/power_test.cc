// The power is cut under load: of every file the disk keeps what was synced, and of the rest a part chosen at random.
// Nothing that was answered is lost, nothing stands twice, no checkpoint that was shown to anybody is forgotten.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/chain/checkpoint_store.h"
#include "lib/chain/note.h"
#include "tests/fault/disk.h"
#include "tests/fault/fault_test_util.h"

namespace virp::fault {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::HasSubstr;
using testutil::ServiceLab;

// Asks for the largest checkpoint all the time; what it was told must be in the file beside the database.
class CheckpointWatch {
 public:
  explicit CheckpointWatch(ServiceLab& lab)
      : stub_(chain::v1::ChainService::NewStub(lab.ONodeChannel(service::Role::kReader))) {
    thread_ = std::jthread([this](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        grpc::ClientContext context;
        context.set_deadline(std::chrono::system_clock::now() + 1s);
        chain::v1::GetChainResponse chain;
        if (stub_->GetChain(&context, {}, &chain).ok() && !chain.checkpoint().empty()) {
          seen_ = std::max(seen_.load(), chain::ParseCheckpointUnverified(chain.checkpoint()).value().size);
        }
        std::this_thread::sleep_for(5ms);
      }
    });
  }
  std::uint64_t seen() const { return seen_; }

 private:
  const std::unique_ptr<chain::v1::ChainService::Stub> stub_;
  std::atomic<std::uint64_t> seen_{0};
  std::jthread thread_;
};

std::uint64_t KeptCheckpoint(const ServiceLab& lab) {
  const auto store = chain::CheckpointStore::Open(lab.onode_folder() + "/state");
  const auto verifier = chain::VerifierKey::Parse(lab.verifier());
  EXPECT_TRUE(store.ok() && verifier.ok());
  const auto kept = store->Load(ServiceLab::kOrigin, {*verifier});
  EXPECT_TRUE(kept.ok()) << kept.status();
  return kept.ok() && *kept ? (*kept)->checkpoint.size : 0;
}

TEST(Power, ONodeOnSqlite) {
  std::mt19937 random = SeededRandom();
  ServiceLab lab({.binaries = BuildFolder()});
  Disk disk(lab.onode_folder());
  lab.onode().options().environment = disk.Environment();
  CheckpointWatch watch(lab);
  StrikeUnderLoad(lab, random, [&](int) {
    ASSERT_TRUE(lab.onode().running()) << lab.onode().log();
    lab.onode().Kill();
    ASSERT_OK(disk.CutPower(Survives::kSome, random));
    EXPECT_GT(watch.seen(), 0U);
    EXPECT_GE(KeptCheckpoint(lab), watch.seen());
    ASSERT_OK(lab.StartONode());
  });
  lab.collector().Kill();
  EXPECT_EQ(lab.onode().Terminate(30s).value_or(-1), 0) << lab.onode().log();
  EXPECT_OK(disk.CheckJournal());
}

TEST(Power, Collector) {
  std::mt19937 random = SeededRandom();
  ServiceLab lab({.binaries = BuildFolder()});
  Disk disk(lab.collector_folder());
  lab.collector().options().environment = disk.Environment();
  StrikeUnderLoad(lab, random, [&](int round) {
    ASSERT_TRUE(lab.collector().running()) << lab.collector().log();
    if (round % 2 == 0) lab.onode().Pause();  // what Submit answers now is in the spool and nowhere else
    SleepUpTo(random, 50, 400);
    lab.collector().Kill();
    lab.onode().Resume();
    ASSERT_OK(disk.CutPower(Survives::kSome, random));
    ASSERT_OK(lab.StartCollector());
  });
  EXPECT_EQ(lab.collector().Terminate(30s).value_or(-1), 0) << lab.collector().log();
  EXPECT_OK(disk.CheckJournal());
}

// What the failed fsync was for is in the page cache and not on the disk: the collector that reads it there and is
// asked for more must not take it for durable.
TEST(Power, ACollectorWhoseFsyncFails) {
  std::mt19937 random = SeededRandom();
  ServiceLab lab({.binaries = BuildFolder()});
  Disk disk(lab.collector_folder());
  lab.collector().options().environment = disk.Environment();
  StrikeUnderLoad(lab, random, [&](int) {
    disk.control().fail_sync = 1;
    ASSERT_EQ(lab.collector().AwaitExit(30s).value_or(-1), 1) << "systemd starts it again\n" << lab.collector().log();
    EXPECT_THAT(lab.collector().log(), HasSubstr("Input/output error"));
    disk.control().fail_sync = 0;
    ASSERT_OK(lab.StartCollector());
    SleepUpTo(random, 50, 400);
    lab.collector().Kill();
    ASSERT_OK(disk.CutPower(Survives::kSome, random));
    ASSERT_OK(lab.StartCollector());
  });
  EXPECT_EQ(lab.collector().Terminate(30s).value_or(-1), 0) << lab.collector().log();
  EXPECT_OK(disk.CheckJournal());
}

// The first answer of a collector's life: the folder that its spool is in must be as durable as what is in it.
TEST(Power, CollectorThatHasJustBegun) {
  std::mt19937 random = SeededRandom();
  ServiceLab lab({.binaries = BuildFolder()});
  Disk disk(lab.collector_folder());
  lab.collector().options().environment = disk.Environment();
  ASSERT_OK(lab.Start());
  lab.onode().Pause();
  Load load(lab, {.daemon = 0, .native = 0, .submit = 400, .direct = 0, .bmp = 0});
  load.Start();
  SleepUpTo(random, 100, 300);
  load.Stop();
  lab.collector().Kill();
  ASSERT_OK(disk.CutPower(Survives::kNothing, random));
  lab.onode().Resume();
  ASSERT_OK(lab.StartCollector());
  ExpectNothingLost(lab, load);
}

// The tests above tell a disk that keeps its word from one that does not.
TEST(Power, ACollectorOnADiskThatIgnoresFsyncIsFoundOut) {
  std::mt19937 random = SeededRandom();
  ServiceLab lab({.binaries = BuildFolder()});
  Disk disk(lab.collector_folder());
  lab.collector().options().environment = disk.Environment();
  ASSERT_OK(lab.Start());
  lab.onode().Pause();
  disk.control().ignore_sync = 1;
  Load load(lab, {.daemon = 0, .native = 0, .submit = 400, .direct = 0, .bmp = 0});
  load.Start();
  SleepUpTo(random, 100, 300);
  load.Stop();
  lab.collector().Kill();
  ASSERT_OK(disk.CutPower(Survives::kNothing, random));
  lab.onode().Resume();
  ASSERT_OK(lab.StartCollector());
  ASSERT_TRUE(Drained(lab));
  ASSERT_OK_AND_ASSIGN(const auto entries, lab.Entries());
  EXPECT_THAT(Judge(entries, load.ledger()), Contains(HasSubstr("Submit answered")));
}

TEST(Power, AnONodeOnADiskThatIgnoresFsyncIsFoundOut) {
  std::mt19937 random = SeededRandom();
  ServiceLab lab({.binaries = BuildFolder()});
  Disk disk(lab.onode_folder());
  lab.onode().options().environment = disk.Environment();
  CheckpointWatch watch(lab);
  ASSERT_OK(lab.Start());
  disk.control().ignore_sync = 1;
  const std::uint64_t before = KeptCheckpoint(lab);
  Load load(lab, {.daemon = 0, .native = 0, .submit = 0, .direct = 400, .bmp = 0});
  load.Start();
  EXPECT_TRUE(testutil::WaitUntil(10s, [&] { return load.offered() > 20 && watch.seen() > before; }));
  load.Stop();
  lab.onode().Kill();
  ASSERT_OK(disk.CutPower(Survives::kNothing, random));
  EXPECT_LT(KeptCheckpoint(lab), watch.seen());
  ASSERT_OK(lab.StartONode());
  ASSERT_OK_AND_ASSIGN(const auto entries, lab.Entries());
  EXPECT_THAT(Judge(entries, load.ledger()), Contains(HasSubstr("Deliver answered")));
}

}  // namespace
}  // namespace virp::fault
