// What the ledger needs of a database. Implemented by storage/sqlite and storage/postgres; both pass one conformance
// suite. Only the ledger calls it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/bytes.h"
#include "lib/base/clock.h"
#include "services/keymgr/domain/custody.h"
#include "services/keymgr/domain/record.h"

namespace virp::keymgr {

// Who leads, and how far the audit records go. The ends of two histories with equal `record` and `frame_hash` are one.
struct LedgerHead {
  std::uint64_t term = 0;      // fencing token: grows by one with every take-over
  std::string holder;          // instance that leads; empty when nobody does
  std::string holder_address;  // where clients reach it
  bool lease_valid = false;    // by the database's clock, at the time of reading
  std::uint64_t record = 0;    // number of the newest audit record; 0: none yet
  std::uint64_t epoch = 0;     // boot epoch and number of its frame
  std::uint64_t sequence = 0;
  Hash frame_hash{};            // SHA-256 of its frame; zeros when there is none
  std::uint64_t delivered = 0;  // records up to this number are shown by an audited checkpoint of the chain
};

struct AuditRow {
  std::uint64_t record = 0;
  std::uint64_t epoch = 0, sequence = 0;  // of the frame
  UnixNanos time = 0;
  std::string event, source, actor, method, reason, request_id;
  Hash digest{};       // of the request
  std::string answer;  // what a repeated request id is answered with
  std::string frame;
  std::vector<KeyIdentity> keys;

  bool operator==(const AuditRow&) const = default;
};

struct LedgerBatch {
  std::uint64_t term = 0;
  std::uint64_t old_record = 0;  // the head that this batch stands on
  Hash old_frame_hash{};
  std::vector<Row> puts;
  std::vector<std::pair<std::string, std::string>> erases;  // kind, id
  std::vector<SealedKey> put_keys;
  std::vector<KeyIdentity> drop_keys;
  std::vector<AuditRow> records;  // at least one; numbers old_record + 1, + 2, ...
  Hash new_frame_hash{};
};

struct AuditFilter {
  std::uint64_t after = 0;  // records above this number; with `descending`, below it (0: from the newest)
  bool descending = false;
  std::optional<UnixNanos> from, to;             // time, from inclusive, to exclusive
  std::string event, actor, source, request_id;  // exact; empty: any
  std::optional<KeyKind> kind;                   // records about a key of this kind, ...
  std::string key_id;                            // ... and with this id, empty: any
};

// Thread-safe. Errors common to all calls: Unavailable (connection lost, locked; retry), DataLoss (the database says
// that it is corrupt, or a row is none of ours), ResourceExhausted (disk full).
class LedgerStore {
 public:
  virtual ~LedgerStore() = default;

  virtual absl::StatusOr<LedgerHead> ReadHead() = 0;

  // Takes the lease when nobody holds a valid one, or `instance` does; the term grows. Aborted when another holds it.
  virtual absl::StatusOr<LedgerHead> TakeLease(std::string_view instance, std::string_view address,
                                               std::chrono::milliseconds duration) = 0;
  // Aborted when the term is no longer ours.
  virtual absl::Status RenewLease(std::uint64_t term, std::chrono::milliseconds duration) = 0;
  virtual absl::Status ReleaseLease(std::uint64_t term) = 0;

  // Everything, as one consistent state: records by kind and id, keys by identity. A callback's error ends it.
  struct Loader {
    std::function<absl::Status(Row)> row;
    std::function<absl::Status(SealedKey)> key;
    // Audit records with a request id at or after `requests_since`, without their frames and keys.
    UnixNanos requests_since = 0;
    std::function<absl::Status(AuditRow)> request;
  };
  virtual absl::StatusOr<LedgerHead> Load(const Loader& loader) = 0;

  // One transaction: compare-and-swap of (term, old_record, old_frame_hash), all rows, commit with fsync. Aborted:
  // fenced, nothing was written. Unknown: the commit's outcome is not known; settle it with ReadHead before anything
  // else. InvalidArgument: broken limits.
  virtual absl::Status Commit(const LedgerBatch& batch) = 0;

  // Audit records in order, at most `limit` (1,000) and 16 MiB of frames.
  virtual absl::StatusOr<std::vector<AuditRow>> ReadAudit(const AuditFilter& filter, std::size_t limit) = 0;

  // Rises only. Not fenced: it is a hint where delivery goes on.
  virtual absl::Status SetDelivered(std::uint64_t record) = 0;
};

}  // namespace virp::keymgr
