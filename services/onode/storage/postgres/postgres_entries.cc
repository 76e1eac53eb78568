// Appending and reading entries and tiles.
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "lib/store/postgres_copy.h"
#include "services/onode/storage/postgres/postgres_call.h"

namespace virp::onode {
namespace {

using store::Blob;
using store::PostgresCopyIn;
using store::PostgresCopyOut;
using store::PostgresPool;
using store::PostgresResult;
using store::PostgresTransaction;

#define VIRP_ROW "seq, source, source_epoch, source_seq, subject, received_us, kind, result, leaf_hash, bytes"

constexpr int kCopyColumns = 11;
constexpr std::uint64_t kPartitionsAhead = 65'536;  // entries; the least for which partitions are kept ready
constexpr std::uint64_t kPieceRows = 1'024;         // that one statement reads

// Rows are handed on as they are: what cannot be an entry's byte or hash reads as a value that no check accepts, so
// that a verifying walk can say where it stands.
std::uint8_t ByteFrom(std::int64_t value) {
  return static_cast<std::uint8_t>(value >= 0 && value <= 0xff ? value : 0xff);
}

void ReadRow(const PostgresCopyOut& read, EntryRow& out) {
  out.sequence = ToUnsigned(read.Int(0));
  out.index.source = ToUnsigned(read.Int(1));
  out.index.source_epoch = ToUnsigned(read.Int(2));
  out.index.source_sequence = ToUnsigned(read.Int(3));
  out.index.subject = ToUnsigned(read.Int(4));
  out.index.received_us = ToUnsigned(read.Int(5));
  out.index.kind = ByteFrom(read.Int(6));
  out.index.result = ByteFrom(read.Int(7));
  out.leaf = HashFromBytes(read.Bytes(8)).value_or(Hash{});
  out.bytes = read.Bytes(9);
}

EntryRow RowFrom(const PostgresResult& read, int row = 0) {
  EntryRow out;
  out.sequence = read.Uint(row, 0);
  out.index.source = read.Uint(row, 1);
  out.index.source_epoch = read.Uint(row, 2);
  out.index.source_sequence = read.Uint(row, 3);
  out.index.subject = read.Uint(row, 4);
  out.index.received_us = read.Uint(row, 5);
  out.index.kind = ByteFrom(read.Int(row, 6));
  out.index.result = ByteFrom(read.Int(row, 7));
  out.leaf = HashFromBytes(read.Bytes(row, 8)).value_or(Hash{});
  out.bytes = read.Bytes(row, 9);
  return out;
}

absl::Status CopyRows(PostgresTransaction& transaction, ChainId chain, const std::vector<EntryRow>& rows) {
  ASSIGN_OR_RETURN(
      PostgresCopyIn copy,
      PostgresCopyIn::Begin(transaction,
                            "COPY onode.entry (seq, source, source_epoch, source_seq, subject, received_us,"
                            " chain_id, kind, result, leaf_hash, bytes) FROM STDIN (FORMAT binary)",
                            kCopyColumns));
  for (const EntryRow& row : rows) {
    const chain::IndexColumns& index = row.index;
    copy.Row();
    copy.Int64(ToSigned(row.sequence));
    copy.Int64(ToSigned(index.source));
    copy.Int64(ToSigned(index.source_epoch));
    copy.Int64(ToSigned(index.source_sequence));
    copy.Int64(ToSigned(index.subject));
    copy.Int64(ToSigned(index.received_us));
    copy.Int32(chain);
    copy.Int16(index.kind);
    copy.Int16(index.result);
    copy.Bytes(View(row.leaf));
    copy.Bytes(row.bytes);
    RETURN_IF_ERROR(copy.Flush());
  }
  ASSIGN_OR_RETURN(const std::int64_t taken, copy.Finish());
  if (taken != static_cast<std::int64_t>(rows.size())) return Internal("COPY took {} of {} rows", taken, rows.size());
  return absl::OkStatus();
}

// Everything of an append but its COMMIT. False: fenced.
absl::StatusOr<bool> Stage(PostgresTransaction& transaction, ChainId chain, const AppendBatch& batch) {
  ASSIGN_OR_RETURN(
      const PostgresResult moved,
      transaction.Exec("SELECT onode.advance($1, $2, $3, $4, $5, $6, $7)", chain, ToSigned(batch.term),
                       ToSigned(batch.old_size), Blob(batch.old_head), ToSigned(batch.old_size + batch.rows.size()),
                       Blob(batch.new_head), Blob(batch.new_frontier)));
  if (!moved.Bool(0, 0)) return false;
  for (const Tile& tile : batch.tiles) {
    RETURN_IF_ERROR(transaction.Run("INSERT INTO onode.tile (chain_id, level, idx, hashes) VALUES ($1, $2, $3, $4)",
                                    chain, tile.level, ToSigned(tile.index), Blob(tile.hashes)));
  }
  RETURN_IF_ERROR(CopyRows(transaction, chain, batch.rows));
  return true;
}

// Appends entries of [first, end) while `budget` lasts, at most kPieceRows. False when there are no more, of either.
// Nothing bounds the bytes at the server, since a running sum there costs more than the read: what is beyond the budget
// comes and is dropped, which only a chain of very large entries has.
absl::StatusOr<bool> ReadPiece(PostgresTransaction& transaction, ChainId chain, std::uint64_t first, std::uint64_t end,
                               std::size_t& budget, RowSink& out) {
  ASSIGN_OR_RETURN(
      PostgresCopyOut read,
      PostgresCopyOut::Begin(
          transaction,
          fmt::format("COPY (SELECT " VIRP_ROW " FROM onode.entry WHERE chain_id={} AND seq>={} AND seq<{} ORDER BY seq"
                      " LIMIT {}) TO STDOUT (FORMAT binary)",
                      chain, first, end, kPieceRows)));
  std::uint64_t rows = 0;
  bool over = false;
  while (true) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) return !over && rows == kPieceRows;
    ++rows;
    if (over) continue;
    EntryRow& entry = out.Next();
    ReadRow(read, entry);
    over = entry.bytes.size() > budget && out.size() > 1;
    if (over) {
      out.TakeBack();
    } else {
      budget -= std::min(budget, entry.bytes.size());
    }
  }
}

