// The O-Node's store on PostgreSQL: any number of replicas on one database. What may be changed, and how, is in the
// database's functions (schema/002_functions.sql); this class calls them. libpqxx does the statements, through
// lib/store; only entries go in and out by libpq's binary COPY, because libpqxx's stream is text: twice the bytes and
// hex both ways.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "lib/base/mutex.h"
#include "lib/store/postgres_pool.h"
#include "services/onode/domain/chain_store.h"
#include "services/onode/storage/archive/entry_database.h"
#include "services/onode/storage/store_options.h"

namespace virp::onode {

class PostgresChainStore final : public EntryDatabase {
 public:
  // `url` as store::ParseStorageUrl has read it. FailedPrecondition: the schema is newer than ours, or incomplete and
  // not to be migrated; the server may lose what it acknowledged (fsync, full_page_writes or synchronous_commit off) or
  // is older than 15; the encoding is not UTF8. Unavailable, PermissionDenied: no connection.
  static absl::StatusOr<std::unique_ptr<PostgresChainStore>> Open(const std::string& url, const StoreOptions& options);

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
  absl::StatusOr<std::vector<QuarantinedFrame>> ListQuarantine(ChainId chain, std::uint64_t after_id,
                                                               std::size_t limit) override;
  absl::StatusOr<StoreUsage> Usage() override;

 private:
  explicit PostgresChainStore(const StoreOptions& options) : options_(options) {}

  // One statement: on a connection for reads and without a transaction; or in a transaction on one for writes, with the
  // commit (FailedPrecondition when read-only).
  template <typename... Args>
  absl::StatusOr<store::PostgresResult> Read(std::string_view sql, const Args&... args);
  template <typename... Args>
  absl::StatusOr<store::PostgresResult> Write(std::string_view sql, const Args&... args);

  absl::Status EnsurePartitions(ChainId chain, std::uint64_t reach);
  absl::Status EndStalledLeader(ChainId chain);
  absl::Status NotLedBy(ChainId chain, std::uint64_t term);

  const StoreOptions options_;
  std::unique_ptr<store::PostgresPool> reads_;
  std::unique_ptr<store::PostgresPool> writes_;  // of its own, so that no number of readers keeps an append waiting
  Mutex mutex_;
  absl::flat_hash_map<ChainId, std::uint64_t> partitions_end_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virp::onode
