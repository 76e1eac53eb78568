#include "lib/deliver/deliverer.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <set>

#include "lib/base/error_info.h"
#include "lib/base/mutex.h"
#include "lib/base/pulse.h"
#include "lib/base/status.h"
#include "lib/chain/entry.h"
#include "lib/chain/merkle.h"
#include "lib/chain/note.h"
#include "tests/testutil/skipping_clock.h"

namespace virp::deliver {
namespace {

constexpr const char* kOrigin = "virp.example.net/test";
using namespace std::chrono_literals;

// An O-Node in memory: a list of leaves and a checkpoint key. Each connection answers at once.
class FakeONode : public Connector {
 public:
  FakeONode() : signer_(*chain::CheckpointSigner::FromSeed(kOrigin, std::string(32, 's'))) {}

  chain::VerifierKey key() const { return signer_.verifier_key(); }

  std::string NoteAt(std::uint64_t size) {
    chain::Frontier frontier;
    for (std::uint64_t i = 0; i < size; ++i) frontier.Append(leaves_[i]);
    return *signer_.Sign({kOrigin, size, frontier.Root()});
  }
  static std::vector<Hash> Hashes(const chain::Frontier& frontier) {
    const std::string bytes = frontier.ToBytes();
    std::vector<Hash> hashes;
    for (std::size_t i = 0; i < bytes.size(); i += 32)
      hashes.push_back(*HashFromBytes(std::string_view(bytes).substr(i, 32)));
    return hashes;
  }
  chain::Frontier FrontierAt(std::uint64_t size) {
    chain::Frontier frontier;
    for (std::uint64_t i = 0; i < size; ++i) frontier.Append(leaves_[i]);
    return frontier;
  }
  absl::StatusOr<Hash> Subtree(unsigned level, std::uint64_t index) {
    chain::Frontier frontier;
    for (std::uint64_t i = index << level; i < (index + 1) << level; ++i) frontier.Append(leaves_[i]);
    return frontier.Root();
  }

  absl::StatusOr<std::unique_ptr<Connection>> Connect(const std::string& address) override;

  Mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<Hash> leaves_;
  std::map<std::string, std::uint64_t> held_;  // frame bytes -> place
  std::set<std::string> refuse_passing_, refuse_lasting_, over_limit_;
  std::vector<std::string> connects_;
  std::string leader_;  // others answer NOT_LEADER
  enum class Lie { kNone, kDrops, kNamesAnother };
  Lie lie_ = Lie::kNone;
  bool frozen_ = false;
  std::uint64_t checkpoint_ = 0;
  int cut_after_ = -1;              // batches until the connection breaks
  bool reads_ = true;               // else a batch is not taken
  std::atomic<bool> asked_{false};  // to take one
  chain::CheckpointSigner signer_;
};

std::string EntryOf(std::uint64_t sequence, std::string_view frame) {
  chain::EntryHeader header;
  header.origin_id = chain::OriginIdOf(kOrigin);
  header.sequence = sequence;
  return chain::EncodeEntry(header, frame);
}

class FakeConnection : public Connection {
 public:
  FakeConnection(FakeONode& node, std::string address) : node_(node), address_(std::move(address)) {}

  absl::StatusOr<Welcome> Open(const Hello& hello, std::chrono::milliseconds) override {
    const MutexLock lock(node_.mutex_);
    if (!node_.leader_.empty() && address_ != node_.leader_) {
      return WithReason(FailedPrecondition("not the leader"), "NOT_LEADER", {{"leader", node_.leader_}});
    }
    if (node_.frozen_) return WithReason(FailedPrecondition("the chain is frozen"), "CHAIN_FROZEN");
    Welcome welcome{16, 1 << 20, 64, "", {}, {}};
    first_ = node_.checkpoint_;
    if (first_ == 0) return welcome;
    welcome.checkpoint = node_.NoteAt(first_);
    welcome.frontier = FakeONode::Hashes(node_.FrontierAt(first_));
    if (!hello.checkpoint.empty()) {
      const auto old = chain::ParseCheckpointUnverified(hello.checkpoint);
      if (old->size <= first_) {
        welcome.consistency = *chain::ConsistencyProof(
            old->size, first_, [&](unsigned l, std::uint64_t i) { return node_.Subtree(l, i); });
      }
    }
    return welcome;
  }

