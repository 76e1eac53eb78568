#include "services/onode/storage/sqlite/sqlite_retention.h"

#include <algorithm>

#include "lib/base/status.h"
#include "lib/store/sqlite_schema.h"
#include "services/onode/storage/store_checks.h"
#include "sql/onode_sqlite_schema.h"

namespace virp::onode {
namespace {

using store::SqliteDb;
using store::SqliteStatement;
using store::SqliteTransaction;

// The O-Node's commits wait for the write lock meanwhile: a fraction of a second for so many.
constexpr std::uint64_t kEntriesAtOnce = 16'384;

}  // namespace

absl::StatusOr<std::unique_ptr<SqliteRetention>> SqliteRetention::Open(const std::string& path) {
  store::SqliteOptions options;
  options.path = path;
  options.create = false;
  options.busy_timeout = std::chrono::milliseconds(10'000);
  ASSIGN_OR_RETURN(auto db, SqliteDb::Open(options));
  RETURN_IF_ERROR(Annotate(store::CheckSchema(*db, schema::OnodeSqliteSchema()), path));
  return std::unique_ptr<SqliteRetention>(new SqliteRetention(std::move(db)));
}

absl::StatusOr<std::uint64_t> SqliteRetention::ArchivedBelow(ChainId chain) {
  ASSIGN_OR_RETURN(SqliteStatement read, db_->Prepare("SELECT max(next_seq) FROM archived WHERE chain_id=?"));
  ASSIGN_OR_RETURN(const bool row, read.One(chain));
  return row ? read.Uint(0) : 0;
}

absl::StatusOr<std::optional<EntryPart>> SqliteRetention::NextPart(ChainId chain, std::uint64_t below) {
  ASSIGN_OR_RETURN(const std::uint64_t first, ArchivedBelow(chain));
  const std::uint64_t end = std::min(first + kEntriesAtOnce, below / chain::kTileWidth * chain::kTileWidth);
  if (end <= first) return std::optional<EntryPart>();
  return std::optional(EntryPart{first, end});
}

absl::Status SqliteRetention::Release(ChainId chain, EntryPart part, std::uint64_t checkpoint_size) {
  ASSIGN_OR_RETURN(SqliteTransaction transaction, SqliteTransaction::Begin(*db_));
  ASSIGN_OR_RETURN(const std::uint64_t below, ArchivedBelow(chain));
  if (below != part.first || part.end <= part.first) {
    return FailedPrecondition("entries {} to {} are not what is archived next", part.first, part.end);
  }
  RETURN_IF_ERROR(db_->Run("INSERT INTO archived (chain_id, first_seq, next_seq, checkpoint_size) VALUES (?,?,?,?)",
                           chain, ToSigned(part.first), ToSigned(part.end), ToSigned(checkpoint_size)));
  RETURN_IF_ERROR(db_->Run("UPDATE entry SET bytes=x'' WHERE chain_id=? AND seq>=? AND seq<?", chain,
                           ToSigned(part.first), ToSigned(part.end)));
  if (ToUnsigned(db_->Changes()) != part.end - part.first) {
    return DataLoss("{} entries of chain {} from {} on are in the database, {} belong there: nothing was changed",
                    db_->Changes(), chain, part.first, part.end - part.first);
  }
  const absl::Status done = transaction.Commit();
  return absl::IsUnknown(done) ? WithCode(done, absl::StatusCode::kUnavailable) : done;
}

}  // namespace virp::onode
