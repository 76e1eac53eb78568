// Enrolment over Secure Transport, RFC 7030, with the clarifications of RFC 8951: what its messages look like. Bodies
// are base64 of DER, in whatever lines. No sockets in here; lib/http has the messages around. Thread-safe.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace virp::est {

// A request of a router has some 300 bytes; an answer holds certificates.
inline constexpr std::size_t kMaxRequestBody = 32 << 10;
inline constexpr std::size_t kMaxResponseBody = std::size_t{1} << 20;

inline constexpr std::string_view kRequestType = "application/pkcs10";
inline constexpr std::string_view kCertsType = "application/pkcs7-mime";
inline constexpr std::string_view kCertsOnlyType = "application/pkcs7-mime; smime-type=certs-only";

// Those that every server has; fullcmc, serverkeygen and csrattrs are not offered.
enum class Operation : std::uint8_t { kCaCerts, kSimpleEnroll, kSimpleReenroll };
std::string_view OperationName(Operation operation);  // as in paths

// /.well-known/est/[LABEL/]OPERATION (section 3.2.2).
struct Target {
  Operation operation = Operation::kCaCerts;
  std::string label;  // [A-Za-z0-9._-]{1,64}, or empty
};
// NotFound when the path is none of these, with reason NOT_OFFERED for the optional operations.
absl::StatusOr<Target> ParsePath(std::string_view path);
std::string PathOf(const Target& target);

// Our labels name the AS that a certificate is for, which a request does not say (RFC 8635 section 6): "as64496".
std::string AsLabel(std::uint32_t asn);
absl::StatusOr<std::uint32_t> ParseAsLabel(std::string_view label);  // InvalidArgument for anything else, and for AS 0

// Base64 with white space anywhere: RFC 8951 section 3.1 has readers ignore it. InvalidArgument.
absl::StatusOr<std::string> DecodeBody(std::string_view body);

// The PKCS #10 request of a simpleenroll or simplereenroll. InvalidArgument, with reason CONTENT_TYPE when the body is
// of another type, BAD_BASE64, or BAD_REQUEST when it is no request in DER. What the request asks for is not judged.
absl::StatusOr<std::string> DecodeRequest(std::string_view content_type, std::string_view body);
std::string EncodeRequest(std::string_view der);

// Certificates, DER each. Decoding is a client's: InvalidArgument as above, with reason BAD_CERTIFICATES.
std::string EncodeCertificates(const std::vector<std::string_view>& certificates);
absl::StatusOr<std::vector<std::string>> DecodeCertificates(std::string_view content_type, std::string_view body);

// Of a Retry-After header, in seconds only (RFC 9110 section 10.2.3 also has dates); between a second and a day,
// a minute when it says nothing that is understood.
std::chrono::seconds RetryAfter(std::optional<std::string_view> value);

}  // namespace virp::est
