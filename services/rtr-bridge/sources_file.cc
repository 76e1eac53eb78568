// Sources, by flag and by file.
#include "lib/base/names.h"
#include "lib/base/status.h"
#include "lib/service/json_fields.h"
#include "lib/service/strict_json.h"
#include "services/rtr-bridge/config.h"

namespace virp::rtr_bridge {
namespace {

using nlohmann::json;
using service::MemberAt;
using service::ReadMember;

constexpr std::string_view kKeyManager = "keymgr:";
constexpr std::string_view kBridge = "bridge:";
constexpr std::size_t kMostSources = 64;

// Absent: as usual; "0s" or "0": no limit.
absl::Status ReadLimit(const json& object, const char* key, const std::string& where,
                       std::optional<std::chrono::nanoseconds>& value) {
  std::string text;
  RETURN_IF_ERROR(ReadMember(object, key, where, text));
  if (!object.contains(key)) return absl::OkStatus();
  const auto given = ParseDuration(text);
  if (!given.ok()) return Annotate(given.status(), MemberAt(where, key));
  value.reset();
  if (given->count() > 0) value = *given;
  return absl::OkStatus();
}

absl::StatusOr<SourceOptions> ParseSource(const json& item, const std::string& where, const SourceOptions& usual) {
  RETURN_IF_ERROR(
      service::CheckObject(item,
                           {"name", "location", "refresh", "expire", "max_age", "max_bytes", "skip_bad_records",
                            "signature_key", "signature", "embedded_signature", "roots"},
                           where));
  ASSIGN_OR_RETURN(const std::string location, service::StringMember(item, "location", where));
  auto at = SourceAt(location, usual);
  if (!at.ok()) return Annotate(at.status(), MemberAt(where, "location"));
  SourceOptions source = *std::move(at);
  RETURN_IF_ERROR(ReadMember(item, "name", where, source.name));
  RETURN_IF_ERROR(ReadMember(item, "refresh", where, source.refresh));
  RETURN_IF_ERROR(ReadLimit(item, "expire", where, source.expire));
  RETURN_IF_ERROR(ReadLimit(item, "max_age", where, source.max_age));
  RETURN_IF_ERROR(service::ReadSizeMember(item, "max_bytes", where, source.max_bytes));
  RETURN_IF_ERROR(ReadMember(item, "skip_bad_records", where, source.skip_bad_records));
  RETURN_IF_ERROR(ReadMember(item, "signature_key", where, source.signature_key));
  RETURN_IF_ERROR(ReadMember(item, "signature", where, source.signature));
  RETURN_IF_ERROR(ReadMember(item, "embedded_signature", where, source.embedded_signature));
  RETURN_IF_ERROR(ReadMember(item, "roots", where, source.roots));
  if (source.signature_key.empty() && (source.embedded_signature || !source.signature.empty()))
    return InvalidArgument("{}: a signature needs signature_key, the file with the key that must have made it", where);
  return source;
}

}  // namespace

absl::StatusOr<SourceOptions> SourceAt(const std::string& location, const SourceOptions& usual) {
  if (location.empty()) return InvalidArgument("a source needs a location");
  SourceOptions source = usual;
  source.name = location;
  source.location = location;
  if (location.starts_with("http://") || location.starts_with("https://")) {
    source.kind = SourceKind::kHttp;
  } else if (location.starts_with(kKeyManager)) {
    source.kind = SourceKind::kKeyManager;
    source.location = location.substr(kKeyManager.size());
  } else if (location.starts_with(kBridge)) {
    source.kind = SourceKind::kBridge;
    source.location = location.substr(kBridge.size());
  } else if (location.find("://") != std::string::npos) {
    return InvalidArgument("'{}': a path, http://, https://, keymgr:HOST:PORT or bridge:HOST:PORT", location);
  }
  return source;
}

absl::StatusOr<std::vector<SourceOptions>> ParseSources(std::string_view text, const SourceOptions& usual) {
  ASSIGN_OR_RETURN(const json file, service::ParseStrictJson(text, service::JsonComments::kAllowed));
  RETURN_IF_ERROR(service::CheckObject(file, {"sources"}, "sources file"));
  if (!file.contains("sources") || !file["sources"].is_array() || file["sources"].size() > kMostSources)
    return InvalidArgument("sources file: \"sources\" must be a list of at most {}", kMostSources);
  std::vector<SourceOptions> sources;
  for (std::size_t i = 0; i < file["sources"].size(); ++i) {
    ASSIGN_OR_RETURN(SourceOptions source, ParseSource(file["sources"][i], fmt::format("sources[{}]", i), usual));
    sources.push_back(std::move(source));
  }
  return sources;
}

}  // namespace virp::rtr_bridge
