#include "services/keymgr/domain/kek_keeper.h"

#include <algorithm>
#include <map>
#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/frame/payload.h"

namespace virp::keymgr {
namespace {

constexpr std::string_view kSealId = "seal";
constexpr std::string_view kSealed = "manager_sealed", kUnsealed = "manager_unsealed";

std::string IdOf(std::uint32_t version) {
  return fmt::format("{}", version);
}

std::shared_ptr<KekRecord> MakeKek(const KekFacts& facts, KekRecord::State state) {
  auto record = std::make_shared<KekRecord>();
  record->version = facts.version;
  record->check = facts.check;
  record->state = state;
  return record;
}

// Of the ledger's versions: the current one, or null before the first start.
std::shared_ptr<const KekRecord> Current(const Snapshot& now) {
  std::shared_ptr<const KekRecord> out;
  now.ForEach<KekRecord>([&](const std::shared_ptr<const KekRecord>& kek) {
    if (kek->state == KekRecord::State::kCurrent) out = kek;
    return out == nullptr;
  });
  return out;
}

const KekFacts* FactsOf(const std::vector<KekFacts>& known, std::uint32_t version) {
  const auto found =
      std::find_if(known.begin(), known.end(), [&](const KekFacts& one) { return one.version == version; });
  return found == known.end() ? nullptr : &*found;
}

std::string Fields(std::string_view name, std::uint64_t value) {
  return frame::JsonWriter().BeginObject().Field(name, value).EndObject().Take();
}

Edit PutSeal(bool sealed, const Call& call) {
  return [=](const Snapshot&, Changes& changes) {
    auto record = std::make_shared<SealRecord>();
    record->sealed = sealed;
    record->by = call.actor;
    record->reason = call.reason;
    changes.Put(std::move(record));
    changes.Audit({.event = std::string(sealed ? kSealed : kUnsealed), .source = {}, .keys = {}, .fields = {}});
    return absl::OkStatus();
  };
}

}  // namespace

std::string_view KekStateName(KekRecord::State state) {
  switch (state) {
    case KekRecord::State::kCurrent:
      return "CURRENT";
    case KekRecord::State::kRetiring:
      return "RETIRING";
    case KekRecord::State::kRetired:
      return "RETIRED";
  }
  return "UNKNOWN";
}

Row KekRecord::ToRow() const {
  Row row;
  row.kind = kKind;
  row.id = IdOf(version);
  row.state = KekStateName(state);
  row.body = frame::JsonWriter().BeginObject().Field("version", version).Field("check", check).EndObject().Take();
  return row;
}

absl::StatusOr<std::shared_ptr<Record>> KekRecord::FromRow(const Row& row) {
  frame::PayloadReader reader;
  ASSIGN_OR_RETURN(const frame::Value body, reader.Read(row.body));
  auto out = std::make_shared<KekRecord>();
  const auto version = body["version"].AsUnsigned();
  const auto check = body["check"].AsString();
  for (const State state : {State::kCurrent, State::kRetiring, State::kRetired}) {
    if (row.state == KekStateName(state) && version && *version <= 0xffff'ffff && check) {
      out->version = static_cast<std::uint32_t>(*version);
      out->check = *check;
      out->state = state;
      return out;
    }
  }
  return InvalidArgument("state {}, body {}: no key-encryption key's record", row.state, row.body);
}

Row SealRecord::ToRow() const {
  Row row;
  row.kind = kKind;
  row.id = kSealId;
  row.state = sealed ? "SEALED" : "OPEN";
  row.body = frame::JsonWriter().BeginObject().Field("by", by).Field("reason", reason).EndObject().Take();
  return row;
}

absl::StatusOr<std::shared_ptr<Record>> SealRecord::FromRow(const Row& row) {
  frame::PayloadReader reader;
  ASSIGN_OR_RETURN(const frame::Value body, reader.Read(row.body));
  auto out = std::make_shared<SealRecord>();
  out->sealed = row.state != "OPEN";
  out->by = body["by"].AsString().value_or("");
  out->reason = body["reason"].AsString().value_or("");
  return out;
}

absl::Status TakeOverSeal(const std::vector<ChainRecord>& missing, const Snapshot&, Changes& changes) {
  std::shared_ptr<SealRecord> seal;
  frame::PayloadReader reader;
  for (const ChainRecord& record : missing) {
    if (record.event != kSealed && record.event != kUnsealed) continue;
    ASSIGN_OR_RETURN(const frame::Frame frame, frame::Decode(record.frame, frame::Spelling::kV2));
    ASSIGN_OR_RETURN(const frame::Value payload, reader.Read(frame.payload));
    seal = std::make_shared<SealRecord>();
    seal->sealed = record.event == kSealed;
    seal->by = payload["by"].AsString().value_or("");
    seal->reason = payload["reason"].AsString().value_or("");
  }
  if (seal != nullptr) changes.Put(std::move(seal));
  return absl::OkStatus();
}

Call KekKeeper::Own(std::string method, std::string reason) const {
  Call call;
  call.actor = self_;
  call.method = std::move(method);
  call.reason = std::move(reason);
  return call;
}

absl::Status KekKeeper::Failed(absl::Status status) {
  ledger_.Seal(SealReason::kNoKek);
  Wipe();
  const MutexLock lock(mutex_);
  problem_ = std::string(Message(status));
  return WithReason(std::move(status), "SEALED", {{"why", "NO_KEK"}});
}

void KekKeeper::Wipe() {
  keks_.Forget();
  if (on_wiped_) on_wiped_();
}

void KekKeeper::Close() {
  const MutexLock lock(doing_);
  Wipe();
}

absl::Status KekKeeper::UseCurrent() {
  const auto current = Current(*ledger_.snapshot());
  if (current == nullptr) return Unavailable("the ledger was lost to another manager meanwhile");
  return keks_.Use(current->version);
}

std::string KekKeeper::problem() const {
  const MutexLock lock(mutex_);
  return problem_;
}

// Every version that envelopes lie under must be here, and be the one that it was.
absl::Status KekKeeper::CheckKeys(const Snapshot& now) const {
  const std::vector<KekFacts> known = keks_.Known();
  absl::Status status;
  now.ForEach<KekRecord>([&](const std::shared_ptr<const KekRecord>& kek) {
    const KekFacts* const facts = FactsOf(known, kek->version);
    if (facts == nullptr && kek->state != KekRecord::State::kRetired) {
      status = FailedPrecondition("version {} of the key-encryption key is {} and is not here: bring its file back",
                                  kek->version, KekStateName(kek->state));
    } else if (facts != nullptr && facts->check != kek->check) {
      status = FailedPrecondition(
          "version {} of the key-encryption key is another key (check value {}) than the one "
          "that the ledger knows ({})",
          kek->version, facts->check, kek->check);
    }
    return status.ok();
  });
  return status;
}

absl::Status KekKeeper::LoadKeys() {
  RETURN_IF_ERROR(WithCode(keks_.Load(), absl::StatusCode::kFailedPrecondition));
  return CheckKeys(*ledger_.snapshot());
}

absl::Status KekKeeper::Adopt() {
  const KekFacts facts = keks_.Known().back();
  const auto adopt = [&](const Snapshot& now, Changes& changes) -> absl::Status {
    if (Current(now) != nullptr) return Aborted("a key-encryption key was adopted meanwhile");
    changes.Put(MakeKek(facts, KekRecord::State::kCurrent));
    changes.Audit({.event = "kek_adopted", .source = {}, .keys = {}, .fields = Fields("kek_version", facts.version)});
    return absl::OkStatus();
  };
  return ledger_.CommitWhileSealed(Own("start/open", "first start with this key-encryption key"), adopt).status();
}

absl::Status KekKeeper::Reconcile() {
  std::map<std::string, std::vector<SealedKey>> keys;
  ledger_.snapshot()->ForEachKey([&](const Snapshot::KeyPtr& key) {
    keys[key->custody].push_back(*key);
    return true;
  });
  for (Custody* const custody : custodies_.all()) {
    RETURN_IF_ERROR(Annotate(custody->Reconcile(keys[std::string(custody->name())]), custody->name()));
  }
  return absl::OkStatus();
}

absl::Status KekKeeper::Open() {
  const MutexLock lock(doing_);
  const auto seal = ledger_.snapshot()->Find<SealRecord>(kSealId);
  if (seal != nullptr && seal->sealed) {
    ledger_.Seal(SealReason::kOperator);
    ledger_.Unseal(SealReason::kNoKek);
    Wipe();
    return WithReason(FailedPrecondition("sealed by {}: {}", seal->by, seal->reason), "SEALED", {{"why", "OPERATOR"}});
  }
  absl::Status status = LoadKeys();
  if (status.ok() && Current(*ledger_.snapshot()) == nullptr) status = Adopt();
  if (status.ok()) status = UseCurrent();
  if (status.ok()) status = Reconcile();
  if (!status.ok()) return Failed(status);
  ledger_.Unseal(SealReason::kNoKek);
  const MutexLock problem(mutex_);
  problem_.clear();
  return absl::OkStatus();
}

absl::StatusOr<Receipt> KekKeeper::Seal(const Call& call) {
  const MutexLock lock(doing_);
  auto receipt = ledger_.CommitWhileSealed(call, PutSeal(true, call));
  if (!receipt.ok() || receipt->replayed) return receipt;
  ledger_.Seal(SealReason::kOperator);
  Wipe();
  return receipt;
}

absl::StatusOr<Receipt> KekKeeper::Unseal(const Call& call) {
  const MutexLock lock(doing_);
  auto receipt = DoUnseal(call);
  // Refused, or a repetition of what was undone since: still sealed, and no key stays in memory.
  if (!ledger_.status().sealed.empty()) Wipe();
  return receipt;
}

absl::StatusOr<Receipt> KekKeeper::DoUnseal(const Call& call) {
  if (const absl::Status loaded = LoadKeys(); !loaded.ok()) return Failed(loaded);
  if (Current(*ledger_.snapshot()) == nullptr) RETURN_IF_ERROR(Adopt());
  ASSIGN_OR_RETURN(Receipt receipt, ledger_.CommitWhileSealed(call, PutSeal(false, call)));
  if (receipt.replayed) return receipt;
  absl::Status status = UseCurrent();
  if (status.ok()) status = Reconcile();
  if (!status.ok()) return Failed(status);
  ledger_.Unseal(SealReason::kNoKek);
  ledger_.Unseal(SealReason::kOperator);
  ledger_.AcceptClock();
  const MutexLock problem(mutex_);
  problem_.clear();
  return receipt;
}

absl::StatusOr<Receipt> KekKeeper::Rotate(const Call& call, std::uint32_t version) {
  const MutexLock lock(doing_);
  // A sealed manager reads no key, not even to find out that it must not.
  if (const auto sealed = ledger_.status().sealed; !sealed.empty()) {
    const std::string why(SealReasonName(sealed.back()));
    return WithReason(FailedPrecondition("the key manager is sealed ({}): unseal it first", why), "SEALED",
                      {{"why", why}});
  }
  const std::uint32_t before = keks_.current();
  RETURN_IF_ERROR(keks_.Load());  // on an error, what was in use stays so
  if (const absl::Status checked = CheckKeys(*ledger_.snapshot()); !checked.ok()) return Failed(checked);
  const std::vector<KekFacts> known = keks_.Known();
  const KekFacts* const facts = version == 0 ? &known.back() : FactsOf(known, version);
  if (facts == nullptr) return NotFound("there is no file of version {} of the key-encryption key", version);
  const auto rotate = [&](const Snapshot& now, Changes& changes) -> absl::Status {
    const auto current = Current(now);
    if (current == nullptr) return FailedPrecondition("no key-encryption key is in use yet");
    if (facts->version <= current->version) {
      return InvalidField(
          "version",
          fmt::format("{} is not above the current version, {}: bring a key-encryption key of a higher one first",
                      facts->version, current->version));
    }
    auto retiring = std::make_shared<KekRecord>(*current);
    retiring->state = KekRecord::State::kRetiring;
    changes.Put(std::move(retiring));
    changes.Put(MakeKek(*facts, KekRecord::State::kCurrent));
    changes.Audit({.event = "kek_rotated", .source = {}, .keys = {}, .fields = Fields("kek_version", facts->version)});
    return absl::OkStatus();
  };
  auto receipt = ledger_.Commit(call, rotate);
  // What the ledger says is current is used, whichever way that went; it has just been loaded.
  const auto current = Current(*ledger_.snapshot());
  const absl::Status used = keks_.Use(current != nullptr ? current->version : before);
  if (receipt.ok() && !used.ok()) return used;
  return receipt;
}

RewrapProgress KekKeeper::progress() const {
  const auto now = ledger_.snapshot();
  RewrapProgress out;
  if (const auto current = Current(*now); current != nullptr) out.version = current->version;
  now->ForEachKey([&](const Snapshot::KeyPtr& key) {
    if (key->kek_version != 0) ++(key->kek_version == out.version ? out.done : out.left);
    return true;
  });
  const MutexLock lock(mutex_);
  out.damaged = std::min<std::uint64_t>(damaged_, out.left);
  return out;
}

absl::StatusOr<std::uint64_t> KekKeeper::RewrapSome(std::size_t most) {
  const auto now = ledger_.snapshot();
  const auto current = Current(*now);
  if (current == nullptr || keks_.current() != current->version) return 0;
  std::vector<std::pair<Snapshot::KeyPtr, SealedKey>> renewed;
  std::uint64_t left = 0, damaged = 0;
  absl::Status status;
  now->ForEachKey([&](const Snapshot::KeyPtr& key) {
    if (key->kek_version == 0 || key->kek_version == current->version) return true;
    ++left;
    if (renewed.size() >= most) return true;
    auto next = rewrapper_.Rewrap(*key);
    if (next.ok()) {
      renewed.emplace_back(key, *std::move(next));
    } else if (GetReason(next.status()) == "KEY_DAMAGED") {
      ++damaged;  // told by the progress; the others go on
    } else {
      status = next.status();
    }
    return status.ok();
  });
  RETURN_IF_ERROR(status);
  {
    const MutexLock lock(mutex_);
    damaged_ = damaged;
  }
  if (renewed.empty()) return left == 0 ? Retire() : absl::StatusOr<std::uint64_t>(0);
  std::uint64_t rewrapped = 0;
  const auto rewrap = [&](const Snapshot& then, Changes& changes) -> absl::Status {
    rewrapped = 0;
    for (const auto& [old, next] : renewed) {
      if (const auto key = then.FindKey(old->identity); key == nullptr || key->blob != old->blob) continue;
      changes.PutKey(next);
      ++rewrapped;
    }
    frame::JsonWriter fields;
    fields.BeginObject().Field("kek_version", current->version).Field("rewrapped", rewrapped);
    fields.Field("left", left - rewrapped).EndObject();
    changes.Audit({.event = "keys_rewrapped", .source = {}, .keys = {}, .fields = fields.Take()});
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(ledger_.Commit(Own("schedule/rewrap", "a new key-encryption key is in use"), rewrap).status());
  const std::uint64_t rest = left - rewrapped - damaged;
  return rest == 0 && damaged == 0 ? Retire() : absl::StatusOr<std::uint64_t>(rest);
}

// No envelope lies under an older version any more. Asked again inside the Edit: one may have been put meanwhile.
absl::StatusOr<std::uint64_t> KekKeeper::Retire() {
  const auto is_retiring = [](const Snapshot& now) {
    bool found = false;
    now.ForEach<KekRecord>([&](const auto& kek) {
      found = found || kek->state == KekRecord::State::kRetiring;
      return !found;
    });
    return found;
  };
  if (!is_retiring(*ledger_.snapshot())) return 0;
  const auto retire = [&](const Snapshot& now, Changes& changes) -> absl::Status {
    const auto current = Current(now);
    bool left = false;
    now.ForEachKey([&](const Snapshot::KeyPtr& key) {
      left = left || (key->kek_version != 0 && key->kek_version != current->version);
      return !left;
    });
    if (left) return Aborted("an envelope under an older version was put meanwhile");
    now.ForEach<KekRecord>([&](const std::shared_ptr<const KekRecord>& kek) {
      if (kek->state != KekRecord::State::kRetiring) return true;
      auto retired = std::make_shared<KekRecord>(*kek);
      retired->state = KekRecord::State::kRetired;
      changes.Put(std::move(retired));
      return true;
    });
    changes.Audit(
        {.event = "kek_retired", .source = {}, .keys = {}, .fields = Fields("kek_version", current->version)});
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(ledger_.Commit(Own("schedule/rewrap", "every envelope lies under the new version"), retire).status());
  return 0;
}

}  // namespace virp::keymgr
