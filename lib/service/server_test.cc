#include "lib/service/server.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/service/server_fixture.h"
#include "tests/testutil/must.h"
#include "tests/testutil/tls_client.h"

namespace virp::service {
namespace {

TEST_F(ServerTest, RightRoleIsServedAndKnown) {
  Start();
  EchoResponse response;
  const grpc::Status status = Call(pki_.Channel(*server_, Role::kReader, "alice"), &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.text(), "hello");
  EXPECT_EQ(response.caller(), "reader/alice");
  EXPECT_TRUE(Refusals().empty());
}

TEST_F(ServerTest, WrongRoleIsDeniedBeforeTheHandler) {
  Start();
  const grpc::Status status = Call(pki_.Channel(*server_, Role::kCollector));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED) << status.error_message();
  EXPECT_THAT(status.error_message(), testing::StartsWith("METHOD_DENIED: collector/test may not call "));
  EXPECT_EQ(handlers_->calls, 0);
  ASSERT_EQ(Refusals().size(), 1U);
  EXPECT_EQ(Refusals()[0].caller, "collector/test");
  EXPECT_EQ(Refusals()[0].method, "/virp.test.v1.EchoService/Echo");
}

TEST_F(ServerTest, UnknownMethodsAreDenied) {
  Start();
  const auto channel = pki_.Channel(*server_, Role::kReader);
  grpc::ClientContext context;
  HiddenResponse response;
  EXPECT_EQ(EchoService::NewStub(channel)->Hidden(&context, HiddenRequest(), &response).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  // No such method anywhere: the same answer, not UNIMPLEMENTED, which would tell methods that exist from others.
  const grpc::Status status = CallByName(channel, "/virp.test.v1.EchoService/NoSuchMethod");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED) << status.error_message();
  EXPECT_EQ(handlers_->calls, 0);
}

TEST_F(ServerTest, ScopedMethodNeedsAScope) {
  Start("", R"({"scopes": [{"role": "keymgr", "name": "bound", "origins": ["site1"], "sources": ["r1"]}]})");
  const auto call = [&](std::string_view name) {
    grpc::ClientContext context;
    HiddenResponse response;
    return EchoService::NewStub(pki_.Channel(*server_, Role::kKeymgr, name))
        ->Hidden(&context, HiddenRequest(), &response);
  };
  EXPECT_TRUE(call("bound").ok());
  EXPECT_EQ(call("loose").error_code(), grpc::StatusCode::PERMISSION_DENIED);
}

// Each is refused, and no handler runs.
TEST_F(ServerTest, CertificatesThatAreNoIdentityAreRefused) {
  Start();
  const auto code = [&](auto change) {
    crypto::LeafSpec spec = pki_.Spec(Role::kReader);
    change(spec);
    return Call(ChannelWith(spec)).error_code();
  };
  EXPECT_EQ(code([](crypto::LeafSpec&) {}), grpc::StatusCode::OK);
  EXPECT_EQ(code([&](crypto::LeafSpec& s) { s.uri_sans.push_back(pki_.Id(Role::kOperator)); }),
            grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(code([](crypto::LeafSpec& s) {
              s.uri_sans.clear();
              s.dns_sans.clear();
              s.ip_sans.clear();
              s.common_name = "reader/test";
            }),
            grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(code([&](crypto::LeafSpec& s) {
              s.dns_sans = {s.uri_sans[0]};
              s.uri_sans.clear();
            }),
            grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(code([](crypto::LeafSpec& s) { s.uri_sans = {"spiffe:///reader/test"}; }),
            grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(code([](crypto::LeafSpec& s) { s.uri_sans = {"spiffe://test.virp.example/reader/../operator/test"}; }),
            grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(code([](crypto::LeafSpec& s) { s.uri_sans = {"spiffe://other.example/reader/test"}; }),
            grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(code([](crypto::LeafSpec& s) { s.uri_sans = {"spiffe://test.virp.example/admin/test"}; }),
            grpc::StatusCode::PERMISSION_DENIED);
  // Expired: the handshake fails.
  EXPECT_EQ(code([](crypto::LeafSpec& s) {
              s.not_after = s.not_before;
              s.not_before -= kHour;
            }),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(handlers_->calls, 1);
}

TEST_F(ServerTest, NoCertificateAndForeignAuthorityAreRefused) {
  Start();
  grpc::SslCredentialsOptions ssl;
  ssl.pem_root_certs = pki_.ca().certificate_pem();
  EXPECT_EQ(Call(grpc::CreateChannel(server_->address(), grpc::SslCredentials(ssl))).error_code(),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Call(grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials())).error_code(),
            grpc::StatusCode::UNAVAILABLE);

  TestPki foreign;  // same names, another key
  TlsFiles files = foreign.Files(Role::kReader);
  files.roots = pki_.dir() + "/ca.crt";
  const ExpectedServer expected{.role = Role::kOnode, .spiffe_id = "", .check_host = false};
  EXPECT_EQ(Call(pki_.Channel(server_->address(), files, expected)).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(handlers_->calls, 0);
}

TEST_F(ServerTest, HandshakesThatFailAreCounted) {
  StartWith([](ServerOptions& options) { options.limits.handshake_timeout = std::chrono::milliseconds(500); });
  ASSERT_TRUE(Call(pki_.Channel(*server_, Role::kReader)).ok());
  {
    const FileDescriptor silent = testutil::ConnectTo(server_->port());
    const FileDescriptor garbage = testutil::ConnectTo(server_->port());
    ASSERT_GT(::send(garbage.get(), "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL), 0);
    EXPECT_TRUE(testutil::ClosedByPeer(silent.get()));
    EXPECT_TRUE(testutil::ClosedByPeer(garbage.get()));
  }
  EXPECT_TRUE(Eventually([&] { return server_->failed_handshakes() == 2; })) << server_->failed_handshakes();
  TestPki foreign;
  TlsFiles files = foreign.Files(Role::kReader);
  files.roots = pki_.dir() + "/ca.crt";
  EXPECT_FALSE(
      Call(pki_.Channel(server_->address(), files, {.role = Role::kOnode, .spiffe_id = "", .check_host = false})).ok());
  EXPECT_TRUE(Eventually([&] { return server_->failed_handshakes() >= 3; }));  // a channel may try more than once
  const std::uint64_t failed = server_->failed_handshakes();
  // Known to the authority and to nobody here: a refusal with a reason, no failed handshake.
  crypto::LeafSpec stranger = pki_.Spec(Role::kReader);
  stranger.uri_sans = {"spiffe://test.virp.example/nobody/test"};
  EXPECT_FALSE(Call(ChannelWith(stranger)).ok());
  ASSERT_TRUE(Call(pki_.Channel(*server_, Role::kReader)).ok());
  // What was accepted before is judged before: the next failure to show is this one.
  {
    const FileDescriptor last = testutil::ConnectTo(server_->port());
    ASSERT_GT(::send(last.get(), "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL), 0);
    EXPECT_TRUE(testutil::ClosedByPeer(last.get()));
  }
  EXPECT_TRUE(Eventually([&] { return server_->failed_handshakes() > failed; }));
  EXPECT_EQ(server_->failed_handshakes(), failed + 1);
}

TEST_F(ServerTest, ClientsRefuseTheWrongServer) {
  Start();
  const auto call = [&](const ExpectedServer& expected) {
    return Call(pki_.Channel(server_->address(), pki_.Files(Role::kReader), expected)).error_code();
  };
  EXPECT_EQ(call({.role = Role::kOnode, .spiffe_id = "", .check_host = true}), grpc::StatusCode::OK);
  EXPECT_EQ(call({.role = std::nullopt, .spiffe_id = pki_.Id(Role::kOnode), .check_host = false}),
            grpc::StatusCode::OK);
  EXPECT_EQ(call({.role = Role::kCollector, .spiffe_id = "", .check_host = false}), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(call({.role = Role::kOnode, .spiffe_id = pki_.Id(Role::kOnode, "other"), .check_host = false}),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(handlers_->calls, 2);
}

// --- Starting and ending ---

TEST_F(ServerTest, WrongConfigurationIsSaidBeforeListening) {
  security_ = pki_.MakeSecurity(Rows());
  handlers_ = std::make_unique<Handlers>(security_.callers);
  const std::vector<ServedService> services = {{handlers_.get(), EchoService::service_full_name()}};
  const SystemClock clock;
  const auto start = [&](const ServerOptions& options, const Security& security) {
    return ServerRunner::Start(options, security, clock, services).status();
  };
  const ServerOptions good = pki_.Options(pki_.Files(Role::kOnode));
  ServerOptions options = good;
  options.listen = "localhost";
  EXPECT_THAT(start(options, security_), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("host:port")));
  options = good;
  options.tls.private_key = "/nowhere/key";
  EXPECT_THAT(start(options, security_), StatusIs(absl::StatusCode::kNotFound, HasSubstr("/nowhere/key")));
  options = good;
  options.tls.private_key = pki_.Files(Role::kReader).private_key;
  EXPECT_THAT(start(options, security_),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not the certificate's")));
  options = good;
  options.tls.roots = options.tls.private_key;
  EXPECT_THAT(start(options, security_), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(options.tls.roots)));

  std::vector<MethodRule> rows = Rows();
  rows.pop_back();
  EXPECT_THAT(start(good, pki_.MakeSecurity(rows)),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("Hidden has no row")));

  const auto first = ServerRunner::Start(good, security_, clock, services);
  ASSERT_OK(first);
  options = good;
  options.listen = (*first)->address();
  EXPECT_THAT(start(options, security_),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr((*first)->address())));
}

TEST_F(ServerTest, ExpiredCertificateStartsButIsNotReady) {
  crypto::LeafSpec spec = pki_.Spec(Role::kOnode);
  spec.not_after = spec.not_before + kHour / 2;
  pki_.Issue(spec, "onode-test");
  Start();
  EXPECT_THAT(server_->Ready(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(Call(pki_.Channel(*server_, Role::kReader)).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(ServerTest, DrainLetsRunningCallsEndAndCancelsTheRest) {
  Start();
  const auto stub = EchoService::NewStub(pki_.Channel(*server_, Role::kCollector));
  grpc::ClientContext finishing_context;
  grpc::ClientContext hanging_context;
  const auto finishing = stub->Chat(&finishing_context);
  const auto hanging = stub->Chat(&hanging_context);
  ChatResponse response;
  ASSERT_TRUE(finishing->Write(ChatRequest()) && finishing->Read(&response));
  ASSERT_TRUE(hanging->Write(ChatRequest()) && hanging->Read(&response));
  std::thread drain([&] { server_->Drain(std::chrono::milliseconds(0), std::chrono::milliseconds(300)); });
  ASSERT_TRUE(finishing->Write(ChatRequest()) && finishing->Read(&response));
  finishing->WritesDone();
  EXPECT_TRUE(finishing->Finish().ok());
  drain.join();
  EXPECT_EQ(hanging->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_FALSE(Call(pki_.Channel(*server_, Role::kReader)).ok());
}

TEST_F(ServerTest, TooLargeMessagesAreRefused) {
  Start();
  grpc::ClientContext context;
  EchoRequest request;
  EchoResponse response;
  request.set_text(std::string(5 * 1024 * 1024, 'x'));
  const auto stub = EchoService::NewStub(pki_.Channel(*server_, Role::kReader));
  EXPECT_EQ(stub->Echo(&context, request, &response).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(handlers_->calls, 0);
}

TEST_F(ServerTest, SilentStrangersAreCutOff) {
  StartWith([](ServerOptions& options) { options.limits.handshake_timeout = std::chrono::milliseconds(200); });
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_GE(fd, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(server_->port()));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  pollfd waiting{fd, POLLIN, 0};
  EXPECT_EQ(poll(&waiting, 1, 20'000), 1);  // says nothing, and is hung up on
  char byte = 0;
  EXPECT_LE(recv(fd, &byte, 1, 0), 0);
  close(fd);
}

// However much a connection has carried: what its handlers got counts for nothing.
TEST_F(ServerTest, WhatHandlersGotIsHeldAgainstNobody) {
  StartWith([](ServerOptions& options) { options.receive = {.bytes = 8 << 20, .resident = 0}; });
  const std::string megabyte(1 << 20, 'x');

  grpc::ClientContext chat_context;
  const auto collector = EchoService::NewStub(pki_.Channel(*server_, Role::kCollector));
  const auto chat = collector->Chat(&chat_context);
  ChatRequest said;
  said.set_text(megabyte);
  ChatResponse heard;
  for (int i = 0; i < 64; ++i) ASSERT_TRUE(chat->Write(said) && chat->Read(&heard)) << i;

  const auto reader = EchoService::NewStub(pki_.Channel(*server_, Role::kReader));
  EchoRequest request;
  request.set_text(megabyte);
  for (int i = 0; i < 64; ++i) {
    grpc::ClientContext context;
    EchoResponse response;
    const grpc::Status status = reader->Echo(&context, request, &response);
    ASSERT_TRUE(status.ok()) << i << ": " << status.error_message();
  }
  ASSERT_TRUE(chat->Write(said) && chat->Read(&heard)) << "the other connection is open still";
  chat->WritesDone();
  EXPECT_TRUE(chat->Finish().ok());
  EXPECT_TRUE(Refusals().empty());
}

TEST_F(ServerTest, ConnectionsBeyondTheCapAreClosedAndSaid) {
  StartWith([](ServerOptions& options) { options.connections.max_connections = 1; });
  auto first = pki_.Channel(*server_, Role::kReader);
  ASSERT_TRUE(Call(first).ok());
  EXPECT_EQ(server_->connections(), 1);
  EXPECT_EQ(Call(pki_.Channel(*server_, Role::kReader)).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(Refusals().at(0).status, ReasonIs("TOO_MANY_CONNECTIONS"));
  EXPECT_TRUE(Call(first).ok());
  first.reset();
  EXPECT_TRUE(Eventually([&] { return Call(pki_.Channel(*server_, Role::kReader)).ok(); }));
}

TEST_F(ServerTest, ConnectionsAreReplacedUnseenAtTheirMaximumAge) {
  StartWith([](ServerOptions& options) { options.limits.max_connection_age = std::chrono::milliseconds(100); });
  const auto channel = pki_.Channel(*server_, Role::kReader);
  bool all = true;
  bool replaced = false;
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (all && !replaced && std::chrono::steady_clock::now() < until) {
    all = Call(channel).ok();
    replaced = channel->GetState(false) != GRPC_CHANNEL_READY;
  }
  EXPECT_TRUE(all);
  EXPECT_TRUE(replaced);
  EXPECT_TRUE(Call(channel).ok());
}

// --- Parts ---

TEST_F(ServerTest, StreamGuardLooksOnceAnInterval) {
  FakeClock clock(SystemClock().NowNanos());
  const CallerResolver resolver(pki_.identities(), nullptr, clock);
  Identity identity;
  identity.not_after = clock.NowNanos() + 90ULL * 1'000'000'000ULL;
  StreamGuard guard(resolver, identity, nullptr);
  EXPECT_OK(guard.Check());
  clock.Advance(std::chrono::seconds(60));
  EXPECT_OK(guard.Check());
  clock.Advance(std::chrono::seconds(59));
  EXPECT_OK(guard.Check());  // expired, but not looked at again yet
  clock.Advance(std::chrono::seconds(1));
  EXPECT_THAT(guard.Check(), ReasonIs("CERTIFICATE_EXPIRED"));
  clock.SetWall(0);
  EXPECT_THAT(guard.Check(), ReasonIs("CERTIFICATE_EXPIRED"));  // a refusal stays
  EXPECT_EQ(resolver.CancelRevokedStreams(), 0);
}

TEST_F(ServerTest, ChannelsMustSayWhomTheyExpect) {
  ChannelOptions options;
  options.target = "localhost:1";
  options.tls = pki_.Files(Role::kReader);
  options.identities = pki_.identities();
  EXPECT_THAT(MakeChannel(options), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("role")));
  options.server.role = Role::kOnode;
  options.identities = nullptr;
  EXPECT_THAT(MakeChannel(options), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ServerTest, ServerCertificatesAreJudgedStrictly) {
  const auto check = [&](const crypto::LeafSpec& spec, const ExpectedServer& expected, std::string_view host,
                         const DenyList* denied = nullptr) {
    return CheckServerCertificate(expected, *pki_.identities(), denied, pki_.ca().IssueUnchecked(spec)->certificate_pem,
                                  host);
  };
  const ExpectedServer onode{.role = Role::kOnode, .spiffe_id = "", .check_host = true};
  const crypto::LeafSpec good = pki_.Spec(Role::kOnode);
  for (const char* host : {"localhost", "localhost:443", "127.0.0.1:443", "[::1]:443", "::1"})
    EXPECT_OK(check(good, onode, host)) << host;
  for (const char* host : {"", ":443", "[", "[]:443", "[::2]:443", "localhost.example", "127.0.0.2"})
    EXPECT_FALSE(check(good, onode, host).ok()) << host;
  crypto::LeafSpec two = good;
  two.uri_sans.push_back(pki_.Id(Role::kOnode, "x"));
  EXPECT_THAT(check(two, onode, "localhost"), StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_THAT(check(pki_.Spec(Role::kReader), onode, "localhost"),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("reader")));
  const std::string deny = pki_.dir() + "/denied";
  WriteWhole(deny, "id " + pki_.Id(Role::kOnode) + "\n");
  const auto denied = DenyList::Open(deny);
  ASSERT_OK(denied);
  EXPECT_THAT(check(good, onode, "localhost", denied->get()), StatusIs(absl::StatusCode::kPermissionDenied));
}

// A server, and an idle connection to it whose client asks for a sign of life as often as gRPC lets it: once a second.
struct IdleConnection {
  std::unique_ptr<ServerRunner> server;
  std::shared_ptr<grpc::Channel> channel;
};

IdleConnection ConnectIdle(TestPki& pki, const Security& security, Handlers& handlers, const Clock& clock,
                           std::chrono::milliseconds server_keepalive) {
  ServerOptions options = pki.Options(pki.Files(Role::kOnode));
  options.limits.keepalive_time = server_keepalive;
  auto server =
      testutil::Must(ServerRunner::Start(options, security, clock, {{&handlers, EchoService::service_full_name()}}));
  server->SetServing(true);
  ChannelOptions client;
  client.target = server->address();
  client.tls = pki.Files(Role::kReader);
  client.server = {.role = Role::kOnode, .spiffe_id = "", .check_host = true};
  client.identities = pki.identities();
  client.limits.keepalive_time = std::chrono::milliseconds(50);
  client.arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  auto channel = testutil::Must(MakeChannel(client));
  EXPECT_TRUE(channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(20)));
  return {std::move(server), std::move(channel)};
}

// Ends set alike get on, however long nothing is said; who asks much oftener is shown the door (too_many_pings, at the
// third that came too early). The first connection is older than the second, so it was asked as often.
TEST_F(ServerTest, KeepaliveOfAnIdleConnectionIsTaken) {
  Start();
  Handlers handlers(security_.callers);
  const SystemClock clock;
  const IdleConnection alike = ConnectIdle(pki_, security_, handlers, clock, std::chrono::milliseconds(50));
  const IdleConnection seldom = ConnectIdle(pki_, security_, handlers, clock, std::chrono::minutes(1));
  const auto patience = std::chrono::system_clock::now() + std::chrono::seconds(20);
  EXPECT_TRUE(seldom.channel->WaitForStateChange(GRPC_CHANNEL_READY, patience));
  EXPECT_EQ(alike.channel->GetState(false), GRPC_CHANNEL_READY);
}

}  // namespace
}  // namespace virp::service
