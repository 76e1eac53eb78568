// What the O-Nodes say of this manager's own source.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "lib/deliver/grpc_connection.h"
#include "services/keymgr/domain/rollback.h"
#include "virp/chain/v1/chain_service.pb.h"

namespace virp::keymgr {

// Asks every O-Node and takes the newest answer: one that follows may lag behind. Thread-safe.
class ChainClient final : public ChainHistory {
 public:
  // `was_seen` as WasSeen. `audited_size`: of the largest checkpoint that was audited here, 0 for none; an O-Node whose
  // chain is shorter is no answer.
  ChainClient(std::string origin, std::string source, std::vector<std::string> onodes, deliver::ChannelFactory channels,
              bool was_seen, std::function<std::uint64_t()> audited_size)
      : origin_(std::move(origin)),
        source_(std::move(source)),
        onodes_(std::move(onodes)),
        channels_(std::move(channels)),
        was_seen_(was_seen),
        audited_size_(std::move(audited_size)) {}

  absl::StatusOr<std::string> NewestFrame() override;
  bool WasSeen() const override { return was_seen_; }
  absl::StatusOr<std::optional<UnixNanos>> NewestTime() override;
  absl::Status Walk(const std::function<absl::StatusOr<bool>(const std::string& frame)>& visit) override;

 private:
  // An entry of the source; no frame when there is none.
  struct Place {
    std::string address{};
    std::uint64_t position = 0;  // chain sequence
    std::string frame{};
    std::uint64_t previous = 0;  // chain sequence of the source's entry before; chain::kNone at the first
  };
  absl::StatusOr<chain::v1::GetChainResponse> AskChain(const std::string& address) const;
  absl::Status CheckLength(const std::string& address) const;
  absl::StatusOr<Place> Newest() const;
  absl::StatusOr<Place> AskNewest(const std::string& address) const;
  absl::StatusOr<Place> Read(const std::shared_ptr<grpc::Channel>& channel, Place place) const;

  const std::string origin_, source_;
  const std::vector<std::string> onodes_;
  const deliver::ChannelFactory channels_;
  const bool was_seen_;
  const std::function<std::uint64_t()> audited_size_;
};

}  // namespace virp::keymgr
