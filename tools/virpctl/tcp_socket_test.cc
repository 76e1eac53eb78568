#include "tools/virpctl/tcp_socket.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <string>
#include <thread>

#include "tests/testutil/status_matchers.h"

namespace virp::virpctl {
namespace {

using namespace std::chrono_literals;
using testutil::StatusIs;

Deadline In(std::chrono::milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}

struct Listening {
  explicit Listening(int backlog) : socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(address.address);
    v4.sin_family = AF_INET;
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.size = sizeof(v4);
    EXPECT_EQ(::bind(socket.get(), address.generic(), address.size), 0);
    EXPECT_EQ(::listen(socket.get(), backlog), 0);
    EXPECT_EQ(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address.address), &address.size), 0);
  }
  FileDescriptor socket;
  SocketAddress address;
};

// Answers nobody any more: the queue of connections that nobody accepts is full.
class Silent : public Listening {
 public:
  Silent() : Listening(0) {
    while (true) {
      FileDescriptor& one = waiting_.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      ::connect(one.get(), address.generic(), address.size);
      if (AwaitSocket(one.get(), POLLOUT, In(20ms)).code() == absl::StatusCode::kDeadlineExceeded) return;
    }
  }

 private:
  std::vector<FileDescriptor> waiting_;
};

TEST(TcpSocketTest, ASilentAddressLeavesTimeForTheOthers) {
  const Silent silent;
  const Listening answers(8);
  const SocketAddress both[] = {silent.address, answers.address};
  ASSERT_OK_AND_ASSIGN(const FileDescriptor socket, ConnectAny(both, In(3s)));
  SocketAddress peer;
  peer.size = sizeof(peer.address);
  ASSERT_EQ(::getpeername(socket.get(), reinterpret_cast<sockaddr*>(&peer.address), &peer.size), 0);
  EXPECT_EQ(reinterpret_cast<const sockaddr_in&>(peer.address).sin_port,
            reinterpret_cast<const sockaddr_in&>(answers.address.address).sin_port);
  EXPECT_THAT(ConnectAny({&silent.address, 1}, In(10ms)).status(), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST(TcpSocketTest, SaysWhyNoneAnswers) {
  SocketAddress closed;
  {
    const Listening listening(1);
    closed = listening.address;
  }
  const absl::Status refused = ConnectAny({&closed, 1}, In(10s)).status();
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(std::string(Message(refused)), testing::HasSubstr("127.0.0.1:"));
  EXPECT_THAT(ConnectAny({}, In(10s)).status(), StatusIs(absl::StatusCode::kUnavailable));
  ASSERT_OK_AND_ASSIGN(const auto numeric, Resolve({"127.0.0.1", 1}));
  EXPECT_EQ(numeric.size(), 1U);
}

std::atomic<int> signals = 0;
int signalled_pipe = -1;

// Whether a thread of this process sleeps.
bool Sleeps(pid_t thread) {
  std::ifstream in("/proc/self/task/" + std::to_string(thread) + "/stat");
  const std::string stat{std::istreambuf_iterator<char>(in), {}};
  const std::size_t name_end = stat.rfind(')');
  return name_end != std::string::npos && stat.substr(name_end, 3) == ") S";
}

TEST(TcpSocketTest, ASignalDoesNotEndTheWait) {
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  const FileDescriptor reading(pipe[0]), writing(pipe[1]);
  signalled_pipe = writing.get();
  struct sigaction action{}, was{};
  action.sa_handler = [](int) {
    if (++signals == 3) static_cast<void>(::write(signalled_pipe, "x", 1));
  };
  ASSERT_EQ(::sigaction(SIGUSR1, &action, &was), 0);
  const pthread_t waiting = pthread_self();
  const pid_t id = ::gettid();
  std::atomic<bool> done = false;
  std::thread interrupting([&] {
    while (!done) {
      if (Sleeps(id) && !done) pthread_kill(waiting, SIGUSR1);
    }
  });
  const absl::Status came = AwaitSocket(reading.get(), POLLIN, In(30s));
  done = true;
  interrupting.join();
  ::sigaction(SIGUSR1, &was, nullptr);
  EXPECT_OK(came);
  EXPECT_GE(signals, 3);
}

TEST(TcpSocketTest, WhatIsThereCountsAlsoWhenTimeIsOver) {
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  const FileDescriptor reading(pipe[0]), writing(pipe[1]);
  EXPECT_THAT(AwaitSocket(reading.get(), POLLIN, In(-1s)), StatusIs(absl::StatusCode::kDeadlineExceeded));
  ASSERT_EQ(::write(writing.get(), "x", 1), 1);
  EXPECT_OK(AwaitSocket(reading.get(), POLLIN, In(-1s)));
  EXPECT_THAT(CheckTime(In(-1s)), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_OK(CheckTime(In(1min)));
}

}  // namespace
}  // namespace virp::virpctl
