// What a service's ReadConfig makes of a command line, for tests of its options.
#pragma once

#include <sstream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace virp::testutil {

// `read` is the service's ReadConfig; `arguments` begin behind the program's name. Its errors.
template <typename Config, typename ReadConfig>
absl::StatusOr<Config> ConfigOf(ReadConfig read, const std::vector<std::string>& arguments) {
  std::vector<const char*> argv{"program"};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  Config config;
  std::ostringstream out;
  const auto next = read(static_cast<int>(argv.size()), argv.data(), out, config);
  if (!next.ok()) return next.status();
  return config;
}

}  // namespace virp::testutil
