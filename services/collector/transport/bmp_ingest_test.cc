// BMP over real sockets: who is let in, what comes out of the outbox, and that a full spool pushes back.
#include "services/collector/transport/bmp_ingest.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <functional>
#include <thread>

#include "lib/base/status.h"
#include "lib/base/tcp.h"
#include "lib/bmp/bmp_testing.h"
#include "lib/frame/key_ring.h"
#include "lib/frame/payload.h"
#include "tests/testutil/temp_dir.h"
#include "tests/testutil/wait.h"

namespace virp::collector {
namespace {

using bmp::testing::Bmp;
using bmp::testing::Cat;
using bmp::testing::ReadTestFile;
using bmp::testing::TlvBytes;
using testutil::Eventually;

constexpr const char* kSource = "edge-a.bmp";

std::string Initiation(std::string_view name = "edge-a") {
  return Bmp(4, Cat(TlvBytes(1, "test"), TlvBytes(2, name)));
}

// The router's end of a connection.
class Client {
 public:
  explicit Client(int port, std::string_view md5_key = {}, const char* from = "127.0.0.1") {
    socket_ = FileDescriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in own{};
    own.sin_family = AF_INET;
    ::inet_pton(AF_INET, from, &own.sin_addr);
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&own), sizeof(own)), 0);
    const timeval patience{2, 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (!md5_key.empty()) EXPECT_TRUE(SetMd5Key(socket_.get(), IpAddress::V4(0x7f000001), md5_key).ok());
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(socket_.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0;
  }
  explicit Client(FileDescriptor socket) : socket_(std::move(socket)), connected_(true) {}

  bool connected() const { return connected_; }
  // Bytes taken before the other side stopped taking them.
  std::size_t Send(std::string_view bytes) const {
    std::size_t sent = 0;
    while (sent < bytes.size()) {
      const ssize_t n = ::send(socket_.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) break;
      sent += static_cast<std::size_t>(n);
    }
    return sent;
  }
  bool IsClosed() const {
    char byte = 0;
    const ssize_t n = ::recv(socket_.get(), &byte, 1, MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK);
  }
  void Close() { socket_.Reset(); }

 private:
  FileDescriptor socket_;
  bool connected_ = false;
};

BmpIngestOptions LoopbackOptions() {
  BmpIngestOptions options;
  options.bmp.collector_source = "collector-1";
  options.listen = {{"127.0.0.1", 0}};
  BmpRouterOptions router;
  router.source = kSource;
  router.addresses = {IpAddress::V4(0x7f000001)};
  router.mode = BmpMode::kRoutes;
  options.bmp.routers.push_back(router);
  return options;
}

class BmpIngestTest : public ::testing::Test {
 protected:
  BmpIngestTest() {
    for (const auto* source : {kSource, "edge-b.bmp", "collector-1"}) {
      keys_.Put(source, {1, frame::OKey::Hmac(std::string(32, 'k')).value(), 0, std::nullopt});
    }
  }
  ~BmpIngestTest() override { Down(); }

  void Up(BmpIngestOptions options, std::uint64_t spool_bytes = 1ULL << 28) {
    liveness_ = std::make_unique<Liveness>(clock_);
    ingest_ = std::make_unique<BmpIngest>(std::move(options), clock_);
    auto outbox =
        deliver::Outbox::Open({.directory = folder_.File("spool"), .max_bytes = spool_bytes, .segment_bytes = 1 << 20},
                              keys_, clock_, {&ingest_->state()});
    ASSERT_TRUE(outbox.ok()) << outbox.status();
    outbox_ = *std::move(outbox);
    const absl::Status started = ingest_->Start(*outbox_, *liveness_);
    ASSERT_TRUE(started.ok()) << started;
  }
  void Down() {
    if (ingest_ != nullptr) ingest_->Stop();
    outbox_.reset();
    ingest_.reset();
  }
  int port() const { return ingest_->ports().at(0); }
  BmpRouterStatus Status(std::size_t i = 0) const { return ingest_->Status().at(i); }

