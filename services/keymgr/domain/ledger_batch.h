// Private to the ledger: Edits run one after the other over the committed state, and what they did is gathered into one
// batch. An Edit that fails leaves nothing behind. Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "services/keymgr/domain/ledger.h"
#include "services/keymgr/domain/ledger_store.h"
#include "services/keymgr/domain/snapshot.h"

namespace virp::keymgr {

class BatchRun {
 public:
  explicit BatchRun(const Snapshot& committed) : state_(committed) {}

  // Runs one Edit, then `record` with its audit record, which may refuse. The state then includes what the Edit did.
  // Errors: the Edit's, InvalidArgument when what it put breaks a limit, Internal when it left no audit record, those
  // of `record`.
  struct Result {
    AuditRecord audit;
    std::string answer;
  };
  absl::StatusOr<Result> Run(const Edit& edit, UnixNanos now,
                             const std::function<absl::Status(const AuditRecord&)>& record);

  const Snapshot& state() const { return state_.state(); }

  // Fills puts, erases, put_keys and drop_keys, each thing once, as it is at the end.
  void Fill(LedgerBatch& batch) const;
  // Before is `committed`, after the end of this run.
  std::vector<Committed::Item> Items(const Snapshot& committed) const;

 private:
  class Run1;
  StateBuilder state_;
  std::map<std::pair<std::string, std::string>, std::optional<Row>> rows_;  // nothing: erased
  std::map<std::string, KeyIdentity> keys_;                                 // touched, by KeyOf
};

// InvalidArgument when the row breaks the limits of record.h.
absl::Status CheckRow(const Row& row);

}  // namespace virp::keymgr
