#include "lib/base/tcp.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <string>

#include "lib/base/tcp_ao.h"
#include "tests/testutil/status_matchers.h"

namespace virp {
namespace {

using testutil::StatusIs;

const IpAddress kLoopback = IpAddress::V4(0x7F000001U);

// Whether a connection from 127.0.0.1 with that MD5 key comes through within the time: a wrong key makes the kernel
// drop it.
bool Connects(int listening, std::string_view md5_key, int wait_ms) {
  const auto client = BeginConnect(kLoopback, static_cast<std::uint16_t>(*LocalPort(listening)), md5_key);
  pollfd ready{listening, POLLIN, 0};
  return client.ok() && ::poll(&ready, 1, wait_ms) == 1 && AcceptTcp(listening).ok();
}

TEST(TcpTest, TellsAddressAndPortOfThePeer) {
  ASSERT_OK_AND_ASSIGN(const FileDescriptor listening, ListenTcp({"::", 0}));
  ASSERT_OK_AND_ASSIGN(const int port, LocalPort(listening.get()));
  ASSERT_OK_AND_ASSIGN(const FileDescriptor client, BeginConnect(kLoopback, static_cast<std::uint16_t>(port), ""));
  pollfd ready{listening.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&ready, 1, 5'000), 1);
  ASSERT_OK_AND_ASSIGN(const Accepted accepted, AcceptTcp(listening.get()));
  EXPECT_EQ(accepted.address.ToString(), "127.0.0.1");
  EXPECT_EQ(accepted.port, *LocalPort(client.get()));
}

TEST(TcpTest, Md5KeysOfADualStackListenerHoldForItsIpv4Peers) {
  ASSERT_OK_AND_ASSIGN(const FileDescriptor listening, ListenTcp({"::", 0}));
  const absl::Status set = SetMd5Key(listening.get(), kLoopback, "secret");
  if (absl::IsFailedPrecondition(set)) GTEST_SKIP() << set;
  ASSERT_OK(set);
  EXPECT_TRUE(Connects(listening.get(), "secret", 5'000));
  EXPECT_FALSE(Connects(listening.get(), "", 200));
  EXPECT_FALSE(Connects(listening.get(), "another", 200));
}

TEST(TcpTest, AnEmptyMd5KeyDoesNotTakeTheProtectionAway) {
  ASSERT_OK_AND_ASSIGN(const FileDescriptor listening, ListenTcp({"127.0.0.1", 0}));
  const absl::Status set = SetMd5Key(listening.get(), kLoopback, "secret");
  if (absl::IsFailedPrecondition(set)) GTEST_SKIP() << set;
  ASSERT_OK(set);
  EXPECT_THAT(SetMd5Key(listening.get(), kLoopback, ""), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_FALSE(Connects(listening.get(), "", 200));
  EXPECT_TRUE(Connects(listening.get(), "secret", 5'000));
}

TEST(TcpAoTest, RefusesWhatNoKeyIs) {
  const FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_THAT(AddTcpAoKey(socket.get(), kLoopback, {1, 1, "md5", "secret"}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(AddTcpAoKey(socket.get(), kLoopback, {1, 1, "hmac-sha-1-96", ""}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(AddTcpAoKey(socket.get(), kLoopback, {1, 1, "hmac-sha-1-96", std::string(81, 'k')}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(TcpAoTest, ConnectsOnlyWithTheKey) {
  if (!KernelHasTcpAo()) GTEST_SKIP() << "this kernel has no TCP-AO";
  ASSERT_OK_AND_ASSIGN(const FileDescriptor listening, ListenTcp({"127.0.0.1", 0}));
  ASSERT_OK(AddTcpAoKey(listening.get(), kLoopback, {7, 9, "hmac-sha-1-96", "secret"}));
  EXPECT_FALSE(Connects(listening.get(), "", 200));
}

}  // namespace
}  // namespace virp