std::string ListSql(const ChainStore::Filter& filter) {
  // An absent condition tests that its parameter is NULL, so that every variant has the same parameters. The comparison
  // with 0 is what lets the planner use a partial index.
  return fmt::format(
      "SELECT seq FROM onode.entry WHERE chain_id=$1 AND seq>=$2 AND seq<$3 AND {} AND {}{} AND {}{} ORDER BY seq {} "
      "LIMIT $7",
      filter.source ? "source=$4" : "$4::bigint IS NULL", filter.subject ? "subject=$5" : "$5::bigint IS NULL",
      filter.subject.value_or(0) != 0 ? " AND subject<>0" : "", filter.kind ? "kind=$6" : "$6::smallint IS NULL",
      filter.kind.value_or(0) != 0 ? " AND kind<>0" : "", filter.descending ? "DESC" : "ASC");
}

std::optional<std::int64_t> Signed(const std::optional<std::uint64_t>& value) {
  return value ? std::optional(ToSigned(*value)) : std::nullopt;
}

std::int64_t Clamped(std::uint64_t value) {
  return ToSigned(std::min(value, kMaxSequence));
}

std::vector<std::uint64_t> Sequences(const PostgresResult& rows) {
  std::vector<std::uint64_t> out;
  out.reserve(static_cast<std::size_t>(rows.rows()));
  for (int i = 0; i < rows.rows(); ++i) out.push_back(rows.Uint(i, 0));
  return out;
}

}  // namespace

absl::Status PostgresChainStore::EnsurePartitions(ChainId chain, std::uint64_t reach) {
  {
    MutexLock lock(mutex_);
    const auto known = partitions_end_.find(chain);
    if (known != partitions_end_.end() && reach + kPartitionsAhead <= known->second) return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const PostgresResult made, Write("SELECT onode.make_partitions($1, $2)", chain, ToSigned(reach)));
  if (made.IsNull(0, 0)) return NoSuchChain(chain);
  MutexLock lock(mutex_);
  partitions_end_[chain] = made.Uint(0, 0);
  return absl::OkStatus();
}

absl::Status PostgresChainStore::Append(ChainId chain, const AppendBatch& batch) {
  RETURN_IF_ERROR(CheckBatch(batch));
  if (writes_ == nullptr) return OpenedReadOnly();
  RETURN_IF_ERROR(EnsurePartitions(chain, batch.old_size + batch.rows.size()));
  auto connection = writes_->Acquire(options_.timeout);
  if (!connection.ok()) return Retryable(connection.status());
  auto transaction = PostgresTransaction::Begin(**connection);
  if (!transaction.ok()) return Retryable(transaction.status());
  const auto staged = Stage(*transaction, chain, batch);
  if (absl::IsAlreadyExists(staged.status()) || absl::IsFailedPrecondition(staged.status())) {
    return DoesNotFit(chain, staged.status());
  }
  if (!staged.ok()) return Retryable(staged.status());
  if (!*staged) return Fenced(chain, batch.term);
  const absl::Status committed = transaction->Commit();
  return absl::IsUnknown(committed) ? committed : Retryable(committed);
}

absl::Status PostgresChainStore::ReadEntriesInto(ChainId chain, std::uint64_t first, std::size_t limit,
                                                 std::vector<EntryRow>& rows) {
  RowSink out(rows);
  if (first > kMaxSequence || limit == 0) return absl::OkStatus();
  const std::uint64_t end = limit < kMaxSequence - first ? first + limit : kMaxSequence;
  const auto read = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const PostgresPool::Lease connection, reads_->Acquire(options_.timeout));
    ASSIGN_OR_RETURN(PostgresTransaction transaction, PostgresTransaction::Begin(*connection, {.read_only = true}));
    std::size_t budget = kMaxReadBytes;
    for (bool more = true; more;) {
      const std::uint64_t next = out.size() == 0 ? first : out.back().sequence + 1;
      ASSIGN_OR_RETURN(more, ReadPiece(transaction, chain, next, end, budget, out));
    }
    return transaction.Commit();
  };
  return Retryable(read());
}

