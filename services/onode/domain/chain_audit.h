// VerifyChain: the whole walk over what the store holds now, independent of what this O-Node remembers of it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/chain/walk.h"
#include "services/onode/domain/chain.h"

namespace virp::onode {

struct AuditRequest {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;  // 0: all that the store's head says
  bool check_subjects = false;
};

struct AuditReport {
  std::optional<chain::Break> broken;
  std::vector<chain::Unchecked> unchecked;
  std::uint64_t checked = 0;  // the broken one among them
  std::uint64_t size = 0;     // entries in order, from 0 on
  Hash root{};                // over these
};

// `progress` is told entries checked and total now and then; false from it ends the walk with Cancelled. Checkpoints
// that count: all that the store holds, and the largest beside it. A whole walk also compares what the store keeps
// beside entries: rows behind the head, tiles, frontier, the predecessor's note.
absl::StatusOr<AuditReport> AuditChain(Chain& chain, const AuditRequest& request,
                                       const std::function<bool(std::uint64_t checked, std::uint64_t total)>& progress);

}  // namespace virp::onode
