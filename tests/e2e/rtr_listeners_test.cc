// Who may come in, how, and what they are told before they go: listeners of the bridge as it is run.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/stat.h>

#include <fstream>

#include "lib/base/tcp.h"
#include "tests/e2e/rtr_raw_router.h"
#include "tests/testutil/rtr_lab.h"
#include "tests/testutil/status_matchers.h"

namespace virp::rtr {
namespace {

using testing::Hex;
using testutil::Eventually;

// From an address of the loopback; 20 s for whatever it waits for.
FileDescriptor SocketAt(const std::string& address) {
  FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in own{};
  own.sin_family = AF_INET;
  ::inet_pton(AF_INET, address.c_str(), &own.sin_addr);
  EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&own), sizeof(own)), 0);
  const timeval patience{20, 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  return socket;
}
bool Connect(const FileDescriptor& socket, int port) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0;
}

class RtrListeners : public ::testing::Test {
 protected:
  static constexpr const char* kTable = R"({"roas": [{"prefix": "192.0.2.0/24", "asn": 64500}]})";

  void Start(const std::vector<std::string>& more) {
    lab_.WriteText(kTable);
    ASSERT_OK(lab_.Start(more));
  }
  // Beside the lab's own, one with these members.
  void StartWith(const std::string& members) {
    std::ofstream(lab_.File("listeners.json"))
        << fmt::format(R"({{"listeners": [{{"transport": "tcp", "address": "{}", {}}}]}})", port_.address(), members);
    Start({"--listeners", lab_.File("listeners.json")});
  }
  RawRouter From(const std::string& address) const {
    FileDescriptor socket = SocketAt(address);
    EXPECT_TRUE(Connect(socket, port_.port()));
    return RawRouter(std::move(socket));
  }
  static bool IsTable(const std::vector<std::string>& answer) { return answer.size() == 3; }

  testutil::RtrLab lab_;
  testutil::ReservedPort port_;
};

TEST_F(RtrListeners, VersionsAreLimitedByListenerAndByPeer) {
  StartWith(R"("max_version": 1, "peers": [{"peers": "127.0.0.2", "max_version": 0},
                                           {"peers": "127.0.0.4/30", "min_version": 1}])");
  RawRouter any = From("127.0.0.1"), old = From("127.0.0.2"), young = From("127.0.0.5");
  EXPECT_EQ(ErrorOf(any.Ask(ResetQuery(2))), Error(1, 4, ResetQuery(2)));
  EXPECT_TRUE(IsTable(any.Ask(ResetQuery(1))));
  EXPECT_EQ(ErrorOf(old.Ask(ResetQuery(1))), Error(0, 4, ResetQuery(1)));
  EXPECT_TRUE(IsTable(old.Ask(ResetQuery(0))));
  EXPECT_EQ(ErrorOf(young.Ask(ResetQuery(0))), Error(1, 4, ResetQuery(0)));
  EXPECT_TRUE(young.Closed());
  EXPECT_TRUE(IsTable(From("127.0.0.6").Ask(ResetQuery(1))));
  EXPECT_TRUE(IsTable(RawRouter(lab_.tcp_port()).Ask(ResetQuery(2)))) << "the other listener";
}

TEST_F(RtrListeners, WhoIsNotListedIsClosedBeforeAnything) {
  StartWith(R"("allow": ["127.0.0.8/29"])");
  EXPECT_TRUE(From("127.0.0.1").Closed());
  EXPECT_TRUE(IsTable(From("127.0.0.9").Ask(ResetQuery(1))));
  EXPECT_EQ(lab_.Metric("virp_rtr_bridge_door_total{result=\"not_allowed\"}"), 1);
}

