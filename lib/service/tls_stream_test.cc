#include "lib/service/tls_stream.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <csignal>
#include <future>
#include <thread>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/pki.h"
#include "lib/service/logging.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/test_pki.h"
#include "tests/testutil/tls_client.h"

namespace virp::service {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testutil::ConnectTo;
using testutil::ReasonIs;
using testutil::TestPki;
using testutil::TlsClient;
using Clients = TlsAcceptor::ClientCertificate;
using Accepted = absl::StatusOr<std::unique_ptr<TlsStream>>;

class TlsStreamTest : public testing::Test {
 protected:
  TlsStreamTest() {
    std::signal(SIGPIPE, SIG_IGN);
    listener_ = FileDescriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(at);
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&at), size), 0);
    EXPECT_EQ(::listen(listener_.get(), 8), 0);
    EXPECT_EQ(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&at), &size), 0);
    port_ = ntohs(at.sin_port);
  }

  void MakeAcceptor(Clients clients = Clients::kNone) {
    ASSERT_OK_AND_ASSIGN(acceptor_, TlsAcceptor::Make(pki_.Files(Role::kCollector), clients, clock_, 1s));
  }
  // Accepts the next connection in another thread.
  std::future<Accepted> Accept(std::chrono::nanoseconds timeout = 20s) {
    return std::async(std::launch::async, [this, timeout]() -> Accepted {
      server_ = FileDescriptor(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      return acceptor_->Accept(server_.get(), timeout);
    });
  }
  TlsClient::Options As(Role role, bool with_certificate = true) {
    const TlsFiles files = pki_.Files(role);
    return with_certificate ? TlsClient::Options{files.roots, files.certificate, files.private_key, 0}
                            : TlsClient::Options{files.roots, "", "", 0};
  }
  // Reads until `size` bytes came, the peer closed or something broke.
  absl::StatusOr<std::string> ReadAll(TlsStream& stream, std::size_t size) {
    std::string out;
    std::array<char, 16 << 10> buffer{};
    while (out.size() < size) {
      ASSIGN_OR_RETURN(const auto got, stream.Read(buffer));
      if (got && *got == 0) break;
      if (got) {
        out.append(buffer.data(), *got);
        continue;
      }
      pollfd ready{server_.get(), stream.poll_events(), 0};
      if (::poll(&ready, 1, 20'000) != 1) return DeadlineExceeded("nothing came");
    }
    return out;
  }

  TestPki pki_;
  FakeClock clock_{1'000'000'000};
  FileDescriptor listener_, server_;
  int port_ = 0;
  std::unique_ptr<TlsAcceptor> acceptor_;
};

TEST_F(TlsStreamTest, CarriesBytesAndSaysWhoIsThere) {
  MakeAcceptor(Clients::kRequired);
  auto accepted = Accept();
  TlsClient client(ConnectTo(port_), As(Role::kProducer));
  ASSERT_TRUE(client.ok()) << client.error();
  ASSERT_OK_AND_ASSIGN(const auto stream, accepted.get());
  ASSERT_OK_AND_ASSIGN(const auto info, crypto::ParseCertificate(stream->peer_certificate_pem()));
  EXPECT_THAT(info.uri_sans, testing::ElementsAre(pki_.Id(Role::kProducer)));
  const std::string big(100'000, 'x');
  std::thread writer([&] { EXPECT_TRUE(client.Write(big)); });
  EXPECT_THAT(ReadAll(*stream, big.size()), testutil::IsOkAndHolds(big));
  writer.join();
  client.Close();
  EXPECT_THAT(ReadAll(*stream, 1), testutil::IsOkAndHolds(""));
}

TEST_F(TlsStreamTest, RecordsMayArriveByteByByte) {
  MakeAcceptor();
  auto accepted = Accept();
  // The client speaks to us through a relay that passes single bytes on.
  std::array<int, 2> pair{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
  const FileDescriptor inner(pair[1]);
  const FileDescriptor outer = ConnectTo(port_);
  const int on = 1;
  ::setsockopt(outer.get(), IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof(on));
  std::atomic<bool> stop{false};
  const auto relay = [&stop](int from, int to, std::size_t piece) {
    std::array<char, 4096> bytes{};
    while (!stop) {
      pollfd ready{from, POLLIN, 0};
      if (::poll(&ready, 1, 50) <= 0) continue;
      const ssize_t got = ::recv(from, bytes.data(), piece, 0);
      if (got <= 0 || ::send(to, bytes.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL) != got) return;
    }
  };
  std::jthread up([&] { relay(inner.get(), outer.get(), 1); });
  std::jthread down([&] { relay(outer.get(), inner.get(), 4096); });
  TlsClient client(FileDescriptor(pair[0]), As(Role::kProducer, /*with_certificate=*/false));
  ASSERT_TRUE(client.ok()) << client.error();
  ASSERT_OK_AND_ASSIGN(const auto stream, accepted.get());
  EXPECT_EQ(stream->peer_certificate_pem(), "");
  EXPECT_TRUE(client.Write("one"));
  EXPECT_TRUE(client.Write("two"));
  EXPECT_THAT(ReadAll(*stream, 6), testutil::IsOkAndHolds("onetwo"));
  stop = true;
}

TEST_F(TlsStreamTest, GarbageAndOldVersionsAreNoHandshake) {
  MakeAcceptor();
  for (const std::string_view garbage :
       {std::string_view("GET / HTTP/1.1\r\n\r\n"), std::string_view("\x16\x03\x01\xff\xff", 5),
        std::string_view("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", 10), std::string_view("\0\0\0\0\0\0", 6)}) {
    auto accepted = Accept();
    const FileDescriptor client = ConnectTo(port_);
    EXPECT_EQ(::send(client.get(), garbage.data(), garbage.size(), MSG_NOSIGNAL), static_cast<ssize_t>(garbage.size()));
    ::shutdown(client.get(), SHUT_WR);
    EXPECT_THAT(accepted.get(), ReasonIs("BAD_HANDSHAKE"));
  }
  auto accepted = Accept();
  TlsClient::Options old = As(Role::kProducer);
  old.max_version = TLS1_2_VERSION;
  EXPECT_FALSE(TlsClient(ConnectTo(port_), old).ok());
  EXPECT_THAT(accepted.get(), ReasonIs("BAD_HANDSHAKE"));
}

TEST_F(TlsStreamTest, CertificatesOfOthersAreRefused) {
  MakeAcceptor(Clients::kRequired);
  TestPki stranger;
  TlsClient::Options options = As(Role::kProducer);
  const TlsFiles files = stranger.Files(Role::kProducer);
  options.certificate = files.certificate;
  options.private_key = files.private_key;
  auto accepted = Accept();
  TlsClient other(ConnectTo(port_), options);
  EXPECT_THAT(accepted.get(), ReasonIs("BAD_CERTIFICATE"));

  accepted = Accept();
  TlsClient none(ConnectTo(port_), As(Role::kProducer, /*with_certificate=*/false));
  EXPECT_THAT(accepted.get(), ReasonIs("NO_CERTIFICATE"));

  crypto::LeafSpec spec = pki_.Spec(Role::kProducer);
  spec.not_after = spec.not_before + 1'000'000'000;  // ran out an hour ago
  const TlsFiles expired = pki_.Issue(spec, "expired");
  accepted = Accept();
  TlsClient late(ConnectTo(port_), {expired.roots, expired.certificate, expired.private_key, 0});
  EXPECT_THAT(accepted.get(), ReasonIs("BAD_CERTIFICATE"));
}

TEST_F(TlsStreamTest, SlowHandshakesEnd) {
  MakeAcceptor();
  auto accepted = Accept(100ms);
  const FileDescriptor silent = ConnectTo(port_);
  EXPECT_THAT(accepted.get(), ReasonIs("SLOW_HANDSHAKE"));

  // Bytes that keep coming do not make it longer.
  accepted = Accept(300ms);
  const FileDescriptor drip = ConnectTo(port_);
  const auto begin = std::chrono::steady_clock::now();
  const std::string hello = std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11) + std::string(500, 'x');
  for (std::size_t i = 0; accepted.wait_for(20ms) != std::future_status::ready; ++i) {
    ASSERT_LT(std::chrono::steady_clock::now() - begin, 20s);
    ::send(drip.get(), &hello[i % hello.size()], 1, MSG_NOSIGNAL);
  }
  EXPECT_THAT(accepted.get(), ReasonIs("SLOW_HANDSHAKE"));
}

TEST_F(TlsStreamTest, ABrokenRecordEndsTheConnection) {
  MakeAcceptor();
  auto accepted = Accept();
  TlsClient client(ConnectTo(port_), As(Role::kProducer, /*with_certificate=*/false));
  ASSERT_TRUE(client.ok()) << client.error();
  ASSERT_OK_AND_ASSIGN(const auto stream, accepted.get());
  const std::string forged = std::string("\x17\x03\x03\x00\x20", 5) + std::string(32, 'x');
  ASSERT_EQ(::send(client.socket(), forged.data(), forged.size(), MSG_NOSIGNAL), static_cast<ssize_t>(forged.size()));
  EXPECT_THAT(ReadAll(*stream, 1), ReasonIs("BAD_RECORD"));
}

TEST_F(TlsStreamTest, ACutConnectionIsAnEnd) {
  MakeAcceptor();
  auto accepted = Accept();
  TlsClient client(ConnectTo(port_), As(Role::kProducer, /*with_certificate=*/false));
  ASSERT_OK_AND_ASSIGN(const auto stream, accepted.get());
  ASSERT_TRUE(client.Write("last words"));
  ::shutdown(client.socket(), SHUT_RDWR);
  EXPECT_THAT(ReadAll(*stream, 1'000), testutil::IsOkAndHolds("last words"));
}

TEST_F(TlsStreamTest, NewFilesCountFromTheNextHandshake) {
  const TlsFiles files = pki_.Issue(pki_.Spec(Role::kCollector), "server");
  ASSERT_OK_AND_ASSIGN(acceptor_, TlsAcceptor::Make(files, Clients::kNone, clock_, 1s));
  const auto serial = [&] {
    auto accepted = Accept();
    const TlsClient client(ConnectTo(port_), As(Role::kProducer, /*with_certificate=*/false));
    EXPECT_OK(accepted.get());
    return client.ServerSerial();
  };
  const std::string first = serial();
  pki_.Issue(pki_.Spec(Role::kCollector), "server");
  EXPECT_EQ(serial(), first) << "files are looked at once a second";
  clock_.Advance(2s);
  const std::string second = serial();
  EXPECT_NE(second, first);
  // Broken files leave the last good ones in force.
  ASSERT_OK(ReplaceFile(files.certificate, "not a certificate"));
  clock_.Advance(2s);
  EXPECT_EQ(serial(), second);
}

TEST_F(TlsStreamTest, AnOlderVersionIsSpokenWhereItIsAskedFor) {
  ASSERT_OK_AND_ASSIGN(acceptor_, TlsAcceptor::Make(pki_.Files(Role::kCollector), Clients::kRequired, clock_, 1s,
                                                    TlsAcceptor::Oldest::kTls12));
  TlsClient::Options old = As(Role::kProducer);
  old.max_version = TLS1_2_VERSION;
  auto accepted = Accept();
  TlsClient client(ConnectTo(port_), old);
  ASSERT_TRUE(client.ok()) << client.error();
  ASSERT_OK_AND_ASSIGN(const auto stream, accepted.get());
  EXPECT_THAT(stream->Write("hello"), testutil::IsOkAndHolds(testing::Optional(5U)));
  EXPECT_EQ(client.ReadSome(), "hello");
  old.max_version = TLS1_1_VERSION;
  accepted = Accept();
  EXPECT_FALSE(TlsClient(ConnectTo(port_), old).ok());
  EXPECT_THAT(accepted.get(), ReasonIs("BAD_HANDSHAKE"));
}

TEST_F(TlsStreamTest, AClientLooksWhomItSpeaksTo) {
  MakeAcceptor(Clients::kRequired);
  const auto connect = [&](const TlsFiles& files, absl::Status verdict) -> absl::StatusOr<std::string> {
    const FileDescriptor socket = ConnectTo(port_);
    ::fcntl(socket.get(), F_SETFL, O_NONBLOCK);
    std::string seen;
    const auto check = [&](std::string_view leaf) {
      seen = crypto::ParseCertificate(leaf)->uri_sans.at(0);
      return verdict;
    };
    ASSIGN_OR_RETURN(const auto stream, ConnectTls(socket.get(), files, "localhost", check, 20s));
    return seen;
  };
  auto accepted = Accept();
  EXPECT_THAT(connect(pki_.Files(Role::kProducer), absl::OkStatus()),
              testutil::IsOkAndHolds(pki_.Id(Role::kCollector)));
  EXPECT_OK(accepted.get());
  accepted = Accept();
  EXPECT_THAT(connect(pki_.Files(Role::kProducer), WithReason(Unauthenticated("another"), "ANOTHER")),
              ReasonIs("ANOTHER"));
  accepted.get().IgnoreError();
  TestPki stranger;
  accepted = Accept();
  EXPECT_THAT(connect(stranger.Files(Role::kProducer), absl::OkStatus()), ReasonIs("BAD_CERTIFICATE"));
  EXPECT_THAT(accepted.get(), ReasonIs("BAD_HANDSHAKE"));
  const FileDescriptor nobody = ConnectTo(port_);  // accepts, and says nothing
  ::fcntl(nobody.get(), F_SETFL, O_NONBLOCK);
  EXPECT_THAT(ConnectTls(
                  nobody.get(), pki_.Files(Role::kProducer), "localhost",
                  [](std::string_view) { return absl::OkStatus(); }, 50ms),
              ReasonIs("SLOW_HANDSHAKE"));
}

TEST_F(TlsStreamTest, WritingWaitsForNobodyAndEndsWithThePeer) {
  MakeAcceptor();
  auto accepted = Accept();
  TlsClient client(ConnectTo(port_), As(Role::kProducer, /*with_certificate=*/false));
  ASSERT_OK_AND_ASSIGN(const auto stream, accepted.get());
  const std::string big(1 << 20, 'x');
  std::size_t sent = 0;
  for (bool full = false; !full;) {  // nobody reads, so it is full some time
    ASSERT_LT(sent, 200U << 20);
    ASSERT_OK_AND_ASSIGN(const auto part, stream->Write(big));
    full = !part.has_value();
    sent += part.value_or(0);
  }
  EXPECT_EQ(stream->poll_events(), POLLOUT);
  ::shutdown(client.socket(), SHUT_RDWR);
  ::shutdown(server_.get(), SHUT_RDWR);
  EXPECT_THAT(stream->Write(big), testutil::StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(TlsStreamTest, FilesThatDoNotDoAreNamed) {
  TlsFiles files = pki_.Files(Role::kCollector);
  files.private_key = pki_.Files(Role::kProducer).private_key;
  EXPECT_THAT(TlsAcceptor::Make(files, Clients::kNone, clock_).status().ToString(), HasSubstr(files.private_key));
  files = pki_.Files(Role::kCollector);
  files.roots = pki_.dir() + "/nothing-here.crt";
  EXPECT_THAT(TlsAcceptor::Make(files, Clients::kNone, clock_).status().ToString(), HasSubstr("nothing-here.crt"));
}

}  // namespace
}  // namespace virp::service
