#include "services/rtr-bridge/transport/router_server.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <libssh/libssh.h>

#include <algorithm>
#include <future>
#include <thread>

#include "services/rtr-bridge/transport/router_fixture.h"
#include "tests/testutil/test_pki.h"
#include "tests/testutil/tls_client.h"

namespace virp::rtr_bridge {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::RouterServerTest;
using testutil::StatusIs;

TEST_F(RouterServerTest, AKeyFileWithoutAKeyStopsTheStartAndChangesNothingAtAReload) {
  for (const char* text : {"", "\n", "\nsecret\n", "hex:", "hex:\n", "hex:xyz"}) {
    WriteSecret("key", text);
    PeerKey key;
    key.peer = *IpAddress::Parse("127.0.0.1");
    key.key_file = dir_.File("key");
    options_.listeners.front().keys = {key};
    const auto server = RouterServer::Start(options_, log_, clock_);
    EXPECT_THAT(server.status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(dir_.File("key")))) << text;
  }
  WriteSecret("key", "secret\n");
  auto server = RouterServer::Start(options_, log_, clock_);
  if (absl::IsFailedPrecondition(server.status())) GTEST_SKIP() << server.status();
  ASSERT_OK(server.status());
  WriteSecret("key", "");
  EXPECT_THAT((*server)->Reload(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("first line is empty")));
}

TEST_F(RouterServerTest, SilentConnectionsOfOneAddressDoNotCloseSshForOthers) {
  ssh_key key = nullptr;
  ASSERT_EQ(::ssh_pki_generate(SSH_KEYTYPE_ED25519, 0, &key), SSH_OK);
  ASSERT_EQ(::ssh_pki_export_privkey_file(key, nullptr, nullptr, nullptr, dir_.File("host").c_str()), SSH_OK);
  ::ssh_key_free(key);
  WriteSecret("passwords", "rpki:$6$saltsalt$" + std::string(86, 'x') + "\n");
  ListenerOptions& listener = options_.listeners.front();
  listener.kind = ListenerKind::kSsh;
  listener.ssh.host_keys = {dir_.File("host")};
  listener.ssh.users.passwords = dir_.File("passwords");
  listener.ssh.max_unauthenticated = 6;
  options_.door.strangers_per_address = 4;
  Start();
  std::vector<FileDescriptor> silent;
  for (int i = 0; i < 4; ++i) {
    silent.push_back(Connect("127.0.0.2"));
    EXPECT_EQ(Hear(silent.back(), 8), "SSH-2.0-");
  }
  EXPECT_TRUE(IsClosed(Connect("127.0.0.2")));
  EXPECT_EQ(server_->door().too_many, 1U);
  const FileDescriptor other = Connect("127.0.0.3");
  EXPECT_EQ(Hear(other, 8), "SSH-2.0-");
  // A place is free again when one of them has gone.
  silent.pop_back();
  EXPECT_TRUE(testutil::Eventually([&] { return server_->listeners().front().routers == 4; }));
  EXPECT_EQ(Hear(Connect("127.0.0.2"), 8), "SSH-2.0-");
  EXPECT_EQ(server_->door().accepted, 6U);
}

TEST_F(RouterServerTest, OneAddressDoesNotTakeAllPlaces) {
  options_.door.per_address = 2;
  Start();
  const FileDescriptor first = Connect("127.0.0.2"), second = Connect("127.0.0.2");
  EXPECT_TRUE(IsServed(first));
  EXPECT_TRUE(IsServed(second));
  EXPECT_TRUE(IsClosed(Connect("127.0.0.2")));
  EXPECT_TRUE(IsServed(Connect("127.0.0.3")));
}

