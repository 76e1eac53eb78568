// What a router that enrols by itself may ask for (RFC 8635 section 9), whatever protocol brings it (EST, RFC 7030).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"

namespace virp::keymgr {

// Who asks, as its TLS certificate says. Never the BGPsec certificate: those are for different keys (RFC 8635 appendix
// A).
struct Enrolee {
  std::string identity;     // SPIFFE id: the agent of one router's account
  std::string certificate;  // DER, to compare with what is registered (section 9, step 1)
};

struct EnrolmentRequest {
  Enrolee enrolee;
  std::optional<std::uint32_t> asn;  // that the certificate is for; nothing: the router's only one
  std::string_view csr;              // PKCS #10, DER; valid during the call
};

struct Enrolled {
  std::string certificate;  // DER
};
// Somebody has to approve it, or it is on its way: ask the same again later.
struct EnrolmentPending {
  std::chrono::seconds retry_after{300};
};
using EnrolmentAnswer = std::variant<Enrolled, EnrolmentPending>;

// Thread-safe. The same request again is the same enrolment, whose outcome it learns. Errors, with nothing changed:
//   InvalidArgument     the request, with a reason of rpki::CheckRouterRequest; no AS said, and the router has several
//   NotFound            no router has this agent
//   PermissionDenied    REJECTED by an operator
//   FailedPrecondition  the state of its keys does not allow it; SEALED, NOT_ACTIVE, NO_AUTHORITY
//   AlreadyExists       another router has this key
//   Unavailable         try again
class Enrolment {
 public:
  virtual ~Enrolment() = default;

  // A first or a further key.
  virtual absl::StatusOr<EnrolmentAnswer> Enrol(const EnrolmentRequest& request) = 0;

  // Of a router that has a certificate for this AS: with the same key it is renewed, with another one it gets its next
  // key. FailedPrecondition with reason NOT_ISSUED when there is none.
  virtual absl::StatusOr<EnrolmentAnswer> Reenrol(const EnrolmentRequest& request) = 0;

  // From the trust anchor down to the issuing authority, DER each.
  virtual absl::StatusOr<std::vector<std::string>> CaCertificates() const = 0;
};

}  // namespace virp::keymgr
