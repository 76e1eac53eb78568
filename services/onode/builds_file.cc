#include "services/onode/builds_file.h"

#include <algorithm>
#include <utility>

#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/service/strict_json.h"

namespace virp::onode {
namespace {

using nlohmann::json;

constexpr std::size_t kMostRules = 1'000, kMostNames = 10'000, kLongestName = 256, kLongestId = 128;

absl::StatusOr<std::vector<std::string>> ReadTexts(const json& from, const char* key, const std::string& where) {
  if (!from.contains(key) || !from[key].is_array() || from[key].empty() || from[key].size() > kMostNames)
    return InvalidArgument("{}: {} is not an array of 1 to {} texts", where, key, kMostNames);
  std::vector<std::string> out;
  for (const json& text : from[key]) {
    if (!text.is_string()) return InvalidArgument("{}: {} has something that is no text", where, key);
    out.push_back(text.get<std::string>());
  }
  return out;
}

absl::StatusOr<ExpectedBuilds::Rule> ParseRule(const json& from, const std::string& where) {
  RETURN_IF_ERROR(service::CheckObject(from, {"sources", "build_ids"}, where));
  ExpectedBuilds::Rule rule;
  ASSIGN_OR_RETURN(rule.sources, ReadTexts(from, "sources", where));
  for (const std::string& name : rule.sources) {
    if (name.empty() || name.size() > kLongestName || std::count(name.begin(), name.end(), '*') > 1)
      return InvalidArgument("{}: '{}' is no name of a source, with at most one *", where, name.substr(0, 128));
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> ids, ReadTexts(from, "build_ids", where));
  for (const std::string& id : ids) {
    const bool digits = id.find_first_not_of("0123456789abcdef") == std::string::npos;
    if (id.empty() || id.size() > kLongestId || !digits)
      return InvalidArgument("{}: '{}' is no build id: up to {} lower-case hexadecimal digits", where,
                             id.substr(0, 128), kLongestId);
    rule.ids.insert(id);
  }
  return rule;
}

}  // namespace

absl::StatusOr<std::vector<ExpectedBuilds::Rule>> ParseBuilds(std::string_view text) {
  ASSIGN_OR_RETURN(const json file, service::ParseStrictJson(text, service::JsonComments::kAllowed));
  RETURN_IF_ERROR(service::CheckObject(file, {"builds"}, "builds"));
  if (!file.contains("builds") || !file["builds"].is_array() || file["builds"].size() > kMostRules)
    return InvalidArgument("builds: 'builds' is not an array of at most {} rules", kMostRules);
  std::vector<ExpectedBuilds::Rule> out;
  for (const json& rule : file["builds"]) {
    ASSIGN_OR_RETURN(out.emplace_back(), ParseRule(rule, fmt::format("builds[{}]", out.size())));
  }
  return out;
}

absl::StatusOr<std::vector<ExpectedBuilds::Rule>> ReadBuilds(const std::string& path) {
  if (path.empty()) return std::vector<ExpectedBuilds::Rule>{};
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, service::kMaxConfigJson));
  return ParseBuilds(text);
}

}  // namespace virp::onode
