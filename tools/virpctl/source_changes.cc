// Changes by SourceService: each is an entry of the chain, with who asked and why.
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>

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

// The fields that every change has.
template <typename Request>
Request Begin(const Options& options, const ChangeOptions& change) {
  Request request;
  request.set_origin(options.connection.origin);
  request.set_request_id(change.request_id.empty() ? NewRequestId() : change.request_id);
  request.set_reason(change.reason);
  return request;
}

// Those of a change of a source as such.
template <typename Request>
Request BeginOf(const Options& options, const ChangeOptions& change) {
  auto request = Begin<Request>(options, change);
  request.set_name(change.source);
  return request;
}

// What became of it: "edge-a.bmp is suspended by entry 17".
template <typename Response>
absl::StatusOr<Exit> Done(const Options& options, const ChangeOptions& change, const absl::StatusOr<Response>& response,
                          std::string_view is, std::string_view can_be) {
  RETURN_IF_ERROR(response.status());
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(*response));
  } else if (change.validate_only) {
    Print(fmt::format("{} {}\n", change.source, can_be));
  } else {
    Print(fmt::format("{} {} by entry {}\n", change.source, is, response->entry()));
  }
  return Exit::kYes;
}

absl::StatusOr<pb::Source> ReadSource(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string json, ReadFile(path, kMaxSourceFile));
  pb::Source source;
  if (const auto status = google::protobuf::util::JsonStringToMessage(json, &source); !status.ok()) {
    return InvalidArgument("{} is no virp.source.v1.Source in JSON: {}", path, status.ToString());
  }
  return source;
}

// The source as it is to be; its name becomes that of the change.
absl::StatusOr<Exit> Update(const Options& options, ChangeOptions change, const pb::Source& source) {
  auto request = Begin<pb::UpdateSourceRequest>(options, change);
  *request.mutable_source() = source;
  request.set_validate_only(change.validate_only);
  change.source = source.name();
  return Done(options, change, Ask(options.connection, &Service::Stub::UpdateSource, request), "is changed",
              "can be changed");
}

}  // namespace

absl::StatusOr<Exit> SourcesRegister(const Options& options, const ChangeOptions& change) {
  auto request = Begin<pb::RegisterSourceRequest>(options, change);
  ASSIGN_OR_RETURN(*request.mutable_source(), ReadSource(change.file));
  request.set_validate_only(change.validate_only);
  ChangeOptions named = change;
  named.source = request.source().name();
  return Done(options, named, Ask(options.connection, &Service::Stub::RegisterSource, request), "is registered",
              "can be registered");
}

absl::StatusOr<Exit> SourcesUpdate(const Options& options, const ChangeOptions& change) {
  ASSIGN_OR_RETURN(const pb::Source source, ReadSource(change.file));
  return Update(options, change, source);
}

namespace {

template <typename Field, typename Value>
void Put(Field& field, const std::vector<Value>& add, const std::vector<Value>& drop) {
  for (const Value& value : add) {
    if (std::find(field.begin(), field.end(), value) == field.end()) *field.Add() = value;
  }
  const auto dropped = [&drop](const auto& value) { return std::find(drop.begin(), drop.end(), value) != drop.end(); };
  field.erase(std::remove_if(field.begin(), field.end(), dropped), field.end());
}

// "edge-a=192.0.2.1": this BGP identifier is that router.
absl::Status PutRouter(const std::string& text, pb::Source& source) {
  const std::size_t equals = text.find('=');
  if (equals == 0 || equals == std::string::npos || equals + 1 == text.size()) {
    return InvalidArgument("--router: '{}' is not NAME=BGP-ID", text);
  }
  const std::string name = text.substr(0, equals);
  auto& routers = *source.mutable_routers();
  auto router = std::find_if(routers.begin(), routers.end(), [&name](const auto& one) { return one.name() == name; });
  if (router == routers.end()) {
    routers.Add()->set_name(name);
    router = std::prev(routers.end());
  }
  const std::vector<std::string> id{text.substr(equals + 1)};
  Put(*router->mutable_bgp_ids(), id, {});
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Exit> SourcesBind(const Options& options, const ChangeOptions& change, const BindOptions& bind) {
  pb::GetSourceRequest request;
  request.set_origin(options.connection.origin);
  request.set_name(change.source);
  ASSIGN_OR_RETURN(const auto present, Ask(options.connection, &Service::Stub::GetSource, request));
  pb::Source source = present.source();
  Put(*source.mutable_carried_by(), bind.carried_by, bind.not_carried_by);
  Put(*source.mutable_types(), bind.types, bind.not_types);
  for (const std::string& router : bind.routers) RETURN_IF_ERROR(PutRouter(router, source));
  auto& routers = *source.mutable_routers();
  const auto dropped = [&bind](const auto& router) {
    return std::find(bind.not_routers.begin(), bind.not_routers.end(), router.name()) != bind.not_routers.end();
  };
  routers.erase(std::remove_if(routers.begin(), routers.end(), dropped), routers.end());
  return Update(options, change, source);  // with the etag that was read: nobody's change is overwritten
}

absl::StatusOr<Exit> SourcesSuspend(const Options& options, const ChangeOptions& change) {
  const auto request = BeginOf<pb::SuspendSourceRequest>(options, change);
  return Done(options, change, Ask(options.connection, &Service::Stub::SuspendSource, request), "is suspended", "");
}

absl::StatusOr<Exit> SourcesResume(const Options& options, const ChangeOptions& change) {
  const auto request = BeginOf<pb::ResumeSourceRequest>(options, change);
  return Done(options, change, Ask(options.connection, &Service::Stub::ResumeSource, request), "is resumed", "");
}

absl::StatusOr<Exit> SourcesBlack(const Options& options, const ChangeOptions& change) {
  auto request = BeginOf<pb::MarkBlackRequest>(options, change);
  request.set_key_version(change.key_version);
  if (!change.since.empty() &&
      !google::protobuf::util::TimeUtil::FromString(change.since, request.mutable_compromised_since())) {
    return InvalidArgument("--since: '{}' is no RFC 3339 time, such as 2026-01-31T09:00:00Z", change.since);
  }
  const std::string is =
      change.key_version == 0 ? "is BLACK" : fmt::format("has key version {} compromised", change.key_version);
  return Done(options, change, Ask(options.connection, &Service::Stub::MarkBlack, request), is, "");
}

absl::StatusOr<Exit> SourcesResetEpoch(const Options& options, const ChangeOptions& change) {
  const auto request = BeginOf<pb::ResetSourceEpochRequest>(options, change);
  return Done(options, change, Ask(options.connection, &Service::Stub::ResetSourceEpoch, request),
              "may begin a smaller boot epoch", "");
}

absl::StatusOr<Exit> SourcesAdmitLate(const Options& options, const ChangeOptions& change) {
  auto request = BeginOf<pb::AdmitLateRequest>(options, change);
  request.set_epoch(change.epoch);
  request.set_from(change.from);
  request.set_to(change.to);
  return Done(options, change, Ask(options.connection, &Service::Stub::AdmitLate, request),
              "may deliver those frames late", "");
}

absl::StatusOr<Exit> AlarmsClear(const Options& options, const ChangeOptions& change) {
  auto request = Begin<pb::ClearAlarmRequest>(options, change);
  request.set_source(change.source);
  request.set_cause(change.cause);
  request.set_validate_only(change.validate_only);
  ASSIGN_OR_RETURN(const auto response, Ask(options.connection, &Service::Stub::ClearAlarm, request));
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
