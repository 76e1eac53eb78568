#include "services/keymgr/domain/ledger_engine.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <set>
#include <thread>
#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/hash_map.h"
#include "lib/base/mutex.h"
#include "lib/base/pulse.h"
#include "lib/base/status.h"
#include "lib/crypto/sha256.h"
#include "services/keymgr/domain/audit_frame.h"
#include "services/keymgr/domain/ledger_batch.h"

namespace virp::keymgr {
namespace {

constexpr std::chrono::seconds kSkew{60};           // frames.md: a clock that steps back further opens a new epoch
constexpr std::chrono::seconds kSettlePatience{5};  // for reading back a commit in doubt
constexpr std::chrono::milliseconds kRetry{500};    // between attempts to become active

using Promise = std::promise<absl::StatusOr<Receipt>>;

// What an Edit may be done in spite of.
enum class InSpiteOf : std::uint8_t { kNothing, kSeals, kRollback };

struct Waiting {
  Call call;
  Edit edit;
  InSpiteOf in_spite_of = InSpiteOf::kNothing;
  Promise promise;
};

// What a request id was answered with.
struct Answered {
  std::string actor, method;
  Hash digest{};
  Receipt receipt;
};

absl::StatusOr<Receipt> Replay(const Answered& before, const Call& call) {
  if (before.actor != call.actor || before.method != call.method || before.digest != call.digest) {
    return WithReason(AlreadyExists("request_id {} was used before, for another request", call.request_id),
                      "REQUEST_ID_REUSED");
  }
  Receipt receipt = before.receipt;
  receipt.replayed = true;
  return receipt;
}

absl::Status SealedStatus(const std::set<SealReason>& reasons) {
  const std::string why(SealReasonName(*reasons.rbegin()));
  return WithReason(FailedPrecondition("the key manager is sealed ({}): nothing can be changed", why), "SEALED",
                    {{"why", why}});
}

}  // namespace

std::string_view SealReasonName(SealReason reason) {
  switch (reason) {
    case SealReason::kStarting:
      return "STARTING";
    case SealReason::kNoKek:
      return "NO_KEK";
    case SealReason::kOperator:
      return "OPERATOR";
    case SealReason::kRollback:
      return "ROLLBACK";
  }
  return "UNKNOWN";
}

struct LedgerEngine::Impl {
  Impl(LedgerStore& s, std::vector<RecordType> t, LedgerOptions o, const Clock& c)
      : store(s),
        types(std::move(t)),
        options(std::move(o)),
        clock(c),
        source_id(frame::SourceIdOf(options.source)),
        pulse("the ledger's thread", c) {}

  // On the ledger's thread.
  void Run(const std::stop_token& stop);
  absl::Status Activate();
  absl::Status Load();
  void Deactivate(const absl::Status& why);
  void Lead(const std::stop_token& stop);
  absl::Status Renew();
  void Process(std::vector<Waiting>& edits);
  absl::StatusOr<Receipt> RunOne(BatchRun& run, LedgerBatch& batch, Waiting& waiting, const AuditSigner& signer);
  absl::Status Sign(const AuditSigner& signer, std::string_view payload, frame::Tier tier, AuditRow& row) const;
  void CommitBatch(const LedgerHead& old_head, const BatchRun& run, LedgerBatch batch,
                   std::vector<std::pair<Promise*, Receipt>> done);
  absl::Status Settle(const LedgerBatch& batch) const;
  void Publish(std::shared_ptr<const Snapshot> snapshot, std::vector<Committed::Item> items, bool loaded = false);
  void FailWaiting();
  absl::Status NotActive() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
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
  StringMap<Answered> requests;
  UnixNanos last_forgotten = 0;
  std::chrono::steady_clock::time_point lease_until;

  mutable Mutex mutex;
  mutable std::condition_variable_any changed;
  std::deque<Waiting> queue ABSL_GUARDED_BY(mutex);
  std::shared_ptr<const Snapshot> snapshot ABSL_GUARDED_BY(mutex) = std::make_shared<Snapshot>();
  LedgerStatus status ABSL_GUARDED_BY(mutex);
  std::set<SealReason> sealed ABSL_GUARDED_BY(mutex){SealReason::kStarting};
  std::uint64_t open_epoch ABSL_GUARDED_BY(mutex) = 0;  // the next record's epoch is above it
  bool stopped ABSL_GUARDED_BY(mutex) = false;
  std::jthread thread;
};

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
  if (loaded.ok() && on_active) loaded = on_active();
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
    Answered answered{std::move(row.actor), std::move(row.method), row.digest, {}};
    answered.receipt = {row.record, row.time, false, std::move(row.answer)};
    last_time = std::max(last_time, row.time);
    requests.insert_or_assign(std::move(row.request_id), std::move(answered));
    return absl::OkStatus();
  };
  ASSIGN_OR_RETURN(const LedgerHead loaded, store.Load(loader));
  if (loaded.term != head.term) return Aborted("the lease was lost while the state was loaded");
  head = loaded;
  last_forgotten = now;
  builder.SetRecord(head.record);
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

