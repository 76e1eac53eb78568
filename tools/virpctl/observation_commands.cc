// What sources said: lists, and the stream of what they say now.
#include <array>
#include <cstdio>

#include "lib/base/status.h"
#include "lib/frame/frame.h"
#include "tools/virpctl/commands.h"
#include "tools/virpctl/interrupt.h"
#include "tools/virpctl/memory.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/session.h"
#include "tools/virpctl/watch.h"
#include "virp/chain/v1/chain_service.grpc.pb.h"
#include "virp/verify/v1/verify_service.grpc.pb.h"

namespace virp::virpctl {
namespace {

namespace pb = ::virp::verify::v1;
using Service = pb::VerifyService;
using Entry = ::virp::chain::v1::Entry;

absl::StatusOr<pb::Tier> TierOf(const std::string& text) {
  if (text.empty()) return pb::TIER_UNSPECIFIED;
  if (text == "green") return pb::TIER_GREEN;
  if (text == "yellow") return pb::TIER_YELLOW;
  if (text == "red") return pb::TIER_RED;
  if (text == "black") return pb::TIER_BLACK;
  return InvalidArgument("--tier: '{}' is none of green, yellow, red, black", text);
}

absl::StatusOr<pb::ObservationFilter> FilterOf(const ObservationOptions& options) {
  pb::ObservationFilter filter;
  filter.set_source(options.source);
  filter.set_subject(options.subject);
  for (const std::uint32_t type : options.types) filter.add_types(type);
  ASSIGN_OR_RETURN(const pb::Tier tier, TierOf(options.tier));
  filter.set_at_least_tier(tier);
  return filter;
}

constexpr std::array<const char*, 7> kColumns{"ENTRY", "OBSERVED", "SOURCE", "TIER", "TYPE", "SUBJECT", "PAYLOAD"};

std::vector<std::string> RowOf(const Entry& entry) {
  const std::string_view type = frame::TypeName(static_cast<frame::Type>(entry.type()));
  return {fmt::format("{}", entry.sequence()),
          TimeText(entry.observed_at()),
          entry.source(),
          std::string(frame::TierName(static_cast<frame::Tier>(entry.tier()))),
          type.empty() ? fmt::format("{}", entry.type()) : std::string(type),
          entry.subject(),
          Printable(entry.payload(), 120)};
}

}  // namespace

absl::StatusOr<Exit> ObservationsList(const Options& options, const ObservationOptions& filter) {
  pb::ListObservationsRequest request;
  request.set_origin(options.connection.origin);
  ASSIGN_OR_RETURN(*request.mutable_filter(), FilterOf(filter));
  ASSIGN_OR_RETURN(const auto all, AskPages(options.connection, &Service::Stub::ListObservations, request,
                                            &pb::ListObservationsResponse::mutable_observations, filter.limit));
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(all));
    return Exit::kYes;
  }
  Table table({kColumns.begin(), kColumns.end()});
  for (const Entry& entry : all.observations()) table.Add(RowOf(entry));
  Print(table.ToString());
  return Exit::kYes;
}

namespace {

// Columns of a table whose rows come one by one.
void PrintRow(const std::vector<std::string>& row) {
  constexpr std::array<int, 7> kWidths{8, 24, 20, 6, 20, 36, 0};
  std::string line;
  for (std::size_t i = 0; i < row.size(); ++i) {
    line += fmt::format("{}{:<{}}", i == 0 ? "" : "  ", Printable(row[i]), kWidths[i]);
  }
  Print(line + "\n");
}

// The checkpoint that the O-Node shows extends what was seen before; its size is where a watch begins. With `wait` a
// connection that is not there is waited for: between calls nobody would drive its handshake.
absl::StatusOr<std::uint64_t> CheckedSize(const Options& options, const std::shared_ptr<grpc::Channel>& channel,
                                          bool wait, const std::stop_token& stop) {
  chain::v1::ChainService::Stub stub(channel);
  chain::v1::GetChainRequest request;
  request.set_origin(options.connection.origin);
  chain::v1::GetChainResponse response;
  grpc::ClientContext context;
  context.set_wait_for_ready(wait);
  context.set_deadline(std::chrono::system_clock::now() + options.connection.timeout);
  const std::stop_callback cancel(stop, [&context] { context.TryCancel(); });
  RETURN_IF_ERROR(service::FromGrpcStatus(stub.GetChain(&context, request, &response)));
  ASSIGN_OR_RETURN(const Memory memory, Memory::Open(options, channel));
  RETURN_IF_ERROR(memory.See(response.origin(), response.checkpoint()));
  return response.size();
}

}  // namespace

