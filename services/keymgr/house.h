// What the key manager does by itself: opens when it became active, re-wraps, and tells how it is.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/pulse.h"
#include "lib/deliver/deliverer.h"
#include "lib/service/break_glass.h"
#include "lib/service/metrics.h"
#include "services/keymgr/domain/audit_log.h"
#include "services/keymgr/domain/kek_keeper.h"
#include "services/keymgr/domain/ledger_engine.h"
#include "services/keymgr/domain/rollback_guard.h"
#include "services/keymgr/teller.h"

namespace virp::keymgr {

// Writes what the audit of the O-Node finds to the log: the manager's own record of it would be delivered to the same
// O-Node. Thread-safe.
class LoggingObserver final : public deliver::DeliveryObserver {
 public:
  void OnRefused(std::string_view source, frame::Reason reason) override;
  void OnAuditFailure(std::string_view what) override;
  // Whether, since it was asked last, the chain turned out to have another record where ours was to be: a second
  // manager writes under this one's name, or a copy of its database.
  bool TakeDoubt() { return doubt_.exchange(false); }

 private:
  std::atomic<bool> doubt_{false};
};

struct Chore {
  std::string name;  // for the log
  std::function<absl::Status()> run;
};

struct Household {
  LedgerEngine& ledger;
  KekKeeper& keeper;
  RollbackGuard& rollback;
  AuditLog& log;  // let out when the comparison is through
  Pulse& pulse;
  std::function<bool()> doubted{};  // LoggingObserver::TakeDoubt; null: nobody delivers
  // What else the time moves on, each round while the manager is active and open: quick when there is nothing to do.
  std::vector<Chore> chores{};
};

// One round of the house: after the ledger became active it compares with the chain and opens; while it is open it
// re-wraps. Whether there is more to do at once. For one thread.
class House {
 public:
  explicit House(Household household);
  bool Round();

 private:
  void Open(std::uint64_t term);
  void LookAtClock(const LedgerStatus& status);
  void Opened(const absl::Status& opened, std::uint64_t term);

  const Household house_;
  std::uint64_t opened_term_ = 0;
  std::uint64_t accepted_ = 0;  // rollbacks, when it was opened
  // One each, so that no trouble hides another, or is said over and over in turn with it.
  Teller comparison_{"comparison with the chain; sealed until it is through"}, seal_{"key-encryption keys"},
      rewrap_{"re-wrapping of envelopes"}, clock_{"the clock; sealed until it is believed"};
  std::uint64_t rounds_ = 0;
  std::vector<Teller> chores_;
};

// Ready is the active manager, unless it is sealed, and one that stands by for another: it sees the lease, and takes
// over. A rolling restart waits for each; clients find the active one by what the others answer (NOT_ACTIVE with its
// address).
absl::Status LedgerReady(const LedgerStatus& status);

// Rounds, until stopped.
absl::Status KeepHouse(const std::stop_token& stop, House& house, Pulse& pulse);

void AddMetrics(service::Metrics& metrics, const LedgerEngine& ledger, const KekKeeper& keeper, const AuditLog& log,
                const deliver::Deliverer* deliverer, const Custodies& custodies);

// Null when `socket` is empty. Every use is a line of the log; what it changes is in the audit records, too.
absl::StatusOr<std::unique_ptr<service::BreakGlassServer>> StartBreakGlass(
    const std::string& socket, const std::vector<service::ServedService>& services);

}  // namespace virp::keymgr
