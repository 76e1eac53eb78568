// keys.json of an export.
#include <utility>

#include "lib/base/names.h"
#include "lib/base/status.h"
#include "lib/chain/export.h"
#include "lib/frame/payload.h"

namespace virp::chain {
namespace {

constexpr std::string_view kFormat = "virp export keys/1";
constexpr std::size_t kKeySize = 32;

void WriteKey(frame::JsonWriter& json, const KeyStatement& key) {
  json.BeginObject().Field("version", key.version).Field("suite", static_cast<unsigned>(key.suite));
  const bool public_key = key.suite == frame::Suite::kEd25519;
  json.Field(public_key ? "public_key" : "key_commitment", HexEncode(public_key ? key.public_key : key.commitment));
  json.Field("accept_from_ns", key.accept_from).Key("accept_until_ns");
  key.accept_until ? json.Unsigned(*key.accept_until) : json.Null();
  json.EndObject();
}

absl::StatusOr<std::string> ReadHex(const frame::Value& object, std::string_view key) {
  const auto text = object[key].AsString();
  if (!text || text->size() != 2 * kKeySize) return InvalidArgument("keys.json: {} is not 64 hex digits", key);
  absl::StatusOr<std::string> bytes = HexDecode(*text);
  if (!bytes.ok()) return InvalidArgument("keys.json: {} is not 64 hex digits", key);
  return bytes;
}

absl::StatusOr<KeyStatement> ReadKey(const frame::Value& object) {
  KeyStatement key;
  const auto version = object["version"].AsUnsigned();
  if (!version || *version > 0xffff'ffff) return InvalidArgument("keys.json: version is not a number of 32 bits");
  key.version = static_cast<std::uint32_t>(*version);
  const auto suite = object["suite"].AsUnsigned();
  if (!suite || *suite < 1 || *suite > 2) return InvalidArgument("keys.json: suite is not 1 or 2");
  key.suite = static_cast<frame::Suite>(*suite);
  if (key.suite == frame::Suite::kEd25519) {
    ASSIGN_OR_RETURN(key.public_key, ReadHex(object, "public_key"));
  } else {
    ASSIGN_OR_RETURN(key.commitment, ReadHex(object, "key_commitment"));
  }
  const auto from = object["accept_from_ns"].AsUnsigned();
  if (!from) return InvalidArgument("keys.json: accept_from_ns is not a number");
  key.accept_from = *from;
  const frame::Value until = object["accept_until_ns"];
  key.accept_until = until.AsUnsigned();
  if (!key.accept_until && until.kind() != frame::Value::Kind::kNull) {
    return InvalidArgument("keys.json: accept_until_ns is neither a number nor null");
  }
  return key;
}

absl::StatusOr<ExportKeys::Source> ReadSource(const frame::Value& object) {
  ExportKeys::Source source;
  const auto name = object["source"].AsString();
  if (!name) return InvalidArgument("keys.json: source is not a string");
  RETURN_IF_ERROR(Annotate(CheckOrigin(*name), "keys.json"));  // the O-Node's own source has the origin as name
  source.name = std::string(*name);
  if (object["keys"].kind() != frame::Value::Kind::kArray) return InvalidArgument("keys.json: keys is not a list");
  for (const auto& [unused, value] : object["keys"].members()) {
    ASSIGN_OR_RETURN(source.keys.emplace_back(), ReadKey(value));
  }
  return source;
}

}  // namespace

std::string EncodeExportKeys(const ExportKeys& keys) {
  frame::JsonWriter json;
  json.BeginObject().Field("format", kFormat).Key("checkpoint_keys").BeginArray();
  for (const VerifierKey& key : keys.checkpoint_keys) json.String(key.ToString());
  json.EndArray().Key("sources").BeginArray();
  for (const ExportKeys::Source& source : keys.sources) {
    json.BeginObject().Field("source", source.name).Key("keys").BeginArray();
    for (const KeyStatement& key : source.keys) WriteKey(json, key);
    json.EndArray().EndObject();
  }
  json.EndArray().EndObject();
  return json.Take() + "\n";
}

absl::StatusOr<ExportKeys> DecodeExportKeys(std::string_view text) {
  frame::PayloadReader reader(kMaxKeysFile);
  const absl::StatusOr<frame::Value> json = reader.Read(text);
  if (!json.ok()) return Annotate(json.status(), "keys.json");
  if ((*json)["format"].AsString() != kFormat) return InvalidArgument("keys.json: format is not \"{}\"", kFormat);
  ExportKeys keys;
  const frame::Value checkpoint_keys = (*json)["checkpoint_keys"];
  const frame::Value sources = (*json)["sources"];
  for (const frame::Value& list : {checkpoint_keys, sources}) {
    if (list.kind() != frame::Value::Kind::kArray) {
      return InvalidArgument("keys.json: checkpoint_keys or sources is not a list");
    }
  }
  for (const auto& [unused, value] : checkpoint_keys.members()) {
    absl::StatusOr<VerifierKey> key = VerifierKey::Parse(value.AsString().value_or(""));
    if (!key.ok()) return Annotate(key.status(), "keys.json: checkpoint_keys");
    keys.checkpoint_keys.push_back(*std::move(key));
  }
  for (const auto& [unused, value] : sources.members()) {
    ASSIGN_OR_RETURN(keys.sources.emplace_back(), ReadSource(value));
  }
  return keys;
}

}  // namespace virp::chain
