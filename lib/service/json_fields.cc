#include "lib/service/json_fields.h"

#include "lib/service/strict_json.h"

namespace virp::service {

using nlohmann::json;

std::string MemberAt(const std::string& where, const char* key) {
  return where + "." + key;
}

absl::Status ReadMember(const json& object, const char* key, const std::string& where, std::string& value) {
  if (!object.contains(key)) return absl::OkStatus();
  ASSIGN_OR_RETURN(value, StringMember(object, key, where));
  return absl::OkStatus();
}

absl::Status ReadMember(const json& object, const char* key, const std::string& where,
                        std::vector<std::string>& value) {
  if (!object.contains(key)) return absl::OkStatus();
  ASSIGN_OR_RETURN(value, StringsMember(object, key, kMaxConfigList, where));
  return absl::OkStatus();
}

absl::Status ReadMember(const json& object, const char* key, const std::string& where, bool& value) {
  if (!object.contains(key)) return absl::OkStatus();
  if (!object[key].is_boolean()) return InvalidArgument("{}: must be true or false", MemberAt(where, key));
  value = object[key].get<bool>();
  return absl::OkStatus();
}

absl::Status ReadMember(const json& object, const char* key, const std::string& where, std::vector<Prefix>& value) {
  std::vector<std::string> texts;
  RETURN_IF_ERROR(ReadMember(object, key, where, texts));
  for (const std::string& text : texts) {
    const auto prefix = Prefix::Parse(text);
    if (!prefix.ok()) return Annotate(prefix.status(), MemberAt(where, key));
    value.push_back(*prefix);
  }
  return absl::OkStatus();
}

absl::Status ReadSizeMember(const json& object, const char* key, const std::string& where, std::uint64_t& value) {
  if (!object.contains(key) || object[key].is_number()) return ReadMember(object, key, where, value);
  ASSIGN_OR_RETURN(const std::string text, StringMember(object, key, where));
  const auto size = ParseSize(text);
  if (!size.ok()) return Annotate(size.status(), MemberAt(where, key));
  value = *size;
  return absl::OkStatus();
}

}  // namespace virp::service
