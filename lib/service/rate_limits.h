// The file that says how much sources and deliverers may send (docs/operations/configuration.md, "Limits").
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/base/rate_limiter.h"

namespace virp::service {

struct RateLimits {
  RateLimitTable sources;     // by source name
  RateLimitTable deliverers;  // by SPIFFE id
};

// In force without a file, and for what a file leaves out: far above what a site sends, far below what fills a disk
// unnoticed.
RateLimits DefaultRateLimits();

// InvalidArgument with the place.
absl::StatusOr<RateLimits> ParseRateLimits(std::string_view json);

// The file's; DefaultRateLimits for an empty path.
absl::StatusOr<RateLimits> ReadRateLimits(const std::string& path);

}  // namespace virp::service
