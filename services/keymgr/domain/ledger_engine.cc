#include "services/keymgr/domain/ledger_engine.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "services/keymgr/domain/audit_frame.h"
#include "services/keymgr/domain/ledger_engine_impl.h"

namespace virp::keymgr {
namespace {

constexpr std::chrono::milliseconds kRetry{500};  // between attempts to become active

}  // namespace

// ---- becoming active ----

void LedgerEngine::Impl::Run(const std::stop_token& stop) {
  const AtWork at_work(pulse);
  while (!stop.stop_requested()) {
    pulse.Beat();
    const absl::Status activated = Activate();
    if (activated.ok()) {
      Lead(stop);
    } else {
      Deactivate(activated);
    }
    FailWaiting();
    const AtRest at_rest(pulse);
    const MutexLock lock(mutex);
    if (!stopped) changed.wait_for(mutex, kRetry);
  }
  static_cast<void>(store.ReleaseLease(head.term));
  Deactivate(Unavailable("the manager is stopping"));
}

absl::Status LedgerEngine::Impl::Activate() {
  const auto before = std::chrono::steady_clock::now();
  ASSIGN_OR_RETURN(const LedgerHead taken, store.TakeLease(options.instance, options.address, options.lease));
  lease_until = before + options.lease;
  head = taken;
  absl::Status loaded = Load();
  if (!loaded.ok()) static_cast<void>(store.ReleaseLease(taken.term));
  return loaded;
}

absl::Status LedgerEngine::Impl::Load() {
  StateBuilder builder;
  requests.clear();
  const UnixNanos now = clock.NowNanos();
  const auto kept = static_cast<UnixNanos>(std::chrono::nanoseconds(options.requests_kept).count());
  LedgerStore::Loader loader;
  loader.requests_since = now > kept ? now - kept : 0;
  loader.row = [&](const Row& row) -> absl::Status {
    RETURN_IF_ERROR(Renew());  // a large state may take longer than the lease
    const auto type = std::find_if(types.begin(), types.end(), [&](const RecordType& t) { return t.kind == row.kind; });
    if (type == types.end())
      return FailedPrecondition("the database holds records of kind {}, which this release does not know", row.kind);
    auto record = type->parse(row);
    if (!record.ok()) return Annotate(WithCode(record.status(), absl::StatusCode::kDataLoss), row.kind + " " + row.id);
    (*record)->created = row.created;
    (*record)->changed = row.changed;
    (*record)->revision = row.revision;
    (*record)->due = row.due;
    builder.Put(row.kind, row.id, *std::move(record));
    return absl::OkStatus();
  };
  loader.key = [&](SealedKey key) -> absl::Status {
    builder.PutKey(std::move(key));
    return absl::OkStatus();
  };
  loader.request = [&](AuditRow row) -> absl::Status {
    LedgerAnswer answered{std::move(row.actor), std::move(row.method), row.digest, {}};
    answered.receipt = {row.record, row.time, false, std::move(row.answer)};
    requests.insert_or_assign(std::move(row.request_id), std::move(answered));
    return absl::OkStatus();
  };
  ASSIGN_OR_RETURN(const LedgerHead loaded, store.Load(loader));
  if (loaded.term != head.term) return Aborted("the lease was lost while the state was loaded");
  head = loaded;
  last_forgotten = now;
  RETURN_IF_ERROR(LoadTime());
  builder.SetRecord(head.record);
  LookAtClock();
  // Before anybody sees that it is active: what is to be sealed is sealed by then.
  if (on_active) RETURN_IF_ERROR(on_active());
  RETURN_IF_ERROR(Renew());
  // First the state, then that it is active: who waits for that finds listeners told.
  Publish(builder.Build(), {}, true);
  {
    const MutexLock lock(mutex);
    status.active = true;
    status.term = head.term;
    status.active_address = options.address;
    status.problem.clear();
    status.record = head.record;
    status.epoch = head.epoch;
    status.sequence = head.sequence;
    status.frame_hash = head.frame_hash;
  }
  changed.notify_all();
  return absl::OkStatus();
}

absl::Status LedgerEngine::Impl::LoadTime() {
  AuditFilter newest;
  newest.descending = true;
  ASSIGN_OR_RETURN(const std::vector<AuditRow> rows, store.ReadAudit(newest, 1));
  last_time = rows.empty() ? 0 : rows.front().time;
  const MutexLock lock(mutex);
  clock_guard.NoteRecord(last_time);
  return absl::OkStatus();
}

void LedgerEngine::Impl::Publish(std::shared_ptr<const Snapshot> next, std::vector<Committed::Item> items,
                                 bool loaded) {
  {
    const MutexLock lock(mutex);
    snapshot = next;
  }
  changed.notify_all();
  const Committed committed{std::move(next), std::move(items), loaded};
  for (const auto& listener : listeners) listener(committed);
}

void LedgerEngine::Impl::Deactivate(const absl::Status& why) {
  // Whose lease it is now, for those who ask for it.
  const auto now = store.ReadHead();
  bool was_active = false;
  {
    const MutexLock lock(mutex);
    was_active = std::exchange(status.active, false);
    status.problem = std::string(Message(why));
    status.active_address = now.ok() && now->lease_valid && now->holder != options.instance ? now->holder_address : "";
  }
  if (was_active) Publish(std::make_shared<Snapshot>(), {}, true);
  FailWaiting();
}

absl::Status LedgerEngine::Impl::NotActive() const {
  if (stopped) return Unavailable("the key manager is stopping");
  if (!status.active_address.empty()) {
    return WithReason(FailedPrecondition("another key manager is active, at {}", status.active_address), "NOT_ACTIVE",
                      {{"active", status.active_address}});
  }
  return WithReason(Unavailable("this key manager is not active: {}", status.problem), "NOT_ACTIVE");
}

absl::Status LedgerEngine::Impl::CheckState(const std::set<SealReason>& reasons) const {
  if (stopped || !status.active) return NotActive();
  std::set<SealReason> holding;
  std::set_intersection(sealed.begin(), sealed.end(), reasons.begin(), reasons.end(),
                        std::inserter(holding, holding.end()));
  return holding.empty() ? absl::OkStatus() : SealedStatus(holding);
}

void LedgerEngine::Impl::FailWaiting() {
  std::deque<Waiting> all;
  absl::Status why;
  {
    const MutexLock lock(mutex);
    all.swap(queue);
    status.waiting = 0;
    why = NotActive();
  }
  for (Waiting& waiting : all) waiting.promise.set_value(why);
}

// ---- the outside ----

LedgerEngine::LedgerEngine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LedgerEngine::~LedgerEngine() {
  Stop();
}

absl::StatusOr<std::unique_ptr<LedgerEngine>> LedgerEngine::Make(LedgerStore& store, std::vector<RecordType> types,
                                                                 LedgerOptions options, const Clock& clock) {
  std::set<std::string> kinds;
  for (const RecordType& type : types) {
    if (!kinds.insert(type.kind).second) return InvalidArgument("two record types of kind {}", type.kind);
  }
  return std::unique_ptr<LedgerEngine>(
      new LedgerEngine(std::make_unique<Impl>(store, std::move(types), std::move(options), clock)));
}

std::shared_ptr<const Snapshot> LedgerEngine::snapshot() const {
  const MutexLock lock(impl_->mutex);
  return impl_->snapshot;
}

absl::Status LedgerEngine::Readable() const {
  const MutexLock lock(impl_->mutex);
  return impl_->CheckState({SealReason::kStarting, SealReason::kRollback});
}

absl::Status LedgerEngine::Open() const {
  const MutexLock lock(impl_->mutex);
  return impl_->CheckState(impl_->sealed);
}

void LedgerEngine::Subscribe(std::function<void(const Committed&)> listener) {
  impl_->listeners.push_back(std::move(listener));
}

void LedgerEngine::Start(std::function<absl::Status()> on_active) {
  impl_->on_active = std::move(on_active);
  impl_->thread = std::jthread([impl = impl_.get()](const std::stop_token& stop) { impl->Run(stop); });
}

void LedgerEngine::Stop() {
  {
    const MutexLock lock(impl_->mutex);
    impl_->stopped = true;
  }
  impl_->thread.request_stop();
  impl_->changed.notify_all();
  if (impl_->thread.joinable()) impl_->thread.join();
}

std::future<absl::StatusOr<Receipt>> LedgerEngine::Impl::Enqueue(const Call& call, const Edit& edit,
                                                                 InSpiteOf in_spite_of) {
  Waiting waiting{call, edit, in_spite_of, {}};
  auto future = waiting.promise.get_future();
  absl::Status refused = CheckCall(call);
  {
    const MutexLock lock(mutex);
    if (refused.ok() && (stopped || !status.active)) refused = NotActive();
    if (refused.ok() && queue.size() >= options.max_waiting)
      refused = ResourceExhausted("{} changes wait to be committed; try again later", queue.size());
    if (refused.ok()) queue.push_back(std::move(waiting));
    if (!refused.ok()) ++status.refused;
    status.waiting = queue.size();
  }
  if (refused.ok()) {
    changed.notify_all();
  } else {
    waiting.promise.set_value(refused);
  }
  return future;
}

std::future<absl::StatusOr<Receipt>> LedgerEngine::Submit(const Call& call, const Edit& edit) {
  return impl_->Enqueue(call, edit, InSpiteOf::kNothing);
}

absl::StatusOr<Receipt> LedgerEngine::CommitWhileSealed(const Call& call, const Edit& edit) {
  return impl_->Enqueue(call, edit, InSpiteOf::kSeals).get();
}

absl::StatusOr<Receipt> LedgerEngine::CommitRolledBack(const Call& call, const Edit& edit) {
  return impl_->Enqueue(call, edit, InSpiteOf::kRollback).get();
}

void LedgerEngine::Seal(SealReason reason) {
  const MutexLock lock(impl_->mutex);
  impl_->sealed.insert(reason);
}

void LedgerEngine::Unseal(SealReason reason) {
  const MutexLock lock(impl_->mutex);
  impl_->sealed.erase(reason);
}

void LedgerEngine::Started(std::uint64_t term) {
  const MutexLock lock(impl_->mutex);
  if (impl_->status.active && impl_->status.term == term) impl_->sealed.erase(SealReason::kStarting);
}

void LedgerEngine::NoteChainTime(UnixNanos newest_entry) {
  {
    const MutexLock lock(impl_->mutex);
    impl_->clock_guard.NoteChain(newest_entry, impl_->clock.Steady());
  }
  impl_->LookAtClock();
}

void LedgerEngine::AcceptClock() {
  const MutexLock lock(impl_->mutex);
  impl_->clock_guard.Accept(impl_->clock.NowNanos(), impl_->clock.Steady());
  impl_->status.clock_problem.clear();
  impl_->sealed.erase(SealReason::kClock);
}

void LedgerEngine::OpenEpoch(std::uint64_t than) {
  const MutexLock lock(impl_->mutex);
  impl_->open_epoch = std::max(impl_->open_epoch, than);
}

LedgerStatus LedgerEngine::status() const {
  const MutexLock lock(impl_->mutex);
  LedgerStatus status = impl_->status;
  status.sealed.assign(impl_->sealed.begin(), impl_->sealed.end());
  return status;
}

bool LedgerEngine::WaitActive(bool wanted, std::chrono::steady_clock::time_point deadline) const {
  MutexLock lock(impl_->mutex);
  while (impl_->status.active != wanted) {
    if (impl_->changed.wait_until(impl_->mutex, deadline) == std::cv_status::timeout)
      return impl_->status.active == wanted;
  }
  return true;
}

absl::Status LedgerEngine::CheckAlive() const {
  return CheckPulses({&impl_->pulse});
}

}  // namespace virp::keymgr
