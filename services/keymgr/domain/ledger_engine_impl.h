// Private to the ledger: what a LedgerEngine is made of. Its thread becomes active (ledger_engine.cc) and leads
// (ledger_lead.cc).
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "lib/base/hash_map.h"
#include "lib/base/mutex.h"
#include "lib/base/pulse.h"
#include "services/keymgr/domain/ledger_batch.h"
#include "services/keymgr/domain/ledger_engine.h"
#include "services/keymgr/domain/ledger_seals.h"

namespace virp::keymgr {

// What a request id was answered with.
struct LedgerAnswer {
  std::string actor, method;
  Hash digest{};
  Receipt receipt;
};

struct LedgerEngine::Impl {
  using Promise = std::promise<absl::StatusOr<Receipt>>;

  struct Waiting {
    Call call;
    Edit edit;
    InSpiteOf in_spite_of = InSpiteOf::kNothing;
    Promise promise;
  };

  Impl(LedgerStore& s, std::vector<RecordType> t, LedgerOptions o, const Clock& c)
      : store(s),
        types(std::move(t)),
        options(std::move(o)),
        clock(c),
        source_id(frame::SourceIdOf(options.source)),
        pulse("the ledger's thread", c),
        clock_guard(options.clock_limits) {}

  // On the ledger's thread.
  void Run(const std::stop_token& stop);
  absl::Status Activate();
  absl::Status Load();
  absl::Status LoadTime();
  void Deactivate(const absl::Status& why);
  void Lead(const std::stop_token& stop);
  absl::Status Renew();
  void LookAtClock();
  void Process(std::vector<Waiting>& edits);
  absl::StatusOr<Receipt> RunOne(BatchRun& run, LedgerBatch& batch, Waiting& waiting, const AuditSigner& signer);
  absl::Status Sign(const AuditSigner& signer, std::string_view payload, frame::Tier tier, AuditRow& row) const;
  void CommitBatch(const LedgerHead& old_head, const BatchRun& run, LedgerBatch batch,
                   std::vector<std::pair<Waiting*, Receipt>> done);
  absl::Status Settle(const LedgerBatch& batch) const;
  void Publish(std::shared_ptr<const Snapshot> snapshot, std::vector<Committed::Item> items, bool loaded = false);
  void FailWaiting();
  absl::Status NotActive() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // OK when it is active, and sealed for none of these reasons.
  absl::Status CheckState(const std::set<SealReason>& reasons) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void ForgetOldRequests();

  // On any thread.
  std::future<absl::StatusOr<Receipt>> Enqueue(const Call& call, const Edit& edit, InSpiteOf in_spite_of);

  LedgerStore& store;
  const std::vector<RecordType> types;
  const LedgerOptions options;
  const Clock& clock;
  const frame::SourceId source_id;
  Pulse pulse;
  std::function<absl::Status()> on_active;
  std::vector<std::function<void(const Committed&)>> listeners;

  // The ledger's thread only.
  LedgerHead head;
  UnixNanos last_time = 0;  // of the newest record
  StringMap<LedgerAnswer> requests;
  UnixNanos last_forgotten = 0;
  std::chrono::steady_clock::time_point lease_until;
  std::size_t one_by_one = 0;  // edits at the front of the queue that share no commit

  mutable Mutex mutex;
  mutable std::condition_variable_any changed;
  std::deque<Waiting> queue ABSL_GUARDED_BY(mutex);
  std::shared_ptr<const Snapshot> snapshot ABSL_GUARDED_BY(mutex) = std::make_shared<Snapshot>();
  LedgerStatus status ABSL_GUARDED_BY(mutex);
  std::set<SealReason> sealed ABSL_GUARDED_BY(mutex){SealReason::kStarting};
  ClockGuard clock_guard ABSL_GUARDED_BY(mutex);
  std::uint64_t open_epoch ABSL_GUARDED_BY(mutex) = 0;  // the next record's epoch is above it
  bool stopped ABSL_GUARDED_BY(mutex) = false;
  std::jthread thread;
};

}  // namespace virp::keymgr
