// Questions to SourceService: sources, alarms, gaps, quarantine.
#include <algorithm>

#include "lib/base/bytes.h"
#include "lib/base/status.h"
#include "lib/frame/payload.h"
#include "tools/virpctl/commands.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/session.h"
#include "virp/source/v1/source_service.grpc.pb.h"

namespace virp::virpctl {
namespace {

namespace pb = ::virp::source::v1;
using Service = pb::SourceService;

absl::StatusOr<pb::ListSourcesResponse> List(const Options& options, bool alarmed_only) {
  pb::ListSourcesRequest request;
  request.set_origin(options.connection.origin);
  request.set_alarmed_only(alarmed_only);
  return AskPages(options.connection, &Service::Stub::ListSources, request, &pb::ListSourcesResponse::mutable_sources);
}

}  // namespace

absl::StatusOr<Exit> SourcesList(const Options& options) {
  ASSIGN_OR_RETURN(const pb::ListSourcesResponse all, List(options, false));
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(all));
    return Exit::kYes;
  }
  Table table({"NAME", "SUITE", "VANTAGE", "CHANNEL", "NEWEST ENTRY", "HELD", "MISSING"});
  for (const pb::Source& source : all.sources()) {
    table.Add({source.name(), Short(pb::Suite_Name(source.suite()), "SUITE_"),
               Short(pb::Vantage_Name(source.vantage()), "VANTAGE_"),
               source.suspended() ? source.channel_state() + " SUSPENDED" : source.channel_state(),
               source.has_newest_entry() ? fmt::format("{}", source.newest_entry()) : "-",
               fmt::format("{}", source.held()), fmt::format("{}", fmt::join(source.missing(), " "))});
  }
  Print(table.ToString());
  return Exit::kYes;
}

namespace {

std::string KeyText(const pb::Key& key) {
  std::string text = fmt::format("version {} {} {}", key.version(), Short(pb::Suite_Name(key.suite()), "SUITE_"),
                                 HexEncode(key.public_key().empty() ? key.commitment() : key.public_key()));
  if (key.has_sign_until()) text += " signs until " + TimeText(key.sign_until());
  if (key.has_accept_until()) text += " accepted until " + TimeText(key.accept_until());
  if (key.has_compromised_since()) text += " COMPROMISED since " + TimeText(key.compromised_since());
  return text;
}

std::string RouterText(const pb::Router& router) {
  std::string text = fmt::format("{} (BGP id {}", router.name(), fmt::join(router.bgp_ids(), ", "));
  if (!router.addresses().empty()) text += fmt::format("; address {}", fmt::join(router.addresses(), ", "));
  if (!router.vrfs().empty()) text += fmt::format("; VRF {}", fmt::join(router.vrfs(), ", "));
  return text + ")";
}

std::string SourceTable(const pb::Source& source) {
  Table table({"FIELD", "VALUE"});
  table.Add({"name", source.name()});
  table.Add({"channel", source.channel_state() + (source.suspended() ? " SUSPENDED" : "")});
  table.Add({"suite", Short(pb::Suite_Name(source.suite()), "SUITE_")});
  table.Add({"vantage", Short(pb::Vantage_Name(source.vantage()), "VANTAGE_")});
  table.Add({"types", fmt::format("{}", fmt::join(source.types(), " "))});
  for (const pb::Router& router : source.routers()) table.Add({"router", RouterText(router)});
  for (const std::string& prefix : source.subject_prefixes()) table.Add({"subjects", prefix});
  for (const std::string& id : source.carried_by()) table.Add({"carried by", id});
  for (const pb::Key& key : source.keys()) table.Add({"key", KeyText(key)});
  for (const pb::Alarm& alarm : source.alarms()) {
    table.Add({"alarm",
               fmt::format("{} ({}), entry {}, {} times", alarm.cause(), alarm.state(), alarm.entry(), alarm.count())});
  }
  table.Add({"next number", fmt::format("{} of boot epoch {}", source.next_sequence(), source.newest_epoch())});
  table.Add({"missing", fmt::format("{}", fmt::join(source.missing(), " "))});
  table.Add({"newest entry", source.has_newest_entry() ? fmt::format("{}", source.newest_entry()) : "-"});
  table.Add({"held", fmt::format("{} entries", source.held())});
  table.Add(
      {"clock", fmt::format("{:+.3f} s against the O-Node's", static_cast<double>(source.clock_offset_ns()) / 1e9)});
  table.Add({"etag", source.etag()});
  return table.ToString();
}

}  // namespace

