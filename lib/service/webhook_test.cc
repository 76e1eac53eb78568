#include "lib/service/webhook.h"

#include <curl/curl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>

#include "lib/base/file.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"

namespace virp::service {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;
using testutil::StatusIs;

// Takes one connection after the other, reads a request to its end and answers with the next of `answers`; an empty one
// closes without a word.
class Server {
 public:
  explicit Server(std::vector<std::string> answers) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(socket_.get(), 8), 0);
    EXPECT_EQ(::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    url_ = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/hook";
    thread_ = std::thread([this, answers = std::move(answers)] {
      for (const std::string& answer : answers) {
        const FileDescriptor peer(::accept(socket_.get(), nullptr, nullptr));
        requests_.push_back(ReadRequest(peer.get()));
        if (!answer.empty()) EXPECT_OK(WriteAll(peer.get(), answer, "peer"));
      }
    });
  }
  ~Server() {
    if (thread_.joinable()) thread_.join();
  }
  // After all answers were given.
  const std::vector<std::string>& Requests() {
    if (thread_.joinable()) thread_.join();
    return requests_;
  }
  const std::string& url() const { return url_; }

 private:
  static std::string ReadRequest(int fd) {
    std::string out;
    char buffer[4096];
    while (true) {
      const std::size_t header = out.find("\r\n\r\n");
      if (header != std::string::npos) {
        const std::size_t at = out.find("Content-Length: ");
        if (at != std::string::npos && out.size() >= header + 4 + std::stoul(out.substr(at + 16))) return out;
      }
      const ssize_t got = ::read(fd, buffer, sizeof(buffer));
      if (got <= 0) return out;
      out.append(buffer, static_cast<std::size_t>(got));
    }
  }

  FileDescriptor socket_;
  std::string url_;
  std::vector<std::string> requests_;
  std::thread thread_;
};

std::string Answer(const std::string& status, const std::string& header = "") {
  return "HTTP/1.1 " + status + "\r\n" + header + "Content-Length: 2\r\nConnection: close\r\n\r\nok";
}

// libcurl's heap, which gives nothing to a header that begins with this.
std::string no_memory_for;

char* Duplicate(const char* text) {
  return !no_memory_for.empty() && std::string_view(text).starts_with(no_memory_for) ? nullptr : ::strdup(text);
}

class WebhookEnvironment : public testing::Environment {
 public:
  void SetUp() override {
    ASSERT_EQ(
        curl_global_init_mem(CURL_GLOBAL_DEFAULT, &std::malloc, &std::free, &std::realloc, &Duplicate, &std::calloc),
        CURLE_OK);
  }
};
const testing::Environment* const environment = testing::AddGlobalTestEnvironment(new WebhookEnvironment);

std::string TokenFile(const testutil::TempDir& dir, mode_t mode = 0600) {
  std::ofstream(dir.File("token")) << "s3cret\nmore\n";
  EXPECT_EQ(::chmod(dir.File("token").c_str(), mode), 0);
  return dir.File("token");
}

TEST(Webhook, PostsADocument) {
  const testutil::TempDir dir;
  Server server({Answer("200 OK"), Answer("204 No Content")});
  ASSERT_OK_AND_ASSIGN(const auto hook, Webhook::Make({.url = server.url(), .token_file = TokenFile(dir)}));
  EXPECT_OK(hook->Post(R"({"a":1})", "key/1"));
  EXPECT_OK(hook->Post("{}", "key/2"));
  ASSERT_EQ(server.Requests().size(), 2u);
  EXPECT_THAT(server.Requests()[0],
              AllOf(StartsWith("POST /hook HTTP/1.1\r\n"), HasSubstr("Content-Type: application/json\r\n"),
                    HasSubstr("Idempotency-Key: key/1\r\n"), HasSubstr("Authorization: Bearer s3cret\r\n"),
                    Not(HasSubstr("Expect")), EndsWith("\r\n\r\n{\"a\":1}")));
  EXPECT_THAT(server.Requests()[1], AllOf(HasSubstr("Idempotency-Key: key/2\r\n"), EndsWith("\r\n\r\n{}")));
}

