// Appending and reading entries and tiles.
#include <algorithm>
#include <limits>

#include "lib/base/status.h"
#include "services/onode/storage/sqlite/sqlite_list.h"
#include "services/onode/storage/sqlite/sqlite_store.h"
#include "services/onode/storage/store_checks.h"

namespace virp::onode {
namespace {

using store::Blob;
using store::SqliteDb;
using store::SqliteStatement;

constexpr std::string_view kRowColumns =
    "seq, source, source_epoch, source_seq, subject, received_us, kind, result, leaf_hash, bytes";

// Rows are handed on as they are: what cannot be an entry's byte or hash reads as a value that no check accepts, so
// that a verifying walk can say where it stands.
void ReadRow(const SqliteStatement& read, EntryRow& out) {
  const auto byte = [&](int column) {
    const std::int64_t value = read.Int(column);
    return static_cast<std::uint8_t>(value >= 0 && value <= 0xff ? value : 0xff);
  };
  out.sequence = read.Uint(0);
  out.index.source = read.Uint(1);
  out.index.source_epoch = read.Uint(2);
  out.index.source_sequence = read.Uint(3);
  out.index.subject = read.Uint(4);
  out.index.received_us = read.Uint(5);
  out.index.kind = byte(6);
  out.index.result = byte(7);
  out.leaf = HashFromBytes(read.Bytes(8)).value_or(Hash{});
  out.bytes = read.Bytes(9);
}

absl::Status InsertRows(SqliteDb& db, ChainId chain, const std::vector<EntryRow>& rows) {
  ASSIGN_OR_RETURN(
      SqliteStatement insert,
      db.Prepare("INSERT INTO entry (chain_id, seq, source, source_epoch, source_seq, subject, received_us, kind,"
                 " result, leaf_hash, bytes) VALUES (?,?,?,?,?,?,?,?,?,?,?)"));
  for (const EntryRow& row : rows) {
    const chain::IndexColumns& index = row.index;
    RETURN_IF_ERROR(insert.Run(chain, ToSigned(row.sequence), ToSigned(index.source), ToSigned(index.source_epoch),
                               ToSigned(index.source_sequence), ToSigned(index.subject), ToSigned(index.received_us),
                               index.kind, index.result, Blob(row.leaf), Blob(row.bytes)));
  }
  return absl::OkStatus();
}

absl::Status InsertTiles(SqliteDb& db, ChainId chain, const std::vector<Tile>& tiles) {
  if (tiles.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(SqliteStatement insert,
                   db.Prepare("INSERT INTO tile (chain_id, level, idx, hashes) VALUES (?,?,?,?)"));
  for (const Tile& tile : tiles)
    RETURN_IF_ERROR(insert.Run(chain, tile.level, ToSigned(tile.index), Blob(tile.hashes)));
  return absl::OkStatus();
}

}  // namespace

absl::Status SqliteChainStore::Append(ChainId chain, const AppendBatch& batch) {
  RETURN_IF_ERROR(CheckBatch(batch));
  absl::Status written = WriteOnce([&](SqliteDb& db) -> absl::Status {
    {
      ASSIGN_OR_RETURN(SqliteStatement read, db.Prepare("SELECT term, size, head FROM chain_head WHERE chain_id=?"));
      ASSIGN_OR_RETURN(const bool row, read.One(chain));
      if (!row) return NoSuchChain(chain);
      if (read.Uint(0) != batch.term || read.Uint(1) != batch.old_size || read.Bytes(2) != View(batch.old_head)) {
        return Fenced(chain, batch.term);
      }
    }
    RETURN_IF_ERROR(index_->CheckNew(chain, batch.old_size, batch.rows));
    RETURN_IF_ERROR(InsertRows(db, chain, batch.rows));
    RETURN_IF_ERROR(InsertTiles(db, chain, batch.tiles));
    return db.Run("UPDATE chain_head SET size=?, head=?, frontier=? WHERE chain_id=?",
                  ToSigned(batch.old_size + batch.rows.size()), Blob(batch.new_head), Blob(batch.new_frontier), chain);
  });
  if (absl::IsAlreadyExists(written)) return DoesNotFit(chain, written);
  if (written.ok()) index_->Appended(chain, batch.rows);
  return written;
}

absl::Status SqliteChainStore::ReadEntriesInto(ChainId chain, std::uint64_t first, std::size_t limit,
                                               std::vector<EntryRow>& rows) {
  RowSink out(rows);
  if (first > kMaxSequence || limit == 0) return absl::OkStatus();
  const std::uint64_t end = limit < kMaxSequence - first ? first + limit : kMaxSequence;
  ASSIGN_OR_RETURN(SqliteReaders::Loan db, readers_.Take());
  ASSIGN_OR_RETURN(
      SqliteStatement read,
      db->Prepare(fmt::format("SELECT {} FROM entry WHERE chain_id=? AND seq>=? AND seq<? ORDER BY seq", kRowColumns)));
  RETURN_IF_ERROR(read.Bind(chain, ToSigned(first), ToSigned(end)));
  std::size_t bytes = 0;
  while (true) {
    ASSIGN_OR_RETURN(const bool row, read.Step());
    if (!row) return absl::OkStatus();
    EntryRow& next = out.Next();
    ReadRow(read, next);
    bytes += next.bytes.size();
    if (bytes > kMaxReadBytes && out.size() > 1) {
      out.TakeBack();
      return absl::OkStatus();
    }
  }
}

absl::StatusOr<EntryRow> SqliteChainStore::ReadEntry(ChainId chain, std::uint64_t sequence) {
  if (sequence <= kMaxSequence) {
    ASSIGN_OR_RETURN(SqliteReaders::Loan db, readers_.Take());
    ASSIGN_OR_RETURN(SqliteStatement read,
                     db->Prepare(fmt::format("SELECT {} FROM entry WHERE chain_id=? AND seq=?", kRowColumns)));
    ASSIGN_OR_RETURN(const bool row, read.One(chain, ToSigned(sequence)));
    if (row) {
      EntryRow out;
      ReadRow(read, out);
      return out;
    }
  }
  return NotFound("chain {} has no entry {}", chain, sequence);
}

absl::StatusOr<std::uint64_t> SqliteChainStore::ArchivedBelow(ChainId chain) {
  ASSIGN_OR_RETURN(SqliteReaders::Loan db, readers_.Take());
  ASSIGN_OR_RETURN(SqliteStatement read, db->Prepare("SELECT max(next_seq) FROM archived WHERE chain_id=?"));
  ASSIGN_OR_RETURN(const bool row, read.One(chain));
  return row ? read.Uint(0) : 0;
}

absl::StatusOr<std::vector<Hash>> SqliteChainStore::ReadLeafHashes(ChainId chain, std::uint64_t first,
                                                                   std::size_t count) {
  RETURN_IF_ERROR(CheckReadCount(count));
  std::vector<Hash> out;
  if (count == 0) return out;
  if (first > kMaxSequence - count) return MissingLeaves(chain, first, count);
  out.reserve(count);
  ASSIGN_OR_RETURN(SqliteReaders::Loan db, readers_.Take());
  ASSIGN_OR_RETURN(SqliteStatement read,
                   db->Prepare("SELECT leaf_hash FROM entry WHERE chain_id=? AND seq>=? AND seq<? ORDER BY seq"));
  RETURN_IF_ERROR(read.Bind(chain, ToSigned(first), ToSigned(first + count)));
  while (true) {
    ASSIGN_OR_RETURN(const bool row, read.Step());
    if (!row) break;
    out.push_back(HashFromBytes(read.Bytes(0)).value_or(Hash{}));
  }
  if (out.size() != count) return MissingLeaves(chain, first, count);
  return out;
}

absl::StatusOr<std::vector<EntryRow>> SqliteChainStore::FindByNumber(ChainId chain,
                                                                     const std::vector<FrameNumber>& numbers) {
  RETURN_IF_ERROR(CheckNumbers(numbers));
  ASSIGN_OR_RETURN(std::vector<std::uint64_t> sequences, index_->Find(chain, numbers));
  std::sort(sequences.begin(), sequences.end());
  std::vector<EntryRow> out;
  ASSIGN_OR_RETURN(SqliteReaders::Loan db, readers_.Take());
  ASSIGN_OR_RETURN(SqliteStatement read,
                   db->Prepare(fmt::format("SELECT {} FROM entry WHERE chain_id=? AND seq=?", kRowColumns)));
  for (const std::uint64_t sequence : sequences) {
    ASSIGN_OR_RETURN(const bool row, read.One(chain, ToSigned(sequence)));
    if (row) ReadRow(read, out.emplace_back());
  }
  // The entry says which frame it holds; the index only where to look.
  std::erase_if(out, [&](const EntryRow& row) {
    return std::find(numbers.begin(), numbers.end(), FrameOf(row)) == numbers.end();
  });
  return out;
}

absl::StatusOr<std::vector<std::uint64_t>> SqliteChainStore::List(ChainId chain, const Filter& filter,
                                                                  std::size_t limit) {
  RETURN_IF_ERROR(CheckReadCount(limit));
  Filter clamped = filter;
  clamped.from = std::min(filter.from, kMaxSequence);
  clamped.to = std::min(filter.to, kMaxSequence);
  const bool of_kind = filter.kind.value_or(0) != 0;
  if (filter.subject.value_or(0) != 0 || (filter.source && !of_kind)) return index_->List(chain, clamped, limit);
  // Observations, which are the bulk and have no kind, are not in that index: without a kind it is a walk.
  ASSIGN_OR_RETURN(SqliteReaders::Loan db, readers_.Take());
  return ListSequences(*db, of_kind ? "entry INDEXED BY entry_kind" : "entry", chain, clamped, limit);
}

absl::StatusOr<std::vector<IndexKey>> SqliteChainStore::ReadIndexKeys(ChainId chain, std::uint64_t first,
                                                                      std::uint64_t end, std::size_t limit) {
  ASSIGN_OR_RETURN(SqliteReaders::Loan db, readers_.Take());
  ASSIGN_OR_RETURN(SqliteStatement read,
                   db->Prepare("SELECT seq, source, source_epoch, source_seq, subject, kind FROM entry"
                               " WHERE chain_id=? AND seq>=? AND seq<? ORDER BY seq LIMIT ?"));
  RETURN_IF_ERROR(read.Bind(chain, ToSigned(first), ToSigned(end), static_cast<std::int64_t>(limit)));
  std::vector<IndexKey> out;
  while (true) {
    ASSIGN_OR_RETURN(const bool row, read.Step());
    if (!row) return out;
    const FrameNumber frame{read.Uint(1), read.Uint(2), read.Uint(3)};
    out.push_back({read.Uint(0), frame, read.Uint(4), static_cast<std::uint8_t>(read.Int(5))});
  }
}

absl::StatusOr<std::string> SqliteChainStore::ReadTile(ChainId chain, unsigned level, std::uint64_t index) {
  if (index <= kMaxSequence) {
    ASSIGN_OR_RETURN(SqliteReaders::Loan db, readers_.Take());
    ASSIGN_OR_RETURN(SqliteStatement read,
                     db->Prepare("SELECT hashes FROM tile WHERE chain_id=? AND level=? AND idx=?"));
    ASSIGN_OR_RETURN(const bool row, read.One(chain, level, ToSigned(index)));
    if (row) return std::string(read.Bytes(0));
  }
  return NotFound("chain {} has no full tile {}/{}", chain, level, index);
}

}  // namespace virp::onode
