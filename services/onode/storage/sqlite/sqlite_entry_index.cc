#include "services/onode/storage/sqlite/sqlite_entry_index.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "lib/base/status.h"
#include "services/onode/storage/sqlite/sqlite_list.h"
#include "services/onode/storage/store_checks.h"

namespace virp::onode {
namespace {

using store::Blob;
using store::SqliteDb;
using store::SqliteStatement;
using store::SqliteTransaction;

constexpr int kVersion = 1;
constexpr std::string_view kSchema =
    "CREATE TABLE covered (chain_id INTEGER PRIMARY KEY, size INTEGER NOT NULL, leaf BLOB NOT NULL) STRICT;"
    "CREATE TABLE by_frame (chain_id INTEGER, source INTEGER, epoch INTEGER, number INTEGER, seq INTEGER NOT NULL,"
    " PRIMARY KEY (chain_id, source, epoch, number)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE by_source (chain_id INTEGER, source INTEGER, seq INTEGER, subject INTEGER NOT NULL,"
    " kind INTEGER NOT NULL, PRIMARY KEY (chain_id, source, seq)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE by_subject (chain_id INTEGER, subject INTEGER, seq INTEGER, source INTEGER NOT NULL,"
    " kind INTEGER NOT NULL, PRIMARY KEY (chain_id, subject, seq)) STRICT, WITHOUT ROWID;";
constexpr int kPageSize = 8'192;
constexpr int kCacheKib = 32 * 1024;
constexpr int kReaderCacheKib = 8 * 1024;
constexpr int kReaders = 3;
constexpr int kLogPages = 16'384;  // SQLite copies the log, and syncs, each time that it has grown by 128 MiB

store::SqliteOptions FileOptions(const std::string& path) {
  store::SqliteOptions out;
  out.path = path.empty() ? std::string(SqliteDb::kTemporary) : path;
  out.page_size = kPageSize;
  out.page_cache_kib = kCacheKib;
  out.durable = false;
  return out;
}

void Remove(const std::string& path) {
  for (const char* part : {"", "-wal", "-shm"}) ::unlink((path + part).c_str());
}

IndexKey KeyOf(const EntryRow& row) {
  return {row.sequence, FrameOf(row), row.index.subject, row.index.kind};
}

absl::Status Told(const absl::Status& status, const SqliteDb& db) {
  if (!absl::IsDataLoss(status)) return status;
  return Annotate(status, fmt::format("stop the O-Node and remove {}, it is made again", db.path()));
}

bool Matches(const IndexKey& key, const ChainStore::Filter& filter) {
  return key.sequence >= filter.from && key.sequence < filter.to &&
         key.frame.source == filter.source.value_or(key.frame.source) &&
         key.subject == filter.subject.value_or(key.subject) && key.kind == filter.kind.value_or(key.kind);
}

absl::StatusOr<std::vector<std::uint64_t>> FindInFile(SqliteDb& db, ChainId chain,
                                                      const std::vector<FrameNumber>& frames) {
  std::vector<std::uint64_t> out;
  if (frames.empty()) return out;
  ASSIGN_OR_RETURN(SqliteTransaction snapshot, SqliteTransaction::Begin(db, SqliteTransaction::Kind::kRead));
  ASSIGN_OR_RETURN(SqliteStatement read,
                   db.Prepare("SELECT seq FROM by_frame WHERE chain_id=? AND source=? AND epoch=? AND number=?"));
  for (const FrameNumber& frame : frames) {
    ASSIGN_OR_RETURN(const bool row,
                     read.One(chain, ToSigned(frame.source), ToSigned(frame.epoch), ToSigned(frame.number)));
    if (row) out.push_back(read.Uint(0));
  }
  return out;
}

// Of the entries below `end`.
absl::StatusOr<std::vector<std::uint64_t>> ListInFile(SqliteDb& db, ChainId chain, ChainStore::Filter filter,
                                                      std::uint64_t end, std::size_t limit) {
  filter.to = std::min(filter.to, end);
  if (filter.from >= filter.to) return std::vector<std::uint64_t>{};
  return ListSequences(db, filter.subject.value_or(0) != 0 ? "by_subject" : "by_source", chain, filter, limit);
}

}  // namespace

absl::StatusOr<std::unique_ptr<SqliteEntryIndex>> SqliteEntryIndex::Open(const std::string& path, Entries entries,
                                                                         const std::vector<ChainId>& chains) {
  auto out = std::unique_ptr<SqliteEntryIndex>(new SqliteEntryIndex(std::move(entries)));
  absl::Status opened = out->OpenFile(path);
  if (opened.ok()) {
    const auto ours = out->BelongsToTheDatabase();
    opened = ours.ok() && !*ours ? DataLoss("{}: of another database", path) : ours.status();
  }
  if (!path.empty() && (absl::IsDataLoss(opened) || absl::IsInvalidArgument(opened))) {
    out->readers_.reset();
    out->checker_.reset();
    out->writer_.reset();
    {
      const MutexLock lock(out->mutex_);
      out->tails_.clear();  // of the chains that did fit
    }
    Remove(path);
    opened = out->OpenFile(path);
  }
  RETURN_IF_ERROR(opened);
  // A database that somebody changed must open all the same, to be examined: who asks is told what cannot be read.
  for (const ChainId chain : chains) out->CatchUp(chain).IgnoreError();
  if (!path.empty()) out->thread_ = std::thread([index = out.get()] { index->Loop(); });
  return out;
}

SqliteEntryIndex::~SqliteEntryIndex() {
  {
    const MutexLock lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

absl::Status SqliteEntryIndex::OpenFile(const std::string& path) {
  ASSIGN_OR_RETURN(writer_, SqliteDb::Open(FileOptions(path)));
  RETURN_IF_ERROR(writer_->Exec(fmt::format("PRAGMA wal_autocheckpoint={}", kLogPages)));
  {
    ASSIGN_OR_RETURN(SqliteTransaction transaction, SqliteTransaction::Begin(*writer_));
    std::int64_t version = 0;
    {
      ASSIGN_OR_RETURN(SqliteStatement read, writer_->Prepare("PRAGMA user_version"));
      ASSIGN_OR_RETURN(const bool row, read.One());
      version = row ? read.Int(0) : 0;
    }
    if (version != 0 && version != kVersion) return DataLoss("{}: of version {}", path, version);
    if (version == 0) RETURN_IF_ERROR(writer_->Exec(fmt::format("{}PRAGMA user_version={}", kSchema, kVersion)));
    RETURN_IF_ERROR(transaction.Commit());
  }
  if (path.empty()) return absl::OkStatus();
  store::SqliteOptions reading = FileOptions(path);
  reading.read_only = true;
  reading.page_cache_kib = kReaderCacheKib;
  ASSIGN_OR_RETURN(checker_, SqliteDb::Open(reading));
  readers_ = std::make_unique<SqliteReaders>(reading, kReaders, reading.busy_timeout);
  return absl::OkStatus();
}

// The leaf hash of an entry stands for all that came before it.
absl::StatusOr<bool> SqliteEntryIndex::BelongsToTheDatabase() {
  ASSIGN_OR_RETURN(SqliteStatement read, writer_->Prepare("SELECT chain_id, size, leaf FROM covered"));
  RETURN_IF_ERROR(read.Bind());
  while (true) {
    ASSIGN_OR_RETURN(const bool row, read.Step());
    if (!row) return true;
    const auto chain = static_cast<ChainId>(read.Int(0));
    const std::uint64_t size = read.Uint(1);
    if (size == 0) return false;
    const auto leaf = entries_.leaf(chain, size - 1);
    if (absl::IsNotFound(leaf.status())) return false;
    RETURN_IF_ERROR(leaf.status());
    if (View(*leaf) != read.Bytes(2)) return false;
    const MutexLock lock(mutex_);
    tails_[chain].in_file = tails_[chain].end = size;
  }
}

absl::Status SqliteEntryIndex::CatchUp(ChainId chain) {
  const auto size = entries_.size(chain);
  RETURN_IF_ERROR(size.status());
  return CatchUpTo(chain, *size);
}

absl::Status SqliteEntryIndex::CatchUpTo(ChainId chain, std::uint64_t size) {
  while (true) {
    std::uint64_t from = 0;
    std::size_t waiting = 0;
    {
      const MutexLock lock(mutex_);
      const Tail& tail = tails_[chain];
      from = tail.end;
      waiting = tail.recent.size();
    }
    // Before the thread runs, and where there is none: a chain of millions is not read into memory.
    if (waiting >= kFlushRows && !thread_.joinable()) {
      const absl::Status flushed = FlushSome(chain, waiting);
      if (waiting >= kMostRecent) RETURN_IF_ERROR(flushed);
    }
    if (from >= size) return absl::OkStatus();
    ASSIGN_OR_RETURN(const auto keys, entries_.keys(chain, from, size, kFlushRows));
    Add(chain, keys);
    if (keys.size() == kFlushRows) continue;
    const MutexLock lock(mutex_);
    tails_[chain].end = std::max(tails_[chain].end, size);  // the last ones may be missing
  }
}

// Keys that are there already are passed over: who appended and who caught up may say the same.
void SqliteEntryIndex::Add(ChainId chain, const std::vector<IndexKey>& keys) {
  bool full = false;
  {
    const MutexLock lock(mutex_);
    Tail& tail = tails_[chain];
    for (const IndexKey& key : keys) {
      if (key.sequence < tail.end) continue;
      tail.end = key.sequence + 1;
      tail.recent.push_back(key);
      tail.frames.emplace(key.frame, key.sequence);
    }
    full = tail.recent.size() >= kFlushRows;
  }
  if (full) wake_.notify_one();
}

void SqliteEntryIndex::Appended(ChainId chain, const std::vector<EntryRow>& rows) {
  std::vector<IndexKey> keys;
  keys.reserve(rows.size());
  for (const EntryRow& row : rows) keys.push_back(KeyOf(row));
  Add(chain, keys);
}

absl::Status SqliteEntryIndex::CheckNew(ChainId chain, std::uint64_t old_size, const std::vector<EntryRow>& rows) {
  if (checker_ == nullptr) return FailedPrecondition("an index in a temporary file is for reading");
  RETURN_IF_ERROR(CatchUpTo(chain, old_size));
  RETURN_IF_ERROR(MakeRoom(chain));
  const auto held = [](const FrameNumber& frame, std::uint64_t sequence) {
    return AlreadyExists("frame {} of epoch {} of source {:#x} is entry {}", frame.number, frame.epoch, frame.source,
                         sequence);
  };
  std::vector<FrameNumber> frames;
  frames.reserve(rows.size());
  {
    const MutexLock lock(mutex_);
    const Tail& tail = tails_[chain];
    absl::flat_hash_map<FrameNumber, std::uint64_t> here;
    here.reserve(rows.size());
    for (const EntryRow& row : rows) {
      const IndexKey key = KeyOf(row);
      frames.push_back(key.frame);
      if (const auto found = tail.frames.find(key.frame); found != tail.frames.end())
        return held(key.frame, found->second);
      if (const auto [at, added] = here.emplace(key.frame, key.sequence); !added) return held(key.frame, at->second);
    }
  }
  const MutexLock checking(checking_mutex_);
  const auto found = FindInFile(*checker_, chain, frames);
  RETURN_IF_ERROR(Told(found.status(), *checker_));
  if (!found->empty()) return AlreadyExists("a frame of this batch is entry {}", found->front());
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::uint64_t>> SqliteEntryIndex::Find(ChainId chain,
                                                                  const std::vector<FrameNumber>& frames) {
  RETURN_IF_ERROR(CatchUp(chain));
  std::vector<std::uint64_t> out;
  std::vector<FrameNumber> others;
  {
    const MutexLock lock(mutex_);
    const Tail& tail = tails_[chain];
    for (const FrameNumber& frame : frames) {
      if (const auto found = tail.frames.find(frame); found != tail.frames.end())
        out.push_back(found->second);
      else
        others.push_back(frame);
    }
  }
  // What went from memory meanwhile is in the file.
  ASSIGN_OR_RETURN(const auto in_file, Read([&](SqliteDb& db) { return FindInFile(db, chain, others); }));
  out.insert(out.end(), in_file.begin(), in_file.end());
  return out;
}

SqliteEntryIndex::Sequences SqliteEntryIndex::Read(const std::function<Sequences(SqliteDb&)>& body) {
  if (readers_ == nullptr) {
    const MutexLock lock(writing_mutex_);
    return body(*writer_);
  }
  ASSIGN_OR_RETURN(SqliteReaders::Loan db, readers_->Take());
  Sequences out = body(*db);
  RETURN_IF_ERROR(Told(out.status(), *db));
  return out;
}

absl::StatusOr<std::vector<std::uint64_t>> SqliteEntryIndex::List(ChainId chain, const ChainStore::Filter& filter,
                                                                  std::size_t limit) {
  RETURN_IF_ERROR(CatchUp(chain));
  std::vector<std::uint64_t> recent;
  std::uint64_t in_file = 0;
  {
    const MutexLock lock(mutex_);
    const Tail& tail = tails_[chain];
    in_file = tail.in_file;
    for (const IndexKey& key : tail.recent) {
      if (Matches(key, filter)) recent.push_back(key.sequence);
    }
  }
  std::vector<std::uint64_t> out;
  if (filter.descending) out.assign(recent.rbegin(), recent.rend());
  if (out.size() < limit) {
    const std::size_t left = limit - out.size();
    ASSIGN_OR_RETURN(const auto older,
                     Read([&](SqliteDb& db) { return ListInFile(db, chain, filter, in_file, left); }));
    out.insert(out.end(), older.begin(), older.end());
  }
  if (!filter.descending) out.insert(out.end(), recent.begin(), recent.end());
  if (out.size() > limit) out.resize(limit);
  return out;
}

std::uint64_t SqliteEntryIndex::waiting() const {
  const MutexLock lock(mutex_);
  std::uint64_t out = 0;
  for (const auto& [chain, tail] : tails_) out += tail.recent.size();
  return out;
}

// The thread is behind, or cannot write: who appends writes, and learns why that fails.
absl::Status SqliteEntryIndex::MakeRoom(ChainId chain) {
  {
    const MutexLock lock(mutex_);
    if (tails_[chain].recent.size() < kMostRecent) return absl::OkStatus();
  }
  return Annotate(FlushSome(chain, kFlushRows),
                  fmt::format("{} entries wait to be written to {}, nothing is appended until they can be", kMostRecent,
                              writer_->path()));
}

absl::Status SqliteEntryIndex::Flush() {
  std::vector<ChainId> chains;
  {
    const MutexLock lock(mutex_);
    for (const auto& [chain, tail] : tails_) {
      if (!tail.recent.empty()) chains.push_back(chain);
    }
  }
  for (const ChainId chain : chains) RETURN_IF_ERROR(FlushSome(chain, kMostRecent));
  return absl::OkStatus();
}

absl::Status SqliteEntryIndex::FlushSome(ChainId chain, std::size_t most) {
  const MutexLock writing(writing_mutex_);
  std::vector<IndexKey> keys;
  {
    const MutexLock lock(mutex_);
    const Tail& tail = tails_[chain];
    const auto count = static_cast<std::ptrdiff_t>(std::min(most, tail.recent.size()));
    keys.assign(tail.recent.begin(), tail.recent.begin() + count);
  }
  if (keys.empty()) return absl::OkStatus();
  const absl::Status written = Write(chain, keys);
  const MutexLock lock(mutex_);
  last_write_ = written;
  RETURN_IF_ERROR(written);
  Tail& tail = tails_[chain];
  for (const IndexKey& key : keys) tail.frames.erase(key.frame);
  tail.recent.erase(tail.recent.begin(), tail.recent.begin() + static_cast<std::ptrdiff_t>(keys.size()));
  tail.in_file = keys.back().sequence + 1;
  return absl::OkStatus();
}

// Each table in its own order, so that a page is touched once. IGNORE: a second process on the database may have
// written the same.
absl::Status SqliteEntryIndex::Write(ChainId chain, const std::vector<IndexKey>& keys) {
  const std::uint64_t last = keys.back().sequence;
  ASSIGN_OR_RETURN(const Hash leaf, entries_.leaf(chain, last));
  std::vector<IndexKey> sorted = keys;
  ASSIGN_OR_RETURN(SqliteTransaction transaction, SqliteTransaction::Begin(*writer_));
  {
    ASSIGN_OR_RETURN(SqliteStatement insert, writer_->Prepare("INSERT OR IGNORE INTO by_source VALUES (?,?,?,?,?)"));
    std::sort(sorted.begin(), sorted.end(), [](const IndexKey& a, const IndexKey& b) {
      return std::pair(a.frame.source, a.sequence) < std::pair(b.frame.source, b.sequence);
    });
    for (const IndexKey& key : sorted) {
      RETURN_IF_ERROR(
          insert.Run(chain, ToSigned(key.frame.source), ToSigned(key.sequence), ToSigned(key.subject), key.kind));
    }
  }
  {
    ASSIGN_OR_RETURN(SqliteStatement insert, writer_->Prepare("INSERT OR IGNORE INTO by_frame VALUES (?,?,?,?,?)"));
    std::sort(sorted.begin(), sorted.end(), [](const IndexKey& a, const IndexKey& b) { return a.frame < b.frame; });
    for (const IndexKey& key : sorted) {
      RETURN_IF_ERROR(insert.Run(chain, ToSigned(key.frame.source), ToSigned(key.frame.epoch),
                                 ToSigned(key.frame.number), ToSigned(key.sequence)));
    }
  }
  {
    ASSIGN_OR_RETURN(SqliteStatement insert, writer_->Prepare("INSERT OR IGNORE INTO by_subject VALUES (?,?,?,?,?)"));
    std::sort(sorted.begin(), sorted.end(), [](const IndexKey& a, const IndexKey& b) {
      return std::pair(a.subject, a.sequence) < std::pair(b.subject, b.sequence);
    });
    for (const IndexKey& key : sorted) {
      if (key.subject == 0) continue;
      RETURN_IF_ERROR(
          insert.Run(chain, ToSigned(key.subject), ToSigned(key.sequence), ToSigned(key.frame.source), key.kind));
    }
  }
  RETURN_IF_ERROR(
      writer_->Run("INSERT INTO covered VALUES (?,?,?) ON CONFLICT (chain_id) DO UPDATE"
                   " SET size=excluded.size, leaf=excluded.leaf WHERE size < excluded.size",
                   chain, ToSigned(last + 1), Blob(leaf)));
  return transaction.Commit();
}

std::optional<ChainId> SqliteEntryIndex::FullTail() {
  for (const auto& [chain, tail] : tails_) {
    if (tail.recent.size() >= kFlushRows) return chain;
  }
  return std::nullopt;
}

void SqliteEntryIndex::Loop() {
  constexpr std::chrono::seconds kRetry{1};  // a full disk, or another process that writes
  while (true) {
    std::optional<ChainId> chain;
    {
      const MutexLock lock(mutex_);
      if (!last_write_.ok() && !stop_) wake_.wait_for(mutex_, kRetry);
      while (!stop_ && !(chain = FullTail())) wake_.wait(mutex_);
      if (stop_) return;
    }
    FlushSome(*chain, kFlushRows).IgnoreError();  // waiting() grows, and MakeRoom says why
  }
}

}  // namespace virp::onode
