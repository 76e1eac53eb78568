// The real RTR bridge and more routers than a real network has, some of which do not behave: the others do not notice.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <deque>
#include <functional>
#include <optional>

#include "lib/base/bytes.h"
#include "lib/base/file.h"
#include "lib/base/ip.h"
#include "lib/base/units.h"
#include "lib/rtr/pdu.h"
#include "tests/interop/rtr_routers.h"
#include "tests/testutil/rtr_lab.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/tls_client.h"
#include "tests/testutil/wait.h"

namespace virp::testutil {
namespace {

constexpr std::size_t kPerAddress = 50;  // the bridge lets 64 of one address in
constexpr int kLittleRoom = 4096;

// As much of a router as this needs: it asks, counts what it hears, and keeps none of it.
struct Peer {
  FileDescriptor socket;
  std::string unread;
  std::uint16_t session = 0;
  std::optional<std::uint32_t> serial, notified;  // of the last End of Data, of the last Serial Notify
  std::size_t resets = 0, errors = 0;
  bool ended = false;

  void Take(std::string_view bytes) {
    unread.append(bytes);
    std::string_view rest = unread;
    while (rest.size() >= rtr::kHeaderSize) {
      const rtr::Header header = rtr::ReadHeader(rest);
      if (header.length > rest.size()) break;
      const auto type = static_cast<rtr::PduType>(header.type);
      if (type == rtr::PduType::kEndOfData || type == rtr::PduType::kSerialNotify) {
        session = header.field;
        (type == rtr::PduType::kEndOfData ? serial : notified) = LoadBe<std::uint32_t>(rest.data() + 8);
      }
      resets += type == rtr::PduType::kCacheReset ? 1 : 0;
      errors += type == rtr::PduType::kErrorReport ? 1 : 0;
      rest.remove_prefix(header.length);
    }
    unread.erase(0, unread.size() - rest.size());
  }
  bool Say(const std::string& pdus) const {
    return ::send(socket.get(), pdus.data(), pdus.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(pdus.size());
  }
  // Up to so many octets, of what is there.
  void Hear(std::size_t most) {
    std::array<char, 65536> bytes;
    const ssize_t got = ::recv(socket.get(), bytes.data(), std::min(most, bytes.size()), MSG_DONTWAIT);
    if (got > 0) return Take({bytes.data(), static_cast<std::size_t>(got)});
    if (got == 0 || (errno != EAGAIN && errno != EINTR)) ended = true;
  }
};

std::string ResetQuery() {
  std::string pdu;
  rtr::AppendResetQuery(pdu, 1);
  return pdu;
}

sockaddr_in AddressOf(std::uint32_t ip, int port) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(static_cast<std::uint16_t>(port));
  at.sin_addr.s_addr = htonl(ip);
  return at;
}

// From 127.0.0.`from`.
FileDescriptor ConnectFrom(unsigned from, int port, int room = 0) {
  FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (room != 0) ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
  const sockaddr_in own = AddressOf(0x7F000000U + from, 0), to = AddressOf(0x7F000001U, port);
  EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&own), sizeof(own)), 0);
  EXPECT_EQ(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)), 0);
  return socket;
}

int PortOf(const std::string& address) {
  return ParseHostPort(address)->port;
}

