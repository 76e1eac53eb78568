// Checkpoints and the quarantine.
#include "services/onode/storage/postgres/postgres_call.h"

namespace virp::onode {
namespace {

using store::Blob;
using store::PostgresResult;

StoredCheckpoint CheckpointFrom(const PostgresResult& row) {
  return {row.Uint(0, 0), HashFromBytes(row.Bytes(0, 1)).value_or(Hash{}), std::string(row.Text(0, 2))};
}

absl::Status NoCheckpoint(ChainId chain, std::uint64_t size) {
  return NotFound("chain {} has no signed checkpoint of size {} or more", chain, size);
}

}  // namespace

absl::Status PostgresChainStore::PutCheckpointIntent(ChainId chain, std::uint64_t term, std::uint64_t size,
                                                     const Hash& root) {
  RETURN_IF_ERROR(CheckSize(size));
  ASSIGN_OR_RETURN(const PostgresResult put, Write("SELECT onode.put_checkpoint_intent($1, $2, $3, $4)", chain,
                                                   ToSigned(term), ToSigned(size), Blob(root)));
  if (put.IsNull(0, 0)) return NoSuchChain(chain);
  const std::string_view outcome = put.Text(0, 0);
  if (outcome == "ok") return absl::OkStatus();
  if (outcome == "fenced") return Fenced(chain, term);
  if (outcome == "beyond") return BeyondHead(chain, size);
  return AnotherRoot(chain, size);
}

absl::Status PostgresChainStore::PutCheckpointNote(ChainId chain, std::uint64_t size, std::string_view note) {
  RETURN_IF_ERROR(CheckSize(size));
  RETURN_IF_ERROR(CheckNote(note));
  ASSIGN_OR_RETURN(const PostgresResult put,
                   Write("SELECT onode.put_checkpoint_note($1, $2, $3)", chain, ToSigned(size), note));
  return put.Bool(0, 0) ? absl::OkStatus() : NoIntent(chain, size);
}

absl::StatusOr<StoredCheckpoint> PostgresChainStore::LatestCheckpoint(ChainId chain) {
  ASSIGN_OR_RETURN(const PostgresResult row, Read("SELECT size, root, note FROM onode.checkpoint"
                                                  " WHERE chain_id=$1 AND note IS NOT NULL ORDER BY size DESC LIMIT 1",
                                                  chain));
  if (row.rows() == 0) return NoCheckpoint(chain, 0);
  return CheckpointFrom(row);
}

absl::StatusOr<StoredCheckpoint> PostgresChainStore::CheckpointAtOrAfter(ChainId chain, std::uint64_t size) {
  if (size > kMaxSequence) return NoCheckpoint(chain, size);
  ASSIGN_OR_RETURN(const PostgresResult row,
                   Read("SELECT size, root, note FROM onode.checkpoint"
                        " WHERE chain_id=$1 AND size>=$2 AND note IS NOT NULL ORDER BY size LIMIT 1",
                        chain, ToSigned(size)));
  if (row.rows() == 0) return NoCheckpoint(chain, size);
  return CheckpointFrom(row);
}

absl::StatusOr<std::uint64_t> PostgresChainStore::PutQuarantine(ChainId chain, const QuarantinedFrame& frame) {
  RETURN_IF_ERROR(CheckQuarantined(frame));
  ASSIGN_OR_RETURN(const PostgresResult put,
                   Write("SELECT onode.put_quarantine($1, $2, $3, $4, $5, $6, $7, $8)", chain, ToSigned(frame.received),
                         Blob(frame.path), Blob(frame.source), frame.reason, Blob(frame.frame), kQuarantineFrames,
                         kQuarantineBytes));
  if (put.IsNull(0, 0)) return NoSuchChain(chain);
  return put.Uint(0, 0);
}

absl::StatusOr<std::vector<QuarantinedFrame>> PostgresChainStore::ListQuarantine(ChainId chain, std::uint64_t after_id,
                                                                                 std::size_t limit) {
  RETURN_IF_ERROR(CheckReadCount(limit));
  std::vector<QuarantinedFrame> out;
  if (after_id > kMaxSequence) return out;
  // The running sum bounds what the server sends; at least one frame comes, however long it is. A path holds few
  // frames, so the sum over the rest of them is cheap.
  ASSIGN_OR_RETURN(
      const PostgresResult rows,
      Read("SELECT id, received_ns, path, source, reason, frame FROM"
           " (SELECT *, sum(octet_length(frame)) OVER (ORDER BY id) AS total FROM"
           "  (SELECT * FROM onode.quarantine WHERE chain_id=$1 AND id>$2 ORDER BY id LIMIT $3) AS page) AS summed"
           " WHERE total<=$4 OR total=octet_length(frame) ORDER BY id",
           chain, ToSigned(after_id), limit, kMaxReadBytes));
  for (int i = 0; i < rows.rows(); ++i) {
    out.push_back({rows.Uint(i, 0), rows.Uint(i, 1), rows.Bytes(i, 2), rows.Bytes(i, 3), std::string(rows.Text(i, 4)),
                   rows.Bytes(i, 5)});
  }
  return out;
}

}  // namespace virp::onode
