#include "lib/http/message.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "lib/base/status.h"

namespace virp::http {
namespace {

constexpr std::string_view kEndOfHead = "\r\n\r\n";

// RFC 9110 section 5.6.2.
bool IsTokenCharacter(char c) {
  const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  return letter || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool IsToken(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, IsTokenCharacter);
}

std::string Lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::string_view Trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// Field values: no controls but tab (RFC 9110 section 5.5).
bool IsFieldValue(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c == '\t' || (c >= ' ' && c != 0x7f) || c < 0; });
}

bool IsVisible(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
}

std::optional<std::size_t> ParseLength(std::string_view text) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || text.front() == '-' || error != std::errc() || end != text.data() + text.size())
    return std::nullopt;
  return value;
}

// One line of a head without its CR LF, which is taken off `head`; the head's last line has none.
std::string_view NextLine(std::string_view& head) {
  const std::size_t end = head.find("\r\n");
  const std::string_view line = head.substr(0, end);
  head.remove_prefix(end == std::string_view::npos ? head.size() : end + 2);
  return line;
}

absl::Status ParseField(std::string_view line, Fields& fields) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || !IsToken(line.substr(0, colon)))
    return InvalidArgument("a header line is no NAME: VALUE");
  const std::string_view value = Trim(line.substr(colon + 1));
  if (!IsFieldValue(value)) return InvalidArgument("a header value holds control characters");
  fields.push_back({Lower(line.substr(0, colon)), std::string(value)});
  return absl::OkStatus();
}

absl::Status ParseFields(std::string_view head, std::size_t most, Fields& fields) {
  while (!head.empty()) {
    if (fields.size() == most) return ResourceExhausted("more than {} header lines", most);
    RETURN_IF_ERROR(ParseField(NextLine(head), fields));
  }
  // What decides where a message ends, or whom it is for, stands there once.
  for (const std::string_view name : {"content-length", "transfer-encoding", "host", "content-type", "expect"}) {
    if (std::ranges::count(fields, name, &Field::name) > 1) return InvalidArgument("two {} headers", name);
  }
  return absl::OkStatus();
}

std::string_view PhraseOf(int code) {
  switch (code) {
    case 200:
      return "OK";
    case 202:
      return "Accepted";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 411:
      return "Length Required";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Other";
  }
}

// Appends what can belong to a head. Where the head ends, without its empty line; npos as long as it may still come;
// more than `limit` when it is too long.
std::size_t AppendHead(std::string& head, std::string_view bytes, std::size_t limit) {
  const std::size_t seen = head.size();
  head.append(bytes.substr(0, limit + kEndOfHead.size() - seen));
  const std::size_t end = head.find(kEndOfHead, seen < kEndOfHead.size() ? 0 : seen - kEndOfHead.size());
  return end == std::string::npos && head.size() >= limit + kEndOfHead.size() ? limit + 1 : end;
}

void AppendFields(std::string& out, const Fields& fields, std::optional<std::size_t> body_size) {
  for (const Field& field : fields) fmt::format_to(std::back_inserter(out), "{}: {}\r\n", field.name, field.value);
  if (body_size) fmt::format_to(std::back_inserter(out), "content-length: {}\r\n", *body_size);
  out += "\r\n";
}

}  // namespace

std::optional<std::string_view> Find(const Fields& fields, std::string_view name) {
  const auto found = std::ranges::find(fields, name, &Field::name);
  if (found == fields.end()) return std::nullopt;
  return found->value;
}

RequestReader::Progress RequestReader::Refuse(int code, std::string why) {
  refusal_ = {code, std::move(why)};
  std::string().swap(head_);
  return progress_ = Progress::kRefused;
}

RequestReader::Progress RequestReader::Take(std::string_view bytes) {
  if (progress_ != Progress::kMore) return progress_;
  if (in_body_) return TakeBody(bytes);
  const std::size_t seen = head_.size();
  const std::size_t end = AppendHead(head_, bytes, limits_.head);
  if (end == std::string::npos) return Progress::kMore;
  if (end > limits_.head) return Refuse(431, fmt::format("headers of more than {} bytes", limits_.head));
  const std::string head = std::exchange(head_, {});
  const std::size_t used = end + kEndOfHead.size() - seen;
  if (TakeHead(std::string_view(head).substr(0, end)) == Progress::kRefused) return progress_;
  return TakeBody(bytes.substr(used));
}

RequestReader::Progress RequestReader::TakeHead(std::string_view head) {
  const std::string_view line = NextLine(head);
  const std::size_t method_end = line.find(' ');
  const std::size_t target_end = line.rfind(' ');
  if (method_end == std::string_view::npos || method_end == target_end)
    return Refuse(400, "the first line is no METHOD TARGET HTTP/1.1");
  const std::string_view version = line.substr(target_end + 1);
  request_.method = line.substr(0, method_end);
  request_.target = line.substr(method_end + 1, target_end - method_end - 1);
  if (!version.starts_with("HTTP/")) return Refuse(400, "the first line is no METHOD TARGET HTTP/1.1");
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return Refuse(505, "this is HTTP/1.1");
  if (!IsToken(request_.method)) return Refuse(400, "the method is no token");
  if (!IsVisible(request_.target) || request_.target.front() != '/')
    return Refuse(400, "the target does not begin with '/', or holds what must be escaped");
  if (const absl::Status fields = ParseFields(head, limits_.fields, request_.fields); !fields.ok())
    return Refuse(absl::IsResourceExhausted(fields) ? 431 : 400, std::string(Message(fields)));
  if (version == "HTTP/1.1" && !Find(request_.fields, "host")) return Refuse(400, "no Host header");
  return Frame();
}

