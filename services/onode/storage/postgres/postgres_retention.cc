#include "services/onode/storage/postgres/postgres_retention.h"

#include "lib/base/status.h"
#include "services/onode/storage/postgres/postgres_migrate.h"
#include "services/onode/storage/store_checks.h"

namespace virp::onode {
namespace {

using store::PostgresConnection;
using store::PostgresResult;
using store::PostgresTransaction;

// The parent's lock stops every reader and the leader. Readers let go of it within a statement, so waiting is short or
// given up; ten times, because a busy chain has many of them.
constexpr int kSwapAttempts = 10;
constexpr std::string_view kSwapWait = "SET LOCAL lock_timeout = '1s'";

constexpr std::string_view kColumns =
    "seq, source, source_epoch, source_seq, subject, received_us, chain_id, kind, result, leaf_hash";

std::string PartitionName(ChainId chain, std::uint64_t number) {
  return fmt::format("entry_{}_{}", chain, number);
}

}  // namespace

absl::StatusOr<std::unique_ptr<PostgresRetention>> PostgresRetention::Open(const store::PostgresOptions& owner) {
  RETURN_IF_ERROR(CheckPostgresSchema(owner));
  ASSIGN_OR_RETURN(auto connection, PostgresConnection::Open(owner));
  return std::unique_ptr<PostgresRetention>(new PostgresRetention(std::move(connection)));
}

absl::StatusOr<std::uint64_t> PostgresRetention::Width(ChainId chain) {
  ASSIGN_OR_RETURN(const PostgresResult row,
                   connection_->Query("SELECT partition_width FROM onode.chain WHERE chain_id=$1", chain));
  if (row.rows() == 0) return NoSuchChain(chain);
  return row.Uint(0, 0);
}

absl::StatusOr<std::uint64_t> PostgresRetention::ArchivedBelow(ChainId chain) {
  ASSIGN_OR_RETURN(
      const PostgresResult done,
      connection_->Query("SELECT coalesce(max(next_seq), 0) FROM onode.archived WHERE chain_id=$1", chain));
  return done.Uint(0, 0);
}

absl::StatusOr<std::optional<EntryPart>> PostgresRetention::NextPart(ChainId chain, std::uint64_t below) {
  ASSIGN_OR_RETURN(const std::uint64_t width, Width(chain));
  if (width % chain::kTileWidth != 0) {
    return FailedPrecondition("partitions of {} entries cannot be archived: not a multiple of 256", width);
  }
  ASSIGN_OR_RETURN(const std::uint64_t first, ArchivedBelow(chain));
  const EntryPart part{first, first + width};
  if (part.end > below) return std::optional<EntryPart>();
  return std::optional(part);
}

// The new partition, beside the table. What an earlier attempt left is thrown away. Its indexes are those of the table,
// so that attaching builds none.
absl::Status PostgresRetention::Build(ChainId chain, EntryPart part, const std::string& partition) {
  ASSIGN_OR_RETURN(PostgresTransaction transaction,
                   PostgresTransaction::Begin(*connection_, {.statement_timeout = std::chrono::milliseconds(0)}));
  const std::string slim = partition + "_slim";
  const auto run = [&](const std::string& sql) { return transaction.Run(sql); };
  RETURN_IF_ERROR(run(fmt::format("DROP TABLE IF EXISTS onode.{}", slim)));
  RETURN_IF_ERROR(
      run(fmt::format("CREATE TABLE onode.{} (LIKE onode.entry INCLUDING DEFAULTS INCLUDING CONSTRAINTS"
                      " INCLUDING STORAGE, CHECK (chain_id = {} AND seq >= {} AND seq < {}))",
                      slim, chain, part.first, part.end)));
  RETURN_IF_ERROR(run(fmt::format("INSERT INTO onode.{} ({}, bytes) SELECT {}, ''::bytea FROM onode.{} ORDER BY seq",
                                  slim, kColumns, kColumns, partition)));
  RETURN_IF_ERROR(run(fmt::format("ALTER TABLE onode.{} ADD PRIMARY KEY (chain_id, seq)", slim)));
  for (const char* index : {"(chain_id, source, seq)", "(chain_id, subject, seq) WHERE subject <> 0",
                            "(chain_id, kind, seq) WHERE kind <> 0"}) {
    RETURN_IF_ERROR(run(fmt::format("CREATE INDEX ON onode.{} {}", slim, index)));
  }
  RETURN_IF_ERROR(run(fmt::format(
      "CREATE UNIQUE INDEX {}_number ON onode.{} (chain_id, source, source_epoch, source_seq)", slim, slim)));
  RETURN_IF_ERROR(
      run(fmt::format("CREATE TRIGGER no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON onode.{}"
                      " FOR EACH STATEMENT EXECUTE FUNCTION onode.no_change()",
                      slim)));
  ASSIGN_OR_RETURN(const PostgresResult count, transaction.Exec(fmt::format("SELECT count(*) FROM onode.{}", slim)));
  if (count.Uint(0, 0) != part.end - part.first) {
    return DataLoss("partition {} has {} entries where {} belong: nothing was changed", partition, count.Uint(0, 0),
                    part.end - part.first);
  }
  return transaction.Commit();
}

absl::Status PostgresRetention::Swap(ChainId chain, EntryPart part, const std::string& partition,
                                     std::uint64_t checkpoint_size) {
  ASSIGN_OR_RETURN(PostgresTransaction transaction, PostgresTransaction::Begin(*connection_));
  RETURN_IF_ERROR(transaction.Run(kSwapWait));
  RETURN_IF_ERROR(
      transaction.Run("INSERT INTO onode.archived (chain_id, first_seq, next_seq, checkpoint_size)"
                      " VALUES ($1, $2, $3, $4)",
                      chain, ToSigned(part.first), ToSigned(part.end), ToSigned(checkpoint_size)));
  for (const std::string& sql :
       {fmt::format("ALTER TABLE onode.entry DETACH PARTITION onode.{}", partition),
        fmt::format("ALTER TABLE onode.{} RENAME TO {}_detached", partition, partition),
        fmt::format("ALTER TABLE onode.{}_slim RENAME TO {}", partition, partition),
        fmt::format("ALTER TABLE onode.entry ATTACH PARTITION onode.{} FOR VALUES FROM ({}, {}) TO ({}, {})", partition,
                    chain, part.first, chain, part.end)}) {
    RETURN_IF_ERROR(transaction.Run(sql));
  }
  return transaction.Commit();
}

absl::Status PostgresRetention::Release(ChainId chain, EntryPart part, std::uint64_t checkpoint_size) {
  ASSIGN_OR_RETURN(const auto next, NextPart(chain, part.end));
  if (next != part) return FailedPrecondition("entries {} to {} are not what is archived next", part.first, part.end);
  const std::string partition = PartitionName(chain, part.first / (part.end - part.first));
  RETURN_IF_ERROR(Build(chain, part, partition));
  absl::Status swapped;
  for (int attempt = 0; attempt < kSwapAttempts; ++attempt) {
    swapped = Swap(chain, part, partition, checkpoint_size);
    if (swapped.ok()) return absl::OkStatus();
    if (!absl::IsDeadlineExceeded(swapped) && !absl::IsUnavailable(swapped) && !absl::IsAborted(swapped)) break;
    if (!connection_->Usable()) break;
  }
  return absl::IsUnknown(swapped) ? WithCode(swapped, absl::StatusCode::kUnavailable) : swapped;
}

absl::StatusOr<std::vector<EntryPart>> PostgresRetention::Detached(ChainId chain) {
  ASSIGN_OR_RETURN(const PostgresResult rows,
                   connection_->Query("SELECT a.first_seq, a.next_seq FROM onode.archived a WHERE a.chain_id=$1 AND"
                                      " to_regclass(format('onode.entry_%s_%s_detached', a.chain_id,"
                                      " a.first_seq / (a.next_seq - a.first_seq))) IS NOT NULL ORDER BY 1",
                                      chain));
  std::vector<EntryPart> out;
  for (int i = 0; i < rows.rows(); ++i) out.push_back({rows.Uint(i, 0), rows.Uint(i, 1)});
  return out;
}

absl::Status PostgresRetention::DropDetached(ChainId chain, EntryPart part) {
  ASSIGN_OR_RETURN(PostgresTransaction transaction, PostgresTransaction::Begin(*connection_));
  RETURN_IF_ERROR(transaction.Run(
      fmt::format("DROP TABLE onode.{}_detached", PartitionName(chain, part.first / (part.end - part.first)))));
  return transaction.Commit();
}

}  // namespace virp::onode
