// Questions to the RTR bridge.
#include "lib/base/bytes.h"
#include "lib/base/file.h"
#include "lib/base/status.h"
#include "tools/virpctl/keymgr_session.h"
#include "tools/virpctl/memory.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/rtr_bridge_session.h"
#include "tools/virpctl/rtr_options.h"
#include "tools/virpctl/rtr_record.h"
#include "tools/virpctl/session.h"

namespace virp::virpctl {
namespace {

namespace pb = ::virp::rtr::v1;
using Service = pb::RtrService;

std::string OrDash(const std::string& text) {
  return text.empty() ? "-" : Printable(text);
}

std::string CountsText(const pb::Counts& counts) {
  return fmt::format("{} IPv4 and {} IPv6 VRPs, {} router keys, {} ASPAs", counts.vrps_ipv4(), counts.vrps_ipv6(),
                     counts.router_keys(), counts.aspas());
}

std::string SerialsText(const pb::Generation& generation) {
  std::string text;
  for (const pb::VersionSerial& serial : generation.serials())
    text += fmt::format("{}v{}:{}/{}", text.empty() ? "" : " ", serial.version(), serial.session_id(), serial.serial());
  return OrDash(text);
}

void AddHeld(Table& table, const pb::HeldGeneration& held) {
  table.Add(
      {"held", fmt::format("generation {} since {}{}: {}", held.generation(), TimeText(held.since()),
                           held.has_until() ? ", until " + TimeText(held.until()) : "", CountsText(held.counts()))});
  table.Add({"held set", HexEncode(held.sha256())});
  for (const std::string& reason : held.reasons()) table.Add({"held because", Printable(reason)});
}

template <typename Sources>
std::string SourcesTable(const Sources& sources) {
  Table table({"SOURCE", "LOCATION", "LAST GOOD", "BUILT", "VRPS", "KEYS", "ASPAS", "PROBLEM"});
  for (const pb::SourceStatus& source : sources) {
    const pb::Counts& counts = source.counts();
    table.Add({source.name(), source.location(), source.has_last_good() ? TimeText(source.last_good()) : "never",
               source.has_built() ? TimeText(source.built()) : "-",
               fmt::format("{}", counts.vrps_ipv4() + counts.vrps_ipv6()), fmt::format("{}", counts.router_keys()),
               fmt::format("{}", counts.aspas()),
               source.expired() ? "EXPIRED: " + Printable(source.problem()) : OrDash(source.problem())});
  }
  return table.ToString();
}

void AddServing(Table& table, const pb::Generation& generation) {
  table.Add({"generation", fmt::format("{} since {}", generation.generation(), TimeText(generation.activated()))});
  table.Add({"serves", CountsText(generation.counts())});
  table.Add({"set", HexEncode(generation.sha256())});
  table.Add({"serials", SerialsText(generation)});
}

// 1 when nothing is served, 3 when something wants a look.
Exit ExitOf(const pb::GetStatusResponse& status) {
  if (!status.has_serving()) return Exit::kNo;
  bool well = !status.has_held() && status.slurm_problem().empty() && status.delivery().problem().empty();
  for (const pb::SourceStatus& source : status.sources()) well = well && source.problem().empty();
  return well ? Exit::kYes : Exit::kCannotSay;
}

}  // namespace

absl::StatusOr<Exit> RtrStatus(const Options& options, const RtrBridgeOptions&) {
  ASSIGN_OR_RETURN(const auto status, Ask(ToRtrBridge(options), &Service::Stub::GetStatus, pb::GetStatusRequest()));
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(status));
    return ExitOf(status);
  }
  Table table({"ITEM", "VALUE"});
  table.Add({"bridge", OrDash(status.name())});
  if (status.has_serving()) {
    AddServing(table, status.serving());
  } else {
    table.Add({"serves", status.serving_state() == pb::SERVING_STATE_STOPPED ? "NOTHING ANY MORE" : "NOTHING YET"});
  }
  if (status.has_stale_since())
    table.Add(
        {"STALE", fmt::format("since {}: {}", TimeText(status.stale_since()), Printable(status.merge_problem()))});
  if (status.has_held()) AddHeld(table, status.held());
  table.Add({"merge", Short(pb::MergePolicy_Name(status.merge_policy()), "MERGE_POLICY_")});
  for (const pb::SlurmStatus& slurm : status.slurm_files())
    table.Add({"SLURM", fmt::format("{}: {} filters, {} assertions", Printable(slurm.path()), slurm.filters(),
                                    slurm.assertions())});
  if (!status.slurm_problem().empty()) table.Add({"SLURM problem", Printable(status.slurm_problem())});
  table.Add({"routers", fmt::format("{}, of them {} current, {} confirmed", status.routers(), status.routers_current(),
                                    status.routers_confirmed())});
  const pb::DeliveryStatus& delivery = status.delivery();
  table.Add({"evidence", fmt::format("to {}, {} pending{}", OrDash(delivery.connected_to()), delivery.pending(),
                                     delivery.problem().empty() ? "" : ": " + Printable(delivery.problem()))});
  Print(table.ToString() + "\n" + SourcesTable(status.sources()));
  return ExitOf(status);
}

