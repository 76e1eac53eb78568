// What both back ends have in common: limits that are checked before a database is touched, and columns as text.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "services/keymgr/domain/ledger_store.h"

namespace virp::keymgr {

struct LedgerStoreOptions {
  bool migrate = true;                        // apply missing schema files on opening; else the schema must be complete
  std::string migrate_url;                    // PostgreSQL: credentials of the schema's owner; empty: those of the URL
  std::chrono::milliseconds timeout{10'000};  // for a statement, a lock, a connection
  const Clock* clock = nullptr;               // SQLite: by which leases run; null is the system's. Outlives the store
};

inline constexpr std::size_t kMaxAuditRead = 1'000;
inline constexpr std::size_t kMaxAuditReadBytes = 16 * 1024 * 1024;

// InvalidArgument unless the batch has records that continue old_record without a hole.
absl::Status CheckLedgerBatch(const LedgerBatch& batch);
// No lease ends later from now: an end that does was written while the clock was far ahead, and is none.
constexpr std::chrono::hours kLongestLease{24};
absl::Status CheckLease(std::string_view instance, std::string_view address, std::chrono::milliseconds duration);
absl::Status Fenced(std::uint64_t term);
absl::Status LeaseHeld(std::string_view holder);

// The identity that four columns name; DataLoss when they name none.
absl::StatusOr<KeyIdentity> IdentityFrom(std::string_view kind, std::string_view id, std::uint64_t version,
                                         std::string_view algorithm);
absl::StatusOr<ExportPolicy> PolicyFrom(std::string_view name);

// The WHERE of a filter, with `placeholder(n)` for the n-th value ("?1", "$1"), and its values in order: after, from,
// to, event, actor, source, request_id, kind, key_id. All nine are always bound.
std::string AuditQuery(std::string_view tables_prefix, std::string_view placeholder, bool descending);

}  // namespace virp::keymgr
