// What the parts of the manager keep, one kind of record each: typed in memory, one row of (kind, id, parent, state,
// times, JSON body) in the database, so that an operator can ask in SQL and no part writes a storage back end. The
// ledger knows records by this header only.
//
//   struct RouterKey final : keymgr::Record {
//     static constexpr std::string_view kKind = "router_key";
//     std::string id, router; RouterKeyState state; ...
//     keymgr::Row ToRow() const override;
//     static absl::StatusOr<std::shared_ptr<keymgr::Record>> FromRow(const keymgr::Row& row);
//   };
//   ... LedgerEngine::Make(store, {keymgr::TypeOf<RouterKey>(), ...}, ...)
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"

namespace virp::keymgr {

// A record as the database has it.
struct Row {
  std::string kind;              // [a-z][a-z0-9_]{0,31}
  std::string id;                // as CheckKeyId; unique within its kind, listed in its order
  std::string parent;            // what it belongs to, for people who ask in SQL; may be empty
  std::string state;             // [A-Z][A-Z0-9_]{0,31}; may be empty
  std::optional<UnixNanos> due;  // when it needs attention next: expiry, end of a stage
  std::string body;              // one JSON object, at most kMaxBody. Never private bytes: those live in SealedKey
  UnixNanos created = 0, changed = 0;
  std::uint64_t revision = 0;  // 1 when created, one more with every change

  bool operator==(const Row&) const = default;
};

inline constexpr std::size_t kMaxBody = 256 * 1024;

// Base of all records. Immutable once it was put into the ledger; shared by snapshots.
class Record {
 public:
  virtual ~Record() = default;
  // All but created, changed and revision, which the ledger sets.
  virtual Row ToRow() const = 0;

  // Set by the ledger.
  UnixNanos created = 0, changed = 0;
  std::uint64_t revision = 0;    // an etag
  std::optional<UnixNanos> due;  // as ToRow() had it
};

struct RecordType {
  std::string kind;
  // InvalidArgument when the row is none of this kind: the manager does not start then.
  std::function<absl::StatusOr<std::shared_ptr<Record>>(const Row& row)> parse;
};

template <typename T>
RecordType TypeOf() {
  return {std::string(T::kKind), [](const Row& row) { return T::FromRow(row); }};
}

}  // namespace virp::keymgr