class RtrFlock : public ::testing::Test {
 protected:
  void SetUp() override {
    rlimit files{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
    ASSERT_GE(files.rlim_max, 4'096U);
    epoll_.Reset(::epoll_create1(EPOLL_CLOEXEC));
  }
  // `count` routers, which all ask for everything.
  void Connect(std::size_t count, const std::function<std::string(std::size_t)>& query) {
    peers_.clear();
    for (std::size_t i = 0; i < count; ++i) {
      Peer& peer = peers_.emplace_back();
      peer.socket = ConnectFrom(static_cast<unsigned>(2 + i / kPerAddress), lab_.tcp_port());
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.ptr = &peer;
      ASSERT_EQ(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, peer.socket.get(), &event), 0);
      ASSERT_TRUE(peer.Say(query(i)));
    }
  }
  // Reads what comes until all are as they should be. `meanwhile` is called between.
  bool Until(const std::function<bool(const Peer&)>& good, const std::function<void()>& meanwhile = nullptr) {
    std::array<epoll_event, 256> events;
    return WaitUntil(std::chrono::seconds(120), [&] {
      const int ready = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 10);
      for (int i = 0; i < ready; ++i) {
        Peer& peer = *static_cast<Peer*>(events[static_cast<std::size_t>(i)].data.ptr);
        peer.Hear(~std::size_t{0});
        if (peer.ended) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, peer.socket.get(), nullptr);
      }
      if (meanwhile) meanwhile();
      return std::all_of(peers_.begin(), peers_.end(), good);
    });
  }
  std::size_t Count(const std::function<bool(const Peer&)>& good) const {
    return static_cast<std::size_t>(std::count_if(peers_.begin(), peers_.end(), good));
  }

  RtrLab lab_;
  FileDescriptor epoll_;
  std::deque<Peer> peers_;
};

