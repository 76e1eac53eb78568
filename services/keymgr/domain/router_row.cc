// Rows of routers, slots, requests and chains.
#include <algorithm>

#include "lib/base/bytes.h"
#include "lib/base/status.h"
#include "lib/frame/payload.h"
#include "services/keymgr/domain/router_record.h"
#include "services/keymgr/domain/row_reader.h"

namespace virp::keymgr {
namespace {

using frame::JsonWriter;

constexpr std::uint64_t kFormat = 1;

std::string_view ContinuityName(Continuity continuity) {
  switch (continuity) {
    case Continuity::kKeepSigning:
      return "KEEP_SIGNING";
    case Continuity::kDisableBgpsec:
      return "DISABLE_BGPSEC";
    case Continuity::kOffline:
      return "OFFLINE";
  }
  return "unknown";
}

void WriteTexts(JsonWriter& json, std::string_view name, const std::vector<std::string>& texts) {
  json.Key(name).BeginArray();
  for (const std::string& text : texts) json.String(text);
  json.EndArray();
}

void WriteSpec(JsonWriter& json, const RouterSpec& spec) {
  json.Field("bgp_id", spec.bgp_id).Field("shared_key", spec.shared_key).Key("asns").BeginArray();
  for (const std::uint32_t asn : spec.asns) json.Unsigned(asn);
  json.EndArray().Field("method", KeyMethodName(spec.method)).Field("policy", ExportPolicyName(spec.policy));
  json.Field("agent", std::string_view(spec.agent)).Field("bootstrap", BootstrapName(spec.bootstrap));
  json.Field("needs_custody_log", spec.needs_custody_log).Field("keep_next", spec.keep_next);
  json.Field("outside_authority", spec.outside_authority).Key("material").BeginArray();
  for (const Material& material : spec.material) {
    json.BeginObject().Field("kind", MaterialKindName(material.kind));
    json.Field("sha256", Base64Encode(material.sha256)).EndObject();
  }
  json.EndArray().Key("contacts").BeginArray();
  for (const PeerContact& contact : spec.contacts) {
    json.BeginObject().Field("asn", contact.asn).Field("name", std::string_view(contact.name));
    json.Field("address", std::string_view(contact.address)).EndObject();
  }
  json.EndArray();
}

RouterSpec ReadSpec(const std::string& id, RowReader& reader) {
  RouterSpec spec;
  spec.id = id;
  spec.bgp_id = reader.Number<std::uint32_t>("bgp_id");
  spec.shared_key = reader.Flag("shared_key");
  for (const frame::Value::Member& member : reader["asns"].members()) {
    const auto asn = member.value.AsUnsigned();
    if (!asn || *asn > 0xffffffff) reader.Fail("asns");
    spec.asns.push_back(static_cast<std::uint32_t>(asn.value_or(0)));
  }
  spec.method = reader.Known("method", KeyMethodName, KeyMethod::kEither);
  const auto policy = ExportPolicyFromName(reader.Text("policy"));
  if (!policy) reader.Fail("policy");
  spec.policy = policy.value_or(ExportPolicy::kNever);
  spec.agent = reader.Text("agent");
  spec.bootstrap = reader.Known("bootstrap", BootstrapName, Bootstrap::kSharedSecret);
  spec.needs_custody_log = reader.Flag("needs_custody_log");
  spec.keep_next = reader.Flag("keep_next");
  spec.outside_authority = reader.Flag("outside_authority");
  reader.Each("material", [&](RowReader& one) {
    Material material;
    material.kind = one.Known("kind", MaterialKindName, MaterialKind::kRouterKey);
    material.sha256 = one.Bytes("sha256");
    spec.material.push_back(std::move(material));
  });
  reader.Each("contacts", [&](RowReader& one) {
    spec.contacts.push_back({one.Number<std::uint32_t>("asn"), one.Text("name"), one.Text("address")});
  });
  return spec;
}

void WriteReport(JsonWriter& json, const InstallReport& report) {
  json.Key("report").BeginObject().Field("package_valid", report.package_valid);
  json.Field("chain_valid", report.chain_valid).Field("key_match", report.key_match).Field("proved", report.proved);
  json.Field("detail", std::string_view(report.detail)).Field("by", std::string_view(report.by));
  json.Field("at_ns", report.at).EndObject();
}

InstallReport ReadReport(RowReader& reader) {
  InstallReport report;
  report.package_valid = reader.Flag("package_valid");
  report.chain_valid = reader.Flag("chain_valid");
  report.key_match = reader.Flag("key_match");
  report.proved = reader.Flag("proved");
  report.detail = reader.Text("detail");
  report.by = reader.Text("by");
  report.at = reader.Number<UnixNanos>("at_ns");
  return report;
}

void WriteVersion(JsonWriter& json, const RouterVersion& version) {
  json.BeginObject().Field("version", version.version).Field("method", KeyMethodName(version.method));
  json.Field("spki", Base64Encode(version.spki)).Field("request", Base64Encode(version.request));
  json.Field("made_by", std::string_view(version.made_by)).Field("approved_by", std::string_view(version.approved_by));
  WriteTexts(json, "certificates", version.certificates);
  json.Field("imported", Base64Encode(version.imported)).Field("chain", std::string_view(version.chain));
  json.Field("renew_at_ns", version.renew_at).Field("crl_out", version.crl_out).Field("released", version.released);
  json.Field("escrowed", version.escrowed);
  if (version.report) WriteReport(json, *version.report);
  if (version.overdue_told) json.Field("overdue_told", true);
  json.EndObject();
}

RouterVersion ReadVersion(RowReader& reader) {
  RouterVersion version;
  version.version = reader.Number<std::uint32_t>("version");
  version.method = reader.Known("method", KeyMethodName, KeyMethod::kEither);
  version.spki = reader.Bytes("spki");
  version.request = reader.Bytes("request");
  version.made_by = reader.Text("made_by");
  version.approved_by = reader.Text("approved_by");
  version.certificates = reader.Texts("certificates");
  version.imported = reader.Bytes("imported");
  version.chain = reader.Text("chain");
  version.renew_at = reader.Number<UnixNanos>("renew_at_ns");
  version.crl_out = reader.Flag("crl_out");
  version.released = reader.Flag("released");
  version.escrowed = reader.Flag("escrowed");
  if (reader["report"].present()) {
    RowReader inner(reader["report"]);
    version.report = ReadReport(inner);
    reader.Take(inner);
  }
  if (reader["overdue_told"].present()) version.overdue_told = reader.Flag("overdue_told");
  return version;
}

RollKey ReadRollKey(RowReader& reader) {
  RollKey key;
  key.version = reader.Number<std::uint32_t>("version");
  key.state = reader.Known("state", RouterKeyStateName, RouterKeyState::kDestroyed);
  key.since = reader.Number<UnixNanos>("since_ns");
  key.not_after = reader.Number<UnixNanos>("not_after_ns");
  key.compromised = reader.Flag("compromised");
  key.replaced = reader.Flag("replaced");
  return key;
}

// For people who ask in SQL: the key that signs, else the one that comes furthest.
std::string_view StateOf(const RouterRoll& roll) {
  if (const RollKey* const active = roll.Active()) return RouterKeyStateName(active->state);
  if (const RollKey* const next = roll.Next()) return RouterKeyStateName(next->state);
  return roll.keys.empty() ? std::string_view("EMPTY") : RouterKeyStateName(roll.keys.back().state);
}

}  // namespace

Row RouterRecord::ToRow() const {
  Row row;
  row.kind = kKind;
  row.id = spec.id;
  row.state = decommissioned ? "DECOMMISSIONED" : "REGISTERED";
  JsonWriter json;
  json.BeginObject().Field("format", kFormat);
  WriteSpec(json, spec);
  json.Field("registered_by", std::string_view(registered_by)).Key("logs").BeginArray();
  for (const CustodyLog& log : logs) {
    json.BeginObject().Field("sha256", Base64Encode(log.sha256)).Field("size", log.size);
    json.Field("signer", Base64Encode(log.signer)).Field("attached_by", std::string_view(log.attached_by));
    json.Field("at_ns", log.at).EndObject();
  }
  row.body = json.EndArray().EndObject().Take();
  return row;
}

absl::StatusOr<std::shared_ptr<Record>> RouterRecord::FromRow(const Row& row) {
  frame::PayloadReader payloads(kMaxBody);
  ASSIGN_OR_RETURN(const frame::Value body, payloads.Read(row.body));
  RowReader reader(body);
  reader.Format(kFormat);
  auto out = std::make_shared<RouterRecord>();
  out->spec = ReadSpec(row.id, reader);
  out->registered_by = reader.Text("registered_by");
  reader.Each("logs", [&](RowReader& one) {
    out->logs.push_back({one.Bytes("sha256"), one.Number<std::uint64_t>("size"), one.Bytes("signer"),
                         one.Text("attached_by"), one.Number<UnixNanos>("at_ns")});
  });
  out->decommissioned = row.state == "DECOMMISSIONED";
  RETURN_IF_ERROR(reader.status());
  RETURN_IF_ERROR(CheckRouter(out->spec));
  return std::shared_ptr<Record>(std::move(out));
}

Row RouterSlotRecord::ToRow() const {
  Row row;
  row.kind = kKind;
  row.id = id();
  row.parent = router;
  row.state = StateOf(roll);
  row.due = look_at;
  JsonWriter json;
  json.BeginObject().Field("format", kFormat).Field("asn", asn).Field("usage", std::string_view(usage));
  json.Field("last_version", last_version).Key("roll").BeginArray();
  for (const RollKey& key : roll.keys) {
    json.BeginObject().Field("version", key.version).Field("state", RouterKeyStateName(key.state));
    json.Field("since_ns", key.since).Field("not_after_ns", key.not_after).Field("compromised", key.compromised);
    json.Field("replaced", key.replaced).EndObject();
  }
  json.EndArray();
  if (roll.continuity) json.Field("continuity", ContinuityName(*roll.continuity));
  json.Key("versions").BeginArray();
  for (const RouterVersion& version : versions) WriteVersion(json, version);
  json.EndArray();
  if (order) {
    json.Key("order").BeginObject().Field("version", order->version).Field("emergency", order->emergency);
    json.Field("unconfirmed", order->unconfirmed).Field("by", std::string_view(order->by));
    json.Field("at_ns", order->at).EndObject();
  }
  json.Field("fleet", std::string_view(fleet)).Field("fleet_version", fleet_version);
  row.body = json.EndObject().Take();
  return row;
}

absl::StatusOr<std::shared_ptr<Record>> RouterSlotRecord::FromRow(const Row& row) {
  frame::PayloadReader payloads(kMaxBody);
  ASSIGN_OR_RETURN(const frame::Value body, payloads.Read(row.body));
  RowReader reader(body);
  reader.Format(kFormat);
  auto out = std::make_shared<RouterSlotRecord>();
  out->router = row.parent;
  out->look_at = row.due;
  out->asn = reader.Number<std::uint32_t>("asn");
  out->usage = reader.Text("usage");
  out->last_version = reader.Number<std::uint32_t>("last_version");
  reader.Each("roll", [&](RowReader& one) { out->roll.keys.push_back(ReadRollKey(one)); });
  if (reader["continuity"].present())
    out->roll.continuity = reader.Known("continuity", ContinuityName, Continuity::kOffline);
  reader.Each("versions", [&](RowReader& one) { out->versions.push_back(ReadVersion(one)); });
  if (reader["order"].present()) {
    RowReader one(reader["order"]);
    out->order = Order{one.Number<std::uint32_t>("version"), one.Flag("emergency"), one.Flag("unconfirmed"),
                       one.Text("by"), one.Number<UnixNanos>("at_ns")};
    reader.Take(one);
  }
  out->fleet = reader.Text("fleet");
  out->fleet_version = reader.Number<std::uint32_t>("fleet_version");
  if (out->id() != row.id) reader.Fail("asn");
  // Each version has its state, and none has two.
  const bool alike = std::ranges::equal(out->roll.keys, out->versions, {}, &RollKey::version, &RouterVersion::version);
  const bool rising = std::ranges::is_sorted(out->versions, std::ranges::less_equal(), &RouterVersion::version);
  if (!alike || !rising) reader.Fail("versions");
  if (!out->versions.empty() && out->versions.back().version > out->last_version) reader.Fail("last_version");
  RETURN_IF_ERROR(reader.status());
  return std::shared_ptr<Record>(std::move(out));
}

Row RouterRequestRecord::ToRow() const {
  Row row;
  row.kind = kKind;
  row.id = id;
  row.parent = router;
  row.state = RequestStateName(state);
  JsonWriter json;
  json.BeginObject().Field("format", kFormat).Field("asn", asn).Field("usage", std::string_view(usage));
  json.Field("request", Base64Encode(request)).Field("spki", Base64Encode(spki));
  json.Field("submitted_by", std::string_view(submitted_by)).Field("decided_by", std::string_view(decided_by));
  json.Field("decision", std::string_view(decision)).Field("version", version);
  row.body = json.Field("decided_ns", decided).EndObject().Take();
  return row;
}

absl::StatusOr<std::shared_ptr<Record>> RouterRequestRecord::FromRow(const Row& row) {
  frame::PayloadReader payloads(kMaxBody);
  ASSIGN_OR_RETURN(const frame::Value body, payloads.Read(row.body));
  RowReader reader(body);
  reader.Format(kFormat);
  auto out = std::make_shared<RouterRequestRecord>();
  out->id = row.id;
  out->router = row.parent;
  out->state = reader.KnownText("state", row.state, RequestStateName, RequestState::kRejected);
  out->asn = reader.Number<std::uint32_t>("asn");
  out->usage = reader.Text("usage");
  out->request = reader.Bytes("request");
  out->spki = reader.Bytes("spki");
  out->submitted_by = reader.Text("submitted_by");
  out->decided_by = reader.Text("decided_by");
  out->decision = reader.Text("decision");
  out->version = reader.Number<std::uint32_t>("version");
  out->decided = reader.Number<UnixNanos>("decided_ns");
  RETURN_IF_ERROR(reader.status());
  return std::shared_ptr<Record>(std::move(out));
}

Row RouterChainRecord::ToRow() const {
  Row row;
  row.kind = kKind;
  row.id = id;
  JsonWriter json;
  json.BeginObject().Field("format", kFormat).Field("trust_anchor", Base64Encode(trust_anchor));
  json.Key("authorities").BeginArray();
  for (const std::string& authority : authorities) json.String(Base64Encode(authority));
  row.body = json.EndArray().EndObject().Take();
  return row;
}

absl::StatusOr<std::shared_ptr<Record>> RouterChainRecord::FromRow(const Row& row) {
  frame::PayloadReader payloads(kMaxBody);
  ASSIGN_OR_RETURN(const frame::Value body, payloads.Read(row.body));
  RowReader reader(body);
  reader.Format(kFormat);
  auto out = std::make_shared<RouterChainRecord>();
  out->id = row.id;
  out->trust_anchor = reader.Bytes("trust_anchor");
  for (const std::string& text : reader.Texts("authorities")) {
    auto der = Base64Decode(text);
    if (!der.ok()) reader.Fail("authorities");
    if (der.ok()) out->authorities.push_back(*std::move(der));
  }
  RETURN_IF_ERROR(reader.status());
  return std::shared_ptr<Record>(std::move(out));
}

}  // namespace virp::keymgr