  // "source type event" of everything in the spool behind `after`.
  std::vector<std::string> Spooled(std::uint64_t after = 0) const {
    EXPECT_TRUE(outbox_->Sync(outbox_->spool().stats().last).ok());
    std::vector<std::string> out;
    frame::PayloadReader reader;
    for (;;) {
      const auto frames = outbox_->spool().Read(after, 1'000, 1 << 24);
      EXPECT_TRUE(frames.ok());
      if (!frames.ok() || frames->empty()) return out;
      for (const auto& spooled : *frames) {
        after = spooled.number;
        const auto frame = frame::Decode(spooled.bytes, spooled.spelling);
        const auto payload = reader.Read(frame->payload);
        out.push_back(fmt::format("{} {} {}", spooled.source, static_cast<int>(frame->header.type),
                                  (*payload)["event"].AsString().value_or("?")));
      }
    }
  }

  const SystemClock clock_;
  const testutil::TempDir folder_;
  frame::KeyRing keys_;
  std::unique_ptr<Liveness> liveness_;
  std::unique_ptr<BmpIngest> ingest_;
  std::unique_ptr<deliver::Outbox> outbox_;
};

TEST_F(BmpIngestTest, ARecordedSessionIsSpooledAndARestartRepeatsNothing) {
  Up(LoopbackOptions());
  const std::string stream = ReadTestFile("gobgp-3.10.0-all.bin");
  EXPECT_EQ(Client(port()).Send(stream), stream.size());
  ASSERT_TRUE(Eventually([&] { return !Status().session_up && Status().counters.sessions == 1; }));
  const auto first = Spooled();
  EXPECT_EQ(std::count(first.begin(), first.end(), "edge-a.bmp 2 peer_down"), 3);
  const auto paths = Status().paths;
  EXPECT_GT(paths, 0u);

  Down();
  Up(LoopbackOptions());
  EXPECT_EQ(Status().paths, paths);
  EXPECT_EQ(Spooled().size(), first.size());  // nobody is connected: nothing is known, nothing is said
}

TEST_F(BmpIngestTest, ARouterThatIsPutBackBeginsANewEpoch) {
  const std::string up = bmp::testing::PeerUpBytes({}, bmp::testing::OpenBody(64500, "192.0.2.1"),
                                                   bmp::testing::OpenBody(64501, "192.0.2.2"));
  const auto run = [&](const BmpIngestOptions& options) {
    Up(options);
    Client(port()).Send(Cat(Initiation(), up));
    EXPECT_TRUE(Eventually([&] { return Status().counters.sessions == 1 && !Status().session_up; }));
    EXPECT_TRUE(outbox_->Snapshot().ok());
    const deliver::Position at = outbox_->position(kSource);
    Down();
    return at;
  };
  const deliver::Position first = run(LoopbackOptions());
  EXPECT_EQ(first.last_sequence, 1u);
  EXPECT_EQ(run(LoopbackOptions()).epoch, first.epoch);
  auto without = LoopbackOptions();
  without.bmp.routers[0].source = "edge-b.bmp";
  EXPECT_EQ(run(without).epoch, first.epoch);  // of edge-a.bmp, which says nothing
  const deliver::Position back = run(LoopbackOptions());
  EXPECT_GT(back.epoch, first.epoch);
  EXPECT_EQ(back.last_sequence, 1u);  // the peer, for the first time in it
  EXPECT_EQ(run(LoopbackOptions()).epoch, back.epoch);
}

TEST_F(BmpIngestTest, IsConnectedForHeartbeatsOnlyOnceTheDumpIsCompared) {
  auto options = LoopbackOptions();
  options.bmp.quiet = std::chrono::seconds(1);
  Up(options);
  liveness_->TakeChanged();
  Client router(port());
  router.Send(Initiation());
  ASSERT_TRUE(Eventually([&] { return Status().session_up; }));
  EXPECT_FALSE(Status().connected);
  EXPECT_FALSE(liveness_->TakeChanged());
  ASSERT_TRUE(Eventually([&] { return liveness_->TakeChanged(); }));
  EXPECT_TRUE(Status().connected);
  router.Close();
  ASSERT_TRUE(Eventually([&] { return liveness_->TakeChanged(); }));
  EXPECT_FALSE(liveness_->Sources().at(0).connected);
}

TEST_F(BmpIngestTest, UnknownSendersAreClosedAtOnce) {
  Up(LoopbackOptions());
  const Client stranger(port(), {}, "127.0.0.2");
  ASSERT_TRUE(stranger.connected());
  EXPECT_TRUE(Eventually([&] { return stranger.IsClosed(); }));
  EXPECT_EQ(ingest_->counters().unknown_senders, 1u);
}

TEST_F(BmpIngestTest, ASysNameThatIsNotTheRoutersIsRefused) {
  auto options = LoopbackOptions();
  options.bmp.routers[0].sys_name = "edge-a";
  auto other = options.bmp.routers[0];
  other.source = "edge-b.bmp";
  other.sys_name = "edge-b";
  options.bmp.routers.push_back(other);
  Up(options);
  const Client wrong(port()), b(port());
  wrong.Send(Initiation("edge-c"));
  EXPECT_TRUE(Eventually([&] { return wrong.IsClosed(); }));
  b.Send(Initiation("edge-b"));  // one address, two routers
  EXPECT_TRUE(Eventually([&] { return Status(1).session_up; }));
  EXPECT_FALSE(Status(0).session_up);
}

TEST_F(BmpIngestTest, ASecondSessionIsRefusedWithAnAlarm) {
  Up(LoopbackOptions());
  const Client first(port());
  first.Send(Initiation());
  ASSERT_TRUE(Eventually([&] { return Status().session_up; }));
  const Client second(port());
  second.Send(Initiation());
  EXPECT_TRUE(Eventually([&] { return second.IsClosed(); }));
  EXPECT_TRUE(Eventually([&] { return Spooled() == std::vector<std::string>{"collector-1 23 channel_alarm"}; }));
  EXPECT_FALSE(first.IsClosed());
  EXPECT_TRUE(Status().session_up);
}

TEST_F(BmpIngestTest, ConnectionsBeyondTheCapAreClosedAtOnce) {
  auto options = LoopbackOptions();
  options.max_per_address = 3;
  Up(options);
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 30; ++i) clients.push_back(std::make_unique<Client>(port()));
  EXPECT_TRUE(Eventually([&] { return ingest_->counters().over_cap == 27; }));
  EXPECT_TRUE(Eventually([&] {
    return std::count_if(clients.begin(), clients.end(), [](const auto& client) { return client->IsClosed(); }) == 27;
  }));
  EXPECT_EQ(ingest_->connections(), 3u);
}

TEST_F(BmpIngestTest, GarbageAndSilenceEndAConnection) {
  auto options = LoopbackOptions();
  options.initiation_timeout = std::chrono::milliseconds(200);
  Up(options);
  const Client garbage(port()), silent(port());
  garbage.Send("GET / HTTP/1.1\r\n\r\n");
  silent.Send(Initiation().substr(0, 3));
  EXPECT_TRUE(Eventually([&] { return garbage.IsClosed() && silent.IsClosed(); }));
  EXPECT_EQ(ingest_->counters().ended_by_error, 2u);
  EXPECT_TRUE(Spooled().empty());
}

TEST_F(BmpIngestTest, DialsARouterThatListens) {
  auto listening = ListenTcp({"127.0.0.1", 0});
  ASSERT_TRUE(listening.ok());
  auto options = LoopbackOptions();
  options.listen.clear();
  options.bmp.routers[0].addresses.clear();
  options.bmp.routers[0].dial = fmt::format("127.0.0.1:{}", LocalPort(listening->get()).value());
  Up(options);
  for (int session = 1; session <= 2; ++session) {  // and again when the session ends
    absl::StatusOr<Accepted> accepted = absl::UnavailableError("");
    ASSERT_TRUE(Eventually([&] { return (accepted = AcceptTcp(listening->get())).ok(); }));
    Client router(std::move(accepted->socket));
    router.Send(Initiation());
    EXPECT_TRUE(Eventually(
        [&] { return Status().session_up && Status().counters.sessions == static_cast<std::uint64_t>(session); }));
    router.Close();
    EXPECT_TRUE(Eventually([&] { return !Status().session_up; }));
  }
}

TEST_F(BmpIngestTest, AFullSpoolPushesBackAndLosesNothing) {
  auto options = LoopbackOptions();
  Up(options, /*spool_bytes=*/2 << 20);
  std::string stream = Cat(Initiation(), bmp::testing::PeerUpBytes({}, bmp::testing::OpenBody(64500, "192.0.2.1"),
                                                                   bmp::testing::OpenBody(64501, "192.0.2.2")));
  constexpr std::uint32_t kRoutes = 20'000;  // about 10 MB of frames
  for (std::uint32_t i = 0; i < kRoutes; ++i) {
    const std::string nlri = Cat(bmp::testing::U8(32), bmp::testing::U32(0x0a000000u + i));
    stream +=
        bmp::testing::RouteMonitoringBytes({}, bmp::testing::UpdateBody("", bmp::testing::BasicAttributes(), nlri));
  }
  Client router(port());
  std::jthread sender([&] {
    for (std::size_t at = 0; at < stream.size();) at += router.Send(std::string_view(stream).substr(at));
  });
  // What was read of the spool is freed, and snapshots are taken beside it, as a collector's house does.
  std::uint64_t after = 0;
  std::size_t announced = 0;
  bool was_full = false;
  EXPECT_TRUE(Eventually([&] {
    const auto stats = outbox_->spool().stats();
    if (stats.bytes * 10 > stats.limit * 9) {
      was_full = true;
      EXPECT_TRUE(outbox_->Snapshot().ok());
    }
    EXPECT_TRUE(outbox_->Sync(stats.last).ok());
    const auto frames = outbox_->spool().Read(after, 5'000, 1 << 24);
    if (!frames.ok()) return false;
    for (const auto& frame : *frames) {
      after = frame.number;
      announced += frame.bytes.find("route_announce") != std::string::npos ? 1u : 0u;
    }
    if (was_full) EXPECT_TRUE(outbox_->spool().Free(after).ok());
    return announced == kRoutes;
  })) << announced;
  EXPECT_TRUE(was_full);
  EXPECT_EQ(Status().paths, kRoutes);
  EXPECT_TRUE(Status().session_up);
}

TEST_F(BmpIngestTest, TcpMd5LetsOnlyTheKeyHolderIn) {
  const FileDescriptor probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!SetMd5Key(probe.get(), IpAddress::V4(0x7f000001), "x").ok()) GTEST_SKIP() << "this kernel has no TCP-MD5";
  for (const char* host : {"127.0.0.1", "::"}) {
    auto options = LoopbackOptions();
    options.listen = {{host, 0}};
    options.bmp.routers[0].md5_key = "correct horse";
    Up(options);
    const Client keyed(port(), "correct horse");
    ASSERT_TRUE(keyed.connected()) << host;
    keyed.Send(Cat(Initiation(), bmp::testing::PeerUpBytes({}, bmp::testing::OpenBody(64500, "192.0.2.1"),
                                                           bmp::testing::OpenBody(64501, "192.0.2.2"))));
    ASSERT_TRUE(Eventually([&] { return Status().session_up; })) << host;
    const Client plain(port());
    EXPECT_FALSE(plain.connected()) << host;  // its SYN is dropped
    Down();
  }
}

TEST(BmpOptions, AreRefusedWithTheRouterAndTheField) {
  const auto check = [](const std::function<void(BmpRouterOptions&)>& change) {
    auto options = LoopbackOptions();
    change(options.bmp.routers[0]);
    return std::string(Message(CheckBmpOptions(options.bmp)));
  };
  EXPECT_EQ(check([](auto&) {}), "");
  EXPECT_THAT(check([](auto& router) { router.addresses.clear(); }), ::testing::HasSubstr("edge-a.bmp"));
  EXPECT_THAT(check([](auto& router) { router.mode = BmpMode::kPrefixes; }), ::testing::HasSubstr("list of prefixes"));
  EXPECT_THAT(check([](auto& router) { router.dial = "router.example:11019"; }), ::testing::HasSubstr("ADDRESS:PORT"));
  EXPECT_THAT(check([](auto& router) { router.md5_key.assign(81, 'x'); }), ::testing::HasSubstr("80"));
  EXPECT_THAT(check([](auto& router) { router.red.sessions_lost = 3; }), ::testing::HasSubstr("lost sessions"));
  auto twins = LoopbackOptions();
  twins.bmp.routers.push_back(twins.bmp.routers[0]);
  EXPECT_FALSE(CheckBmpOptions(twins.bmp).ok());
  twins.bmp.routers[1].source = "edge-b.bmp";
  EXPECT_THAT(std::string(Message(CheckBmpOptions(twins.bmp))), ::testing::HasSubstr("sysName"));
}

}  // namespace
}  // namespace virp::collector
