// HTTP/1.1 messages whose bodies are small and of a length that is said before (RFC 9110, 9112): all that enrolment
// over HTTP needs, and nothing that a stranger could make grow. Readers take bytes as they come from a socket that
// somebody else reads. Values belong to one thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace virp::http {

// Looked at before anything is kept.
struct Limits {
  std::size_t head = 8 << 10;  // bytes of the start line and all fields
  std::size_t fields = 64;
  std::size_t body = 64 << 10;
};

struct Field {
  std::string name;  // lower case
  std::string value;

  bool operator==(const Field&) const = default;
};
using Fields = std::vector<Field>;

// The first one's value; nothing when there is none. `name` in lower case.
std::optional<std::string_view> Find(const Fields& fields, std::string_view name);

struct Request {
  std::string method;
  std::string target;  // origin-form (RFC 9112 section 3.2.1): begins with '/', nothing is decoded
  Fields fields;
  std::string body;
};
struct Response {
  int code = 0;
  Fields fields;
  std::string body;
};

// Why a request is not taken: what to answer.
struct Refusal {
  int code = 0;  // 400, 408, 411, 413, 417, 431 or 505
  std::string why;
};

// One request, from its first byte. Strict: what two readers could understand in two ways is refused (a second
// Content-Length, Content-Length beside Transfer-Encoding, folded lines, bare LF, spaces before a colon).
class RequestReader {
 public:
  explicit RequestReader(Limits limits) : limits_(limits) {}

  enum class Progress { kMore, kComplete, kRefused };
  // What comes behind a complete request is thrown away: one request a connection. After kRefused nothing is taken.
  Progress Take(std::string_view bytes);
  // Once, when the head is there, the body is not, and the client waits for "100 Continue".
  bool TakeContinue();

  const Request& request() const { return request_; }
  const Refusal& refusal() const { return refusal_; }

 private:
  Progress Refuse(int code, std::string why);
  Progress TakeHead(std::string_view head);
  Progress Frame();
  Progress TakeBody(std::string_view bytes);

  const Limits limits_;
  Progress progress_ = Progress::kMore;
  bool in_body_ = false;
  bool continue_ = false;
  std::size_t body_size_ = 0;
  std::string head_;
  Request request_;
  Refusal refusal_;
};

// One response; up to eight interim ones (1xx) before it are skipped. The body has the length that the head says, or
// ends with the connection.
class ResponseReader {
 public:
  explicit ResponseReader(Limits limits) : limits_(limits) {}

  // Whether it is complete. InvalidArgument when it is no such response or too large.
  absl::StatusOr<bool> Take(std::string_view bytes);
  // The connection has ended: InvalidArgument unless that completes it.
  absl::Status End();

  const Response& response() const { return response_; }

 private:
  static constexpr int kMostInterim = 8;
  absl::Status TakeHead(std::string_view head);

  const Limits limits_;
  int interim_ = 0;
  bool in_body_ = false;
  bool complete_ = false;
  std::optional<std::size_t> body_size_;  // nothing: until the end
  std::string head_;
  Response response_;
};

// A whole message. Content-Length and Host, from `host`, are written here.
std::string Encode(const Request& request, std::string_view host);
// All but the body, which has `body_size` bytes and is sent behind it, or nothing of it to a HEAD. `response.body` is
// not looked at.
std::string EncodeHead(const Response& response, std::size_t body_size);

// "application/pkcs10; charset=x": the type in lower case, and one parameter's value (no quotes, as it stands).
std::string MediaType(std::string_view content_type);
std::optional<std::string> MediaParameter(std::string_view content_type, std::string_view name);

}  // namespace virp::http
