// What people are to be told of: routers that do not report (RFC 8635 section 6.2.1), compromised keys.
#include <map>

#include "lib/base/status.h"
#include "lib/frame/payload.h"
#include "services/keymgr/domain/audit_frame.h"
#include "services/keymgr/domain/router_keys.h"

namespace virp::keymgr {

std::size_t RouterKeys::OverdueReports() const {
  std::size_t out = 0;
  const UnixNanos now = clock_.NowNanos();
  ledger_.snapshot()->ForEach<RouterSlotRecord>([&](const SlotPtr& slot) {
    for (const RouterVersion& version : slot->versions)
      out += static_cast<std::size_t>(IsReportOverdue(*slot, version, options_.times, now));
    return true;
  });
  return out;
}

std::size_t RouterKeys::CompromisedKeys() const {
  std::size_t out = 0;
  ledger_.snapshot()->ForEach<RouterSlotRecord>([&](const SlotPtr& slot) {
    out += CompromisedInUse(*slot);
    return true;
  });
  return out;
}

absl::Status RouterKeys::TellOverdueReports() {
  const auto overdue = [this](const RouterSlotRecord& slot, const RouterVersion& version, UnixNanos now) {
    return !version.overdue_told && IsReportOverdue(slot, version, options_.times, now);
  };
  std::map<std::string, std::vector<std::uint32_t>> late;
  std::size_t count = 0;
  const UnixNanos now = clock_.NowNanos();
  ledger_.snapshot()->ForEach<RouterSlotRecord>([&](const SlotPtr& slot) {
    for (const RouterVersion& version : slot->versions) {
      if (count == kMaxAuditKeys || !overdue(*slot, version, now)) continue;
      late[slot->id()].push_back(version.version);
      ++count;
    }
    return count < kMaxAuditKeys;
  });
  if (late.empty()) return absl::OkStatus();
  const auto edit = [&](const Snapshot& state, Changes& changes) -> absl::Status {
    AuditRecord audit;
    audit.event = "router_reports_overdue";
    audit.tier = frame::Tier::kYellow;
    for (const auto& [id, versions] : late) {
      const SlotPtr before = state.Find<RouterSlotRecord>(id);
      if (before == nullptr) continue;
      auto slot = std::make_shared<RouterSlotRecord>(*before);
      for (const std::uint32_t number : versions) {
        RouterVersion* const version = slot->Find(number);
        if (version == nullptr || !overdue(*slot, *version, changes.now())) continue;  // it reported meanwhile
        version->overdue_told = true;
        audit.keys.push_back(slot->identity(number));
      }
      book_.Put(changes, std::move(slot));
    }
    if (audit.keys.empty()) return absl::CancelledError("all have reported");
    changes.Audit(std::move(audit));
    return absl::OkStatus();
  };
  const absl::Status done =
      ledger_.Commit(OwnCall("router-reports", "the router has not said that the key is installed"), edit).status();
  return absl::IsCancelled(done) ? absl::OkStatus() : done;
}

}  // namespace virp::keymgr
