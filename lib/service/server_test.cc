#include "lib/service/server.h"

#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>

#include "tests/testutil/test_pki.h"
#include "virp/test/v1/echo.grpc.pb.h"

namespace virp::service {
namespace {

using testing::HasSubstr;
using testutil::TestPki;
using virp::test::v1::ChatRequest;
using virp::test::v1::ChatResponse;
using virp::test::v1::EchoRequest;
using virp::test::v1::EchoResponse;
using virp::test::v1::EchoService;
using virp::test::v1::HiddenRequest;
using virp::test::v1::HiddenResponse;

constexpr UnixNanos kHour = 3600ULL * 1'000'000'000ULL;

std::vector<MethodRule> Rows() {
  return {{"/virp.test.v1.EchoService/Echo", {Role::kReader, Role::kOperator}},
          {"/virp.test.v1.EchoService/Chat", {Role::kCollector}},
          {"/virp.test.v1.EchoService/Hidden", {Role::kKeymgr}, /*scoped=*/true}};
}

class Handlers final : public EchoService::Service {
 public:
  explicit Handlers(std::shared_ptr<const CallerResolver> callers) : callers_(std::move(callers)) {}

  grpc::Status Echo(grpc::ServerContext* context, const EchoRequest* request, EchoResponse* response) override {
    ++calls;
    const absl::StatusOr<Identity> caller = callers_->Resolve(*context);
    if (!caller.ok()) return {grpc::StatusCode::INTERNAL, "let in without an identity"};
    response->set_text(request->text());
    response->set_caller(Describe(*caller));
    return grpc::Status::OK;
  }

  grpc::Status Chat(grpc::ServerContext* context,
                    grpc::ServerReaderWriter<ChatResponse, ChatRequest>* stream) override {
    ++calls;
    StreamGuard guard(*callers_, *callers_->Resolve(*context), context);
    ChatRequest request;
    while (stream->Read(&request)) {
      ChatResponse response;
      response.set_text(request.text());
      stream->Write(response);
    }
    return grpc::Status::OK;
  }

  grpc::Status Hidden(grpc::ServerContext*, const HiddenRequest*, HiddenResponse*) override {
    ++calls;
    return grpc::Status::OK;
  }

  std::atomic<int> calls = 0;

 private:
  const std::shared_ptr<const CallerResolver> callers_;
};

class ServerTest : public testing::Test {
 protected:
  void Start(const std::string& deny_file = "", std::string_view scopes = "") {
    security_ = pki_.MakeSecurity(Rows(), deny_file, scopes, [this](const Refusal& refusal) {
      const std::lock_guard<std::mutex> lock(mutex_);
      refusals_.push_back(refusal);
    });
    handlers_ = std::make_unique<Handlers>(security_.callers);
    server_ = pki_.StartServer(Role::kOnode, security_, {{handlers_.get(), EchoService::service_full_name()}});
  }

  static grpc::Status Call(const std::shared_ptr<grpc::Channel>& channel, EchoResponse* response = nullptr) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    EchoRequest request;
    request.set_text("hello");
    EchoResponse ignored;
    return EchoService::NewStub(channel)->Echo(&context, request, response == nullptr ? &ignored : response);
  }

  static grpc::Status CallByName(const std::shared_ptr<grpc::Channel>& channel, const std::string& method) {
    grpc::GenericStub stub(channel);
    grpc::ClientContext context;
    grpc::CompletionQueue queue;
    const auto call = stub.PrepareUnaryCall(&context, method, grpc::ByteBuffer(), &queue);
    call->StartCall();
    grpc::ByteBuffer response;
    grpc::Status status;
    call->Finish(&response, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    queue.Shutdown();
    while (queue.Next(&tag, &ok)) {
    }
    return status;
  }

  std::shared_ptr<grpc::Channel> ChannelWith(const crypto::LeafSpec& spec) {
    return pki_.Channel(server_->address(), pki_.Issue(spec, "odd"),
                        {.role = Role::kOnode, .spiffe_id = "", .check_host = false});
  }

  std::vector<Refusal> Refusals() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return refusals_;
  }

  TestPki pki_;
  std::mutex mutex_;
  std::vector<Refusal> refusals_;
  Security security_;
  std::unique_ptr<Handlers> handlers_;
  std::unique_ptr<ServerRunner> server_;
};

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

}  // namespace
}  // namespace virp::service
