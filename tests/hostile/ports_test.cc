// Bad input on every port of the two programs: a counter and a reason each, no crash, bounded memory, good producers
// undisturbed.
#include <grp.h>
#include <grpcpp/generic/generic_stub.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <random>

#include "lib/base/bytes.h"
#include "lib/chain/entry.h"
#include "lib/deliver/grpc_connection.h"
#include "tests/hostile/ports_fixture.h"
#include "tests/testutil/metrics_doc.h"
#include "tests/testutil/tls_client.h"
#include "virp/verify/v1/verify_service.grpc.pb.h"

namespace virp::hostile {

ServiceLab* PortsTest::lab_ = nullptr;
FrameMaker* PortsTest::frames_ = nullptr;
std::shared_ptr<grpc::Channel>* PortsTest::operator_ = nullptr;

namespace {

using service::Role;
using ::testing::HasSubstr;

std::string Garbage(std::size_t size) {
  std::mt19937 random(7);
  std::string out(size, '\0');
  for (char& byte : out) byte = static_cast<char>(random());
  return out;
}

int PortOf(const std::string& address) {
  return std::stoi(address.substr(address.rfind(':') + 1));
}

std::string Flipped(std::string bytes, std::size_t at) {
  bytes[at] = static_cast<char>(bytes[at] ^ 1);
  return bytes;
}

// A version 1 frame (v1-le) of the lab's daemon.
std::string DaemonFrame(ServiceLab& lab, std::uint64_t sequence, UnixNanos time, bool forged = false) {
  frame::Header header;
  header.spelling = frame::Spelling::kV1Le;
  header.type = frame::Type::kPeerStatusChanged;
  header.timestamp = time;
  header.sequence = sequence;
  const auto key = forged ? frame::OKey::Hmac(std::string(32, 'f')).value() : lab.keys().Find(ServiceLab::kDaemon, 1);
  return frame::EncodeSigned(header, kNeighborUp, *key).value();
}

TEST_F(PortsTest, MetricsServedAreThoseOfTheDocs) {
  const std::string page = std::string(VIRP_SOURCE_DIR) + "/docs/metrics.md";
  EXPECT_THAT(testutil::MetricDocDifferences(Get(lab_->onode_admin(), "/metrics"), "onode", page),
              ::testing::IsEmpty());
  EXPECT_THAT(testutil::MetricDocDifferences(Get(lab_->collector_admin(), "/metrics"), "collector", page),
              ::testing::IsEmpty());
}

// ---- signed frames ----

class FramePortsTest : public PortsTest {
 protected:
  struct Bad {
    const char* what;
    std::string bytes;
    const char* reason;
    bool then_close = false;  // the end of the stream is what is wrong
  };
  // Of version 2, for the TCP ports.
  static std::vector<Bad> BadFrames() {
    FrameMaker maker(ServiceLab::kNative, lab_->keys().Find(ServiceLab::kNative, 1));
    const std::string good = maker.Next(kNeighborUp);
    std::string oversize = good.substr(0, 64);
    for (std::size_t i = 24; i < 28; ++i) oversize[i] = '\xff';
    std::string version = good;
    version[4] = 9;
    frame::Header unknown_key = maker.header();
    unknown_key.key_version = 77;
    FrameMaker stranger("edge-z.native", lab_->keys().Find(ServiceLab::kNative, 1));
    return {{"truncated", good.substr(0, good.size() - 1), "MALFORMED", true},
            {"oversize", oversize, "TOO_LARGE"},
            {"a bit of the payload", Flipped(good, 70), "BAD_TAG"},
            {"a bit of the tag", Flipped(good, good.size() - 1), "BAD_TAG"},
            {"unknown version", version, "MALFORMED"},
            {"no magic", "GET / HTTP/1.1\r\nHost: x\r\n\r\n" + std::string(64, ' '), "MALFORMED"},
            {"garbage", Garbage(64 << 10), "MALFORMED"},
            {"a key that is not here", maker.Make(unknown_key, kNeighborUp), "KEY_VERSION_UNKNOWN"},
            {"another source", stranger.Next(kNeighborUp), "SOURCE_UNKNOWN"}};
  }
  static double Ended(const std::string& listen, const char* reason) {
    return Metric(lab_->collector_admin(), "virp_collector_listener_ended_connections_total",
                  {fmt::format("listen=\"{}\"", listen), fmt::format("reason=\"{}\"", reason)});
  }
  void ExpectEnded(const std::string& listen, const char* reason, double times) {
    EXPECT_TRUE(WaitUntil(10s, [&] { return Ended(listen, reason) == times; }))
        << reason << ": " << Ended(listen, reason) << " and not " << times;
  }
};

TEST_F(FramePortsTest, BadFramesOnTcpEndTheirConnectionWithAReason) {
  const std::string listen = lab_->frame_port().address();
  for (const Bad& bad : BadFrames()) {
    const double before = Ended(listen, bad.reason);
    const FileDescriptor socket = ConnectFrom(2, lab_->frame_port().port());
    SendAll(socket, bad.bytes);
    if (bad.then_close) ::shutdown(socket.get(), SHUT_WR);
    EXPECT_EQ(ReadToEnd(socket), "") << bad.what;
    SCOPED_TRACE(bad.what);
    ExpectEnded(listen, bad.reason, before + 1);
  }
}

TEST_F(FramePortsTest, BadFramesWithinTlsToo) {
  const std::string listen = lab_->frame_tls_port().address();
  const testutil::TlsClient::Options anonymous{lab_->pki().dir() + "/ca.crt", "", "", 0};
  for (const Bad& bad : BadFrames()) {
    const double before = Ended(listen, bad.reason);
    testutil::TlsClient client(testutil::ConnectTo(lab_->frame_tls_port().port()), anonymous);
    ASSERT_TRUE(client.ok()) << client.error();
    client.Write(bad.bytes);
    if (bad.then_close)
      client.Close();
    else
      EXPECT_TRUE(testutil::ClosedByPeer(client.socket())) << bad.what;
    SCOPED_TRACE(bad.what);
    ExpectEnded(listen, bad.reason, before + 1);
  }
  const auto handshakes = [&] {
    return Metric(lab_->collector_admin(), "virp_collector_listener_failed_handshakes_total",
                  {fmt::format("listen=\"{}\"", listen)});
  };
  const double before = handshakes();
  for (const std::string& hello :
       {std::string("VIRP no TLS"), Garbage(1 << 10), std::string("\x16\x03\x01\x40\x01", 5) + Garbage(1 << 14)}) {
    const FileDescriptor socket = ConnectFrom(2, lab_->frame_tls_port().port());
    SendAll(socket, hello);
    ::shutdown(socket.get(), SHUT_WR);
    EXPECT_TRUE(ReadToEnd(socket).has_value());
  }
  EXPECT_TRUE(WaitUntil(10s, [&] { return handshakes() == before + 3; })) << handshakes() - before;
}

TEST_F(FramePortsTest, BadFramesOnTheUnixSocket) {
  const std::string listen = "unix:" + lab_->frame_socket();
  const UnixNanos now = SystemClock().NowNanos();
  const std::string good = DaemonFrame(*lab_, 1, now);
  std::string oversize = good.substr(0, 24);
  for (std::size_t i = 20; i < 24; ++i) oversize[i] = '\xff';
  std::string version = good;
  version[4] = 9;
  const FileDescriptor honest = ConnectUnix(lab_->frame_socket());
  ASSERT_TRUE(SendAll(honest, good));
  const auto taken = [&] {
    return Metric(lab_->collector_admin(), "virp_collector_listener_frames_total",
                  {fmt::format("listen=\"{}\"", listen)});
  };
  ASSERT_TRUE(WaitUntil(10s, [&] { return taken() == 1; }));
  EXPECT_EQ(ReadToEnd(ConnectUnix(lab_->frame_socket())), "") << "one connection at a time";
  ::shutdown(honest.get(), SHUT_RDWR);
  constexpr UnixNanos kYear2099 = 4'086'000'000'000'000'000;
  const Bad all[] = {{"truncated", good.substr(0, 60), "MALFORMED", true},
                     {"oversize", oversize, "TOO_LARGE"},
                     {"a bit of the payload", Flipped(good, 30), "BAD_TAG"},
                     {"unknown version", version, "MALFORMED"},
                     {"garbage", "V" + Garbage(64 << 10), "MALFORMED"},  // another first byte would end it below
                     {"a clock in 1970", DaemonFrame(*lab_, 2, 1'000'000'000), "REPLAYED"},
                     {"a clock in 2099, as the next run", DaemonFrame(*lab_, 1, kYear2099), "EPOCH_AHEAD"}};
  for (const Bad& bad : all) {
    const double before = Ended(listen, bad.reason);
    FileDescriptor socket;
    ASSERT_TRUE(WaitUntil(10s, [&] {  // until the one before has ended
      socket = ConnectUnix(lab_->frame_socket());
      return SendAll(socket, bad.bytes.substr(0, 1)) && IsOpen(socket);
    }));
    SendAll(socket, bad.bytes.substr(1));
    if (bad.then_close) ::shutdown(socket.get(), SHUT_WR);
    EXPECT_EQ(ReadToEnd(socket), "") << bad.what;
    SCOPED_TRACE(bad.what);
    ExpectEnded(listen, bad.reason, before + 1);
  }
}

// ---- 10,000 forged frames from another user ----

class ForgeryTest : public FramePortsTest {
 protected:
  static constexpr int kForged = 10'000;
  static constexpr uid_t kNobody = 65'534;

  verify::v1::ClaimAnswer Ask() {
    verify::v1::VerifyClaimRequest request;
    request.mutable_claim()->mutable_peer()->set_router("edge-a");
    request.mutable_claim()->mutable_peer()->set_peer_address("192.0.2.2");
    request.mutable_acceptance()->add_require_sources(ServiceLab::kNative);
    verify::v1::VerifyClaimResponse response;
    grpc::ClientContext context;
    const auto status =
        verify::v1::VerifyService::NewStub(operator_channel())->VerifyClaim(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.answer();
  }
};

// In a child: nothing but system calls. Connects, sends one frame and leaves, so often.
[[noreturn]] void Forge(uid_t user, const sockaddr* to, socklen_t size, const char* frame, std::size_t length,
                        int times) {
  if (::setgroups(0, nullptr) != 0 || ::setgid(user) != 0 || ::setuid(user) != 0) ::_exit(3);
  int sent = 0;
  for (int i = 0; i < times; ++i) {
    const int socket = ::socket(to->sa_family, SOCK_STREAM, 0);
    if (socket < 0) ::_exit(4);
    if (::connect(socket, to, size) == 0) {
      if (::send(socket, frame, length, MSG_NOSIGNAL) > 0) ++sent;
      char byte = 0;
      [[maybe_unused]] const ssize_t end = ::recv(socket, &byte, 1, 0);
    }
    ::close(socket);
  }
  ::_exit(sent > 0 || to->sa_family == AF_UNIX ? 0 : 5);
}

TEST_F(ForgeryTest, TenThousandForgedFramesFromAnotherUserOnSocketAndTcp) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can be another user";
  ASSERT_TRUE(WaitUntil(20s, [&] { return Ask().verdict() == verify::v1::VERDICT_CONFIRMED; }))
      << Ask().ShortDebugString();
  // The door's own judgement is tested, not the file system's.
  const std::string folder = std::filesystem::path(lab_->frame_socket()).parent_path();
  ASSERT_EQ(::chmod(folder.c_str(), 0711), 0);
  ASSERT_EQ(::chmod(lab_->frame_socket().c_str(), 0666), 0);
  sockaddr_un local{};
  local.sun_family = AF_UNIX;
  lab_->frame_socket().copy(local.sun_path, sizeof(local.sun_path) - 1);
  sockaddr_in inet{};
  inet.sin_family = AF_INET;
  inet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  inet.sin_port = htons(static_cast<std::uint16_t>(lab_->frame_port().port()));
  FrameMaker forger(ServiceLab::kNative, frame::OKey::Hmac(std::string(32, 'f')).value());
  frame::Header high = forger.header();
  high.sequence = 1'000'000'000;
  high.timestamp = SystemClock().NowNanos();
  const std::string native = forger.Make(high, kNeighborUp),
                    daemon = DaemonFrame(*lab_, 1'000'000, SystemClock().NowNanos() + 50'000'000'000, true);
  const auto begin = std::chrono::steady_clock::now();
  const double ended = Ended(lab_->frame_port().address(), "BAD_TAG");
  const auto run = [&](const sockaddr* to, socklen_t size, const std::string& frame) {
    const pid_t child = ::fork();
    if (child == 0) Forge(kNobody, to, size, frame.data(), frame.size(), kForged);
    int status = -1;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  };
  EXPECT_EQ(run(reinterpret_cast<const sockaddr*>(&local), sizeof(local), daemon), 0);
  EXPECT_EQ(run(reinterpret_cast<const sockaddr*>(&inet), sizeof(inet), native), 0);

  const auto doors = [&](const std::string& listen, const char* reason) {
    return Metric(lab_->collector_admin(), "virp_collector_listener_refused_connections_total",
                  {fmt::format("listen=\"{}\"", listen), fmt::format("reason=\"{}\"", reason)});
  };
  EXPECT_EQ(doors("unix:" + lab_->frame_socket(), "USER_NOT_ALLOWED"), kForged);
  const auto dealt_with = [&] {
    return Ended(lab_->frame_port().address(), "BAD_TAG") - ended +
           doors(lab_->frame_port().address(), "TOO_MANY_FROM_ADDRESS");
  };
  EXPECT_TRUE(WaitUntil(10s, [&] { return dealt_with() == kForged; })) << dealt_with();

  const auto answer = Ask();
  EXPECT_EQ(answer.verdict(), verify::v1::VERDICT_CONFIRMED) << answer.ShortDebugString();
  ASSERT_EQ(answer.opinions_size() > 0 ? answer.opinions(0).missing_size() : -1, 0);
  int alarms = 0;
  const auto entries = lab_->Entries();
  ASSERT_TRUE(entries.ok());
  for (const std::string& bytes : *entries) alarms += bytes.find("\"BAD_TAG\"") != std::string::npos ? 1 : 0;
  const auto minutes =
      std::chrono::duration_cast<std::chrono::minutes>(std::chrono::steady_clock::now() - begin).count() + 1;
  EXPECT_GE(alarms, 1);
  EXPECT_LE(alarms, 2 * (minutes + 1)) << "for each of two sources, in this test and before it";
}

// ---- slow and silent ----

TEST_F(FramePortsTest, WhoDripsOrSaysNothingIsEndedInTime) {
  struct Slow {
    const char* what;
    FileDescriptor socket;
    std::string bytes;  // one a second
    bool closed = false;
  };
  std::vector<Slow> all;
  FrameMaker maker(ServiceLab::kNative, lab_->keys().Find(ServiceLab::kNative, 1));
  const std::string frame = maker.Next(kNeighborUp);
  all.push_back({"frames", ConnectFrom(2, lab_->frame_port().port()), frame});
  all.push_back({"frames, no end", ConnectFrom(2, lab_->frame_port().port()), frame.substr(0, 1)});
  all.push_back({"TLS handshake", ConnectFrom(2, lab_->frame_tls_port().port()),
                 std::string("\x16\x03\x01\x02\x00\x01", 6) + std::string(60, 'x')});
  all.push_back({"TLS, nothing", ConnectFrom(2, lab_->frame_tls_port().port()), ""});
  all.push_back({"BMP", ConnectFrom(1, lab_->bmp_port().port()),
                 std::string("\x03\x00\x00\x00\x40\x04", 6) + std::string(60, '\0')});
  all.push_back({"BMP, nothing", ConnectFrom(1, lab_->bmp_port().port()), ""});
  all.push_back({"O-Node gRPC", ConnectFrom(2, PortOf(lab_->onode_address())),
                 std::string("\x16\x03\x01\x02\x00\x01", 6) + std::string(60, 'x')});
  all.push_back({"collector gRPC, nothing", ConnectFrom(2, lab_->collector_port().port()), ""});
  all.push_back({"O-Node admin", ConnectFrom(2, lab_->onode_admin().port()), std::string(70, 'G')});
  all.push_back({"collector admin, nothing", ConnectFrom(2, lab_->collector_admin().port()), ""});
  const double slow = Ended(lab_->frame_port().address(), "TOO_SLOW");
  for (int second = 0; second < 15; ++second) {
    bool open = false;
    for (Slow& one : all) {
      if (one.closed) continue;
      const auto at = static_cast<std::size_t>(second);
      if (at < one.bytes.size()) SendAll(one.socket, one.bytes.substr(at, 1));
      one.closed = !IsOpen(one.socket) && ReadToEnd(one.socket, 100ms).has_value();
      open |= !one.closed;
    }
    if (!open) break;
    std::this_thread::sleep_for(1s);
  }
  for (const Slow& one : all) EXPECT_TRUE(one.closed) << one.what;
  EXPECT_EQ(Ended(lab_->frame_port().address(), "TOO_SLOW"), slow + 2);
}

// ---- BMP ----

TEST_F(PortsTest, BadBmpEndsItsSessionAndStrangersAreClosedAtOnce) {
  const auto value = [](const char* name, const char* reason = nullptr) {
    return Metric(lab_->collector_admin(), name,
                  reason == nullptr ? std::vector<std::string>{}
                                    : std::vector<std::string>{fmt::format("reason=\"{}\"", reason)});
  };
  const double strangers = value("virp_collector_bmp_refused_connections_total", "unknown_sender");
  EXPECT_EQ(ReadToEnd(ConnectFrom(2, lab_->bmp_port().port())), "");
  EXPECT_TRUE(WaitUntil(
      5s, [&] { return value("virp_collector_bmp_refused_connections_total", "unknown_sender") == strangers + 1; }));
  const auto initiation = [](std::string_view name) {
    std::string tlvs;
    AppendBe<std::uint16_t>(tlvs, 2);
    AppendBe<std::uint16_t>(tlvs, static_cast<std::uint16_t>(name.size()));
    tlvs += name;
    std::string out(1, '\3');
    AppendBe<std::uint32_t>(out, static_cast<std::uint32_t>(6 + tlvs.size()));
    return out + '\4' + tlvs;
  };
  const std::string good = initiation("edge-b");
  std::string huge = good;
  huge[1] = '\x7f';
  const std::pair<const char*, std::string> bad[] = {{"garbage", Garbage(64 << 10)},
                                                     {"unknown version", "\x04" + good.substr(1)},
                                                     {"oversize", huge},
                                                     {"another name", initiation("edge-z")},
                                                     {"garbage after a good beginning", good + Garbage(64 << 10)},
                                                     {"routes before the beginning", std::string("\3\0\0\0\6\0", 6)}};
  for (const auto& [what, bytes] : bad) {
    const double ended = value("virp_collector_bmp_ended_connections_total");
    const FileDescriptor socket = ConnectFrom(1, lab_->bmp_port().port());
    SendAll(socket, bytes);
    EXPECT_TRUE(ReadToEnd(socket, 12s).has_value()) << what;
    EXPECT_TRUE(WaitUntil(5s, [&] { return value("virp_collector_bmp_ended_connections_total") == ended + 1; }))
        << what;
  }
  {  // cut within a message: a router that died, no more
    const FileDescriptor socket = ConnectFrom(1, lab_->bmp_port().port());
    SendAll(socket, good + good.substr(0, 5));
  }
  EXPECT_TRUE(WaitUntil(5s, [&] { return value("virp_collector_bmp_connections") == 0; }));
}

// ---- gRPC ----

TEST_F(PortsTest, GarbageOnTheGrpcPortsIsNotAnswered) {
  for (const int port : {PortOf(lab_->onode_address()), lab_->collector_port().port()}) {
    const std::string inputs[] = {"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
                                  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + std::string(9, '\0'), Garbage(256 << 10),
                                  std::string("\x16\x03\x01\xff\xff\x01", 6) + Garbage(1 << 16),
                                  std::string("\x16\x03\x01\x00\x10\x01", 6) + Garbage(10)};
    for (const std::string& input : inputs) {
      const FileDescriptor socket = ConnectFrom(3, port);
      SendAll(socket, input);
      ::shutdown(socket.get(), SHUT_WR);
      EXPECT_TRUE(ReadToEnd(socket, 15s).has_value()) << port;
    }
  }
}

TEST_F(PortsTest, BadMessagesAreRefusedWithAReasonAndCounted) {
  const auto refused = [](const testutil::ReservedPort& admin, std::string_view name, const char* reason) {
    return Metric(admin, name, {fmt::format("reason=\"{}\"", reason)});
  };
  const auto call = [](const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                       std::string_view bytes) {
    grpc::GenericStub stub(channel);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 20s);
    grpc::CompletionQueue queue;
    const grpc::Slice slice(bytes.data(), bytes.size());
    const auto reader = stub.PrepareUnaryCall(&context, method, grpc::ByteBuffer(&slice, 1), &queue);
    reader->StartCall();
    grpc::ByteBuffer response;
    grpc::Status status;
    reader->Finish(&response, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    EXPECT_TRUE(queue.Next(&tag, &ok));
    return status;
  };
  const auto reader = lab_->ONodeChannel(Role::kReader);
  const auto producer = lab_->CollectorChannel(Role::kProducer);
  const std::string verify = "/virp.verify.v1.VerifyService/VerifyClaim",
                    submit = "/virp.collector.v1.CollectorService/Submit";
  using grpc::StatusCode;
  EXPECT_EQ(call(reader, verify, Garbage(1'000)).error_code(), StatusCode::INTERNAL) << "no protobuf";
  EXPECT_EQ(call(producer, submit, Garbage(1'000)).error_code(), StatusCode::INTERNAL);
  EXPECT_EQ(call(reader, verify, std::string(5 << 20, '\0')).error_code(), StatusCode::RESOURCE_EXHAUSTED)
      << "oversize";
  EXPECT_EQ(call(producer, submit, std::string(5 << 20, '\0')).error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(call(reader, verify, "").error_code(), StatusCode::INVALID_ARGUMENT) << "nothing";
  EXPECT_NE(call(reader, "/virp.verify.v1.VerifyService/Nothing", "").error_code(), StatusCode::OK);
  const double denied = refused(lab_->onode_admin(), "virp_onode_refused_calls_total", "METHOD_DENIED");
  EXPECT_EQ(call(reader, "/virp.source.v1.SourceService/MarkBlack", "").error_code(), StatusCode::PERMISSION_DENIED);
  EXPECT_GE(refused(lab_->onode_admin(), "virp_onode_refused_calls_total", "METHOD_DENIED"), denied + 1);
}

TEST_F(PortsTest, BadFramesInADeliveryGetTheirReasonAndTheStreamGoesOn) {
  deliver::GrpcConnector connector([](const std::string&) -> absl::StatusOr<std::shared_ptr<grpc::Channel>> {
    return lab_->ONodeChannel(Role::kCollector, 0, "direct");
  });
  const auto connection = testutil::Must(connector.Connect("lab"));
  testutil::Must(connection->Open({lab_->pki().Id(Role::kCollector, "direct"), ServiceLab::kOrigin, ""}, 10s).status());
  std::uint64_t number = 0;
  const auto deliver = [&](const std::string& bytes, std::string source = ServiceLab::kDirect) {
    deliver::Spool::SpooledFrame one{++number, std::move(source), 0, frame::Spelling::kV2, bytes};
    EXPECT_TRUE(connection->Send({one}).ok());
    while (true) {
      const auto message = connection->Receive();
      if (!message.ok()) return std::string(message.status().message());
      const auto* ack = std::get_if<deliver::Ack>(&*message);
      if (ack == nullptr) continue;
      const deliver::FrameResult& result = ack->at(0);
      if (result.outcome == deliver::FrameResult::Outcome::kRefused)
        return std::string(frame::ReasonName(result.reason));
      return std::string(result.outcome == deliver::FrameResult::Outcome::kAppended ? "appended" : "duplicate");
    }
  };
  const auto counted = [](const char* reason) {
    return Metric(lab_->onode_admin(), "virp_onode_refused_frames_total", {fmt::format("reason=\"{}\"", reason)});
  };
  FrameMaker maker(ServiceLab::kDirect, lab_->keys().Find(ServiceLab::kDirect, 1));
  const std::string good = maker.Next(kNeighborUp);
  EXPECT_EQ(deliver(good), "appended");
  std::string version = good, oversize = good;
  version[4] = 9;
  oversize[24] = '\x7f';
  const auto with = [&](std::uint64_t sequence, UnixNanos time, std::uint64_t epoch) {
    frame::Header header = maker.header();
    header.sequence = sequence;
    header.timestamp = time;
    header.boot_epoch = epoch;
    return maker.Make(header, kNeighborUp);
  };
  constexpr UnixNanos kYear1970 = 1'000'000'000, kYear2099 = 4'086'000'000'000'000'000;
  const std::uint64_t epoch = maker.header().boot_epoch, now = SystemClock().NowNanos();
  const std::pair<std::string, const char*> bad[] = {
      {good.substr(0, 40), "MALFORMED"},
      {good.substr(0, good.size() - 1), "MALFORMED"},
      {version, "MALFORMED"},
      {oversize, "TOO_LARGE"},
      {Garbage(10'000), "MALFORMED"},
      {Flipped(good, 80), "BAD_TAG"},
      {with(1, now, kYear1970), "EPOCH_OLD"},
      {with(2, kYear1970, epoch), "KEY_VERSION_UNKNOWN"},  // before its key
      {with(1, kYear2099, kYear2099), "EPOCH_AHEAD"}};
  for (const auto& [bytes, reason] : bad) {
    const double before = counted(reason);
    EXPECT_EQ(deliver(bytes), reason);
    EXPECT_TRUE(WaitUntil(5s, [&] { return counted(reason) == before + 1; })) << reason;
  }
  EXPECT_EQ(deliver(good, "edge-z.nobody"), "SOURCE_UNKNOWN");
  EXPECT_EQ(deliver(frames_->Make(frames_->header(), kNeighborUp), ServiceLab::kNative), "NOT_BOUND");
  EXPECT_EQ(deliver(good), "duplicate");
  // What is verified is taken whatever its clock says: it is the entry that says what is odd.
  EXPECT_EQ(deliver(with(2, kYear2099, epoch)), "appended");
  EXPECT_EQ(deliver(with(3, now - 1'800'000'000'000, epoch)), "appended");
  const double equivocations = counted("EQUIVOCATION");
  EXPECT_EQ(deliver(with(2, SystemClock().NowNanos(), epoch)), "EQUIVOCATION");
  EXPECT_EQ(counted("EQUIVOCATION"), equivocations + 1);
  int suspect = 0;
  const auto entries = lab_->Entries();
  ASSERT_TRUE(entries.ok());
  for (const std::string& bytes : *entries) {
    const chain::EntryHeader header = chain::DecodeEntry(bytes)->header;
    suspect +=
        header.source == frame::ShortIdOf(ServiceLab::kDirect) && (header.result & chain::kClockSuspect) != 0 ? 1 : 0;
  }
  EXPECT_EQ(suspect, 2);
  const auto report = lab_->VerifyChain();
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->result(), chain::v1::VerifyReport::RESULT_VERIFIED);
}

// ---- the admin port ----

TEST_F(PortsTest, TheAdminPortsAnswerOnlyWhatTheyAreFor) {
  for (const testutil::ReservedPort* port : {&lab_->onode_admin(), &lab_->collector_admin()}) {
    EXPECT_THAT(Http(*port, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"), HasSubstr(" 405 "));
    EXPECT_THAT(Get(*port, "/../../etc/passwd"), ::testing::Not(HasSubstr(" 200 ")));
    EXPECT_THAT(Get(*port, "/nothing"), HasSubstr(" 404 "));
    EXPECT_THAT(Get(*port, "/" + std::string(64 << 10, 'x')), ::testing::Not(HasSubstr(" 200 ")));
    for (const std::string& input : {Garbage(64 << 10), std::string("GET"), std::string(100'000, '\n'),
                                     std::string("\x16\x03\x01\x02\x00\x01", 6)}) {
      const FileDescriptor socket = ConnectFrom(2, port->port());
      SendAll(socket, input);
      ::shutdown(socket.get(), SHUT_WR);
      const auto answer = ReadToEnd(socket, 10s);
      EXPECT_TRUE(answer.has_value());
      EXPECT_THAT(answer.value_or(""), ::testing::Not(HasSubstr(" 200 ")));
    }
    EXPECT_THAT(Get(*port, "/livez"), HasSubstr(" 200 "));
  }
}

// ---- 10,000 connections that say nothing ----

class IdleTest : public PortsTest, public ::testing::WithParamInterface<const char*> {
 protected:
  static constexpr int kAttempts = 10'000;
};

// From a hundred addresses, a hundred each; the good producer's is not among them.
TEST_P(IdleTest, BeyondTheCapEachIsClosedAtOnce) {
  struct Port {
    int number;
    std::size_t cap;
  };
  const std::string name = GetParam();
  const Port port = name == "frames"       ? Port{lab_->frame_port().port(), 1'000}
                    : name == "frames_tls" ? Port{lab_->frame_tls_port().port(), 1'000}
                    : name == "bmp"        ? Port{lab_->bmp_port().port(), 16}
                    : name == "onode_grpc" ? Port{PortOf(lab_->onode_address()), 1'000}
                    : name == "admin"      ? Port{lab_->onode_admin().port(), 64}
                                           : Port{lab_->collector_port().port(), 1'000};
  std::vector<FileDescriptor> held;
  held.reserve(kAttempts);
  for (int i = 0; i < kAttempts; ++i) {
    // BMP: only the router's own address is let in at all.
    held.push_back(ConnectFrom(name == "bmp" && i < 100 ? 1 : 10 + i % 100, port.number));
    ASSERT_TRUE(held.back()) << i;
  }
  std::size_t open = 0;
  EXPECT_TRUE(WaitUntil(5s,
                        [&] {
                          open = static_cast<std::size_t>(std::count_if(held.begin(), held.end(), IsOpen));
                          return open <= port.cap;
                        }))
      << open << " are open, " << port.cap << " may be";
  EXPECT_GT(open, port.cap / 2) << "the cap is the reason, not the port";
  EXPECT_THAT(Get(lab_->collector_admin(), "/livez"), HasSubstr(" 200 "));
  EXPECT_THAT(Get(lab_->onode_admin(), "/livez"), HasSubstr(" 200 "));
}

INSTANTIATE_TEST_SUITE_P(Ports, IdleTest,
                         ::testing::Values("frames", "frames_tls", "bmp", "onode_grpc", "collector_grpc", "admin"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace virp::hostile
