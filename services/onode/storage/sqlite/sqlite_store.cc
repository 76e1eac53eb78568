// Opening, chains, heads, leases, usage. Entries: sqlite_entries.cc; checkpoints and quarantine: sqlite_checkpoints.cc.
#include "services/onode/storage/sqlite/sqlite_store.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include "lib/base/names.h"
#include "lib/base/status.h"
#include "lib/chain/entry.h"
#include "lib/store/sqlite_schema.h"
#include "services/onode/storage/store_checks.h"
#include "sql/onode_sqlite_schema.h"

namespace virp::onode {
namespace {

using store::Blob;
using store::SqliteDb;
using store::SqliteStatement;
using store::SqliteTransaction;

constexpr int kPageSize = 8'192;            // half the overflow pages and half the tree's height of the default
constexpr int kWriterCacheKib = 32 * 1024;  // it adds at the ends
constexpr int kReaderCacheKib = 8 * 1024;

store::SqliteOptions ConnectionOptions(const std::string& path, const StoreOptions& options, int cache_kib) {
  store::SqliteOptions out;
  out.path = path;
  out.page_size = kPageSize;
  out.page_cache_kib = cache_kib;
  out.read_only = options.read_only;
  out.busy_timeout = options.timeout;
  return out;
}

const Clock& ClockOf(const StoreOptions& options) {
  static const SystemClock system;
  return options.clock != nullptr ? *options.clock : system;
}

std::int64_t NowNanos(const Clock& clock) {
  return static_cast<std::int64_t>(clock.NowNanos());
}

std::int64_t LeaseEnd(const Clock& clock, std::chrono::milliseconds duration) {
  return NowNanos(clock) + std::chrono::nanoseconds(duration).count();
}

std::uint64_t FileSize(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
}

}  // namespace

SqliteChainStore::SqliteChainStore(std::string path, const StoreOptions& options, store::SqliteOptions reading)
    : path_(std::move(path)),
      limit_bytes_(options.limit_bytes),
      clock_(ClockOf(options)),
      readers_(std::move(reading), std::max(1, options.readers), options.timeout) {}

SqliteChainStore::~SqliteChainStore() {
  index_.reset();
  checkpointer_.reset();
}

absl::StatusOr<std::unique_ptr<SqliteChainStore>> SqliteChainStore::Open(const std::string& path,
                                                                         const StoreOptions& options) {
  if (path == ":memory:") return InvalidArgument("the store needs a file: every connection has a memory of its own");
  store::SqliteOptions reading = ConnectionOptions(path, options, kReaderCacheKib);
  reading.read_only = true;
  auto out = std::unique_ptr<SqliteChainStore>(new SqliteChainStore(path, options, reading));
  if (options.read_only) {
    ASSIGN_OR_RETURN(SqliteReaders::Loan db, out->readers_.Take());
    RETURN_IF_ERROR(Annotate(store::CheckSchema(*db, schema::OnodeSqliteSchema()), path));
  } else {
    RETURN_IF_ERROR(out->OpenWriter(ConnectionOptions(path, options, kWriterCacheKib), options));
  }
  // Who may change nothing, or looks at a copy, has an index of its own.
  RETURN_IF_ERROR(out->OpenIndex(options.read_only ? "" : path + "-index"));
  return out;
}

absl::Status SqliteChainStore::OpenWriter(const store::SqliteOptions& writing, const StoreOptions& options) {
  MutexLock lock(writer_mutex_);
  ASSIGN_OR_RETURN(writer_, SqliteDb::Open(writing));
  if (options.migrate) {
    RETURN_IF_ERROR(Annotate(store::Migrate(*writer_, schema::OnodeSqliteSchema()).status(), path_));
  } else {
    RETURN_IF_ERROR(Annotate(store::CheckSchema(*writer_, schema::OnodeSqliteSchema()), path_));
  }
  if (limit_bytes_ != 0) {
    const std::uint64_t pages = std::clamp<std::uint64_t>(limit_bytes_ / kPageSize, 1, 0xffff'fffe);
    RETURN_IF_ERROR(writer_->Exec(fmt::format("PRAGMA max_page_count={}", pages)));
  }
  ASSIGN_OR_RETURN(auto copying, SqliteDb::Open(ConnectionOptions(path_, options, kReaderCacheKib)));
  checkpointer_ = std::make_unique<SqliteCheckpointer>(std::move(copying), &writer_mutex_);
  writer_->OnCommit([this](int pages) { checkpointer_->LogGrewTo(pages); });
  return absl::OkStatus();
}

absl::Status SqliteChainStore::OpenIndex(const std::string& path) {
  ASSIGN_OR_RETURN(const std::vector<ChainInfo> chains, ListChains());
  std::vector<ChainId> ids;
  ids.reserve(chains.size());
  for (const ChainInfo& chain : chains) ids.push_back(chain.id);
  SqliteEntryIndex::Entries entries;
  entries.size = [this](ChainId chain) -> absl::StatusOr<std::uint64_t> {
    ASSIGN_OR_RETURN(SqliteReaders::Loan db, readers_.Take());
    ASSIGN_OR_RETURN(SqliteStatement read, db->Prepare("SELECT size FROM chain_head WHERE chain_id=?"));
    ASSIGN_OR_RETURN(const bool row, read.One(chain));
    return row ? read.Uint(0) : 0;  // of a chain that is not there nothing is found
  };
  entries.keys = [this](ChainId chain, std::uint64_t first, std::uint64_t end, std::size_t limit) {
    return ReadIndexKeys(chain, first, end, limit);
  };
  entries.leaf = [this](ChainId chain, std::uint64_t sequence) -> absl::StatusOr<Hash> {
    const auto leaf = ReadLeafHashes(chain, sequence, 1);
    RETURN_IF_ERROR(leaf.status());
    return leaf->front();
  };
  ASSIGN_OR_RETURN(index_, SqliteEntryIndex::Open(path, std::move(entries), ids));
  return absl::OkStatus();
}

absl::Status SqliteChainStore::Write(const std::function<absl::Status(SqliteDb&)>& body) {
  const absl::Status status = WriteOnce(body);
  return absl::IsUnknown(status) ? WithCode(status, absl::StatusCode::kUnavailable) : status;
}

absl::Status SqliteChainStore::WriteOnce(const std::function<absl::Status(SqliteDb&)>& body) {
  if (checkpointer_ == nullptr) return OpenedReadOnly();
  MutexLock lock(writer_mutex_);
  ASSIGN_OR_RETURN(SqliteTransaction transaction, SqliteTransaction::Begin(*writer_));
  RETURN_IF_ERROR(body(*writer_));
  return transaction.Commit();
}

absl::StatusOr<std::vector<ChainInfo>> SqliteChainStore::ListChains() {
  ASSIGN_OR_RETURN(SqliteReaders::Loan db, readers_.Take());
  ASSIGN_OR_RETURN(SqliteStatement read,
                   db->Prepare("SELECT chain_id, origin, predecessor FROM chain ORDER BY chain_id"));
  RETURN_IF_ERROR(read.Bind());
  std::vector<ChainInfo> out;
  while (true) {
    ASSIGN_OR_RETURN(const bool row, read.Step());
    if (!row) return out;
    out.push_back({static_cast<ChainId>(read.Int(0)), std::string(read.Text(1)), std::string(read.Text(2))});
  }
}

absl::StatusOr<ChainId> SqliteChainStore::CreateChain(std::string_view origin, std::string_view predecessor_note) {
  RETURN_IF_ERROR(CheckOrigin(origin));
  if (!predecessor_note.empty()) RETURN_IF_ERROR(CheckNote(predecessor_note));
  ChainId id = 0;
  const absl::Status written = Write([&](SqliteDb& db) -> absl::Status {
    RETURN_IF_ERROR(db.Run("INSERT INTO chain (origin, predecessor) VALUES (?,?)", origin, predecessor_note));
    id = static_cast<ChainId>(db.LastInsertId());
    return db.Run(
        "INSERT INTO chain_head (chain_id, term, holder, holder_address, lease_until_ns, size, head, frontier)"
        " VALUES (?,0,'','',0,0,?,?)",
        id, Blob(chain::GenesisOf(origin)), Blob(""));
  });
  if (absl::IsAlreadyExists(written)) return AlreadyExists("there is a chain of origin {} already", origin);
  RETURN_IF_ERROR(written);
  return id;
}

absl::StatusOr<ChainHead> SqliteChainStore::HeadFrom(SqliteDb& db, ChainId chain) const {
  ASSIGN_OR_RETURN(SqliteStatement read,
                   db.Prepare("SELECT term, holder, holder_address, lease_until_ns, size, head, frontier"
                              " FROM chain_head WHERE chain_id=?"));
  ASSIGN_OR_RETURN(const bool row, read.One(chain));
  if (!row) return NoSuchChain(chain);
  ChainHead out;
  out.term = read.Uint(0);
  out.holder = read.Text(1);
  out.holder_address = read.Text(2);
  out.lease_valid = !out.holder.empty() && read.Int(3) > NowNanos(clock_);
  out.size = read.Uint(4);
  ASSIGN_OR_RETURN(out.head, HashFromBytes(read.Bytes(5)));
  out.frontier = read.Bytes(6);
  return out;
}

absl::StatusOr<ChainHead> SqliteChainStore::ReadHead(ChainId chain) {
  ASSIGN_OR_RETURN(SqliteReaders::Loan db, readers_.Take());
  return HeadFrom(*db, chain);
}

absl::StatusOr<ChainHead> SqliteChainStore::TakeLease(ChainId chain, std::string_view instance,
                                                      std::string_view address, std::chrono::milliseconds duration) {
  RETURN_IF_ERROR(CheckLease(instance, address, duration));
  ChainHead head;
  RETURN_IF_ERROR(Write([&](SqliteDb& db) -> absl::Status {
    ASSIGN_OR_RETURN(head, HeadFrom(db, chain));
    if (head.lease_valid && head.holder != instance) return LeaseHeld(chain, head.holder);
    ++head.term;
    head.holder = instance;
    head.holder_address = address;
    head.lease_valid = true;
    return db.Run("UPDATE chain_head SET term=?, holder=?, holder_address=?, lease_until_ns=? WHERE chain_id=?",
                  ToSigned(head.term), instance, address, LeaseEnd(clock_, duration), chain);
  }));
  return head;
}

absl::Status SqliteChainStore::RenewLease(ChainId chain, std::uint64_t term, std::chrono::milliseconds duration) {
  RETURN_IF_ERROR(CheckLeaseDuration(duration));
  return Write([&](SqliteDb& db) -> absl::Status {
    ASSIGN_OR_RETURN(const ChainHead head, HeadFrom(db, chain));
    if (head.term != term || head.holder.empty()) return Fenced(chain, term);
    return db.Run("UPDATE chain_head SET lease_until_ns=? WHERE chain_id=?", LeaseEnd(clock_, duration), chain);
  });
}

absl::Status SqliteChainStore::ReleaseLease(ChainId chain, std::uint64_t term) {
  return Write([&](SqliteDb& db) -> absl::Status {
    ASSIGN_OR_RETURN(const ChainHead head, HeadFrom(db, chain));
    if (head.term != term || head.holder.empty()) return Fenced(chain, term);
    return db.Run("UPDATE chain_head SET holder='', holder_address='', lease_until_ns=0 WHERE chain_id=?", chain);
  });
}

absl::StatusOr<StoreUsage> SqliteChainStore::Usage() {
  struct statvfs disk{};
  if (::statvfs(path_.c_str(), &disk) != 0)
    return Unavailable("cannot ask for the free space of {}: {}", path_, std::strerror(errno));
  StoreUsage out;
  for (const char* part : {"", "-wal", "-index", "-index-wal"}) out.used_bytes += FileSize(path_ + part);
  out.unindexed = index_->waiting();
  const std::uint64_t reachable = out.used_bytes + static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
  out.limit_bytes = limit_bytes_ != 0 ? std::min(limit_bytes_, reachable) : reachable;
  return out;
}

}  // namespace virp::onode
