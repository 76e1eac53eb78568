// Beats name the build of the program that signs them: who replaced it shows here.
#include <map>
#include <vector>

#include "lib/base/status.h"
#include "lib/frame/payload.h"
#include "tools/virpctl/builds.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/session.h"
#include "virp/verify/v1/verify_service.grpc.pb.h"

namespace virp::virpctl {
namespace {

namespace pb = ::virp::verify::v1;
using Entry = ::virp::chain::v1::Entry;

constexpr std::uint32_t kHeartbeat = 24;

// One build of one source, from its first beat that was looked at to its last.
struct Build {
  std::string id;
  const Entry* first = nullptr;
  const Entry* last = nullptr;
};

std::string BuildOf(const Entry& beat, frame::PayloadReader& reader) {
  const auto payload = reader.Read(beat.payload());
  return payload.ok() ? std::string((*payload)["build_id"].AsString().value_or("")) : std::string();
}

}  // namespace

absl::StatusOr<Exit> SourcesBuilds(const Options& options, const std::string& source, const std::string& expect,
                                   std::uint32_t most) {
  pb::ListObservationsRequest request;
  request.set_origin(options.connection.origin);
  request.mutable_filter()->set_source(source);
  request.mutable_filter()->add_types(kHeartbeat);
  ASSIGN_OR_RETURN(const auto beats, AskPages(options.connection, &pb::VerifyService::Stub::ListObservations, request,
                                              &pb::ListObservationsResponse::mutable_observations, most));
  std::map<std::string, std::vector<Build>> sources;  // newest build first
  frame::PayloadReader reader;
  for (const Entry& beat : beats.observations()) {
    std::vector<Build>& builds = sources[beat.source()];
    const std::string id = BuildOf(beat, reader);
    if (builds.empty() || builds.back().id != id) builds.push_back({id, &beat, &beat});
    builds.back().first = &beat;
  }
  if (sources.empty()) return NotFound("no beat of {} is in the chain", source.empty() ? "any source" : source);
  Table table({"SOURCE", "BUILD", "FROM ENTRY", "OBSERVED", "TO ENTRY", "OBSERVED"});
  bool as_expected = true;
  for (const auto& [name, builds] : sources) {
    as_expected = as_expected && (expect.empty() || builds.front().id == expect);
    for (const Build& build : builds) {
      table.Add({name, build.id.empty() ? "not said" : build.id, fmt::format("{}", build.first->sequence()),
                 TimeText(build.first->observed_at()), fmt::format("{}", build.last->sequence()),
                 TimeText(build.last->observed_at())});
    }
  }
  if (options.json)
    RETURN_IF_ERROR(PrintJson(beats));
  else
    Print(table.ToString());
  return as_expected ? Exit::kYes : Exit::kNo;
}

}  // namespace virp::virpctl
