// The ledger on PostgreSQL: any number of managers on one database, of which one is active. What may be changed, and
// how, is in the database's functions (schema/002_functions.sql); this class calls them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lib/store/postgres_pool.h"
#include "services/keymgr/domain/ledger_store.h"
#include "services/keymgr/storage/ledger_rows.h"

namespace virp::keymgr {

class PostgresLedgerStore final : public LedgerStore {
 public:
  // FailedPrecondition: the schema is newer than ours, or incomplete and not to be migrated; the server may lose what
  // it acknowledged, or is older than 15. Unavailable, PermissionDenied: no connection.
  static absl::StatusOr<std::unique_ptr<PostgresLedgerStore>> Open(const std::string& url,
                                                                   const LedgerStoreOptions& options);

  absl::StatusOr<LedgerHead> ReadHead() override;
  absl::StatusOr<LedgerHead> TakeLease(std::string_view instance, std::string_view address,
                                       std::chrono::milliseconds duration) override;
  absl::Status RenewLease(std::uint64_t term, std::chrono::milliseconds duration) override;
  absl::Status ReleaseLease(std::uint64_t term) override;
  absl::StatusOr<LedgerHead> Load(const Loader& loader) override;
  absl::Status Commit(const LedgerBatch& batch) override;
  absl::StatusOr<std::vector<AuditRow>> ReadAudit(const AuditFilter& filter, std::size_t limit) override;
  absl::Status SetDelivered(std::uint64_t record) override;

 private:
  explicit PostgresLedgerStore(const LedgerStoreOptions& options) : options_(options) {}
  // One statement in a transaction, with its commit.
  template <typename... Args>
  absl::StatusOr<store::PostgresResult> Write(std::string_view sql, const Args&... args);

  const LedgerStoreOptions options_;
  std::unique_ptr<store::PostgresPool> pool_;
};

}  // namespace virp::keymgr
