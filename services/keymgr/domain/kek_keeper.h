// The life of key-encryption keys, and whether the manager is sealed: opens it when the right key is there, seals and
// unseals on an operator's word, turns over to a new version and re-wraps all envelopes in the background.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/mutex.h"
#include "services/keymgr/domain/kek.h"
#include "services/keymgr/domain/ledger_engine.h"
#include "services/keymgr/domain/rollback.h"

namespace virp::keymgr {

// What the ledger knows of a version; its id is the version in digits.
struct KekRecord final : Record {
  static constexpr std::string_view kKind = "kek";
  enum class State : std::uint8_t {
    kCurrent = 1,   // new envelopes are closed with it
    kRetiring = 2,  // envelopes that are to be re-wrapped are left
    kRetired = 3,   // none is left: its file may go
  };
  std::uint32_t version = 0;
  std::string check;  // KekFacts::check
  State state = State::kCurrent;

  Row ToRow() const override;
  static absl::StatusOr<std::shared_ptr<Record>> FromRow(const Row& row);
};
std::string_view KekStateName(KekRecord::State state);  // "CURRENT", "RETIRING", "RETIRED"

// An operator's seal, which holds over restarts. One record, "seal".
struct SealRecord final : Record {
  static constexpr std::string_view kKind = "seal";
  bool sealed = false;
  std::string by, reason;

  Row ToRow() const override;
  static absl::StatusOr<std::shared_ptr<Record>> FromRow(const Row& row);
};

// A RollbackGuard::TakeOver: what an operator sealed stays sealed.
absl::Status TakeOverSeal(const std::vector<ChainRecord>& missing, const Snapshot& now, Changes& changes);

struct RewrapProgress {
  std::uint32_t version = 0;  // the current one; 0: none
  std::uint64_t done = 0;     // envelopes under it
  std::uint64_t left = 0;     // under others
  std::uint64_t damaged = 0;  // of those, envelopes that do not open; they stay as they are
};

// Thread-safe. What it is given outlives it. Not to be called on the ledger's thread.
class KekKeeper {
 public:
  // `self` is the manager's own identity, the actor of what nobody asked for.
  KekKeeper(LedgerEngine& ledger, KekSource& keks, Rewrapper& rewrapper, const Custodies& custodies, std::string self)
      : ledger_(ledger), keks_(keks), rewrapper_(rewrapper), custodies_(custodies), self_(std::move(self)) {}

  // Called whenever the keys were wiped: who keeps secrets that came out of envelopes wipes them, too. It may run on
  // any thread that calls the keeper, and must not call it. Before the first Open.
  void OnWiped(std::function<void()> listener) { on_wiped_ = std::move(listener); }

  static std::vector<RecordType> Types() { return {TypeOf<KekRecord>(), TypeOf<SealRecord>()}; }

  // After the ledger became active: reads the key-encryption keys, checks them against the ledger, lets custodies
  // finish what a crash cut short, and takes kNoKek off. The first start ever adopts the highest version that is there.
  // While an operator's seal holds, no key is read. The error is why it stays sealed; no key is in memory then.
  absl::Status Open();
  // Wipes the keys from memory, until Open: this manager stands by, or may not go on.
  void Close();

  // Wipes the keys from memory. Nothing is changed and no key is used until Unseal, also after a restart.
  absl::StatusOr<Receipt> Seal(const Call& call);
  // Reads the keys again. FailedPrecondition with reason SEALED says which key is missing or another. While it stays
  // sealed, whatever the outcome, no key stays in memory.
  absl::StatusOr<Receipt> Unseal(const Call& call);

  // Reads the keys again and closes new envelopes with `version` (0: the highest). InvalidArgument unless it is above
  // the current one, NotFound when its file is not there. When a version that envelopes lie under is not there or is
  // another key, the manager is sealed with kNoKek, as it would be at its next start: FailedPrecondition, SEALED.
  absl::StatusOr<Receipt> Rotate(const Call& call, std::uint32_t version);

  // Re-wraps at most `most` envelopes in one commit; how many are left that open. When none is, the older versions are
  // retired. May be called again and again, also after a crash in the middle.
  absl::StatusOr<std::uint64_t> RewrapSome(std::size_t most);
  RewrapProgress progress() const;

  std::string problem() const;  // why it is sealed with kNoKek; empty when it is not

 private:
  absl::Status LoadKeys();
  absl::Status CheckKeys(const Snapshot& now) const;
  absl::Status Adopt();
  absl::Status Reconcile();
  absl::StatusOr<std::uint64_t> Retire();
  Call Own(std::string method, std::string reason) const;
  absl::Status Failed(absl::Status status);
  absl::Status UseCurrent();
  absl::StatusOr<Receipt> DoUnseal(const Call& call);
  void Wipe();

  LedgerEngine& ledger_;
  KekSource& keks_;
  Rewrapper& rewrapper_;
  const Custodies& custodies_;
  const std::string self_;
  std::function<void()> on_wiped_;
  Mutex doing_;  // one of Open, Seal, Unseal, Rotate at a time
  mutable Mutex mutex_;
  std::string problem_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t damaged_ ABSL_GUARDED_BY(mutex_) = 0;  // met by the newest RewrapSome
};

}  // namespace virp::keymgr
