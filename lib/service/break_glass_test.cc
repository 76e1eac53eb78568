#include "lib/service/break_glass.h"

#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <mutex>

#include "lib/base/status.h"
#include "lib/service/caller.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"
#include "virp/test/v1/echo.grpc.pb.h"

namespace virp::service {
namespace {

using testing::HasSubstr;
using testutil::StatusIs;
using virp::test::v1::EchoRequest;
using virp::test::v1::EchoResponse;
using virp::test::v1::EchoService;
using virp::test::v1::HiddenRequest;
using virp::test::v1::HiddenResponse;

class Handlers final : public EchoService::Service {
 public:
  grpc::Status Echo(grpc::ServerContext* context, const EchoRequest*, EchoResponse* response) override {
    ++calls;
    const absl::StatusOr<Identity> caller = resolver_.Resolve(*context);
    if (!caller.ok() || !caller->break_glass) return {grpc::StatusCode::INTERNAL, "not known as break-glass"};
    response->set_caller(Describe(*caller));
    return grpc::Status::OK;
  }
  grpc::Status Hidden(grpc::ServerContext*, const HiddenRequest*, HiddenResponse*) override {
    ++calls;
    return grpc::Status::OK;
  }
  std::atomic<int> calls = 0;

 private:
  FakeClock clock_;
  CallerResolver resolver_{std::make_shared<const IdentityMap>(*IdentityMap::Default("test")), nullptr, clock_};
};

class BreakGlassTest : public testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<BreakGlassServer>> Start(int max_connections = 8) {
    return BreakGlassServer::Start(
        {.socket = socket_, .methods = {"/virp.test.v1.EchoService/Echo"}, .max_connections = max_connections},
        [this](const BreakGlassUse& use) {
          const std::lock_guard<std::mutex> lock(mutex_);
          uses_.push_back(use);
          return answer_;
        },
        services_);
  }

  std::unique_ptr<EchoService::Stub> Stub() const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return EchoService::NewStub(
        grpc::CreateCustomChannel("unix:" + socket_, grpc::InsecureChannelCredentials(), arguments));
  }

  grpc::Status Echo(EchoService::Stub& stub, EchoResponse* response = nullptr) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    EchoResponse ignored;
    return stub.Echo(&context, EchoRequest(), response == nullptr ? &ignored : response);
  }

  std::vector<BreakGlassUse> Uses() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return uses_;
  }

  testutil::TempDir dir_;
  const std::string socket_ = dir_.File("private/break-glass.sock");
  Handlers handlers_;
  const std::vector<ServedService> services_ = {{&handlers_, EchoService::service_full_name()}};
  std::mutex mutex_;
  std::vector<BreakGlassUse> uses_;
  absl::Status answer_ = absl::OkStatus();
};

TEST_F(BreakGlassTest, OwnUserIsServedAndReported) {
  ASSERT_OK_AND_ASSIGN(const auto server, Start());
  EchoResponse response;
  const auto stub = Stub();
  const grpc::Status status = Echo(*stub, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.caller(), "operator/break-glass");
  ASSERT_EQ(Uses().size(), 1U);
  EXPECT_EQ(Uses()[0].method, "/virp.test.v1.EchoService/Echo");
  EXPECT_EQ(Uses()[0].peer.uid, geteuid());
  EXPECT_EQ(Uses()[0].peer.pid, getpid());
  EXPECT_OK(Uses()[0].refused);
}

TEST_F(BreakGlassTest, OtherMethodsAreDeniedAndReported) {
  ASSERT_OK_AND_ASSIGN(const auto server, Start());
  grpc::ClientContext context;
  HiddenResponse response;
  EXPECT_EQ(Stub()->Hidden(&context, HiddenRequest(), &response).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(handlers_.calls, 0);
  ASSERT_EQ(Uses().size(), 1U);
  EXPECT_FALSE(Uses()[0].refused.ok());
}

TEST_F(BreakGlassTest, WhatCannotBeRecordedDoesNotRun) {
  answer_ = Unavailable("disk full");
  ASSERT_OK_AND_ASSIGN(const auto server, Start());
  const grpc::Status status = Echo(*Stub());
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_message(), HasSubstr("disk full"));
  EXPECT_EQ(handlers_.calls, 0);
}

TEST_F(BreakGlassTest, ModesAreTight) {
  ASSERT_OK_AND_ASSIGN(auto server, Start());
  struct stat info{};
  ASSERT_EQ(stat(socket_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  ASSERT_EQ(stat(dir_.File("private").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700U);
  server.reset();
  EXPECT_NE(stat(socket_.c_str(), &info), 0);
  ASSERT_EQ(chmod(dir_.File("private").c_str(), 0750), 0);
  EXPECT_THAT(Start(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("0700")));
}

TEST_F(BreakGlassTest, AForeignUserIsRefusedThoughTheModesLetItIn) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  ASSERT_OK_AND_ASSIGN(const auto server, Start());
  for (const std::string& path : {dir_.path(), dir_.File("private")}) ASSERT_EQ(chmod(path.c_str(), 0755), 0);
  ASSERT_EQ(chmod(socket_.c_str(), 0666), 0);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, socket_.data(), socket_.size());
  // The system call itself: glibc's would change every thread, the server's too.
  ASSERT_EQ(syscall(SYS_setresuid, -1, 65534, -1), 0);
  const int connected = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  ASSERT_EQ(syscall(SYS_setresuid, -1, 0, -1), 0);
  ASSERT_EQ(connected, 0);
  char byte = 0;
  EXPECT_EQ(read(fd, &byte, 1), 0);  // closed without a word
  close(fd);
  ASSERT_EQ(Uses().size(), 1U);
  EXPECT_EQ(Uses()[0].peer.uid, 65534U);
  EXPECT_THAT(Uses()[0].refused, StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST_F(BreakGlassTest, SlotsAreBoundedAndComeFree) {
  ASSERT_OK_AND_ASSIGN(const auto server, Start(1));
  auto first = Stub();
  ASSERT_TRUE(Echo(*first).ok());
  EXPECT_EQ(Echo(*Stub()).error_code(), grpc::StatusCode::UNAVAILABLE);  // closed at once
  first.reset();
  // The slot is free as soon as the server has seen the hang-up.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  grpc::Status status;
  do {
    status = Echo(*Stub());
  } while (!status.ok() && std::chrono::steady_clock::now() < deadline);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(BreakGlassTest, AStaleSocketIsReplacedALiveOneIsNot) {
  ASSERT_OK_AND_ASSIGN(auto server, Start());
  EXPECT_THAT(Start(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another process")));
  EXPECT_TRUE(Echo(*Stub()).ok());
  server.reset();
  // As a killed process leaves it: bound, nobody listening.
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, socket_.data(), socket_.size());
  ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  close(fd);
  ASSERT_OK_AND_ASSIGN(server, Start());
  EXPECT_TRUE(Echo(*Stub()).ok());
}

TEST_F(BreakGlassTest, BadOptionsAreRefused) {
  const auto start = [&](const std::string& socket, const std::string& method) {
    return BreakGlassServer::Start(
               {.socket = socket, .methods = {method}}, [](const BreakGlassUse&) { return absl::OkStatus(); },
               services_)
        .status();
  };
  EXPECT_THAT(start("relative.sock", "/virp.test.v1.EchoService/Echo"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(start("/" + std::string(200, 'a'), "/virp.test.v1.EchoService/Echo"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(start("/break-glass.sock", "/virp.test.v1.EchoService/Echo"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(start(socket_, "/virp.test.v1.EchoService/Typo"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("Typo")));
}

}  // namespace
}  // namespace virp::service
