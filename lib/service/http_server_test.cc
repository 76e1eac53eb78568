#include "lib/service/http_server.h"

#include <gmock/gmock.h>
#include <sys/socket.h>

#include <csignal>

#include "lib/base/error_info.h"
#include "tests/testutil/program.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/test_pki.h"
#include "tests/testutil/tls_client.h"
#include "tests/testutil/wait.h"

namespace virp::service {
namespace {

using namespace std::chrono_literals;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using testutil::ConnectTo;
using testutil::Eventually;

class HttpServerTest : public ::testing::Test {
 protected:
  HttpServerTest() {
    std::signal(SIGPIPE, SIG_IGN);
    options_.name = "test";
    options_.listen = "127.0.0.1:0";
  }
  void Start() {
    const auto answer = [this](const http::Request& request, std::string_view leaf_pem) -> HttpAnswer {
      if (request.target == "/large") return {.response = {200, {}, ""}, .body = large_};
      return {{200, {}, request.target + (leaf_pem.empty() ? " by anybody" : " by somebody")}};
    };
    const auto refuse = [](int code, std::string_view why) { return http::Response{code, {}, std::string(why)}; };
    const auto refused = [this](const Refusal& refusal) {
      const MutexLock lock(mutex_);
      refused_.push_back(refusal.method + " " + GetReason(refusal.status));
    };
    ASSERT_OK_AND_ASSIGN(server_, HttpServer::Start(options_, answer, refuse, refused, clock_));
  }
  // What comes behind these bytes until the server closes.
  std::string Exchange(std::string_view bytes) {
    const FileDescriptor socket = ConnectTo(server_->port());
    EXPECT_OK(WriteAll(socket.get(), bytes, "server"));
    return All(socket.get());
  }
  static std::string All(int socket) {
    std::string out;
    std::vector<char> buffer(1 << 20);
    for (ssize_t got; (got = ::recv(socket, buffer.data(), buffer.size(), 0)) > 0;)
      out.append(buffer.data(), static_cast<std::size_t>(got));
    return out;
  }
  std::string Refused() {
    const MutexLock lock(mutex_);
    return refused_.empty() ? "" : refused_.back();
  }
  std::uint64_t Answered(int code) { return server_->Answers()[code]; }

