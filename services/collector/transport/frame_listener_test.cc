// Signed frames over real sockets: who is let in, that frames arrive byte for byte however they were split, TLS.
#include "services/collector/transport/frame_listener.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <csignal>
#include <functional>
#include <thread>

#include "lib/deliver/outbox_fixture.h"
#include "tests/testutil/test_pki.h"
#include "tests/testutil/tls_client.h"
#include "tests/testutil/wait.h"

namespace virp::collector {
namespace {

using namespace std::chrono_literals;
using deliver::testing::MakeFrame;
using frame::Spelling;
using service::Role;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using testutil::ClosedByPeer;
using testutil::ConnectTo;
using testutil::Eventually;
using testutil::TlsClient;

void Send(const FileDescriptor& socket, std::string_view bytes) {
  EXPECT_EQ(::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
}

class FrameListenerTest : public deliver::testing::OutboxTest {
 protected:
  FrameListenerTest() {
    std::signal(SIGPIPE, SIG_IGN);
    EXPECT_OK(Open({&runs_}));
    options_.listen = "127.0.0.1:0";
    options_.source = "edge-a.bgpd";
    options_.spelling = Spelling::kV2;
  }
  ~FrameListenerTest() override { listener_.reset(); }

  absl::Status Up(ConnectionCaps caps = {}, const ListenerTls* tls = nullptr) {
    liveness_.Add(options_.source, Path::kFrames, false);
    for (const auto& [id, source] : options_.producers) liveness_.Add(source, Path::kFrames, false);
    intake_ = std::make_unique<FrameIntake>(options_, *outbox_, runs_, liveness_, keys_, clock_);
    ASSIGN_OR_RETURN(listener_, FrameListener::Start(*intake_, *outbox_, liveness_, clock_, tls, caps));
    return absl::OkStatus();
  }
  FileDescriptor Connect() const { return ConnectTo(listener_->port()); }
  std::string Next(Spelling spelling = Spelling::kV2) {
    return MakeFrame({.spelling = spelling, .sequence = ++sequence_, .time = clock_.NowNanos()});
  }
  bool Taken(std::uint64_t frames) const {
    return Eventually([&] { return listener_->counters().frames == frames; });
  }
  bool Connected(std::string_view source) const {
    for (const SourceLiveness& at : liveness_.Sources()) {
      if (at.source == source) return at.connected;
    }
    return false;
  }
  ListenerTls Tls(testutil::TestPki& pki, const std::string& deny_file = "") {
    security_ = pki.MakeSecurity({}, deny_file);
    return {pki.Files(Role::kCollector), security_.callers, 20s, 10ms};
  }
  static TlsClient::Options As(testutil::TestPki& pki, Role role, std::string_view name = "test") {
    const service::TlsFiles files = pki.Files(role, name);
    return {files.roots, files.certificate, files.private_key, 0};
  }

  FrameListenerOptions options_;
  RunBook runs_;
  Liveness liveness_{clock_};
  std::uint64_t sequence_ = 0;
  service::Security security_;
  std::unique_ptr<FrameIntake> intake_;
  std::unique_ptr<FrameListener> listener_;
};

TEST_F(FrameListenerTest, FramesAreRelayedByteForByteHoweverTheyAreSplit) {
  ASSERT_OK(Up());
  std::vector<std::string> sent;
  std::string stream;
  for (int i = 0; i < 5; ++i) stream += sent.emplace_back(Next());
  const FileDescriptor client = Connect();
  for (std::size_t at = 0; at < stream.size(); at += 7) Send(client, std::string_view(stream).substr(at, 7));
  ASSERT_TRUE(Taken(5));
  std::vector<std::string> got;
  for (const auto& frame : Spooled()) got.push_back(frame.bytes);
  EXPECT_THAT(got, ElementsAreArray(sent));
}

TEST_F(FrameListenerTest, FramesAreDurableSoonAfterTheyCame) {
  ASSERT_OK(Up());
  const FileDescriptor client = Connect();
  Send(client, Next());
  EXPECT_TRUE(Eventually([&] { return outbox_->spool().stats().durable == 1; }));  // nobody asked for a sync
}

TEST_F(FrameListenerTest, ASourceIsConnectedFromItsFirstFrameToItsLastConnection) {
  ASSERT_OK(Up());
  FileDescriptor one = Connect();
  ASSERT_TRUE(Eventually([&] { return listener_->connections() == 1; }));
  EXPECT_FALSE(Connected("edge-a.bgpd")) << "nobody has shown a key yet";
  Send(one, Next());
  ASSERT_TRUE(Taken(1));
  FileDescriptor two = Connect();
  Send(two, Next());
  ASSERT_TRUE(Taken(2));
  EXPECT_TRUE(Connected("edge-a.bgpd"));
  one.Reset();
  ASSERT_TRUE(Eventually([&] { return listener_->connections() == 1; }));
  EXPECT_TRUE(Connected("edge-a.bgpd"));
  two.Reset();
  EXPECT_TRUE(Eventually([&] { return !Connected("edge-a.bgpd"); }));
}

TEST_F(FrameListenerTest, EachProducerOfAListenerHasItsOwnLiveness) {
  options_.spelling = Spelling::kV1Producer;
  options_.source = "edge-a.bgpd";
  options_.producers = {{1, "edge-a.bgpd"}, {2, "edge-b.bgpd"}};
  ASSERT_OK(Up());
  FileDescriptor client = Connect();
  for (const std::uint32_t id : {1U, 2U}) {
    Send(client, MakeFrame({.spelling = Spelling::kV1Producer,
                            .source = id == 1 ? "edge-a.bgpd" : "edge-b.bgpd",
                            .time = clock_.NowNanos(),
                            .producer_id = id}));
  }
  ASSERT_TRUE(Taken(2));
  EXPECT_TRUE(Connected("edge-a.bgpd"));
  EXPECT_TRUE(Connected("edge-b.bgpd"));
  client.Reset();
  EXPECT_TRUE(Eventually([&] { return !Connected("edge-a.bgpd") && !Connected("edge-b.bgpd"); }));
}

TEST_F(FrameListenerTest, AVersion1SourceHasOneConnectionAtATime) {
  options_.spelling = Spelling::kV1Le;
  ASSERT_OK(Up());
  FileDescriptor first = Connect();
  Send(first, Next(Spelling::kV1Le));
  ASSERT_TRUE(Taken(1));
  EXPECT_TRUE(ClosedByPeer(Connect().get()));
  EXPECT_EQ(listener_->counters().refused, 1);
  first.Reset();
  ASSERT_TRUE(Eventually([&] { return listener_->connections() == 0; }));
  const FileDescriptor second = Connect();
  Send(second, Next(Spelling::kV1Le));
  EXPECT_TRUE(Taken(2));
}

TEST_F(FrameListenerTest, AVersion1ProducerMayBeBackAtOnce) {
  options_.spelling = Spelling::kV1Le;
  ASSERT_OK(Up());
  constexpr std::uint64_t kTimes = 100;
  for (std::uint64_t i = 0; i < kTimes; i += 2) {
    Send(Connect(), Next(Spelling::kV1Le));
    Send(Connect(), Next(Spelling::kV1Le));
    ASSERT_TRUE(Taken(i + 2)) << listener_->counters().frames;
  }
  EXPECT_EQ(listener_->counters().refused, 0);
  EXPECT_EQ(listener_->counters().ended_by_error, 0);
  const auto numbers = Numbers(Spooled(), "edge-a.bgpd");
  EXPECT_TRUE(std::is_sorted(numbers.begin(), numbers.end())) << "what was sent first is spooled first";
}

TEST_F(FrameListenerTest, WhoeverOnlyConnectsKeepsNoVersion1ProducerOut) {
  options_.spelling = Spelling::kV1Le;
  ASSERT_OK(Up());
  const std::string heard = Next(Spelling::kV1Le);
  FileDescriptor before = Connect();
  Send(before, heard);
  ASSERT_TRUE(Taken(1));
  before.Reset();
  ASSERT_TRUE(Eventually([&] { return !Connected("edge-a.bgpd"); }));
  const FileDescriptor silent = Connect();
  const FileDescriptor recording = Connect();
  Send(recording, heard);
  ASSERT_TRUE(Eventually([&] { return listener_->counters().duplicates == 1; }));
  EXPECT_FALSE(Connected("edge-a.bgpd")) << "a recording is no sign of life";
  const FileDescriptor producer = Connect();
  Send(producer, Next(Spelling::kV1Le));
  EXPECT_TRUE(Taken(2));
  EXPECT_TRUE(Connected("edge-a.bgpd"));
  Send(silent, Next(Spelling::kV1Le));
  EXPECT_TRUE(ClosedByPeer(silent.get()));
  EXPECT_EQ(listener_->counters().ended_by.count("SECOND_CONNECTION"), 1);
}

TEST_F(FrameListenerTest, WithoutTheKeyNothingIsRelayed) {
  keys_.Remove("edge-a.bgpd", 1);
  for (const auto spelling :
       {std::optional(Spelling::kV2), std::optional(Spelling::kV1Le), std::optional<Spelling>()}) {
    options_.spelling = spelling;
    ASSERT_OK(Up());
    const FileDescriptor client = Connect();
    Send(client, Next(spelling.value_or(Spelling::kV1Be)));
    EXPECT_TRUE(ClosedByPeer(client.get()));
    EXPECT_TRUE(Eventually([&] { return listener_->counters().ended_by.count("KEY_VERSION_UNKNOWN") == 1; }));
    listener_.reset();
  }
  EXPECT_TRUE(Spooled().empty());
  EXPECT_EQ(outbox_->position("edge-a.bgpd").epoch, 0U);
}

TEST_F(FrameListenerTest, ARecordingOfVersion2MovesNothingAndIsNoSignOfLife) {
  ASSERT_OK(Up());
  std::vector<std::string> heard;
  {
    const FileDescriptor producer = Connect();
    for (int i = 0; i < 5; ++i) Send(producer, heard.emplace_back(Next()));
    ASSERT_TRUE(Taken(5));
  }
  ASSERT_TRUE(Eventually([&] { return !Connected("edge-a.bgpd"); }));
  const FileDescriptor recording = Connect();
  for (const std::string& frame : heard) Send(recording, frame);
  ASSERT_TRUE(Taken(10)) << "the O-Node answers them as duplicates";
  EXPECT_FALSE(Connected("edge-a.bgpd"));
  EXPECT_EQ(outbox_->position("edge-a.bgpd").last_sequence, 5U);
}

TEST_F(FrameListenerTest, BeatsDoNotStateAnEpochThatIsFarAhead) {
  ASSERT_OK(Up());
  const FileDescriptor producer = Connect();
  const std::uint64_t now = clock_.NowNanos();
  Send(producer, MakeFrame({.spelling = Spelling::kV2, .sequence = 1, .time = now, .epoch = now}));
  Send(producer, MakeFrame({.spelling = Spelling::kV2, .sequence = 1, .time = now, .epoch = now + 61'000'000'000}));
  ASSERT_TRUE(Taken(2)) << "held until the O-Node's clock is there, or an operator decides";
  EXPECT_EQ(outbox_->position("edge-a.bgpd").epoch, now);
  Send(producer, MakeFrame({.spelling = Spelling::kV2, .sequence = 2, .time = now, .epoch = now}));
  ASSERT_TRUE(Taken(3));
  EXPECT_EQ(outbox_->position("edge-a.bgpd").last_sequence, 2U);
}

TEST_F(FrameListenerTest, AForgedFrameEndsItsConnectionAndLeavesOthersAlone) {
  ASSERT_OK(Up());
  const FileDescriptor honest = Connect();
  Send(honest, Next());
  ASSERT_TRUE(Taken(1));
  const FileDescriptor liar = Connect();
  Send(liar, MakeFrame({.spelling = Spelling::kV2, .sequence = 99, .time = clock_.NowNanos(), .wrong_key = true}));
  EXPECT_TRUE(ClosedByPeer(liar.get()));
  const FileDescriptor garbage = Connect();
  Send(garbage, "GET / HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(ClosedByPeer(garbage.get()));
  EXPECT_TRUE(Eventually([&] { return listener_->counters().ended_by_error == 2; }));
  EXPECT_EQ(listener_->counters().ended_by.count("BAD_TAG"), 1);
  EXPECT_EQ(listener_->counters().ended_by.count("MALFORMED"), 1);
  Send(honest, Next());
  EXPECT_TRUE(Taken(2));
  EXPECT_THAT(Numbers(Spooled(), "edge-a.bgpd"), ElementsAre(1, 2));
}

TEST_F(FrameListenerTest, OnlyListedAddressesMayConnect) {
  options_.allow = {"192.0.2.7"};
  ASSERT_OK(Up());
  EXPECT_TRUE(ClosedByPeer(Connect().get()));
  EXPECT_EQ(listener_->counters().refused, 1);
  EXPECT_EQ(listener_->counters().accepted, 0);
}

TEST_F(FrameListenerTest, ConnectionsBeyondTheCapsAreClosedAtOnce) {
  ASSERT_OK(Up({.all = 1'000, .per_address = 3}));
  std::vector<FileDescriptor> held;
  for (int i = 0; i < 3; ++i) held.push_back(Connect());
  ASSERT_TRUE(Eventually([&] { return listener_->connections() == 3; }));
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(ClosedByPeer(Connect().get()));
  EXPECT_EQ(listener_->connections(), 3);
  Send(held[0], Next());
  EXPECT_TRUE(Taken(1));
  held[1].Reset();
  ASSERT_TRUE(Eventually([&] { return listener_->connections() == 2; }));
  const FileDescriptor next = Connect();
  Send(next, Next());
  EXPECT_TRUE(Taken(2));
}

TEST_F(FrameListenerTest, UnixSocketIsForItsGroupAndReplacesAStaleOne) {
  options_.listen = "unix:" + folder_.File("frames.sock");
  ASSERT_OK(Up());
  struct stat info{};
  ASSERT_EQ(::stat(folder_.File("frames.sock").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0660U);
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  folder_.File("frames.sock").copy(at.sun_path, sizeof(at.sun_path) - 1);
  const FileDescriptor client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::connect(client.get(), reinterpret_cast<const sockaddr*>(&at), sizeof(at)), 0);
  Send(client, Next());
  EXPECT_TRUE(Taken(1));
}

TEST_F(FrameListenerTest, WrongAddressesAreRefused) {
  for (const char* bad : {"unix:", "localhost:1", "127.0.0.1", "127.0.0.1:70000", ""}) {
    options_.listen = bad;
    EXPECT_FALSE(Up().ok()) << bad;
  }
  options_.listen = "127.0.0.1:0";
  options_.tls = true;
  EXPECT_THAT(Up(), testutil::StatusIs(absl::StatusCode::kInvalidArgument)) << "TLS without a certificate";
}

TEST_F(FrameListenerTest, FramesWithinTls) {
  testutil::TestPki pki;
  options_.tls = true;
  options_.clients = {pki.Id(Role::kProducer, "edge-a")};
  const ListenerTls tls = Tls(pki);
  ASSERT_OK(Up({}, &tls));
  TlsClient client(Connect(), As(pki, Role::kProducer, "edge-a"));
  ASSERT_TRUE(client.ok()) << client.error();
  const std::string one = Next();
  const std::string two = Next();
  // Records need not end where frames end.
  EXPECT_TRUE(client.Write(one.substr(0, 10)));
  EXPECT_TRUE(client.Write(one.substr(10) + two.substr(0, 1)));
  EXPECT_TRUE(client.Write(two.substr(1)));
  ASSERT_TRUE(Taken(2));
  EXPECT_THAT(Numbers(Spooled(), "edge-a.bgpd"), ElementsAre(1, 2));
}

TEST_F(FrameListenerTest, TlsIsForListedClientsOnly) {
  testutil::TestPki pki;
  testutil::TestPki stranger;
  options_.tls = true;
  options_.clients = {pki.Id(Role::kProducer, "edge-a")};
  const ListenerTls tls = Tls(pki);
  ASSERT_OK(Up({}, &tls));
  TlsClient::Options foreign = As(pki, Role::kProducer, "edge-a");
  const service::TlsFiles files = stranger.Files(Role::kProducer, "edge-a");
  foreign.certificate = files.certificate;
  foreign.private_key = files.private_key;
  TlsClient::Options none = As(pki, Role::kProducer, "edge-a");
  none.certificate.clear();
  std::uint64_t refused = 0;
  for (const auto& options : {foreign, none, As(pki, Role::kProducer, "edge-b")}) {
    TlsClient client(Connect(), options);
    EXPECT_TRUE(ClosedByPeer(client.socket()));
    ++refused;
    EXPECT_TRUE(Eventually([&] { return listener_->counters().refused_by_tls == refused; }));
  }
  const FileDescriptor plain = Connect();
  Send(plain, Next());
  EXPECT_TRUE(ClosedByPeer(plain.get()));
  EXPECT_EQ(listener_->counters().frames, 0);
}

TEST_F(FrameListenerTest, ADeniedClientLosesItsOpenConnection) {
  testutil::TestPki pki;
  ASSERT_OK(ReplaceFile(folder_.File("deny"), "# nobody\n"));
  options_.tls = true;
  options_.clients = {pki.Id(Role::kProducer, "edge-a")};
  const ListenerTls tls = Tls(pki, folder_.File("deny"));
  ASSERT_OK(Up({}, &tls));
  TlsClient client(Connect(), As(pki, Role::kProducer, "edge-a"));
  EXPECT_TRUE(client.Write(Next()));
  ASSERT_TRUE(Taken(1));
  ASSERT_OK(ReplaceFile(folder_.File("deny"), "id " + options_.clients[0] + "\n"));
  ASSERT_OK(security_.denied->Poll());
  EXPECT_TRUE(ClosedByPeer(client.socket()));
}

TEST_F(FrameListenerTest, StrangersInAHandshakeDoNotTakeTheTurnOfAVersion1Source) {
  testutil::TestPki pki;
  options_.tls = true;
  options_.spelling = Spelling::kV1Le;
  ListenerTls tls = Tls(pki);
  tls.handshake_timeout = 300ms;
  ASSERT_OK(Up({}, &tls));
  const FileDescriptor silent = Connect();
  ASSERT_TRUE(Eventually([&] { return listener_->connections() == 1; }));
  TlsClient::Options anonymous = As(pki, Role::kProducer);
  anonymous.certificate.clear();  // no clients are listed, so no certificate is asked for
  TlsClient client(Connect(), anonymous);
  ASSERT_TRUE(client.ok()) << client.error();
  EXPECT_TRUE(client.Write(Next(Spelling::kV1Le)));
  EXPECT_TRUE(Taken(1));
  EXPECT_TRUE(ClosedByPeer(silent.get())) << "a handshake takes no longer than it may";
  TlsClient second(Connect(), anonymous);
  EXPECT_TRUE(ClosedByPeer(second.socket())) << "its source has its connection";
  EXPECT_EQ(listener_->counters().refused_by_tls, 1);
  EXPECT_EQ(listener_->counters().refused_by.count("SECOND_CONNECTION"), 1);
}

TEST_F(FrameListenerTest, EndsWhileConnectionsAreOpen) {
  testutil::TestPki pki;
  options_.tls = true;
  const ListenerTls tls = Tls(pki);
  ASSERT_OK(Up({}, &tls));
  const FileDescriptor handshaking = Connect();
  TlsClient::Options anonymous = As(pki, Role::kProducer);
  anonymous.certificate.clear();
  TlsClient client(Connect(), anonymous);
  ASSERT_TRUE(Eventually([&] { return listener_->connections() == 2; }));
  const auto begin = std::chrono::steady_clock::now();
  listener_.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
  EXPECT_TRUE(ClosedByPeer(handshaking.get()));
}

}  // namespace
}  // namespace virp::collector
