#include "services/rtr-bridge/transport/ssh_gateway.h"

#include <poll.h>
#include <sys/resource.h>

#include <thread>

#include "services/rtr-bridge/transport/ssh_fixture.h"
#include "tests/testutil/wait.h"

namespace virp::rtr_bridge {
namespace {

using std::chrono::milliseconds;
using testing::SshClient;
using testing::SshGatewayTest;

milliseconds ProcessorTime() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  return milliseconds((used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1'000 +
                      (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1'000);
}

// Its window is used up, and it opens it no more.
TEST_F(SshGatewayTest, ARouterThatDoesNotReadIsGivenUp) {
  options_.flush_timeout = milliseconds(1'000);
  Start();
  SshClient client(Connect());
  ASSERT_TRUE(client.LogIn(dir_.File("client")));
  ASSERT_TRUE(client.AskForRtr());
  {
    SshRouter router = NextRouter();
    EXPECT_TRUE(router.identity.starts_with("ssh:rpki/SHA256:")) << router.identity;
    const std::string much(4 << 20, 'x');
    std::size_t sent = 0;
    // More than window, socket pair and buffers hold: it ends when nothing is taken any more.
    ASSERT_TRUE(testutil::Eventually([&] {
      const std::size_t before = sent;
      for (ssize_t got = 1; got > 0;) {
        got = ::send(router.socket.get(), much.data(), much.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (got > 0) sent += static_cast<std::size_t>(got);
      }
      return client.Drain() && sent > 0 && sent == before;
    }));
  }
  const milliseconds before = ProcessorTime();
  EXPECT_TRUE(testutil::Eventually([&] { return !client.Drain(); }));
  // It waited for the router, and did not turn without end meanwhile.
  EXPECT_LT(ProcessorTime() - before, milliseconds(500));
}

// Nothing of it has left: neither the bridge nor the router closes.
TEST_F(SshGatewayTest, ARouterThatTakesNothingIsGivenUpThoughTheBridgeStays) {
  options_.stall_timeout = milliseconds(1'000);
  Start();
  SshClient client(Connect());
  ASSERT_TRUE(client.LogIn(dir_.File("client")));
  ASSERT_TRUE(client.AskForRtr());
  const SshRouter router = NextRouter();
  const std::string much(4 << 20, 'x');
  EXPECT_TRUE(testutil::Eventually([&] {
    static_cast<void>(::send(router.socket.get(), much.data(), much.size(), MSG_NOSIGNAL | MSG_DONTWAIT));
    return !client.Drain();
  }));
}

TEST_F(SshGatewayTest, KeysMayBeExchangedAgainWhileDataFlow) {
  Start();
  SshClient client(Connect());
  ASSERT_TRUE(client.RekeyEach(256 << 10));
  ASSERT_TRUE(client.LogIn(dir_.File("client")));
  ASSERT_TRUE(client.AskForRtr());
  const std::string much(2 << 20, 'x');
  const std::jthread bridge([&] {
    const SshRouter router = NextRouter();
    for (std::size_t sent = 0; sent < much.size();) {
      pollfd ready{router.socket.get(), POLLOUT, 0};
      ::poll(&ready, 1, -1);
      const ssize_t got = ::send(router.socket.get(), much.data() + sent, much.size() - sent, MSG_NOSIGNAL);
      if (got < 0 && errno != EAGAIN) return;
      if (got > 0) sent += static_cast<std::size_t>(got);
    }
  });
  EXPECT_EQ(client.ReadToEnd().size(), much.size());
}

TEST_F(SshGatewayTest, LastWordsReachARouterThatReads) {
  Start();
  SshClient client(Connect());
  ASSERT_TRUE(client.LogIn(dir_.File("client")));
  ASSERT_TRUE(client.AskForRtr());
  {
    const SshRouter router = NextRouter();
    ASSERT_EQ(::send(router.socket.get(), "last words", 10, MSG_NOSIGNAL), 10);
  }
  EXPECT_EQ(client.ReadToEnd(), "last words");
}

}  // namespace
}  // namespace virp::rtr_bridge
