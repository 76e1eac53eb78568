#include "services/keymgr/domain/audit_frame.h"

#include <algorithm>

#include "lib/base/error_info.h"
#include "lib/base/names.h"
#include "lib/base/status.h"
#include "lib/base/utf8.h"
#include "lib/frame/payload.h"

namespace virp::keymgr {
namespace {

constexpr std::size_t kMaxActor = 2'048;  // a SPIFFE id
constexpr std::size_t kMaxReason = 1'024;
constexpr std::size_t kMaxRequestId = 128;

bool IsPrintable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

bool IsEventName(std::string_view name) {
  return !name.empty() && name.size() <= 64 && name[0] >= 'a' && name[0] <= 'z' &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
}

void WriteKeys(frame::JsonWriter& json, const std::vector<KeyIdentity>& keys) {
  if (keys.empty()) return;
  json.Key("keys").BeginArray();
  for (const KeyIdentity& key : keys) {
    json.BeginObject()
        .Field("kind", KeyKindName(key.kind))
        .Field("id", key.id)
        .Field("version", key.version)
        .Field("algorithm", AlgorithmName(key.algorithm))
        .EndObject();
  }
  json.EndArray();
}

}  // namespace

absl::Status CheckCall(const Call& call) {
  if (call.actor.empty() || call.actor.size() > kMaxActor || !IsPrintable(call.actor))
    return InvalidArgument("actor: wanted 1 to {} printable characters without spaces", kMaxActor);
  if (call.method.empty() || call.method.size() > 128 || !IsPrintable(call.method))
    return InvalidArgument("method: wanted 1 to 128 printable characters without spaces");
  if (call.reason.empty() || call.reason.size() > kMaxReason || !IsLine(call.reason))
    return InvalidField("reason", fmt::format("wanted 1 to {} bytes of UTF-8 without control characters", kMaxReason));
  if (call.request_id.size() > kMaxRequestId || !IsPrintable(call.request_id)) {
    return InvalidField("request_id",
                        fmt::format("wanted at most {} printable characters without spaces", kMaxRequestId));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> BuildAuditPayload(std::string_view own, std::uint64_t record, const Call& call,
                                              const AuditRecord& audit) {
  if (!IsEventName(audit.event)) return InvalidArgument("audit event {}: wanted [a-z][a-z0-9_]{{0,63}}", audit.event);
  const std::string_view source = audit.source.empty() ? own : std::string_view(audit.source);
  RETURN_IF_ERROR(Annotate(CheckOrigin(source), "audit source"));
  if (audit.keys.size() > kMaxAuditKeys)
    return InvalidArgument("{} keys in one audit record; at most {}", audit.keys.size(), kMaxAuditKeys);
  frame::JsonWriter json;
  json.BeginObject().Field("domain", "virp").Field("event", audit.event).Field("source", source);
  std::string_view fields = audit.fields;
  if (!fields.empty()) {
    if (fields.size() < 2 || fields.front() != '{' || fields.back() != '}')
      return InvalidArgument("fields of audit event {} are no JSON object", audit.event);
    fields = fields.substr(1, fields.size() - 2);
  }
  std::string payload = json.Take();
  if (!fields.empty()) payload.append(",").append(fields);
  frame::JsonWriter rest;
  rest.BeginObject().Field("record", record);
  WriteKeys(rest, audit.keys);
  rest.Field("method", call.method).Field("by", call.actor).Field("reason", call.reason);
  if (!call.request_id.empty()) rest.Field("request_id", call.request_id);
  payload.append(",").append(std::string_view(rest.EndObject().Take()).substr(1));
  if (payload.size() > frame::kMaxPayload)
    return InvalidArgument("audit event {} has {} bytes; a frame takes {}", audit.event, payload.size(),
                           frame::kMaxPayload);
  thread_local frame::PayloadReader reader;  // finds a member that is there twice, too
  RETURN_IF_ERROR(Annotate(reader.Read(payload).status(), "audit event " + audit.event));
  return payload;
}

}  // namespace virp::keymgr