  absl::Status Send(const std::vector<Spool::SpooledFrame>& batch) override {
    const MutexLock lock(node_.mutex_);
    node_.asked_ = true;
    while (!node_.reads_) node_.changed_.wait(node_.mutex_);
    if (node_.cut_after_ == 0) {
      cancelled_ = true;
      node_.changed_.notify_all();
      return Unavailable("cut");
    }
    if (node_.cut_after_ > 0) --node_.cut_after_;
    Ack ack;
    for (const auto& frame : batch) ack.push_back(Answer(frame));
    out_.emplace_back(std::move(ack));
    node_.changed_.notify_all();
    return absl::OkStatus();
  }

  FrameResult Answer(const Spool::SpooledFrame& frame) {
    FrameResult result;
    result.number = frame.number;
    if (node_.refuse_passing_.contains(frame.source)) return result.reason = frame::Reason::kSourceUnknown, result;
    if (node_.over_limit_.contains(frame.source)) return result.reason = frame::Reason::kOverLimit, result;
    if (node_.refuse_lasting_.contains(frame.source)) return result.reason = frame::Reason::kBadTag, result;
    const auto held = node_.held_.find(frame.bytes);
    if (held != node_.held_.end()) {
      result.outcome = FrameResult::Outcome::kDuplicate;
      result.chain_sequence = held->second;
      if (held->second < first_) below_.push_back(held->second);
    } else {
      result.outcome = FrameResult::Outcome::kAppended;
      result.chain_sequence = node_.leaves_.size();
      node_.held_[frame.bytes] = node_.leaves_.size();
      const bool drops = node_.lie_ == FakeONode::Lie::kDrops;
      node_.leaves_.push_back(drops ? chain::LeafHash("something else")
                                    : chain::LeafHash(EntryOf(result.chain_sequence, frame.bytes)));
    }
    const std::string entry = EntryOf(result.chain_sequence, frame.bytes);
    result.entry_header = entry.substr(0, chain::kEntryHeaderSize);
    result.leaf = chain::LeafHash(entry);
    if (node_.lie_ == FakeONode::Lie::kNamesAnother) {  // a place and a hash that every checkpoint confirms
      result.chain_sequence = 0;
      result.leaf = node_.leaves_[0];
    }
    return result;
  }

  absl::StatusOr<ServerMessage> Receive() override {
    const MutexLock lock(node_.mutex_);
    while (!cancelled_ && out_.empty() && first_ == node_.checkpoint_ && below_.empty())
      node_.changed_.wait(node_.mutex_);
    if (cancelled_) return Unavailable("cancelled");
    if (!out_.empty()) {
      ServerMessage message = std::move(out_.front());
      out_.pop_front();
      return message;
    }
    CheckpointNotice notice;
    notice.note = node_.NoteAt(node_.checkpoint_);
    notice.first = first_;
    notice.leaf_hashes.assign(node_.leaves_.begin() + static_cast<std::ptrdiff_t>(first_),
                              node_.leaves_.begin() + static_cast<std::ptrdiff_t>(node_.checkpoint_));
    for (const std::uint64_t below : below_) {
      notice.inclusions.push_back(
          {below, *chain::InclusionProof(below, node_.checkpoint_,
                                         [&](unsigned l, std::uint64_t i) { return node_.Subtree(l, i); })});
    }
    below_.clear();
    first_ = node_.checkpoint_;
    return notice;
  }

  void Cancel() override {
    const MutexLock lock(node_.mutex_);
    cancelled_ = true;
    node_.changed_.notify_all();
  }

