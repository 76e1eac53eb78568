#include "lib/service/errors.h"

#include <string>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"

namespace virp::service {
namespace {

constexpr std::string_view kDomainSuffix = ".virp";

bool IsOurs(absl::StatusCode code) { return code == absl::StatusCode::kInternal || code == absl::StatusCode::kUnknown; }

void AddInfo(const absl::Status& status, std::string_view service, google::rpc::Status& out) {
  google::rpc::ErrorInfo info;
  const std::string reason = GetReason(status);
  info.set_reason(reason.empty() ? absl::StatusCodeToString(status.code()) : reason);
  info.set_domain(std::string(service) + std::string(kDomainSuffix));
  for (const auto& [key, value] : GetMetadata(status)) (*info.mutable_metadata())[key] = value;
  out.add_details()->PackFrom(info);
}

void AddFields(const absl::Status& status, google::rpc::Status& out) {
  const auto fields = GetFields(status);
  if (fields.empty()) return;
  google::rpc::BadRequest request;
  for (const FieldViolation& violation : fields) {
    auto* field = request.add_field_violations();
    field->set_field(violation.field);
    field->set_description(violation.description);
  }
  out.add_details()->PackFrom(request);
}

void AddDelay(const absl::Status& status, google::rpc::Status& out) {
  const auto delay = GetRetryAfter(status);
  if (!delay) return;
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(delay->count() / 1000);
  retry.mutable_retry_delay()->set_nanos(static_cast<std::int32_t>(delay->count() % 1000 * 1'000'000));
  out.add_details()->PackFrom(retry);
}

google::rpc::Status DetailsOf(const absl::Status& status, std::string_view service) {
  google::rpc::Status details;
  details.set_code(static_cast<std::int32_t>(status.code()));
  details.set_message(IsOurs(status.code()) ? "internal error; the service's log has the cause" : std::string(Message(status)));
  AddInfo(status, service, details);
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
      SetRetryAfter(out, std::chrono::milliseconds(retry.retry_delay().seconds() * 1000 + retry.retry_delay().nanos() / 1'000'000));
    }
  }
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status, std::string_view service) {
  if (status.ok()) return grpc::Status::OK;
  const google::rpc::Status details = DetailsOf(status, service);
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), details.message(), details.SerializeAsString());
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  absl::Status out(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  google::rpc::Status details;
  if (details.ParseFromString(status.error_details())) Restore(details, out);
  return out;
}

std::string ToStatusProto(const absl::Status& status, std::string_view service) { return DetailsOf(status, service).SerializeAsString(); }

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
