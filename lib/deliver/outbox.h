// Where every frame of a service goes through before it is delivered: numbers and signs what arrived unsigned, relays
// what arrived signed byte for byte, and spools both in one order. Its state is a function of the spool: a snapshot and
// the records behind it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/bytes.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/deliver/spool.h"
#include "lib/frame/frame.h"
#include "lib/frame/key.h"

namespace virp::deliver {

// What is to be signed. The frame's time is the time of the call: the instant of collection.
struct Observation {
  frame::Type type{};
  frame::Tier tier = frame::Tier::kGreen;
  std::string payload;
  std::uint64_t epoch = 0;  // the only epoch in which it may be signed; 0: any
};

struct Receipt {
  std::uint64_t number = 0;  // in the spool
  std::uint64_t epoch = 0;
  std::uint64_t sequence = 0;
  Hash digest{};  // SHA-256 of the frame
};

// Where a source stands, for heartbeats and status: the newest number of its newest epoch. A recording that is played
// again, or a late frame, does not take it back, and an epoch so far ahead that no O-Node takes it now does not move
// it.
struct Position {
  std::uint64_t epoch = 0;
  std::uint64_t last_sequence = 0;
  std::uint64_t frames = 0;  // since the process started
};

// Something that keeps state of its own in the spool: BMP tables, request ids, version 1 runs. Called under the
// outbox's lock: must not call the outbox.
class OutboxState {
 public:
  virtual ~OutboxState() = default;
  virtual std::string_view tag() const = 0;  // names its part of the snapshot, and its notes
  // Around Save, on the thread that takes the snapshot and before it takes the outbox's lock: for a state whose owner
  // changes it first and emits afterwards, under a lock of its own.
  virtual void BeforeSave() {}
  virtual void AfterSave() {}
  virtual std::string Save() const = 0;
  virtual absl::Status Load(std::string_view saved) = 0;  // empty: start from nothing
  // Sources that the snapshot just loaded says nothing of, though they are this state's now: what was last said of them
  // is not known any more, so what is said from now on belongs to a new epoch.
  virtual std::vector<std::string> Forgotten() const { return {}; }
  virtual absl::Status ReplayNote(std::string_view note) = 0;
  // A frame that was spooled behind the snapshot, signed here or relayed.
  virtual absl::Status ReplayFrame(std::string_view source, const frame::Frame& frame, std::uint64_t epoch) = 0;
};

class EmitGate;

// Thread-safe. What it is given outlives it.
class Outbox {
 public:
  // `states` take part in snapshots and replay. `gate`, where there is one, is asked what becomes of what Emit is given
  // without a note. Errors as Spool::Open.
  static absl::StatusOr<std::unique_ptr<Outbox>> Open(SpoolOptions spool, const frame::KeyProvider& keys,
                                                      const Clock& clock, std::vector<OutboxState*> states,
                                                      EmitGate* gate = nullptr);

  struct Item {
    std::string_view source;
    const Observation* observation = nullptr;
  };
  // Kept with the frames, atomically, and given back to the state of that tag on replay.
  struct Note {
    std::string tag, content;
  };

  // Signs and spools all items or none, in order; the receipt of one that the gate folded has sequence 0 and the number
  // of the last record. Not durable before Sync. Errors: NotFound (no key that signs for a source),
  // ResourceExhausted SPOOL_FULL, InvalidArgument (payload too long), Aborted (an observation that is bound to an epoch
  // would be signed in another).
  // `note`, when given, is asked for the note to go with the frames once their receipts are known (but for the spool
  // number).
  using NoteOf = std::function<Note(const std::vector<Receipt>&)>;
  absl::StatusOr<std::vector<Receipt>> Emit(const std::vector<Item>& items, const NoteOf& note = nullptr);
  absl::StatusOr<std::vector<Receipt>> Emit(std::string_view source, const std::vector<Observation>& observations);

