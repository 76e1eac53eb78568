#include "services/keymgr/transport/chain_client.h"

#include <chrono>

#include "lib/base/error_info.h"
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

absl::StatusOr<ChainClient::Place> ChainClient::AskNewest(const std::string& address) const {
  ASSIGN_OR_RETURN(const auto channel, channels_(address));
  source::v1::GetSourceRequest about;
  about.set_origin(origin_);
  about.set_name(source_);
  source::v1::GetSourceResponse source;
  grpc::ClientContext asking;
  SetDeadline(asking);
  const grpc::Status asked = source::v1::SourceService::NewStub(channel)->GetSource(&asking, about, &source);
  if (!asked.ok()) {
    // An O-Node without the chain says nothing about us: it is another's, or has lost its data.
    const absl::Status refused = service::FromGrpcStatus(asked);
    if (GetReason(refused) == "NO_SOURCE") return Place{};
    return refused;
  }
  if (!source.source().has_newest_entry()) return Place{};
  return Read(channel, {.address = address, .position = source.source().newest_entry()});
}

absl::StatusOr<ChainClient::Place> ChainClient::Read(const std::shared_ptr<grpc::Channel>& channel, Place place) const {
  chain::v1::GetEntryRequest where;
  where.set_origin(origin_);
  where.set_sequence(place.position);
  chain::v1::GetEntryResponse entry;
  grpc::ClientContext reading;
  SetDeadline(reading);
  const grpc::Status read = chain::v1::ChainService::NewStub(channel)->GetEntry(&reading, where, &entry);
  if (!read.ok()) return service::FromGrpcStatus(read);
  ASSIGN_OR_RETURN(const chain::Entry decoded, chain::DecodeEntry(entry.entry().entry()));
  if (decoded.header.sequence != place.position)
    return DataLoss("{}: answered entry {} with entry {}", place.address, place.position, decoded.header.sequence);
  place.frame = decoded.frame;
  place.previous = decoded.header.source_previous;
  return place;
}

absl::StatusOr<ChainClient::Place> ChainClient::Newest() const {
  absl::Status failed = Unavailable("no O-Node is configured");
  bool answered = false;
  Place newest;
  for (const std::string& address : onodes_) {
    auto place = AskNewest(address);
    if (!place.ok()) {
      failed = Annotate(place.status(), address);
      continue;
    }
    answered = true;
    if (!place->frame.empty() && (newest.frame.empty() || place->position > newest.position))
      newest = *std::move(place);
  }
  if (!answered) return WithCode(failed, absl::StatusCode::kUnavailable);
  return newest;
}

absl::StatusOr<std::string> ChainClient::NewestFrame() {
  ASSIGN_OR_RETURN(Place newest, Newest());
  return std::move(newest.frame);
}

absl::Status ChainClient::Walk(const std::function<absl::StatusOr<bool>(const std::string& frame)>& visit) {
  ASSIGN_OR_RETURN(Place place, Newest());
  if (place.frame.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto channel, channels_(place.address));
  while (true) {
    ASSIGN_OR_RETURN(const bool on, visit(place.frame));
    if (!on || place.previous == chain::kNone) return absl::OkStatus();
    // Links of a lying O-Node could lead in a circle, or to another source; what they lead to must be ours, and
    // earlier.
    if (place.previous >= place.position) return DataLoss("{}: a link of this source leads forward", place.address);
    place.position = place.previous;
    ASSIGN_OR_RETURN(place, Read(channel, std::move(place)));
  }
}

}  // namespace virp::keymgr
