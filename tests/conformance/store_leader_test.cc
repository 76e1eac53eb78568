// Leaders in processes of their own, killed and stopped at any moment: nothing that was acknowledged is lost, and there
// is one chain.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <utility>
#include <vector>

#include "lib/base/status.h"
#include "services/onode/storage/open.h"
#include "tests/conformance/leader.h"
#include "tests/conformance/store_backend.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"

namespace virp::onode {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kOrigin = "virp.example.net/site1";
constexpr auto kLease = 600s;

// The other process of the tests below: leads until it is fenced, and writes what was acknowledged to a file.
constexpr int kFenced = 3;
TEST(LeaderProcess, DISABLED_LeadsUntilFenced) {
  StoreOptions options;
  options.migrate = false;
  options.timeout = 2s;
  ASSERT_OK_AND_ASSIGN(const auto url,
                       store::ParseStorageUrl(std::getenv("VIRP_LEADER_URL"), store::UrlOrigin::kPrivate));
  ASSERT_OK_AND_ASSIGN(const auto store, OpenStore(url, options));
  const int acks = ::open(std::getenv("VIRP_LEADER_ACKS"), O_WRONLY | O_APPEND | O_CREAT, 0600);
  const ChainId id = 1;
  absl::StatusOr<ChainHead> lease = Unavailable("not tried");
  while (!lease.ok()) lease = store->TakeLease(id, fmt::format("process {}", ::getpid()), "", 500ms);
  Leader leader(*store, id, kOrigin, lease->term);
  auto renewed = std::chrono::steady_clock::now();
  for (std::size_t i = 0;; ++i) {
    if (std::chrono::steady_clock::now() - renewed > 100ms) {
      if (absl::IsAborted(store->RenewLease(id, lease->term, 500ms))) std::_Exit(kFenced);
      renewed = std::chrono::steady_clock::now();
    }
    const absl::Status status = leader.AppendSettled(1 + i * 7 % 50);
    if (absl::IsAborted(status)) std::_Exit(kFenced);
    if (!status.ok()) std::_Exit(1);
    const std::string line = fmt::format("{} {}\n", leader.size(), HexEncode(View(leader.head())));
    if (::write(acks, line.data(), line.size()) != static_cast<ssize_t>(line.size())) std::_Exit(1);
  }
}

class LeaderProcessTest : public ::testing::TestWithParam<StoreBackendFactory> {
 protected:
  void SetUp() override {
    backend_ = GetParam()();
    ASSERT_OK(backend_->Open());  // applies the schema
    // Opened by URL, as the other process does it: with the machine's clock.
    ASSERT_OK_AND_ASSIGN(const auto url, store::ParseStorageUrl(backend_->url(), store::UrlOrigin::kPrivate));
    StoreOptions options;
    options.migrate = false;
    ASSERT_OK_AND_ASSIGN(store_, OpenStore(url, options));
    ASSERT_OK_AND_ASSIGN(id_, store_->CreateChain(kOrigin, ""));
    ASSERT_EQ(id_, 1);
  }
  void TearDown() override {
    if (child_ > 0) End(SIGKILL);
  }

  void Start() {
    ::setenv("VIRP_LEADER_URL", backend_->url().c_str(), 1);
    ::setenv("VIRP_LEADER_ACKS", acks_.c_str(), 1);
    child_ = ::fork();
    if (child_ != 0) return;
    ::execl("/proc/self/exe", "leader", "--gtest_brief=1", "--gtest_also_run_disabled_tests",
            "--gtest_filter=LeaderProcess.DISABLED_LeadsUntilFenced", nullptr);
    std::_Exit(127);
  }
  int End(int signal) {
    if (signal != 0) ::kill(child_, signal);
    int status = 0;
    ::waitpid(child_, &status, 0);
    child_ = 0;
    return status;
  }
  // What the processes were told is in the chain, in the order in which they were told it.
  std::vector<std::pair<std::uint64_t, std::string>> Acks() const {
    std::vector<std::pair<std::uint64_t, std::string>> out;
    std::ifstream file(acks_);
    std::uint64_t size = 0;
    std::string head;
    while (file >> size >> head) out.emplace_back(size, head);
    return out;
  }
  void ExpectAcknowledged() {
    for (const auto& [size, head] : Acks()) {
      ASSERT_OK_AND_ASSIGN(const EntryRow row, store_->ReadEntry(id_, size - 1));
      ASSERT_EQ(HexEncode(View(row.leaf)), head) << "at size " << size;
    }
  }

  std::unique_ptr<StoreBackend> backend_;
  testutil::TempDir dir_;
  const std::string acks_ = dir_.File("acks");
  std::unique_ptr<ChainStore> store_;
  ChainId id_ = 0;
  pid_t child_ = 0;
};

TEST_P(LeaderProcessTest, KilledAtAnyMomentAnotherGoesOn) {
  for (int round = 0; round < 4; ++round) {
    const std::size_t before = Acks().size();
    Start();
    ASSERT_TRUE(Eventually([&] { return Acks().size() > before + 20; }));
    End(SIGKILL);
  }
  ExpectAcknowledged();
  ExpectOneChain(*store_, id_, kOrigin);
  ASSERT_OK_AND_ASSIGN(const ChainHead head, store_->ReadHead(id_));
  EXPECT_GE(head.term, 4U);
}

class StoppedLeaderTest : public LeaderProcessTest {};

// Not on SQLite: who is stopped inside a transaction there holds the file's lock until it goes on or is killed.
TEST_P(StoppedLeaderTest, StoppedBeyondItsLeaseItIsFencedWhenItWakes) {
  for (int round = 0; round < 3; ++round) {
    const std::size_t before = Acks().size();
    Start();
    ASSERT_TRUE(Eventually([&] { return Acks().size() > before + 20; }));
    ::kill(child_, SIGSTOP);
    absl::StatusOr<ChainHead> taken = Unavailable("not tried");
    ASSERT_TRUE(Eventually([&] {
      taken = store_->TakeLease(id_, "other", "", kLease);
      return taken.ok();
    }));
    Leader leader(*store_, id_, kOrigin, taken->term);
    for (std::size_t i = 1; i < 5; ++i) ASSERT_OK(leader.AppendSettled(i));
    ::kill(child_, SIGCONT);
    const int status = End(0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == kFenced) << status;
    ASSERT_OK(leader.AppendSettled(5));
    ASSERT_OK(store_->ReleaseLease(id_, taken->term));
  }
  ExpectAcknowledged();
  ExpectOneChain(*store_, id_, kOrigin);
}

INSTANTIATE_TEST_SUITE_P(Sqlite, LeaderProcessTest, ::testing::Values(&NewSqliteBackend));
INSTANTIATE_TEST_SUITE_P(Postgres, LeaderProcessTest, ::testing::Values(&NewPostgresBackend));
INSTANTIATE_TEST_SUITE_P(Postgres, StoppedLeaderTest, ::testing::Values(&NewPostgresBackend));

}  // namespace
}  // namespace virp::onode
