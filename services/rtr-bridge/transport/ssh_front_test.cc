#include "services/rtr-bridge/transport/ssh_front.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "tests/testutil/status_matchers.h"
#include "tests/testutil/wait.h"

namespace virp::rtr_bridge {
namespace {

using std::chrono::milliseconds;

constexpr std::string_view kName = "SSH-2.0-libssh_0.10.6\r\n";

// A packet of RFC 4253 section 6 before there are keys, four octets of padding.
std::string Packet(char type, std::size_t body) {
  std::string payload(1, type);
  payload.append(body, 'x');
  const std::size_t size = 1 + payload.size() + 4;
  std::string packet{static_cast<char>(size >> 24), static_cast<char>(size >> 16), static_cast<char>(size >> 8),
                     static_cast<char>(size), 4};
  return packet + payload + std::string(4, '\0');
}

class SshFrontTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::array<int, 2> pair{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair.data()), 0);
    router_.Reset(pair[0]);
    ASSERT_OK_AND_ASSIGN(SshFront front, SshFront::Make(FileDescriptor(pair[1])));
    front_.emplace(std::move(front));
    libssh_.Reset(front_->TakeEnd());
  }
  static void Say(const FileDescriptor& at, std::string_view bytes) {
    ASSERT_OK(WriteAll(at.get(), bytes, "a socket"));
  }
  static std::string Heard(const FileDescriptor& at) {
    std::array<char, 65536> bytes;
    const ssize_t got = ::recv(at.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    return {bytes.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0))};
  }
  absl::Status Relay() { return front_->Relay(milliseconds(0), /*reads=*/true); }

  FileDescriptor router_, libssh_;
  std::optional<SshFront> front_;
};

TEST_F(SshFrontTest, NewKeysWaitForWhatComesBehindThem) {
  const std::string before = std::string(kName) + Packet(20, 900) + Packet(31, 160), keys = Packet(21, 0);
  Say(libssh_, before + keys);
  ASSERT_OK(Relay());
  EXPECT_EQ(Heard(router_), before);
  EXPECT_FALSE(front_->empty());
  Say(libssh_, "encrypted");
  front_->Release();
  ASSERT_OK(Relay());
  EXPECT_EQ(Heard(router_), keys + "encrypted");
  EXPECT_TRUE(front_->empty());
}

TEST_F(SshFrontTest, WhereverThePacketsAreCutNewKeysWait) {
  const std::string before = std::string(kName) + Packet(20, 9) + Packet(31, 3), all = before + Packet(21, 0);
  std::string heard;
  for (const char octet : all) {
    Say(libssh_, {&octet, 1});
    ASSERT_OK(Relay());
    heard += Heard(router_);
  }
  EXPECT_EQ(heard, before);
}

// A client may want the server's NEWKEYS before it sends its own.
TEST_F(SshFrontTest, NewKeysThatNothingFollowsGoAllTheSame) {
  const std::string all = std::string(kName) + Packet(21, 0);
  Say(libssh_, all);
  std::string heard;
  ASSERT_TRUE(testutil::Eventually([&] {
    EXPECT_OK(front_->Relay(SshFront::kMaxWait, /*reads=*/true));
    return (heard += Heard(router_)) == all;
  }));
}

TEST_F(SshFrontTest, LibsshHearsTheRouterAndItsEnd) {
  Say(router_, "SSH-2.0-router\r\n");
  ASSERT_OK(Relay());
  EXPECT_FALSE(front_->all_read());
  Say(router_, "more");
  ASSERT_OK(Relay());  // not before libssh has read
  EXPECT_EQ(Heard(libssh_), "SSH-2.0-router\r\n");
  EXPECT_TRUE(front_->all_read());
  ASSERT_OK(Relay());
  EXPECT_EQ(Heard(libssh_), "more");
  router_.Reset();
  EXPECT_EQ(Relay().code(), absl::StatusCode::kUnavailable);
}

TEST_F(SshFrontTest, ThenTheRoutersSocketTakesOver) {
  ASSERT_OK(front_->StepAside(libssh_.get()));
  front_.reset();
  Say(libssh_, "from libssh");
  EXPECT_EQ(Heard(router_), "from libssh");
  Say(router_, "from the router");
  EXPECT_EQ(Heard(libssh_), "from the router");
  libssh_.Reset();
  std::array<char, 1> octet;
  EXPECT_EQ(::recv(router_.get(), octet.data(), 1, MSG_DONTWAIT), 0);  // nobody else holds it
}

}  // namespace
}  // namespace virp::rtr_bridge
