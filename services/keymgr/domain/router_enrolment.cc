#include "services/keymgr/domain/router_enrolment.h"

#include <algorithm>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/random.h"
#include "lib/crypto/sha256.h"

namespace virp::keymgr {
namespace {

// An operator looks at it some time; publications are made every few seconds.
constexpr std::chrono::seconds kAskAgain{300};
constexpr std::size_t kMostSlots = 1'000;  // a router has at most 64 ASes

}  // namespace

absl::StatusOr<EnrolmentAnswer> RouterEnrolment::Submit(const EnrolmentRequest& request, std::string_view method,
                                                        bool renew) {
  RETURN_IF_ERROR(keys_.Readable());
  RETURN_IF_ERROR(keys_.RouterOf(request.enrolee.identity).status());  // whose request it is, its agent says
  // The protocol has neither reason nor request id. What makes a repeat the same is the request itself.
  Call call;
  call.actor = request.enrolee.identity;
  call.method = method;
  call.reason = "the router enrols by itself";
  call.request_id = HexEncode(crypto::RandomBytes(16));
  call.digest = crypto::Sha256({method, "\n", request.csr});
  const RouterCaller caller{.identity = request.enrolee.identity, .certificate = request.enrolee.certificate};
  RouterKeys::Submission submission;
  submission.asn = request.asn.value_or(0);
  submission.request = request.csr;
  submission.renew = renew;
  ASSIGN_OR_RETURN(const auto taken, keys_.SubmitRequest(call, caller, submission));
  if (taken->state == RequestState::kPending) return EnrolmentPending{kAskAgain};
  if (taken->state == RequestState::kRejected)
    return WithReason(PermissionDenied("the request was refused: {}", taken->decision), "REJECTED");
  ASSIGN_OR_RETURN(const std::string slot, SlotId(taken->router, taken->asn, taken->usage));
  absl::StatusOr<std::string> certificate = keys_.CertificateOf(caller, slot, taken->version);
  if (certificate.ok()) return Enrolled{*std::move(certificate)};
  // Approved, and the outside authority's certificate is not imported yet.
  if (GetReason(certificate.status()) == "NOT_ISSUED") return EnrolmentPending{kAskAgain};
  return certificate.status();
}

absl::StatusOr<std::vector<std::string>> RouterEnrolment::CaCertificates() const {
  RETURN_IF_ERROR(keys_.Readable());
  return keys_.TrustChain();
}

absl::StatusOr<EnrolmentAnswer> RouterEnrolment::Enrol(const EnrolmentRequest& request) {
  return Submit(request, "est/simpleenroll", false);
}

absl::StatusOr<EnrolmentAnswer> RouterEnrolment::Reenrol(const EnrolmentRequest& request) {
  RETURN_IF_ERROR(keys_.Readable());  // else nobody would be known: 404, and the router gives up
  ASSIGN_OR_RETURN(const auto router, keys_.RouterOf(request.enrolee.identity));
  const auto slots = keys_.ListSlots(router->spec.id, "", kMostSlots);
  const bool certified = std::ranges::any_of(slots, [&](const auto& slot) {
    return (!request.asn || slot->asn == *request.asn) &&
           std::ranges::any_of(slot->versions, [](const RouterVersion& version) {
             return !version.certificates.empty() || !version.imported.empty();
           });
  });
  if (!certified)
    return WithReason(FailedPrecondition("there is no certificate to renew: enrol first (simpleenroll)"), "NOT_ISSUED");
  return Submit(request, "est/simplereenroll", true);
}

}  // namespace virp::keymgr
