// TCP-AO keys of all pairs: makes them, rolls them by what the two ends report, hands them to who holds them, and
// destroys them. Every change and every release is one audit record of the ledger.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/crypto/secret.h"
#include "services/keymgr/domain/custody.h"
#include "services/keymgr/domain/ledger.h"
#include "services/keymgr/domain/tcp_ao_export.h"
#include "services/keymgr/domain/tcp_ao_record.h"

namespace virp::keymgr {

enum class TcpAoForce : std::uint8_t {
  kCurrent = 1,  // both ends are told to send by the new key
  kRemoval = 2,  // the old key goes, whoever still needs it
};

// Thread-safe. Errors besides those named: NotFound for a pair that is not there, those of Ledger::Commit and of the
// custody. Nothing of a call is done when it fails.
class TcpAoKeys {
 public:
  using PairPtr = std::shared_ptr<const TcpAoPairRecord>;

  // All outlive it. `self`: the manager's own identity, actor of what the clock causes.
  TcpAoKeys(Ledger& ledger, const Custodies& custodies, const Clock& clock, std::string self)
      : ledger_(ledger), custodies_(custodies), clock_(clock), self_(std::move(self)) {}

  // Makes a pair with its first key. `use_from` 0: at once. InvalidArgument as CheckPair and CheckKeyId; AlreadyExists
  // when the id, its chain's name, or the pair of addresses in either order, is there. A pair between addresses that
  // one had goes on with its identifiers.
  absl::StatusOr<PairPtr> Create(const Call& call, const TcpAoPair& pair, UnixNanos use_from);
  absl::Status Readable() const { return ledger_.Readable(); }  // ask before what follows is answered from
  absl::StatusOr<PairPtr> Get(std::string_view id) const;       // with what the ends reported since the start
  std::vector<PairPtr> List(std::string_view after, std::size_t limit) const;  // by id
  // Destroys its keys. FailedPrecondition with reason ROLLOVER while a rollover is not over.
  absl::Status Delete(const Call& call, std::string_view id);

  // Starts the next rollover. Reason ROLLOVER while one is not over; ResourceExhausted without identifiers.
  absl::StatusOr<PairPtr> Roll(const Call& call, std::string_view id, UnixNanos use_from);
  // Reason ROLLOVER as ForceCurrent, ForceRemoval and Abort refuse.
  absl::StatusOr<PairPtr> Force(const Call& call, std::string_view id, TcpAoForce force);
  absl::StatusOr<PairPtr> AbortRoll(const Call& call, std::string_view id);

  // Of the agent of an end, or an operator. PermissionDenied for any other: an agent gets its own end's keys only.
  struct Caller {
    std::string identity;
    bool is_operator = false;
  };
  absl::StatusOr<TcpAoPlan> Plan(const Caller& caller, std::string_view id, TcpAoEnd end) const;
  // InvalidArgument as Report. What it moves on is recorded with `method` and the caller as actor.
  absl::Status TakeReport(const Caller& caller, std::string_view method, std::string_view id, TcpAoEnd end,
                          const TcpAoReport& report);
  struct Released {
    TcpAoTuple tuple;
    crypto::Secret master_key;  // the hex text that both ends key with
  };
  struct Fetched {
    std::uint64_t serial = 0;    // of the plan that these are the keys of
    std::vector<Released> keys;  // oldest first
  };
  // Keys of the plan; each fetch is recorded before they are let out.
  absl::StatusOr<Fetched> Fetch(const Caller& caller, const Call& call, std::string_view id, TcpAoEnd end);

  // With `secrets` recorded as a fetch, else nothing is. FailedPrecondition with reason NO_TIME for a format that
  // switches keys by the clock while the rollover has no time for that: name one when it starts.
  absl::StatusOr<crypto::Secret> ExportChain(const Caller& caller, const Call& call, std::string_view id, TcpAoEnd end,
                                             TcpAoFormat format, bool secrets);

  // What the time moves on: keys whose time has come, rollovers that are late. Call it every few seconds on the active
  // manager; the first error, after all pairs were looked at.
  absl::Status Tick();

 private:
  using Views = std::array<TcpAoView, 2>;
  using Change = std::function<absl::Status(TcpAoPairRecord& record, UnixNanos now)>;

  absl::StatusOr<SealedKey> MakeKey(const TcpAoPair& pair, std::uint32_t version);
  absl::Status Commit(const Call& call, std::string_view id, std::string_view event, const Change& change);
  absl::StatusOr<PairPtr> WithKey(const Call& call, const TcpAoPair& pair, std::uint32_t version, const Edit& edit,
                                  SealedKey key);
  void Destroy(std::vector<SealedKey> keys);
  absl::StatusOr<PairPtr> Allowed(const Caller& caller, std::string_view id, TcpAoEnd end) const;
  absl::StatusOr<Fetched> Release(const Call& call, const TcpAoPairRecord& record, TcpAoEnd end, std::string_view event,
                                  std::vector<crypto::Secret>* octets);
  absl::Status Settle(const Call& call, const TcpAoPairRecord& seen, const TcpAoRoll& next);

  Ledger& ledger_;
  const Custodies& custodies_;
  const Clock& clock_;
  const std::string self_;
  mutable Mutex mutex_;
  // What ends reported on the rollover of this serial; nobody's secret, and said again after a restart.
  std::map<std::string, Views, std::less<>> views_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virp::keymgr
