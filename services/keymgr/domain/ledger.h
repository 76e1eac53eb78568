// The one place where anything of the manager changes. A change is an Edit over the newest state: it puts and erases
// typed records and sealed keys, and leaves exactly one audit record; both are committed in one transaction, fenced by
// the term of the lease. No record, no effect. Edits that wait at the same time share a commit. Reads take an immutable
// snapshot and touch no database.
//
//   const auto receipt = ledger.Commit(call, [&](const Snapshot& now, Changes& changes) -> absl::Status {
//     if (now.Find<RouterKey>(id) != nullptr) return AlreadyExists("router key {} exists", id);
//     changes.Put(std::make_shared<RouterKey>(...));
//     changes.PutKey(sealed);
//     changes.Audit({.event = "router_key_created", .keys = {sealed.identity}});
//     return absl::OkStatus();
//   });
#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/bytes.h"
#include "lib/base/clock.h"
#include "lib/frame/frame.h"
#include "services/keymgr/domain/custody.h"
#include "services/keymgr/domain/record.h"
#include "services/keymgr/domain/snapshot.h"

namespace virp::keymgr {

// Who wants a change, and why. Stands in the audit record.
struct Call {
  std::string actor;   // identity from the certificate; of the manager itself for what its clock causes
  std::string method;  // full name of the RPC, or "schedule/<what>"
  std::string reason;  // free text of the caller, 1 to 1,024 bytes of UTF-8
  std::string
      request_id;  // idempotency key, 1 to 128 printable characters without spaces; empty for the manager itself
  Hash digest{};   // of the request: a request id with another request is refused
};

// What is recorded of a change; becomes one signed frame of type 19 (docs/formats/key-records.md). `by`,
// `reason`, `request_id` and the call's method are added from the Call.
struct AuditRecord {
  std::string event;   // [a-z][a-z0-9_]{0,63}: "router_key_created"
  std::string source;  // name of the source that it is about; empty: the manager itself
  frame::Tier tier = frame::Tier::kGreen;
  std::vector<KeyIdentity> keys;  // whose history this belongs to; at most 64
  // Further members of the payload, a JSON object without the braces' names taken above: {"asn":64496}. Empty for none.
  std::string fields;
};

// What an Edit has done so far. Valid during the Edit only.
class Changes {
 public:
  virtual ~Changes() = default;

  virtual UnixNanos now() const = 0;  // time of the audit record

  // Adds a record or replaces the one of the same kind and id; sets created, changed and revision.
  virtual void Put(std::shared_ptr<Record> record) = 0;
  virtual void Erase(std::string_view kind, std::string_view id) = 0;
  template <typename T>
  void Erase(std::string_view id) {
    Erase(T::kKind, id);
  }

  // Sealed keys. PutKey also replaces (re-wrapping); a key that is locked stays locked whatever is put.
  virtual void PutKey(SealedKey key) = 0;
  virtual void LockKey(const KeyIdentity& identity) = 0;
  virtual void DropKey(const KeyIdentity& identity) = 0;

  // Exactly once per Edit.
  virtual void Audit(AuditRecord record) = 0;

  // Kept with the audit record and given back when the request id comes again. Never key material.
  virtual void Answer(std::string answer) = 0;
};

// Runs on the ledger's side while no other Edit does, and may run again for nothing: no I/O, no signing, no waiting, no
// effect but on `changes`. Make keys before. An error means that nothing of this Edit happens, and is what Commit
// returns. `now` holds everything that was ordered before, committed or about to be.
using Edit = std::function<absl::Status(const Snapshot& now, Changes& changes)>;

struct Receipt {
  std::uint64_t record = 0;  // number of the audit record: 1, 2, 3 ... over the ledger's whole life
  UnixNanos time = 0;
  bool replayed = false;  // this request id was answered before; nothing was changed now
  std::string answer;     // as Changes::Answer had it
};

// What a commit changed, for indexes and watch streams.
struct Committed {
  struct Item {
    std::string kind, id;                         // of a record; empty for a sealed key
    std::shared_ptr<const Record> before, after;  // null: was or is not there
    KeyIdentity key;                              // of a sealed key: look it up in the snapshot
  };
  std::shared_ptr<const Snapshot> snapshot;  // after it
  std::vector<Item> items;
  bool loaded = false;  // anew: no commit, and no items
};

class Ledger {
 public:
  virtual ~Ledger() = default;

  // The newest committed state. Never null; empty while this manager is not the active one.
  virtual std::shared_ptr<const Snapshot> snapshot() const = 0;

  // OK when snapshot() may be answered from. FailedPrecondition with reason NOT_ACTIVE while another manager, or none,
  // is active (metadata `active`: its address), and SEALED while it is not known to be the state that the chain knows
  // (STARTING, ROLLBACK): it may lack a revocation, or say again what was taken back.
  virtual absl::Status Readable() const = 0;

  // Runs the Edit and waits until its effects are durable. Errors besides the Edit's own:
  //   FailedPrecondition  reason SEALED: nothing is changed while the manager is sealed (metadata `why`); reason
  //                       NOT_ACTIVE: another manager holds the lease (metadata `active`: its address)
  //   AlreadyExists       reason REQUEST_ID_REUSED: this id came before, from another caller or with another request
  //   InvalidArgument     call, record or audit record break their limits
  //   Aborted             reason FENCED: the lease was lost before the commit; nothing was changed
  //   Unavailable         the store cannot be reached; nothing was changed, or the change is settled when it is back:
  //                       the same request id finds out
  absl::StatusOr<Receipt> Commit(const Call& call, const Edit& edit) { return Submit(call, edit).get(); }

  // The same without waiting: for many changes at once (a fleet's roll), which then share commits. Effects come in the
  // order of the calls.
  virtual std::future<absl::StatusOr<Receipt>> Submit(const Call& call, const Edit& edit) = 0;

  // `listener` hears of every commit, in order, on the ledger's thread: be quick, do not call back but snapshot().
  // First it is called with the present state and no items; again so when the state was loaded anew. Before Start only.
  virtual void Subscribe(std::function<void(const Committed&)> listener) = 0;
};

}  // namespace virp::keymgr
