#include "services/onode/storage/archive/archiver.h"

#include <algorithm>
#include <utility>

#include "lib/base/status.h"
#include "lib/chain/entry.h"
#include "lib/chain/tiles.h"

namespace virp::onode {
namespace {

constexpr std::size_t kLeavesAtOnce = 65'536;

class Job {
 public:
  Job(ChainStore& store, Retention& retention, EntryArchive& archive, ChainId chain, const ArchiveRequest& request)
      : store_(store), retention_(retention), archive_(archive), chain_(chain), request_(request) {}

  absl::StatusOr<ArchiveReport> Run() {
    RETURN_IF_ERROR(CheckTree());
    ASSIGN_OR_RETURN(report_.archived_from, retention_.ArchivedBelow(chain_));
    report_.archived_below = report_.archived_from;
    while (true) {
      ASSIGN_OR_RETURN(const std::optional<EntryPart> part, retention_.NextPart(chain_, request_.below));
      if (!part) break;
      RETURN_IF_ERROR(Move(*part));
      report_.archived_below = part->end;
    }
    if (request_.drop_detached) RETURN_IF_ERROR(Drop());
    return report_;
  }

 private:
  absl::Status Before(std::string_view step) { return request_.before ? request_.before(step) : absl::OkStatus(); }

  // Every stored tile is what the leaf hashes lead to, and these lead to the signed root: from here on the tiles of
  // level 0 say what an entry must hash to.
  absl::Status CheckTree() {
    ASSIGN_OR_RETURN(const StoredCheckpoint stored, store_.LatestCheckpoint(chain_));
    const auto opened = chain::OpenCheckpoint(stored.note, request_.verifiers);
    if (absl::IsNotFound(opened.status())) {
      return FailedPrecondition("the newest checkpoint of {} is not signed by a key given with --checkpoint-key: {}",
                                request_.origin, Message(opened.status()));
    }
    RETURN_IF_ERROR(opened.status());
    if (opened->origin != request_.origin) {
      return DataLoss("the newest checkpoint of {} is of another chain, {}", request_.origin, opened->origin);
    }
    if (request_.below > opened->size) {
      return FailedPrecondition("the newest signed checkpoint has {} entries; nothing at or above can be archived",
                                opened->size);
    }
    note_ = stored.note;
    checkpoint_size_ = opened->size;
    chain::TileBuilder tree;
    while (tree.size() < opened->size) {
      const std::uint64_t first = tree.size();
      const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(kLeavesAtOnce, opened->size - first));
      ASSIGN_OR_RETURN(const std::vector<Hash> leaves, store_.ReadLeafHashes(chain_, first, count));
      for (const Hash& leaf : leaves) {
        for (const chain::Tile& tile : tree.Append(leaf)) RETURN_IF_ERROR(CheckTile(tile));
      }
    }
    if (tree.Root() == opened->root) return absl::OkStatus();
    return DataLoss("the stored hashes do not lead to the signed root of {} entries", opened->size);
  }

  absl::Status CheckTile(const chain::Tile& tile) {
    ASSIGN_OR_RETURN(const std::string stored, store_.ReadTile(chain_, tile.level, tile.index));
    if (stored != tile.hashes)
      return DataLoss("stored tile {}/{} is not what its leaves hash to", tile.level, tile.index);
    return absl::OkStatus();
  }

