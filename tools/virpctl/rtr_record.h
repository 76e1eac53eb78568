// Records of the RTR bridge as the chain holds them, each proven here.
#pragma once

#include <grpcpp/channel.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/frame/payload.h"
#include "tools/virpctl/commands.h"

namespace virp::virpctl {

struct RtrRecord {
  std::string origin;  // of the chain
  std::uint64_t sequence = 0;
  UnixNanos received = 0;
  std::string frame, payload;
};

// Verifies a proof file against the keys that are believed and what was seen of the chain before. `channel` leads to
// the O-Node. Errors as Memory::SeeProofs.
absl::StatusOr<RtrRecord> ProveRecord(const Options& options, const std::shared_ptr<grpc::Channel>& channel,
                                      const std::string& proof_file);

// With reason RECORD_DIFFERS.
absl::Status RecordDiffers(std::string_view what);

}  // namespace virp::virpctl