TEST(Webhook, ATokenThatOthersMayReadIsNotUsed) {
  const testutil::TempDir dir;
  ASSERT_OK_AND_ASSIGN(const auto hook,
                       Webhook::Make({.url = "http://127.0.0.1:1/", .token_file = TokenFile(dir, 0644)}));
  const absl::Status status = hook->Post("{}", "k");
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("token"), HasSubstr("chmod")));
}

TEST(Webhook, NothingIsSentWithoutAHeaderThatFoundNoMemory) {
  const testutil::TempDir dir;
  Server server({Answer("200 OK")});
  ASSERT_OK_AND_ASSIGN(const auto hook, Webhook::Make({.url = server.url(), .token_file = TokenFile(dir)}));
  for (const char* const header : {"Content-Type", "Idempotency-Key", "Expect", "Authorization"}) {
    no_memory_for = header;
    const absl::Status status = hook->Post("{}", "k");
    no_memory_for.clear();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted)) << header;
  }
  EXPECT_OK(hook->Post("{}", "k"));
  EXPECT_EQ(server.Requests().size(), 1u);
}

TEST(Webhook, TheLoopbackNeedsNoProxy) {
  Server server({Answer("200 OK")});
  ::setenv("http_proxy", "http://127.0.0.1:1", 1);
  ASSERT_OK_AND_ASSIGN(const auto hook, Webhook::Make({.url = server.url()}));
  const absl::Status status = hook->Post("{}", "k");
  ::unsetenv("http_proxy");
  EXPECT_OK(status);
  if (!status.ok()) EXPECT_OK(hook->Post("{}", "k"));  // so that the server ends
}

TEST(Webhook, SaysWhetherTryingAgainHelps) {
  Server server(
      {Answer("500 Oops"), Answer("429 Slow"), Answer("401 Who"), Answer("302 Found", "Location: /x\r\n"), ""});
  ASSERT_OK_AND_ASSIGN(const auto hook, Webhook::Make({.url = server.url()}));
  EXPECT_THAT(hook->Post("{}", "k"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(hook->Post("{}", "k"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(hook->Post("{}", "k"), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(hook->Post("{}", "k"), StatusIs(absl::StatusCode::kUnavailable)) << "redirects are not followed";
  EXPECT_THAT(hook->Post("{}", "k"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(server.Requests().size(), 5u);
}

TEST(Webhook, DoesNotWaitForEver) {
  const FileDescriptor silent(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(::bind(silent.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(silent.get(), 1), 0);
  ASSERT_EQ(::getsockname(silent.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  const std::string url = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/secret";
  ASSERT_OK_AND_ASSIGN(const auto hook, Webhook::Make({.url = url, .patience = std::chrono::milliseconds(50)}));
  const absl::Status status = hook->Post("{}", "k");
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("secret")));
}

TEST(Webhook, TakesNoOtherUrl) {
  for (const char* const url :
       {"", "x", "ftp://hook.example.net/", "file:///etc/passwd", "http://hook.example.net/", "http://10.0.0.1/",
        "http://127.0.0.1.example.net/", "https://user:password@hook.example.net/", "https://user@hook.example.net/"}) {
    EXPECT_THAT(Webhook::Make({.url = url}).status(), StatusIs(absl::StatusCode::kInvalidArgument)) << url;
  }
  EXPECT_OK(Webhook::Make({.url = "https://hook.example.net/a?b=c"}).status());
  ASSERT_OK_AND_ASSIGN(const auto hook,
                       Webhook::Make({.url = "https://hook.example.net/", .token_file = "/nonexistent"}));
  EXPECT_THAT(hook->Post("{}", "k"), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace virp::service
