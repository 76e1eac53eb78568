#include "services/rtr-bridge/transport/router_loop.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <thread>

#include "services/rtr-bridge/transport/router_fixture.h"
#include "services/rtr-bridge/transport/stall_watch.h"

namespace virp::rtr_bridge {
namespace {

class RouterLoopTest : public testing::RouterServerTest {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(loop_, RouterLoop::Start(log_, counters_, std::size_t{1} << 30, clock_));
    loop_->Publish(NextSnapshot(testing::ManyRoas(3)));
  }
  // One end for the loop, one for the test.
  static std::pair<FileDescriptor, FileDescriptor> Pair() {
    std::array<int, 2> pair{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair.data()), 0);
    return {FileDescriptor(pair[0]), FileDescriptor(pair[1])};
  }
  void Add(std::unique_ptr<RouterStream> stream, NewRouter router = {}) {
    router.stream = std::move(stream);
    router.name.peer = "192.0.2.1";
    loop_->Add(std::move(router));
  }
  std::vector<RouterView> Views(std::chrono::milliseconds patience = std::chrono::minutes(1)) const {
    return loop_->Views(loop_->AskForViews(), std::chrono::steady_clock::now() + patience);
  }

  RouterCounters counters_;
  std::unique_ptr<RouterLoop> loop_;
};

// Reads as a plain stream does; what becomes of what is written is the test's.
class PlainReads : public RouterStream {
 public:
  explicit PlainReads(FileDescriptor socket) : socket_(std::move(socket)) {}
  int socket() const override { return socket_.get(); }
  absl::StatusOr<std::optional<std::size_t>> Read(std::span<char> buffer) override {
    const ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (got < 0) return std::nullopt;
    return static_cast<std::size_t>(got);
  }
  void CloseWrite() override {}

 private:
  const FileDescriptor socket_;
};

// A peer that sends faster than anybody reads: what is wrong first, and then without end.
class Flood final : public PlainReads {
 public:
  using PlainReads::PlainReads;
  absl::StatusOr<std::optional<std::size_t>> Read(std::span<char> buffer) override {
    std::fill(buffer.begin(), buffer.end(), '\xff');
    return buffer.size();
  }
  absl::StatusOr<std::size_t> Write(std::span<const std::string_view> pieces) override {
    std::size_t all = 0;
    for (const std::string_view piece : pieces) all += piece.size();
    return all;
  }
};

TEST_F(RouterLoopTest, OneThatFloodsBehindAnErrorKeepsNobodyWaiting) {
  auto [flooding, its_end] = Pair();
  ASSERT_EQ(::send(its_end.get(), "x", 1, MSG_NOSIGNAL), 1);  // readable from now on
  Add(std::make_unique<Flood>(std::move(flooding)));
  auto [ours, router] = Pair();
  Add(MakePlainStream(std::move(ours)));
  EXPECT_TRUE(IsServed(router));
  EXPECT_TRUE(testutil::Eventually([&] { return counters_.closed == 1; }));
}

// Takes all that comes, and holds it back until it may go.
class Holding final : public PlainReads {
 public:
  Holding(FileDescriptor socket, std::atomic<bool>& may_go, std::atomic<bool>& closed)
      : PlainReads(std::move(socket)), may_go_(may_go), closed_(closed) {}
  absl::StatusOr<std::size_t> Write(std::span<const std::string_view> pieces) override {
    std::size_t taken = 0;
    for (const std::string_view piece : pieces) taken += piece.size();
    holds_ = (holds_ || taken > 0) && !may_go_;
    return taken;
  }
  bool holds() const override { return holds_; }
  short also_wants() const override { return holds_ ? POLLOUT : 0; }
  void CloseWrite() override { closed_ = true; }

 private:
  std::atomic<bool>& may_go_;
  std::atomic<bool>& closed_;
  bool holds_ = false;
};

