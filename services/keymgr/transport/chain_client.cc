#include "services/keymgr/transport/chain_client.h"

#include <algorithm>
#include <chrono>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/chain/entry.h"
#include "lib/service/errors.h"
#include "lib/service/wire.h"
#include "virp/chain/v1/chain_service.grpc.pb.h"
#include "virp/source/v1/source_service.grpc.pb.h"

namespace virp::keymgr {
namespace {

constexpr std::chrono::seconds kPatience{10};

void SetDeadline(grpc::ClientContext& context) {
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
}

}  // namespace

absl::StatusOr<chain::v1::GetChainResponse> ChainClient::AskChain(const std::string& address) const {
  ASSIGN_OR_RETURN(const auto channel, channels_(address));
  chain::v1::GetChainRequest request;
  request.set_origin(origin_);
  chain::v1::GetChainResponse chain;
  grpc::ClientContext asking;
  SetDeadline(asking);
  const grpc::Status asked = chain::v1::ChainService::NewStub(channel)->GetChain(&asking, request, &chain);
  if (!asked.ok()) return service::FromGrpcStatus(asked);
  return chain;
}

absl::StatusOr<std::optional<UnixNanos>> ChainClient::NewestTime() {
  absl::Status failed = Unavailable("no O-Node is configured");
  bool answered = false;
  std::optional<UnixNanos> newest;
  for (const std::string& address : onodes_) {
    const auto chain = AskChain(address);
    if (!chain.ok()) {
      failed = Annotate(chain.status(), address);
      continue;
    }
    answered = true;
    if (!chain->has_newest_entry_at()) continue;
    ASSIGN_OR_RETURN(const UnixNanos time, service::NanosOf(chain->newest_entry_at(), "newest_entry_at"));
    newest = std::max(newest.value_or(0), time);
  }
  if (!answered) return failed;
  return newest;
}

// What a chain says that is shorter than a checkpoint which was audited here is behind: it follows its leader, or was
// restored. A key that left since then would leave again.
absl::Status ChainClient::CheckLength(const std::string& address) const {
  const std::uint64_t audited = audited_size_();
  if (audited == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const chain::v1::GetChainResponse chain, AskChain(address));
  if (chain.size() >= audited) return absl::OkStatus();
  return Unavailable(
      "it holds {} entries of the chain, and a checkpoint over {} was seen here: it is behind, or was restored",
      chain.size(), audited);
}

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
  RETURN_IF_ERROR(CheckLength(address));
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
