#include "lib/service/errors.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <random>
#include <string>
#include <vector>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/base/utf8.h"

namespace virp::service {
namespace {

constexpr std::string_view kDomainSuffix = ".virp";

// A client takes at most 8 KiB of trailing metadata by default, of which the details become 4/3 in base64 and the
// message up to three times in percent signs; beyond it the whole status is lost.
constexpr std::size_t kMaxText = 512;
constexpr std::size_t kMaxInfo = 2'048;
constexpr std::size_t kMaxDetails = 4'096;
constexpr std::chrono::milliseconds kDefaultRetry{1'000};

std::atomic<HiddenErrorSink> hidden_error_sink = nullptr;

bool StaysInside(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kDataLoss:
      return true;
    default:
      return IsHidden(status);
  }
}

// What the peer reads instead of the cause.
std::string_view PublicMessage(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kUnavailable:
      return "the service cannot reach what it depends on; try again";
    case absl::StatusCode::kDeadlineExceeded:
      return "what the service depends on did not answer in time; try again";
    case absl::StatusCode::kResourceExhausted:
      return "the service is out of space or capacity";
    case absl::StatusCode::kUnknown:
      return "the outcome is not known; read back before trying again";
    case absl::StatusCode::kAborted:
      return "the request met another one; try again";
    case absl::StatusCode::kDataLoss:
      return "stored data is damaged";
    default:
      return "internal error; the log of the service has the cause";
  }
}

// Sixteen hex digits that nobody can guess a neighbour of.
std::string IncidentNumber() {
  thread_local std::mt19937_64 engine = [] {
    std::random_device device;
    return std::mt19937_64((std::uint64_t{device()} << 32) | device());
  }();
  return fmt::format("{:016x}", engine());
}

// Valid UTF-8, as protobuf wants it, of at most kMaxText bytes.
std::string Bounded(std::string_view text) {
  std::string out = ToUtf8(text.substr(0, kMaxText));
  if (out.size() <= kMaxText) return out;
  std::size_t end = kMaxText;
  while (end > 0 && (static_cast<unsigned char>(out[end]) & 0xc0) == 0x80) --end;
  out.resize(end);
  return out;
}

void AddInfo(const absl::Status& status, std::string_view service, const std::string& incident,
             google::rpc::Status& out) {
  google::rpc::ErrorInfo info;
  const std::string reason = GetReason(status);
  info.set_reason(reason.empty() ? absl::StatusCodeToString(status.code()) : Bounded(reason));
  info.set_domain(std::string(service) + std::string(kDomainSuffix));
  if (!incident.empty()) (*info.mutable_metadata())["incident"] = incident;
  for (const auto& [key, value] : GetMetadata(status)) {
    const std::string fits = Bounded(value);
    if (info.ByteSizeLong() + key.size() + fits.size() > kMaxInfo) continue;
    (*info.mutable_metadata())[ToUtf8(key)] = fits;
  }
  out.add_details()->PackFrom(info);
}

void AddFields(const absl::Status& status, google::rpc::Status& out) {
  const std::vector<FieldViolation> fields = GetFields(status);
  if (fields.empty()) return;
  const std::size_t used = out.ByteSizeLong();
  google::rpc::BadRequest request;
  for (const FieldViolation& violation : fields) {
    const std::string path = Bounded(violation.field);
    const std::string description = Bounded(violation.description);
    if (used + request.ByteSizeLong() + path.size() + description.size() > kMaxDetails) break;
    auto* field = request.add_field_violations();
    field->set_field(path);
    field->set_description(description);
  }
  out.add_details()->PackFrom(request);
}

void AddDelay(const absl::Status& status, google::rpc::Status& out) {
  auto delay = GetRetryAfter(status);
  if (!delay && status.code() == absl::StatusCode::kResourceExhausted) delay = kDefaultRetry;
  if (!delay) return;
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(delay->count() / 1000);
  retry.mutable_retry_delay()->set_nanos(static_cast<std::int32_t>(delay->count() % 1000 * 1'000'000));
  out.add_details()->PackFrom(retry);
}

google::rpc::Status DetailsOf(const absl::Status& status, std::string_view service) {
  const bool hidden = StaysInside(status);
  const std::string incident = hidden ? IncidentNumber() : std::string();
  if (hidden) {
    if (const HiddenErrorSink sink = hidden_error_sink.load()) sink(status, service, incident);
  }
  google::rpc::Status details;
  details.set_code(static_cast<std::int32_t>(status.code()));
  details.set_message(hidden ? std::string(PublicMessage(status.code())) : Bounded(Message(status)));
  AddInfo(status, service, incident, details);
  AddFields(status, details);
  AddDelay(status, details);
  return details;
}

void Restore(const google::rpc::Status& details, absl::Status& out) {
  for (const auto& detail : details.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::BadRequest request;
    google::rpc::RetryInfo retry;
    if (detail.UnpackTo(&info)) {
      SetReason(out, info.reason(), {info.metadata().begin(), info.metadata().end()});
    } else if (detail.UnpackTo(&request)) {
      for (const auto& field : request.field_violations()) AddField(out, field.field(), field.description());
    } else if (detail.UnpackTo(&retry)) {
      // A peer's number: at most a day, so that nobody is made to wait for ever.
      const std::int64_t seconds = std::clamp<std::int64_t>(retry.retry_delay().seconds(), 0, 86'400);
      SetRetryAfter(out, std::chrono::milliseconds(seconds * 1000 + retry.retry_delay().nanos() / 1'000'000));
    }
  }
}

bool IsReason(std::string_view text) {
  return text.size() >= 3 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
         });
}

}  // namespace

void SetHiddenErrorSink(HiddenErrorSink sink) {
  hidden_error_sink = sink;
}

grpc::Status ToGrpcStatus(const absl::Status& status, std::string_view service) {
  if (status.ok()) return grpc::Status::OK;
  const google::rpc::Status details = DetailsOf(status, service);
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), details.message(), details.SerializeAsString());
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  absl::Status out(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  google::rpc::Status details;
  if (!status.error_details().empty()) {
    if (details.ParseFromString(status.error_details())) Restore(details, out);
    return out;
  }
  // Refusals before the handler (lib/service/caller.cc) can carry no details; their reason leads the message.
  const std::string& message = status.error_message();
  const std::size_t colon = message.find(": ");
  if (colon != std::string::npos && IsReason(std::string_view(message).substr(0, colon))) {
    out = absl::Status(out.code(), message.substr(colon + 2));
    SetReason(out, message.substr(0, colon));
  }
  return out;
}

std::string ToStatusProto(const absl::Status& status, std::string_view service) {
  return DetailsOf(status, service).SerializeAsString();
}

absl::Status FromStatusProto(std::string_view serialized) {
  google::rpc::Status details;
  if (!details.ParseFromArray(serialized.data(), static_cast<int>(serialized.size())) || details.code() == 0) {
    return Unavailable("the peer ended the stream without a reason");
  }
  absl::Status out(static_cast<absl::StatusCode>(details.code()), details.message());
  Restore(details, out);
  return out;
}

}  // namespace virp::service