// ---- being active ----

void LedgerEngine::Impl::Lead(const std::stop_token& stop) {
  std::vector<Waiting> edits;
  while (!stop.stop_requested()) {
    pulse.Beat();
    edits.clear();
    {
      const AtRest at_rest(pulse);
      MutexLock lock(mutex);
      if (queue.empty() && !stop.stop_requested()) changed.wait_for(mutex, options.lease / 3);
      while (!queue.empty() && edits.size() < options.max_batch) {
        edits.push_back(std::move(queue.front()));
        queue.pop_front();
      }
      status.waiting = queue.size();
    }
    if (const absl::Status renewed = Renew(); !renewed.ok()) {
      for (Waiting& waiting : edits) waiting.promise.set_value(renewed);
      return Deactivate(renewed);
    }
    if (!edits.empty()) Process(edits);
    const MutexLock lock(mutex);
    if (!status.active) return;
  }
}

// Once a third of the lease is gone. A store that cannot be reached is no reason to stand aside before the lease ends:
// until then nobody else can have taken it.
absl::Status LedgerEngine::Impl::Renew() {
  const auto now = std::chrono::steady_clock::now();
  if (lease_until - now > options.lease * 2 / 3) return absl::OkStatus();
  const absl::Status renewed = store.RenewLease(head.term, options.lease);
  if (renewed.ok()) {
    lease_until = now + options.lease;
    return renewed;
  }
  if (absl::IsAborted(renewed)) return WithReason(renewed, "FENCED");
  return std::chrono::steady_clock::now() < lease_until ? absl::OkStatus() : renewed;
}

void LedgerEngine::Impl::Process(std::vector<Waiting>& edits) {
  const auto committed = [&] {
    const MutexLock lock(mutex);
    return snapshot;
  }();
  BatchRun run(*committed);
  LedgerBatch batch;
  batch.term = head.term;
  batch.old_record = head.record;
  batch.old_frame_hash = head.frame_hash;
  batch.new_frame_hash = head.frame_hash;
  const LedgerHead old_head = head;
  std::vector<std::pair<Promise*, Receipt>> done;
  const auto signer = options.signer();
  for (Waiting& waiting : edits) {
    if (!signer.ok()) {
      waiting.promise.set_value(Annotate(signer.status(), "own key"));
      continue;
    }
    auto receipt = RunOne(run, batch, waiting, *signer);
    // What was answered by a commit before is known now; all else only when this batch is committed.
    if (!receipt.ok() || receipt->record <= old_head.record) {
      waiting.promise.set_value(std::move(receipt));
    } else {
      done.emplace_back(&waiting.promise, *std::move(receipt));
    }
  }
  if (batch.records.empty()) return;
  CommitBatch(old_head, run, std::move(batch), std::move(done));
}

absl::StatusOr<Receipt> LedgerEngine::Impl::RunOne(BatchRun& run, LedgerBatch& batch, Waiting& waiting,
                                                   const AuditSigner& signer) {
  const Call& call = waiting.call;
  {
    const MutexLock lock(mutex);
    const bool rolled_back = sealed.contains(SealReason::kRollback);
    if (waiting.in_spite_of == InSpiteOf::kNothing ? !sealed.empty()
                                                   : rolled_back && waiting.in_spite_of != InSpiteOf::kRollback)
      return SealedStatus(sealed);
  }
  if (!call.request_id.empty()) {
    if (const auto before = requests.find(call.request_id); before != requests.end())
      return Replay(before->second, call);
  }
  AuditRow row;
  row.record = head.record + 1;
  row.time = clock.NowNanos();
  const auto record = [&](const AuditRecord& audit) -> absl::Status {
    ASSIGN_OR_RETURN(const std::string payload, BuildAuditPayload(options.source, row.record, call, audit));
    return Sign(signer, payload, audit.tier, row);
  };
  ASSIGN_OR_RETURN(BatchRun::Result result, run.Run(waiting.edit, row.time, record));
  row.event = std::move(result.audit.event);
  row.source = result.audit.source.empty() ? options.source : std::move(result.audit.source);
  row.actor = call.actor;
  row.method = call.method;
  row.reason = call.reason;
  row.request_id = call.request_id;
  row.digest = call.digest;
  row.answer = std::move(result.answer);
  row.keys = std::move(result.audit.keys);
  head.record = row.record;
  head.epoch = row.epoch;
  head.sequence = row.sequence;
  head.frame_hash = batch.new_frame_hash = crypto::Sha256(row.frame);
  last_time = row.time;
  Receipt receipt{row.record, row.time, false, row.answer};
  if (!row.request_id.empty()) requests[row.request_id] = {call.actor, call.method, call.digest, receipt};
  batch.records.push_back(std::move(row));
  return receipt;
}

