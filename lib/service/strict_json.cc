#include "lib/service/strict_json.h"

#include <algorithm>

#include "lib/base/hash_map.h"
#include "lib/base/status.h"

namespace virp::service {

using nlohmann::json;

absl::StatusOr<json> ParseStrictJson(std::string_view text, JsonComments comments) {
  if (text.size() > kMaxConfigJson) return InvalidArgument("JSON of {} bytes; at most {}", text.size(), kMaxConfigJson);
  // The parser takes a NUL byte for the end and skips a byte order mark.
  if (text.find('\0') != std::string_view::npos || text.starts_with("\xef\xbb\xbf")) {
    return InvalidArgument("JSON: a NUL byte or a byte order mark");
  }
  std::vector<StringSet> open;  // the keys seen so far, per open object
  std::string problem;
  const auto watch = [&](int depth, json::parse_event_t event, json& parsed) {
    if (event == json::parse_event_t::object_start) {
      open.emplace_back();
    } else if (event == json::parse_event_t::object_end) {
      open.pop_back();
    } else if (event == json::parse_event_t::key && problem.empty()) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!open.back().insert(key).second) problem = fmt::format("key '{}' is there twice", key);
    }
    if (depth > kMaxConfigDepth) {
      if (problem.empty()) problem = fmt::format("nested deeper than {}", kMaxConfigDepth);
      return false;  // nothing below is kept
    }
    return true;
  };
  json value = json::parse(text.begin(), text.end(), watch, /*allow_exceptions=*/false,
                           /*ignore_comments=*/comments == JsonComments::kAllowed);
  if (!problem.empty()) return InvalidArgument("JSON: {}", problem);
  if (value.is_discarded()) return InvalidArgument("JSON: not one well-formed value");
  return value;
}

absl::Status CheckObject(const json& value, std::initializer_list<std::string_view> allowed, std::string_view where) {
  if (!value.is_object()) return InvalidArgument("{}: must be an object", where);
  for (const auto& item : value.items()) {
    if (std::find(allowed.begin(), allowed.end(), item.key()) == allowed.end()) {
      return InvalidArgument("{}: unknown key '{}'; known are {}", where, item.key(), fmt::join(allowed, ", "));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> StringMember(const json& object, const char* key, std::string_view where) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) return InvalidArgument("{}: '{}' must be a string", where, key);
  return found->get<std::string>();
}

absl::StatusOr<std::vector<std::string>> StringsMember(const json& object, const char* key, std::size_t limit,
                                                       std::string_view where) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array() || found->size() > limit) {
    return InvalidArgument("{}: '{}' must be an array of at most {} strings", where, key, limit);
  }
  std::vector<std::string> out;
  for (const json& item : *found) {
    if (!item.is_string()) return InvalidArgument("{}: '{}' must hold strings only", where, key);
    out.push_back(item.get<std::string>());
  }
  return out;
}

}  // namespace virp::service
