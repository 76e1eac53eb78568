#include "services/onode/storage/sqlite/sqlite_list.h"

#include <optional>

#include "lib/base/status.h"
#include "services/onode/storage/store_checks.h"

namespace virp::onode {
namespace {

// An absent condition tests that its parameter is NULL, so that every variant has the same parameters. `kind<>0` is
// what the partial index over kinds demands to be used.
std::string ListSql(std::string_view from, const ChainStore::Filter& filter) {
  return fmt::format(
      "SELECT seq FROM {} WHERE chain_id=?1 AND seq>=?2 AND seq<?3 AND {} AND {} AND {}{} ORDER BY seq {} LIMIT ?7",
      from, filter.source ? "source=?4" : "?4 IS NULL", filter.subject ? "subject=?5" : "?5 IS NULL",
      filter.kind ? "kind=?6" : "?6 IS NULL", filter.kind.value_or(0) != 0 ? " AND kind<>0" : "",
      filter.descending ? "DESC" : "ASC");
}

std::optional<std::int64_t> Signed(const std::optional<std::uint64_t>& value) {
  return value ? std::optional(ToSigned(*value)) : std::nullopt;
}

}  // namespace

absl::StatusOr<std::vector<std::uint64_t>> ListSequences(store::SqliteDb& db, std::string_view from, ChainId chain,
                                                         const ChainStore::Filter& filter, std::size_t limit) {
  ASSIGN_OR_RETURN(store::SqliteStatement read, db.Prepare(ListSql(from, filter)));
  RETURN_IF_ERROR(read.Bind(chain, ToSigned(filter.from), ToSigned(filter.to), Signed(filter.source),
                            Signed(filter.subject), filter.kind, static_cast<std::int64_t>(limit)));
  std::vector<std::uint64_t> out;
  while (true) {
    ASSIGN_OR_RETURN(const bool row, read.Step());
    if (!row) return out;
    out.push_back(read.Uint(0));
  }
}

}  // namespace virp::onode