absl::StatusOr<Exit> SourcesShow(const Options& options, const std::string& name) {
  pb::GetSourceRequest request;
  request.set_origin(options.connection.origin);
  request.set_name(name);
  ASSIGN_OR_RETURN(const auto response, Ask(options.connection, &Service::Stub::GetSource, request));
  // What `update --file` takes again.
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(response.source()));
  } else {
    Print(SourceTable(response.source()));
  }
  return Exit::kYes;
}

absl::StatusOr<Exit> AlarmsList(const Options& options, const std::string& source) {
  ASSIGN_OR_RETURN(pb::ListSourcesResponse all, List(options, true));
  if (!source.empty()) {
    auto& sources = *all.mutable_sources();
    sources.erase(std::remove_if(sources.begin(), sources.end(), [&](const auto& one) { return one.name() != source; }),
                  sources.end());
  }
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(all));
    return Exit::kYes;
  }
  Table table({"SOURCE", "CAUSE", "STATE", "ENTRY", "COUNT"});
  for (const pb::Source& one : all.sources()) {
    for (const pb::Alarm& alarm : one.alarms()) {
      table.Add({one.name(), alarm.cause(), alarm.state(), fmt::format("{}", alarm.entry()),
                 fmt::format("{}", alarm.count())});
    }
  }
  Print(table.ToString());
  return Exit::kYes;
}

absl::StatusOr<Exit> Gaps(const Options& options) {
  ASSIGN_OR_RETURN(const pb::ListSourcesResponse all, List(options, false));
  Table table({"SOURCE", "BOOT EPOCH", "FROM", "TO"});
  frame::JsonWriter json;
  json.BeginObject().Key("gaps").BeginArray();
  for (const pb::Source& source : all.sources()) {
    for (const std::string& range : source.missing()) {
      const std::size_t colon = range.find(':');
      const std::size_t dash = range.find('-', colon);
      if (colon == std::string::npos || dash == std::string::npos) {
        return Internal("the O-Node says '{}' where EPOCH:FROM-TO was expected", Printable(range));
      }
      const std::string epoch = range.substr(0, colon);
      const std::string from = range.substr(colon + 1, dash - colon - 1);
      const std::string to = range.substr(dash + 1);
      table.Add({source.name(), epoch, from, to});
      json.BeginObject().Field("source", std::string_view(source.name())).Field("epoch", std::string_view(epoch));
      json.Field("from", std::string_view(from)).Field("to", std::string_view(to)).EndObject();
    }
  }
  options.json ? PrintJson(json.EndArray().EndObject()) : Print(table.ToString());
  return Exit::kYes;
}

absl::StatusOr<Exit> QuarantineList(const Options& options, std::uint32_t limit) {
  pb::ListQuarantineRequest request;
  request.set_origin(options.connection.origin);
  ASSIGN_OR_RETURN(const auto all, AskPages(options.connection, &Service::Stub::ListQuarantine, request,
                                            &pb::ListQuarantineResponse::mutable_frames, limit));
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(all));
    return Exit::kYes;
  }
  Table table({"RECEIVED", "REASON", "SOURCE AS CLAIMED", "BYTES", "DELIVERED BY"});
  for (const pb::QuarantinedFrame& one : all.frames()) {
    table.Add({TimeText(one.received_at()), one.reason(), one.source().empty() ? "-" : one.source(),
               fmt::format("{}", one.frame().size()), one.path()});
  }
  Print(table.ToString());
  return Exit::kYes;
}

}  // namespace virp::virpctl
