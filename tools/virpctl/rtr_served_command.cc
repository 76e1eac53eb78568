// `rtr served`: what a router had been served by a time, and what it had confirmed, from the O-Node's chain.
#include <optional>
#include <utility>

#include "lib/base/status.h"
#include "lib/frame/payload.h"
#include "lib/service/wire.h"
#include "tools/virpctl/keymgr_session.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/rtr_history.h"
#include "tools/virpctl/rtr_options.h"
#include "tools/virpctl/rtr_record.h"
#include "tools/virpctl/session.h"
#include "virp/chain/v1/chain_service.grpc.pb.h"
#include "virp/verify/v1/verify_service.grpc.pb.h"

namespace virp::virpctl {
namespace {

namespace pb = ::virp::verify::v1;
using Entry = ::virp::chain::v1::Entry;
using Channel = std::shared_ptr<grpc::Channel>;

constexpr std::uint32_t kCacheSerial = 17, kRouterSession = 18;  // docs/formats/payloads.md
constexpr int kMaxPages = 1'000;

// Each page of the records about a subject, newest first, until `take` has enough of them or there are no more.
template <typename Take>
absl::Status ForEachRecord(const Options& options, const Channel& channel, const std::string& source,
                           const std::string& subject, std::uint32_t type, const Take& take) {
  pb::ListObservationsRequest request;
  request.set_origin(options.connection.origin);
  request.set_page_size(1'000);
  request.mutable_filter()->set_source(source);
  request.mutable_filter()->set_subject(subject);
  request.mutable_filter()->add_types(type);
  pb::VerifyService::Stub stub(channel);
  for (int page = 0; page < kMaxPages; ++page) {
    pb::ListObservationsResponse response;
    RETURN_IF_ERROR(Call(options.connection, stub, &pb::VerifyService::Stub::ListObservations, request, response));
    for (const Entry& entry : response.observations()) {
      ASSIGN_OR_RETURN(const UnixNanos observed, service::NanosOf(entry.observed_at(), "observed_at"));
      ASSIGN_OR_RETURN(const bool enough, take(entry, observed));
      if (enough) return absl::OkStatus();
    }
    if (response.next_page_token().empty()) return absl::OkStatus();
    request.set_page_token(response.next_page_token());
  }
  return ResourceExhausted("there are too many records about {}", subject);
}

absl::Status Search(const Options& options, const Channel& channel, const RtrBridgeOptions& what, RtrHistory& history) {
  const std::string name = fmt::format("rtr/{}/", what.source);
  const auto about_router = [&](const Entry& entry, UnixNanos observed) -> absl::StatusOr<bool> {
    ASSIGN_OR_RETURN(RtrTold told, ReadRtrTold(entry.sequence(), observed, entry.payload()));
    history.Take(std::move(told));
    return history.enough();
  };
  RETURN_IF_ERROR(
      ForEachRecord(options, channel, what.source, name + "router/" + what.router, kRouterSession, about_router));
  // What is lost is told behind it.
  const UnixNanos from = history.sent() ? history.sent()->time : 0;
  const auto about_bridge = [&](const Entry& entry, UnixNanos observed) -> absl::StatusOr<bool> {
    if (observed < from) return true;
    RETURN_IF_ERROR(history.TakeCache(entry.payload()));
    return false;
  };
  return ForEachRecord(options, channel, what.source, name + "cache", kCacheSerial, about_bridge);
}

// The record as it is proven, where the chain was the O-Node's word only.
absl::Status Prove(const Options& options, const Channel& channel, const RtrTold& told) {
  chain::v1::GetEvidenceRequest request;
  request.set_origin(options.connection.origin);
  request.set_sequence(told.entry);
  chain::v1::ChainService::Stub stub(channel);
  chain::v1::GetEvidenceResponse response;
  RETURN_IF_ERROR(Call(options.connection, stub, &chain::v1::ChainService::Stub::GetEvidence, request, response));
  ASSIGN_OR_RETURN(const RtrRecord record, ProveRecord(options, channel, response.proof()));
  if (record.sequence == told.entry && record.payload == told.payload) return absl::OkStatus();
  return RecordDiffers(fmt::format("entry {} is proven, and says something else than the list", told.entry));
}

void WriteTold(frame::JsonWriter& json, std::string_view key, const std::optional<RtrTold>& told,
               std::string_view set) {
  json.Key(key);
  if (!told) {
    json.Null();
    return;
  }
  json.BeginObject().Field("entry", std::to_string(told->entry)).Field("observedAt", TimeText(told->time));
  json.Field("version", told->version).Field("sessionId", told->session).Field("serial", told->serial);
  json.Field("setSha256", set).Field("transport", told->transport).Field("identity", told->identity).EndObject();
}

std::string Line(const std::optional<RtrTold>& told, const std::string& set) {
  if (!told) return "nothing on record";
  return fmt::format("version {}, session {}, serial {}, set {}: entry {}, proven", told->version, told->session,
                     told->serial, set.empty() ? "not on record" : set, told->entry);
}

std::string SetOf(const std::optional<RtrTold>& told) {
  return told ? told->set : "";
}

void PrintAnswer(const RtrHistory& history, const std::string& router) {
  Table table({"ENTRY", "TIME", "CONNECTION", "OVER", "IDENTITY", "EVENT", "VERSION", "SESSION/SERIAL", "SET"});
  for (auto at = history.told().rbegin(); at != history.told().rend(); ++at) {
    const bool data = at->event == "end_of_data_sent" || at->event == "serial_confirmed";
    table.Add({fmt::format("{}", at->entry), TimeText(at->time), fmt::format("{}", at->connection), at->transport,
               at->identity.empty() ? "-" : at->identity, at->event, fmt::format("{}", at->version),
               data ? fmt::format("{}/{}", at->session, at->serial) : "-", at->set.empty() ? at->why : at->set});
  }
  Print(table.ToString());
  Print(fmt::format("\nby {} to {}\nserved:    {}\nconfirmed: {}\n", TimeText(history.by()), Printable(router),
                    Line(history.sent(), SetOf(history.sent())), Line(history.confirmed(), history.confirmed_set())));
  for (const std::string& missing : history.missing()) Print(fmt::format("missing:   {}\n", Printable(missing)));
}

void PrintJsonAnswer(const RtrHistory& history, const RtrBridgeOptions& what) {
  frame::JsonWriter json;
  json.BeginObject().Field("source", what.source).Field("router", what.router).Field("by", TimeText(history.by()));
  WriteTold(json, "served", history.sent(), SetOf(history.sent()));
  WriteTold(json, "confirmed", history.confirmed(), history.confirmed_set());
  json.Key("missing").BeginArray();
  for (const std::string& missing : history.missing()) json.String(missing);
  PrintJson(json.EndArray().EndObject());
}

}  // namespace

absl::StatusOr<Exit> RtrServed(const Options& options, const RtrBridgeOptions& what) {
  UnixNanos by = SystemClock().NowNanos();
  if (!what.by.empty()) {
    ASSIGN_OR_RETURN(const auto time, TimestampIn(what.by, "--by"));
    ASSIGN_OR_RETURN(by, service::NanosOf(time, "--by"));
  }
  ASSIGN_OR_RETURN(const Channel channel, Connect(options.connection));
  RtrHistory history(by, what.limit);
  RETURN_IF_ERROR(Search(options, channel, what, history));
  if (history.sent()) RETURN_IF_ERROR(Prove(options, channel, *history.sent()));
  if (history.confirmed()) RETURN_IF_ERROR(Prove(options, channel, *history.confirmed()));
  options.json ? PrintJsonAnswer(history, what) : PrintAnswer(history, what.router);
  return history.sent() && history.missing().empty() ? Exit::kYes : Exit::kCannotSay;
}

}  // namespace virp::virpctl
