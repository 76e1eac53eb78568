// `virpctl router` as the program that routers and people run: against files, and against the key manager's EST port.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "lib/crypto/p256_file.h"
#include "lib/rpki/key_package.h"
#include "lib/service/tls_stream.h"
#include "services/keymgr/transport/est/est_fixture.h"
#include "services/keymgr/transport/est/est_server.h"
#include "tests/testutil/program.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/test_pki.h"
#include "tools/virpctl/ctl_test_util.h"

namespace virp::virpctl {
namespace {

using service::Role;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testutil::ProgramResult;

class RouterCommandTest : public ::testing::Test {
 protected:
  RouterCommandTest() { std::ofstream(File("ta"), std::ios::binary) << lab().ta; }
  std::string File(const std::string& name) { return dir_.File(name); }
  const testutil::RpkiLab& lab() const { return enrolment_.lab; }

  void Serve(Role role = Role::kKeymgr) {
    keymgr::EstOptions options;
    options.listen = "127.0.0.1:0";
    options.tls = pki_.Files(role);
    ASSERT_OK_AND_ASSIGN(server_, keymgr::EstServer::Start(options, enrolment_, pki_.MakeSecurity({}), clock_));
  }
  ProgramResult Ctl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {VIRPCTL, "router"});
    std::vector<std::string> environment = CtlEnvironment(pki_, dir_.path(), 1, Role::kRouter, "edge-a");
    environment.push_back("VIRPCTL_EST=localhost:" + std::to_string(server_ == nullptr ? 1 : server_->port()));
    return testutil::RunProgram(arguments, environment);
  }
  nlohmann::json Json(std::vector<std::string> arguments, int exit) {
    arguments.insert(arguments.end(), {"--output", "json"});
    const ProgramResult result = Ctl(std::move(arguments));
    EXPECT_EQ(result.exit, exit) << result.err;
    return nlohmann::json::parse(result.out, nullptr, /*allow_exceptions=*/false);
  }
  std::vector<std::string> Enrolment(const std::string& command) {
    return {command, "--key", File("key"), "--certificate", File("cert"), "--trust-anchor", File("ta")};
  }
  std::vector<std::string> Enrol() {
    std::vector<std::string> all = Enrolment("enrol");
    all.insert(all.end(), {"--request", File("csr"), "--yes"});
    return all;
  }
  void Keygen() { ASSERT_EQ(Ctl({"keygen", "--key", File("key"), "--request", File("csr"), "--yes"}).exit, 0); }
  std::vector<std::string> Check(const std::string& file) {
    return {"check", File(file), "--key", File("key"), "--trust-anchor", File("ta")};
  }
  static unsigned ModeOf(const std::string& path) {
    struct stat file{};
    EXPECT_EQ(stat(path.c_str(), &file), 0) << path;
    return file.st_mode & 0777U;
  }
  // A signed key package for a new key, whose scalar it returns.
  crypto::Secret Package(const std::string& name, const std::string& recipient = "") {
    crypto::Secret scalar = crypto::Secret::Random(crypto::kP256ScalarSize);
    scalar.data()[0] = 1;  // below the order of the curve
    const auto key = *crypto::P256PrivateKey::FromScalar(scalar.view());
    const auto pkcs8 = *rpki::EncodePkcs8(scalar.view(), key.public_key().point());
    const auto& signer = testutil::RsaKeyForTests(2);
    const std::string certificate = *rpki::IssueTransferCertificate(
        {.serial = "\x09",
         .validity = {lab().now - std::chrono::hours(1), lab().now + std::chrono::hours(24)},
         .spki = signer.public_key().spki()},
        lab().ca_issuer);
    const auto package =
        *rpki::SignKeyPackage(pkcs8.view(), {.certificates = {certificate, lab().ca},
                                             .key_identifier = *rpki::KeyIdentifier(signer.public_key().spki()),
                                             .algorithm = cms::kRsaEncryption,
                                             .time = lab().now,
                                             .signer = testutil::SignerOf(signer)});
    std::ofstream(File(name), std::ios::binary)
        << (recipient.empty() ? std::string(package.view()) : *cms::Encrypt(package.view(), recipient));
    return scalar;
  }
  std::vector<std::string> Open(const std::string& name, const std::string& key) {
    return {"open", File(name), "--key", File(key), "--trust-anchor", File("ta"), "--yes"};
  }

  testutil::TempDir dir_;
  testutil::TestPki pki_;
  SystemClock clock_;
  keymgr::FakeEnrolment enrolment_;
  std::unique_ptr<keymgr::EstServer> server_;
};

