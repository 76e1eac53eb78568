// How a database lets go of the bytes of old entries. What an entry is found by, and its leaf hash, stay: only the
// bytes go, so that a frame that comes again is still known, lists are whole and tiles still fit. Where they went is
// the archive's matter (archiver.h). The rights of the schema's owner are needed; the serving role cannot do this.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/onode/domain/chain_store.h"

namespace virp::onode {

// Entries [first, end), both multiples of 256.
struct EntryPart {
  std::uint64_t first = 0;
  std::uint64_t end = 0;
  bool operator==(const EntryPart&) const = default;
};

// Used by one thread. Errors as those of ChainStore.
class Retention {
 public:
  virtual ~Retention() = default;

  // As EntryDatabase's.
  virtual absl::StatusOr<std::uint64_t> ArchivedBelow(ChainId chain) = 0;
  // What can go next as a whole and ends at or below `below`: a partition, or on SQLite at most 16,384 entries.
  virtual absl::StatusOr<std::optional<EntryPart>> NextPart(ChainId chain, std::uint64_t below) = 0;
  // Takes the bytes of the part that NextPart gave out of the table and raises ArchivedBelow to its end, both in one
  // transaction, and records the signed checkpoint of `checkpoint_size` entries that it was held against.
  // FailedPrecondition when the part is not the next one; Unavailable when readers held the table for too long, or the
  // commit is in doubt: look again.
  virtual absl::Status Release(ChainId chain, EntryPart part, std::uint64_t checkpoint_size) = 0;

  // Parts whose partitions were detached and are still there, in order; none on SQLite, where pages are used again.
  virtual absl::StatusOr<std::vector<EntryPart>> Detached(ChainId chain) = 0;
  // Gives their room back to the disk.
  virtual absl::Status DropDetached(ChainId chain, EntryPart part) = 0;
};

}  // namespace virp::onode