TEST_F(RtrListeners, TcpMd5LetsOnlyTheKeyHolderIn) {
  const IpAddress bridge = IpAddress::V4(INADDR_LOOPBACK);
  const FileDescriptor keyed = SocketAt("127.0.0.2"), wrong = SocketAt("127.0.0.2"), without = SocketAt("127.0.0.2");
  const absl::Status set = SetMd5Key(keyed.get(), bridge, "correct horse");
  if (!set.ok()) GTEST_SKIP() << set;
  ASSERT_OK(SetMd5Key(wrong.get(), bridge, "another horse"));
  std::ofstream(lab_.File("md5")) << "correct horse\n";
  ::chmod(lab_.File("md5").c_str(), 0600);
  StartWith(fmt::format(R"("keys_required": true, "peers": [{{"peers": "127.0.0.2", "md5_key_file": "{}"}}])",
                        lab_.File("md5")));
  // Their SYNs are dropped, and come again and again.
  for (const FileDescriptor* socket : {&wrong, &without}) {
    ::fcntl(socket->get(), F_SETFL, O_NONBLOCK);
    EXPECT_FALSE(Connect(*socket, port_.port()));
  }
  ASSERT_TRUE(Connect(keyed, port_.port()));
  RawRouter router{FileDescriptor(::dup(keyed.get()))};
  EXPECT_TRUE(IsTable(router.Ask(ResetQuery(1))));
  EXPECT_TRUE(From("127.0.0.3").Closed()) << "it has no key, and all need one";
  for (const FileDescriptor* socket : {&wrong, &without}) {
    pollfd connected{socket->get(), POLLOUT, 0};
    EXPECT_EQ(::poll(&connected, 1, 0), 0);
  }
}

TEST_F(RtrListeners, ARoutersCertificateNamesItsAddress) {
  lab_.WriteText(kTable);
  Start({"--rtr-tls-router-certificates", "required", "--rtr-tls-roots", lab_.File("tls.crt")});
  testutil::TlsClient::Options shows;
  shows.roots = shows.certificate = lab_.File("tls.crt");
  shows.private_key = lab_.File("tls.key");
  const auto table = [&](const char* from) -> std::size_t {
    FileDescriptor socket = SocketAt(from);
    EXPECT_TRUE(Connect(socket, ParseHostPort(lab_.tls())->port));
    testutil::TlsClient router(std::move(socket), shows);
    if (!router.ok() || !router.Write(Hex(ResetQuery(1)))) return 0;
    std::string heard;
    for (auto more = router.ReadSome(); more && !more->empty(); more = router.ReadSome()) {
      heard += *more;
      if (heard.size() >= 8 + 20 + 24) break;
    }
    return heard.size();
  };
  EXPECT_EQ(table("127.0.0.1"), 8U + 20 + 24);
  EXPECT_EQ(table("127.0.0.2"), 0U) << "the certificate is of 127.0.0.1";
  EXPECT_TRUE(Eventually([&] { return lab_.Metric("virp_rtr_bridge_handshakes_failed_total") == 1; }));
}

TEST_F(RtrListeners, ANotifyAtOnceAndThenNoneForAWhile) {
  Start({"--notify-interval", "1h"});
  RawRouter router(lab_.tcp_port());
  const auto full = router.Ask(ResetQuery(1));
  ASSERT_TRUE(IsTable(full));
  const auto serve = [&](int generation) {
    lab_.WriteText(fmt::format(R"({{"roas": [{{"prefix": "192.0.2.0/24", "asn": {}}}]}})", generation));
    lab_.Hangup();
    EXPECT_TRUE(Eventually([&] { return lab_.Metric("virp_rtr_bridge_generation") == generation; }));
  };
  serve(2);
  const auto notify = router.Next();
  ASSERT_TRUE(notify.has_value());
  EXPECT_EQ(*notify, Hex(fmt::format("0100 {:04x} 0000000c {:08x}", SessionOf(full), SerialOf(full) + 1)));
  serve(3);
  // The next that it hears is the answer, of the newest.
  router.Send(Hex(SerialQuery(1, SessionOf(full), SerialOf(full))));
  const auto next = router.Next();
  ASSERT_TRUE(next.has_value());
  EXPECT_EQ(ReadHeader(*next).type, static_cast<int>(PduType::kCacheResponse));
  EXPECT_EQ(SerialOf(router.Answer()), SerialOf(full) + 2);
}

TEST_F(RtrListeners, RoutersOfVersion2HearWhetherTheBridgeComesBack) {
  for (const bool for_good : {false, true}) {
    Start(for_good ? std::vector<std::string>{"--for-good"} : std::vector<std::string>{});
    RawRouter one(lab_.tcp_port()), two(lab_.tcp_port());
    ASSERT_TRUE(IsTable(one.Ask(ResetQuery(1))));
    ASSERT_TRUE(IsTable(two.Ask(ResetQuery(2))));
    ASSERT_OK(lab_.Stop());
    EXPECT_EQ(ErrorOf(two.Answer()), Error(2, for_good ? 13 : 12, ""));
    EXPECT_TRUE(two.Closed());
    EXPECT_TRUE(one.Closed());
  }
}

}  // namespace
}  // namespace virp::rtr
