#include "lib/service/admin.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <thread>
#include <vector>

#include "tests/testutil/status_matchers.h"
#include "tests/testutil/wait.h"

namespace virp::service {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using testutil::StatusIs;

class AdminTest : public ::testing::Test {
 protected:
  static constexpr std::chrono::milliseconds kTimeout{300};

  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(server_, StartAdminServer({.timeout = kTimeout}, metrics_, readiness_));
  }

  int Connect() const {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0) std::abort();  // no descriptors: nothing here can work
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(server_->port());
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&at), sizeof(at)), 0);
    const timeval patience{20, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    return fd;
  }
  static std::string ReadAll(int fd) {
    std::string out;
    char buffer[4096];
    for (ssize_t n = 0; (n = ::read(fd, buffer, sizeof(buffer))) > 0;) out.append(buffer, static_cast<std::size_t>(n));
    return out;
  }
  std::string Request(const std::string& text) const {
    const int fd = Connect();
    EXPECT_EQ(::send(fd, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
    std::string out = ReadAll(fd);
    ::close(fd);
    return out;
  }
  std::string Get(const std::string& path) const { return Request("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n"); }

  Metrics metrics_{"onode"};
  Readiness readiness_;
  std::unique_ptr<PageServer> server_;
};

TEST_F(AdminTest, MetricsAndLiveness) {
  metrics_.AddCounter("frames_total", "Frames.").Set(5);
  EXPECT_THAT(Get("/metrics"), ::testing::AllOf(StartsWith("HTTP/1.1 200 OK\r\n"),
                                                HasSubstr("\r\nContent-Type: text/plain; version=0.0.4"),
                                                HasSubstr("\nvirp_onode_frames_total 5\n")));
  EXPECT_THAT(Get("/livez"), ::testing::AllOf(StartsWith("HTTP/1.1 200"), EndsWith("\r\n\r\nok\n")));
  EXPECT_THAT(Request("HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n"),
              ::testing::AllOf(StartsWith("HTTP/1.1 200"), EndsWith("\r\n\r\n")));
}

TEST_F(AdminTest, ReadinessNamesWhatFails) {
  EXPECT_THAT(Get("/readyz"), StartsWith("HTTP/1.1 200"));
  std::atomic<bool> store_ok = false;
  readiness_.Add("store", [&] { return store_ok ? absl::OkStatus() : Unavailable("no connection"); });
  readiness_.Add("certificates", [] { return absl::OkStatus(); });
  EXPECT_THAT(Get("/readyz"), ::testing::AllOf(StartsWith("HTTP/1.1 503"), EndsWith("\r\n\r\nstore: no connection\n")));
  store_ok = true;
  EXPECT_TRUE(readiness_.ready());
  EXPECT_THAT(Get("/readyz"), StartsWith("HTTP/1.1 200"));
  readiness_.SetDraining();
  EXPECT_THAT(Get("/readyz"), ::testing::AllOf(StartsWith("HTTP/1.1 503"), HasSubstr("drain: ")));
  EXPECT_THAT(Get("/livez"), StartsWith("HTTP/1.1 200"));
}

TEST_F(AdminTest, NothingElseIsServed) {
  for (const char* path : {"/", "/etc/passwd", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/metricsx",
                           "/metrics/x", "/livez/../metrics/.", "/x/metrics"}) {
    EXPECT_THAT(Get(path), ::testing::AllOf(Not(HasSubstr("root:")), Not(StartsWith("HTTP/1.1 200")))) << path;
  }
  for (const char* method : {"POST", "PUT", "DELETE", "PATCH", "OPTIONS"}) {
    EXPECT_THAT(Request(std::string(method) + " /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"),
                StartsWith("HTTP/1.1 405"))
        << method;
  }
}

TEST_F(AdminTest, GarbageAndSlownessAreCutOffAndHarmNobody) {
  EXPECT_THAT(Request(std::string(100'000, 'x')), Not(StartsWith("HTTP/1.1 200")));
  EXPECT_THAT(Request(std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 15)),
              Not(StartsWith("HTTP/1.1 200")));
  const int idle = Connect();
  EXPECT_EQ(::send(idle, "GET /", 5, MSG_NOSIGNAL), 5);
  EXPECT_THAT(Get("/livez"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(ReadAll(idle), Not(StartsWith("HTTP/1.1 200")));  // returns: the server has closed it
  ::close(idle);
}

// None of them asks, and each is young enough to stay.
TEST_F(AdminTest, WhoHoldsConnectionsKeepsNobodyOut) {
  ASSERT_OK_AND_ASSIGN(
      server_, StartAdminServer({.max_connections = 8, .timeout = std::chrono::hours(1)}, metrics_, readiness_));
  std::vector<int> held;
  for (int i = 0; i < 100; ++i) {
    held.push_back(Connect());
    if (i % 2 == 0) EXPECT_EQ(::send(held.back(), "GET /livez", 10, MSG_NOSIGNAL), 10);
  }
  for (int i = 0; i < 20; ++i) EXPECT_THAT(Get("/livez"), StartsWith("HTTP/1.1 200"));
  for (std::size_t i = 0; i < held.size() - 8; ++i) EXPECT_EQ(ReadAll(held[i]), "") << i;  // returns: it was closed
  // The youngest, which has said nothing yet, may still ask.
  const std::string rest = "GET /livez HTTP/1.1\r\n\r\n";
  EXPECT_EQ(::send(held.back(), rest.data(), rest.size(), MSG_NOSIGNAL), static_cast<ssize_t>(rest.size()));
  EXPECT_THAT(ReadAll(held.back()), StartsWith("HTTP/1.1 200"));
  for (const int fd : held) ::close(fd);
}

std::ptrdiff_t OpenDescriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
}

// An answer larger than the kernel's buffers, to one who does not read it.
TEST_F(AdminTest, WhoDoesNotListenIsCutOff) {
  metrics_.AddCounter("frames_total", std::string(16 << 20, 'x'));
  const auto before = OpenDescriptors();
  const int deaf = Connect();
  const std::string request = "GET /metrics HTTP/1.1\r\n\r\n";
  EXPECT_EQ(::send(deaf, request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
  EXPECT_THAT(Get("/livez"), StartsWith("HTTP/1.1 200"));
  EXPECT_TRUE(testutil::Eventually([&] { return OpenDescriptors() <= before + 1; })) << "the server let go of it";
  EXPECT_THAT(Get("/livez"), StartsWith("HTTP/1.1 200"));
  EXPECT_LT(ReadAll(deaf).size(), std::size_t{16} << 20);
  ::close(deaf);
  ASSERT_OK_AND_ASSIGN(server_, StartAdminServer({.timeout = std::chrono::minutes(1)}, metrics_, readiness_));
  EXPECT_GT(Get("/metrics").size(), std::size_t{16} << 20) << "who listens gets all";
}

TEST_F(AdminTest, WhatIsNoRequestIsRefused) {
  EXPECT_THAT(Request("GET\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(Request("GET /livez\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(Request("GET /livez SMTP/1\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(Request("\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(Request("GET /livez HTTP/1.1\r\nX: " + std::string(5'000, 'x') + "\r\n\r\n"), StartsWith("HTTP/1.1 431"));
  EXPECT_THAT(Get("/livez?verbose=1"), StartsWith("HTTP/1.1 200"));
}

TEST_F(AdminTest, AnAddressThatIsTakenOrNoneIsAnError) {
  EXPECT_THAT(StartAdminServer({.listen = {"127.0.0.1", server_->port()}}, metrics_, readiness_),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("cannot listen")));
  EXPECT_THAT(StartAdminServer({.listen = {"localhost", 0}}, metrics_, readiness_),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(StartAdminServer({.listen = {"192.0.2.1", 0}}, metrics_, readiness_),
              StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace virp::service