  testutil::TestPki pki_;
  FakeClock clock_;
  HttpServerOptions options_;
  std::shared_ptr<const std::string> large_ = std::make_shared<const std::string>(32 << 20, 'x');
  Mutex mutex_;
  std::vector<std::string> refused_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<HttpServer> server_;
};

constexpr const char* kGet = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";

TEST_F(HttpServerTest, AnswersInPlainHttp) {
  Start();
  const std::string answer = Exchange(kGet);
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\ndate: "));
  EXPECT_THAT(answer, HasSubstr("\r\ncontent-length: 13\r\n"));
  EXPECT_THAT(answer, EndsWith("\r\n\r\n/a by anybody"));
  EXPECT_EQ(Answered(200), 1U);
}

TEST_F(HttpServerTest, AHeadGetsTheHeadOnly) {
  Start();
  const std::string answer = Exchange("HEAD /large HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(answer, HasSubstr("\r\ncontent-length: 33554432\r\n"));
  EXPECT_THAT(answer, EndsWith("\r\n\r\n"));
}

TEST_F(HttpServerTest, ALargeBodyComesWhole) {
  Start();
  EXPECT_THAT(Exchange("GET /large HTTP/1.1\r\nHost: x\r\n\r\n"), EndsWith("\r\n\r\n" + *large_));
}

TEST_F(HttpServerTest, WhatCannotBeReadIsRefused) {
  Start();
  EXPECT_THAT(Exchange("GET a HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(Exchange("GET /" + std::string(9000, 'x') + " HTTP/1.1\r\nHost: x\r\n\r\n"), StartsWith("HTTP/1.1 431 "));
  EXPECT_THAT(Exchange("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\n"), StartsWith("HTTP/1.1 413 "));
  EXPECT_EQ(Answered(431), 1U);
}

TEST_F(HttpServerTest, ASlowRequestIsCutOffAndHoldsNobody) {
  options_.patience = 300ms;
  Start();
  const FileDescriptor slow = ConnectTo(server_->port());
  ASSERT_OK(WriteAll(slow.get(), "GET /a HT", "server"));
  EXPECT_THAT(Exchange(kGet), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(All(slow.get()), StartsWith("HTTP/1.1 408 "));
}

TEST_F(HttpServerTest, WhoDoesNotReadIsCutOffAndHoldsNobody) {
  options_.stall = 300ms;
  Start();
  const FileDescriptor deaf = ConnectTo(server_->port());
  ASSERT_OK(WriteAll(deaf.get(), "GET /large HTTP/1.1\r\nHost: x\r\n\r\n", "server"));
  EXPECT_THAT(Exchange(kGet), StartsWith("HTTP/1.1 200 "));
  EXPECT_TRUE(Eventually([&] { return server_->connections() == 0; }));
  EXPECT_LT(All(deaf.get()).size(), large_->size());
}

// However evenly it reads: a body has its time.
// Each document that somebody is still reading is in memory.
TEST_F(HttpServerTest, WhoReadsSlowlyDoesNotKeepEveryDocument) {
  options_.stall = options_.answer = 60s;
  options_.most_other_bodies = 1;  // so three times the newest
  Start();
  std::vector<FileDescriptor> slow;
  for (std::uint64_t i = 0; i < 6; ++i) {
    if (i != 1) large_ = std::make_shared<const std::string>(16 << 20, static_cast<char>('a' + i));
    slow.push_back(ConnectTo(server_->port()));
    ASSERT_OK(WriteAll(slow.back().get(), "GET /large HTTP/1.1\r\nHost: x\r\n\r\n", "server"));
    ASSERT_TRUE(Eventually([&] { return Answered(200) == i + 1; }));
  }
  // The first two read the same, and are one too many beside the last.
  EXPECT_TRUE(Eventually([&] { return server_->connections() == 4; })) << server_->connections();
  for (std::size_t i = 0; i < slow.size(); ++i) {
    const std::string got = All(slow[i].get());
    if (i < 2) {
      EXPECT_LT(got.size(), large_->size()) << i;
    } else {
      EXPECT_GT(got.size(), large_->size()) << i;
    }
  }
}

TEST_F(HttpServerTest, WhoReadsForEverIsCutOff) {
  options_.answer = 300ms;
  Start();
  const FileDescriptor slow = ConnectTo(server_->port());
  ASSERT_OK(WriteAll(slow.get(), "GET /large HTTP/1.1\r\nHost: x\r\n\r\n", "server"));
  std::size_t total = 0;
  char buffer[256];
  EXPECT_TRUE(Eventually([&] {
    const ssize_t got = ::recv(slow.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
    total += got > 0 ? static_cast<std::size_t>(got) : 0;
    return server_->connections() == 0;
  }));
  EXPECT_LT(total, large_->size());
}

TEST_F(HttpServerTest, ConnectionsAreLimited) {
  options_.connections = {.max_connections = 8, .max_per_address = 2};
  Start();
  const FileDescriptor one = ConnectTo(server_->port()), two = ConnectTo(server_->port());
  ASSERT_TRUE(Eventually([&] { return server_->connections() == 2; }));
  EXPECT_TRUE(testutil::ClosedByPeer(ConnectTo(server_->port()).get()));
  EXPECT_TRUE(Eventually([&] { return Refused() == "(test connection) TOO_MANY_FROM_ADDRESS"; })) << Refused();
}

// Whether the server has closed it, without waiting.
bool IsClosed(const FileDescriptor& socket) {
  char byte = 0;
  return ::recv(socket.get(), &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

TEST_F(HttpServerTest, SilenceKeepsNobodyOut) {
  options_.connections = {.max_connections = 8, .max_per_address = 3};
  options_.make_room = true;
  options_.patience = 60s;
  Start();
  std::vector<FileDescriptor> silent;
  for (int i = 0; i < 20; ++i) {
    silent.push_back(ConnectTo(server_->port()));
    ASSERT_OK(WriteAll(silent.back().get(), "GET", "server"));
    EXPECT_THAT(Exchange(kGet), StartsWith("HTTP/1.1 200 ")) << i;
  }
  // The oldest went first.
  EXPECT_TRUE(Eventually([&] { return IsClosed(silent[16]); }));
  // However many come at once.
  for (int i = 0; i < 300; ++i) silent.push_back(ConnectTo(server_->port()));
  EXPECT_THAT(Exchange(kGet), StartsWith("HTTP/1.1 200 "));
  EXPECT_EQ(Refused(), "");
}

TEST_F(HttpServerTest, WhoIsAnsweredIsNotCutOff) {
  options_.connections = {.max_connections = 8, .max_per_address = 2};
  options_.make_room = true;
  Start();
  const FileDescriptor one = ConnectTo(server_->port()), two = ConnectTo(server_->port());
  for (const FileDescriptor* deaf : {&one, &two})
    ASSERT_OK(WriteAll(deaf->get(), "GET /large HTTP/1.1\r\nHost: x\r\n\r\n", "server"));
  ASSERT_TRUE(Eventually([&] { return Answered(200) == 2; }));
  EXPECT_TRUE(testutil::ClosedByPeer(ConnectTo(server_->port()).get()));
  EXPECT_TRUE(Eventually([&] { return Refused() == "(test connection) TOO_MANY_CONNECTIONS"; })) << Refused();
  EXPECT_GT(All(one.get()).size(), large_->size());
  EXPECT_GT(All(two.get()).size(), large_->size());
}

TEST_F(HttpServerTest, OverTlsWithAndWithoutACertificateOfTheClient) {
  options_.tls = HttpTls{.files = pki_.Files(Role::kRtrBridge), .clients = TlsAcceptor::ClientCertificate::kOptional};
  Start();
  const auto ask = [&](const TlsFiles& files) {
    testutil::TlsClient client(ConnectTo(server_->port()), {files.roots, files.certificate, files.private_key, 0, ""});
    EXPECT_TRUE(client.ok()) << client.error();
    EXPECT_TRUE(client.Write(kGet));
    std::string out;
    for (auto some = client.ReadSome(); some && !some->empty(); some = client.ReadSome()) out += *some;
    return out;
  };
  const TlsFiles files = pki_.Files(Role::kReader);
  EXPECT_THAT(ask(files), EndsWith("/a by somebody"));
  EXPECT_THAT(ask({.certificate = "", .private_key = "", .roots = files.roots}), EndsWith("/a by anybody"));
}

TEST_F(HttpServerTest, PlainBytesOnATlsPortAreAFailedHandshake) {
  options_.tls = HttpTls{.files = pki_.Files(Role::kRtrBridge)};
  Start();
  static_cast<void>(Exchange(kGet));
  EXPECT_TRUE(Eventually([&] { return Answered(0) == 1; }));
  EXPECT_TRUE(Eventually([&] { return Refused() == "(test handshake) BAD_HANDSHAKE"; })) << Refused();
}

TEST_F(HttpServerTest, StopCutsWhatIsOpen) {
  Start();
  const FileDescriptor silent = ConnectTo(server_->port());
  EXPECT_THAT(Exchange(kGet), StartsWith("HTTP/1.1 200 "));  // it came later, so the silent one is served, too
  server_->Stop();
  EXPECT_TRUE(testutil::ClosedByPeer(silent.get()));
}

}  // namespace
}  // namespace virp::service
