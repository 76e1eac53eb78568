#include "services/rtr-bridge/domain/evidence.h"

#include <fmt/format.h>

#include <algorithm>

#include "lib/frame/payload.h"

namespace virp::rtr_bridge {
namespace {

using frame::JsonWriter;
using frame::Tier;
using frame::Type;

// A frame has room for 65,279 bytes, also where each byte of a text becomes three.
constexpr std::size_t kMaxText = 256;
constexpr std::size_t kMaxName = 120;    // of what there may be many
constexpr std::size_t kMostHashes = 64;  // sources may be as many
constexpr std::size_t kMostSlurm = 32;
constexpr std::size_t kMostReasons = 16;

// Texts are other people's. Of one that is too long both ends stay: a key's fingerprint is behind the user's name.
std::string Fit(std::string_view text, std::size_t most = kMaxText) {
  constexpr std::string_view kCut = "...";
  std::string out(text.substr(0, most));
  if (text.size() > most) {
    const std::size_t half = (most - kCut.size()) / 2;
    out = fmt::format("{}{}{}", text.substr(0, half), kCut, text.substr(text.size() - half));
  }
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = '?';
  }
  return out;
}

std::string HexOf(const Hash& hash) {
  return HexEncode({reinterpret_cast<const char*>(hash.data()), hash.size()});
}

void WriteCounts(JsonWriter& out, const Counts& counts) {
  out.Key("counts").BeginObject();
  out.Field("vrps_ipv4", counts.vrps4).Field("vrps_ipv6", counts.vrps6);
  out.Field("router_keys", counts.router_keys).Field("aspas", counts.aspas).EndObject();
}

void WriteHashes(JsonWriter& out, const std::string& key, const std::vector<NamedHash>& hashes, std::size_t most) {
  const std::size_t count = std::min(hashes.size(), most);
  out.Key(key).BeginArray();
  for (std::size_t i = 0; i < count; ++i)
    out.BeginObject().Field("name", Fit(hashes[i].name, kMaxName)).Field("sha256", HexOf(hashes[i].sha256)).EndObject();
  out.EndArray();
  if (hashes.size() > count) out.Field(key + "_more", hashes.size() - count);
}

void WriteRequest(JsonWriter& out, const Request& request) {
  out.Field("by", Fit(request.by)).Field("reason", Fit(request.reason));
  out.Field("request_id", Fit(request.request_id));
}

deliver::Observation Made(Type type, Tier tier, JsonWriter& out) {
  deliver::Observation observation;
  observation.type = type;
  observation.tier = tier;
  observation.payload = out.EndObject().Take();
  return observation;
}

JsonWriter Begin(std::string_view event, const std::string& subject) {
  JsonWriter out;
  out.BeginObject().Field("domain", "rtr").Field("event", event).Field("subject", subject);
  return out;
}

JsonWriter BeginCache(std::string_view event, const std::string& name) {
  return Begin(event, name + "/cache");
}

JsonWriter BeginSession(std::string_view event, const std::string& name, const SessionName& session) {
  JsonWriter out = Begin(event, name + "/router/" + session.peer);
  out.Field("connection", session.connection).Field("port", session.port);
  out.Field("transport", NameOf(session.transport)).Field("identity", Fit(session.identity));
  return out;
}

}  // namespace

std::string_view NameOf(Transport transport) {
  switch (transport) {
    case Transport::kTcp:
      return "tcp";
    case Transport::kTcpMd5:
      return "tcp-md5";
    case Transport::kTcpAo:
      return "tcp-ao";
    case Transport::kTls:
      return "tls";
    case Transport::kSsh:
      return "ssh";
  }
  return "unknown";
}

deliver::Observation Witness::Served(const Generation& generation, const std::optional<Request>& accepted,
                                     ServedWhen when) const {
  JsonWriter out = BeginCache("generation_served", name_);
  out.Field("generation", generation.number).Field("set_sha256", HexOf(generation.sha256));
  out.Key("serials").BeginArray();
  for (std::size_t version = 0; version < generation.serials.size(); ++version) {
    const Serial& serial = generation.serials[version];
    out.BeginObject().Field("version", version).Field("session_id", serial.session);
    out.Field("serial", serial.serial).EndObject();
  }
  out.EndArray();
  WriteCounts(out, generation.counts);
  out.Field("announced", generation.announced).Field("withdrawn", generation.withdrawn);
  WriteHashes(out, "sources", generation.sources, kMostHashes);
  WriteHashes(out, "slurm", generation.slurm, kMostSlurm);
  if (when == ServedWhen::kResumed) out.Field("resumed", true);
  if (when == ServedWhen::kLate) out.Field("late", true);
  if (accepted) WriteRequest(out, *accepted);
  return Made(Type::kCacheSerialChange, Tier::kGreen, out);
}

deliver::Observation Witness::Held(const HeldGeneration& held) const {
  JsonWriter out = BeginCache("generation_held", name_);
  out.Field("generation", held.number).Field("set_sha256", HexOf(held.sha256));
  WriteCounts(out, held.counts);
  out.Key("reasons").BeginArray();
  for (std::size_t i = 0; i < std::min(held.reasons.size(), kMostReasons); ++i) out.String(Fit(held.reasons[i]));
  out.EndArray();
  if (held.until) out.Field("until_ns", *held.until);
  return Made(Type::kCacheSerialChange, Tier::kYellow, out);
}

