// The audit records as lib/deliver carries them to the O-Node: straight out of the ledger's table, in which they are
// durable already. Delivery numbers are record numbers.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <string>
#include <vector>

#include "lib/base/mutex.h"
#include "lib/deliver/frame_log.h"
#include "services/keymgr/domain/ledger.h"
#include "services/keymgr/domain/ledger_store.h"

namespace virp::keymgr {

// Thread-safe. What it is given outlives it. Subscribe it before the ledger starts.
class AuditLog final : public deliver::FrameLog {
 public:
  AuditLog(Ledger& ledger, LedgerStore& store, std::string source);

  absl::StatusOr<std::vector<deliver::SpooledFrame>> Read(std::uint64_t after, std::size_t frames,
                                                          std::size_t bytes) const override;
  bool WaitFor(std::uint64_t after, std::chrono::steady_clock::time_point deadline) const override;
  absl::Status Free(std::uint64_t number) override;
  Ends ends() const override;

  // Lets records out. Each time that the state was loaded they are held back until it is known that the ledger is the
  // one that the chain knows: other frames under the same numbers would be taken for equivocation.
  void Release();

  // How many records no audited checkpoint has shown yet.
  std::uint64_t undelivered() const;

 private:
  std::uint64_t visible() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return held_ ? 0 : newest_; }

  LedgerStore& store_;
  const std::string source_;
  mutable Mutex mutex_;
  mutable std::condition_variable_any changed_;
  std::uint64_t newest_ ABSL_GUARDED_BY(mutex_) = 0;  // 0 while this manager is not active: then nothing is delivered
  std::uint64_t freed_ ABSL_GUARDED_BY(mutex_) = 0;
  bool held_ ABSL_GUARDED_BY(mutex_) = true;
};

}  // namespace virp::keymgr