absl::StatusOr<Exit> ObservationsWatch(const Options& options, const ObservationOptions& filter) {
  const Interrupt interrupt;
  ASSIGN_OR_RETURN(const auto channel, Connect(options.connection));
  pb::WatchObservationsRequest request;
  request.set_origin(options.connection.origin);
  ASSIGN_OR_RETURN(*request.mutable_filter(), FilterOf(filter));
  ASSIGN_OR_RETURN(const std::uint64_t size, CheckedSize(options, channel, false, interrupt.token()));
  if (!options.json) PrintRow({kColumns.begin(), kColumns.end()});
  std::fflush(stdout);

  WatchPosition position(filter.after ? *filter.after + 1 : size);
  Service::Stub stub(channel);
  std::uint64_t printed = 0;
  const auto show = [&](const Entry& entry) -> absl::Status {
    if (options.json) {
      RETURN_IF_ERROR(PrintJsonLine(entry));
    } else {
      PrintRow(RowOf(entry));
    }
    return std::fflush(stdout) == 0 ? absl::OkStatus() : Internal("cannot write to standard output");
  };
  // One stream, to its end.
  const auto follow = [&](bool again) -> absl::StatusOr<bool> {
    // An O-Node that lost what it had signed is no place to go on.
    if (again) RETURN_IF_ERROR(CheckedSize(options, channel, true, interrupt.token()).status());
    if (position.next() > 0) request.set_after_sequence(position.next() - 1);
    grpc::ClientContext context;
    const std::stop_callback cancel(interrupt.token(), [&context] { context.TryCancel(); });
    const auto reader = stub.WatchObservations(&context, request);
    pb::WatchObservationsResponse response;
    absl::Status shown;
    bool enough = false;
    while (shown.ok() && !enough && reader->Read(&response)) {
      if (!position.Take(response.observation().sequence())) continue;
      shown = show(response.observation());
      enough = ++printed == filter.count;
    }
    context.TryCancel();  // does nothing when it has ended by itself
    const absl::Status ended = service::FromGrpcStatus(reader->Finish());
    RETURN_IF_ERROR(shown);
    if (!enough) RETURN_IF_ERROR(ended);
    return enough;
  };
  SystemSleeper sleeper;
  const SystemClock clock;
  const auto say = [](const std::string& text) { std::fputs(("virpctl: " + text + "\n").c_str(), stderr); };
  RETURN_IF_ERROR(KeepWatching({follow, say, clock, sleeper}, position, interrupt.token()));
  return Exit::kYes;
}

absl::StatusOr<Exit> SubjectsList(const Options& options, const std::string& prefix, std::uint32_t limit) {
  pb::ListSubjectsRequest request;
  request.set_origin(options.connection.origin);
  request.set_prefix(prefix);
  ASSIGN_OR_RETURN(const auto response, AskPages(options.connection, &Service::Stub::ListSubjects, request,
                                                 &pb::ListSubjectsResponse::mutable_subjects, limit));
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(response));
    return Exit::kYes;
  }
  Table table({"SUBJECT", "NEWEST ENTRY", "SOURCES"});
  for (const pb::Subject& subject : response.subjects()) {
    std::string sources;
    for (const auto& state : subject.sources()) {
      sources += fmt::format("{}{}={}", sources.empty() ? "" : " ", state.source(), state.state());
    }
    // Of a subject that only a compromised key spoke of, nothing counts.
    table.Add({subject.subject(), sources.empty() ? "-" : fmt::format("{}", subject.newest_entry()), sources});
  }
  Print(table.ToString());
  return Exit::kYes;
}

}  // namespace virp::virpctl