 private:
  FakeONode& node_;
  std::string address_;
  std::deque<ServerMessage> out_;
  std::vector<std::uint64_t> below_;
  std::uint64_t first_ = 0;
  bool cancelled_ = false;
};

absl::StatusOr<std::unique_ptr<Connection>> FakeONode::Connect(const std::string& address) {
  const MutexLock lock(mutex_);
  connects_.push_back(address);
  return std::make_unique<FakeConnection>(*this, address);
}

class DelivererTest : public ::testing::Test, public DeliveryObserver {
 protected:
  DelivererTest() {
    std::string pattern = std::filesystem::temp_directory_path() / "deliver-XXXXXX";
    directory_ = mkdtemp(pattern.data());
    OpenSpool();
  }
  ~DelivererTest() override {
    deliverer_.reset();
    spool_.reset();
    std::filesystem::remove_all(directory_);
  }
  void OnRefused(std::string_view source, frame::Reason reason) override {
    told_ = true;
    told_.notify_all();
    const MutexLock lock(mutex_);
    refused_.emplace_back(source, reason);
  }
  void OnOverLimit(std::string_view source) override {
    const MutexLock lock(mutex_);
    over_limit_.emplace(source);
  }
  void OnAuditFailure(std::string_view what) override {
    const MutexLock lock(mutex_);
    audit_failures_.emplace_back(what);
  }
  void OpenSpool() {
    spool_.reset();
    SpoolOptions options;
    options.directory = directory_ + "/spool";
    spool_ = *Spool::Open(
        options, {[](std::string_view) { return absl::OkStatus(); }, [](const Record&) { return absl::OkStatus(); }});
  }
  void Start(std::vector<std::string> addresses = {"a:1"}) {
    DelivererOptions options;
    options.identity = "spiffe://example.net/collector/c1";
    options.origin = kOrigin;
    options.addresses = std::move(addresses);
    options.verifiers = {node_.key()};
    options.state_directory = directory_ + "/audit";
    options.backoff_min = 1ms;
    options.backoff_max = 5ms;
    options.retry_held = 5ms;
    deliverer_ = *Deliverer::Make(options, *spool_, node_, *this, clock_);
    deliverer_->Start();
  }
  void Put(std::string_view source, int from, int to) {
    for (int i = from; i <= to; ++i) {
      const std::string bytes = fmt::format("{} {}", source, i);
      Record record;
      record.source = source;
      record.bytes = bytes;
      ASSERT_TRUE(spool_->Append({record}).ok());
    }
    ASSERT_TRUE(spool_->Sync(spool_->stats().last).ok());
  }
  void SignCheckpoint() {
    const MutexLock lock(node_.mutex_);
    node_.checkpoint_ = node_.leaves_.size();
    node_.changed_.notify_all();
  }
  bool Until(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      const MutexLock lock(mutex_);
      wake_.wait_for(mutex_, 1ms);
    }
    return true;
  }
  std::size_t leaves() {
    const MutexLock lock(node_.mutex_);
    return node_.leaves_.size();
  }
  std::size_t connects() {
    const MutexLock lock(node_.mutex_);
    return node_.connects_.size();
  }

