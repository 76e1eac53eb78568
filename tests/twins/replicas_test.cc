// Two O-Nodes on one PostgreSQL under load, and the leader taken away in every way that has a story: one chain, no
// fork, nothing twice, nothing lost, and both tell the same.
#include <gtest/gtest.h>

#include "lib/base/status.h"
#include "lib/chain/merkle.h"
#include "lib/chain/note.h"
#include "lib/store/postgres.h"
#include "tests/fault/fault_test_util.h"
#include "tests/testutil/postgres.h"
#include "tests/twins/postgres_proxy.h"

namespace virp::twins {
namespace {

using namespace std::chrono_literals;
using fault::Load;
using fault::Rounds;
using testutil::ServiceLab;
using testutil::WaitUntil;

constexpr double kLeastPerSecond = 2'000;
constexpr std::chrono::milliseconds kLease = 1'500ms;
// How long after its lease a leader that fell silent may still be the last one. An idle machine needs about 100 ms (the
// follower asks that often), or 600 ms when the leader left a transaction open (it is waited for half a second, then
// ended); the rest is for machines that run more than this.
constexpr std::chrono::milliseconds kTakeOver = 4'000ms;
constexpr auto kPatience = 20s;
constexpr std::chrono::milliseconds kNoticed =
    service::TransportLimits{}.keepalive_time + service::TransportLimits{}.keepalive_timeout;

// Every append's COMMIT waits for this lock once the trigger is there: whoever holds it decides when a commit ends.
constexpr const char* kCommitGate =
    "CREATE FUNCTION public.gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM "
    "pg_advisory_xact_lock_shared(4711); RETURN NULL; END $$;"
    "CREATE CONSTRAINT TRIGGER gate AFTER INSERT ON onode.batch DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE "
    "FUNCTION public.gate()";

// Appends that wait for the row of the head, which an append whose COMMIT waits at the gate holds.
constexpr const char* kAppendsBehind =
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query "
    "LIKE 'SELECT onode.advance(%'";

class Replicas : public ::testing::Test {
 protected:
  void SetUp() override {
    auto cluster = testutil::PostgresCluster::Start();
    ASSERT_TRUE(cluster.ok()) << cluster.status();
    cluster_ = *std::move(cluster);
    url_ = *cluster_->CreateDatabase();
    testutil::LabOptions options;
    options.binaries = fault::BuildFolder();
    options.onodes = 2;
    options.lease = kLease;
    for (auto& proxy : proxies_) {
      proxy = std::make_unique<PostgresProxy>(cluster_->socket_dir());
      options.stores.push_back(url_.substr(0, url_.find("?host=")) + "?host=" + proxy->folder());
    }
    lab_ = std::make_unique<ServiceLab>(options);
    const auto up = lab_->Start();
    ASSERT_TRUE(up.ok()) << up;
    leader_ = lab_->AwaitLeader(kPatience);
    ASSERT_GE(leader_, 0);
    load_ = std::make_unique<Load>(*lab_, fault::Rates{});
    load_->Start();
    ASSERT_TRUE(Grows(leader()));
  }

  std::size_t leader() const { return static_cast<std::size_t>(leader_); }
  std::size_t follower() const { return 1 - leader(); }
  PostgresProxy& leaders_line() { return *proxies_.at(leader()); }
  testutil::Process& leaders_process() { return lab_->onode(leader()); }

  std::uint64_t SizeAt(std::size_t i) {
    const auto chain = lab_->GetChain(i);
    return chain.ok() ? chain->size() : 0;
  }
  // Not its word of an earlier time: entries come in now.
  ::testing::AssertionResult Grows(std::size_t i) {
    const std::uint64_t before = SizeAt(i);
    if (WaitUntil(kPatience, [&] { return SizeAt(i) > before + 200; })) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << "O-Node " << i << " held " << before << "; now\n" << Describe();
  }

  // Both chains and what delivers to them, for who must find out why a round failed.
  std::string Describe() {
    std::string out;
    for (std::size_t i = 0; i < 2; ++i) {
      const auto chain = lab_->GetChain(i);
      out +=
          lab_->onode_address(i) + ": " + (chain.ok() ? chain->ShortDebugString() : chain.status().ToString()) + "\n";
    }
    const auto status = lab_->CollectorStatus();
    out += "collector: " + (status.ok() ? status->ShortDebugString() : status.status().ToString());
    return out + "\n" + lab_->onode(0).log() + lab_->onode(1).log() + lab_->collector().log();
  }

  // `since`: when the leader was last able to renew its lease.
  void ExpectTheOtherLeads(std::chrono::steady_clock::time_point since) {
    const std::size_t other = follower();
    const bool leads = WaitUntil(kPatience, [&] {
      const auto chain = lab_->GetChain(other);
      return chain.ok() && chain->leading();
    });
    ASSERT_TRUE(leads) << Describe();
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - since);
    std::cout << "the other leads after " << took.count() << " ms\n" << std::flush;
    EXPECT_LE(took, kLease + kTakeOver);
    leader_ = static_cast<int>(other);
  }

