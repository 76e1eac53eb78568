// How a cache's state is written down: what API and evidence tell of generations, and the history. A checksum over all.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "services/rtr-bridge/domain/generation.h"

namespace virp::rtr_bridge {

struct SavedCache {
  std::uint64_t last_number = 0;
  std::deque<Generation> generations;
  std::string history;  // of rtr::History::Save
};

std::string BuildSavedCache(std::uint64_t last_number, const std::deque<Generation>& generations,
                            std::string_view history);
// DataLoss when the bytes are damaged or of another version of this program's.
absl::StatusOr<SavedCache> ParseSavedCache(std::string_view state);

}  // namespace virp::rtr_bridge
