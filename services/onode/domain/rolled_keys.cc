#include "services/onode/domain/rolled_keys.h"

namespace virp::onode {
namespace {

constexpr std::string_view kEvent = "checkpoint_key";

}  // namespace

std::string BuildRoll(const chain::VerifierKey& key, std::string_view by, std::string_view reason,
                      std::string_view request_id) {
  frame::JsonWriter json;
  json.BeginObject().Field("domain", "virp").Field("event", kEvent).Field("source", key.name());
  json.Field("verifier_key", key.ToString()).Field("by", by).Field("reason", reason);
  json.Field("request_id", request_id).EndObject();
  return json.Take();
}

std::optional<RolledKey> ReadRoll(std::string_view origin, const chain::Entry& entry, const frame::Frame& frame,
                                  const std::optional<frame::Value>& payload) {
  if (frame.header.type != frame::Type::kForeignCheckpoint || !payload) return std::nullopt;
  if (entry.header.source != frame::ShortIdOf(origin) || entry.header.result != 0) return std::nullopt;
  if ((*payload)["event"].AsString() != kEvent || (*payload)["source"].AsString() != origin) return std::nullopt;
  auto key = chain::VerifierKey::Parse((*payload)["verifier_key"].AsString().value_or(""));
  if (!key.ok() || key->name() != origin) return std::nullopt;
  return RolledKey{entry.header.sequence, std::string((*payload)["request_id"].AsString().value_or("")),
                   *std::move(key)};
}

}  // namespace virp::onode
