// Retention on PostgreSQL: a partition with bytes is detached and one without takes its place.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lib/store/postgres.h"
#include "services/onode/storage/archive/retention.h"

namespace virp::onode {

class PostgresRetention final : public Retention {
 public:
  // `owner`: credentials of the role that owns the schema. FailedPrecondition when the schema is not exactly ours.
  static absl::StatusOr<std::unique_ptr<PostgresRetention>> Open(const store::PostgresOptions& owner);

  absl::StatusOr<std::uint64_t> ArchivedBelow(ChainId chain) override;
  absl::StatusOr<std::optional<EntryPart>> NextPart(ChainId chain, std::uint64_t below) override;
  absl::Status Release(ChainId chain, EntryPart part, std::uint64_t checkpoint_size) override;
  absl::StatusOr<std::vector<EntryPart>> Detached(ChainId chain) override;
  absl::Status DropDetached(ChainId chain, EntryPart part) override;

 private:
  explicit PostgresRetention(std::unique_ptr<store::PostgresConnection> connection)
      : connection_(std::move(connection)) {}
  absl::StatusOr<std::uint64_t> Width(ChainId chain);
  absl::Status Build(ChainId chain, EntryPart part, const std::string& partition);
  absl::Status Swap(ChainId chain, EntryPart part, const std::string& partition, std::uint64_t checkpoint_size);

  std::unique_ptr<store::PostgresConnection> connection_;
};

}  // namespace virp::onode
