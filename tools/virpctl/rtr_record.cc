#include "tools/virpctl/rtr_record.h"

#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/chain/proof.h"
#include "lib/frame/frame.h"
#include "tools/virpctl/memory.h"

namespace virp::virpctl {

absl::StatusOr<RtrRecord> ProveRecord(const Options& options, const std::shared_ptr<grpc::Channel>& channel,
                                      const std::string& proof_file) {
  ASSIGN_OR_RETURN(const Memory memory, Memory::Open(options, channel));
  ASSIGN_OR_RETURN(const chain::Proof proof, chain::DecodeProof(proof_file));
  ASSIGN_OR_RETURN(const chain::Checkpoint checkpoint, chain::ParseCheckpointUnverified(proof.checkpoint));
  RtrRecord record;
  record.origin = options.connection.origin.empty() ? checkpoint.origin : options.connection.origin;
  RETURN_IF_ERROR(memory.SeeProofs(record.origin, {proof_file}));
  ASSIGN_OR_RETURN(const chain::Entry entry, chain::DecodeEntry(proof.entry));
  const auto frame = frame::Decode(entry.frame, entry.header.spelling);
  if (!frame.ok()) return RecordDiffers("the entry that is proven holds no frame");
  record.sequence = entry.header.sequence;
  record.received = entry.header.received_us * 1'000;
  record.payload = std::string(frame->payload);
  record.frame = entry.frame;
  return record;
}

absl::Status RecordDiffers(std::string_view what) {
  return WithReason(DataLoss("{}", what), kRecordDiffers);
}

}  // namespace virp::virpctl
