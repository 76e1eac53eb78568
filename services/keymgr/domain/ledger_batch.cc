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

}  // namespace

absl::Status CheckRow(const Row& row) {
  if (!IsName(row.kind, 'a', 'z')) return InvalidArgument("record kind {}: wanted [a-z][a-z0-9_]{{0,31}}", row.kind);
  RETURN_IF_ERROR(Annotate(CheckKeyId(row.id), row.kind));
  if (!row.state.empty() && !IsName(row.state, 'A', 'Z'))
    return InvalidArgument("{} {}: state {}: wanted [A-Z][A-Z0-9_]{{0,31}}", row.kind, row.id, row.state);
  if (!row.parent.empty()) RETURN_IF_ERROR(Annotate(CheckKeyId(row.parent), row.kind + " " + row.id + ": parent"));
  thread_local frame::PayloadReader reader(kMaxBody);
  return Annotate(reader.Read(row.body).status(), row.kind + " " + row.id + ": body");
}

// One Edit's changes, on a copy of the state that is thrown away when it fails.
class BatchRun::Run1 final : public Changes {
 public:
  Run1(const Snapshot& from, UnixNanos now) : state(from), now_(now) {}

  UnixNanos now() const override { return now_; }

  void Put(std::shared_ptr<Record> record) override {
    Row row = record->ToRow();
    const auto before = state.state().FindRecord(row.kind, row.id);
    record->created = row.created = before == nullptr ? now_ : before->created;
    record->changed = row.changed = now_;
    record->revision = row.revision = before == nullptr ? 1 : before->revision + 1;
    record->due = row.due;
    Note(CheckRow(row));
    const std::string kind = row.kind;
    const std::string id = row.id;
    state.Put(kind, id, std::move(record));
    rows[{kind, id}] = std::move(row);
  }

  void Erase(std::string_view kind, std::string_view id) override {
    state.Erase(kind, id);
    rows[{std::string(kind), std::string(id)}] = std::nullopt;
  }

  void PutKey(SealedKey key) override {
    Note(CheckIdentity(key.identity));
    Note(CheckExportPolicy(key.identity, key.policy));
    if (const auto before = state.state().FindKey(key.identity); before != nullptr) {
      if (before->identity != key.identity || before->policy != key.policy)
        Note(Internal("{}: algorithm and export policy are fixed when a key is made", ToString(key.identity)));
      key.locked = key.locked || before->locked;
      key.created = before->created;
    }
    if (key.created == 0) key.created = now_;
    Touch(key.identity);
    state.PutKey(std::move(key));
  }

  void LockKey(const KeyIdentity& identity) override {
    const auto before = state.state().FindKey(identity);
    if (before == nullptr) return Note(NotFound("{} does not exist", ToString(identity)));
    SealedKey locked = *before;
    locked.locked = true;
    PutKey(std::move(locked));
  }

  void DropKey(const KeyIdentity& identity) override {
    state.DropKey(identity);
    Touch(identity);
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
  void Touch(const KeyIdentity& identity) {
    keys.insert_or_assign(KeyOf(identity.kind, identity.id, identity.version), identity);
  }

  StateBuilder state;
  std::map<std::pair<std::string, std::string>, std::optional<Row>> rows;
  std::map<std::string, KeyIdentity> keys;
  std::optional<AuditRecord> audit;
  std::string answer;
  absl::Status wrong;

 private:
  const UnixNanos now_;
};

absl::StatusOr<BatchRun::Result> BatchRun::Run(const Edit& edit, UnixNanos now,
                                               const std::function<absl::Status(const AuditRecord&)>& record) {
  const Snapshot before = state_.state();
  Run1 run(before, now);
  RETURN_IF_ERROR(edit(before, run));
  RETURN_IF_ERROR(run.wrong);
  if (!run.audit) return Internal("an Edit left no audit record; without one nothing takes effect");
  RETURN_IF_ERROR(record(*run.audit));
  state_ = std::move(run.state);
  for (auto& [at, row] : run.rows) rows_.insert_or_assign(at, std::move(row));
  keys_.merge(run.keys);
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