  // The full tiles that end in this part, of all levels: so the archive can be served by itself.
  absl::Status WriteTiles(EntryPart part) {
    for (unsigned level = 0; level <= chain::kMaxTileLevel; ++level) {
      const unsigned shift = chain::kTileHeight * (level + 1);
      if (shift > 62) break;
      for (std::uint64_t index = part.first >> shift; index < part.end >> shift; ++index) {
        ASSIGN_OR_RETURN(std::string hashes, store_.ReadTile(chain_, level, index));
        RETURN_IF_ERROR(archive_.WriteTile({level, index, std::move(hashes)}));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Move(EntryPart part) {
    RETURN_IF_ERROR(Before("bundles"));
    for (std::uint64_t first = part.first; first < part.end; first += chain::kTileWidth) {
      RETURN_IF_ERROR(Write(first));
    }
    RETURN_IF_ERROR(Before("tiles"));
    RETURN_IF_ERROR(WriteTiles(part));
    RETURN_IF_ERROR(Before("note"));
    RETURN_IF_ERROR(archive_.WriteNote(note_));
    RETURN_IF_ERROR(Before("read back"));
    RETURN_IF_ERROR(ReadBack(part));
    RETURN_IF_ERROR(Before("release"));
    RETURN_IF_ERROR(retention_.Release(chain_, part, checkpoint_size_));
    return Before("released");
  }

  // One bundle, of entries whose bytes hash to the stored tile.
  absl::Status Write(std::uint64_t first) {
    std::string bundle;
    std::uint64_t next = first;
    while (next < first + chain::kTileWidth) {
      RETURN_IF_ERROR(store_.ReadEntriesInto(chain_, next, first + chain::kTileWidth - next, rows_));
      if (rows_.empty()) return DataLoss("entry {} is missing in the database", next);
      for (const EntryRow& row : rows_) {
        if (row.sequence != next) return DataLoss("entry {} is missing in the database", next);
        RETURN_IF_ERROR(chain::AppendToBundle(bundle, row.bytes));
        ++next;
      }
    }
    RETURN_IF_ERROR(CheckBundle(first, bundle, "the database"));
    RETURN_IF_ERROR(Before("bundle"));
    RETURN_IF_ERROR(archive_.WriteBundle(first / chain::kTileWidth, bundle));
    report_.bytes += bundle.size();
    return absl::OkStatus();
  }

  absl::Status CheckBundle(std::uint64_t first, std::string_view bundle, std::string_view where) {
    ASSIGN_OR_RETURN(const auto entries, chain::SplitBundle(bundle, chain::kTileWidth));
    ASSIGN_OR_RETURN(const std::string tile, store_.ReadTile(chain_, 0, first / chain::kTileWidth));
    for (std::size_t i = 0; i < entries.size(); ++i) {
      const Hash leaf = chain::LeafHash(entries[i]);
      if (View(leaf) == std::string_view(tile).substr(i * sizeof(Hash), sizeof(Hash))) continue;
      return DataLoss("entry {} in {} does not hash to the stored leaf", first + i, where);
    }
    return absl::OkStatus();
  }

  absl::Status ReadBack(EntryPart part) {
    for (std::uint64_t first = part.first; first < part.end; first += chain::kTileWidth) {
      ASSIGN_OR_RETURN(const auto bundle, archive_.ReadBundle(first / chain::kTileWidth));
      RETURN_IF_ERROR(CheckBundle(first, bundle->bytes, archive_.folder()));
    }
    return absl::OkStatus();
  }

  absl::Status Drop() {
    ASSIGN_OR_RETURN(const std::vector<EntryPart> parts, retention_.Detached(chain_));
    for (const EntryPart& part : parts) {
      RETURN_IF_ERROR(ReadBack(part));
      RETURN_IF_ERROR(Before("drop"));
      RETURN_IF_ERROR(retention_.DropDetached(chain_, part));
      report_.dropped += part.end - part.first;
    }
    return absl::OkStatus();
  }

  ChainStore& store_;
  Retention& retention_;
  EntryArchive& archive_;
  const ChainId chain_;
  const ArchiveRequest& request_;
  ArchiveReport report_;
  std::string note_;
  std::uint64_t checkpoint_size_ = 0;
  std::vector<EntryRow> rows_;
};

absl::StatusOr<ChainId> IdOf(ChainStore& store, std::string_view origin) {
  ASSIGN_OR_RETURN(const std::vector<ChainInfo> chains, store.ListChains());
  for (const ChainInfo& info : chains) {
    if (info.origin == origin) return info.id;
  }
  return NotFound("there is no chain {} in this store", origin);
}

}  // namespace

absl::StatusOr<ArchiveReport> ArchiveEntries(ChainStore& store, Retention& retention, std::string_view archive,
                                             const ArchiveRequest& request) {
  ASSIGN_OR_RETURN(const ChainId chain, IdOf(store, request.origin));
  EntryArchive folder(archive, request.origin);
  return Job(store, retention, folder, chain, request).Run();
}

absl::StatusOr<std::uint64_t> EntriesBefore(ChainStore& store, Retention& retention, std::string_view origin,
                                            UnixNanos time) {
  ASSIGN_OR_RETURN(const ChainId chain, IdOf(store, origin));
  ASSIGN_OR_RETURN(std::uint64_t low, retention.ArchivedBelow(chain));
  ASSIGN_OR_RETURN(const StoredCheckpoint newest, store.LatestCheckpoint(chain));
  std::uint64_t high = newest.size;
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    ASSIGN_OR_RETURN(const EntryRow row, store.ReadEntry(chain, middle));
    if (row.index.received_us < time / 1'000) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

}  // namespace virp::onode