// Fills the row's epoch, sequence and frame.
absl::Status LedgerEngine::Impl::Sign(const AuditSigner& signer, std::string_view payload, frame::Tier tier,
                                      AuditRow& row) const {
  const auto skew = static_cast<UnixNanos>(std::chrono::nanoseconds(kSkew).count());
  row.epoch = head.epoch;
  row.sequence = head.sequence + 1;
  std::uint64_t above = 0;  // the present epoch, too, may have a future that is known elsewhere
  {
    const MutexLock lock(mutex);
    above = open_epoch;
  }
  const bool known = above != 0 && above >= head.epoch;
  if (head.epoch == 0 || known || row.time + skew < last_time) {
    row.epoch = std::max(row.time, std::max(above, head.epoch) + 1);
    row.sequence = 1;
  }
  frame::Header header;
  header.type = frame::Type::kKeyEvent;
  header.tier = tier;
  header.suite = signer.key->suite();
  header.timestamp = row.time;
  header.sequence = row.sequence;
  header.key_version = signer.version;
  header.boot_epoch = row.epoch;
  header.source_id = source_id;
  ASSIGN_OR_RETURN(row.frame, frame::EncodeSigned(header, payload, *signer.key));
  return absl::OkStatus();
}

void LedgerEngine::Impl::CommitBatch(const LedgerHead& old_head, const BatchRun& run, LedgerBatch batch,
                                     std::vector<std::pair<Promise*, Receipt>> done) {
  run.Fill(batch);
  absl::Status committed = store.Commit(batch);
  if (absl::IsUnknown(committed)) committed = Settle(batch);
  if (!committed.ok()) {
    head = old_head;
    for (const AuditRow& row : batch.records) requests.erase(row.request_id);
    if (absl::IsAborted(committed)) committed = WithReason(committed, "FENCED");
    for (auto& [promise, receipt] : done) promise->set_value(committed);
    // Fenced, or in doubt: what is true is what the database says, so it is loaded anew. Else the state is as it was.
    if (absl::IsAborted(committed) || GetReason(committed) == "COMMIT_IN_DOUBT") Deactivate(committed);
    return;
  }
  StateBuilder builder(run.state());
  builder.SetRecord(head.record);
  std::vector<Committed::Item> items;
  {
    const MutexLock lock(mutex);
    items = run.Items(*snapshot);
    status.record = head.record;
    status.epoch = head.epoch;
    status.sequence = head.sequence;
    status.frame_hash = head.frame_hash;
    ++status.commits;
    status.edits += batch.records.size();
  }
  Publish(builder.Build(), std::move(items));
  for (auto& [promise, receipt] : done) promise->set_value(std::move(receipt));
  ForgetOldRequests();
}

// Whether a commit in doubt took place: our first record is there, byte for byte, or it is not.
absl::Status LedgerEngine::Impl::Settle(const LedgerBatch& batch) const {
  const auto deadline = std::chrono::steady_clock::now() + kSettlePatience;
  while (true) {
    AuditFilter filter;
    filter.after = batch.old_record;
    const auto rows = store.ReadAudit(filter, 1);
    if (rows.ok()) {
      if (!rows->empty() && rows->front().frame == batch.records.front().frame) return absl::OkStatus();
      return Unavailable("the store did not take the change; nothing was changed");
    }
    if (std::chrono::steady_clock::now() >= deadline) {
      return WithReason(
          Unavailable("the store went away while it was to take the change; the same request_id finds out "
                      "what became of it: {}",
                      Message(rows.status())),
          "COMMIT_IN_DOUBT");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

// Once an hour, so that a manager that runs for years does not keep them all.
void LedgerEngine::Impl::ForgetOldRequests() {
  constexpr auto kHour = static_cast<UnixNanos>(std::chrono::nanoseconds(std::chrono::hours(1)).count());
  const UnixNanos now = clock.NowNanos();
  if (now < last_forgotten + kHour) return;
  last_forgotten = now;
  const auto kept = static_cast<UnixNanos>(std::chrono::nanoseconds(options.requests_kept).count());
  absl::erase_if(requests, [&](const auto& entry) { return entry.second.receipt.time + kept < now; });
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
