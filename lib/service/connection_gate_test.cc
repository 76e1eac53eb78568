#include "lib/service/connection_gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/testutil/status_matchers.h"
#include "tests/testutil/wait.h"

namespace virp::service {
namespace {

using absl::StatusCode;
using testing::HasSubstr;
using testutil::StatusIs;

class ConnectionGateTest : public testing::Test {
 protected:
  void Start(GateLimits limits, const std::string& listen = "127.0.0.1:0") {
    ASSERT_OK_AND_ASSIGN(gate_, ConnectionGate::Listen(listen, limits));
    Admit([](const std::vector<FileDescriptor>&) {});
  }

  // `look` is shown all that were accepted, after each.
  void Admit(std::function<void(const std::vector<FileDescriptor>&)> look) {
    gate_->Start(
        [this, look = std::move(look)](int, FileDescriptor connection) {
          const std::lock_guard<std::mutex> lock(mutex_);
          accepted_.push_back(std::move(connection));
          look(accepted_);
        },
        [this](const IpAddress& peer, std::string_view reason) {
          const std::lock_guard<std::mutex> lock(mutex_);
          ++refused_[peer.ToString() + " " + std::string(reason)];
        });
  }

  // A connection to the gate from 127.0.0.<host>.
  FileDescriptor Connect(std::uint8_t host = 1) const {
    FileDescriptor fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + host);
    EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(gate_->port()));
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }

  static bool Closed(const FileDescriptor& fd) {
    pollfd waiting{fd.get(), POLLIN, 0};
    char byte = 0;
    return poll(&waiting, 1, 20'000) == 1 && recv(fd.get(), &byte, 1, 0) <= 0;
  }

  template <typename Condition>
  bool Eventually(const Condition& condition) {
    return testutil::Eventually([&] {
      const std::lock_guard<std::mutex> lock(mutex_);
      return condition();
    });
  }

  std::map<std::string, int> Refused() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return refused_;
  }

  std::mutex mutex_;
  std::vector<FileDescriptor> accepted_;
  std::map<std::string, int> refused_;
  std::unique_ptr<ConnectionGate> gate_;  // last: its thread uses the others
};

