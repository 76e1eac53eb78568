// virp-keymgr's EST port as routers of another make use it: a key and request by openssl, carried by curl, approved by
// a person, asked for again after kill -9.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/service/errors.h"
#include "tests/testutil/keymgr_lab.h"
#include "tests/testutil/program.h"
#include "tests/testutil/status_matchers.h"
#include "virp/keymgr/v1/router_key.grpc.pb.h"
#include "virp/keymgr/v1/rpki.grpc.pb.h"

namespace virp {
namespace {

using service::Role;
using testing::HasSubstr;
using testutil::ProgramResult;
namespace v1 = keymgr::v1;

class KeymgrEstTest : public testing::Test {
 protected:
  KeymgrEstTest()
      : keymgr_({.binaries = VIRP_BINARY_DIR,
                 .options = {"--rpki-base-uri", "rsync://rpki.example.net/repo/", "--rpki-publication",
                             dir_.File("pub"), "--rpki-as", "64496-64511", "--rpki-address", "192.0.2.0/24",
                             "--expiry-calendar", dir_.File("expiry.ics"), "--est-listen", est_.address()}},
                pki_) {}

  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                Request request, Stub& stub) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    Response response;
    const grpc::Status status = (stub.*method)(&context, request, &response);
    if (!status.ok()) return service::FromGrpcStatus(status);
    return response;
  }
  template <typename Request>
  Request Change() {
    Request request;
    request.set_reason("a test");
    request.set_request_id("request-" + std::to_string(++requests_));
    return request;
  }
  void SetUpAuthority() {
    v1::RpkiService::Stub stub(keymgr_.Channel(Role::kOperator, "noc-1"));
    ASSERT_OK(Call(&v1::RpkiService::Stub::SetUpAuthority, Change<v1::SetUpAuthorityRequest>(), stub).status());
  }
  void Register() {
    auto request = Change<v1::RegisterRouterRequest>();
    v1::Router& router = *request.mutable_router();
    router.set_id("edge-a");
    router.set_bgp_id(0xc0000201);
    router.add_asns(64496);
    router.set_agent(pki_.Id(Role::kRouter, "edge-a"));
    v1::RouterKeyService::Stub stub(keymgr_.Channel(Role::kOperator, "noc-1"));
    ASSERT_OK(Call(&v1::RouterKeyService::Stub::RegisterRouter, request, stub).status());
  }
  void ApproveTheOne() {
    v1::RouterKeyService::Stub stub(keymgr_.Channel(Role::kApprover, "second"));
    const auto pending = Call(&v1::RouterKeyService::Stub::ListPending, v1::ListPendingRequest(), stub);
    ASSERT_OK(pending.status());
    ASSERT_EQ(pending->requests_size(), 1);
    auto approve = Change<v1::ApproveCsrRequest>();
    approve.set_id(pending->requests(0).id());
    ASSERT_OK(Call(&v1::RouterKeyService::Stub::ApproveCsr, approve, stub).status());
  }
  // A key and a request as openssl makes them.
  void MakeRequest() {
    const ProgramResult made = testutil::RunProgram(
        {"/usr/bin/openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
         "/CN=ROUTER-0000FBF0", "-keyout", dir_.File("key"), "-outform", "DER", "-out", dir_.File("csr")});
    ASSERT_EQ(made.exit, 0) << made.err;
    std::ofstream(dir_.File("body")) << Base64Encode(testutil::FileText(dir_.File("csr")));
  }
  // Body and, on the last line, the status code.
  std::string Curl(const std::string& path, bool post, Role role = Role::kRouter) {
    const service::TlsFiles files = pki_.Files(role, "edge-a");
    std::vector<std::string> command{"/usr/bin/curl",   "--silent",    "--show-error",    "--cacert",
                                     files.roots,       "--cert",      files.certificate, "--key",
                                     files.private_key, "--write-out", "\n%{http_code}"};
    if (post)
      command.insert(command.end(),
                     {"--header", "Content-Type: application/pkcs10", "--data-binary", "@" + dir_.File("body")});
    command.push_back("https://localhost:" + est_.address().substr(est_.address().rfind(':') + 1) +
                      "/.well-known/est/" + path);
    const ProgramResult result = testutil::RunProgram(command);
    EXPECT_EQ(result.exit, 0) << result.err;
    return result.out;
  }

  testutil::TempDir dir_;
  testutil::TestPki pki_;
  testutil::ReservedPort est_;
  testutil::KeymgrLab keymgr_;
  int requests_ = 0;
};

TEST_F(KeymgrEstTest, ARouterOfAnotherMakeEnrols) {
  ASSERT_OK(keymgr_.Start());
  EXPECT_THAT(Curl("cacerts", false), HasSubstr("\n503")) << "there is no authority yet";
  SetUpAuthority();
  MakeRequest();
  EXPECT_THAT(Curl("simpleenroll", true), HasSubstr("\n404")) << "nobody's agent";
  Register();
  EXPECT_THAT(Curl("simpleenroll", true, Role::kCollector), HasSubstr("\n403"));
  EXPECT_THAT(Curl("simpleenroll", true), HasSubstr("\n202"));
  keymgr_.process().Kill();
  ASSERT_OK(keymgr_.Start());
  EXPECT_THAT(Curl("simpleenroll", true), HasSubstr("\n202")) << "it still waits";
  ApproveTheOne();
  const std::string enrolled = Curl("simpleenroll", true);
  ASSERT_THAT(enrolled, HasSubstr("\n200"));
  keymgr_.process().Kill();
  ASSERT_OK(keymgr_.Start());
  EXPECT_EQ(Curl("as64496/simpleenroll", true), enrolled) << "the same certificate, not another";
  EXPECT_EQ(Curl("as64496/simplereenroll", true), enrolled) << "renewed a moment ago";

  std::string body = enrolled.substr(0, enrolled.rfind('\n'));
  std::erase_if(body, [](char c) { return c == '\r' || c == '\n'; });
  std::ofstream(dir_.File("p7"), std::ios::binary) << *Base64Decode(body);
  const ProgramResult printed = testutil::RunProgram(
      {"/usr/bin/openssl", "pkcs7", "-inform", "DER", "-in", dir_.File("p7"), "-print_certs", "-text", "-noout"});
  EXPECT_THAT(printed.out, testing::AllOf(HasSubstr("BGPsec Router"), HasSubstr("ROUTER-0000FBF0")));
  EXPECT_THAT(Curl("cacerts", false), HasSubstr("\n200"));
}

}  // namespace
}  // namespace virp
