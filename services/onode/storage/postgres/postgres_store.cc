// Opening, chains, heads, leases, usage. Entries: postgres_entries.cc; checkpoints and quarantine:
// postgres_checkpoints.cc.
#include "services/onode/storage/postgres/postgres_store.h"

#include <algorithm>

#include "lib/base/names.h"
#include "lib/base/status.h"
#include "lib/chain/entry.h"
#include "services/onode/storage/postgres/postgres_call.h"
#include "services/onode/storage/postgres/postgres_migrate.h"
#include "services/onode/storage/store_checks.h"

namespace virp::onode {
namespace {

using store::Blob;
using store::PostgresPool;
using store::PostgresResult;

constexpr int kWriters = 3;  // an append, a renewal, and one for whatever else is written

// How long a leader whose lease has run out may still keep the head's row, before its session is ended.
constexpr std::string_view kStalledWait = "SET LOCAL lock_timeout = '500ms'";

store::PostgresOptions ConnectionOptions(const std::string& url, const StoreOptions& options) {
  store::PostgresOptions out;
  out.url = url;
  out.application_name = "virp-onode";
  out.statement_timeout = options.timeout;
  out.lock_timeout = options.timeout / 2;
  // A leader that was stopped inside its transaction holds the head's row: nobody can take over until this ends it.
  out.idle_in_transaction_timeout = options.timeout / 2;
  out.require_durable = !options.read_only;
  return out;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PostgresChainStore>> PostgresChainStore::Open(const std::string& url,
                                                                             const StoreOptions& options) {
  const store::PostgresOptions serving = ConnectionOptions(url, options);
  if (options.migrate && !options.read_only) {
    ASSIGN_OR_RETURN(const std::string role, PostgresRole(serving));
    const bool own = !options.migrate_url.empty();
    RETURN_IF_ERROR(MigratePostgres(own ? ConnectionOptions(options.migrate_url, options) : serving, role).status());
  }
  RETURN_IF_ERROR(CheckPostgresSchema(serving));
  static const SystemClock clock;  // ages connections only
  auto out = std::unique_ptr<PostgresChainStore>(new PostgresChainStore(options));
  ASSIGN_OR_RETURN(out->reads_, PostgresPool::Open(serving, {.size = std::max(1, options.readers)}, clock));
  if (!options.read_only) {
    ASSIGN_OR_RETURN(out->writes_, PostgresPool::Open(serving, {.size = kWriters}, clock));
  }
  return out;
}

absl::StatusOr<std::vector<ChainInfo>> PostgresChainStore::ListChains() {
  ASSIGN_OR_RETURN(const PostgresResult rows,
                   Read("SELECT chain_id, origin, predecessor FROM onode.chain ORDER BY chain_id"));
  std::vector<ChainInfo> out;
  for (int i = 0; i < rows.rows(); ++i) {
    out.push_back({static_cast<ChainId>(rows.Int(i, 0)), std::string(rows.Text(i, 1)), std::string(rows.Text(i, 2))});
  }
  return out;
}

absl::StatusOr<ChainId> PostgresChainStore::CreateChain(std::string_view origin, std::string_view predecessor_note) {
  RETURN_IF_ERROR(CheckOrigin(origin));
  if (!predecessor_note.empty()) RETURN_IF_ERROR(CheckNote(predecessor_note));
  ASSIGN_OR_RETURN(const PostgresResult made, Write("SELECT onode.create_chain($1, $2, $3)", origin, predecessor_note,
                                                    Blob(chain::GenesisOf(origin))));
  if (made.IsNull(0, 0)) return AlreadyExists("there is a chain of origin {} already", origin);
  return static_cast<ChainId>(made.Int(0, 0));
}

absl::StatusOr<ChainHead> PostgresChainStore::ReadHead(ChainId chain) {
  ASSIGN_OR_RETURN(
      const PostgresResult row,
      Read("SELECT term, holder, holder_address, holder <> '' AND lease_until > clock_timestamp(), size, head,"
           " frontier FROM onode.chain_head WHERE chain_id=$1",
           chain));
  if (row.rows() == 0) return NoSuchChain(chain);
  ChainHead out;
  out.term = row.Uint(0, 0);
  out.holder = row.Text(0, 1);
  out.holder_address = row.Text(0, 2);
  out.lease_valid = row.Bool(0, 3);
  out.size = row.Uint(0, 4);
  ASSIGN_OR_RETURN(out.head, HashFromBytes(row.Bytes(0, 5)));
  out.frontier = row.Bytes(0, 6);
  return out;
}

absl::StatusOr<ChainHead> PostgresChainStore::TakeLease(ChainId chain, std::string_view instance,
                                                        std::string_view address, std::chrono::milliseconds duration) {
  RETURN_IF_ERROR(CheckLease(instance, address, duration));
  if (writes_ == nullptr) return OpenedReadOnly();
  // Followers ask all the time: while the lease holds, a look is enough, and it takes no lock.
  ASSIGN_OR_RETURN(const ChainHead now, ReadHead(chain));
  if (now.lease_valid && now.holder != instance) return LeaseHeld(chain, now.holder);
  const auto take = [&] {
    absl::StatusOr<PostgresResult> taken;
    const absl::Status done = writes_->Transact(options_.timeout, {}, [&](store::PostgresTransaction& transaction) {
      RETURN_IF_ERROR(transaction.Run(kStalledWait));
      taken = transaction.Exec("SELECT term, size, head, frontier FROM onode.take_lease($1, $2, $3, $4)", chain,
                               instance, address, duration.count());
      return taken.status();
    });
    if (!done.ok()) taken = Retryable(done);
    return taken;
  };
  auto result = take();
  if (absl::IsUnavailable(result.status())) {
    RETURN_IF_ERROR(EndStalledLeader(chain));
    result = take();
  }
  ASSIGN_OR_RETURN(const PostgresResult taken, std::move(result));
  if (taken.rows() == 0) {
    ASSIGN_OR_RETURN(const ChainHead head, ReadHead(chain));
    return LeaseHeld(chain, head.holder);
  }
  ChainHead out;
  out.term = taken.Uint(0, 0);
  out.holder = instance;
  out.holder_address = address;
  out.lease_valid = true;
  out.size = taken.Uint(0, 1);
  ASSIGN_OR_RETURN(out.head, HashFromBytes(taken.Bytes(0, 2)));
  out.frontier = taken.Bytes(0, 3);
  return out;
}

// Ends the session that holds the row of this chain's head although its lease has run out: a leader that was stopped in
// the middle of COPY. No timeout of the server's ends that (it does not look up from waiting for the client's data),
// and a stopped process keeps its connection. Whoever it was finds its append in doubt when it wakes.
absl::Status PostgresChainStore::EndStalledLeader(ChainId chain) {
  return Write(
             "SELECT pg_terminate_backend(a.pid) FROM onode.chain_head h"
             " JOIN pg_catalog.pg_locks l ON l.locktype = 'transactionid' AND l.transactionid = h.xmax AND l.granted"
             " JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid"
             " WHERE h.chain_id=$1 AND h.lease_until <= clock_timestamp() AND a.pid <> pg_backend_pid()"
             " AND a.usename = current_user",
             chain)
      .status();
}

// After a function said that a term is not the caller's: fenced, unless there is no such chain.
absl::Status PostgresChainStore::NotLedBy(ChainId chain, std::uint64_t term) {
  RETURN_IF_ERROR(ReadHead(chain).status());
  return Fenced(chain, term);
}

absl::Status PostgresChainStore::RenewLease(ChainId chain, std::uint64_t term, std::chrono::milliseconds duration) {
  RETURN_IF_ERROR(CheckLeaseDuration(duration));
  ASSIGN_OR_RETURN(const PostgresResult renewed,
                   Write("SELECT onode.renew_lease($1, $2, $3)", chain, ToSigned(term), duration.count()));
  return renewed.Bool(0, 0) ? absl::OkStatus() : NotLedBy(chain, term);
}

absl::Status PostgresChainStore::ReleaseLease(ChainId chain, std::uint64_t term) {
  ASSIGN_OR_RETURN(const PostgresResult released, Write("SELECT onode.release_lease($1, $2)", chain, ToSigned(term)));
  return released.Bool(0, 0) ? absl::OkStatus() : NotLedBy(chain, term);
}

absl::StatusOr<StoreUsage> PostgresChainStore::Usage() {
  ASSIGN_OR_RETURN(const PostgresResult size, Read("SELECT pg_database_size(current_database())"));
  return StoreUsage{size.Uint(0, 0), options_.limit_bytes};  // how much disk the server has, it does not say
}

}  // namespace virp::onode
