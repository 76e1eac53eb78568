#include "services/keymgr/storage/sqlite/sqlite_ledger.h"

#include "lib/base/status.h"
#include "lib/store/sqlite_schema.h"
#include "sql/keymgr_sqlite_schema.h"

namespace virp::keymgr {
namespace {

using store::Blob;
using store::SqliteDb;
using store::SqliteStatement;
using store::SqliteTransaction;

constexpr std::uint64_t kEndOfTime = (std::uint64_t{1} << 63) - 1;

absl::Status PutRow(SqliteDb& db, const Row& row) {
  return db.Run(
      "INSERT INTO record (kind, id, parent, state, due_ns, body, created_ns, changed_ns, revision)"
      " VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT (kind, id) DO UPDATE SET parent=excluded.parent, state=excluded.state,"
      " due_ns=excluded.due_ns, body=excluded.body, created_ns=excluded.created_ns, changed_ns=excluded.changed_ns,"
      " revision=excluded.revision",
      row.kind, row.id, row.parent, row.state, row.due, row.body, row.created, row.changed, row.revision);
}

absl::Status PutKey(SqliteDb& db, const SealedKey& key) {
  return db.Run(
      "INSERT INTO sealed_key (kind, id, version, algorithm, policy, custody, kek_version, public_half, sealed, locked,"
      " created_ns) VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (kind, id, version) DO UPDATE SET"
      " algorithm=excluded.algorithm, policy=excluded.policy, custody=excluded.custody,"
      " kek_version=excluded.kek_version, public_half=excluded.public_half, sealed=excluded.sealed,"
      " locked=excluded.locked, created_ns=excluded.created_ns",
      KeyKindName(key.identity.kind), key.identity.id, key.identity.version, AlgorithmName(key.identity.algorithm),
      ExportPolicyName(key.policy), key.custody, key.kek_version, Blob(key.public_half), Blob(key.blob),
      key.locked ? 1 : 0, key.created);
}

absl::Status PutAudit(SqliteDb& db, const AuditRow& row) {
  RETURN_IF_ERROR(db.Run("INSERT INTO audit VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)", row.record, row.epoch, row.sequence,
                         row.time, row.event, row.source, row.actor, row.method, row.reason, row.request_id,
                         Blob(row.digest), Blob(row.answer), Blob(row.frame)));
  int place = 0;
  for (const KeyIdentity& key : row.keys) {
    RETURN_IF_ERROR(db.Run("INSERT INTO audit_key VALUES (?,?,?,?,?,?)", row.record, ++place, KeyKindName(key.kind),
                           key.id, key.version, AlgorithmName(key.algorithm)));
  }
  return absl::OkStatus();
}

absl::Status Apply(SqliteDb& db, const LedgerBatch& batch) {
  for (const auto& [kind, id] : batch.erases)
    RETURN_IF_ERROR(db.Run("DELETE FROM record WHERE kind=? AND id=?", kind, id));
  for (const Row& row : batch.puts) RETURN_IF_ERROR(PutRow(db, row));
  for (const KeyIdentity& key : batch.drop_keys) {
    RETURN_IF_ERROR(db.Run("DELETE FROM sealed_key WHERE kind=? AND id=? AND version=?", KeyKindName(key.kind), key.id,
                           key.version));
  }
  for (const SealedKey& key : batch.put_keys) RETURN_IF_ERROR(PutKey(db, key));
  for (const AuditRow& row : batch.records) RETURN_IF_ERROR(PutAudit(db, row));
  const AuditRow& last = batch.records.back();
  return db.Run("UPDATE ledger_head SET record=?, epoch=?, sequence=?, frame_sha256=?", last.record, last.epoch,
                last.sequence, Blob(batch.new_frame_hash));
}

absl::Status LoadRows(SqliteDb& db, const LedgerStore::Loader& loader) {
  ASSIGN_OR_RETURN(
      SqliteStatement rows,
      db.Prepare("SELECT kind, id, parent, state, due_ns, body, created_ns, changed_ns, revision FROM record"
                 " ORDER BY kind, id"));
  RETURN_IF_ERROR(rows.Bind());
  while (true) {
    ASSIGN_OR_RETURN(const bool more, rows.Step());
    if (!more) return absl::OkStatus();
    Row row;
    row.kind = rows.Text(0);
    row.id = rows.Text(1);
    row.parent = rows.Text(2);
    row.state = rows.Text(3);
    if (!rows.IsNull(4)) row.due = rows.Uint(4);
    row.body = rows.Text(5);
    row.created = rows.Uint(6);
    row.changed = rows.Uint(7);
    row.revision = rows.Uint(8);
    RETURN_IF_ERROR(loader.row(std::move(row)));
  }
}

absl::Status LoadKeys(SqliteDb& db, const LedgerStore::Loader& loader) {
  ASSIGN_OR_RETURN(SqliteStatement rows,
                   db.Prepare("SELECT kind, id, version, algorithm, policy, custody, kek_version, public_half, sealed,"
                              " locked, created_ns FROM sealed_key ORDER BY kind, id, version"));
  RETURN_IF_ERROR(rows.Bind());
  while (true) {
    ASSIGN_OR_RETURN(const bool more, rows.Step());
    if (!more) return absl::OkStatus();
    SealedKey key;
    ASSIGN_OR_RETURN(key.identity, IdentityFrom(rows.Text(0), rows.Text(1), rows.Uint(2), rows.Text(3)));
    ASSIGN_OR_RETURN(key.policy, PolicyFrom(rows.Text(4)));
    key.custody = rows.Text(5);
    key.kek_version = static_cast<std::uint32_t>(rows.Uint(6));
    key.public_half = rows.Bytes(7);
    key.blob = rows.Bytes(8);
    key.locked = rows.Int(9) != 0;
    key.created = rows.Uint(10);
    RETURN_IF_ERROR(loader.key(std::move(key)));
  }
}

absl::Status LoadRequests(SqliteDb& db, const LedgerStore::Loader& loader) {
  ASSIGN_OR_RETURN(
      SqliteStatement rows,
      db.Prepare("SELECT record, epoch, sequence, time_ns, event, source, actor, method, reason, request_id,"
                 " request_sha256, answer FROM audit WHERE request_id <> '' AND time_ns >= ?"
                 " ORDER BY record"));
  RETURN_IF_ERROR(rows.Bind(loader.requests_since));
  while (true) {
    ASSIGN_OR_RETURN(const bool more, rows.Step());
    if (!more) return absl::OkStatus();
    AuditRow row;
    row.record = rows.Uint(0);
    row.epoch = rows.Uint(1);
    row.sequence = rows.Uint(2);
    row.time = rows.Uint(3);
    row.event = rows.Text(4);
    row.source = rows.Text(5);
    row.actor = rows.Text(6);
    row.method = rows.Text(7);
    row.reason = rows.Text(8);
    row.request_id = rows.Text(9);
    ASSIGN_OR_RETURN(row.digest, HashFromBytes(rows.Bytes(10)));
    row.answer = rows.Bytes(11);
    RETURN_IF_ERROR(loader.request(std::move(row)));
  }
}

absl::Status ReadKeys(SqliteDb& db, AuditRow& row) {
  ASSIGN_OR_RETURN(SqliteStatement keys,
                   db.Prepare("SELECT kind, id, version, algorithm FROM audit_key WHERE record=? ORDER BY place"));
  RETURN_IF_ERROR(keys.Bind(row.record));
  while (true) {
    ASSIGN_OR_RETURN(const bool more, keys.Step());
    if (!more) return absl::OkStatus();
    ASSIGN_OR_RETURN(KeyIdentity key, IdentityFrom(keys.Text(0), keys.Text(1), keys.Uint(2), keys.Text(3)));
    row.keys.push_back(std::move(key));
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<SqliteLedgerStore>> SqliteLedgerStore::Open(const std::string& path,
                                                                           const LedgerStoreOptions& options) {
  if (path == ":memory:") return InvalidArgument("the store needs a file: every connection has a memory of its own");
  static const SystemClock system;
  auto out =
      std::unique_ptr<SqliteLedgerStore>(new SqliteLedgerStore(options.clock != nullptr ? *options.clock : system));
  store::SqliteOptions opening;
  opening.path = path;
  opening.busy_timeout = options.timeout;
  const MutexLock write(out->writer_mutex_);
  ASSIGN_OR_RETURN(out->writer_, SqliteDb::Open(opening));
  const absl::Status schema = options.migrate ? store::Migrate(*out->writer_, schema::KeymgrSqliteSchema()).status()
                                              : store::CheckSchema(*out->writer_, schema::KeymgrSqliteSchema());
  RETURN_IF_ERROR(Annotate(schema, path));
  // What is deleted or replaced is overwritten: an envelope that was dropped is to be gone from the file.
  RETURN_IF_ERROR(out->writer_->Exec("PRAGMA secure_delete=ON"));
  opening.read_only = true;
  const MutexLock read(out->reader_mutex_);
  ASSIGN_OR_RETURN(out->reader_, SqliteDb::Open(opening));
  return out;
}

absl::StatusOr<LedgerHead> SqliteLedgerStore::HeadFrom(SqliteDb& db) const {
  ASSIGN_OR_RETURN(SqliteStatement read,
                   db.Prepare("SELECT term, holder, holder_address, lease_until_ns, record, epoch, sequence,"
                              " frame_sha256, delivered FROM ledger_head"));
  ASSIGN_OR_RETURN(const bool row, read.One());
  if (!row) return DataLoss("the ledger's head is missing");
  LedgerHead head;
  head.term = read.Uint(0);
  head.holder = read.Text(1);
  head.holder_address = read.Text(2);
  const UnixNanos until = read.Uint(3), now = clock_.NowNanos();
  head.lease_valid = !head.holder.empty() && until > now && std::chrono::nanoseconds(until - now) <= kLongestLease;
  head.record = read.Uint(4);
  head.epoch = read.Uint(5);
  head.sequence = read.Uint(6);
  ASSIGN_OR_RETURN(head.frame_hash, HashFromBytes(read.Bytes(7)));
  head.delivered = read.Uint(8);
  return head;
}

absl::Status SqliteLedgerStore::Write(const std::function<absl::Status(SqliteDb&)>& body) {
  const MutexLock lock(writer_mutex_);
  ASSIGN_OR_RETURN(SqliteTransaction transaction, SqliteTransaction::Begin(*writer_));
  RETURN_IF_ERROR(body(*writer_));
  return transaction.Commit();
}

absl::StatusOr<LedgerHead> SqliteLedgerStore::ReadHead() {
  const MutexLock lock(reader_mutex_);
  return HeadFrom(*reader_);
}

absl::StatusOr<LedgerHead> SqliteLedgerStore::TakeLease(std::string_view instance, std::string_view address,
                                                        std::chrono::milliseconds duration) {
  RETURN_IF_ERROR(CheckLease(instance, address, duration));
  LedgerHead head;
  RETURN_IF_ERROR(Write([&](SqliteDb& db) -> absl::Status {
    ASSIGN_OR_RETURN(head, HeadFrom(db));
    if (head.lease_valid && head.holder != instance) return LeaseHeld(head.holder);
    ++head.term;
    head.holder = instance;
    head.holder_address = address;
    head.lease_valid = true;
    const auto until = clock_.NowNanos() + static_cast<UnixNanos>(std::chrono::nanoseconds(duration).count());
    return db.Run("UPDATE ledger_head SET term=?, holder=?, holder_address=?, lease_until_ns=?", head.term, instance,
                  address, until);
  }));
  return head;
}

absl::Status SqliteLedgerStore::RenewLease(std::uint64_t term, std::chrono::milliseconds duration) {
  return Write([&](SqliteDb& db) -> absl::Status {
    ASSIGN_OR_RETURN(const LedgerHead head, HeadFrom(db));
    if (head.term != term || head.holder.empty()) return Fenced(term);
    const auto until = clock_.NowNanos() + static_cast<UnixNanos>(std::chrono::nanoseconds(duration).count());
    return db.Run("UPDATE ledger_head SET lease_until_ns=?", until);
  });
}

absl::Status SqliteLedgerStore::ReleaseLease(std::uint64_t term) {
  return Write([&](SqliteDb& db) -> absl::Status {
    ASSIGN_OR_RETURN(const LedgerHead head, HeadFrom(db));
    if (head.term != term || head.holder.empty()) return Fenced(term);
    return db.Run("UPDATE ledger_head SET holder='', holder_address='', lease_until_ns=0");
  });
}

absl::StatusOr<LedgerHead> SqliteLedgerStore::Load(const Loader& loader) {
  const MutexLock lock(reader_mutex_);
  ASSIGN_OR_RETURN(SqliteTransaction snapshot, SqliteTransaction::Begin(*reader_, SqliteTransaction::Kind::kRead));
  ASSIGN_OR_RETURN(LedgerHead head, HeadFrom(*reader_));
  RETURN_IF_ERROR(LoadRows(*reader_, loader));
  RETURN_IF_ERROR(LoadKeys(*reader_, loader));
  RETURN_IF_ERROR(LoadRequests(*reader_, loader));
  return head;
}

absl::Status SqliteLedgerStore::Commit(const LedgerBatch& batch) {
  RETURN_IF_ERROR(CheckLedgerBatch(batch));
  return Write([&](SqliteDb& db) -> absl::Status {
    ASSIGN_OR_RETURN(const LedgerHead head, HeadFrom(db));
    if (head.term != batch.term || head.holder.empty() || head.record != batch.old_record ||
        head.frame_hash != batch.old_frame_hash)
      return Fenced(batch.term);
    return Apply(db, batch);
  });
}

absl::StatusOr<std::vector<AuditRow>> SqliteLedgerStore::ReadAudit(const AuditFilter& filter, std::size_t limit) {
  const MutexLock lock(reader_mutex_);
  ASSIGN_OR_RETURN(SqliteTransaction snapshot, SqliteTransaction::Begin(*reader_, SqliteTransaction::Kind::kRead));
  ASSIGN_OR_RETURN(SqliteStatement rows, reader_->Prepare(AuditQuery("", "?", filter.descending)));
  const std::uint64_t after = filter.descending && filter.after == 0 ? kEndOfTime : filter.after;
  RETURN_IF_ERROR(rows.Bind(after, filter.from.value_or(0), filter.to.value_or(kEndOfTime), filter.event, filter.actor,
                            filter.source, filter.request_id, filter.kind ? KeyKindName(*filter.kind) : "",
                            filter.key_id, std::min(limit, kMaxAuditRead)));
  std::vector<AuditRow> out;
  std::size_t bytes = 0;
  while (bytes < kMaxAuditReadBytes) {
    ASSIGN_OR_RETURN(const bool more, rows.Step());
    if (!more) break;
    AuditRow& row = out.emplace_back();
    row.record = rows.Uint(0);
    row.epoch = rows.Uint(1);
    row.sequence = rows.Uint(2);
    row.time = rows.Uint(3);
    row.event = rows.Text(4);
    row.source = rows.Text(5);
    row.actor = rows.Text(6);
    row.method = rows.Text(7);
    row.reason = rows.Text(8);
    row.request_id = rows.Text(9);
    ASSIGN_OR_RETURN(row.digest, HashFromBytes(rows.Bytes(10)));
    row.answer = rows.Bytes(11);
    row.frame = rows.Bytes(12);
    bytes += row.frame.size() + row.answer.size();
    RETURN_IF_ERROR(ReadKeys(*reader_, row));
  }
  return out;
}

absl::Status SqliteLedgerStore::SetDelivered(std::uint64_t record) {
  return Write(
      [&](SqliteDb& db) { return db.Run("UPDATE ledger_head SET delivered=max(delivered, min(?, record))", record); });
}

}  // namespace virp::keymgr