  // A busy machine may move the leadership by itself, and so may a strike.
  void FindLeader() {
    leader_ = lab_->AwaitLeader(kPatience);
    ASSERT_GE(leader_, 0);
  }

  // Both go on, and what one signed is a prefix of what the other holds.
  void ExpectBothGoOn() {
    ASSERT_TRUE(Grows(leader()));
    const auto led = lab_->GetChain(leader());
    ASSERT_TRUE(led.ok()) << led.status();
    EXPECT_EQ(led->frozen(), "");
    const auto signed_by_leader = chain::ParseCheckpointUnverified(led->checkpoint());
    ASSERT_TRUE(signed_by_leader.ok()) << signed_by_leader.status();
    chain::v1::GetChainResponse followed;
    const bool caught_up = WaitUntil(kPatience, [&] {
      const auto chain = lab_->GetChain(follower());
      if (chain.ok()) followed = *chain;
      return chain.ok() && chain->size() >= led->size();
    });
    ASSERT_TRUE(caught_up) << led->ShortDebugString() << "\n" << Describe();
    EXPECT_EQ(followed.frozen(), "");

    chain::v1::GetConsistencyProofRequest request;
    request.set_old_size(signed_by_leader->size);
    request.set_new_size(followed.size());
    chain::v1::GetConsistencyProofResponse response;
    grpc::ClientContext context;
    const auto stub = chain::v1::ChainService::NewStub(lab_->ONodeChannel(service::Role::kReader, follower()));
    const grpc::Status asked = stub->GetConsistencyProof(&context, request, &response);
    ASSERT_TRUE(asked.ok()) << asked.error_message();
    std::vector<Hash> path;
    for (const std::string& hash : response.path()) path.push_back(*HashFromBytes(hash));
    const absl::Status consistent = chain::VerifyConsistency(
        signed_by_leader->size, signed_by_leader->root, response.new_size(), *HashFromBytes(response.new_root()), path);
    EXPECT_TRUE(consistent.ok()) << consistent;
  }

  // The load ends; the judge reads both chains, which must be one.
  void ExpectOneChain() {
    load_->Stop();
    EXPECT_GE(load_->per_second(), kLeastPerSecond);
    ASSERT_TRUE(fault::Drained(*lab_));
    std::string seen;
    const bool same = WaitUntil(kPatience, [&] {
      const auto one = lab_->GetChain(0), two = lab_->GetChain(1);
      if (!one.ok() || !two.ok()) return false;
      seen = one->ShortDebugString() + "\n" + two->ShortDebugString();
      const auto checkpoint = chain::ParseCheckpointUnverified(one->checkpoint());
      return one->size() == two->size() && one->head() == two->head() && one->checkpoint() == two->checkpoint() &&
             checkpoint.ok() && checkpoint->size == one->size();
    });
    EXPECT_TRUE(same) << seen << "\n" << Describe();
    for (std::size_t i = 0; i < 2; ++i) fault::ExpectNothingLost(*lab_, *load_, i);
  }

  std::unique_ptr<testutil::PostgresCluster> cluster_;
  std::string url_;
  std::array<std::unique_ptr<PostgresProxy>, 2> proxies_;
  std::unique_ptr<ServiceLab> lab_;
  std::unique_ptr<Load> load_;
  int leader_ = -1;
};

TEST_F(Replicas, LeaderKilled) {
  for (int round = 0; round < Rounds(1); ++round) {
    ASSERT_NO_FATAL_FAILURE(FindLeader());
    const std::size_t killed = leader();
    const auto at = std::chrono::steady_clock::now();
    leaders_process().Kill();
    ASSERT_NO_FATAL_FAILURE(ExpectTheOtherLeads(at));
    ASSERT_TRUE(Grows(leader()));
    ASSERT_TRUE(lab_->StartONode(killed).ok());
    ASSERT_NO_FATAL_FAILURE(ExpectBothGoOn());
  }
  ExpectOneChain();
}

TEST_F(Replicas, LeaderPausedBeyondItsLease) {
  for (int round = 0; round < Rounds(1); ++round) {
    ASSERT_NO_FATAL_FAILURE(FindLeader());
    testutil::Process& paused = leaders_process();
    const auto at = std::chrono::steady_clock::now();
    paused.Pause();
    ASSERT_NO_FATAL_FAILURE(ExpectTheOtherLeads(at));
    ASSERT_TRUE(Grows(leader()));
    paused.Resume();
    ASSERT_NO_FATAL_FAILURE(ExpectBothGoOn());
  }
  ExpectOneChain();
}

// Its kernel keeps the connection open and acknowledges what is written: only keepalive tells.
TEST_F(Replicas, TheCollectorLeavesALeaderThatHangs) {
  ASSERT_NO_FATAL_FAILURE(FindLeader());
  const std::string& hanging = lab_->onode_address(leader());
  const auto connected_to = [&] {
    const auto status = lab_->CollectorStatus();
    return status.ok() ? status->delivering_to() : "";
  };
  ASSERT_TRUE(WaitUntil(kPatience, [&] { return connected_to() == hanging; }));
  testutil::Process& paused = leaders_process();
  const auto at = std::chrono::steady_clock::now();
  paused.Pause();
  ASSERT_NO_FATAL_FAILURE(ExpectTheOtherLeads(at));
  EXPECT_TRUE(WaitUntil(kNoticed + kPatience, [&] { return connected_to() == lab_->onode_address(leader()); }));
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - at);
  std::cout << "the collector is with the other after " << took.count() << " ms\n" << std::flush;
  EXPECT_LE(took, kNoticed + kTakeOver);
  EXPECT_TRUE(Grows(leader()));
  paused.Resume();
  ASSERT_NO_FATAL_FAILURE(ExpectBothGoOn());
  ExpectOneChain();
}

