#include "lib/store/migration.h"

#include "lib/base/error_info.h"
#include "lib/base/status.h"

namespace virp::store {

absl::StatusOr<std::span<const Migration>> PendingMigrations(std::span<const Migration> known,
                                                             std::span<const AppliedMigration> applied) {
  for (std::size_t i = 0; i < known.size(); ++i) {
    if (known[i].number != static_cast<int>(i) + 1) {
      return Internal("schema file {} is numbered {}; numbers must be 1, 2, 3, ...", i + 1, known[i].number);
    }
  }
  if (applied.size() > known.size()) {
    return WithReason(FailedPrecondition("the database has schema {}, this program knows {}: run the newer release",
                                         applied.back().number, known.size()),
                      "SCHEMA_TOO_NEW");
  }
  for (std::size_t i = 0; i < applied.size(); ++i) {
    const AppliedMigration& there = applied[i];
    const Migration& ours = known[i];
    if (there.number != ours.number || there.name != ours.name || there.sha256 != ours.sha256) {
      return WithReason(FailedPrecondition("the database has schema file {:03}_{} (sha256 {}), this program has "
                                           "{:03}_{} (sha256 {}): they must be the same once applied",
                                           there.number, there.name, there.sha256, ours.number, ours.name, ours.sha256),
                        "SCHEMA_CHANGED");
    }
  }
  return known.subspan(applied.size());
}

absl::Status CheckComplete(std::span<const Migration> known, std::span<const AppliedMigration> applied) {
  ASSIGN_OR_RETURN(const auto pending, PendingMigrations(known, applied));
  if (pending.empty()) return absl::OkStatus();
  return WithReason(FailedPrecondition("the database has schema {}, this program needs {}: run it with --migrate",
                                       applied.size(), known.size()),
                    "SCHEMA_TOO_OLD");
}

}  // namespace virp::store
