#include "services/keymgr/domain/audit_log.h"

#include <algorithm>
#include <utility>

#include "lib/base/status.h"

namespace virp::keymgr {

AuditLog::AuditLog(Ledger& ledger, LedgerStore& store, std::string source) : store_(store), source_(std::move(source)) {
  ledger.Subscribe([this](const Committed& committed) {
    // Where delivery stood is a hint: what is sent again is answered as a duplicate.
    std::uint64_t delivered = 0;
    if (committed.loaded) {
      if (const auto head = store_.ReadHead(); head.ok()) delivered = head->delivered;
    }
    const MutexLock lock(mutex_);
    if (committed.loaded) held_ = true;
    newest_ = committed.snapshot->record();
    freed_ = std::min(newest_, std::max(freed_, delivered));
    changed_.notify_all();
  });
}

absl::StatusOr<std::vector<deliver::SpooledFrame>> AuditLog::Read(std::uint64_t after, std::size_t frames,
                                                                  std::size_t bytes) const {
  const std::uint64_t newest = ends().durable;
  if (after >= newest) return std::vector<deliver::SpooledFrame>();
  AuditFilter filter;
  filter.after = after;
  ASSIGN_OR_RETURN(std::vector<AuditRow> rows, store_.ReadAudit(filter, frames));
  std::vector<deliver::SpooledFrame> out;
  std::size_t taken = 0;
  for (AuditRow& row : rows) {
    taken += row.frame.size();
    if (row.record > newest || (!out.empty() && taken > bytes)) break;
    out.push_back({row.record, source_, row.epoch, frame::Spelling::kV2, std::move(row.frame)});
  }
  return out;
}

bool AuditLog::WaitFor(std::uint64_t after, std::chrono::steady_clock::time_point deadline) const {
  const MutexLock lock(mutex_);
  while (visible() <= after) {
    if (changed_.wait_until(mutex_, deadline) == std::cv_status::timeout) return visible() > after;
  }
  return true;
}

absl::Status AuditLog::Free(std::uint64_t number) {
  RETURN_IF_ERROR(store_.SetDelivered(number));
  const MutexLock lock(mutex_);
  freed_ = std::max(freed_, number);
  return absl::OkStatus();
}

deliver::FrameLog::Ends AuditLog::ends() const {
  const MutexLock lock(mutex_);
  const std::uint64_t freed = std::min(freed_, newest_);
  return {freed + 1, std::max(freed, visible())};
}

void AuditLog::Release() {
  const MutexLock lock(mutex_);
  held_ = false;
  changed_.notify_all();
}

std::uint64_t AuditLog::undelivered() const {
  const MutexLock lock(mutex_);
  return newest_ - std::min(freed_, newest_);
}

}  // namespace virp::keymgr
