#include "lib/est/message.h"

#include <algorithm>
#include <charconv>

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/cms.h"
#include "lib/crypto/x509.h"
#include "lib/http/message.h"

namespace virp::est {
namespace {

constexpr std::string_view kRoot = "/.well-known/est/";
constexpr std::string_view kAsLabel = "as";
constexpr std::size_t kMaxLabel = 64;
constexpr std::size_t kLine = 76;  // RFC 2045 section 6.8: older readers want no longer ones
constexpr std::int64_t kDay = 86'400;

constexpr std::string_view kNotOffered[] = {"fullcmc", "serverkeygen", "csrattrs"};

std::optional<Operation> OperationOf(std::string_view name) {
  for (const Operation operation : {Operation::kCaCerts, Operation::kSimpleEnroll, Operation::kSimpleReenroll}) {
    if (name == OperationName(operation)) return operation;
  }
  return std::nullopt;
}

bool IsLabel(std::string_view text) {
  return !text.empty() && text.size() <= kMaxLabel && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  });
}

bool IsSpace(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

std::string EncodeBody(std::string_view der) {
  const std::string text = Base64Encode(der);
  std::string out;
  out.reserve(text.size() + 2 * (text.size() / kLine + 1));
  for (std::size_t at = 0; at < text.size(); at += kLine) {
    out += std::string_view(text).substr(at, kLine);
    out += "\r\n";
  }
  return out;
}

absl::Status CheckType(std::string_view content_type, std::string_view wanted) {
  if (http::MediaType(content_type) == wanted) return absl::OkStatus();
  return WithReason(InvalidArgument("the body must be of type {}", wanted), "CONTENT_TYPE");
}

}  // namespace

std::string_view OperationName(Operation operation) {
  switch (operation) {
    case Operation::kCaCerts:
      return "cacerts";
    case Operation::kSimpleEnroll:
      return "simpleenroll";
    case Operation::kSimpleReenroll:
      return "simplereenroll";
  }
  return "?";
}

absl::StatusOr<Target> ParsePath(std::string_view path) {
  Target target;
  if (path.starts_with(kRoot)) {
    std::string_view rest = path.substr(kRoot.size());
    const std::size_t slash = rest.find('/');
    bool good = true;
    if (slash != std::string_view::npos) {
      target.label = rest.substr(0, slash);
      // "/est/cacerts/cacerts" would name an operation in two ways (section 3.2.2).
      good = IsLabel(target.label) && !OperationOf(target.label);
      rest.remove_prefix(slash + 1);
    }
    const std::optional<Operation> operation = OperationOf(rest);
    if (good && operation) {
      target.operation = *operation;
      return target;
    }
    if (good && std::ranges::find(kNotOffered, rest) != std::end(kNotOffered))
      return WithReason(NotFound("{} is not offered", rest), "NOT_OFFERED");
  }
  return NotFound("there is {0}cacerts, {0}simpleenroll, {0}simplereenroll, with a label before the last part or not",
                  kRoot);
}

std::string PathOf(const Target& target) {
  return fmt::format("{}{}{}{}", kRoot, target.label, target.label.empty() ? "" : "/", OperationName(target.operation));
}

std::string AsLabel(std::uint32_t asn) {
  return fmt::format("{}{}", kAsLabel, asn);
}

absl::StatusOr<std::uint32_t> ParseAsLabel(std::string_view label) {
  std::uint32_t asn = 0;
  const std::string_view digits = label.substr(std::min(kAsLabel.size(), label.size()));
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), asn);
  if (!label.starts_with(kAsLabel) || digits.starts_with('0') || error != std::errc() ||
      end != digits.data() + digits.size())
    return InvalidArgument("the label is not the AS that the certificate is for, such as as64496");
  return asn;
}

absl::StatusOr<std::string> DecodeBody(std::string_view body) {
  std::string text(body);
  std::erase_if(text, IsSpace);
  return Base64Decode(text);
}

absl::StatusOr<std::string> DecodeRequest(std::string_view content_type, std::string_view body) {
  RETURN_IF_ERROR(CheckType(content_type, kRequestType));
  if (body.size() > kMaxRequestBody)
    return WithReason(InvalidArgument("a request of more than {} bytes", kMaxRequestBody), "BAD_REQUEST");
  absl::StatusOr<std::string> der = DecodeBody(body);
  if (!der.ok()) return WithReason(Annotate(der.status(), "the body"), "BAD_BASE64");
  if (const auto request = x509::ParseRequest(*der); !request.ok()) return WithReason(request.status(), "BAD_REQUEST");
  return der;
}

std::string EncodeRequest(std::string_view der) {
  return EncodeBody(der);
}

std::string EncodeCertificates(const std::vector<std::string_view>& certificates) {
  return EncodeBody(cms::CertsOnly(certificates));
}

absl::StatusOr<std::vector<std::string>> DecodeCertificates(std::string_view content_type, std::string_view body) {
  RETURN_IF_ERROR(CheckType(content_type, kCertsType));
  const std::optional<std::string> kind = http::MediaParameter(content_type, "smime-type");
  if (kind && *kind != "certs-only")
    return WithReason(InvalidArgument("the answer is of smime-type {}, not certs-only", *kind), "CONTENT_TYPE");
  if (body.size() > kMaxResponseBody)
    return WithReason(InvalidArgument("an answer of more than {} bytes", kMaxResponseBody), "BAD_CERTIFICATES");
  const absl::StatusOr<std::string> der = DecodeBody(body);
  if (!der.ok()) return WithReason(Annotate(der.status(), "the answer"), "BAD_BASE64");
  auto certificates = cms::ParseCertsOnly(*der);
  if (!certificates.ok()) return WithReason(certificates.status(), "BAD_CERTIFICATES");
  return certificates;
}

std::chrono::seconds RetryAfter(std::optional<std::string_view> value) {
  std::int64_t seconds = 60;
  if (value) {
    std::int64_t said = 0;
    const auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), said);
    if (error == std::errc() && end == value->data() + value->size()) seconds = said;
  }
  return std::chrono::seconds(std::clamp<std::int64_t>(seconds, 1, kDay));
}

}  // namespace virp::est