// RFC 9112 section 6: where the body ends.
RequestReader::Progress RequestReader::Frame() {
  const auto length = Find(request_.fields, "content-length");
  const auto coding = Find(request_.fields, "transfer-encoding");
  if (coding && length) return Refuse(400, "Content-Length beside Transfer-Encoding");
  if (coding) return Refuse(411, "transfer codings are not taken; say Content-Length");
  if (length) {
    const auto size = ParseLength(*length);
    if (!size) return Refuse(400, "Content-Length is no number");
    if (*size > limits_.body) return Refuse(413, fmt::format("a body of more than {} bytes", limits_.body));
    body_size_ = *size;
  } else if (request_.method == "POST" || request_.method == "PUT") {
    return Refuse(411, "no Content-Length");
  }
  if (const auto expect = Find(request_.fields, "expect")) {
    if (Lower(*expect) != "100-continue") return Refuse(417, "the only expectation that is met is 100-continue");
    continue_ = body_size_ > 0;
  }
  request_.body.reserve(body_size_);
  in_body_ = true;
  return Progress::kMore;
}

RequestReader::Progress RequestReader::TakeBody(std::string_view bytes) {
  request_.body.append(bytes.substr(0, body_size_ - request_.body.size()));
  if (request_.body.size() < body_size_) return Progress::kMore;
  return progress_ = Progress::kComplete;
}

bool RequestReader::TakeContinue() {
  return progress_ == Progress::kMore && request_.body.empty() && std::exchange(continue_, false);
}

absl::StatusOr<bool> ResponseReader::Take(std::string_view bytes) {
  while (!complete_ && !in_body_) {
    const std::size_t seen = head_.size();
    const std::size_t end = AppendHead(head_, bytes, limits_.head);
    if (end == std::string::npos) return false;
    if (end > limits_.head) return InvalidArgument("a response with headers of more than {} bytes", limits_.head);
    bytes.remove_prefix(end + kEndOfHead.size() - seen);
    const std::string head = std::exchange(head_, {});
    RETURN_IF_ERROR(TakeHead(std::string_view(head).substr(0, end)));
  }
  if (complete_) return true;
  if (response_.body.size() + bytes.size() > limits_.body && !body_size_)
    return InvalidArgument("a response of more than {} bytes", limits_.body);
  response_.body.append(bytes.substr(0, body_size_ ? *body_size_ - response_.body.size() : bytes.size()));
  complete_ = body_size_ && response_.body.size() == *body_size_;
  return complete_;
}

absl::Status ResponseReader::TakeHead(std::string_view head) {
  const std::string_view line = NextLine(head);
  const bool response = line.size() >= 12 && line.starts_with("HTTP/1.") && line[8] == ' ';
  const std::size_t code = response ? ParseLength(line.substr(9, 3)).value_or(0) : 0;
  if (code < 100) return InvalidArgument("the answer is no HTTP/1.1 response");
  if (code < 200) {  // "100 Continue": the one that counts comes behind it
    if (++interim_ > kMostInterim)
      return InvalidArgument("more than {} interim responses, and no answer", kMostInterim);
    Fields ignored;
    return ParseFields(head, limits_.fields, ignored);
  }
  response_.code = static_cast<int>(code);
  RETURN_IF_ERROR(ParseFields(head, limits_.fields, response_.fields));
  if (Find(response_.fields, "transfer-encoding"))
    return InvalidArgument("the answer is in a transfer coding, which is not understood");
  if (const auto length = Find(response_.fields, "content-length")) {
    body_size_ = ParseLength(*length);
    if (!body_size_) return InvalidArgument("the answer's Content-Length is no number");
    if (*body_size_ > limits_.body) return InvalidArgument("a response of more than {} bytes", limits_.body);
  } else if (code == 204 || code == 304) {
    body_size_ = 0;
  }
  in_body_ = true;
  return absl::OkStatus();
}

absl::Status ResponseReader::End() {
  if (complete_) return absl::OkStatus();
  if (!in_body_ || body_size_) return InvalidArgument("the connection ended within the answer");
  complete_ = true;
  return absl::OkStatus();
}

std::string Encode(const Request& request, std::string_view host) {
  std::string out = fmt::format("{} {} HTTP/1.1\r\nhost: {}\r\n", request.method, request.target, host);
  AppendFields(out, request.fields, request.body.size());
  return out + request.body;
}

std::string EncodeHead(const Response& response, std::size_t body_size) {
  std::string out = fmt::format("HTTP/1.1 {} {}\r\n", response.code, PhraseOf(response.code));
  // Of a 304 it would be the size of what is not sent (RFC 9110 section 8.6), which is not known here.
  AppendFields(out, response.fields, response.code == 304 ? std::nullopt : std::optional(body_size));
  return out;
}

std::string MediaType(std::string_view content_type) {
  return Lower(Trim(content_type.substr(0, content_type.find(';'))));
}

std::optional<std::string> MediaParameter(std::string_view content_type, std::string_view name) {
  for (std::size_t at = content_type.find(';'); at != std::string_view::npos;) {
    const std::size_t next = content_type.find(';', at + 1);
    const std::string_view parameter = Trim(content_type.substr(at + 1, next - at - 1));
    const std::size_t equals = parameter.find('=');
    if (equals != std::string_view::npos && Lower(parameter.substr(0, equals)) == name)
      return std::string(parameter.substr(equals + 1));
    at = next;
  }
  return std::nullopt;
}

}  // namespace virp::http