TEST_F(RouterLoopTest, LastWordsThatAStreamHoldsLeaveBeforeItsEnd) {
  std::atomic<bool> may_go{false}, closed{false};
  auto [ours, router] = Pair();
  ASSERT_TRUE(Say(router, std::string(8, '\xff')));  // answered with an error
  Add(std::make_unique<Holding>(std::move(ours), may_go, closed));
  ASSERT_TRUE(testutil::Eventually(
      [&] { return counters_.errors_sent[0] + counters_.errors_sent[4] + counters_.errors_sent[5] > 0; }));
  static_cast<void>(Views());  // the loop has been around since
  EXPECT_FALSE(closed);
  may_go = true;
  EXPECT_TRUE(testutil::Eventually([&] { return closed.load(); }));
}

// Its first write does not come back until it may.
class Blocking final : public PlainReads {
 public:
  Blocking(FileDescriptor socket, std::promise<void>& blocks, std::future<void> may_go)
      : PlainReads(std::move(socket)), blocks_(blocks), may_go_(std::move(may_go)) {}
  absl::StatusOr<std::size_t> Write(std::span<const std::string_view> pieces) override {
    if (!std::exchange(blocked_, true)) {
      blocks_.set_value();
      may_go_.wait();
    }
    return pieces.empty() ? 0 : pieces.front().size();
  }

 private:
  std::promise<void>& blocks_;
  std::future<void> may_go_;
  bool blocked_ = false;
};

TEST_F(RouterLoopTest, ALoopThatIsBusyIsShownAsItWas) {
  auto [ours, router] = Pair();
  std::promise<void> blocks, may_go;
  Add(std::make_unique<Blocking>(std::move(ours), blocks, may_go.get_future()));
  ASSERT_TRUE(testutil::Eventually([&] { return Views().size() == 1; }));
  ASSERT_TRUE(Say(router, ResetQuery()));
  blocks.get_future().get();
  const auto meanwhile = Views(std::chrono::milliseconds(1));
  ASSERT_EQ(meanwhile.size(), 1U);
  EXPECT_EQ(meanwhile.front().name.peer, "192.0.2.1");
  EXPECT_FALSE(meanwhile.front().state.version.has_value());
  may_go.set_value();
  EXPECT_EQ(Views().front().state.version, 1);
}

// Ready all the time, and never done.
class Handshaking final : public RouterStream {
 public:
  Handshaking(FileDescriptor socket, std::atomic<int>& opens) : socket_(std::move(socket)), opens_(opens) {}
  int socket() const override { return socket_.get(); }
  absl::StatusOr<bool> Open() override {
    ++opens_;
    return false;
  }
  bool opens_slowly() const override { return true; }
  absl::StatusOr<std::optional<std::size_t>> Read(std::span<char>) override { return std::nullopt; }
  absl::StatusOr<std::size_t> Write(std::span<const std::string_view>) override { return 0; }
  void CloseWrite() override {}

 private:
  const FileDescriptor socket_;
  std::atomic<int>& opens_;
};

// Ready all the time as well; notes how many handshakes went further between two of its turns.
class Waiting final : public RouterStream {
 public:
  Waiting(FileDescriptor socket, const std::atomic<int>& opens, std::atomic<int>& turns, std::atomic<int>& most)
      : socket_(std::move(socket)), opens_(opens), turns_(turns), most_(most) {}
  int socket() const override { return socket_.get(); }
  absl::StatusOr<std::optional<std::size_t>> Read(std::span<char>) override {
    const int now = opens_;
    if (turns_ > 0) most_ = std::max<int>(most_, now - before_);
    before_ = now;
    ++turns_;
    return std::nullopt;
  }
  absl::StatusOr<std::size_t> Write(std::span<const std::string_view>) override { return 0; }
  void CloseWrite() override {}

 private:
  const FileDescriptor socket_;
  const std::atomic<int>& opens_;
  std::atomic<int>&turns_, &most_;
  int before_ = 0;
};

