// What a request asks for: path and query of a target (RFC 3986 sections 2.1 and 3). Pure and thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace virp::http {

struct Target {
  std::string path;                                        // escapes decoded
  std::vector<std::pair<std::string, std::string>> query;  // NAME=VALUE, decoded; '+' stands for itself

  // The parameter's value. InvalidArgument when it is missing or there twice.
  absl::StatusOr<std::string_view> Parameter(std::string_view name) const;
  bool Has(std::string_view name) const;
};

// InvalidArgument for an escape that is none, and for one of a control character.
absl::StatusOr<Target> ParseTarget(std::string_view target);

}  // namespace virp::http
