#include "services/rtr-bridge/domain/evidence.h"

#include "lib/frame/payload.h"

namespace virp::rtr_bridge {
namespace {

using frame::JsonWriter;
using frame::Tier;
using frame::Type;

std::string HexOf(const Hash& hash) {
  return HexEncode({reinterpret_cast<const char*>(hash.data()), hash.size()});
}

void WriteCounts(JsonWriter& out, const Counts& counts) {
  out.Key("counts").BeginObject();
  out.Field("vrps_ipv4", counts.vrps4).Field("vrps_ipv6", counts.vrps6);
  out.Field("router_keys", counts.router_keys).Field("aspas", counts.aspas).EndObject();
}

void WriteHashes(JsonWriter& out, std::string_view key, const std::vector<NamedHash>& hashes) {
  out.Key(key).BeginArray();
  for (const NamedHash& one : hashes)
    out.BeginObject().Field("name", one.name).Field("sha256", HexOf(one.sha256)).EndObject();
  out.EndArray();
}

void WriteRequest(JsonWriter& out, const Request& request) {
  out.Field("by", request.by).Field("reason", request.reason).Field("request_id", request.request_id);
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
  out.Field("transport", NameOf(session.transport)).Field("identity", session.identity);
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
                                     bool resumed) const {
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
  WriteHashes(out, "sources", generation.sources);
  WriteHashes(out, "slurm", generation.slurm);
  if (resumed) out.Field("resumed", true);
  if (accepted) WriteRequest(out, *accepted);
  return Made(Type::kCacheSerialChange, Tier::kGreen, out);
}

deliver::Observation Witness::Held(const HeldGeneration& held) const {
  JsonWriter out = BeginCache("generation_held", name_);
  out.Field("generation", held.number).Field("set_sha256", HexOf(held.sha256));
  WriteCounts(out, held.counts);
  out.Key("reasons").BeginArray();
  for (const std::string& reason : held.reasons) out.String(reason);
  out.EndArray();
  if (held.until) out.Field("until", *held.until);
  return Made(Type::kCacheSerialChange, Tier::kYellow, out);
}

deliver::Observation Witness::SourceFailed(std::string_view source, std::string_view problem, bool expired) const {
  JsonWriter out = Begin("source_failed", name_ + "/source/" + std::string(source));
  out.Field("problem", problem).Field("expired", expired);
  return Made(Type::kCacheSerialChange, Tier::kYellow, out);
}

deliver::Observation Witness::SourceRecovered(std::string_view source) const {
  JsonWriter out = Begin("source_recovered", name_ + "/source/" + std::string(source));
  return Made(Type::kCacheSerialChange, Tier::kGreen, out);
}

deliver::Observation Witness::SessionOpened(const SessionName& session, std::uint8_t version) const {
  JsonWriter out = BeginSession("session_opened", name_, session);
  out.Field("version", version);
  return Made(Type::kRouterSessionChange, Tier::kGreen, out);
}

deliver::Observation Witness::SessionSent(const SessionName& session, std::uint8_t version, Serial serial,
                                          const Hash& sha256) const {
  JsonWriter out = BeginSession("end_of_data_sent", name_, session);
  out.Field("version", version).Field("session_id", serial.session).Field("serial", serial.serial);
  out.Field("set_sha256", HexOf(sha256));
  return Made(Type::kRouterSessionChange, Tier::kGreen, out);
}

deliver::Observation Witness::SessionConfirmed(const SessionName& session, std::uint8_t version, Serial serial) const {
  JsonWriter out = BeginSession("serial_confirmed", name_, session);
  out.Field("version", version).Field("session_id", serial.session).Field("serial", serial.serial);
  return Made(Type::kRouterSessionChange, Tier::kGreen, out);
}

deliver::Observation Witness::SessionClosed(const SessionName& session, std::string_view why) const {
  JsonWriter out = BeginSession("session_closed", name_, session);
  out.Field("why", why);
  return Made(Type::kRouterSessionChange, Tier::kGreen, out);
}

deliver::Observation Witness::RecordsLost(std::uint64_t count, UnixNanos since) const {
  JsonWriter out = BeginCache("records_lost", name_);
  out.Field("count", count).Field("since", since);
  return Made(Type::kCacheSerialChange, Tier::kYellow, out);
}

}  // namespace virp::rtr_bridge
