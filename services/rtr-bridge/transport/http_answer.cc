#include "services/rtr-bridge/transport/http_answer.h"

#include <charconv>
#include <optional>
#include <utility>

#include "lib/base/ip.h"
#include "lib/base/status.h"
#include "lib/http/conditional.h"

namespace virp::rtr_bridge {
namespace {

constexpr std::string_view kValidity = "/api/v1/validity/";
constexpr const char* kJson = "application/json";
constexpr std::size_t kMaxWhy = 500;

std::optional<std::uint32_t> ParseNumber(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "AS64496" in either case, or "64496".
std::optional<std::uint32_t> ParseAs(std::string_view text) {
  const bool named = text.size() > 2 && (text[0] == 'A' || text[0] == 'a') && (text[1] == 'S' || text[1] == 's');
  return ParseNumber(named ? text.substr(2) : text);
}

int CodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return 400;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kFailedPrecondition:
      return 503;
    default:
      return 500;
  }
}

service::HttpAnswer Answered(std::string type, Document body) {
  return {{200, {{"content-type", std::move(type)}, {"cache-control", "no-cache"}}, ""}, std::move(body)};
}

}  // namespace

http::Response HttpError(int code, std::string_view why) {
  std::string text(why.substr(0, kMaxWhy));
  for (char& c : text) {
    if ((c >= 0 && c < ' ') || c == 0x7f) c = ' ';
  }
  http::Response error{code, {{"content-type", "text/plain; charset=utf-8"}}, text + "\n"};
  if (code == 405) error.fields.push_back({"allow", "GET, HEAD"});
  if (code == 503) error.fields.push_back({"retry-after", "10"});
  return error;
}

service::HttpAnswer HttpAnswerer::Answer(const http::Request& request) const {
  if (request.method != "GET" && request.method != "HEAD") return {HttpError(405, "only GET and HEAD are answered")};
  auto answer = Try(request);
  if (!answer.ok()) return {HttpError(CodeOf(answer.status()), Message(answer.status()))};
  return *std::move(answer);
}

absl::StatusOr<service::HttpAnswer> HttpAnswerer::Try(const http::Request& request) const {
  ASSIGN_OR_RETURN(const http::Target target, http::ParseTarget(request.target));
  const std::string_view path = target.path;
  if (path == "/rpki.json") return Json(request);
  if (path == "/rpki.json.sig") {
    ASSIGN_OR_RETURN(Document signature, exports_.Signature());
    return Answered("application/octet-stream", std::move(signature));
  }
  if (path == "/json-delta") return Delta(target);
  if (path == "/validity") {
    ASSIGN_OR_RETURN(const std::string_view asn, target.Parameter("asn"));
    ASSIGN_OR_RETURN(const std::string_view prefix, target.Parameter("prefix"));
    return Validity(asn, prefix);
  }
  if (path.starts_with(kValidity)) {
    const std::string_view rest = path.substr(kValidity.size());
    const std::size_t slash = rest.find('/');
    if (slash == std::string_view::npos) return InvalidArgument("the path is {}AS/PREFIX", kValidity);
    return Validity(rest.substr(0, slash), rest.substr(slash + 1));
  }
  return NotFound("here are /rpki.json, /rpki.json.sig, /json-delta, /validity and {}AS/PREFIX", kValidity);
}

absl::StatusOr<service::HttpAnswer> HttpAnswerer::Json(const http::Request& request) const {
  ASSIGN_OR_RETURN(DatedDocument document, exports_.Json());
  const http::Validators validators{document.etag, document.modified};
  service::HttpAnswer answer = Answered(kJson, std::move(document.body));
  if (http::IsNotModified(request.fields, validators)) {
    answer.response.code = 304;
    answer.body = nullptr;
  }
  http::AddValidators(validators, answer.response.fields);
  return answer;
}

absl::StatusOr<service::HttpAnswer> HttpAnswerer::Delta(const http::Target& target) const {
  std::optional<std::string> session;
  std::uint32_t serial = 0;
  if (target.Has("session") || target.Has("serial")) {
    ASSIGN_OR_RETURN(session, target.Parameter("session"));
    ASSIGN_OR_RETURN(const std::string_view text, target.Parameter("serial"));
    const auto given = ParseNumber(text);
    if (!given) return InvalidArgument("the serial is no number of 32 bits");
    serial = *given;
  }
  ASSIGN_OR_RETURN(Document document, exports_.Delta(session, serial));
  return Answered(kJson, std::move(document));
}

absl::StatusOr<service::HttpAnswer> HttpAnswerer::Validity(std::string_view asn, std::string_view prefix) const {
  const auto origin = ParseAs(asn);
  if (!origin) return InvalidArgument("'{}' is no AS number", asn);
  const auto route = Prefix::Parse(prefix);
  if (!route.ok()) return InvalidArgument("'{}' is no prefix: {}", prefix, Message(route.status()));
  const auto view = board_.view();
  if (view == nullptr) return Unavailable("nothing is loaded yet");
  const auto now = static_cast<std::int64_t>(clock_.NowNanos() / 1'000'000'000);
  service::HttpAnswer answer = Answered(kJson, nullptr);
  answer.response.body = vrp::ValidityJson(*route, *origin, view->validator().Explain(*route, *origin), now);
  return answer;
}

}  // namespace virp::rtr_bridge
