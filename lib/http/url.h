// What is asked of every URL that somebody configures, before a request is made of it.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace virp::http {

struct Url {
  std::string scheme;  // in small letters
  std::string host;    // [::1] for IPv6
};

// InvalidArgument for what is no URL, and for one with a user or password: they would stand in process lists, logs and
// metrics.
absl::StatusOr<Url> ParseUrl(const std::string& text);

}  // namespace virp::http
