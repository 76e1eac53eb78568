#include "services/onode/storage/archive/archived_store.h"

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/chain/entry.h"
#include "services/onode/storage/store_checks.h"

namespace virp::onode {
namespace {

// An entry has a header of 128 bytes: no bytes at all means that they were archived.
bool IsArchived(const EntryRow& row) {
  return row.bytes.empty();
}

}  // namespace

absl::StatusOr<EntryArchive*> ArchivedStore::ArchiveOf(ChainId chain) {
  {
    const MutexLock lock(mutex_);
    if (const auto known = archives_.find(chain); known != archives_.end()) return known->second.get();
  }
  ASSIGN_OR_RETURN(const std::vector<ChainInfo> chains, database_->ListChains());
  for (const ChainInfo& info : chains) {
    if (info.id != chain) continue;
    const MutexLock lock(mutex_);
    auto& archive = archives_[chain];
    if (archive == nullptr) archive = std::make_unique<EntryArchive>(archive_, info.origin);
    return archive.get();
  }
  return NoSuchChain(chain);
}

absl::Status ArchivedStore::Fill(ChainId chain, EntryRow& row) {
  ASSIGN_OR_RETURN(const std::uint64_t below, database_->ArchivedBelow(chain));
  if (row.sequence >= below) return absl::OkStatus();
  if (archive_.empty()) {
    return WithReason(
        FailedPrecondition("entry {} was archived, with all below {}: name the folder of the archive with "
                           "--archive",
                           row.sequence, below),
        "ARCHIVED");
  }
  ASSIGN_OR_RETURN(EntryArchive* const archive, ArchiveOf(chain));
  const auto bundle = archive->ReadBundle(row.sequence / chain::kTileWidth);
  if (absl::IsNotFound(bundle.status())) {
    return WithReason(FailedPrecondition("entry {} was archived, and the archive does not have it; mount the whole "
                                         "archive: {}",
                                         row.sequence, Message(bundle.status())),
                      "ARCHIVED");
  }
  RETURN_IF_ERROR(bundle.status());
  row.bytes = (*bundle)->entries[row.sequence % chain::kTileWidth];
  if (chain::LeafHash(row.bytes) == row.leaf) return absl::OkStatus();
  return DataLoss("entry {} in the archive {} is not the one that the chain holds", row.sequence, archive->folder());
}

absl::Status ArchivedStore::ReadEntriesInto(ChainId chain, std::uint64_t first, std::size_t limit,
                                            std::vector<EntryRow>& rows) {
  RETURN_IF_ERROR(database_->ReadEntriesInto(chain, first, limit, rows));
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (IsArchived(rows[i])) RETURN_IF_ERROR(Fill(chain, rows[i]));
    bytes += rows[i].bytes.size();
    if (bytes <= kMaxReadBytes || i == 0) continue;
    rows.resize(i);  // the database's own bound did not see these bytes
    break;
  }
  return absl::OkStatus();
}

absl::StatusOr<EntryRow> ArchivedStore::ReadEntry(ChainId chain, std::uint64_t sequence) {
  ASSIGN_OR_RETURN(EntryRow row, database_->ReadEntry(chain, sequence));
  if (IsArchived(row)) RETURN_IF_ERROR(Fill(chain, row));
  return row;
}

absl::StatusOr<std::vector<EntryRow>> ArchivedStore::FindByNumber(ChainId chain,
                                                                  const std::vector<FrameNumber>& numbers) {
  ASSIGN_OR_RETURN(std::vector<EntryRow> rows, database_->FindByNumber(chain, numbers));
  for (EntryRow& row : rows) {
    if (IsArchived(row)) RETURN_IF_ERROR(Fill(chain, row));
  }
  return rows;
}

}  // namespace virp::onode
