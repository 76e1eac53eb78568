// The ledger of a running manager: takes the lease, loads the state, orders Edits, signs audit frames, commits in
// groups, and stands aside when another manager has taken over.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/frame/key.h"
#include "services/keymgr/domain/clock_guard.h"
#include "services/keymgr/domain/ledger.h"
#include "services/keymgr/domain/ledger_store.h"

namespace virp::keymgr {

// The manager's own O-Key, a file: Ed25519, able to sign.
struct AuditSigner {
  std::uint32_t version = 0;
  std::shared_ptr<const frame::OKey> key;
};

struct LedgerOptions {
  std::string source;    // the manager's name as a source of the chain
  std::string instance;  // of this process, unlike every other's
  std::string address;   // where clients of the active manager are sent
  std::function<absl::StatusOr<AuditSigner>()> signer;
  std::chrono::milliseconds lease{5'000};
  std::size_t max_batch = 1'024;  // Edits per commit
  std::size_t max_waiting = 65'536;
  std::chrono::hours requests_kept{24 * 30};  // how long a repeated request id is known
  ClockLimits clock_limits{};
};

// Why nothing may be changed. Several may hold at once; each is taken away by who set it.
enum class SealReason : std::uint8_t {
  kStarting = 1,  // checks of the start are not through
  kNoKek = 2,     // there is no key-encryption key, or not the right one
  kOperator = 3,  // somebody called Seal
  kClock = 4,     // the wall clock is not to be believed; comes and goes by itself
  kRollback = 5,  // the database is behind the chain, or beside it
};
std::string_view SealReasonName(SealReason reason);  // "STARTING", "NO_KEK", "OPERATOR", "CLOCK", ...

struct LedgerStatus {
  bool active = false;
  std::uint64_t term = 0;
  std::string active_address;                         // of the manager that is active, as far as known
  std::vector<SealReason> sealed;                     // empty: not sealed
  std::string problem;                                // why it is not active, or cannot commit; empty when all is well
  std::string clock_problem;                          // what is wrong with the clock; empty when nothing is
  std::uint64_t record = 0, epoch = 0, sequence = 0;  // of the newest audit record
  Hash frame_hash{};
  std::uint64_t commits = 0, edits = 0, refused = 0;  // since the start
  std::size_t waiting = 0;
};

class LedgerEngine final : public Ledger {
 public:
  // What is given outlives it. InvalidArgument when two types have one kind.
  static absl::StatusOr<std::unique_ptr<LedgerEngine>> Make(LedgerStore& store, std::vector<RecordType> types,
                                                            LedgerOptions options, const Clock& clock);
  ~LedgerEngine() override;  // Stop()

  std::shared_ptr<const Snapshot> snapshot() const override;
  absl::Status Readable() const override;
  // OK when keys may be used, too: Readable, and not sealed for any reason.
  absl::Status Open() const;
  std::future<absl::StatusOr<Receipt>> Submit(const Call& call, const Edit& edit) override;
  void Subscribe(std::function<void(const Committed&)> listener) override;

  // Begins to compete for the lease. Starts sealed with kStarting. `on_active` runs on the ledger's thread each time
  // the state was loaded after taking the lease, before anybody sees it and before any Edit: snapshot() is still the
  // one before. Its error gives the lease back, to be tried again.
  void Start(std::function<absl::Status()> on_active = {});
  // Ends after the commit that runs; what waits fails with Unavailable. Gives the lease back.
  void Stop();

  // Submit for what may be changed while sealed: sealing itself, unsealing, the keys that unseal. Not while kStarting
  // or kRollback holds: a record written then could stand beside the chain's.
  absl::StatusOr<Receipt> CommitWhileSealed(const Call& call, const Edit& edit);

  // Submit for the record by which an operator accepts a rollback; nothing else may be changed while kRollback holds.
  absl::StatusOr<Receipt> CommitRolledBack(const Call& call, const Edit& edit);

  void Seal(SealReason reason);
  void Unseal(SealReason reason);
  // Takes kStarting off, when it is active in that term still: what was compared with the chain is what it holds.
  void Started(std::uint64_t term);
  // What the chain says of the time: its newest entry's receive time, learnt now.
  void NoteChainTime(UnixNanos newest_entry);
  // An operator says that the clock is right.
  void AcceptClock();
  // The next record opens a new boot epoch, greater than `than`: the chain knows a future of the present one.
  void OpenEpoch(std::uint64_t than);

  LedgerStatus status() const;
  bool active() const { return status().active; }
  // Waits until it is active (or not), or the deadline; whether it is what was wanted.
  bool WaitActive(bool wanted, std::chrono::steady_clock::time_point deadline) const;
  // Unavailable when the ledger's thread stands still (lib/base/pulse.h). Takes no lock.
  absl::Status CheckAlive() const;

 private:
  struct Impl;
  explicit LedgerEngine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace virp::keymgr