absl::StatusOr<Exit> RtrSessions(const Options& options, const RtrBridgeOptions& bridge) {
  pb::ListSessionsRequest request;
  request.set_include_closed(bridge.closed);
  ASSIGN_OR_RETURN(const auto all, AskPages(ToRtrBridge(options), &Service::Stub::ListSessions, request,
                                            &pb::ListSessionsResponse::mutable_sessions, bridge.limit));
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(all));
    return Exit::kYes;
  }
  Table table({"ROUTER", "OVER", "IDENTITY", "VERSION", "SENT", "CONFIRMED", "LAG", "SINCE", "HEARD", "BYTES SENT",
               "QUEUED", "ERROR"});
  for (const pb::RouterSession& session : all.sessions()) {
    const bool closed = session.has_closed();
    table.Add({session.peer(), Short(pb::Transport_Name(session.transport()), "TRANSPORT_"), OrDash(session.identity()),
               session.has_version() ? fmt::format("{}", session.version()) : "-",
               session.sent_sha256().empty() ? "-" : fmt::format("{}/{}", session.session_id(), session.sent_serial()),
               session.has_confirmed_serial() ? fmt::format("{}", session.confirmed_serial()) : "-",
               session.has_lag() ? fmt::format("{}", session.lag()) : "-", TimeText(session.connected()),
               closed ? "left " + TimeText(session.closed()) : TimeText(session.last_heard()),
               fmt::format("{}", session.bytes_sent()), fmt::format("{}", session.bytes_queued()),
               OrDash(session.last_error())});
  }
  Print(table.ToString());
  return Exit::kYes;
}

absl::StatusOr<Exit> RtrGenerations(const Options& options, const RtrBridgeOptions& bridge) {
  ASSIGN_OR_RETURN(const auto all,
                   AskPages(ToRtrBridge(options), &Service::Stub::ListGenerations, pb::ListGenerationsRequest(),
                            &pb::ListGenerationsResponse::mutable_generations, bridge.limit));
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(all));
    return Exit::kYes;
  }
  Table table({"GENERATION", "SINCE", "VRPS", "KEYS", "ASPAS", "CAME", "WENT", "SERIALS", "SET"});
  for (const pb::Generation& generation : all.generations()) {
    const pb::Counts& counts = generation.counts();
    table.Add({fmt::format("{}", generation.generation()), TimeText(generation.activated()),
               fmt::format("{}", counts.vrps_ipv4() + counts.vrps_ipv6()), fmt::format("{}", counts.router_keys()),
               fmt::format("{}", counts.aspas()), fmt::format("{}", generation.announced()),
               fmt::format("{}", generation.withdrawn()), SerialsText(generation), HexEncode(generation.sha256())});
  }
  Print(table.ToString());
  return Exit::kYes;
}

