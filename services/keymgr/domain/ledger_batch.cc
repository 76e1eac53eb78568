#include "services/keymgr/domain/ledger_batch.h"

#include <algorithm>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/frame/payload.h"

namespace virp::keymgr {
namespace {

bool IsName(std::string_view text, char low, char high) {
  const auto fits = [&](char c) { return (c >= low && c <= high) || (c >= '0' && c <= '9') || c == '_'; };
  return !text.empty() && text.size() <= 32 && text[0] >= low && text[0] <= high &&
         std::all_of(text.begin(), text.end(), fits);
}

// Whether a string in the JSON text has U+0000.
bool HasZero(std::string_view json) {
  for (std::size_t at = json.find('\\'); at != std::string_view::npos && at + 1 < json.size();
       at = json.find('\\', at + 2)) {
    if (json.substr(at + 1, 5) == "u0000") return true;
  }
  return false;
}

}  // namespace

absl::Status CheckRow(const Row& row) {
  if (!IsName(row.kind, 'a', 'z')) return InvalidArgument("record kind {}: wanted [a-z][a-z0-9_]{{0,31}}", row.kind);
  RETURN_IF_ERROR(Annotate(CheckKeyId(row.id), row.kind));
  if (!row.state.empty() && !IsName(row.state, 'A', 'Z'))
    return InvalidArgument("{} {}: state {}: wanted [A-Z][A-Z0-9_]{{0,31}}", row.kind, row.id, row.state);
  if (!row.parent.empty()) RETURN_IF_ERROR(Annotate(CheckKeyId(row.parent), row.kind + " " + row.id + ": parent"));
  if (HasZero(row.body))
    return InvalidArgument("{} {}: body: U+0000, which PostgreSQL does not keep", row.kind, row.id);
  thread_local frame::PayloadReader reader(kMaxBody);
  return Annotate(reader.Read(row.body).status(), row.kind + " " + row.id + ": body");
}

// One Edit's changes, beside the state until it is known that they hold.
class BatchRun::Run1 final : public Changes {
 public:
  Run1(const Snapshot& from, UnixNanos now) : from_(from), now_(now) {}

  UnixNanos now() const override { return now_; }

  void Put(std::shared_ptr<Record> record) override {
    Row row = record->ToRow();
    const auto before = Newest(row.kind, row.id);
    record->created = row.created = before == nullptr ? now_ : before->created;
    record->changed = row.changed = now_;
    record->revision = row.revision = before == nullptr ? 1 : before->revision + 1;
    record->due = row.due;
    Note(CheckRow(row));
    const std::pair<std::string, std::string> at{row.kind, row.id};
    records[at] = {std::move(record), std::move(row)};
  }

  void Erase(std::string_view kind, std::string_view id) override {
    records[{std::string(kind), std::string(id)}] = {nullptr, std::nullopt};
  }

  void PutKey(SealedKey key) override {
    Note(CheckIdentity(key.identity));
    Note(CheckExportPolicy(key.identity, key.policy));
    if (const auto before = Newest(key.identity); before != nullptr) {
      if (before->identity != key.identity || before->policy != key.policy)
        Note(Internal("{}: algorithm and export policy are fixed when a key is made", ToString(key.identity)));
      key.locked = key.locked || before->locked;
      key.created = before->created;
    }
    if (key.created == 0) key.created = now_;
    const KeyIdentity identity = key.identity;
    keys.insert_or_assign(KeyOf(identity.kind, identity.id, identity.version),
                          ChangedKey{identity, std::make_shared<const SealedKey>(std::move(key))});
  }

  void LockKey(const KeyIdentity& identity) override {
    const auto before = Newest(identity);
    if (before == nullptr) return Note(NotFound("{} does not exist", ToString(identity)));
    SealedKey locked = *before;
    locked.locked = true;
    PutKey(std::move(locked));
  }

  void DropKey(const KeyIdentity& identity) override {
    keys.insert_or_assign(KeyOf(identity.kind, identity.id, identity.version), ChangedKey{identity, nullptr});
  }

  void Audit(AuditRecord record) override {
    if (audit) Note(Internal("an Edit left two audit records, {} and {}", audit->event, record.event));
    audit = std::move(record);
  }

  void Answer(std::string text) override { answer = std::move(text); }

  // The first that went wrong is told; the Edit goes on and comes to nothing.
  void Note(absl::Status status) {
    if (wrong.ok()) wrong = std::move(status);
  }

  struct ChangedRecord {
    Snapshot::RecordPtr record;  // null: erased
    std::optional<Row> row;
  };
  struct ChangedKey {
    KeyIdentity identity;
    Snapshot::KeyPtr key;  // null: dropped
  };
  std::map<std::pair<std::string, std::string>, ChangedRecord> records;
  std::map<std::string, ChangedKey> keys;
  std::optional<AuditRecord> audit;
  std::string answer;
  absl::Status wrong;

 private:
  Snapshot::RecordPtr Newest(const std::string& kind, const std::string& id) const {
    const auto found = records.find({kind, id});
    return found == records.end() ? from_.FindRecord(kind, id) : found->second.record;
  }
  Snapshot::KeyPtr Newest(const KeyIdentity& identity) const {
    const auto found = keys.find(KeyOf(identity.kind, identity.id, identity.version));
    return found == keys.end() ? from_.FindKey(identity) : found->second.key;
  }

  const Snapshot& from_;
  const UnixNanos now_;
};

absl::StatusOr<BatchRun::Result> BatchRun::Run(const Edit& edit, UnixNanos now,
                                               const std::function<absl::Status(const AuditRecord&)>& record) {
  Run1 run(state(), now);
  RETURN_IF_ERROR(edit(state(), run));
  RETURN_IF_ERROR(run.wrong);
  if (!run.audit) return Internal("an Edit left no audit record; without one nothing takes effect");
  RETURN_IF_ERROR(record(*run.audit));
  for (auto& [at, changed] : run.records) {
    if (changed.record == nullptr) {
      state_.Erase(at.first, at.second);
    } else {
      state_.Put(at.first, at.second, std::move(changed.record));
    }
    rows_.insert_or_assign(at, std::move(changed.row));
  }
  for (auto& [at, changed] : run.keys) {
    if (changed.key == nullptr) {
      state_.DropKey(changed.identity);
    } else {
      state_.PutKey(std::move(changed.key));
    }
    keys_.insert_or_assign(at, changed.identity);
  }
  return Result{*std::move(run.audit), std::move(run.answer)};
}

void BatchRun::Fill(LedgerBatch& batch) const {
  for (const auto& [at, row] : rows_) {
    if (row) {
      batch.puts.push_back(*row);
    } else {
      batch.erases.push_back(at);
    }
  }
  for (const auto& [at, identity] : keys_) {
    if (const auto key = state().FindKey(identity); key != nullptr) {
      batch.put_keys.push_back(*key);
    } else {
      batch.drop_keys.push_back(identity);
    }
  }
}

std::vector<Committed::Item> BatchRun::Items(const Snapshot& committed) const {
  std::vector<Committed::Item> items;
  for (const auto& [at, row] : rows_) {
    const auto& [kind, id] = at;
    items.push_back({kind, id, committed.FindRecord(kind, id), state().FindRecord(kind, id), {}});
  }
  for (const auto& [at, identity] : keys_) items.push_back({{}, {}, nullptr, nullptr, identity});
  return items;
}

}  // namespace virp::keymgr