TEST_F(RouterCommandTest, AKeyIsMadeOnceForItsOwnerOnly) {
  const ProgramResult unasked = Ctl({"keygen", "--key", File("key"), "--request", File("csr")});
  EXPECT_EQ(unasked.exit, 2) << "nobody agreed";
  EXPECT_THAT(unasked.err, AllOf(HasSubstr("1. makes an ECDSA P-256 key"), HasSubstr("say --yes")));
  EXPECT_FALSE(std::filesystem::exists(File("key")));
  // At a terminal, where somebody goes away instead of agreeing.
  const ProgramResult refused = testutil::RunProgram(
      {"/usr/bin/script", "-qec",
       std::string(VIRPCTL) + " router keygen --key " + File("key") + " --request " + File("csr"), "/dev/null"});
  EXPECT_EQ(refused.exit, 2);
  EXPECT_THAT(refused.out, AllOf(HasSubstr("Type yes to go on"), HasSubstr("the word yes"), HasSubstr("--yes")));
  EXPECT_FALSE(std::filesystem::exists(File("key")));

  const auto made = Json({"keygen", "--key", File("key"), "--request", File("csr"), "--yes"}, 0);
  EXPECT_EQ(ModeOf(File("key")), 0600U);
  const ProgramResult openssl =
      testutil::RunProgram({"/usr/bin/openssl", "req", "-in", File("csr"), "-verify", "-noout", "-text"});
  EXPECT_THAT(openssl.err + openssl.out, AllOf(HasSubstr("verify OK"), HasSubstr("BGPsec Router")));
  EXPECT_EQ(testutil::RunProgram({"/usr/bin/openssl", "pkey", "-in", File("key"), "-check", "-noout"}).exit, 0);
  const std::string before = testutil::FileText(File("key"));
  EXPECT_EQ(Ctl({"keygen", "--key", File("key"), "--request", File("other"), "--yes"}).exit, 2);
  EXPECT_EQ(testutil::FileText(File("key")), before);
  EXPECT_EQ(made["keyIdentifier"].get<std::string>().size(), 40U);
}

TEST_F(RouterCommandTest, EnrolsWaitsAndRenews) {
  Serve();
  Keygen();
  enrolment_.AnswerWith(keymgr::EnrolmentPending{std::chrono::seconds(5)});
  const auto pending = Json(Enrol(), 3);
  EXPECT_EQ(pending["result"], "PENDING");
  EXPECT_EQ(pending["retryAfterSeconds"], 5);
  const std::string first = enrolment_.last().first;

  enrolment_.Certify();
  const auto installed = Json(Enrol(), 0);
  EXPECT_EQ(enrolment_.last().first, first) << "the same request again";
  EXPECT_EQ(installed["result"], "INSTALLED");
  EXPECT_EQ(installed["asn"], 64496);
  EXPECT_EQ(Json(Check("cert"), 0)["result"], "VERIFIED");
  EXPECT_EQ(testutil::RunProgram({"/usr/bin/openssl", "x509", "-in", File("cert"), "-noout"}).exit, 0);

  EXPECT_EQ(Json(Enrolment("renew"), 0)["result"], "NOT_DUE");
  std::vector<std::string> renew = Enrolment("renew");
  renew.insert(renew.end(), {"--before", "400d"});
  const std::string old = testutil::FileText(File("cert"));
  EXPECT_EQ(Json(renew, 0)["result"], "INSTALLED");
  EXPECT_NE(testutil::FileText(File("cert")), old);
  EXPECT_THAT(enrolment_.calls().back(), AllOf(HasSubstr("reenrol "), HasSubstr(" 64496")));
}

TEST_F(RouterCommandTest, WhatIsNotForItIsNotInstalled) {
  Serve();
  Keygen();
  const auto other = crypto::P256PrivateKey::Generate();
  enrolment_.AnswerWith(keymgr::Enrolled{lab().Router(64496, other.public_key())});
  EXPECT_EQ(Json(Enrol(), 1)["keyMatch"], false);
  EXPECT_FALSE(std::filesystem::exists(File("cert")));

  // A certificate for another AS than the one asked for.
  enrolment_.Certify();
  ASSERT_EQ(Ctl(Enrol()).exit, 0);
  std::vector<std::string> check = Check("cert");
  check.insert(check.end(), {"--as", "64497"});
  EXPECT_EQ(Json(check, 1)["refusals"][0]["reason"], "ANOTHER_AS_NUMBER");
  // Another trust anchor than the one that was installed.
  std::filesystem::remove(File("cert"));
  std::ofstream(File("ta"), std::ios::binary) << lab().ca;
  EXPECT_EQ(Json(Enrol(), 1)["chainValid"], false);
  EXPECT_FALSE(std::filesystem::exists(File("cert")));
}

TEST_F(RouterCommandTest, SpeaksToAKeyManagerOnly) {
  Serve(Role::kCollector);
  Keygen();
  const ProgramResult result = Ctl(Enrol());
  EXPECT_EQ(result.exit, 2);
  EXPECT_THAT(result.err, HasSubstr("a keymgr is expected"));
  EXPECT_TRUE(enrolment_.calls().empty());
}

TEST_F(RouterCommandTest, TheServersRefusalIsTold) {
  Serve();
  Keygen();
  enrolment_.AnswerWith(WithReason(PermissionDenied("an operator refused it"), "REJECTED"));
  EXPECT_THAT(Ctl(Enrol()).err, HasSubstr("403: REJECTED: an operator refused it"));
  std::ofstream(File("csr")) << "no request";
  EXPECT_EQ(Ctl(Enrol()).exit, 2);
  server_->Stop();
  EXPECT_EQ(Ctl({"cacerts"}).exit, 2);
}

