#include "services/rtr-bridge/transport/router_loop.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>

#include "services/rtr-bridge/transport/router_fixture.h"

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
  void Add(std::unique_ptr<RouterStream> stream) {
    NewRouter router;
    router.stream = std::move(stream);
    router.name.peer = "192.0.2.1";
    loop_->Add(std::move(router));
  }

  RouterCounters counters_;
  std::unique_ptr<RouterLoop> loop_;
};

// A peer that sends faster than anybody reads: what is wrong first, and then without end.
class Flood final : public RouterStream {
 public:
  explicit Flood(FileDescriptor socket) : socket_(std::move(socket)) {}
  int socket() const override { return socket_.get(); }
  absl::StatusOr<std::optional<std::size_t>> Read(std::span<char> buffer) override {
    std::fill(buffer.begin(), buffer.end(), '\xff');
    return buffer.size();
  }
  absl::StatusOr<std::size_t> Write(std::span<const std::string_view> pieces) override {
    std::size_t all = 0;
    for (const std::string_view piece : pieces) all += piece.size();
    return all;
  }
  void CloseWrite() override {}

 private:
  const FileDescriptor socket_;
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
class Holding final : public RouterStream {
 public:
  Holding(FileDescriptor socket, std::atomic<bool>& may_go, std::atomic<bool>& closed)
      : socket_(std::move(socket)), may_go_(may_go), closed_(closed) {}
  int socket() const override { return socket_.get(); }
  absl::StatusOr<std::optional<std::size_t>> Read(std::span<char> buffer) override {
    const ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (got < 0) return std::nullopt;
    return static_cast<std::size_t>(got);
  }
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
  const FileDescriptor socket_;
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
  static_cast<void>(loop_->Views());  // the loop has been around since
  EXPECT_FALSE(closed);
  may_go = true;
  EXPECT_TRUE(testutil::Eventually([&] { return closed.load(); }));
}

}  // namespace
}  // namespace virp::rtr_bridge
