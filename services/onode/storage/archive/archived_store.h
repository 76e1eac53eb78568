// A store whose old entries lie in an archive: rows that the database gives without their bytes get them from the
// folder, and are held against the leaf hash of the row before they are handed on. All else is the database's. A row
// that lost its bytes and was not archived comes as it is: a verifying walk says where it stands.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "lib/base/mutex.h"
#include "services/onode/domain/chain_store.h"
#include "services/onode/storage/archive/entry_archive.h"
#include "services/onode/storage/archive/entry_database.h"

namespace virp::onode {

// Besides the database's errors, of calls that read entries: FailedPrecondition with reason ARCHIVED when the entry's
// bytes were archived and no folder was named, or the folder does not have them; DataLoss when they do not hash to the
// row's leaf.
class ArchivedStore final : public ChainStore {
 public:
  // `archive`: the folder that the archiver wrote; empty when there is none.
  ArchivedStore(std::unique_ptr<EntryDatabase> database, std::string archive)
      : database_(std::move(database)), archive_(std::move(archive)) {}

  absl::StatusOr<std::vector<ChainInfo>> ListChains() override { return database_->ListChains(); }
  absl::StatusOr<ChainId> CreateChain(std::string_view origin, std::string_view predecessor_note) override {
    return database_->CreateChain(origin, predecessor_note);
  }
  absl::StatusOr<ChainHead> ReadHead(ChainId chain) override { return database_->ReadHead(chain); }
  absl::StatusOr<ChainHead> TakeLease(ChainId chain, std::string_view instance, std::string_view address,
                                      std::chrono::milliseconds duration) override {
    return database_->TakeLease(chain, instance, address, duration);
  }
  absl::Status RenewLease(ChainId chain, std::uint64_t term, std::chrono::milliseconds duration) override {
    return database_->RenewLease(chain, term, duration);
  }
  absl::Status ReleaseLease(ChainId chain, std::uint64_t term) override { return database_->ReleaseLease(chain, term); }
  absl::Status Append(ChainId chain, const AppendBatch& batch) override { return database_->Append(chain, batch); }
  absl::Status ReadEntriesInto(ChainId chain, std::uint64_t first, std::size_t limit,
                               std::vector<EntryRow>& rows) override;
  absl::StatusOr<EntryRow> ReadEntry(ChainId chain, std::uint64_t sequence) override;
  absl::StatusOr<std::vector<Hash>> ReadLeafHashes(ChainId chain, std::uint64_t first, std::size_t count) override {
    return database_->ReadLeafHashes(chain, first, count);
  }
  absl::StatusOr<std::vector<EntryRow>> FindByNumber(ChainId chain, const std::vector<FrameNumber>& numbers) override;
  absl::StatusOr<std::vector<std::uint64_t>> List(ChainId chain, const Filter& filter, std::size_t limit) override {
    return database_->List(chain, filter, limit);
  }
  absl::StatusOr<std::string> ReadTile(ChainId chain, unsigned level, std::uint64_t index) override {
    return database_->ReadTile(chain, level, index);
  }
  absl::Status PutCheckpointIntent(ChainId chain, std::uint64_t term, std::uint64_t size, const Hash& root) override {
    return database_->PutCheckpointIntent(chain, term, size, root);
  }
  absl::Status PutCheckpointNote(ChainId chain, std::uint64_t size, std::string_view note) override {
    return database_->PutCheckpointNote(chain, size, note);
  }
  absl::StatusOr<StoredCheckpoint> LatestCheckpoint(ChainId chain) override {
    return database_->LatestCheckpoint(chain);
  }
  absl::StatusOr<StoredCheckpoint> CheckpointAtOrAfter(ChainId chain, std::uint64_t size) override {
    return database_->CheckpointAtOrAfter(chain, size);
  }
  absl::StatusOr<std::uint64_t> PutQuarantine(ChainId chain, const QuarantinedFrame& frame) override {
    return database_->PutQuarantine(chain, frame);
  }
  absl::StatusOr<std::uint64_t> PutQuarantineAll(ChainId chain, const std::vector<QuarantinedFrame>& frames) override {
    return database_->PutQuarantineAll(chain, frames);
  }
  absl::StatusOr<std::vector<QuarantinedFrame>> ListQuarantine(ChainId chain, std::uint64_t after_id,
                                                               std::size_t limit) override {
    return database_->ListQuarantine(chain, after_id, limit);
  }
  absl::StatusOr<StoreUsage> Usage() override { return database_->Usage(); }

 private:
  absl::Status Fill(ChainId chain, EntryRow& row);
  absl::StatusOr<EntryArchive*> ArchiveOf(ChainId chain);

  const std::unique_ptr<EntryDatabase> database_;
  const std::string archive_;
  Mutex mutex_;
  absl::flat_hash_map<ChainId, std::unique_ptr<EntryArchive>> archives_ ABSL_GUARDED_BY(mutex_);  // none ever goes
};

}  // namespace virp::onode
