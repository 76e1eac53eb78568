#include "lib/service/webhook.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

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

TEST(Webhook, PostsADocument) {
  const testutil::TempDir dir;
  std::ofstream(dir.File("token")) << "s3cret\nmore\n";
  Server server({Answer("200 OK"), Answer("204 No Content")});
  ASSERT_OK_AND_ASSIGN(const auto hook, Webhook::Make({.url = server.url(), .token_file = dir.File("token")}));
  EXPECT_OK(hook->Post(R"({"a":1})", "key/1"));
  EXPECT_OK(hook->Post("{}", "key/2"));
  ASSERT_EQ(server.Requests().size(), 2u);
  EXPECT_THAT(server.Requests()[0],
              AllOf(StartsWith("POST /hook HTTP/1.1\r\n"), HasSubstr("Content-Type: application/json\r\n"),
                    HasSubstr("Idempotency-Key: key/1\r\n"), HasSubstr("Authorization: Bearer s3cret\r\n"),
                    Not(HasSubstr("Expect")), EndsWith("\r\n\r\n{\"a\":1}")));
  EXPECT_THAT(server.Requests()[1], AllOf(HasSubstr("Idempotency-Key: key/2\r\n"), EndsWith("\r\n\r\n{}")));
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
