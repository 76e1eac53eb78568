// `sources builds`: which programs sources say that they are.
#pragma once

#include <cstdint>
#include <string>

#include "tools/virpctl/commands.h"

namespace virp::virpctl {

// Among the newest `most` beats, of that source or (empty) of all. Exit::kNo when the newest beat of a source names
// another build than `expect`, where that is not empty.
absl::StatusOr<Exit> SourcesBuilds(const Options& options, const std::string& source, const std::string& expect,
                                   std::uint32_t most);

}  // namespace virp::virpctl
