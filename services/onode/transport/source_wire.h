// Sources between the API's messages and the chain's registrations.
#pragma once

#include "absl/status/statusor.h"
#include "lib/chain/source_book.h"
#include "virp/source/v1/source_service.pb.h"

namespace virp::onode {

// InvalidField for what is no registration; the key statement is left empty but for suite and version.
absl::StatusOr<chain::Registration> RegistrationOf(const source::v1::Source& message);

// With state; `channel` may be null.
source::v1::Source MessageOf(const chain::Source& source, const chain::Channel* channel);

// Changes with every change of the registration, keys or suspension.
std::string EtagOf(const chain::Source& source);

}  // namespace virp::onode
