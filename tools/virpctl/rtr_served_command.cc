// `rtr served`: what a router had been served by a time, and what it had confirmed, from the O-Node's chain.
#include <map>
#include <optional>
#include <tuple>

#include "lib/base/status.h"
#include "lib/frame/payload.h"
#include "lib/service/wire.h"
#include "tools/virpctl/keymgr_session.h"
#include "tools/virpctl/output.h"
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

constexpr std::uint32_t kRouterSession = 18;  // docs/formats/payloads.md
constexpr int kMaxPages = 1'000;

// One record about a router.
struct Told {
  std::uint64_t entry = 0;
  UnixNanos observed = 0;
  std::string payload, event, transport, identity, why, set;
  std::uint64_t connection = 0, version = 0, session = 0, serial = 0;

  auto data() const { return std::tuple(version, session, serial); }
};

absl::StatusOr<Told> Read(const Entry& entry) {
  Told told;
  told.entry = entry.sequence();
  ASSIGN_OR_RETURN(told.observed, service::NanosOf(entry.observed_at(), "observed_at"));
  told.payload = entry.payload();
  frame::PayloadReader reader;
  ASSIGN_OR_RETURN(const frame::Value payload, reader.Read(told.payload));
  const auto text = [&](const char* key) { return std::string(payload[key].AsString().value_or("")); };
  const auto number = [&](const char* key) { return payload[key].AsUnsigned().value_or(0); };
  told.event = text("event");
  told.transport = text("transport");
  told.identity = text("identity");
  told.why = text("why");
  told.set = text("set_sha256");
  told.connection = number("connection");
  told.version = number("version");
  told.session = number("session_id");
  told.serial = number("serial");
  return told;
}

struct Answer {
  std::vector<Told> told;  // newest first
  std::optional<Told> sent, confirmed;
  std::string confirmed_set;  // empty: its End of Data is not among the records
};

// True once nothing older can matter.
bool Take(Told told, UnixNanos by, std::uint32_t limit, Answer& answer) {
  if (told.observed > by) return false;
  const bool sent = told.event == "end_of_data_sent";
  if (sent && !answer.sent) answer.sent = told;
  if (told.event == "serial_confirmed" && !answer.confirmed) answer.confirmed = told;
  if (sent && answer.confirmed && answer.confirmed_set.empty() && told.data() == answer.confirmed->data())
    answer.confirmed_set = told.set;
  if (answer.told.size() < limit) answer.told.push_back(std::move(told));
  return answer.told.size() >= limit && answer.sent && answer.confirmed && !answer.confirmed_set.empty();
}

absl::StatusOr<Answer> Search(const Options& options, const Channel& channel, const RtrBridgeOptions& what,
                              UnixNanos by) {
  pb::ListObservationsRequest request;
  request.set_origin(options.connection.origin);
  request.set_page_size(1'000);
  request.mutable_filter()->set_source(what.source);
  request.mutable_filter()->set_subject(fmt::format("rtr/{}/router/{}", what.source, what.router));
  request.mutable_filter()->add_types(kRouterSession);
  pb::VerifyService::Stub stub(channel);
  Answer answer;
  for (int page = 0; page < kMaxPages; ++page) {
    pb::ListObservationsResponse response;
    RETURN_IF_ERROR(Call(options.connection, stub, &pb::VerifyService::Stub::ListObservations, request, response));
    for (const Entry& entry : response.observations()) {
      ASSIGN_OR_RETURN(Told told, Read(entry));
      if (Take(std::move(told), by, what.limit, answer)) return answer;
    }
    if (response.next_page_token().empty()) return answer;
    request.set_page_token(response.next_page_token());
  }
  return ResourceExhausted("there are too many records about {}", what.router);
}

// The record as it is proven, where the chain was the O-Node's word only.
absl::Status Prove(const Options& options, const Channel& channel, const Told& told) {
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

void WriteTold(frame::JsonWriter& json, std::string_view key, const std::optional<Told>& told, std::string_view set) {
  json.Key(key);
  if (!told) {
    json.Null();
    return;
  }
  json.BeginObject().Field("entry", std::to_string(told->entry)).Field("observedAt", TimeText(told->observed));
  json.Field("version", told->version).Field("sessionId", told->session).Field("serial", told->serial);
  json.Field("setSha256", set).Field("transport", told->transport).Field("identity", told->identity).EndObject();
}

std::string Line(const std::optional<Told>& told, const std::string& set) {
  if (!told) return "nothing on record";
  return fmt::format("version {}, session {}, serial {}, set {}: entry {}, proven", told->version, told->session,
                     told->serial, set.empty() ? "not on record" : set, told->entry);
}

void PrintAnswer(const Answer& answer, const std::string& router, UnixNanos by) {
  Table table({"ENTRY", "OBSERVED", "CONNECTION", "OVER", "IDENTITY", "EVENT", "VERSION", "SESSION/SERIAL", "SET"});
  for (auto at = answer.told.rbegin(); at != answer.told.rend(); ++at) {
    const bool data = at->event == "end_of_data_sent" || at->event == "serial_confirmed";
    table.Add({fmt::format("{}", at->entry), TimeText(at->observed), fmt::format("{}", at->connection), at->transport,
               at->identity.empty() ? "-" : at->identity, at->event, fmt::format("{}", at->version),
               data ? fmt::format("{}/{}", at->session, at->serial) : "-", at->set.empty() ? at->why : at->set});
  }
  Print(table.ToString());
  Print(fmt::format("\nby {} to {}\nserved:    {}\nconfirmed: {}\n", TimeText(by), Printable(router),
                    Line(answer.sent, answer.sent ? answer.sent->set : ""),
                    Line(answer.confirmed, answer.confirmed_set)));
}

}  // namespace

absl::StatusOr<Exit> RtrServed(const Options& options, const RtrBridgeOptions& what) {
  UnixNanos by = SystemClock().NowNanos();
  if (!what.by.empty()) {
    ASSIGN_OR_RETURN(const auto time, TimestampIn(what.by, "--by"));
    ASSIGN_OR_RETURN(by, service::NanosOf(time, "--by"));
  }
  ASSIGN_OR_RETURN(const Channel channel, Connect(options.connection));
  ASSIGN_OR_RETURN(const Answer answer, Search(options, channel, what, by));
  if (answer.sent) RETURN_IF_ERROR(Prove(options, channel, *answer.sent));
  if (answer.confirmed) RETURN_IF_ERROR(Prove(options, channel, *answer.confirmed));
  if (options.json) {
    frame::JsonWriter json;
    json.BeginObject().Field("source", what.source).Field("router", what.router).Field("by", TimeText(by));
    WriteTold(json, "served", answer.sent, answer.sent ? answer.sent->set : "");
    WriteTold(json, "confirmed", answer.confirmed, answer.confirmed_set);
    PrintJson(json.EndObject());
  } else {
    PrintAnswer(answer, what.router, by);
  }
  return answer.sent ? Exit::kYes : Exit::kCannotSay;
}

}  // namespace virp::virpctl