TEST_F(RouterServerTest, ARouterThatKeepsAnOldSetInMemoryIsGivenUp) {
  options_.most_pinned = 1;
  Start();
  Publish(testing::ManyRoas(60'000));
  const FileDescriptor idle = Connect();
  ASSERT_TRUE(Say(idle, ResetQuery()));
  const FileDescriptor slow = Connect("127.0.0.2", 4096);
  ASSERT_TRUE(GetStuck(slow));
  std::string heard;
  const std::jthread reads([&] { heard = Hear(idle, std::size_t{8} + 60'000 * 20 + 24 + 12); });
  ASSERT_TRUE(testutil::Eventually([&] {
    const auto views = server_->Views();
    return std::any_of(views.begin(), views.end(),
                       [](const RouterView& view) { return view.state.sent && view.queued == 0; });
  }));
  Publish(testing::ManyRoas(59'999));
  ASSERT_TRUE(testutil::Eventually([&] { return server_->counters().given_up == 1; }));
  EXPECT_EQ(LastHeader(Hear(slow, ~std::size_t{0})).field, 10) << "transport failure";
}

TEST_F(RouterServerTest, RoutersHearThatTheBridgeGoesForGood) {
  Start();
  const FileDescriptor router = Connect();
  ASSERT_TRUE(Say(router, ResetQuery(2)));
  ASSERT_EQ(Hear(router, 8 + 3 * 20 + 24).size(), 8U + 3 * 20 + 24);
  const std::jthread drains([&] { server_->Drain(rtr::ErrorCode::kCacheShutdown, std::chrono::seconds(20)); });
  EXPECT_EQ(LastHeader(Hear(router, ~std::size_t{0})).field, 13);
}

class TlsRouterServerTest : public RouterServerTest {
 protected:
  void SetUp() override {
    RouterServerTest::SetUp();
    ListenerOptions& listener = options_.listeners.front();
    listener.kind = ListenerKind::kTls;
    listener.tls = pki_.Files(service::Role::kRtrBridge);
  }
  testutil::TlsClient::Options TrustsTheServer() const {
    testutil::TlsClient::Options client;
    client.roots = options_.listeners.front().tls.roots;
    return client;
  }
  testutil::TestPki pki_;
};

// What TLS has encrypted must leave before the last words do.
TEST_F(TlsRouterServerTest, ARouterWithAnAnswerUnderWayHearsThatTheBridgeRestarts) {
  Start();
  Publish(testing::ManyRoas(60'000));
  testutil::TlsClient router(Connect("127.0.0.1", 4096), TrustsTheServer());
  ASSERT_TRUE(router.ok()) << router.error();
  ASSERT_TRUE(router.Write(ManyQueries()));
  ASSERT_TRUE(IsStuck());
  const std::jthread drains([&] { server_->Drain(rtr::ErrorCode::kCacheRestart, std::chrono::seconds(20)); });
  std::string heard;
  for (auto more = router.ReadSome(); more && !more->empty(); more = router.ReadSome()) heard += *more;
  const rtr::Header last = LastHeader(heard);
  EXPECT_EQ(last.type, static_cast<std::uint8_t>(rtr::PduType::kErrorReport));
  EXPECT_EQ(last.field, 12);
}

// It once waited for a socket that was writable all the time.
TEST_F(TlsRouterServerTest, AStreamThatIsDoneWaitsForNothing) {
  ASSERT_OK_AND_ASSIGN(
      const auto acceptor,
      service::TlsAcceptor::Make(options_.listeners.front().tls, service::TlsAcceptor::ClientCertificate::kNone, clock_,
                                 service::kDefaultReload, service::TlsAcceptor::Oldest::kTls12,
                                 service::TlsAcceptor::Names::kAny));
  std::array<int, 2> pair{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
  ::fcntl(pair[0], F_SETFL, O_NONBLOCK);
  const auto stream = MakeTlsStream(FileDescriptor(pair[0]), *acceptor, IpAddress::V4(0x7F000001U), false);
  std::size_t heard = 0;
  std::promise<void> may_read;
  std::jthread client([&, go = may_read.get_future()] {
    testutil::TlsClient router(FileDescriptor(pair[1]), TrustsTheServer());
    go.wait();
    for (auto more = router.ReadSome(); more && !more->empty(); more = router.ReadSome()) heard += more->size();
  });
  ASSERT_TRUE(testutil::Eventually([&] { return stream->Open().value_or(false); }));
  const std::string much(1 << 20, 'x');
  std::size_t taken = 0;
  while (!stream->holds()) {
    const std::string_view piece = much;
    ASSERT_OK_AND_ASSIGN(const std::size_t some, stream->Write({&piece, 1}));
    taken += some;
  }
  EXPECT_EQ(stream->also_wants(), POLLOUT);
  may_read.set_value();
  ASSERT_TRUE(testutil::Eventually([&] { return stream->Write({}).ok() && !stream->holds(); }));
  EXPECT_EQ(stream->also_wants(), 0);
  stream->CloseWrite();
  client.join();
  EXPECT_EQ(heard, taken);
}

}  // namespace
}  // namespace virp::rtr_bridge
