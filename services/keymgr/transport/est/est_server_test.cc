// The EST port asked by clients of another make: curl, openssl s_client, and bytes that no client would send. Every
// wrong request gets a clear answer and changes nothing.
#include "services/keymgr/transport/est/est_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <csignal>
#include <fstream>

#include "lib/base/bytes.h"
#include "lib/crypto/p256.h"
#include "lib/rpki/check.h"
#include "services/keymgr/transport/est/est_fixture.h"
#include "tests/testutil/program.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/test_pki.h"
#include "tests/testutil/tls_client.h"
#include "tests/testutil/wait.h"

namespace virp::keymgr {
namespace {

using namespace std::chrono_literals;
using service::Role;
using testing::ElementsAre;
using testing::HasSubstr;
using testutil::ProgramResult;
using testutil::TlsClient;

class EstServerTest : public testing::Test {
 protected:
  EstServerTest() {
    std::signal(SIGPIPE, SIG_IGN);
    options_.listen = "127.0.0.1:0";
    options_.tls = pki_.Files(Role::kKeymgr);
    csr_ = *rpki::MakeRouterRequest(key_.public_key().spki(), std::nullopt, testutil::SignerOf(key_));
    std::ofstream(dir_.File("csr")) << est::EncodeRequest(csr_);
  }
  void Start() {
    const service::Security security = pki_.MakeSecurity({}, deny_file_, "", [this](const service::Refusal& refusal) {
      const MutexLock lock(mutex_);
      refused_.push_back(refusal.method + " " + GetReason(refusal.status));
    });
    ASSERT_OK_AND_ASSIGN(server_, EstServer::Start(options_, enrolment_, security, clock_));
  }
  std::string Url(std::string_view path) const {
    return fmt::format("https://localhost:{}/.well-known/est/{}", server_->port(), path);
  }
  // Exit status, and "body\ncode content-type retry-after".
  ProgramResult Curl(std::string_view path, std::vector<std::string> more = {}, Role role = Role::kRouter) {
    const service::TlsFiles files = pki_.Files(role, "edge-a");
    std::vector<std::string> command{"/usr/bin/curl",
                                     "--silent",
                                     "--show-error",
                                     "--max-time",
                                     "60",
                                     "--cacert",
                                     files.roots,
                                     "--cert",
                                     files.certificate,
                                     "--key",
                                     files.private_key,
                                     "--write-out",
                                     "\n%{http_code} %{content_type} %header{retry-after}"};
    command.insert(command.end(), more.begin(), more.end());
    command.push_back(Url(path));
    return testutil::RunProgram(command);
  }
  ProgramResult Post(std::string_view path, std::vector<std::string> more = {}) {
    std::vector<std::string> all{"--header", "Content-Type: application/pkcs10", "--data-binary",
                                 "@" + dir_.File("csr")};
    all.insert(all.end(), more.begin(), more.end());
    return Curl(path, all);
  }
  static std::vector<std::string> CertificatesIn(const ProgramResult& result) {
    const std::string body = result.out.substr(0, result.out.rfind('\n'));
    const auto certificates = est::DecodeCertificates(est::kCertsType, body);
    return certificates.ok() ? *certificates : std::vector<std::string>();
  }
  TlsClient Client(int max_version = 0) {
    const service::TlsFiles files = pki_.Files(Role::kRouter, "edge-a");
    return {testutil::ConnectTo(server_->port()), {files.roots, files.certificate, files.private_key, max_version}};
  }
  // Everything until the server closes.
  static std::string All(TlsClient& client) {
    std::string out;
    for (auto some = client.ReadSome(); some && !some->empty(); some = client.ReadSome()) out += *some;
    return out;
  }
  std::string Refused() {
    const MutexLock lock(mutex_);
    return refused_.empty() ? "" : refused_.back();
  }

