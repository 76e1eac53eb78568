// The file that says which builds of their programs sources may name (docs/operations/configuration.md, "Builds").
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "services/onode/domain/expected_builds.h"

namespace virp::onode {

// InvalidArgument with the place.
absl::StatusOr<std::vector<ExpectedBuilds::Rule>> ParseBuilds(std::string_view json);

// The file's; no rules for an empty path.
absl::StatusOr<std::vector<ExpectedBuilds::Rule>> ReadBuilds(const std::string& path);

}  // namespace virp::onode
