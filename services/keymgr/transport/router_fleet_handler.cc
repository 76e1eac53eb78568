// RouterKeyService: the roll of many routers' keys.
#include <algorithm>
#include <chrono>
#include <thread>

#include "lib/service/wire.h"
#include "services/keymgr/transport/router_key_handler.h"

namespace virp::keymgr {
namespace {

constexpr std::chrono::milliseconds kLook{500};
constexpr std::uint32_t kDefaultConcurrency = 50;

static_assert(v1::ROUTER_FLEET_STATE_RUNNING == static_cast<int>(FleetState::kRunning));
static_assert(v1::ROUTER_FLEET_STATE_DONE == static_cast<int>(FleetState::kDone));

bool IsOver(const FleetRecord& fleet) {
  return fleet.state == FleetState::kStopped || fleet.state == FleetState::kDone;
}

}  // namespace

void RouterKeyHandler::FillFleet(const FleetRecord& fleet, v1::RouterFleet& to) const {
  to.set_id(fleet.spec.id);
  to.set_prefix(fleet.spec.prefix);
  to.set_asn(fleet.spec.asn);
  to.set_concurrency(fleet.spec.concurrency);
  to.set_state(static_cast<v1::RouterFleetState>(fleet.state));
  const FleetProgress progress = fleets_.Progress(fleet);
  v1::RouterFleetProgress& out = *to.mutable_progress();
  out.set_total(progress.total);
  out.set_waiting(progress.waiting);
  out.set_staging(progress.staging);
  out.set_installing(progress.installing);
  out.set_faulty(progress.faulty);
  out.set_ready(progress.ready);
  out.set_switching(progress.switching);
  out.set_done(progress.done);
  to.set_complete(fleet.complete);
  to.set_started_by(fleet.started_by);
  *to.mutable_started() = service::TimestampOf(fleet.created);
  if (fleet.ended != 0) *to.mutable_ended() = service::TimestampOf(fleet.ended);
}

grpc::Status RouterKeyHandler::RollFleet(grpc::ServerContext* context, const v1::RollFleetRequest* request,
                                         v1::RollFleetResponse* response) {
  return Change(*context, "RollFleet", *request, [&](const Call& call, const RouterCaller&) -> absl::Status {
    const v1::RouterFleet& asked = request->fleet();
    FleetSpec spec{.id = asked.id(), .prefix = asked.prefix(), .asn = asked.asn(), .concurrency = asked.concurrency()};
    if (spec.concurrency == 0) spec.concurrency = kDefaultConcurrency;
    ASSIGN_OR_RETURN(const auto fleet, fleets_.Start(call, spec));
    FillFleet(*fleet, *response->mutable_fleet());
    return absl::OkStatus();
  });
}

grpc::Status RouterKeyHandler::SetFleetState(grpc::ServerContext* context, const v1::SetFleetStateRequest* request,
                                             v1::SetFleetStateResponse* response) {
  return Change(*context, "SetFleetState", *request, [&](const Call& call, const RouterCaller&) -> absl::Status {
    if (request->state() == v1::ROUTER_FLEET_STATE_UNSPECIFIED || !v1::RouterFleetState_IsValid(request->state()))
      return InvalidField("state", "is none of RUNNING, PAUSED, STOPPED");
    ASSIGN_OR_RETURN(const auto fleet, fleets_.Set(call, request->id(), static_cast<FleetState>(request->state())));
    FillFleet(*fleet, *response->mutable_fleet());
    return absl::OkStatus();
  });
}

grpc::Status RouterKeyHandler::ListFleets(grpc::ServerContext* context, const v1::ListFleetsRequest* request,
                                          v1::ListFleetsResponse* response) {
  return Answer(*context, true, [&](const RouterCaller&) -> absl::Status {
    ASSIGN_OR_RETURN(const std::size_t size, service::PageSizeOf(request->page_size()));
    ASSIGN_OR_RETURN(const std::string after, service::ReadPageToken(request->page_token(), "fleets"));
    const auto fleets = fleets_.List(after, size + 1);
    for (std::size_t i = 0; i < std::min(size, fleets.size()); ++i) FillFleet(*fleets[i], *response->add_fleets());
    if (fleets.size() > size)
      response->set_next_page_token(service::MakePageToken(fleets[size - 1]->spec.id, "fleets"));
    return absl::OkStatus();
  });
}

absl::Status RouterKeyHandler::Watch(grpc::ServerContext& context, std::string_view id,
                                     grpc::ServerWriter<v1::WatchFleetResponse>& writer) {
  ASSIGN_OR_RETURN(const service::Identity caller, callers_->Resolve(context));
  ASSIGN_OR_RETURN(const StreamPlaces::Place place, places_.Take(caller.spiffe_id));
  service::StreamGuard guard(*callers_, caller, &context);
  std::string told;
  while (!draining_ && !context.IsCancelled()) {
    RETURN_IF_ERROR(guard.Check());
    RETURN_IF_ERROR(keys_.Readable());
    ASSIGN_OR_RETURN(const auto fleet, fleets_.Get(id));
    v1::WatchFleetResponse message;
    FillFleet(*fleet, *message.mutable_fleet());
    const std::string now = message.SerializeAsString();
    if (now != told && !writer.Write(message)) return absl::CancelledError("the caller went away");
    told = now;
    if (IsOver(*fleet)) return absl::OkStatus();
    std::this_thread::sleep_for(kLook);
  }
  return draining_ ? Unavailable("the key manager is going down") : absl::OkStatus();
}

grpc::Status RouterKeyHandler::WatchFleet(grpc::ServerContext* context, const v1::WatchFleetRequest* request,
                                          grpc::ServerWriter<v1::WatchFleetResponse>* writer) {
  return Reply(Watch(*context, request->id(), *writer));
}

}  // namespace virp::keymgr
