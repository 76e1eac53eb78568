#include "services/keymgr/transport/chain_client.h"

#include <chrono>

#include "lib/base/status.h"
#include "lib/chain/entry.h"
#include "lib/service/errors.h"
#include "virp/chain/v1/chain_service.grpc.pb.h"
#include "virp/source/v1/source_service.grpc.pb.h"

namespace virp::keymgr {
namespace {

constexpr std::chrono::seconds kPatience{10};

void SetDeadline(grpc::ClientContext& context) {
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
}

}  // namespace

absl::StatusOr<std::string> ChainClient::Ask(const std::string& address, std::uint64_t& position) const {
  ASSIGN_OR_RETURN(const auto channel, channels_(address));
  source::v1::GetSourceRequest about;
  about.set_origin(origin_);
  about.set_name(source_);
  source::v1::GetSourceResponse source;
  grpc::ClientContext asking;
  SetDeadline(asking);
  const grpc::Status asked = source::v1::SourceService::NewStub(channel)->GetSource(&asking, about, &source);
  if (asked.error_code() == grpc::NOT_FOUND) return std::string();
  if (!asked.ok()) return service::FromGrpcStatus(asked);
  if (!source.source().has_newest_entry()) return std::string();
  position = source.source().newest_entry();
  chain::v1::GetEntryRequest where;
  where.set_origin(origin_);
  where.set_sequence(position);
  chain::v1::GetEntryResponse entry;
  grpc::ClientContext reading;
  SetDeadline(reading);
  const grpc::Status read = chain::v1::ChainService::NewStub(channel)->GetEntry(&reading, where, &entry);
  if (!read.ok()) return service::FromGrpcStatus(read);
  ASSIGN_OR_RETURN(const chain::Entry decoded, chain::DecodeEntry(entry.entry().entry()));
  return std::string(decoded.frame);
}

absl::StatusOr<std::string> ChainClient::NewestFrame() {
  absl::Status failed = Unavailable("no O-Node is configured");
  bool answered = false;
  std::string newest;
  std::uint64_t newest_position = 0;
  for (const std::string& address : onodes_) {
    std::uint64_t position = 0;
    auto frame = Ask(address, position);
    if (!frame.ok()) {
      failed = Annotate(frame.status(), address);
      continue;
    }
    answered = true;
    if (!frame->empty() && (newest.empty() || position > newest_position)) {
      newest = *std::move(frame);
      newest_position = position;
    }
  }
  if (!answered) return WithCode(failed, absl::StatusCode::kUnavailable);
  return newest;
}

}  // namespace virp::keymgr