TEST_F(RtrFlock, AStuckAndADrippingRouterKeepAThousandOthersFromNothing) {
  lab_.Write(MakeRtrTable(10));
  ASSERT_OK(lab_.Start());
  ASSERT_NO_FATAL_FAILURE(Connect(1'000, [](std::size_t) { return ResetQuery(); }));
  ASSERT_TRUE(Until([](const Peer& peer) { return peer.serial.has_value(); }));
  const std::uint32_t first = *peers_.front().serial;
  lab_.Write(MakeRtrTable(20'000));
  lab_.Hangup();
  ASSERT_TRUE(Until([&](const Peer& peer) { return peer.notified == first + 1; }));

  // More than all buffers on the way hold: answers of half a megabyte each, of which nobody reads any, or an octet now
  // and then.
  std::string many;
  for (int i = 0; i < 100; ++i) many += ResetQuery();
  Peer stuck, dripping;
  for (Peer* peer : {&stuck, &dripping}) {
    peer->socket = ConnectFrom(1, lab_.tcp_port(), kLittleRoom);
    ASSERT_TRUE(peer->Say(many));
  }
  double sent = -1;
  ASSERT_TRUE(Eventually([&] {
    const double now = lab_.Metric("virp_rtr_bridge_bytes_total{direction=\"sent\"}");
    return std::exchange(sent, now) == now && now > 1e6;
  })) << "they never got stuck";

  lab_.Write(MakeRtrTable(20'001));
  lab_.Hangup();
  EXPECT_TRUE(Until([&](const Peer& peer) { return peer.notified == first + 2; }, [&] { dripping.Hear(1); }))
      << Count([&](const Peer& peer) { return peer.notified == first + 2; }) << " of 1,000 were notified";
  // That was while the two were in the middle of what was served before, and they are still.
  EXPECT_FALSE(dripping.ended);
  EXPECT_FALSE(dripping.serial.has_value());
  EXPECT_TRUE(Eventually([&] {
    stuck.Hear(~std::size_t{0});
    return stuck.serial.has_value() || stuck.ended;
  }));
  EXPECT_EQ(stuck.serial, first + 1);
  EXPECT_EQ(Count([](const Peer& peer) { return peer.ended || peer.errors > 0; }), 0U);
}

TEST_F(RtrFlock, SilentPeersOfEveryTransportBlockNobody) {
  const RtrTable table = MakeRtrTable(400);
  lab_.Write(table);
  ASSERT_OK(lab_.Start());
  const std::array<int, 3> ports{lab_.tcp_port(), PortOf(lab_.tls()), lab_.ssh_port()};
  std::vector<FileDescriptor> silent;
  for (const int port : ports) {
    // Those that say nothing, and those that stop within their first words.
    for (int i = 0; i < 12; ++i) silent.push_back(ConnectFrom(2, port));
    for (const std::string_view words : {std::string_view("\x01"), std::string_view("\x16\x03\x01\x02\x00\x01", 6),
                                         std::string_view("SSH-2.0-virp\r\n")}) {
      silent.push_back(ConnectFrom(2, port));
      ASSERT_EQ(::send(silent.back().get(), words.data(), words.size(), MSG_NOSIGNAL),
                static_cast<ssize_t>(words.size()));
    }
  }
  Peer tcp;
  tcp.socket = ConnectFrom(3, lab_.tcp_port());
  ASSERT_TRUE(tcp.Say(ResetQuery()));
  EXPECT_TRUE(Eventually([&] {
    tcp.Hear(~std::size_t{0});
    return tcp.serial.has_value();
  }));
  TlsClient::Options trusts;
  trusts.roots = lab_.File("tls.crt");
  TlsClient tls(ConnectFrom(3, ports[1]), trusts);
  ASSERT_TRUE(tls.ok()) << tls.error();
  ASSERT_TRUE(tls.Write(ResetQuery()));
  Peer behind_tls;
  while (!behind_tls.serial) {
    const auto more = tls.ReadSome();
    ASSERT_TRUE(more.has_value()) << "the bridge closed";
    behind_tls.Take(*more);
  }
  EXPECT_EQ(behind_tls.serial, tcp.serial);
  EXPECT_EQ(RtrClientTable("ssh 127.0.0.1 " + std::to_string(lab_.ssh_port()) + " rpki " + lab_.client_key() + " " +
                           lab_.known_hosts()),
            table);
  // All of that while most of the silent ones were there: nobody had to wait for their time to be over.
  const auto open = std::count_if(silent.begin(), silent.end(), [](const FileDescriptor& socket) {
    char byte = 0;
    return ::recv(socket.get(), &byte, 1, MSG_DONTWAIT | MSG_PEEK) != 0;
  });
  EXPECT_GE(open, 30);
}

TEST_F(RtrFlock, TwoThousandRoutersThatComeBackAtOnceAllComplete) {
  lab_.Write(MakeRtrTable(500));
  ASSERT_OK(lab_.Start());
  ASSERT_NO_FATAL_FAILURE(Connect(2'000, [](std::size_t) { return ResetQuery(); }));
  ASSERT_TRUE(Until([](const Peer& peer) { return peer.serial.has_value(); }));
  const std::uint16_t session = peers_.front().session;
  const std::uint32_t serial = *peers_.front().serial;
  lab_.Kill();
  ASSERT_TRUE(Until([](const Peer& peer) { return peer.ended; }));
  lab_.Write(MakeRtrTable(501));
  ASSERT_OK(lab_.Start());
  // Every other one has nothing any more.
  std::string incremental;
  rtr::AppendSerialQuery(incremental, 1, session, serial);
  ASSERT_NO_FATAL_FAILURE(Connect(2'000, [&](std::size_t i) { return i % 2 == 0 ? incremental : ResetQuery(); }));
  EXPECT_TRUE(Until([](const Peer& peer) { return peer.serial.has_value() || peer.resets > 0 || peer.ended; }));
  EXPECT_EQ(Count([](const Peer& peer) { return peer.ended; }), 0U);
  // Those with data of before went on with them, or were told to ask for all, which they then get.
  for (Peer& peer : peers_) {
    if (peer.resets > 0) ASSERT_TRUE(peer.Say(ResetQuery()));
  }
  EXPECT_TRUE(Until([](const Peer& peer) { return peer.serial.has_value(); }))
      << Count([](const Peer& peer) { return peer.serial.has_value(); }) << " of 2,000 have a table";
  EXPECT_EQ(Count([](const Peer& peer) { return peer.errors > 0; }), 0U);
  EXPECT_EQ(lab_.Metric("virp_rtr_bridge_routers{listener=\"" + lab_.tcp() + "\"}"), 2'000);
}

}  // namespace
}  // namespace virp::testutil