  std::string directory_;
  testutil::SkippingClock clock_;
  FakeONode node_;
  std::unique_ptr<Spool> spool_;
  std::unique_ptr<Deliverer> deliverer_;
  Mutex mutex_;
  std::condition_variable_any wake_;
  std::vector<std::pair<std::string, frame::Reason>> refused_;
  std::set<std::string> over_limit_;
  std::vector<std::string> audit_failures_;
  std::atomic<bool> told_{false};  // that something was refused
};

TEST_F(DelivererTest, DeliversInOrderAndFreesOnlyWhatACheckpointShows) {
  Put("edge-a", 1, 100);
  Start();
  ASSERT_TRUE(deliverer_->Flush(std::chrono::steady_clock::now() + 10s));
  EXPECT_EQ(leaves(), 100U);
  EXPECT_EQ(node_.held_["edge-a 7"], 6U);
  EXPECT_EQ(spool_->stats().first, 1U) << "nothing was shown yet";
  SignCheckpoint();
  EXPECT_TRUE(Until([this] { return spool_->stats().first == 101; }));
  EXPECT_EQ(deliverer_->status().audited_size, 100U);
}

TEST_F(DelivererTest, ANoteBehindTheLastFrameIsNotWaitedFor) {
  Put("edge-a", 1, 3);
  Record note;
  note.kind = Record::Kind::kNote;
  note.source = "note";
  ASSERT_TRUE(spool_->Append({note}).ok());
  ASSERT_TRUE(spool_->Sync(4).ok());
  Start();
  ASSERT_TRUE(deliverer_->Flush(std::chrono::steady_clock::now() + 10s));
  EXPECT_EQ(deliverer_->status().answered, spool_->stats().last_frame);
}

TEST_F(DelivererTest, AnswersLostWithTheConnectionAreAskedForAgainAndNothingIsEnteredTwice) {
  Put("edge-a", 1, 100);
  node_.cut_after_ = 3;
  Start();
  ASSERT_TRUE(Until([this] { return connects() > 2; }));
  {
    const MutexLock lock(node_.mutex_);
    node_.checkpoint_ = node_.leaves_.size() / 2;  // some places lie below what the next connection starts from
    node_.cut_after_ = -1;
  }
  ASSERT_TRUE(deliverer_->Flush(std::chrono::steady_clock::now() + 10s));
  EXPECT_EQ(leaves(), 100U);
  SignCheckpoint();
  EXPECT_TRUE(Until([this] { return spool_->stats().first == 101; }));
}

TEST_F(DelivererTest, RestartGoesOnAndItsAuditWithIt) {
  Put("edge-a", 1, 10);
  Start();
  ASSERT_TRUE(deliverer_->Flush(std::chrono::steady_clock::now() + 10s));
  SignCheckpoint();
  ASSERT_TRUE(Until([this] { return deliverer_->status().audited_size == 10; }));
  deliverer_.reset();
  OpenSpool();
  Put("edge-a", 11, 20);
  Start();
  ASSERT_TRUE(deliverer_->Flush(std::chrono::steady_clock::now() + 10s));
  EXPECT_EQ(leaves(), 20U);
  EXPECT_EQ(deliverer_->status().audited_size, 10U);
}

TEST_F(DelivererTest, FollowsTheLeader) {
  node_.leader_ = "leader:1";
  Put("edge-a", 1, 5);
  Start({"a:1", "b:1"});
  ASSERT_TRUE(deliverer_->Flush(std::chrono::steady_clock::now() + 10s));
  EXPECT_EQ(deliverer_->status().connected_to, "leader:1");
}

TEST_F(DelivererTest, PassingReasonHoldsThatSourceOnlyAndInOrder) {
  node_.refuse_passing_ = {"unregistered"};
  Put("unregistered", 1, 3);
  Put("edge-a", 1, 3);
  Put("unregistered", 4, 5);
  Start();
  ASSERT_TRUE(Until([this] { return leaves() == 3; }));
  SignCheckpoint();
  ASSERT_TRUE(Until([this] { return deliverer_->status().audited_size == 3; }));
  EXPECT_EQ(spool_->stats().first, 1U) << "held frames stay";
  {
    const MutexLock lock(node_.mutex_);
    node_.refuse_passing_.clear();
  }
  ASSERT_TRUE(Until([this] { return leaves() == 8; }));
  for (int i = 1; i <= 5; ++i)
    EXPECT_EQ(node_.held_[fmt::format("unregistered {}", i)], static_cast<std::uint64_t>(2 + i));
  SignCheckpoint();
  EXPECT_TRUE(Until([this] { return spool_->stats().first == 9; }));
  EXPECT_TRUE(refused_.empty());
}

TEST_F(DelivererTest, ASourceOverItsLimitIsTold) {
  node_.refuse_passing_ = {"unregistered"};
  node_.over_limit_ = {"chatty"};
  Put("unregistered", 1, 1);
  Put("chatty", 1, 2);
  Put("edge-a", 1, 1);
  Start();
  ASSERT_TRUE(Until([this] { return leaves() == 1; }));
  const auto told = [this] {
    const MutexLock lock(mutex_);
    return over_limit_;
  };
  ASSERT_TRUE(Until([&] { return !told().empty(); }));
  EXPECT_EQ(told(), (std::set<std::string>{"chatty"}));
  {
    const MutexLock lock(node_.mutex_);
    node_.over_limit_.clear();
  }
  EXPECT_TRUE(Until([this] { return leaves() == 3; })) << "and its frames were kept";
}

TEST_F(DelivererTest, LastingReasonDropsAndTells) {
  node_.refuse_lasting_ = {"forger"};
  Put("forger", 1, 2);
  Put("edge-a", 1, 1);
  Start();
  ASSERT_TRUE(deliverer_->Flush(std::chrono::steady_clock::now() + 10s));
  SignCheckpoint();
  EXPECT_TRUE(Until([this] { return spool_->stats().first == 4; }));
  const MutexLock lock(mutex_);
  ASSERT_EQ(refused_.size(), 2U);
  EXPECT_EQ(refused_[0], std::pair(std::string("forger"), frame::Reason::kBadTag));
}

TEST_F(DelivererTest, ONodeThatDropsWhatItAcknowledgedIsNamedAndNothingIsFreed) {
  Put("edge-a", 1, 3);
  Start();
  ASSERT_TRUE(deliverer_->Flush(std::chrono::steady_clock::now() + 10s));
  {
    const MutexLock lock(node_.mutex_);
    node_.lie_ = FakeONode::Lie::kDrops;
  }
  Put("edge-a", 4, 6);
  ASSERT_TRUE(deliverer_->Flush(std::chrono::steady_clock::now() + 10s));
  SignCheckpoint();
  ASSERT_TRUE(Until([this] { return !deliverer_->status().audit_problem.empty(); }));
  EXPECT_NE(deliverer_->status().audit_problem.find("entry 3"), std::string::npos)
      << deliverer_->status().audit_problem;
  EXPECT_EQ(spool_->stats().first, 1U);
  const MutexLock lock(mutex_);
  EXPECT_FALSE(audit_failures_.empty());
}

// The place of another entry, with that entry's own hash: no checkpoint contradicts it.
TEST_F(DelivererTest, ONodeThatNamesAnotherEntryIsNamedAtOnceAndNothingIsFreed) {
  Put("edge-a", 1, 3);
  Start();
  ASSERT_TRUE(deliverer_->Flush(std::chrono::steady_clock::now() + 10s));
  {
    const MutexLock lock(node_.mutex_);
    node_.lie_ = FakeONode::Lie::kNamesAnother;
  }
  Put("edge-a", 4, 4);
  ASSERT_TRUE(Until([this] { return !deliverer_->status().audit_problem.empty(); }));
  EXPECT_NE(deliverer_->status().audit_problem.find("does not hold"), std::string::npos)
      << deliverer_->status().audit_problem;
  SignCheckpoint();
  EXPECT_EQ(spool_->stats().first, 1U);
  {
    const MutexLock lock(node_.mutex_);
    node_.lie_ = FakeONode::Lie::kNone;
  }
  // It mends its ways: what it owes is asked for again, and a checkpoint that shows it ends the alarm.
  ASSERT_TRUE(Until([this] {
    SignCheckpoint();
    return deliverer_->status().audit_problem.empty() && spool_->stats().first == 5;
  }));
  const MutexLock lock(mutex_);
  EXPECT_EQ(audit_failures_.size(), 1U);
}

// What one connection acknowledged and no checkpoint showed is asked for again on the next: else it would count as
// shown unseen.
TEST_F(DelivererTest, AnAckThatNoCheckpointShowedDoesNotOutliveItsConnection) {
  Put("edge-a", 1, 3);
  {
    const MutexLock lock(node_.mutex_);
    node_.lie_ = FakeONode::Lie::kDrops;
    node_.cut_after_ = 1;
  }
  Start();
  ASSERT_TRUE(deliverer_->Flush(std::chrono::steady_clock::now() + 10s));
  Put("edge-a", 4, 4);  // finds the connection cut
  {
    const MutexLock lock(node_.mutex_);
    node_.cut_after_ = -1;
    node_.lie_ = FakeONode::Lie::kNone;
  }
  ASSERT_TRUE(Until([this] {
    SignCheckpoint();
    return !deliverer_->status().audit_problem.empty();
  }));
  EXPECT_EQ(spool_->stats().first, 1U);
}

TEST_F(DelivererTest, ONodeThatWasRolledBackIsNamedAtTheNextConnection) {
  Put("edge-a", 1, 10);
  Start();
  ASSERT_TRUE(deliverer_->Flush(std::chrono::steady_clock::now() + 10s));
  SignCheckpoint();
  ASSERT_TRUE(Until([this] { return deliverer_->status().audited_size == 10; }));
  deliverer_.reset();
  {
    const MutexLock lock(node_.mutex_);
    node_.leaves_.resize(4);
    node_.held_.clear();
    node_.checkpoint_ = 4;
  }
  OpenSpool();
  Start();
  ASSERT_TRUE(Until([this] { return !deliverer_->status().audit_problem.empty(); }));
  EXPECT_NE(deliverer_->status().audit_problem.find("rolled back"), std::string::npos);
  EXPECT_TRUE(std::filesystem::exists(directory_ + "/audit/mismatch-10"));
}

TEST_F(DelivererTest, AFrozenChainIsNamed) {
  {
    const MutexLock lock(node_.mutex_);
    node_.frozen_ = true;
  }
  Put("edge-a", 1, 1);
  Start();
  ASSERT_TRUE(Until([this] { return !deliverer_->status().audit_problem.empty(); }));
  {
    const MutexLock lock(node_.mutex_);
    node_.frozen_ = false;
  }
  ASSERT_TRUE(Until([this] { return deliverer_->status().audit_problem.empty(); }));
  const MutexLock lock(mutex_);
  EXPECT_EQ(audit_failures_.size(), 1U);
}

TEST_F(DelivererTest, ForkIsNamed) {
  Put("edge-a", 1, 10);
  Start();
  ASSERT_TRUE(deliverer_->Flush(std::chrono::steady_clock::now() + 10s));
  SignCheckpoint();
  ASSERT_TRUE(Until([this] { return deliverer_->status().audited_size == 10; }));
  deliverer_.reset();
  {
    const MutexLock lock(node_.mutex_);
    node_.leaves_[2] = chain::LeafHash("forged");
    node_.leaves_.push_back(chain::LeafHash("more"));
    node_.checkpoint_ = 11;
  }
  OpenSpool();
  Start();
  ASSERT_TRUE(Until([this] { return !deliverer_->status().audit_problem.empty(); }));
  EXPECT_NE(deliverer_->status().audit_problem.find("does not extend"), std::string::npos);
}

TEST_F(DelivererTest, WaitingIsLife) {
  Start();
  ASSERT_TRUE(Until([this] { return !deliverer_->status().connected_to.empty(); }));
  clock_.Skip(kStandstill);
  EXPECT_TRUE(Until([this] { return deliverer_->CheckAlive().ok(); })) << "nothing to deliver";
  {
    const MutexLock lock(node_.mutex_);
    node_.reads_ = false;
  }
  Put("edge-a", 1, 1);
  ASSERT_TRUE(Until([this] { return node_.asked_.load(); }));
  clock_.Skip(kStandstill);
  EXPECT_TRUE(deliverer_->CheckAlive().ok()) << "the O-Node takes its time: " << deliverer_->CheckAlive();
  {
    const MutexLock lock(node_.mutex_);
    node_.reads_ = true;
    node_.changed_.notify_all();
  }
  EXPECT_TRUE(deliverer_->Flush(std::chrono::steady_clock::now() + 10s));
  deliverer_->Stop();
  clock_.Skip(kStandstill);
  EXPECT_TRUE(deliverer_->CheckAlive().ok()) << "it is not at work";
}

TEST_F(DelivererTest, AThreadThatStandsStillIsNoLife) {
  node_.refuse_lasting_ = {"forged"};
  Put("forged", 1, 1);
  {
    const MutexLock lock(mutex_);  // which whoever is told of the refusal waits for
    Start();
    told_.wait(false);
    clock_.Skip(kStandstill);
    EXPECT_EQ(Message(deliverer_->CheckAlive()), "the receiver of answers has stood still for 90 s");
  }
  EXPECT_TRUE(Until([this] { return deliverer_->CheckAlive().ok(); }));
}

}  // namespace
}  // namespace virp::deliver
