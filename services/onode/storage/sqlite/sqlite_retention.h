// Retention on SQLite: the bytes of archived entries are emptied, and the pages that they had are used again.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lib/store/sqlite.h"
#include "services/onode/storage/archive/retention.h"

namespace virp::onode {

class SqliteRetention final : public Retention {
 public:
  // A connection of its own to a database that may be in use. NotFound; FailedPrecondition when the schema is not
  // exactly ours.
  static absl::StatusOr<std::unique_ptr<SqliteRetention>> Open(const std::string& path);

  absl::StatusOr<std::uint64_t> ArchivedBelow(ChainId chain) override;
  absl::StatusOr<std::optional<EntryPart>> NextPart(ChainId chain, std::uint64_t below) override;
  absl::Status Release(ChainId chain, EntryPart part, std::uint64_t checkpoint_size) override;
  absl::StatusOr<std::vector<EntryPart>> Detached(ChainId) override { return std::vector<EntryPart>(); }
  absl::Status DropDetached(ChainId, EntryPart) override { return absl::OkStatus(); }

 private:
  explicit SqliteRetention(std::unique_ptr<store::SqliteDb> db) : db_(std::move(db)) {}

  std::unique_ptr<store::SqliteDb> db_;
};

}  // namespace virp::onode
