// `keys router roll`, `fleets`, `watch-fleet`, `set-fleet`: the keys of many routers rolled with a bound on how many
// change over at once.
#include <map>

#include "lib/base/status.h"
#include "tools/virpctl/ceremony.h"
#include "tools/virpctl/fleet_options.h"
#include "tools/virpctl/keymgr_session.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/progress.h"
#include "virp/keymgr/v1/router_key.grpc.pb.h"

namespace virp::virpctl {
namespace {

namespace pb = ::virp::keymgr::v1;
using Service = pb::RouterKeyService;

std::string StateOf(const pb::RouterFleet& fleet) {
  return Short(pb::RouterFleetState_Name(fleet.state()), "ROUTER_FLEET_STATE_");
}

std::string FleetTable(const google::protobuf::RepeatedPtrField<pb::RouterFleet>& fleets) {
  Table table(
      {"FLEET", "STATE", "DONE", "SWITCHING", "READY", "INSTALLING", "STAGING", "WAITING", "FAULTY", "STARTED"});
  for (const pb::RouterFleet& fleet : fleets) {
    const pb::RouterFleetProgress& at = fleet.progress();
    table.Add({fleet.id(), StateOf(fleet), fmt::format("{} of {}", at.done(), at.total()),
               fmt::format("{}", at.switching()), fmt::format("{}", at.ready()), fmt::format("{}", at.installing()),
               fmt::format("{}", at.staging()), fmt::format("{}", at.waiting()), fmt::format("{}", at.faulty()),
               TimeText(fleet.started())});
  }
  return table.ToString();
}

template <typename Response>
absl::StatusOr<Exit> ShowFleet(const Options& options, const absl::StatusOr<Response>& response) {
  return Show(options, response, [](const Response& answer) {
    google::protobuf::RepeatedPtrField<pb::RouterFleet> one;
    *one.Add() = answer.fleet();
    return FleetTable(one);
  });
}

}  // namespace

absl::StatusOr<Exit> FleetRoll(const Options& options, const FleetOptions& fleet) {
  auto request = Change<pb::RollFleetRequest>(fleet);
  request.mutable_fleet()->set_id(fleet.id);
  request.mutable_fleet()->set_prefix(fleet.prefix);
  request.mutable_fleet()->set_asn(fleet.asn);
  request.mutable_fleet()->set_concurrency(fleet.concurrency);
  RETURN_IF_ERROR(
      Announce(fleet.yes, "The roll of many routers' keys (RFC 8634 section 3.1)",
               {fmt::format("routers {}, AS {}", fleet.prefix.empty() ? "all" : "whose id begins with " + fleet.prefix,
                            fleet.asn == 0 ? "all" : std::to_string(fleet.asn)),
                "each gets a next key, which is published, and is ordered to sign with it when relying parties know it",
                fleet.concurrency == 0 ? "the default number of routers changes over at one time"
                                       : fmt::format("{} routers change over at one time", fleet.concurrency)}));
  return ShowFleet(options, Ask(ToKeymgr(options), &Service::Stub::RollFleet, request));
}

absl::StatusOr<Exit> FleetSet(const Options& options, const FleetOptions& fleet) {
  static const std::map<std::string, pb::RouterFleetState> kStates{{"running", pb::ROUTER_FLEET_STATE_RUNNING},
                                                                   {"paused", pb::ROUTER_FLEET_STATE_PAUSED},
                                                                   {"stopped", pb::ROUTER_FLEET_STATE_STOPPED}};
  auto request = Change<pb::SetFleetStateRequest>(fleet);
  request.set_id(fleet.id);
  request.set_state(kStates.at(fleet.state));
  return ShowFleet(options, Ask(ToKeymgr(options), &Service::Stub::SetFleetState, request));
}

absl::StatusOr<Exit> FleetList(const Options& options, const FleetOptions&) {
  ASSIGN_OR_RETURN(const auto all, AskPages(ToKeymgr(options), &Service::Stub::ListFleets, pb::ListFleetsRequest(),
                                            &pb::ListFleetsResponse::mutable_fleets));
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(all));
  } else {
    Print(FleetTable(all.fleets()));
  }
  return Exit::kYes;
}

absl::StatusOr<Exit> FleetWatch(const Options& options, const FleetOptions& fleet) {
  pb::WatchFleetRequest request;
  request.set_id(fleet.id);
  ASSIGN_OR_RETURN(const auto channel, Connect(ToKeymgr(options)));
  Service::Stub stub(channel);
  grpc::ClientContext context;  // no deadline: a roll takes days
  const auto stream = stub.WatchFleet(&context, request);
  pb::WatchFleetResponse now;
  {
    Progress progress("changed over", 1);
    while (stream->Read(&now)) {
      if (options.json) RETURN_IF_ERROR(PrintJsonLine(now));
      progress.SetTotal(now.fleet().progress().total());
      progress.Draw(now.fleet().progress().done());
      if (now.fleet().state() >= pb::ROUTER_FLEET_STATE_STOPPED) context.TryCancel();
    }
  }
  const absl::Status ended = service::FromGrpcStatus(stream->Finish());
  const bool over = now.fleet().state() >= pb::ROUTER_FLEET_STATE_STOPPED;
  if (!over) return ended.ok() ? absl::StatusOr<Exit>(Exit::kCannotSay) : absl::StatusOr<Exit>(ended);
  if (!options.json) {
    google::protobuf::RepeatedPtrField<pb::RouterFleet> one;
    *one.Add() = now.fleet();
    Print(FleetTable(one));
  }
  return now.fleet().state() == pb::ROUTER_FLEET_STATE_DONE ? Exit::kYes : Exit::kNo;
}

}  // namespace virp::virpctl