deliver::Observation Witness::ServingChanged(ServingState state, std::uint64_t generation,
                                             std::string_view problem) const {
  const bool current = state == ServingState::kCurrent;
  const std::string_view event = current                         ? "serving_current"
                                 : state == ServingState::kStale ? "serving_stale"
                                                                 : "serving_stopped";
  JsonWriter out = BeginCache(event, name_);
  out.Field("generation", generation);
  if (!current) out.Field("problem", Fit(problem));
  return Made(Type::kCacheSerialChange, current ? Tier::kGreen : Tier::kYellow, out);
}

deliver::Observation Witness::SourceFailed(std::string_view source, std::string_view problem, bool expired) const {
  JsonWriter out = Begin("source_failed", name_ + "/source/" + Fit(source));
  out.Field("problem", Fit(problem)).Field("expired", expired);
  return Made(Type::kCacheSerialChange, Tier::kYellow, out);
}

deliver::Observation Witness::SourceRecovered(std::string_view source) const {
  JsonWriter out = Begin("source_recovered", name_ + "/source/" + Fit(source));
  return Made(Type::kCacheSerialChange, Tier::kGreen, out);
}

deliver::Observation Witness::SlurmFailed(std::string_view problem) const {
  JsonWriter out = BeginCache("slurm_failed", name_);
  out.Field("problem", Fit(problem));
  return Made(Type::kCacheSerialChange, Tier::kYellow, out);
}

deliver::Observation Witness::SlurmRecovered() const {
  JsonWriter out = BeginCache("slurm_recovered", name_);
  return Made(Type::kCacheSerialChange, Tier::kGreen, out);
}

deliver::Observation Witness::SessionOpened(const SessionName& session, std::uint8_t version) const {
  JsonWriter out = BeginSession("session_opened", name_, session);
  out.Field("version", version);
  return Made(Type::kRouterSessionChange, Tier::kGreen, out);
}

deliver::Observation Witness::SessionSent(const SessionName& session, std::uint8_t version, Serial serial,
                                          const Hash& sha256, std::optional<UnixNanos> told) const {
  JsonWriter out = BeginSession("end_of_data_sent", name_, session);
  out.Field("version", version).Field("session_id", serial.session).Field("serial", serial.serial);
  out.Field("set_sha256", HexOf(sha256));
  if (told) out.Field("told_ns", *told);
  return Made(Type::kRouterSessionChange, Tier::kGreen, out);
}

deliver::Observation Witness::SessionConfirmed(const SessionName& session, std::uint8_t version, Serial serial,
                                               std::optional<UnixNanos> told) const {
  JsonWriter out = BeginSession("serial_confirmed", name_, session);
  out.Field("version", version).Field("session_id", serial.session).Field("serial", serial.serial);
  if (told) out.Field("told_ns", *told);
  return Made(Type::kRouterSessionChange, Tier::kGreen, out);
}

deliver::Observation Witness::SessionClosed(const SessionName& session, std::string_view why) const {
  JsonWriter out = BeginSession("session_closed", name_, session);
  out.Field("why", Fit(why));
  return Made(Type::kRouterSessionChange, Tier::kGreen, out);
}

deliver::Observation Witness::SessionsSummarised(const SessionName& session, const SessionSummary& summary) const {
  JsonWriter out = Begin("sessions_summarised", name_ + "/router/" + session.peer);
  out.Field("transport", NameOf(session.transport)).Field("identity", Fit(session.identity));
  out.Field("opened", summary.opened).Field("sent", summary.sent).Field("confirmed", summary.confirmed);
  out.Field("closed", summary.closed).Field("first_ns", summary.first).Field("last_ns", summary.last);
  out.Field("limit", "OVER_LIMIT");
  return Made(Type::kRouterSessionChange, Tier::kYellow, out);
}

deliver::Observation Witness::Started(PreviousEnd previous) const {
  JsonWriter out = BeginCache("bridge_started", name_);
  out.Field("previous", previous == PreviousEnd::kNone      ? "none"
                        : previous == PreviousEnd::kStopped ? "stopped"
                                                            : "crashed");
  return Made(Type::kCacheSerialChange, Tier::kGreen, out);
}

deliver::Observation Witness::Stopped() const {
  JsonWriter out = BeginCache("bridge_stopped", name_);
  return Made(Type::kCacheSerialChange, Tier::kGreen, out);
}

deliver::Observation Witness::RecordsLost(const LostRecords& lost) const {
  using Why = LostRecords::Why;
  JsonWriter out = BeginCache("records_lost", name_);
  out.Field("why", lost.why == Why::kNoRoom ? "no_room" : lost.why == Why::kOverLimit ? "over_limit" : "crash");
  if (lost.count) {
    out.Field("count", *lost.count);
  } else {
    out.Key("count").Null();
  }
  out.Field("since_ns", lost.since).Field("until_ns", lost.until);
  return Made(Type::kCacheSerialChange, Tier::kYellow, out);
}

deliver::Observation Witness::Refreshed(const Request& request) const {
  JsonWriter out = BeginCache("sources_refreshed", name_);
  WriteRequest(out, request);
  return Made(Type::kCacheSerialChange, Tier::kGreen, out);
}

}  // namespace virp::rtr_bridge