absl::StatusOr<EntryRow> PostgresChainStore::ReadEntry(ChainId chain, std::uint64_t sequence) {
  if (sequence <= kMaxSequence) {
    ASSIGN_OR_RETURN(const PostgresResult row, Read("SELECT " VIRP_ROW " FROM onode.entry WHERE chain_id=$1 AND seq=$2",
                                                    chain, ToSigned(sequence)));
    if (row.rows() != 0) return RowFrom(row);
  }
  return NotFound("chain {} has no entry {}", chain, sequence);
}

absl::StatusOr<std::uint64_t> PostgresChainStore::ArchivedBelow(ChainId chain) {
  ASSIGN_OR_RETURN(const PostgresResult row,
                   Read("SELECT coalesce(max(next_seq), 0) FROM onode.archived WHERE chain_id=$1", chain));
  return row.Uint(0, 0);
}

absl::StatusOr<std::vector<Hash>> PostgresChainStore::ReadLeafHashes(ChainId chain, std::uint64_t first,
                                                                     std::size_t count) {
  RETURN_IF_ERROR(CheckReadCount(count));
  std::vector<Hash> out;
  if (count == 0) return out;
  if (first > kMaxSequence - count) return MissingLeaves(chain, first, count);
  ASSIGN_OR_RETURN(const PostgresResult row,
                   Read("SELECT string_agg(leaf_hash, ''::bytea ORDER BY seq) FROM onode.entry"
                        " WHERE chain_id=$1 AND seq>=$2 AND seq<$3",
                        chain, ToSigned(first), ToSigned(first + count)));
  const std::string hashes = row.Bytes(0, 0);
  if (hashes.size() != count * sizeof(Hash)) return MissingLeaves(chain, first, count);
  out.resize(count);
  for (std::size_t i = 0; i < count; ++i)
    hashes.copy(reinterpret_cast<char*>(out[i].data()), sizeof(Hash), i * sizeof(Hash));
  return out;
}

absl::StatusOr<std::vector<EntryRow>> PostgresChainStore::FindByNumber(ChainId chain,
                                                                       const std::vector<FrameNumber>& numbers) {
  RETURN_IF_ERROR(CheckNumbers(numbers));
  std::vector<EntryRow> out;
  if (numbers.empty()) return out;
  const auto column = [&](std::uint64_t FrameNumber::* of) {
    std::vector<std::int64_t> values;
    values.reserve(numbers.size());
    for (const FrameNumber& number : numbers) values.push_back(ToSigned(number.*of));
    return fmt::format("{{{}}}", fmt::join(values, ","));
  };
  // OFFSET 0 keeps it a look-up in the index of numbers for each of them, whatever the planner believes about the
  // sizes of the tables.
  ASSIGN_OR_RETURN(
      const PostgresResult rows,
      Read("SELECT " VIRP_ROW " FROM unnest($2::bigint[], $3::bigint[], $4::bigint[]) AS asked (s, e, n) CROSS JOIN"
           " LATERAL (SELECT " VIRP_ROW " FROM onode.entry WHERE chain_id=$1 AND source=s AND source_epoch=e"
           " AND source_seq=n OFFSET 0) AS held ORDER BY seq",
           chain, column(&FrameNumber::source), column(&FrameNumber::epoch), column(&FrameNumber::number)));
  out.reserve(static_cast<std::size_t>(rows.rows()));
  for (int row = 0; row < rows.rows(); ++row) out.push_back(RowFrom(rows, row));
  return out;
}

absl::StatusOr<std::vector<std::uint64_t>> PostgresChainStore::List(ChainId chain, const Filter& filter,
                                                                    std::size_t limit) {
  RETURN_IF_ERROR(CheckReadCount(limit));
  ASSIGN_OR_RETURN(const PostgresResult rows, Read(ListSql(filter), chain, Clamped(filter.from), Clamped(filter.to),
                                                   Signed(filter.source), Signed(filter.subject), filter.kind, limit));
  return Sequences(rows);
}

absl::StatusOr<std::string> PostgresChainStore::ReadTile(ChainId chain, unsigned level, std::uint64_t index) {
  if (index <= kMaxSequence) {
    ASSIGN_OR_RETURN(
        const PostgresResult row,
        Read("SELECT hashes FROM onode.tile WHERE chain_id=$1 AND level=$2 AND idx=$3", chain, level, ToSigned(index)));
    if (row.rows() != 0) return row.Bytes(0, 0);
  }
  return NotFound("chain {} has no full tile {}/{}", chain, level, index);
}

}  // namespace virp::onode
