// The history on disk (docs/rtr.md, "State"). Private to this folder. Thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/rtr/history.h"

namespace virp::rtr::history {

struct State {
  std::string owner;
  Hash hash{};                      // of the payloads that the serials stand for
  std::vector<std::uint16_t> used;  // session ids, oldest first
  std::array<std::shared_ptr<Line>, kVersions> lines;
};

std::string FormatState(std::string_view owner, const Hash& hash, const std::vector<std::uint16_t>& used,
                        const Snapshot::Lines& lines);

// DataLoss for all that FormatState does not write.
absl::StatusOr<State> ParseState(std::string_view bytes);

}  // namespace virp::rtr::history
