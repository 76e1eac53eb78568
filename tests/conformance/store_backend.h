// A back end under test: a database of its own, opened as often as a test wants, and the owner's way into it.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "services/onode/domain/chain_store.h"
#include "services/onode/storage/store_options.h"

namespace virp::onode {

class StoreBackend {
 public:
  virtual ~StoreBackend() = default;

  // As the service would open it.
  virtual absl::StatusOr<std::unique_ptr<ChainStore>> Open(StoreOptions options = {}) = 0;
  // Direct SQL with the rights of the schema's owner. `{}` stands for the schema's prefix of table names.
  virtual absl::Status Sql(std::string_view sql) = 0;
  // Lets every lease run out, without waiting for it.
  virtual void ExpireLeases() = 0;
  // Removes what keeps the owner from changing history.
  virtual absl::Status DropGuards() = 0;
  // Another database with all that is in this one, in which nobody is at work; the guards are as they are here.
  virtual std::unique_ptr<StoreBackend> Copy() = 0;
  // For OpenStore, with the rights of the service.
  virtual std::string url() const = 0;
  // The same with the rights of the schema's owner.
  virtual std::string owner() const = 0;
};

using StoreBackendFactory = std::unique_ptr<StoreBackend> (*)();

std::unique_ptr<StoreBackend> NewSqliteBackend();
std::unique_ptr<StoreBackend> NewPostgresBackend();

}  // namespace virp::onode
