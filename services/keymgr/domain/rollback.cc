#include "services/keymgr/domain/rollback.h"

#include <algorithm>

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/sha256.h"
#include "lib/frame/payload.h"

namespace virp::keymgr {
namespace {

constexpr std::size_t kMostMissing = 100'000;

absl::Status Rollback(std::string why) {
  return WithReason(
      FailedPrecondition("{}: the database is not the one that the chain knows. It was restored from a backup, or "
                         "changed. Nothing is changed until the newest database is back, or an operator accepts that "
                         "what is missing is lost (AcceptRollback)",
                         why),
      "ROLLBACK");
}

absl::Status Beside(std::uint64_t record) {
  return WithReason(
      FailedPrecondition("audit record {} of the ledger is not the one that the chain holds: the two have "
                         "gone different ways, and none can follow the other. Restore a backup that is "
                         "part of the chain's history, or give the manager a new source name",
                         record),
      "BESIDE");
}

// The ledger's record of that number; nothing when it has none.
absl::StatusOr<std::string> FrameOf(LedgerStore& store, std::uint64_t record) {
  AuditFilter filter;
  filter.after = record - 1;
  ASSIGN_OR_RETURN(const std::vector<AuditRow> rows, store.ReadAudit(filter, 1));
  return rows.empty() || rows.front().record != record ? std::string() : rows.front().frame;
}

// Whether an operator accepted that the chain's newest frame is one that the ledger has not.
absl::StatusOr<bool> IsAccepted(LedgerStore& store, const std::string& newest) {
  AuditFilter filter;
  filter.event = kRollbackAccepted;
  filter.descending = true;
  ASSIGN_OR_RETURN(const std::vector<AuditRow> rows, store.ReadAudit(filter, 1));
  if (rows.empty()) return false;
  ASSIGN_OR_RETURN(const frame::Frame frame, frame::Decode(rows.front().frame, frame::Spelling::kV2));
  frame::PayloadReader reader;
  ASSIGN_OR_RETURN(const frame::Value payload, reader.Read(frame.payload));
  return payload["chain_frame_sha256"].AsString() == HexEncode(View(crypto::Sha256(newest)));
}

}  // namespace

absl::StatusOr<ChainRecord> ReadChainRecord(const std::string& frame, const OwnFrame& own) {
  const auto decoded = frame::Decode(frame, frame::Spelling::kV2);
  if (!decoded.ok() || !own(*decoded))
    return DataLoss("the O-Node answered with a frame that this manager's key did not sign");
  frame::PayloadReader reader;
  ASSIGN_OR_RETURN(const frame::Value payload, reader.Read(decoded->payload));
  ChainRecord out;
  out.record = payload["record"].AsUnsigned().value_or(0);
  if (out.record == 0)
    return DataLoss("the chain's frame {} of this source names no audit record", decoded->header.sequence);
  out.epoch = decoded->header.boot_epoch;
  out.event = payload["event"].AsString().value_or("");
  out.source = payload["source"].AsString().value_or("");
  for (const frame::Value::Member& key : payload["keys"].members()) {
    KeyIdentity& identity = out.keys.emplace_back();
    const auto kind = KeyKindFromName(key.value["kind"].AsString().value_or(""));
    const auto algorithm = AlgorithmFromName(key.value["algorithm"].AsString().value_or(""));
    if (!kind || !algorithm) return DataLoss("audit record {} names a key of no kind that is known here", out.record);
    identity.kind = *kind;
    identity.id = key.value["id"].AsString().value_or("");
    identity.version = static_cast<std::uint32_t>(key.value["version"].AsUnsigned().value_or(0));
    identity.algorithm = *algorithm;
  }
  out.frame = frame;
  return out;
}

absl::StatusOr<std::vector<ChainRecord>> MissingRecords(ChainHistory& chain, LedgerStore& store, const OwnFrame& own) {
  ASSIGN_OR_RETURN(const LedgerHead head, store.ReadHead());
  std::vector<ChainRecord> missing;
  bool meets = head.record == 0;  // an empty ledger is part of every history
  const auto visit = [&](const std::string& frame) -> absl::StatusOr<bool> {
    ASSIGN_OR_RETURN(ChainRecord record, ReadChainRecord(frame, own));
    // Behind an accepted rollback numbers begin again: the ledger's own frame is what it is told by.
    if (record.record <= head.record) {
      ASSIGN_OR_RETURN(const std::string here, FrameOf(store, record.record));
      if (here != frame && record.record == head.record) return Beside(record.record);
      if (here == frame) {
        meets = record.record == head.record;
        return false;
      }
    }
    if (missing.size() == kMostMissing)
      return ResourceExhausted("the chain holds more than {} records that the ledger has not", kMostMissing);
    missing.push_back(std::move(record));
    return true;
  };
  RETURN_IF_ERROR(chain.Walk(visit));
  if (!meets) return Beside(head.record);
  std::reverse(missing.begin(), missing.end());
  return missing;
}

absl::Status CheckAgainstChain(ChainHistory& chain, LedgerStore& store, const OwnFrame& own) {
  ASSIGN_OR_RETURN(const std::string newest, chain.NewestFrame());
  ASSIGN_OR_RETURN(const LedgerHead head, store.ReadHead());
  if (newest.empty()) {
    if (head.delivered == 0 || !chain.WasSeen()) return absl::OkStatus();
    return Unavailable(
        "the chain holds no record of this manager, though a checkpoint showed {} of them: bring back an O-Node that "
        "has them",
        head.delivered);
  }
  ASSIGN_OR_RETURN(const ChainRecord record, ReadChainRecord(newest, own));
  ASSIGN_OR_RETURN(const std::string here, FrameOf(store, record.record));
  if (here == newest) return absl::OkStatus();
  ASSIGN_OR_RETURN(const bool accepted, IsAccepted(store, newest));
  if (accepted) return absl::OkStatus();
  if (head.record < record.record) {
    return Rollback(fmt::format("the chain holds audit record {} of this manager, its ledger ends at {}", record.record,
                                head.record));
  }
  return Rollback(fmt::format("audit record {} is another in the chain than in the ledger", record.record));
}

}  // namespace virp::keymgr