  // Signs and spools what the gate owes by now; to be called several times a second. What is bound to an epoch that is
  // over is dropped: whoever said it sees the new epoch in `signing`. The last number that it took; 0 for none.
  absl::StatusOr<std::uint64_t> EmitDue();

  struct Relayed {
    std::uint64_t number = 0;  // in the spool
    bool news = false;         // it moved its source's position
  };
  // Spools a signed frame as it is; whoever calls has checked its tag, since heartbeats state its number. `epoch`: the
  // frame's own, or the run of a version 1 frame.
  absl::StatusOr<Relayed> Relay(std::string_view source, const frame::Frame& frame, std::uint64_t epoch,
                                const Note& note = {});

  // Waits for fsync of everything up to that spool number.
  absl::Status Sync(std::uint64_t number) { return spool_->Sync(number); }

  Position position(std::string_view source) const;
  // Where signing for the source stands: the epoch of the next frame, unless it has to open one, and the last number
  // used in it. Zero before the first one.
  Position signing(std::string_view source) const;

  // Writes a snapshot when more than `bytes` were spooled since the last one, and four times its size, but at the
  // latest after a quarter of the spool's limit; replay and disk use are bounded by it.
  absl::Status SnapshotIfDue(std::uint64_t bytes);
  absl::Status Snapshot();

  Spool& spool() { return *spool_; }

 private:
  struct Signer {  // of one source that the collector signs for
    std::uint64_t epoch = 0;
    std::uint64_t sequence = 0;  // last one used
    UnixNanos latest = 0;        // time of the last frame
    std::uint64_t key_generation = 0;
    frame::KeyVersion key;
  };

  Outbox(const frame::KeyProvider& keys, const Clock& clock, std::vector<OutboxState*> states, EmitGate* gate)
      : keys_(keys), clock_(clock), states_(std::move(states)), gate_(gate) {}
  bool Advance(std::string_view source, std::uint64_t epoch, std::uint64_t sequence)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Load(std::string_view snapshot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Replay(const Record& record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<std::vector<Receipt>> EmitAll(const std::vector<Item>& items, const NoteOf& note)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::string Save() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  OutboxState* StateOf(std::string_view tag) const;
  static bool OpensEpoch(const Signer& signer, UnixNanos now);
  static void OpenEpoch(Signer& signer, UnixNanos now);
  bool IsVoid(const Item& item) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status ChooseKey(Signer& signer, std::string_view source, UnixNanos now) const;
  absl::StatusOr<std::string> SignNext(Signer& signer, std::string_view source, const Observation& observation,
                                       UnixNanos now) const;

  const frame::KeyProvider& keys_;
  const Clock& clock_;
  const std::vector<OutboxState*> states_;
  EmitGate* const gate_;
  std::unique_ptr<Spool> spool_;
  mutable Mutex mutex_;
  std::map<std::string, Signer, std::less<>> signers_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Position, std::less<>> positions_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t bytes_since_snapshot_ ABSL_GUARDED_BY(mutex_) = 0;
  std::uint64_t snapshot_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

// Stands between what is to be signed and the spool, and may fold observations of sources that say too much. Called
// under the outbox's lock: must not call the outbox. After each plan Done is called, before the next one is asked for.
class EmitGate {
 public:
  static constexpr std::size_t kFolded = ~std::size_t{0};
  struct Plan {
    const std::vector<Outbox::Item>* items = nullptr;  // to be signed, in this order; the gate's or those given
    std::vector<std::size_t> places{};  // of each that was given: its index in `items`, or kFolded. Empty: as it was
  };
  virtual ~EmitGate() = default;
  virtual Plan Decide(const std::vector<Outbox::Item>& items) = 0;
  virtual Plan Due() = 0;
  // Whether the plan's items were spooled. If not, nothing of the plan has happened.
  virtual void Done(bool spooled) = 0;
};

}  // namespace virp::deliver
