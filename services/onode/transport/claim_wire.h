// Claims, acceptances and answers between the API's messages and the domain's values.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "services/onode/domain/claim.h"
#include "virp/verify/v1/verify_service.pb.h"

namespace virp::onode {

// Checked (CheckClaim, CheckAcceptance), addresses and prefixes in canonical form. InvalidField with the path below
// `field`.
absl::StatusOr<Claim> ClaimOf(const verify::v1::Claim& message, const std::string& field);
absl::StatusOr<Acceptance> AcceptanceOf(const verify::v1::Acceptance& message);

verify::v1::Claim MessageOf(const Claim& claim);
verify::v1::Acceptance MessageOf(const Acceptance& acceptance);
// All but claim, acceptance, origin and proofs.
verify::v1::ClaimAnswer MessageOf(const Answer& answer);

// Chain sequences that the verdict rests on: of the opinions that counted, facts first. Without duplicates.
std::vector<std::uint64_t> EntriesOf(const Answer& answer);

}  // namespace virp::onode
