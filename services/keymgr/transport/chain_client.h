// What the O-Nodes say of this manager's own source.
#pragma once

#include <string>
#include <vector>

#include "lib/deliver/grpc_connection.h"
#include "services/keymgr/domain/rollback.h"

namespace virp::keymgr {

// Asks every O-Node and takes the newest answer: one that follows may lag behind. Thread-safe.
class ChainClient final : public ChainHistory {
 public:
  ChainClient(std::string origin, std::string source, std::vector<std::string> onodes, deliver::ChannelFactory channels)
      : origin_(std::move(origin)),
        source_(std::move(source)),
        onodes_(std::move(onodes)),
        channels_(std::move(channels)) {}

  absl::StatusOr<std::string> NewestFrame() override;

 private:
  // Empty when it has none; `position` is the entry's chain sequence.
  absl::StatusOr<std::string> Ask(const std::string& address, std::uint64_t& position) const;

  const std::string origin_, source_;
  const std::vector<std::string> onodes_;
  const deliver::ChannelFactory channels_;
};

}  // namespace virp::keymgr
