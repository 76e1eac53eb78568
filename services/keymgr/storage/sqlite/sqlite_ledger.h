// The ledger on SQLite: one file, one manager at a time.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lib/base/mutex.h"
#include "lib/store/sqlite.h"
#include "services/keymgr/domain/ledger_store.h"
#include "services/keymgr/storage/ledger_rows.h"

namespace virp::keymgr {

class SqliteLedgerStore final : public LedgerStore {
 public:
  // FailedPrecondition: the schema is newer than ours, or incomplete and not to be migrated. DataLoss: no database.
  static absl::StatusOr<std::unique_ptr<SqliteLedgerStore>> Open(const std::string& path,
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
  explicit SqliteLedgerStore(const Clock& clock) : clock_(clock) {}
  absl::StatusOr<LedgerHead> HeadFrom(store::SqliteDb& db) const;
  absl::Status Write(const std::function<absl::Status(store::SqliteDb&)>& body);

  const Clock& clock_;
  Mutex writer_mutex_, reader_mutex_;
  std::unique_ptr<store::SqliteDb> writer_ ABSL_GUARDED_BY(writer_mutex_);
  std::unique_ptr<store::SqliteDb> reader_ ABSL_GUARDED_BY(reader_mutex_);  // of its own: it waits for no commit
};

}  // namespace virp::keymgr
