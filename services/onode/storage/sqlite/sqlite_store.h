// The O-Node's store in one SQLite file: the embedded default, for one node. One connection writes, behind a mutex; a
// few read; a thread of its own empties the write-ahead log. Every commit is fsynced before it is reported. What
// entries are looked up by, other than their sequence and kind, is in a second file that can always be made again
// (SqliteEntryIndex).
//
// Leases follow the same rules as on PostgreSQL, by a Clock instead of the database's own: a second process on the same
// file is kept out by them as a second replica would be.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/mutex.h"
#include "lib/store/sqlite.h"
#include "services/onode/domain/chain_store.h"
#include "services/onode/storage/archive/entry_database.h"
#include "services/onode/storage/sqlite/sqlite_checkpointer.h"
#include "services/onode/storage/sqlite/sqlite_entry_index.h"
#include "services/onode/storage/sqlite/sqlite_readers.h"
#include "services/onode/storage/store_options.h"

namespace virp::onode {

class SqliteChainStore final : public EntryDatabase {
 public:
  // FailedPrecondition: the schema is newer than ours, incomplete and not to be migrated, or the file system allows no
  // write-ahead log. NotFound: read-only and no such file. DataLoss: not a database.
  static absl::StatusOr<std::unique_ptr<SqliteChainStore>> Open(const std::string& path, const StoreOptions& options);
  ~SqliteChainStore() override;

  absl::StatusOr<std::vector<ChainInfo>> ListChains() override;
  absl::StatusOr<ChainId> CreateChain(std::string_view origin, std::string_view predecessor_note) override;
  absl::StatusOr<ChainHead> ReadHead(ChainId chain) override;
  absl::StatusOr<ChainHead> TakeLease(ChainId chain, std::string_view instance, std::string_view address,
                                      std::chrono::milliseconds duration) override;
  absl::Status RenewLease(ChainId chain, std::uint64_t term, std::chrono::milliseconds duration) override;
  absl::Status ReleaseLease(ChainId chain, std::uint64_t term) override;
  absl::Status Append(ChainId chain, const AppendBatch& batch) override;
  absl::Status ReadEntriesInto(ChainId chain, std::uint64_t first, std::size_t limit,
                               std::vector<EntryRow>& rows) override;
  absl::StatusOr<EntryRow> ReadEntry(ChainId chain, std::uint64_t sequence) override;
  absl::StatusOr<std::uint64_t> ArchivedBelow(ChainId chain) override;
  absl::StatusOr<std::vector<Hash>> ReadLeafHashes(ChainId chain, std::uint64_t first, std::size_t count) override;
  absl::StatusOr<std::vector<EntryRow>> FindByNumber(ChainId chain, const std::vector<FrameNumber>& numbers) override;
  absl::StatusOr<std::vector<std::uint64_t>> List(ChainId chain, const Filter& filter, std::size_t limit) override;
  absl::StatusOr<std::string> ReadTile(ChainId chain, unsigned level, std::uint64_t index) override;
  absl::Status PutCheckpointIntent(ChainId chain, std::uint64_t term, std::uint64_t size, const Hash& root) override;
  absl::Status PutCheckpointNote(ChainId chain, std::uint64_t size, std::string_view note) override;
  absl::StatusOr<StoredCheckpoint> LatestCheckpoint(ChainId chain) override;
  absl::StatusOr<StoredCheckpoint> CheckpointAtOrAfter(ChainId chain, std::uint64_t size) override;
  absl::StatusOr<std::uint64_t> PutQuarantine(ChainId chain, const QuarantinedFrame& frame) override;
  absl::StatusOr<std::uint64_t> PutQuarantineAll(ChainId chain, const std::vector<QuarantinedFrame>& frames) override;
  absl::StatusOr<std::vector<QuarantinedFrame>> ListQuarantine(ChainId chain, std::uint64_t after_id,
                                                               std::size_t limit) override;
  absl::StatusOr<StoreUsage> Usage() override;

 private:
  SqliteChainStore(std::string path, const StoreOptions& options, store::SqliteOptions reading);
  absl::Status OpenWriter(const store::SqliteOptions& writing, const StoreOptions& options);
  absl::Status OpenIndex(const std::string& path);
  absl::StatusOr<std::vector<IndexKey>> ReadIndexKeys(ChainId chain, std::uint64_t first, std::uint64_t end,
                                                      std::size_t limit);

  // One write transaction: `body` runs between BEGIN IMMEDIATE and COMMIT; an error of its rolls back. Write() is for
  // what may be done twice: a commit in doubt is Unavailable, "retry"; WriteOnce() says Unknown.
  absl::Status Write(const std::function<absl::Status(store::SqliteDb&)>& body);
  absl::Status WriteOnce(const std::function<absl::Status(store::SqliteDb&)>& body);
  absl::StatusOr<ChainHead> HeadFrom(store::SqliteDb& db, ChainId chain) const;
  absl::StatusOr<StoredCheckpoint> OneCheckpoint(std::string_view sql, ChainId chain, std::uint64_t size);

  const std::string path_;
  const std::uint64_t limit_bytes_;
  const Clock& clock_;
  Mutex writer_mutex_;
  std::unique_ptr<store::SqliteDb> writer_ ABSL_PT_GUARDED_BY(writer_mutex_);  // null when read-only
  SqliteReaders readers_;  // closed before the writer: the log goes away with the last connection, if that may write
  std::unique_ptr<SqliteCheckpointer> checkpointer_;  // null when read-only
  std::unique_ptr<SqliteEntryIndex> index_;           // goes first: it reads by the others
};

}  // namespace virp::onode
