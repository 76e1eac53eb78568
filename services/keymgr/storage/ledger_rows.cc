#include "services/keymgr/storage/ledger_rows.h"

#include <fmt/format.h>

#include "lib/base/status.h"

namespace virp::keymgr {

absl::Status CheckLedgerBatch(const LedgerBatch& batch) {
  if (batch.records.empty()) return InvalidArgument("a batch without an audit record");
  std::uint64_t expected = batch.old_record;
  for (const AuditRow& row : batch.records) {
    if (row.record != ++expected) return InvalidArgument("audit record {} where {} was expected", row.record, expected);
  }
  return absl::OkStatus();
}

absl::Status CheckLease(std::string_view instance, std::string_view address, std::chrono::milliseconds duration) {
  if (instance.empty() || instance.size() > 128 || address.size() > 512)
    return InvalidArgument("a lease needs an instance of 1 to 128 bytes and an address of at most 512");
  if (duration.count() <= 0 || duration > kLongestLease)
    return InvalidArgument("a lease of {} ms; wanted up to a day", duration.count());
  return absl::OkStatus();
}

absl::Status Fenced(std::uint64_t term) {
  return Aborted("term {} is over: another key manager has taken the lease, or the ledger has another end", term);
}

absl::Status LeaseHeld(std::string_view holder) {
  return Aborted(
      "another key manager, instance {}, holds the lease: this one takes over when that one stops, or seconds after it "
      "died",
      holder);
}

absl::StatusOr<KeyIdentity> IdentityFrom(std::string_view kind, std::string_view id, std::uint64_t version,
                                         std::string_view algorithm) {
  const auto of_kind = KeyKindFromName(kind);
  const auto of_algorithm = AlgorithmFromName(algorithm);
  if (!of_kind || !of_algorithm || version > 0xffff'ffff)
    return DataLoss("the database names a key that is none: {} {} {} {}", kind, id, version, algorithm);
  return KeyIdentity{*of_kind, std::string(id), static_cast<std::uint32_t>(version), *of_algorithm};
}

absl::StatusOr<ExportPolicy> PolicyFrom(std::string_view name) {
  if (const auto policy = ExportPolicyFromName(name)) return *policy;
  return DataLoss("the database names an export policy that is none: {}", name);
}

std::string AuditQuery(std::string_view tables_prefix, std::string_view placeholder, bool descending) {
  const auto value = [&](int n) { return fmt::format("{}{}", placeholder, n); };
  return fmt::format(
      "SELECT a.record, a.epoch, a.sequence, a.time_ns, a.event, a.source, a.actor, a.method, a.reason, a.request_id,"
      " a.request_sha256, a.answer, a.frame FROM {0}audit a"
      " WHERE a.record {1} {3} AND a.time_ns >= {4} AND a.time_ns < {5} AND ({6} = '' OR a.event = {6})"
      " AND ({7} = '' OR a.actor = {7}) AND ({8} = '' OR a.source = {8}) AND ({9} = '' OR a.request_id = {9})"
      " AND ({10} = '' OR EXISTS (SELECT 1 FROM {0}audit_key k WHERE k.record = a.record AND k.kind = {10}"
      " AND ({11} = '' OR k.id = {11}))) ORDER BY a.record {2} LIMIT {12}",
      tables_prefix, descending ? "<" : ">", descending ? "DESC" : "ASC", value(1), value(2), value(3), value(4),
      value(5), value(6), value(7), value(8), value(9), value(10));
}

}  // namespace virp::keymgr
