// The job that moves old entries out of a database: `virp-onode archive`. It believes nothing that the database says
// but what a signed checkpoint covers, and lets the database go of nothing that was not read back from the archive.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/chain/note.h"
#include "services/onode/domain/chain_store.h"
#include "services/onode/storage/archive/entry_archive.h"
#include "services/onode/storage/archive/retention.h"

namespace virp::onode {

struct ArchiveRequest {
  std::string origin;
  std::uint64_t below = 0;                    // entries below it, as far as they fill whole parts
  std::vector<chain::VerifierKey> verifiers;  // of the chain's checkpoints
  bool drop_detached = false;                 // drop what was detached, once its archive was read back whole
  std::function<absl::Status(std::string_view step)> before;  // for tests: an error ends the job as a kill would
};

struct ArchiveReport {
  std::uint64_t archived_from = 0, archived_below = 0;  // what this run moved; equal when nothing
  std::uint64_t dropped = 0;                            // entries in partitions that were dropped
  std::uint64_t bytes = 0;                              // of the bundles written
};

// Whatever moment it is stopped at, every entry is in the database or in the archive, and the same call finishes.
// Errors: NotFound, no such chain; FailedPrecondition, no signed checkpoint covers `below`, or none by `verifiers`;
// DataLoss, naming the place, when the database's tiles or entries do not lead to the signed root or the archive does
// not hold what was written: nothing more was let go. Others of the store and of files.
absl::StatusOr<ArchiveReport> ArchiveEntries(ChainStore& store, Retention& retention, std::string_view archive,
                                             const ArchiveRequest& request);

// How many entries of a chain were received before `time`, by the store's own columns; NotFound, no such chain.
absl::StatusOr<std::uint64_t> EntriesBefore(ChainStore& store, Retention& retention, std::string_view origin,
                                            UnixNanos time);

}  // namespace virp::onode