TEST_F(RouterCommandTest, AServerThatNeverComesToThePointIsLeft) {
  ASSERT_OK_AND_ASSIGN(const auto acceptor,
                       service::TlsAcceptor::Make(pki_.Files(Role::kKeymgr),
                                                  service::TlsAcceptor::ClientCertificate::kRequired, clock_));
  const FileDescriptor listening(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(::bind(listening.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(listening.get(), 1), 0);
  ASSERT_EQ(::getsockname(listening.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  std::thread server([&] {
    const FileDescriptor peer(::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    auto stream = acceptor->Accept(peer.get(), std::chrono::seconds(30));
    ASSERT_OK(stream.status());
    for (int i = 0; i < 9; ++i) EXPECT_OK((*stream)->Write("HTTP/1.1 100 Continue\r\n\r\n").status());
    char gone = 0;
    ::fcntl(peer.get(), F_SETFL, 0);
    while (::recv(peer.get(), &gone, 1, 0) > 0) {
    }
  });
  const ProgramResult result = Ctl({"cacerts", "--est", "localhost:" + std::to_string(ntohs(address.sin_port))});
  ::shutdown(listening.get(), SHUT_RDWR);  // should nobody have come
  server.join();
  EXPECT_EQ(result.exit, 2);
  EXPECT_THAT(result.err, HasSubstr("more than 8 interim"));
}

TEST_F(RouterCommandTest, ShowsTheAuthoritiesWithWhatToCompare) {
  Serve();
  const auto shown = Json({"cacerts", "--save", File("all")}, 0);
  ASSERT_EQ(shown["certificates"].size(), 2U);
  EXPECT_EQ(shown["certificates"][0]["kind"], "TRUST_ANCHOR");
  EXPECT_EQ(shown["certificates"][0]["sha256"], HexEncode(View(crypto::Sha256(lab().ta))));
  EXPECT_EQ(shown["certificates"][1]["kind"], "AUTHORITY");
  EXPECT_THAT(testutil::FileText(File("all")), HasSubstr("BEGIN CERTIFICATE"));
}

TEST_F(RouterCommandTest, OpensAPackageOfTheOperator) {
  const crypto::Secret scalar = Package("package");
  EXPECT_EQ(Json(Open("package", "key"), 0)["result"], "INSTALLED");
  EXPECT_EQ(ModeOf(File("key")), 0600U);
  const auto installed = crypto::ReadP256PrivateKey(testutil::FileText(File("key")));
  ASSERT_OK(installed.status());
  EXPECT_EQ(installed->public_key().spki(), crypto::P256PrivateKey::FromScalar(scalar.view())->public_key().spki());
  // The certificate that came beside it.
  std::ofstream(File("p7"), std::ios::binary)
      << cms::CertsOnly({lab().Router(64500, installed->public_key()), lab().ca});
  EXPECT_EQ(Json(Check("p7"), 0)["asn"], 64500);
  EXPECT_EQ(Ctl(Open("package", "key")).exit, 2) << "no key is written over";
}

TEST_F(RouterCommandTest, APackageThatIsNotGoodInstallsNothing) {
  Package("package");
  std::string bytes = testutil::FileText(File("package"));
  bytes[bytes.size() - 5] = static_cast<char>(bytes[bytes.size() - 5] ^ 1);
  std::ofstream(File("changed"), std::ios::binary) << bytes;
  EXPECT_EQ(Json(Open("changed", "key"), 1)["packageValid"], false);
  std::ofstream(File("garbage")) << "garbage";
  EXPECT_NE(Ctl(Open("garbage", "key")).exit, 0);
  std::ofstream(File("ta"), std::ios::binary) << lab().ca;  // not what the signer leads to
  const auto refused = Json(Open("package", "key"), 1);
  EXPECT_EQ(refused["packageValid"], true);
  EXPECT_EQ(refused["chainValid"], false);
  EXPECT_FALSE(std::filesystem::exists(File("key")));
}

TEST_F(RouterCommandTest, OpensAPackageThatIsEncryptedForIt) {
  const service::TlsFiles mine = pki_.Files(Role::kRouter, "edge-a");
  const auto certificate = *x509::DerBlocks(testutil::FileText(mine.certificate), {"CERTIFICATE"}, 1 << 16, 1);
  Package("package", certificate.front());
  const auto unopened = Json(Open("package", "key"), 1);
  EXPECT_THAT(unopened["detail"].get<std::string>(), HasSubstr("--decrypt-key"));
  std::vector<std::string> open = Open("package", "key");
  open.insert(open.end(), {"--decrypt-key", mine.private_key, "--decrypt-certificate", mine.certificate});
  EXPECT_EQ(Json(open, 0)["result"], "INSTALLED");
  std::filesystem::remove(File("key"));
  const service::TlsFiles other = pki_.Files(Role::kRouter, "edge-b");
  open = Open("package", "key");
  open.insert(open.end(), {"--decrypt-key", other.private_key, "--decrypt-certificate", other.certificate});
  EXPECT_EQ(Ctl(open).exit, 2) << "for somebody else";
}

}  // namespace
}  // namespace virp::virpctl
