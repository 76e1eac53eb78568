#include "services/keymgr/transport/est/est_answer.h"

#include <algorithm>
#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/pki.h"
#include "lib/crypto/x509.h"
#include "lib/est/message.h"

namespace virp::keymgr {
namespace {

constexpr std::chrono::seconds kComeBack{30};  // after what passes by itself

std::string MethodOf(est::Operation operation) {
  switch (operation) {
    case est::Operation::kCaCerts:
      return "/rfc7030.Est/CaCerts";
    case est::Operation::kSimpleEnroll:
      return "/rfc7030.Est/SimpleEnroll";
    case est::Operation::kSimpleReenroll:
      return "/rfc7030.Est/SimpleReenroll";
  }
  return "";
}

int CodeOf(const absl::Status& status) {
  const std::string reason = GetReason(status);
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return reason == "CONTENT_TYPE" ? 415 : 400;
    case absl::StatusCode::kUnauthenticated:  // by TLS: there is no challenge that would help, as 401 would promise
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kFailedPrecondition:
      return reason == "SEALED" || reason == "NOT_ACTIVE" || reason == "NO_AUTHORITY" ? 503 : 409;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted:
      return 409;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return 503;
    default:
      return 500;
  }
}

// Header and text are for people who read a router's log; control characters of a request are not passed on.
std::string OneLine(std::string_view text) {
  std::string out(text.substr(0, 1'000));
  for (char& c : out) {
    if ((c >= 0 && c < ' ') || c == 0x7f) c = ' ';
  }
  return out;
}

http::Response Certificates(const std::vector<std::string_view>& certificates) {
  return {200,
          {{"content-type", std::string(est::kCertsOnlyType)}, {"content-transfer-encoding", "base64"}},
          est::EncodeCertificates(certificates)};
}

std::string RetryText(std::chrono::seconds delay) {
  return std::to_string(std::max<std::chrono::seconds::rep>(delay.count(), 1));
}

http::Response Reply(const EnrolmentAnswer& answer) {
  if (const auto* const pending = std::get_if<EnrolmentPending>(&answer)) {
    return {202,
            {{"content-type", "text/plain; charset=utf-8"}, {"retry-after", RetryText(pending->retry_after)}},
            "pending: an operator has to approve it\n"};
  }
  // The one certificate only (RFC 7030 section 4.2.3); those above it are got by cacerts.
  return Certificates({std::get<Enrolled>(answer).certificate});
}

}  // namespace

std::vector<service::MethodRule> EstAccess() {
  std::vector<service::MethodRule> rows;
  for (const auto operation :
       {est::Operation::kCaCerts, est::Operation::kSimpleEnroll, est::Operation::kSimpleReenroll})
    rows.push_back({MethodOf(operation), {service::Role::kRouter}});
  return rows;
}

http::Response EstError(int code, std::string_view why) {
  return {code, {{"content-type", "text/plain; charset=utf-8"}}, OneLine(why) + "\n"};
}

http::Response EstError(const absl::Status& status) {
  const int code = CodeOf(status);
  const std::string reason = GetReason(status);
  const std::string_view text = code == 500 || IsHidden(status) ? "the server's own trouble" : Message(status);
  http::Response out = EstError(code, reason.empty() ? std::string(text) : fmt::format("{}: {}", reason, text));
  const auto delay = GetRetryAfter(status);
  if (delay || code == 503 || code == 429) {
    out.fields.push_back(
        {"retry-after", RetryText(delay ? std::chrono::ceil<std::chrono::seconds>(*delay) : kComeBack)});
  }
  return out;
}

EstAnswerer::EstAnswerer(Enrolment& enrolment, service::Security security)
    : enrolment_(enrolment), security_(std::move(security)) {}

absl::StatusOr<service::Identity> EstAnswerer::Admit(std::string_view method, std::string_view leaf_pem) const {
  absl::StatusOr<service::Identity> caller = security_.callers->FromCertificate(leaf_pem);
  absl::Status status =
      caller.ok() ? WithReason(security_.table->Check(*caller, method), "METHOD_DENIED") : caller.status();
  if (status.ok()) return caller;
  if (security_.on_refusal)
    security_.on_refusal({std::string(method), caller.ok() ? service::Describe(*caller) : "", status});
  return status;
}

http::Response EstAnswerer::Answer(const http::Request& request, std::string_view leaf_pem) const {
  absl::StatusOr<http::Response> answer = Try(request, leaf_pem);
  return answer.ok() ? *std::move(answer) : EstError(answer.status());
}

absl::StatusOr<http::Response> EstAnswerer::Try(const http::Request& request, std::string_view leaf_pem) const {
  ASSIGN_OR_RETURN(const est::Target target, est::ParsePath(request.target));
  // Who may not come in learns that, and nothing about its request.
  ASSIGN_OR_RETURN(const service::Identity caller, Admit(MethodOf(target.operation), leaf_pem));
  const bool reads = target.operation == est::Operation::kCaCerts;
  if (request.method != (reads ? "GET" : "POST")) {
    http::Response refused = EstError(405, fmt::format("this takes {} only", reads ? "GET" : "POST"));
    refused.fields.push_back({"allow", reads ? "GET" : "POST"});
    return refused;
  }
  EnrolmentRequest enrolment;
  if (!target.label.empty()) {
    ASSIGN_OR_RETURN(enrolment.asn, est::ParseAsLabel(target.label));
  }
  if (reads) {
    ASSIGN_OR_RETURN(const std::vector<std::string> certificates, enrolment_.CaCertificates());
    return Certificates({certificates.begin(), certificates.end()});
  }
  ASSIGN_OR_RETURN(const std::string csr,
                   est::DecodeRequest(http::Find(request.fields, "content-type").value_or(""), request.body));
  ASSIGN_OR_RETURN(std::vector<std::string> leaf,
                   x509::DerBlocks(leaf_pem, {"CERTIFICATE"}, crypto::kMaxCertificatePem, 1));
  enrolment.enrolee = {caller.spiffe_id, std::move(leaf.front())};
  enrolment.csr = csr;
  ASSIGN_OR_RETURN(const EnrolmentAnswer answer, target.operation == est::Operation::kSimpleEnroll
                                                     ? enrolment_.Enrol(enrolment)
                                                     : enrolment_.Reenrol(enrolment));
  return Reply(answer);
}

}  // namespace virp::keymgr