// The kernel would let a receive buffer grow to megabytes, and a connection that is shut down waits for gRPC to read
// them.
TEST_F(ConnectionGateTest, ReceiveBuffersStaySmall) {
  Start({});
  int most = 0;
  std::ifstream("/proc/sys/net/core/rmem_max") >> most;
  const FileDescriptor client = Connect();
  ASSERT_TRUE(Eventually([&] { return !accepted_.empty(); }));
  int size = 0;
  socklen_t length = sizeof(size);
  ASSERT_EQ(getsockopt(accepted_[0].get(), SOL_SOCKET, SO_RCVBUF, &size, &length), 0);
  EXPECT_EQ(size, 2 * std::min(most, 192 * 1'024));  // Linux doubles what was asked for: socket(7)
}

TEST_F(ConnectionGateTest, ConnectionsBeyondTheCapsAreClosedAtOnce) {
  Start({.max_connections = 3, .max_per_address = 2});
  const FileDescriptor one = Connect();
  const FileDescriptor two = Connect();
  ASSERT_TRUE(Eventually([&] { return accepted_.size() == 2; }));
  EXPECT_TRUE(Closed(Connect()));
  const FileDescriptor other = Connect(2);
  ASSERT_TRUE(Eventually([&] { return accepted_.size() == 3; }));
  EXPECT_TRUE(Closed(Connect(3)));
  EXPECT_EQ(gate_->open(), 3);
  EXPECT_EQ(Refused(), (std::map<std::string, int>{{"127.0.0.1 TOO_MANY_FROM_ADDRESS", 1},
                                                   {"127.0.0.3 TOO_MANY_CONNECTIONS", 1}}));
}

// Who makes room for the next does so in time, however many come at once.
TEST_F(ConnectionGateTest, OneByOneSeesWhatAHandoffEnds) {
  ASSERT_OK_AND_ASSIGN(
      gate_, ConnectionGate::Listen("127.0.0.1:0", {.max_connections = 3, .max_per_address = 3, .one_by_one = true}));
  std::vector<FileDescriptor> clients;
  for (int i = 0; i < 100; ++i) clients.push_back(Connect());  // they wait until Start
  Admit([](const std::vector<FileDescriptor>& all) {
    if (all.size() > 2) shutdown(all[all.size() - 3].get(), SHUT_RDWR);
  });
  EXPECT_TRUE(Eventually([&] { return accepted_.size() == 100 || !refused_.empty(); }));
  EXPECT_TRUE(Refused().empty());
  EXPECT_TRUE(Eventually([&] { return gate_->open() == 2; }));
}

TEST_F(ConnectionGateTest, SlotsComeFreeWhicheverEndHangsUp) {
  Start({.max_connections = 1, .max_per_address = 1});
  for (int round = 0; round < 20; ++round) {
    FileDescriptor peer = Connect();
    ASSERT_TRUE(Eventually([&] { return accepted_.size() == 1; }));
    EXPECT_EQ(gate_->open(), 1);
    if (round % 2 == 0) {
      peer.Reset();
    } else {
      shutdown(accepted_[0].get(), SHUT_RDWR);  // as gRPC does before it closes
    }
    ASSERT_TRUE(Eventually([&] { return gate_->open() == 0; }));
    // In even rounds the owner still holds its end: that must not disturb the next connection.
    if (round % 4 != 0) accepted_[0].Reset();
    accepted_.erase(accepted_.begin());
  }
  EXPECT_TRUE(Refused().empty());
}

TEST_F(ConnectionGateTest, ManyIdleConnectionsCostNothing) {
  Start({.max_connections = 20, .max_per_address = 1000});
  std::vector<FileDescriptor> held;
  for (int i = 0; i < 300; ++i) held.push_back(Connect());
  EXPECT_TRUE(Eventually([&] { return refused_["127.0.0.1 TOO_MANY_CONNECTIONS"] == 280; }));
  EXPECT_EQ(gate_->open(), 20);
  held.clear();
  EXPECT_TRUE(Eventually([&] { return gate_->open() == 0; }));
  const FileDescriptor next = Connect();
  EXPECT_TRUE(Eventually([&] { return accepted_.size() == 21; }));
}

TEST_F(ConnectionGateTest, NamesMayHaveSeveralAddresses) {
  Start({}, "localhost:0");
  const FileDescriptor peer = Connect();
  EXPECT_TRUE(Eventually([&] { return accepted_.size() == 1; }));
}

TEST_F(ConnectionGateTest, AHeldPortIsTheGatesOnly) {
  for (const std::string host : {"127.0.0.1", "localhost"}) {
    ASSERT_OK_AND_ASSIGN(const PortHold hold, PortHold::Take(host + ":0"));
    ASSERT_TRUE(hold.address().starts_with(host + ":")) << hold.address();
    const int port = std::stoi(hold.address().substr(host.size() + 1));
    EXPECT_GT(port, 0);
    Start({}, hold.address());
    EXPECT_EQ(gate_->port(), port);
    const std::size_t before = accepted_.size();
    const FileDescriptor peer = Connect();
    EXPECT_TRUE(Eventually([&] { return accepted_.size() == before + 1; }));
    gate_.reset();
  }
}

TEST_F(ConnectionGateTest, AHoldLeavesOtherPortsAlone) {
  ASSERT_OK_AND_ASSIGN(const auto taken, ConnectionGate::Listen("127.0.0.1:0", {}));
  const std::string address = fmt::format("127.0.0.1:{}", taken->port());
  ASSERT_OK_AND_ASSIGN(const PortHold hold, PortHold::Take(address));
  EXPECT_EQ(hold.address(), address);
  EXPECT_THAT(PortHold::Take("localhost"), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(PortHold::Take("192.0.2.1:0"), StatusIs(StatusCode::kFailedPrecondition, HasSubstr("192.0.2.1:0")));
}

TEST_F(ConnectionGateTest, StopClosesTheDoorOnly) {
  Start({});
  const FileDescriptor peer = Connect();
  ASSERT_TRUE(Eventually([&] { return accepted_.size() == 1; }));
  gate_->Stop();
  EXPECT_EQ(send(accepted_[0].get(), "x", 1, 0), 1);
  char byte = 0;
  EXPECT_EQ(recv(peer.get(), &byte, 1, 0), 1);
  const FileDescriptor late(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(gate_->port()));
  EXPECT_NE(connect(late.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
}

TEST_F(ConnectionGateTest, BadAddressesAreRefused) {
  for (const char* bad : {"", ":", "localhost", "localhost:", ":80", "localhost:http", "localhost:70000",
                          "localhost:-1", "localhost:80 ", "::1:80", "[]:80", "[::1:80"}) {
    EXPECT_THAT(ConnectionGate::Listen(bad, {}), StatusIs(StatusCode::kInvalidArgument)) << bad;
  }
  EXPECT_THAT(ConnectionGate::Listen("192.0.2.1:0", {}),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("192.0.2.1:0")));
  ASSERT_OK_AND_ASSIGN(const auto first, ConnectionGate::Listen("127.0.0.1:0", {}));
  EXPECT_THAT(ConnectionGate::Listen(fmt::format("127.0.0.1:{}", first->port()), {}),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("in use")));
}

}  // namespace
}  // namespace virp::service