  testutil::TempDir dir_;
  testutil::TestPki pki_;
  SystemClock clock_;
  EstOptions options_;
  std::string deny_file_;
  FakeEnrolment enrolment_;
  const crypto::P256PrivateKey key_ = crypto::P256PrivateKey::Generate();
  std::string csr_;
  Mutex mutex_;
  std::vector<std::string> refused_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<EstServer> server_;
};

TEST_F(EstServerTest, ARouterEnrolsWithCurl) {
  Start();
  const ProgramResult anchors = Curl("cacerts");
  EXPECT_EQ(anchors.exit, 0) << anchors.err;
  EXPECT_THAT(anchors.out, HasSubstr("\n200 application/pkcs7-mime"));
  EXPECT_THAT(CertificatesIn(anchors), ElementsAre(enrolment_.lab.ta, enrolment_.lab.ca));

  const ProgramResult enrolled = Post("simpleenroll");
  EXPECT_THAT(enrolled.out, HasSubstr("\n200 application/pkcs7-mime; smime-type=certs-only"));
  const auto certificates = CertificatesIn(enrolled);
  ASSERT_EQ(certificates.size(), 1U) << "the issued one only: RFC 7030 section 4.2.3";
  EXPECT_THAT(rpki::CheckPath(certificates[0], {enrolment_.lab.ca}, enrolment_.lab.ta, {},
                              {.asn = 64496, .spki = key_.public_key().spki()}),
              testing::IsEmpty());
  EXPECT_EQ(enrolment_.last().first, csr_);
  EXPECT_EQ(x509::PemBlock("CERTIFICATE", enrolment_.last().second),
            testutil::FileText(pki_.Files(Role::kRouter, "edge-a").certificate));

  EXPECT_THAT(Post("as64500/simplereenroll").out, HasSubstr("\n200 "));
  const std::string id = pki_.Id(Role::kRouter, "edge-a");
  EXPECT_THAT(enrolment_.calls(), ElementsAre("enrol " + id + " 0", "reenrol " + id + " 64500"));
  EXPECT_THAT(server_->Answers(), ElementsAre(std::pair(200, 3U)));
}

TEST_F(EstServerTest, TheAnswerIsOneThatOpensslReads) {
  Start();
  const ProgramResult result = Post("simpleenroll");
  const std::string der = *est::DecodeBody(result.out.substr(0, result.out.rfind('\n')));
  std::ofstream(dir_.File("p7"), std::ios::binary) << der;
  const ProgramResult printed = testutil::RunProgram(
      {"/usr/bin/openssl", "pkcs7", "-inform", "DER", "-in", dir_.File("p7"), "-print_certs", "-noout"});
  EXPECT_EQ(printed.exit, 0) << printed.err;
  EXPECT_THAT(printed.out, HasSubstr("ROUTER-0000FBF0"));
}

TEST_F(EstServerTest, WhoHasToWaitIsToldHowLong) {
  Start();
  enrolment_.AnswerWith(EnrolmentPending{77s});
  EXPECT_THAT(Post("simpleenroll").out, HasSubstr("\n202 text/plain; charset=utf-8 77"));
  enrolment_.AnswerWith(Unavailable("the store is down"));
  EXPECT_THAT(Post("simpleenroll").out, HasSubstr("the store is down\n\n503 text/plain; charset=utf-8 30"));
}

TEST_F(EstServerTest, ErrorsSayWhatIsWrong) {
  Start();
  const auto answer = [&](const absl::Status& status) {
    enrolment_.AnswerWith(status);
    return Post("simpleenroll").out;
  };
  EXPECT_THAT(answer(WithReason(InvalidArgument("a compressed point"), "PUBLIC_KEY_COMPRESSED")),
              HasSubstr("PUBLIC_KEY_COMPRESSED: a compressed point\n\n400 "));
  EXPECT_THAT(answer(WithReason(PermissionDenied("no"), "REJECTED")), HasSubstr("\n403 "));
  EXPECT_THAT(answer(NotFound("no router")), HasSubstr("\n404 "));
  EXPECT_THAT(answer(WithReason(FailedPrecondition("not now"), "ROUTER_KEY_STATE")), HasSubstr("\n409 "));
  EXPECT_THAT(answer(WithReason(FailedPrecondition("sealed"), "SEALED")), HasSubstr("\n503 "));
  EXPECT_THAT(answer(AlreadyExists("another's")), HasSubstr("\n409 "));
  EXPECT_THAT(answer(ResourceExhausted("16 wait")), HasSubstr("\n429 "));
  EXPECT_THAT(answer(Internal("line 7 of secret.cc")),
              testing::AllOf(HasSubstr("\n500 "), testing::Not(HasSubstr("secret"))));
  absl::Status hidden = Unavailable("password authentication failed for user x");
  Hide(hidden);
  EXPECT_THAT(answer(hidden), testing::AllOf(HasSubstr("\n503 "), testing::Not(HasSubstr("password"))));
}

TEST_F(EstServerTest, OnlyRoutersComeIn) {
  Start();
  for (const Role role : service::kAllRoles) {
    const std::string code = role == Role::kRouter ? "\n200 " : "\n403 ";
    EXPECT_THAT(Curl("cacerts", {}, role).out, HasSubstr(code)) << service::RoleName(role);
    EXPECT_THAT(Curl("simpleenroll",
                     {"--header", "Content-Type: application/pkcs10", "--data-binary", "@" + dir_.File("csr")}, role)
                    .out,
                HasSubstr(code));
  }
  EXPECT_EQ(enrolment_.calls().size(), 1U);
  EXPECT_EQ(Refused(), "/rfc7030.Est/SimpleEnroll METHOD_DENIED");
}

TEST_F(EstServerTest, WhoIsDeniedStaysOut) {
  deny_file_ = dir_.File("deny");
  std::ofstream(deny_file_) << "id " << pki_.Id(Role::kRouter, "edge-a") << "\n";
  Start();
  EXPECT_THAT(Post("simpleenroll").out, HasSubstr("IDENTITY_DENIED"));
  EXPECT_TRUE(enrolment_.calls().empty());
}

TEST_F(EstServerTest, WithoutACertificateOfOursThereIsNoConversation) {
  Start();
  const service::TlsFiles files = pki_.Files(Role::kRouter);
  const std::string connect = fmt::format("127.0.0.1:{}", server_->port());
  const ProgramResult none =
      testutil::RunProgram({"/usr/bin/openssl", "s_client", "-connect", connect, "-CAfile", files.roots, "-tls1_2"});
  EXPECT_NE(none.exit, 0);
  EXPECT_TRUE(testutil::Eventually([&] { return Refused() == "(est handshake) NO_CERTIFICATE"; })) << Refused();
  testutil::TestPki other;
  const service::TlsFiles stranger = other.Files(Role::kRouter);
  const ProgramResult result =
      testutil::RunProgram({"/usr/bin/curl", "--silent", "--show-error", "--cacert", files.roots, "--cert",
                            stranger.certificate, "--key", stranger.private_key, Url("cacerts")});
  EXPECT_NE(result.exit, 0);
  EXPECT_TRUE(testutil::Eventually([&] { return Refused() == "(est handshake) BAD_CERTIFICATE"; })) << Refused();
  EXPECT_THAT(server_->Answers(), ElementsAre(std::pair(0, 2U)));
}

TEST_F(EstServerTest, VersionsOfTls) {
  Start();
  EXPECT_THAT(Curl("cacerts", {"--tlsv1.2", "--tls-max", "1.2"}).out, HasSubstr("\n200 "));
  EXPECT_THAT(Curl("cacerts", {"--tlsv1.3"}).out, HasSubstr("\n200 "));
  EXPECT_NE(Curl("cacerts", {"--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0"}).exit, 0);
  EXPECT_NE(Curl("cacerts", {"--tls-max", "1.2", "--ciphers", "AES128-SHA"}).exit, 0) << "no forward secrecy";
}

TEST_F(EstServerTest, HostileRequestsChangeNothing) {
  Start();
  const auto code = [](const ProgramResult& result) {
    const std::size_t line = result.out.rfind('\n');
    return line == std::string::npos ? result.err : result.out.substr(line + 1, 3);
  };
  const auto body = [&](const std::string& bytes, const std::string& type = "application/pkcs10") {
    std::ofstream(dir_.File("body"), std::ios::binary) << bytes;
    return code(Curl("simpleenroll", {"--header", "Content-Type: " + type, "--data-binary", "@" + dir_.File("body")}));
  };
  EXPECT_EQ(body(""), "400");
  EXPECT_EQ(body("not base64 !"), "400");
  EXPECT_EQ(body(Base64Encode("not DER")), "400");
  EXPECT_EQ(body(Base64Encode(csr_ + "trailing")), "400");
  EXPECT_EQ(body(csr_), "400");
  EXPECT_EQ(body(est::EncodeRequest(csr_), "text/plain"), "415");
  EXPECT_EQ(body(std::string(est::kMaxRequestBody + 1, 'A')), "413");
  EXPECT_EQ(body(std::string(5 << 20, 'A')), "413") << "curl waits for 100 Continue, or has sent much already";
  EXPECT_EQ(code(Curl("simpleenroll", {"--header", "Transfer-Encoding: chunked", "--header",
                                       "Content-Type: application/pkcs10", "--data-binary", "@" + dir_.File("csr")})),
            "411");
  EXPECT_EQ(code(Curl("simpleenroll")), "405");
  EXPECT_EQ(code(Post("cacerts")), "405");
  EXPECT_EQ(code(Post("simpleenroll", {"--request", "DELETE"})), "405");
  EXPECT_EQ(code(Curl("cacerts", {"--head"})), "405");
  EXPECT_EQ(code(Curl("serverkeygen")), "404");
  EXPECT_EQ(code(Curl("../../etc/passwd", {"--path-as-is"})), "404");
  EXPECT_EQ(code(Post("as0/simpleenroll")), "400");
  EXPECT_EQ(code(Post("edge/simpleenroll")), "400");
  EXPECT_EQ(code(Curl("cacerts", {"--header", "X: " + std::string(9'000, 'x')})), "431");
  EXPECT_TRUE(enrolment_.calls().empty());
  EXPECT_EQ(code(Curl("cacerts")), "200") << "and it still serves";
}

TEST_F(EstServerTest, BytesThatNoClientSends) {
  Start();
  for (const std::string& bytes :
       {std::string("\0\0\0\0\r\n\r\n", 8), std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        std::string("POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6"
                    "\r\n\r\nabcdef"),
        std::string("GET /.well-known/est/cacerts HTTP/1.1\r\n\r\n")}) {
    TlsClient client = Client();
    ASSERT_TRUE(client.ok()) << client.error();
    EXPECT_TRUE(client.Write(bytes));
    EXPECT_THAT(All(client), testing::AnyOf(HasSubstr(" 400 "), HasSubstr(" 505 "))) << bytes;
  }
  TlsClient silent = Client(TLS1_2_VERSION);
  silent.Close();
  EXPECT_TRUE(testutil::Eventually([&] { return server_->Answers()[0] == 1; }));
}

TEST_F(EstServerTest, WhoIsSlowIsCutOff) {
  options_.patience = 300ms;
  options_.handshake = 300ms;
  Start();
  TlsClient client = Client();
  ASSERT_TRUE(client.ok());
  // A byte every now and then buys no time.
  const auto begin = std::chrono::steady_clock::now();
  const std::string head = "GET /.well-known/est/cacerts HTTP/1.1\r\nHost: x\r\nX: ";
  for (std::size_t i = 0; server_->Answers().empty(); ++i) {
    ASSERT_LT(std::chrono::steady_clock::now() - begin, 20s);
    client.Write(i < head.size() ? head.substr(i, 1) : "x");
    std::this_thread::sleep_for(10ms);
  }
  EXPECT_THAT(server_->Answers(), ElementsAre(std::pair(408, 1U)));
  const FileDescriptor mute = testutil::ConnectTo(server_->port());
  EXPECT_TRUE(testutil::ClosedByPeer(mute.get()));
  EXPECT_EQ(Refused(), "(est handshake) SLOW_HANDSHAKE");
}

TEST_F(EstServerTest, ConnectionsAreCapped) {
  options_.connections = {.max_connections = 3, .max_per_address = 3};
  Start();
  std::vector<FileDescriptor> held;
  held.reserve(3);
  for (int i = 0; i < 3; ++i) held.push_back(testutil::ConnectTo(server_->port()));
  EXPECT_TRUE(testutil::Eventually([&] { return server_->connections() == 3; }));
  EXPECT_TRUE(testutil::ClosedByPeer(testutil::ConnectTo(server_->port()).get()));
  EXPECT_THAT(Refused(), HasSubstr("(est connection) TOO_MANY_"));
  held.clear();
  EXPECT_TRUE(testutil::Eventually([&] { return server_->connections() == 0; }));
  EXPECT_THAT(Curl("cacerts").out, HasSubstr("\n200 "));
}

TEST_F(EstServerTest, StoppingCutsWhoIsThere) {
  Start();
  TlsClient client = Client();
  ASSERT_TRUE(client.ok());
  server_->Stop();
  EXPECT_EQ(All(client), "");
  server_.reset();
}

TEST_F(EstServerTest, NewCertificatesCountWithoutARestart) {
  FakeClock clock(1'000'000'000);
  options_.tls = pki_.Issue(pki_.Spec(Role::kKeymgr), "est");
  ASSERT_OK_AND_ASSIGN(server_, EstServer::Start(options_, enrolment_, pki_.MakeSecurity({}), clock));
  const std::string first = Client().ServerSerial();
  pki_.Issue(pki_.Spec(Role::kKeymgr), "est");
  EXPECT_EQ(Client().ServerSerial(), first);
  clock.Advance(11s);
  EXPECT_NE(Client().ServerSerial(), first);
}

TEST_F(EstServerTest, WhatDoesNotDoIsSaidAtTheStart) {
  options_.listen = "127.0.0.1";
  EXPECT_FALSE(EstServer::Start(options_, enrolment_, pki_.MakeSecurity({}), clock_).ok());
  options_.listen = "127.0.0.1:0";
  options_.tls.private_key = dir_.File("nothing");
  EXPECT_THAT(EstServer::Start(options_, enrolment_, pki_.MakeSecurity({}), clock_).status().ToString(),
              HasSubstr("nothing"));
}

}  // namespace
}  // namespace virp::keymgr