TEST_F(RouterLoopTest, ManyHandshakesAtOnceKeepNobodyWaiting) {
  std::atomic<int> opens{0}, turns{0}, most{0};
  std::vector<FileDescriptor> others;
  const auto ready = [&] {
    auto [ours, its_end] = Pair();
    EXPECT_EQ(::send(its_end.get(), "x", 1, MSG_NOSIGNAL), 1);
    others.push_back(std::move(its_end));
    return std::move(ours);
  };
  for (int i = 0; i < 200; ++i) Add(std::make_unique<Handshaking>(ready(), opens));
  Add(std::make_unique<Waiting>(ready(), opens, turns, most));
  EXPECT_TRUE(testutil::Eventually([&] { return turns > 20 && opens > 100; }));
  // The loop looks at 64 sockets in a turn: it sees each of the 201 within four.
  EXPECT_LE(most, 4 * 5);
  loop_->Stop();  // the streams count in what ends here
}

// Each step takes its time, and the peer has always done its part.
class Slow final : public PlainReads {
 public:
  using PlainReads::PlainReads;
  absl::StatusOr<bool> Open() override {
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
    while (std::chrono::steady_clock::now() < until) std::this_thread::yield();
    return ++steps_ == 2;
  }
  bool opens_slowly() const override { return true; }
  absl::StatusOr<std::size_t> Write(std::span<const std::string_view>) override { return 0; }

 private:
  int steps_ = 0;
};

// All steps together take twice as long as a handshake may: only what a peer lets us wait counts.
TEST_F(RouterLoopTest, TheTimeThatWeLetAHandshakeWaitIsNotItsOwn) {
  constexpr int kRouters = 50;
  const auto add = [&](FileDescriptor ours) {
    NewRouter router;
    router.handshake_timeout = std::chrono::seconds(1);
    Add(std::make_unique<Slow>(std::move(ours)), std::move(router));
  };
  std::vector<FileDescriptor> others;
  for (int i = 0; i < kRouters; ++i) {
    auto [ours, its_end] = Pair();
    EXPECT_EQ(::send(its_end.get(), "x", 1, MSG_NOSIGNAL), 1);
    others.push_back(std::move(its_end));
    add(std::move(ours));
  }
  EXPECT_TRUE(testutil::Eventually(
      [&] { return counters_.handshakes_failed > 0 || Views().size() == static_cast<std::size_t>(kRouters); }));
  EXPECT_EQ(counters_.handshakes_failed, 0U);
  auto [ours, silent] = Pair();
  add(std::move(ours));
  EXPECT_TRUE(testutil::Eventually([&] { return counters_.handshakes_failed == 1; }));
}

// The kernel took all that there was; the router takes none of it.
TEST_F(RouterLoopTest, WhoLeavesEverythingInTheKernelIsGivenUp) {
  auto [ours, router] = Pair();
  NewRouter how;
  how.options.timers.retry = 1;
  Add(MakePlainStream(std::move(ours)), std::move(how));
  ASSERT_TRUE(Say(router, ResetQuery()));
  EXPECT_TRUE(testutil::Eventually([&] { return counters_.closed == 1; }));
  EXPECT_EQ(counters_.given_up, 1U);
}

TEST(StallWatchTest, WhatArrivesCountsAndNotWhatIsGiven) {
  using std::chrono::seconds;
  const StallWatch::Time start(seconds(1000));
  const auto at = [&](int second) { return start + seconds(second); };
  StallWatch watch;
  EXPECT_FALSE(watch.Stalled(100, 100, at(0), seconds(10)));
  EXPECT_FALSE(watch.Stalled(100, 100, at(9), seconds(10)));
  EXPECT_FALSE(watch.Stalled(100, 99, at(10), seconds(10)));  // one octet arrived
  EXPECT_FALSE(watch.Stalled(120, 119, at(19), seconds(10)));
  EXPECT_TRUE(watch.Stalled(120, 119, at(20), seconds(10)));   // what was given meanwhile is no progress
  EXPECT_FALSE(watch.Stalled(140, 138, at(21), seconds(10)));  // one arrived, and twenty were given
  EXPECT_FALSE(watch.Stalled(140, 0, at(22), seconds(10)));
  EXPECT_FALSE(watch.Stalled(140, 0, at(99), seconds(10)));  // nothing waits
  EXPECT_FALSE(watch.Stalled(150, 10, at(100), seconds(10)));
  EXPECT_TRUE(watch.Stalled(150, 10, at(110), seconds(10)));
}

}  // namespace
}  // namespace virp::rtr_bridge
