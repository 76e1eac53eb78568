// A server with a service to call, for the tests of this folder that need one.
#pragma once

#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "lib/service/server.h"
#include "tests/testutil/must.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/test_pki.h"
#include "tests/testutil/wait.h"
#include "virp/test/v1/echo.grpc.pb.h"

namespace virp::service {

using testing::HasSubstr;
using testutil::ReasonIs;
using testutil::StatusIs;
using testutil::TestPki;
using virp::test::v1::ChatRequest;
using virp::test::v1::ChatResponse;
using virp::test::v1::EchoRequest;
using virp::test::v1::EchoResponse;
using virp::test::v1::EchoService;
using virp::test::v1::HiddenRequest;
using virp::test::v1::HiddenResponse;

inline constexpr UnixNanos kHour = 3600ULL * 1'000'000'000ULL;

inline std::vector<MethodRule> Rows() {
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
    Prepare(deny_file, scopes);
    server_ = pki_.StartServer(Role::kOnode, security_, Services());
  }
  void StartWith(const std::function<void(ServerOptions&)>& change) {
    Prepare();
    ServerOptions options = pki_.Options(pki_.Files(Role::kOnode));
    change(options);
    server_ = testutil::Must(ServerRunner::Start(options, security_, clock_, Services()));
  }
  void Prepare(const std::string& deny_file = "", std::string_view scopes = "") {
    security_ = pki_.MakeSecurity(Rows(), deny_file, scopes, [this](const Refusal& refusal) {
      const std::lock_guard<std::mutex> lock(mutex_);
      refusals_.push_back(refusal);
    });
    handlers_ = std::make_unique<Handlers>(security_.callers);
  }
  std::vector<ServedService> Services() const { return {{handlers_.get(), EchoService::service_full_name()}}; }

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

  // Replaces the file in one step.
  static void WriteWhole(const std::string& path, std::string_view text) {
    std::ofstream(path + ".new") << text;
    std::filesystem::rename(path + ".new", path);
  }

  template <typename Condition>
  static bool Eventually(const Condition& condition) {
    return testutil::Eventually(condition);
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
  const SystemClock clock_;
  std::unique_ptr<ServerRunner> server_;
};

}  // namespace virp::service
