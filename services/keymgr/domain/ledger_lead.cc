// The ledger's thread while this manager is the active one: Edits in their order, signed, committed, told.
#include <algorithm>
#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/sha256.h"
#include "services/keymgr/domain/audit_frame.h"
#include "services/keymgr/domain/ledger_engine_impl.h"

namespace virp::keymgr {
namespace {

constexpr std::chrono::seconds kSkew{60};           // frames.md: a clock that steps back further opens a new epoch
constexpr std::chrono::seconds kSettlePatience{5};  // for reading back a commit in doubt

absl::StatusOr<Receipt> Replay(const LedgerAnswer& before, const Call& call) {
  if (before.actor != call.actor || before.method != call.method || before.digest != call.digest) {
    return WithReason(AlreadyExists("request_id {} was used before, for another request", call.request_id),
                      "REQUEST_ID_REUSED");
  }
  Receipt receipt = before.receipt;
  receipt.replayed = true;
  return receipt;
}

}  // namespace

void LedgerEngine::Impl::Lead(const std::stop_token& stop) {
  std::vector<Waiting> edits;
  while (!stop.stop_requested()) {
    pulse.Beat();
    edits.clear();
    {
      const AtRest at_rest(pulse);
      MutexLock lock(mutex);
      if (queue.empty() && !stop.stop_requested()) changed.wait_for(mutex, options.lease / 3);
      const std::size_t most = one_by_one == 0 ? options.max_batch : 1;
      one_by_one -= std::min<std::size_t>(one_by_one, 1);
      while (!queue.empty() && edits.size() < most) {
        edits.push_back(std::move(queue.front()));
        queue.pop_front();
      }
      status.waiting = queue.size();
    }
    if (const absl::Status renewed = Renew(); !renewed.ok()) {
      for (Waiting& waiting : edits) waiting.promise.set_value(renewed);
      return Deactivate(renewed);
    }
    LookAtClock();
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

// Before each batch, so that nothing is recorded, or done, by a time that cannot be.
void LedgerEngine::Impl::LookAtClock() {
  const MutexLock lock(mutex);
  const absl::Status believed = clock_guard.Check(clock.NowNanos(), clock.Steady());
  status.clock_problem = std::string(Message(believed));
  if (believed.ok()) {
    sealed.erase(SealReason::kClock);
  } else {
    sealed.insert(SealReason::kClock);
  }
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
  std::vector<std::pair<Waiting*, Receipt>> done;
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
      done.emplace_back(&waiting, *std::move(receipt));
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
    if (!IsAllowed(waiting.in_spite_of, sealed)) return SealedStatus(sealed);
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
                                     std::vector<std::pair<Waiting*, Receipt>> done) {
  run.Fill(batch);
  absl::Status committed = store.Commit(batch);
  if (absl::IsUnknown(committed)) committed = Settle(batch);
  if (!committed.ok()) {
    head = old_head;
    for (const AuditRow& row : batch.records) requests.erase(row.request_id);
    if (absl::IsAborted(committed)) committed = WithReason(committed, "FENCED");
    if (done.size() > 1 && !absl::IsAborted(committed) && !absl::IsUnavailable(committed)) {
      // The store may refuse what one of them wants to keep: the others shall not suffer for it.
      one_by_one = done.size();
      const MutexLock lock(mutex);
      for (auto waiting = done.rbegin(); waiting != done.rend(); ++waiting)
        queue.push_front(std::move(*waiting->first));
      return;
    }
    for (auto& [waiting, receipt] : done) waiting->promise.set_value(committed);
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
  for (auto& [waiting, receipt] : done) waiting->promise.set_value(std::move(receipt));
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

}  // namespace virp::keymgr
