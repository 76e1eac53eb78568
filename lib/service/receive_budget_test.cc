#include "lib/service/receive_budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <string>

#include "lib/base/file.h"

namespace virp::service {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;

PeerPort Peer(std::uint16_t port) {
  return {IpAddress::V4(0xc0000201U), port};
}

class ReceiveBudgetTest : public testing::Test {
 protected:
  void Open(std::uint16_t port, std::uint64_t arrived, std::uint64_t delivered = 0) {
    budget_.Opened(Peer(port));
    budget_.Arrived(Peer(port), arrived);
    budget_.Delivered(Peer(port), delivered);
  }
  // As the gate does it.
  std::vector<std::uint16_t> Close() {
    std::vector<std::uint16_t> out;
    for (const PeerPort& peer : budget_.Excess()) {
      budget_.Ended(peer);
      out.push_back(peer.port);
    }
    return out;
  }

  ReceiveBudget budget_{ReceiveLimits{.bytes = 100 * kMiB, .resident = 0}};
};

TEST_F(ReceiveBudgetTest, WhatHandlersGotIsNotHeld) {
  Open(1, 5'000 * kMiB, 4'950 * kMiB);
  Open(2, 50 * kMiB);
  EXPECT_EQ(budget_.held(Peer(1)), 50 * kMiB);
  EXPECT_EQ(budget_.held(), 100 * kMiB);
  EXPECT_THAT(Close(), IsEmpty()) << "at the budget, not over it";
  budget_.Arrived(Peer(2), 50 * kMiB + 1);
  EXPECT_THAT(Close(), ElementsAre(2));
}

TEST_F(ReceiveBudgetTest, ADeliveryThatIsSaidBeforeItsArrivalIsNotLost) {
  Open(1, 10);
  budget_.Delivered(Peer(1), 1'000);
  EXPECT_EQ(budget_.held(Peer(1)), 0U);
  budget_.Arrived(Peer(1), 1'010);
  EXPECT_EQ(budget_.held(Peer(1)), 10U);
}

TEST_F(ReceiveBudgetTest, TheLargestGoUntilHalfIsLeft) {
  Open(1, 30 * kMiB);
  Open(2, 40 * kMiB);
  Open(3, 20 * kMiB);
  Open(4, 15 * kMiB);
  EXPECT_THAT(Close(), ElementsAre(2, 1)) << "35 of 105 MiB are left";
  EXPECT_EQ(budget_.held(), 35 * kMiB);
}

TEST_F(ReceiveBudgetTest, WhatIsLeftBehindCountsUntilItIsFreed) {
  Open(1, 101 * kMiB);
  EXPECT_FALSE(budget_.full());
  EXPECT_THAT(Close(), ElementsAre(1));
  EXPECT_TRUE(budget_.full());
  Open(2, 6 * kMiB);  // more than a message
  Open(3, 4 * kMiB);
  EXPECT_THAT(Close(), ElementsAre(2));
  budget_.Freed(57 * kMiB);
  EXPECT_FALSE(budget_.full()) << "50 MiB are left, half of the budget";
  Open(4, 6 * kMiB);
  EXPECT_THAT(Close(), IsEmpty());
  budget_.Freed(1'000 * kMiB);
  EXPECT_FALSE(budget_.full());
  EXPECT_EQ(budget_.held(), 10 * kMiB);
}

// What its client ended, too: gRPC does not free it any sooner.
TEST_F(ReceiveBudgetTest, WhoSendsAndLeavesAgainAndAgainIsNoWayAround) {
  for (std::uint16_t port = 1; port <= 10; ++port) {
    Open(port, 12 * kMiB);
    EXPECT_EQ(budget_.Ended(Peer(port)), 12 * kMiB);
    EXPECT_EQ(budget_.Ended(Peer(port)), 0U);
  }
  EXPECT_TRUE(budget_.full());
  Open(11, 12 * kMiB);
  Open(12, kMiB);
  EXPECT_THAT(Close(), ElementsAre(11));
}

TEST_F(ReceiveBudgetTest, ManySmallOnesAreBoundedToo) {
  for (std::uint16_t port = 1; port <= 200; ++port) Open(port, kMiB);
  EXPECT_EQ(Close().size(), 150U);
  EXPECT_EQ(budget_.held(), 50 * kMiB);
}

TEST_F(ReceiveBudgetTest, WhatIsSaidOfOthersIsIgnored) {
  budget_.Arrived(Peer(1), 1'000 * kMiB);
  budget_.Delivered(Peer(1), 7);
  EXPECT_EQ(budget_.Ended(Peer(1)), 0U);
  budget_.Freed(5);
  EXPECT_EQ(budget_.held(), 0U);
  EXPECT_THAT(Close(), IsEmpty());
  Open(1, 9);
  EXPECT_EQ(budget_.held(Peer(1)), 9U) << "a new connection from the port of an old one begins at nothing";
}

TEST(ParsePeerTest, AsGrpcWritesIt) {
  EXPECT_EQ(ParsePeer("ipv4:192.0.2.1:50000"), (PeerPort{IpAddress::Parse("192.0.2.1").value(), 50'000}));
  EXPECT_EQ(ParsePeer("ipv6:%5B2001:db8::1%5D:7"), (PeerPort{IpAddress::Parse("2001:db8::1").value(), 7}));
  EXPECT_EQ(ParsePeer("ipv6:%5Bfe80::1%25eth0%5D:7"), (PeerPort{IpAddress::Parse("fe80::1").value(), 7}));
  EXPECT_EQ(ParsePeer("ipv6:%5B::ffff:192.0.2.1%5D:7"), (PeerPort{IpAddress::Parse("192.0.2.1").value(), 7}));
  for (const char* bad : {"", "unix:/run/x", "ipv4:", "ipv4:192.0.2.1", "ipv4:192.0.2.1:", "ipv4:192.0.2.1:65536",
                          "ipv4:192.0.2.1:7x", "ipv4:192.0.2:7", "ipv6:2001:db8::1:7", "ipv6:%5B%5D:7", "ipv6:%5:7"}) {
    EXPECT_EQ(ParsePeer(bad), std::nullopt) << bad;
  }
}

TEST(ResidentBytesTest, FollowWhatTheProcessHolds) {
  const std::size_t before = ResidentBytes();
  EXPECT_GT(before, 0U);
  const std::string more(std::size_t{64} << 20, 'x');
  EXPECT_GT(ResidentBytes(), before + more.size() / 2);
}

TEST(BytesReceivedTest, OfWhatIsNoTcpSocketNothingIsKnown) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  const FileDescriptor one(pair[0]), other(pair[1]);
  EXPECT_EQ(BytesReceived(one.get()), 0U);
  EXPECT_EQ(BytesReceived(-1), 0U);
}

}  // namespace
}  // namespace virp::service