namespace {

// Whether the record that the chain holds says what the bridge says.
absl::Status Compare(const pb::Generation& said, const pb::Evidence& evidence, const RtrRecord& record) {
  if (record.frame != evidence.frame()) return RecordDiffers("the chain holds another record than the bridge shows");
  frame::PayloadReader reader;
  ASSIGN_OR_RETURN(const frame::Value payload, reader.Read(record.payload));
  const bool same = payload["event"].AsString() == "generation_served" &&
                    payload["generation"].AsUnsigned() == said.generation() &&
                    payload["set_sha256"].AsString() == HexEncode(said.sha256()) &&
                    payload["serials"].size() == static_cast<std::size_t>(said.serials_size());
  if (!same) return RecordDiffers("the chain's record is of another generation than the bridge shows");
  for (int i = 0; i < said.serials_size(); ++i) {
    const frame::Value serial = payload["serials"].at(static_cast<std::size_t>(i));
    if (serial["version"].AsUnsigned() != said.serials(i).version() ||
        serial["session_id"].AsUnsigned() != said.serials(i).session_id() ||
        serial["serial"].AsUnsigned() != said.serials(i).serial())
      return RecordDiffers("the chain's record has other serials than the bridge shows");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Exit> RtrGeneration(const Options& options, const RtrBridgeOptions& bridge) {
  pb::GetGenerationRequest request;
  request.set_generation(bridge.generation);
  ASSIGN_OR_RETURN(const auto response, Ask(ToRtrBridge(options), &Service::Stub::GetGeneration, request));
  const pb::Generation& generation = response.generation();
  const pb::Evidence& evidence = response.evidence();
  std::string proven = "NOT PROVEN: " + OrDash(evidence.problem());
  if (!evidence.proof_file().empty()) {
    ASSIGN_OR_RETURN(const auto channel, Connect(options.connection));
    ASSIGN_OR_RETURN(const RtrRecord record, ProveRecord(options, channel, evidence.proof_file()));
    RETURN_IF_ERROR(Compare(generation, evidence, record));
    proven = fmt::format("entry {} of {}, received {}", record.sequence, record.origin, TimeText(record.received));
    if (!bridge.save.empty()) RETURN_IF_ERROR(ReplaceFile(bridge.save, evidence.proof_file(), 0644));
  }
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(response));
  } else {
    Table table({"ITEM", "VALUE"});
    AddServing(table, generation);
    for (const pb::SourceHash& source : generation.sources())
      table.Add({"source", fmt::format("{} {}", Printable(source.name()), HexEncode(source.sha256()))});
    for (const pb::SourceHash& slurm : generation.slurm())
      table.Add({"SLURM", fmt::format("{} {}", Printable(slurm.name()), HexEncode(slurm.sha256()))});
    table.Add({"proof", proven});
    Print(table.ToString());
  }
  return evidence.proof_file().empty() ? Exit::kCannotSay : Exit::kYes;
}

absl::StatusOr<Exit> RtrRefresh(const Options& options, const RtrBridgeOptions& bridge) {
  auto request = Change<pb::RefreshRequest>(bridge);
  request.set_accept_generation(bridge.accept);
  if (bridge.accept != 0) {
    auto set = HexDecode(bridge.accept_set);
    if (!set.ok()) return Annotate(set.status(), "--set");
    request.set_accept_sha256(*std::move(set));
  }
  ASSIGN_OR_RETURN(const auto response, Ask(ToRtrBridge(options), &Service::Stub::Refresh, request));
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(response));
  } else {
    Table table({"ITEM", "VALUE"});
    AddServing(table, response.serving());
    if (response.has_held()) AddHeld(table, response.held());
    Print(table.ToString() + "\n" + SourcesTable(response.sources()));
  }
  return response.has_held() ? Exit::kCannotSay : Exit::kYes;
}

}  // namespace virp::virpctl
