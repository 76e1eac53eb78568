#include "lib/service/admin.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>

#include "tests/testutil/status_matchers.h"

namespace virp::service {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using testutil::StatusIs;

class AdminTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(server_,
                         AdminServer::Start({.request_timeout = std::chrono::milliseconds(300)}, metrics_, readiness_));
  }

  int Connect() const {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
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
  std::unique_ptr<AdminServer> server_;
};

TEST_F(AdminTest, MetricsAndLiveness) {
  metrics_.AddCounter("frames_total", "Frames.").Add(5);
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
  EXPECT_THAT(Request("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"), Not(StartsWith("HTTP/1.1 200")));
  const int idle = Connect();
  EXPECT_EQ(::send(idle, "GET /", 5, MSG_NOSIGNAL), 5);
  EXPECT_THAT(Get("/livez"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(ReadAll(idle), Not(StartsWith("HTTP/1.1 200")));  // returns: the server has closed it
  ::close(idle);
}

TEST_F(AdminTest, AnAddressThatIsTakenOrNoneIsAnError) {
  EXPECT_THAT(AdminServer::Start({.listen = {"127.0.0.1", server_->port()}}, metrics_, readiness_),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("cannot listen")));
  EXPECT_THAT(AdminServer::Start({.listen = {"localhost", 0}}, metrics_, readiness_),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(AdminServer::Start({.listen = {"192.0.2.1", 0}}, metrics_, readiness_),
              StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace virp::service
