// Names of sources and origins of chains, the one rule for both (docs/formats/frame.md, "Names").
#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace virp {

// A source name: [a-z0-9][a-z0-9._-]{0,127}. InvalidArgument names the first character that does not fit.
absl::Status CheckSourceName(std::string_view name);

// An origin: source names joined by '/', at most 255 bytes in all. The O-Node's own source has its origin as name.
absl::Status CheckOrigin(std::string_view origin);

}  // namespace virp
