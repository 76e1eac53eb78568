// Questions and changes to SourceService.
#include <google/protobuf/util/json_util.h>

#include "lib/base/bytes.h"
#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/crypto/random.h"
#include "tools/virpctl/commands.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/session.h"
#include "virp/source/v1/source_service.grpc.pb.h"

namespace virp::virpctl {
namespace {

namespace pb = ::virp::source::v1;
using Service = pb::SourceService;

constexpr std::size_t kMaxSourceFile = 1 << 20;

// RFC 9562, version 4.
std::string NewRequestId() {
  std::string bytes = crypto::RandomBytes(16);
  bytes[6] = static_cast<char>((bytes[6] & 0x0f) | 0x40);
  bytes[8] = static_cast<char>((bytes[8] & 0x3f) | 0x80);
  const std::string hex = HexEncode(bytes);
  return fmt::format("{}-{}-{}-{}-{}", hex.substr(0, 8), hex.substr(8, 4), hex.substr(12, 4), hex.substr(16, 4),
                     hex.substr(20));
}

absl::StatusOr<pb::ListSourcesResponse> List(const Options& options, bool alarmed_only) {
  pb::ListSourcesRequest request;
  request.set_origin(options.connection.origin);
  request.set_alarmed_only(alarmed_only);
  ASSIGN_OR_RETURN(const auto channel, Connect(options.connection));
  const auto stub = Service::NewStub(channel);
  pb::ListSourcesResponse all;
  do {
    pb::ListSourcesResponse page;
    RETURN_IF_ERROR(Call(options.connection, *stub, &Service::Stub::ListSources, request, page));
    for (auto& source : *page.mutable_sources()) *all.add_sources() = std::move(source);
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return all;
}

}  // namespace

absl::StatusOr<Exit> SourcesRegister(const Options& options, const ChangeOptions& change) {
  ASSIGN_OR_RETURN(const std::string json, ReadFile(change.file, kMaxSourceFile));
  pb::RegisterSourceRequest request;
  if (const auto status = google::protobuf::util::JsonStringToMessage(json, request.mutable_source()); !status.ok()) {
    return InvalidArgument("{} is no virp.source.v1.Source in JSON: {}", change.file, status.ToString());
  }
  request.set_origin(options.connection.origin);
  request.set_request_id(change.request_id.empty() ? NewRequestId() : change.request_id);
  request.set_reason(change.reason);
  request.set_validate_only(change.validate_only);
  ASSIGN_OR_RETURN(const auto channel, Connect(options.connection));
  const auto stub = Service::NewStub(channel);
  pb::RegisterSourceResponse response;
  RETURN_IF_ERROR(Call(options.connection, *stub, &Service::Stub::RegisterSource, request, response));
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(response));
  } else if (change.validate_only) {
    Print(fmt::format("{} can be registered\n", response.source().name()));
  } else {
    Print(fmt::format("{} is registered by entry {}\n", response.source().name(), response.entry()));
  }
  return Exit::kYes;
}

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

absl::StatusOr<Exit> SourcesGet(const Options& options, const std::string& name) {
  pb::GetSourceRequest request;
  request.set_origin(options.connection.origin);
  request.set_name(name);
  ASSIGN_OR_RETURN(const auto channel, Connect(options.connection));
  const auto stub = Service::NewStub(channel);
  pb::GetSourceResponse response;
  RETURN_IF_ERROR(Call(options.connection, *stub, &Service::Stub::GetSource, request, response));
  // What `update --file` takes again.
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(response.source()));
  } else {
    Print(SourceTable(response.source()));
  }
  return Exit::kYes;
}

absl::StatusOr<Exit> AlarmsList(const Options& options) {
  ASSIGN_OR_RETURN(const pb::ListSourcesResponse all, List(options, true));
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(all));
    return Exit::kYes;
  }
  Table table({"SOURCE", "CAUSE", "STATE", "ENTRY", "COUNT"});
  for (const pb::Source& source : all.sources()) {
    for (const pb::Alarm& alarm : source.alarms()) {
      table.Add({source.name(), alarm.cause(), alarm.state(), fmt::format("{}", alarm.entry()),
                 fmt::format("{}", alarm.count())});
    }
  }
  Print(table.ToString());
  return Exit::kYes;
}

absl::StatusOr<Exit> AlarmsClear(const Options& options, const ChangeOptions& change) {
  pb::ClearAlarmRequest request;
  request.set_origin(options.connection.origin);
  request.set_source(change.source);
  request.set_cause(change.cause);
  request.set_reason(change.reason);
  request.set_request_id(change.request_id.empty() ? NewRequestId() : change.request_id);
  request.set_validate_only(change.validate_only);
  ASSIGN_OR_RETURN(const auto channel, Connect(options.connection));
  const auto stub = Service::NewStub(channel);
  pb::ClearAlarmResponse response;
  RETURN_IF_ERROR(Call(options.connection, *stub, &Service::Stub::ClearAlarm, request, response));
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(response));
    return Exit::kYes;
  }
  Table table({"SOURCE", "CAUSE", change.validate_only ? "WOULD BE CLEARED" : "CLEARED BY ENTRY"});
  for (const auto& cleared : response.cleared()) {
    table.Add({cleared.source(), cleared.cause(), change.validate_only ? "yes" : fmt::format("{}", cleared.entry())});
  }
  Print(table.ToString());
  return Exit::kYes;
}

}  // namespace virp::virpctl
