#include "services/keymgr/storage/postgres/postgres_ledger.h"

#include <algorithm>

#include "lib/base/bytes.h"
#include "lib/base/status.h"
#include "lib/frame/payload.h"
#include "services/keymgr/storage/postgres/postgres_migrate.h"

namespace virp::keymgr {
namespace {

using frame::JsonWriter;
using store::Blob;
using store::PostgresResult;
using store::PostgresTransaction;

constexpr int kConnections = 4;
constexpr std::uint64_t kEndOfTime = (std::uint64_t{1} << 63) - 1;
constexpr std::string_view kHeadColumns =
    "term, holder, holder_address, holder <> '' AND lease_until > clock_timestamp(), record, epoch, sequence,"
    " frame_sha256, delivered";

store::PostgresOptions ConnectionOptions(const std::string& url, const LedgerStoreOptions& options) {
  store::PostgresOptions out;
  out.url = url;
  out.application_name = "virp-keymgr";
  out.statement_timeout = options.timeout;
  out.lock_timeout = options.timeout / 2;
  // A manager that was stopped inside its transaction holds the head's row: nobody can take over until this ends it.
  out.idle_in_transaction_timeout = options.timeout / 2;
  return out;
}

absl::StatusOr<LedgerHead> HeadOf(const PostgresResult& rows) {
  if (rows.rows() != 1) return DataLoss("the ledger's head is missing");
  LedgerHead head;
  head.term = rows.Uint(0, 0);
  head.holder = rows.Text(0, 1);
  head.holder_address = rows.Text(0, 2);
  head.lease_valid = rows.Bool(0, 3);
  head.record = rows.Uint(0, 4);
  head.epoch = rows.Uint(0, 5);
  head.sequence = rows.Uint(0, 6);
  ASSIGN_OR_RETURN(head.frame_hash, HashFromBytes(rows.Bytes(0, 7)));
  head.delivered = rows.Uint(0, 8);
  return head;
}

void WriteIdentity(JsonWriter& json, const KeyIdentity& key) {
  json.Field("kind", KeyKindName(key.kind))
      .Field("id", key.id)
      .Field("version", key.version)
      .Field("algorithm", AlgorithmName(key.algorithm));
}

void Write(JsonWriter& json, const Row& row) {
  json.BeginObject()
      .Field("kind", row.kind)
      .Field("id", row.id)
      .Field("parent", row.parent)
      .Field("state", row.state)
      .Field("body", row.body)
      .Field("created_ns", row.created)
      .Field("changed_ns", row.changed)
      .Field("revision", row.revision);
  if (row.due) json.Field("due_ns", *row.due);
  json.EndObject();
}

void Write(JsonWriter& json, const std::pair<std::string, std::string>& erased) {
  json.BeginObject().Field("kind", erased.first).Field("id", erased.second).EndObject();
}

void Write(JsonWriter& json, const SealedKey& key) {
  json.BeginObject();
  WriteIdentity(json, key.identity);
  json.Field("policy", ExportPolicyName(key.policy))
      .Field("custody", key.custody)
      .Field("kek_version", key.kek_version)
      .Field("public_half", HexEncode(key.public_half))
      .Field("sealed", HexEncode(key.blob))
      .Field("locked", key.locked)
      .Field("created_ns", key.created)
      .EndObject();
}

void Write(JsonWriter& json, const KeyIdentity& key) {
  json.BeginObject();
  WriteIdentity(json, key);
  json.EndObject();
}

void Write(JsonWriter& json, const AuditRow& row) {
  json.BeginObject()
      .Field("record", row.record)
      .Field("epoch", row.epoch)
      .Field("sequence", row.sequence)
      .Field("time_ns", row.time)
      .Field("event", row.event)
      .Field("source", row.source)
      .Field("actor", row.actor)
      .Field("method", row.method)
      .Field("reason", row.reason)
      .Field("request_id", row.request_id)
      .Field("request_sha256", HexEncode(View(row.digest)))
      .Field("answer", HexEncode(row.answer))
      .Field("frame", HexEncode(row.frame));
  json.Key("keys").BeginArray();
  for (const KeyIdentity& key : row.keys) Write(json, key);
  json.EndArray().EndObject();
}

template <typename T>
std::string ListOf(const std::vector<T>& items) {
  JsonWriter json;
  json.BeginArray();
  for (const T& item : items) Write(json, item);
  return json.EndArray().Take();
}

absl::Status LoadRows(PostgresTransaction& transaction, const LedgerStore::Loader& loader) {
  ASSIGN_OR_RETURN(const PostgresResult rows,
                   transaction.Exec("SELECT kind, id, parent, state, due_ns, body, created_ns, changed_ns, revision"
                                    " FROM keymgr.record ORDER BY kind, id"));
  for (int i = 0; i < rows.rows(); ++i) {
    Row row;
    row.kind = rows.Text(i, 0);
    row.id = rows.Text(i, 1);
    row.parent = rows.Text(i, 2);
    row.state = rows.Text(i, 3);
    if (!rows.IsNull(i, 4)) row.due = rows.Uint(i, 4);
    row.body = rows.Text(i, 5);
    row.created = rows.Uint(i, 6);
    row.changed = rows.Uint(i, 7);
    row.revision = rows.Uint(i, 8);
    RETURN_IF_ERROR(loader.row(std::move(row)));
  }
  return absl::OkStatus();
}

absl::Status LoadKeys(PostgresTransaction& transaction, const LedgerStore::Loader& loader) {
  ASSIGN_OR_RETURN(const PostgresResult rows,
                   transaction.Exec("SELECT kind, id, version, algorithm, policy, custody, kek_version, public_half,"
                                    " sealed, locked, created_ns FROM keymgr.sealed_key ORDER BY kind, id, version"));
  for (int i = 0; i < rows.rows(); ++i) {
    SealedKey key;
    ASSIGN_OR_RETURN(key.identity, IdentityFrom(rows.Text(i, 0), rows.Text(i, 1), rows.Uint(i, 2), rows.Text(i, 3)));
    ASSIGN_OR_RETURN(key.policy, PolicyFrom(rows.Text(i, 4)));
    key.custody = rows.Text(i, 5);
    key.kek_version = static_cast<std::uint32_t>(rows.Uint(i, 6));
    key.public_half = rows.Bytes(i, 7);
    key.blob = rows.Bytes(i, 8);
    key.locked = rows.Bool(i, 9);
    key.created = rows.Uint(i, 10);
    RETURN_IF_ERROR(loader.key(std::move(key)));
  }
  return absl::OkStatus();
}

// The first twelve columns; the frame is the thirteenth, where it was asked for.
absl::StatusOr<AuditRow> AuditRowOf(const PostgresResult& rows, int i) {
  AuditRow row;
  row.record = rows.Uint(i, 0);
  row.epoch = rows.Uint(i, 1);
  row.sequence = rows.Uint(i, 2);
  row.time = rows.Uint(i, 3);
  row.event = rows.Text(i, 4);
  row.source = rows.Text(i, 5);
  row.actor = rows.Text(i, 6);
  row.method = rows.Text(i, 7);
  row.reason = rows.Text(i, 8);
  row.request_id = rows.Text(i, 9);
  ASSIGN_OR_RETURN(row.digest, HashFromBytes(rows.Bytes(i, 10)));
  row.answer = rows.Bytes(i, 11);
  return row;
}

absl::Status LoadRequests(PostgresTransaction& transaction, const LedgerStore::Loader& loader) {
  ASSIGN_OR_RETURN(const PostgresResult rows,
                   transaction.Exec("SELECT record, epoch, sequence, time_ns, event, source, actor, method, reason,"
                                    " request_id, request_sha256, answer FROM keymgr.audit"
                                    " WHERE request_id <> '' AND time_ns >= $1 ORDER BY record",
                                    loader.requests_since));
  for (int i = 0; i < rows.rows(); ++i) {
    ASSIGN_OR_RETURN(AuditRow row, AuditRowOf(rows, i));
    RETURN_IF_ERROR(loader.request(std::move(row)));
  }
  return absl::OkStatus();
}

// The keys of all rows in one round trip: they lie between the first and the last.
absl::Status ReadKeys(PostgresTransaction& transaction, std::vector<AuditRow>& audit) {
  if (audit.empty()) return absl::OkStatus();
  const auto [first, last] = std::minmax(audit.front().record, audit.back().record);
  ASSIGN_OR_RETURN(const PostgresResult rows,
                   transaction.Exec("SELECT record, kind, id, version, algorithm FROM keymgr.audit_key"
                                    " WHERE record BETWEEN $1 AND $2 ORDER BY record, place",
                                    first, last));
  const bool ascending = audit.front().record <= audit.back().record;
  for (int i = 0; i < rows.rows(); ++i) {
    const std::uint64_t record = rows.Uint(i, 0);
    const auto at = std::partition_point(audit.begin(), audit.end(), [&](const AuditRow& row) {
      return ascending ? row.record < record : row.record > record;
    });
    if (at == audit.end() || at->record != record) continue;
    ASSIGN_OR_RETURN(KeyIdentity key, IdentityFrom(rows.Text(i, 1), rows.Text(i, 2), rows.Uint(i, 3), rows.Text(i, 4)));
    at->keys.push_back(std::move(key));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<PostgresLedgerStore>> PostgresLedgerStore::Open(const std::string& url,
                                                                               const LedgerStoreOptions& options) {
  const store::PostgresOptions serving = ConnectionOptions(url, options);
  if (options.migrate) {
    ASSIGN_OR_RETURN(const auto connection, store::PostgresConnection::Open(serving));
    ASSIGN_OR_RETURN(const PostgresResult role, connection->Query("SELECT current_user"));
    const bool own = !options.migrate_url.empty();
    RETURN_IF_ERROR(MigrateLedger(own ? ConnectionOptions(options.migrate_url, options) : serving, role.Text(0, 0)));
  }
  RETURN_IF_ERROR(CheckLedgerSchema(serving));
  static const SystemClock clock;  // ages connections only
  auto out = std::unique_ptr<PostgresLedgerStore>(new PostgresLedgerStore(options));
  ASSIGN_OR_RETURN(out->pool_, store::PostgresPool::Open(serving, {.size = kConnections}, clock));
  return out;
}

template <typename... Args>
absl::StatusOr<PostgresResult> PostgresLedgerStore::Write(std::string_view sql, const Args&... args) {
  absl::StatusOr<PostgresResult> result = Internal("no statement ran");
  RETURN_IF_ERROR(pool_->Transact(options_.timeout, {}, [&](PostgresTransaction& transaction) {
    result = transaction.Exec(sql, args...);
    return result.status();
  }));
  return result;
}

absl::StatusOr<LedgerHead> PostgresLedgerStore::ReadHead() {
  ASSIGN_OR_RETURN(const auto connection, pool_->Acquire(options_.timeout));
  static const std::string sql = fmt::format("SELECT {} FROM keymgr.ledger_head", kHeadColumns);
  ASSIGN_OR_RETURN(const PostgresResult rows, connection->Query(sql));
  return HeadOf(rows);
}

absl::StatusOr<LedgerHead> PostgresLedgerStore::TakeLease(std::string_view instance, std::string_view address,
                                                          std::chrono::milliseconds duration) {
  RETURN_IF_ERROR(CheckLease(instance, address, duration));
  // Those who stand by ask all the time: while the lease holds, a look is enough, and it takes no lock.
  ASSIGN_OR_RETURN(const LedgerHead now, ReadHead());
  if (now.lease_valid && now.holder != instance) return LeaseHeld(now.holder);
  static const std::string sql = fmt::format("SELECT {} FROM keymgr.take_lease($1, $2, $3)", kHeadColumns);
  const auto taken = Write(sql, instance, address, duration.count());
  if (absl::IsUnknown(taken.status())) return WithCode(taken.status(), absl::StatusCode::kUnavailable);
  RETURN_IF_ERROR(taken.status());
  if (taken->rows() == 0) return LeaseHeld("that was quicker");
  return HeadOf(*taken);
}

absl::Status PostgresLedgerStore::RenewLease(std::uint64_t term, std::chrono::milliseconds duration) {
  ASSIGN_OR_RETURN(const PostgresResult done, Write("SELECT keymgr.renew_lease($1, $2)", term, duration.count()));
  return done.Bool(0, 0) ? absl::OkStatus() : Fenced(term);
}

absl::Status PostgresLedgerStore::ReleaseLease(std::uint64_t term) {
  ASSIGN_OR_RETURN(const PostgresResult done, Write("SELECT keymgr.release_lease($1)", term));
  return done.Bool(0, 0) ? absl::OkStatus() : Fenced(term);
}

absl::StatusOr<LedgerHead> PostgresLedgerStore::Load(const Loader& loader) {
  absl::StatusOr<LedgerHead> head = Internal("nothing was loaded");
  const store::TransactionOptions options{.read_only = true, .isolation = store::Isolation::kRepeatableRead};
  const auto load = [&](PostgresTransaction& transaction) -> absl::Status {
    static const std::string sql = fmt::format("SELECT {} FROM keymgr.ledger_head", kHeadColumns);
    ASSIGN_OR_RETURN(const PostgresResult row, transaction.Exec(sql));
    head = HeadOf(row);
    RETURN_IF_ERROR(head.status());
    RETURN_IF_ERROR(LoadRows(transaction, loader));
    RETURN_IF_ERROR(LoadKeys(transaction, loader));
    return LoadRequests(transaction, loader);
  };
  RETURN_IF_ERROR(pool_->Transact(options_.timeout, options, load));
  return head;
}

absl::Status PostgresLedgerStore::Commit(const LedgerBatch& batch) {
  RETURN_IF_ERROR(CheckLedgerBatch(batch));
  ASSIGN_OR_RETURN(const PostgresResult done,
                   Write("SELECT keymgr.commit_batch($1, $2, $3, $4, $5, $6, $7, $8, $9)", batch.term, batch.old_record,
                         Blob(batch.old_frame_hash), Blob(batch.new_frame_hash), ListOf(batch.puts),
                         ListOf(batch.erases), ListOf(batch.put_keys), ListOf(batch.drop_keys), ListOf(batch.records)));
  return done.Bool(0, 0) ? absl::OkStatus() : Fenced(batch.term);
}

absl::StatusOr<std::vector<AuditRow>> PostgresLedgerStore::ReadAudit(const AuditFilter& filter, std::size_t limit) {
  std::vector<AuditRow> out;
  const store::TransactionOptions options{.read_only = true, .isolation = store::Isolation::kRepeatableRead};
  RETURN_IF_ERROR(pool_->Transact(options_.timeout, options, [&](PostgresTransaction& transaction) -> absl::Status {
    static const std::string up = AuditQuery("keymgr.", "$", false);
    static const std::string down = AuditQuery("keymgr.", "$", true);
    const std::uint64_t after = filter.descending && filter.after == 0 ? kEndOfTime : filter.after;
    ASSIGN_OR_RETURN(
        const PostgresResult rows,
        transaction.Exec(filter.descending ? down : up, after, filter.from.value_or(0), filter.to.value_or(kEndOfTime),
                         filter.event, filter.actor, filter.source, filter.request_id,
                         filter.kind ? KeyKindName(*filter.kind) : "", filter.key_id, std::min(limit, kMaxAuditRead)));
    std::size_t bytes = 0;
    for (int i = 0; i < rows.rows() && bytes < kMaxAuditReadBytes; ++i) {
      ASSIGN_OR_RETURN(AuditRow row, AuditRowOf(rows, i));
      row.frame = rows.Bytes(i, 12);
      bytes += row.frame.size() + row.answer.size();
      out.push_back(std::move(row));
    }
    return ReadKeys(transaction, out);
  }));
  return out;
}

absl::Status PostgresLedgerStore::SetDelivered(std::uint64_t record) {
  return Write("SELECT keymgr.set_delivered($1)", record).status();
}

}  // namespace virp::keymgr
