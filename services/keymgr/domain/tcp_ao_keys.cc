#include "services/keymgr/domain/tcp_ao_keys.h"

#include <algorithm>
#include <optional>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/frame/payload.h"

namespace virp::keymgr {
namespace {

constexpr std::string_view kRollover = "ROLLOVER";

absl::Status NoPair(std::string_view id) {
  return NotFound("TCP-AO pair {} is not there", id);
}

// A pair that is there and not deleted, to be changed.
absl::StatusOr<std::shared_ptr<TcpAoPairRecord>> Copy(const Snapshot& now, std::string_view id) {
  const auto found = now.Find<TcpAoPairRecord>(id);
  if (found == nullptr || found->deleted) return NoPair(id);
  return std::make_shared<TcpAoPairRecord>(*found);
}

bool SameAddresses(const TcpAoPair& one, const TcpAoPair& other) {
  const auto& [a, b] = one.sides;
  return (a.address == other.sides[0].address && b.address == other.sides[1].address) ||
         (a.address == other.sides[1].address && b.address == other.sides[0].address);
}

// A pair that follows one between these addresses goes on with its identifiers: those that rest there rest here.
void RestOn(const Snapshot& state, TcpAoPairRecord& record, UnixNanos now) {
  UnixNanos newest = 0;
  state.ForEach<TcpAoPairRecord>([&](const auto& other) {
    if (!other->deleted || !SameAddresses(record.pair, other->pair)) return true;
    for (const TcpAoUsedId& id : other->resting) {
      if (id.until > now) record.Rest(id);
    }
    if (other->changed >= newest) record.last_id = other->last_id;
    newest = std::max(newest, other->changed);
    return true;
  });
}

AuditRecord Audit(std::string_view event, const TcpAoPairRecord& record, std::vector<std::uint32_t> versions,
                  frame::Tier tier = frame::Tier::kGreen) {
  AuditRecord audit;
  audit.event = event;
  audit.tier = tier;
  for (const std::uint32_t version : versions) audit.keys.push_back(record.identity(version));
  frame::JsonWriter json;
  json.BeginObject().Field("pair", std::string_view(record.pair.id)).Field("phase", TcpAoPhaseName(record.roll.phase));
  audit.fields = json.Field("plan", record.roll.serial).EndObject().Take();
  return audit;
}

// The rollover is over: the key that it replaced, or gave up, goes.
void DropGone(TcpAoPairRecord& record, UnixNanos now) {
  if (record.roll.phase == TcpAoPhase::kAborted) record.Drop(record.roll.new_key.version, now);
  if (record.roll.phase == TcpAoPhase::kOldRemoved && record.roll.old_key)
    record.Drop(record.roll.old_key->version, now);
}

bool SwitchesByClock(TcpAoFormat format) {
  return format != TcpAoFormat::kBird;
}

}  // namespace

// ---- Making ----

absl::StatusOr<SealedKey> TcpAoKeys::MakeKey(const TcpAoPair& pair, std::uint32_t version) {
  const KeyIdentity identity{KeyKind::kTcpAo, pair.id, version, Algorithm::kOctets};
  return custodies_.For(KeyKind::kTcpAo).Import(identity, ExportPolicy::kShared, crypto::Secret::Random(pair.octets));
}

void TcpAoKeys::Destroy(std::vector<SealedKey> keys) {
  for (const SealedKey& key : keys) {
    // What cannot be destroyed now is found by the custody's Reconcile: no record names it any more.
    if (const auto custody = custodies_.Of(key); custody.ok()) (*custody)->Destroy(key).IgnoreError();
  }
}

// Commits an Edit that puts `key`, which was made before. What is not needed after all is destroyed.
absl::StatusOr<TcpAoKeys::PairPtr> TcpAoKeys::WithKey(const Call& call, const TcpAoPair& pair, std::uint32_t version,
                                                      const Edit& edit, SealedKey key) {
  const auto receipt = ledger_.Commit(call, edit);
  const bool unknown = !receipt.ok() && receipt.status().code() == absl::StatusCode::kUnavailable;
  if (!unknown && (!receipt.ok() || receipt->replayed)) {
    const auto kept = ledger_.snapshot()->FindKey(KeyKind::kTcpAo, pair.id, version);
    if (kept == nullptr || kept->blob != key.blob) Destroy({std::move(key)});
  }
  if (!receipt.ok()) return receipt.status();
  return Get(pair.id);
}

absl::StatusOr<TcpAoKeys::PairPtr> TcpAoKeys::Create(const Call& call, const TcpAoPair& pair, UnixNanos use_from) {
  RETURN_IF_ERROR(CheckKeyId(pair.id));
  RETURN_IF_ERROR(CheckPair(pair));
  ASSIGN_OR_RETURN(const SealedKey key, MakeKey(pair, 1));
  const Edit edit = [&](const Snapshot& state, Changes& changes) -> absl::Status {
    if (state.Find<TcpAoPairRecord>(pair.id) != nullptr)
      return AlreadyExists("TCP-AO pair {} is there, or was; ids are not used twice", pair.id);
    absl::Status overlap;
    state.ForEach<TcpAoPairRecord>([&](const auto& other) {
      if (!other->deleted && SameAddresses(pair, other->pair))
        overlap = AlreadyExists("TCP-AO pair {} has these addresses: identifiers would overlap", other->pair.id);
      if (!other->deleted && ChainName(pair) == ChainName(other->pair))
        overlap = AlreadyExists("TCP-AO pair {} has the key chain {} on devices: one would replace the other",
                                other->pair.id, ChainName(pair));
      return overlap.ok();
    });
    RETURN_IF_ERROR(overlap);
    const UnixNanos now = changes.now();
    auto record = std::make_shared<TcpAoPairRecord>();
    record->pair = pair;
    RestOn(state, *record, now);
    ASSIGN_OR_RETURN(const TcpAoIds ids, AllocateTcpAoIds(record->UsedIds(), record->last_id, now));
    const UnixNanos from = std::max(use_from, now);
    record->keys.push_back({{1, ids}, now, from});
    record->last_id = ids.from_b;
    record->roll = StartRoll(std::nullopt, {1, ids}, 0, now, from, from + pair.deadline, pair.hold);
    changes.Audit(Audit("tcp_ao_pair_created", *record, {1}));
    changes.PutKey(key);
    changes.Put(std::move(record));
    return absl::OkStatus();
  };
  return WithKey(call, pair, 1, edit, key);
}

absl::StatusOr<TcpAoKeys::PairPtr> TcpAoKeys::Roll(const Call& call, std::string_view id, UnixNanos use_from) {
  ASSIGN_OR_RETURN(const PairPtr seen, Get(id));
  const std::uint32_t version = seen->roll.new_key.version + 1;
  ASSIGN_OR_RETURN(const SealedKey key, MakeKey(seen->pair, version));
  const Edit edit = [&](const Snapshot& state, Changes& changes) -> absl::Status {
    ASSIGN_OR_RETURN(const auto record, Copy(state, id));
    if (!IsOver(record->roll)) {
      return WithReason(FailedPrecondition("the rollover to key {} is {}: let it end first",
                                           record->roll.new_key.version, TcpAoPhaseName(record->roll.phase)),
                        kRollover);
    }
    if (record->roll.new_key.version + 1 != version) return Aborted("another rollover came between: try again");
    const UnixNanos now = changes.now();
    ASSIGN_OR_RETURN(const TcpAoIds ids, AllocateTcpAoIds(record->UsedIds(), record->last_id, now));
    std::optional<TcpAoTuple> old_key;
    if (!record->keys.empty()) old_key = record->keys.back().tuple;
    const UnixNanos from = std::max(use_from, now);
    record->keys.push_back({{version, ids}, now, from});
    record->last_id = ids.from_b;
    record->overdue_told = false;
    record->roll = StartRoll(old_key, {version, ids}, record->roll.serial, now, from, from + record->pair.deadline,
                             record->pair.hold);
    changes.Audit(Audit("tcp_ao_roll_started", *record, {version}));
    changes.PutKey(key);
    changes.Put(record);
    return absl::OkStatus();
  };
  return WithKey(call, seen->pair, version, edit, key);
}

// ---- Changing ----

absl::Status TcpAoKeys::Commit(const Call& call, std::string_view id, std::string_view event, const Change& change) {
  std::vector<SealedKey> gone;
  const Edit edit = [&](const Snapshot& state, Changes& changes) -> absl::Status {
    gone.clear();
    ASSIGN_OR_RETURN(const auto record, Copy(state, id));
    const std::vector<TcpAoPairRecord::Key> before = record->keys;
    RETURN_IF_ERROR(change(*record, changes.now()));
    record->roll.views = {};
    DropGone(*record, changes.now());
    std::vector<std::uint32_t> versions;
    for (const TcpAoPairRecord::Key& key : before) {
      versions.push_back(key.tuple.version);
      if (record->Find(key.tuple.version) != nullptr) continue;
      changes.DropKey(record->identity(key.tuple.version));
      if (const auto sealed = state.FindKey(record->identity(key.tuple.version))) gone.push_back(*sealed);
    }
    const bool odd = record->roll.forced_removal || record->overdue_told;
    changes.Audit(Audit(event, *record, std::move(versions), odd ? frame::Tier::kYellow : frame::Tier::kGreen));
    changes.Put(record);
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(ledger_.Commit(call, edit).status());
  Destroy(std::move(gone));
  return absl::OkStatus();
}

absl::StatusOr<TcpAoKeys::PairPtr> TcpAoKeys::Force(const Call& call, std::string_view id, TcpAoForce force) {
  ASSIGN_OR_RETURN(const PairPtr seen, Get(id));
  RETURN_IF_ERROR(Commit(call, id, "tcp_ao_roll_forced", [&](TcpAoPairRecord& record, UnixNanos now) {
    record.roll.views = seen->roll.views;
    return WithReason(force == TcpAoForce::kCurrent ? ForceCurrent(record.roll, now) : ForceRemoval(record.roll, now),
                      kRollover);
  }));
  return Get(id);
}

absl::StatusOr<TcpAoKeys::PairPtr> TcpAoKeys::AbortRoll(const Call& call, std::string_view id) {
  RETURN_IF_ERROR(Commit(call, id, "tcp_ao_roll_aborted", [&](TcpAoPairRecord& record, UnixNanos now) {
    return WithReason(Abort(record.roll, now), kRollover);
  }));
  return Get(id);
}

absl::Status TcpAoKeys::Delete(const Call& call, std::string_view id) {
  RETURN_IF_ERROR(Commit(call, id, "tcp_ao_pair_deleted", [&](TcpAoPairRecord& record, UnixNanos now) {
    if (!IsOver(record.roll)) {
      return WithReason(FailedPrecondition("the rollover to key {} is {}: let it end, or abort it, first",
                                           record.roll.new_key.version, TcpAoPhaseName(record.roll.phase)),
                        kRollover);
    }
    record.deleted = true;
    while (!record.keys.empty()) record.Drop(record.keys.front().tuple.version, now);
    return absl::OkStatus();
  }));
  const MutexLock lock(mutex_);
  if (const auto views = views_.find(id); views != views_.end()) views_.erase(views);
  return absl::OkStatus();
}

// ---- Reading ----

absl::StatusOr<TcpAoKeys::PairPtr> TcpAoKeys::Get(std::string_view id) const {
  ASSIGN_OR_RETURN(const auto record, Copy(*ledger_.snapshot(), id));
  const MutexLock lock(mutex_);
  if (const auto views = views_.find(id); views != views_.end()) record->roll.views = views->second;
  return PairPtr(record);
}

std::vector<TcpAoKeys::PairPtr> TcpAoKeys::List(std::string_view after, std::size_t limit) const {
  std::vector<PairPtr> out;
  const auto snapshot = ledger_.snapshot();
  snapshot->ForEach<TcpAoPairRecord>(
      [&](const auto& record) {
        if (!record->deleted && out.size() < limit) out.push_back(record);
        return out.size() < limit;
      },
      {}, after);
  return out;
}

absl::StatusOr<TcpAoKeys::PairPtr> TcpAoKeys::Allowed(const Caller& caller, std::string_view id, TcpAoEnd end) const {
  absl::StatusOr<PairPtr> pair = Get(id);
  if (caller.is_operator) return pair;
  // Whoever is no agent of it does not learn whether the pair is there.
  if (!pair.ok() || caller.identity.empty() || (*pair)->pair.side(end).agent != caller.identity)
    return PermissionDenied("{} is not the agent of that end of pair {}", caller.identity, id);
  return pair;
}

absl::StatusOr<TcpAoPlan> TcpAoKeys::Plan(const Caller& caller, std::string_view id, TcpAoEnd end) const {
  ASSIGN_OR_RETURN(const PairPtr pair, Allowed(caller, id, end));
  return PlanFor(pair->roll);
}

// ---- What moves a rollover on ----

absl::Status TcpAoKeys::Settle(const Call& call, const TcpAoPairRecord& seen, const TcpAoRoll& next) {
  const absl::Status status = Commit(call, seen.pair.id, "tcp_ao_roll_moved", [&](TcpAoPairRecord& record, UnixNanos) {
    if (record.roll.serial != seen.roll.serial) return Aborted("it moved on meanwhile");
    record.roll = next;
    return absl::OkStatus();
  });
  const auto now = ledger_.snapshot()->Find<TcpAoPairRecord>(seen.pair.id);
  const bool moved = now != nullptr && now->roll.serial != seen.roll.serial;
  return status.code() == absl::StatusCode::kAborted && moved ? absl::OkStatus() : status;
}

absl::Status TcpAoKeys::TakeReport(const Caller& caller, std::string_view method, std::string_view id, TcpAoEnd end,
                                   const TcpAoReport& report) {
  ASSIGN_OR_RETURN(const PairPtr seen, Allowed(caller, id, end));
  TcpAoRoll roll = seen->roll;
  {
    const MutexLock lock(mutex_);
    const auto views = views_.find(id);
    roll.views = views == views_.end() ? Views() : views->second;
    RETURN_IF_ERROR(Report(roll, end, report, clock_.NowNanos()));
    views_[std::string(id)] = roll.views;
  }
  if (roll.serial == seen->roll.serial) return absl::OkStatus();
  Call call;
  call.actor = caller.identity;
  call.method = method;
  call.reason = fmt::format("both ends did what plan {} says", seen->roll.serial);
  return Settle(call, *seen, roll);
}

absl::Status TcpAoKeys::Tick() {
  std::vector<std::string> ids;
  const auto snapshot = ledger_.snapshot();
  const UnixNanos now = clock_.NowNanos();
  snapshot->ForEach<TcpAoPairRecord>([&](const auto& record) {
    TcpAoRoll roll = record->roll;
    if (!record->deleted && (Advance(roll, now) || (IsOverdue(roll, now) && !record->overdue_told)))
      ids.push_back(record->pair.id);
    return true;
  });
  absl::Status first;
  Call call;
  call.actor = self_;
  call.method = "schedule/tcp_ao";
  for (const std::string& id : ids) {
    const auto seen = Get(id);
    if (!seen.ok()) continue;
    TcpAoRoll roll = (*seen)->roll;
    if (Advance(roll, now)) {
      call.reason = fmt::format("key {} is used from now on", roll.new_key.version);
      first.Update(Settle(call, **seen, roll));
      continue;
    }
    call.reason = fmt::format("the rollover to key {} has not ended in time", roll.new_key.version);
    const absl::Status told = Commit(call, id, "tcp_ao_roll_overdue", [&](TcpAoPairRecord& record, UnixNanos) {
      if (record.overdue_told || record.roll.serial != roll.serial) return Aborted("it moved on meanwhile");
      record.overdue_told = true;
      return absl::OkStatus();
    });
    if (told.code() != absl::StatusCode::kAborted) first.Update(told);
  }
  return first;
}

// ---- Letting keys out ----

// The keys of the plan in `octets`, after the record that says so was committed.
absl::StatusOr<TcpAoKeys::Fetched> TcpAoKeys::Release(const Call& call, const TcpAoPairRecord& record, TcpAoEnd end,
                                                      std::string_view event, std::vector<crypto::Secret>* octets) {
  const TcpAoPlan plan = PlanFor(record.roll);
  const auto committed = ledger_.Commit(call, [&](const Snapshot& state, Changes& changes) -> absl::Status {
    ASSIGN_OR_RETURN(const auto now, Copy(state, record.pair.id));
    if (now->roll.serial != plan.serial) return Aborted("the plan changed meanwhile: ask again");
    std::vector<std::uint32_t> versions;
    for (const TcpAoTuple& key : plan.keys) versions.push_back(key.version);
    AuditRecord audit = Audit(event, *now, std::move(versions));
    audit.fields.insert(audit.fields.size() - 1, end == TcpAoEnd::kA ? R"(,"end":"a")" : R"(,"end":"b")");
    changes.Audit(std::move(audit));
    changes.Answer(std::to_string(plan.serial));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(committed.status());
  // A repeat adds no record, so it lets out what the first one recorded and nothing else.
  if (committed->answer != std::to_string(plan.serial))
    return Aborted("the plan has changed since this request_id: ask again with another");
  Fetched out;
  out.serial = plan.serial;
  const auto snapshot = ledger_.snapshot();
  for (const TcpAoTuple& key : plan.keys) {
    const auto sealed = snapshot->FindKey(record.identity(key.version));
    if (sealed == nullptr) return Aborted("key {} is gone: ask for the plan again", key.version);
    ASSIGN_OR_RETURN(Custody* const custody, custodies_.Of(*sealed));
    ASSIGN_OR_RETURN(crypto::Secret secret, custody->Export(*sealed));
    out.keys.push_back({key, MasterKeyText(secret)});
    if (octets != nullptr) octets->push_back(std::move(secret));
  }
  return out;
}

absl::StatusOr<TcpAoKeys::Fetched> TcpAoKeys::Fetch(const Caller& caller, const Call& call, std::string_view id,
                                                    TcpAoEnd end) {
  ASSIGN_OR_RETURN(const PairPtr pair, Allowed(caller, id, end));
  return Release(call, *pair, end, "tcp_ao_keys_released", nullptr);
}

absl::StatusOr<crypto::Secret> TcpAoKeys::ExportChain(const Caller& caller, const Call& call, std::string_view id,
                                                      TcpAoEnd end, TcpAoFormat format, bool secrets) {
  ASSIGN_OR_RETURN(const PairPtr pair, Allowed(caller, id, end));
  const TcpAoRoll& roll = pair->roll;
  const bool waits = roll.phase == TcpAoPhase::kPending || roll.phase == TcpAoPhase::kInstalled;
  if (SwitchesByClock(format) && waits && roll.old_key.has_value() && roll.use_from <= roll.started) {
    return WithReason(FailedPrecondition("this format switches keys by the clock, and the rollover to key {} says no "
                                         "time for that: abort it, and start one with use_from",
                                         roll.new_key.version),
                      "NO_TIME");
  }
  const TcpAoPlan plan = PlanFor(roll);
  TcpAoExport what{pair->pair, end, {}, {}, plan.preferred};
  for (const TcpAoTuple& tuple : plan.keys) {
    const TcpAoPairRecord::Key* const key = pair->Find(tuple.version);
    if (key == nullptr) return Internal("pair {}: key {} is in the plan and not in the record", id, tuple.version);
    if (!what.keys.empty()) what.keys.back().send_until = key->use_from;
    what.keys.push_back({tuple, key->made, key->use_from, std::nullopt, nullptr});
  }
  const auto is_planned = [&](const TcpAoTuple& tuple) {
    return std::ranges::find(plan.keys, tuple) != plan.keys.end();
  };
  if (roll.old_key.has_value() && !is_planned(*roll.old_key)) what.removed.push_back(*roll.old_key);
  if (!is_planned(roll.new_key)) what.removed.push_back(roll.new_key);
  std::vector<crypto::Secret> octets;
  if (secrets) {
    RETURN_IF_ERROR(Release(call, *pair, end, "tcp_ao_chain_exported", &octets).status());
    for (std::size_t i = 0; i < octets.size(); ++i) what.keys[i].octets = &octets[i];
  }
  return Export(format, what);
}

}  // namespace virp::keymgr
