// Web servers as they are met, and worse: whatever one does, the caller gets an error that says what it was, in time
// and within its memory.
#include <gmock/gmock.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/inotify.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "lib/base/error_info.h"
#include "lib/http/fetch.h"
#include "lib/service/http_server.h"
#include "services/rtr-bridge/transport/source_runner.h"
#include "services/rtr-bridge/transport/web_fixture.h"
#include "tests/testutil/program.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/test_pki.h"
#include "tests/testutil/tls_client.h"

namespace virp::rtr_bridge {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Ok;
using testing::Say;
using testing::WebPeer;
using testing::WebServer;

class HttpFetchTest : public ::testing::Test {
 protected:
  HttpFetchTest() {
    options_.user_agent = "virp-rtr-bridge";
    std::signal(SIGPIPE, SIG_IGN);
    for (const char* name :
         {"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "no_proxy"})
      ::unsetenv(name);
  }
  std::unique_ptr<http::HttpFetch> Make(const std::string& url) {
    options_.url = url;
    auto fetch = http::HttpFetch::Make(options_);
    EXPECT_OK(fetch);
    return *std::move(fetch);
  }
  absl::StatusOr<http::Fetched> Get(const std::string& url) { return Make(url)->Get(stop_); }
  // The reason that metrics count for what this server does.
  std::string_view FailureOf(WebServer::Script script) {
    const WebServer server(std::move(script));
    const auto got = Get(server.url());
    EXPECT_FALSE(got.ok());
    if (got.ok()) return "none";
    EXPECT_THAT(std::string(Message(got.status())), HasSubstr(server.url()));  // the log names the place
    return kFailures.at(FailureIndexOf(got.status()));
  }

  http::HttpFetchOptions options_;
  std::atomic<bool> stop_{false};
};

TEST_F(HttpFetchTest, GetsADocument) {
  const WebServer server(Say(Ok("{\"roas\": []}")));
  ASSERT_OK_AND_ASSIGN(const http::Fetched got, Get(server.url()));
  EXPECT_TRUE(got.changed);
  EXPECT_EQ(got.body, "{\"roas\": []}");
  EXPECT_THAT(server.requests().at(0), AllOf(HasSubstr("\r\nUser-Agent: virp-rtr-bridge\r\n"),
                                             HasSubstr("\r\nAccept: application/json\r\n"), Not(HasSubstr("If-"))));
}

// Only what is in use may be left out by the server: else a document that was refused would be taken for good.
TEST_F(HttpFetchTest, ConditionsAreThoseOfWhatWasKept) {
  WebServer server(Say(Ok("one", "ETag: \"a\"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n")));
  const auto fetch = Make(server.url());
  ASSERT_OK(fetch->Get(stop_));
  ASSERT_OK(fetch->Get(stop_));
  EXPECT_THAT(server.requests().at(1), Not(HasSubstr("If-")));
  fetch->Keep();
  server.Become(Say("HTTP/1.1 304 Not Modified\r\n\r\n"));
  ASSERT_OK_AND_ASSIGN(const http::Fetched same, fetch->Get(stop_));
  EXPECT_FALSE(same.changed);
  EXPECT_THAT(server.requests().at(2), AllOf(HasSubstr("\r\nIf-None-Match: \"a\"\r\n"),
                                             HasSubstr("\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n")));
  // A later answer that is not kept changes nothing.
  server.Become(Say(Ok("two", "ETag: \"b\"\r\n")));
  ASSERT_OK(fetch->Get(stop_));
  ASSERT_OK(fetch->Get(stop_));
  EXPECT_THAT(server.requests().at(4), HasSubstr("\r\nIf-None-Match: \"a\"\r\n"));
}

TEST_F(HttpFetchTest, AnUnaskedNotModifiedIsNoAnswer) {
  EXPECT_EQ(FailureOf(Say("HTTP/1.1 304 Not Modified\r\n\r\n")), "HTTP_STATUS");
}

TEST_F(HttpFetchTest, OtherStatusesAreFailures) {
  for (const char* status : {"500 Oops", "503 Busy", "429 Slower", "404 Gone", "403 No", "206 Part", "204 Nothing"}) {
    const std::string answer = "HTTP/1.1 " + std::string(status) + "\r\nContent-Length: 0\r\n\r\n";
    EXPECT_EQ(FailureOf(Say(answer)), "HTTP_STATUS") << status;
  }
}

TEST_F(HttpFetchTest, RedirectsAreFollowedAFewTimes) {
  const WebServer server([](const WebPeer& peer, const std::string& request) {
    const bool end = request.starts_with("GET /end ");
    peer.Send(end ? Ok("x", "ETag: \"new\"\r\n")
                  : "HTTP/1.1 302 Found\r\nLocation: /end\r\nETag: \"old\"\r\nContent-Length: 3\r\n\r\nold");
  });
  const auto fetch = Make(server.url());
  EXPECT_EQ(fetch->Get(stop_)->body, "x");
  fetch->Keep();
  ASSERT_OK(fetch->Get(stop_));
  EXPECT_THAT(server.requests().at(2), HasSubstr("\r\nIf-None-Match: \"new\"\r\n"));
  EXPECT_EQ(FailureOf(Say("HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")), "REDIRECT");
  EXPECT_EQ(FailureOf(Say("HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n")),
            "REDIRECT");
}

TEST_F(HttpFetchTest, AStalledServerIsGivenUp) {
  options_.stall_timeout = 1s;
  EXPECT_EQ(FailureOf([](const WebPeer& peer, const std::string&) { peer.Wait(); }), "TOO_SLOW");
  EXPECT_EQ(FailureOf([](const WebPeer& peer, const std::string&) {
              peer.Send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{");
              peer.Wait();
            }),
            "TOO_SLOW");
}

TEST_F(HttpFetchTest, ASlowDripIsGivenUp) {
  options_.stall_timeout = 1s;
  const auto drip = [](std::size_t piece) {
    return [piece](const WebPeer& peer, const std::string&) {
      peer.Send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
      while (peer.Stays(10ms) && peer.Send(std::string(piece, ' '))) {
      }
    };
  };
  EXPECT_EQ(FailureOf(drip(1)), "TOO_SLOW");
  // However evenly it comes: the whole has its time.
  options_.timeout = 500ms;
  EXPECT_EQ(FailureOf(drip(2000)), "TOO_SLOW");
}

TEST_F(HttpFetchTest, ABodyThatIsTooLargeIsNotTaken) {
  options_.max_bytes = 1'000'000;
  // By its own word; by what comes; without any word; and when it is unpacked.
  EXPECT_EQ(FailureOf(Say("HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n{")), "TOO_LARGE");
  EXPECT_EQ(FailureOf([](const WebPeer& peer, const std::string&) {
              peer.Send("HTTP/1.1 200 OK\r\n\r\n");
              for (int i = 0; i < 200 && peer.Send(std::string(1'000'000, ' ')); ++i) {
              }
            }),
            "TOO_LARGE");
  EXPECT_EQ(FailureOf([](const WebPeer& peer, const std::string&) {
              peer.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
              for (int i = 0; i < 200 && peer.Send("F4240\r\n" + std::string(1'000'000, ' ') + "\r\n"); ++i) {
              }
            }),
            "TOO_LARGE");
  const testutil::TempDir dir;
  std::ofstream(dir.File("zeros")) << std::string(50'000'000, '0');
  ASSERT_EQ(testutil::RunProgram({"/bin/gzip", dir.File("zeros")}).exit, 0);
  const std::string packed = testutil::FileText(dir.File("zeros.gz"));
  ASSERT_LT(packed.size(), options_.max_bytes);
  EXPECT_EQ(FailureOf(Say(Ok(packed, "Content-Encoding: gzip\r\n"))), "TOO_LARGE");
  const WebServer fits(Say(Ok(std::string(1'000'000, ' '))));
  EXPECT_OK(Get(fits.url()));
}

TEST_F(HttpFetchTest, ATruncatedBodyIsNotTaken) {
  for (const char* answer : {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"roas\": []}",
                             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nC\r\n{\"roas\": []}\r\n", ""})
    EXPECT_EQ(FailureOf(Say(answer)), "UNREACHABLE") << answer;
}

TEST_F(HttpFetchTest, GarbageAndNobody) {
  EXPECT_EQ(FailureOf(Say("SSH-2.0-OpenSSH_9.2\r\n")), "UNREACHABLE");
  int port = 0;
  {
    port = WebServer(Say("")).port();
  }
  const auto got = Get("http://127.0.0.1:" + std::to_string(port) + "/x");
  EXPECT_EQ(kFailures.at(FailureIndexOf(got.status())), "UNREACHABLE");
}

TEST_F(HttpFetchTest, StopEndsAGet) {
  const WebServer server([this](const WebPeer& peer, const std::string&) {
    stop_ = true;
    peer.Wait();
  });
  EXPECT_TRUE(absl::IsCancelled(Get(server.url()).status()));
}

TEST_F(HttpFetchTest, RefusesUrlsThatWillNotDo) {
  for (const char* url : {"", "ftp://a/x", "file:///etc/passwd", "http://", "https://user:secret@a/x", "a/b"}) {
    options_.url = url;
    EXPECT_TRUE(absl::IsInvalidArgument(http::HttpFetch::Make(options_).status())) << url;
  }
}

// Over TLS, against our own HTTPS server.
class HttpsFetchTest : public HttpFetchTest {
 protected:
  void Start(const service::TlsFiles& files, http::Response answer = {200, {}, "safe"}) {
    service::HttpServerOptions options;
    options.name = "test";
    options.listen = "127.0.0.1:0";
    options.tls = service::HttpTls{.files = files, .names = service::TlsAcceptor::Names::kAny};
    const auto refuse = [](int code, std::string_view why) { return http::Response{code, {}, std::string(why)}; };
    ASSERT_OK_AND_ASSIGN(
        server_, service::HttpServer::Start(
                     options, [answer](const http::Request&, std::string_view) { return service::HttpAnswer{answer}; },
                     refuse, nullptr, clock_));
    options_.roots = files.roots;
  }
  std::string Url(const std::string& host = "localhost") const {
    return "https://" + host + ":" + std::to_string(server_->port()) + "/rpki.json";
  }
  std::string_view FailureAt(const std::string& url) {
    const auto got = Get(url);
    EXPECT_FALSE(got.ok());
    return got.ok() ? "none" : kFailures.at(FailureIndexOf(got.status()));
  }

  testutil::TestPki pki_;
  SystemClock clock_;
  std::unique_ptr<service::HttpServer> server_;
};

TEST_F(HttpsFetchTest, ACertificateThatFitsIsTaken) {
  Start(pki_.Files(service::Role::kRtrBridge));
  EXPECT_EQ(Get(Url())->body, "safe");
  EXPECT_EQ(Get(Url("127.0.0.1"))->body, "safe");
}

TEST_F(HttpsFetchTest, AnotherNameIsRefused) {
  crypto::LeafSpec spec = pki_.Spec(service::Role::kRtrBridge);
  spec.dns_sans = {"other.example.net"};
  spec.ip_sans = {};
  Start(pki_.Issue(spec, "other"));
  EXPECT_EQ(FailureAt(Url()), "TLS");
}

TEST_F(HttpsFetchTest, AnotherAuthorityIsRefused) {
  Start(pki_.Files(service::Role::kRtrBridge));
  testutil::TestPki other("other.example");
  options_.roots = other.Files(service::Role::kReader).roots;
  EXPECT_EQ(FailureAt(Url()), "TLS");
  options_.roots = "";  // the system's
  EXPECT_EQ(FailureAt(Url()), "TLS");
}

// A certificate that says it is of this authority, of which we have no key.
service::TlsFiles Pretend(const std::string& authority, const std::string& folder) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> file(BIO_new_file(authority.c_str(), "r"), &BIO_free);
  const std::unique_ptr<X509, decltype(&X509_free)> real(PEM_read_bio_X509(file.get(), nullptr, nullptr, nullptr),
                                                         &X509_free);
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"), &EVP_PKEY_free);
  const std::unique_ptr<X509, decltype(&X509_free)> made(X509_new(), &X509_free);
  X509_set_version(made.get(), X509_VERSION_3);
  X509_gmtime_adj(X509_getm_notBefore(made.get()), -3'600);
  X509_gmtime_adj(X509_getm_notAfter(made.get()), 3'600);
  X509_set_pubkey(made.get(), key.get());
  X509_set_issuer_name(made.get(), X509_get_subject_name(real.get()));
  EXPECT_GT(X509_sign(made.get(), key.get(), EVP_sha256()), 0);
  const service::TlsFiles files{.certificate = folder + "/made.crt", .private_key = folder + "/made.key", .roots = ""};
  const std::unique_ptr<BIO, decltype(&BIO_free)> certificate(BIO_new_file(files.certificate.c_str(), "w"), &BIO_free);
  const std::unique_ptr<BIO, decltype(&BIO_free)> secret(BIO_new_file(files.private_key.c_str(), "w"), &BIO_free);
  EXPECT_EQ(PEM_write_bio_X509(certificate.get(), made.get()), 1);
  EXPECT_EQ(PEM_write_bio_PrivateKey(secret.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr), 1);
  return files;
}

// libcurl looks for an issuer in the system's folder beside the roots that it was given, if nobody forbids it.
TEST_F(HttpsFetchTest, RootsThatAreGivenStandAlone) {
  std::string authority;
  for (const auto& entry : std::filesystem::directory_iterator("/etc/ssl/certs")) {
    if (entry.path().extension() == ".0") authority = std::filesystem::canonical(entry.path());
  }
  if (authority.empty()) GTEST_SKIP() << "the system has no authorities: install ca-certificates";
  service::TlsFiles files = Pretend(authority, pki_.dir());
  files.roots = pki_.dir() + "/ca.crt";
  Start(files);
  const FileDescriptor watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  ASSERT_GE(::inotify_add_watch(watch.get(), authority.c_str(), IN_OPEN), 0);
  const auto looked = [&] {
    std::array<char, 4'096> events{};
    return ::read(watch.get(), events.data(), events.size()) > 0;
  };
  EXPECT_EQ(FailureAt(Url()), "TLS");
  EXPECT_FALSE(looked());
  EXPECT_TRUE(std::ifstream(authority).good());
  EXPECT_TRUE(looked()) << "who looks is seen";
}

TEST_F(HttpsFetchTest, AnExpiredCertificateIsRefused) {
  crypto::LeafSpec spec = pki_.Spec(service::Role::kRtrBridge);
  spec.not_after = clock_.NowNanos() - 1'000'000'000;
  Start(pki_.Issue(spec, "expired"));
  EXPECT_EQ(FailureAt(Url()), "TLS");
}

TEST_F(HttpsFetchTest, ARedirectToPlainHttpIsRefused) {
  const WebServer plain(Say(Ok("not safe")));
  Start(pki_.Files(service::Role::kRtrBridge), {302, {{"location", plain.url()}}, ""});
  EXPECT_EQ(FailureAt(Url()), "REDIRECT");
  EXPECT_TRUE(plain.requests().empty());
}

TEST_F(HttpsFetchTest, NeitherIsOneBehindARedirectToHttps) {
  const WebServer plain(Say(Ok("not safe")));
  Start(pki_.Files(service::Role::kRtrBridge), {302, {{"location", plain.url()}}, ""});
  const WebServer first(Say("HTTP/1.1 301 Moved\r\nLocation: " + Url() + "\r\nContent-Length: 0\r\n\r\n"));
  EXPECT_EQ(FailureAt(first.url()), "REDIRECT");
  EXPECT_TRUE(plain.requests().empty());
}

// libcurl reads this one in small letters only; StayRTR, and all that Go makes, in capitals as well.
TEST_F(HttpFetchTest, ProxiesOfPlainHttpAreNamedInEitherCase) {
  const WebServer server(Say(Ok("direct"))), proxy(Say(Ok("by proxy"))), other(Say(Ok("by the other")));
  ::setenv("HTTP_PROXY", proxy.url().c_str(), 1);
  const auto capitals = Get(server.url());
  ::setenv("http_proxy", other.url().c_str(), 1);
  const auto both = Get(server.url());
  ::setenv("NO_PROXY", "127.0.0.1", 1);
  ::unsetenv("http_proxy");
  const auto excepted = Get(server.url());
  ::unsetenv("HTTP_PROXY");
  ::unsetenv("NO_PROXY");
  ASSERT_OK(capitals);
  EXPECT_EQ(capitals->body, "by proxy");
  ASSERT_OK(both);
  EXPECT_EQ(both->body, "by the other");
  ASSERT_OK(excepted);
  EXPECT_EQ(excepted->body, "direct");
}

// StayRTR's users asked for it: a proxy that lets programs through by their name.
TEST_F(HttpsFetchTest, AProxyIsToldWhoAsks) {
  Start(pki_.Files(service::Role::kRtrBridge));
  const WebServer proxy([this](const WebPeer& peer, const std::string&) {
    const FileDescriptor to = testutil::ConnectTo(server_->port());
    peer.Send("HTTP/1.1 200 Connection established\r\n\r\n");
    const std::jthread back([&] {
      std::string buffer(64 << 10, '\0');
      for (ssize_t got; (got = ::recv(to.get(), buffer.data(), buffer.size(), 0)) > 0;)
        peer.Send(std::string_view(buffer).substr(0, static_cast<std::size_t>(got)));
      ::shutdown(peer.socket(), SHUT_RDWR);
    });
    for (std::string bytes = peer.Receive(); !bytes.empty(); bytes = peer.Receive())
      static_cast<void>(WriteAll(to.get(), bytes, "server"));
    ::shutdown(to.get(), SHUT_RDWR);
  });
  ::setenv("HTTPS_PROXY", ("http://127.0.0.1:" + std::to_string(proxy.port())).c_str(), 1);
  const auto got = Get(Url());
  ::setenv("NO_PROXY", "localhost", 1);
  EXPECT_OK(Get(Url()));
  ::unsetenv("HTTPS_PROXY");
  ::unsetenv("NO_PROXY");
  ASSERT_OK(got);
  EXPECT_EQ(got->body, "safe");
  ASSERT_EQ(proxy.requests().size(), 1U);
  EXPECT_THAT(proxy.requests()[0],
              AllOf(HasSubstr("CONNECT localhost:" + std::to_string(server_->port()) + " HTTP/1.1\r\n"),
                    HasSubstr("\r\nUser-Agent: virp-rtr-bridge\r\n")));
}

}  // namespace
}  // namespace virp::rtr_bridge