// The rows are in, the head's row is locked, and whoever did that stands still.
TEST_F(Replicas, LeaderStoppedBetweenCopyAndCommit) {
  for (int round = 0; round < Rounds(1); ++round) {
    ASSERT_NO_FATAL_FAILURE(FindLeader());
    testutil::Process& paused = leaders_process();
    PostgresProxy& line = leaders_line();
    line.OnNextAppend(PostgresProxy::Strike::kHold);
    ASSERT_TRUE(line.AwaitStruck(kPatience));
    const auto at = std::chrono::steady_clock::now();
    paused.Pause();
    ASSERT_NO_FATAL_FAILURE(ExpectTheOtherLeads(at));
    // Its COMMIT, minutes late as it were, and then itself.
    line.Release();
    paused.Resume();
    ASSERT_NO_FATAL_FAILURE(ExpectBothGoOn());
  }
  ExpectOneChain();
}

TEST_F(Replicas, ConnectionCutBeforeTheCommitArrives) {
  for (int round = 0; round < Rounds(1); ++round) {
    ASSERT_NO_FATAL_FAILURE(FindLeader());
    PostgresProxy& line = leaders_line();
    line.OnNextAppend(PostgresProxy::Strike::kCutBefore);
    ASSERT_TRUE(line.AwaitStruck(kPatience));
    ASSERT_NO_FATAL_FAILURE(FindLeader());
    ASSERT_NO_FATAL_FAILURE(ExpectBothGoOn());
  }
  ExpectOneChain();
}

TEST_F(Replicas, ConnectionCutAfterTheCommit) {
  for (int round = 0; round < Rounds(1); ++round) {
    ASSERT_NO_FATAL_FAILURE(FindLeader());
    PostgresProxy& line = leaders_line();
    line.OnNextAppend(PostgresProxy::Strike::kCutAfter);
    ASSERT_TRUE(line.AwaitStruck(kPatience));
    ASSERT_NO_FATAL_FAILURE(FindLeader());
    ASSERT_NO_FATAL_FAILURE(ExpectBothGoOn());
  }
  ExpectOneChain();
}

// The hardest of them: who reads the head finds the old one, and the commit comes true afterwards.
TEST_F(Replicas, ConnectionCutWhileTheServerCommits) {
  const auto owner = store::PostgresConnection::Open({.url = url_});
  ASSERT_TRUE(owner.ok()) << owner.status();
  ASSERT_TRUE((*owner)->Query(kCommitGate).ok());
  for (int round = 0; round < Rounds(1); ++round) {
    ASSERT_NO_FATAL_FAILURE(FindLeader());
    PostgresProxy& line = leaders_line();
    ASSERT_TRUE((*owner)->Query("SELECT pg_advisory_lock(4711)").ok());
    line.OnNextAppend(PostgresProxy::Strike::kCutDuring);
    const bool struck = line.AwaitStruck(kPatience);
    // Whoever appends the same again has read the old head.
    const bool again = struck && WaitUntil(kPatience, [&] {
                         const auto waiting = (*owner)->Query(kAppendsBehind);
                         return waiting.ok() && waiting->Int(0, 0) > 0;
                       });
    ASSERT_TRUE((*owner)->Query("SELECT pg_advisory_unlock(4711)").ok());
    ASSERT_TRUE(struck);
    ASSERT_TRUE(again) << Describe();
    ASSERT_NO_FATAL_FAILURE(FindLeader());
    ASSERT_NO_FATAL_FAILURE(ExpectBothGoOn());
  }
  ExpectOneChain();
}

}  // namespace
}  // namespace virp::twins
