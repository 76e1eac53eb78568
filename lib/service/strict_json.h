// Configuration as JSON, read so that what the file says and what the program understood cannot differ: no duplicate
// keys (where nlohmann-json keeps the last one silently), no unknown keys, bounded size and depth.
#pragma once

#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace virp::service {

inline constexpr std::size_t kMaxConfigJson = 4 * 1024 * 1024;
inline constexpr int kMaxConfigDepth = 16;

enum class JsonComments { kRefused, kAllowed };  // // and /* */

// InvalidArgument, with the place, for text that is not one JSON value, too large or too deep, or repeats a key.
absl::StatusOr<nlohmann::json> ParseStrictJson(std::string_view text, JsonComments comments = JsonComments::kRefused);

// InvalidArgument unless `value` is an object whose keys are all in `allowed`. `where` begins the message.
absl::Status CheckObject(const nlohmann::json& value, std::initializer_list<std::string_view> allowed,
                         std::string_view where);

// The string under `key`; InvalidArgument when it is missing or not a string.
absl::StatusOr<std::string> StringMember(const nlohmann::json& object, const char* key, std::string_view where);

// The array of strings under `key`; InvalidArgument when it is missing, not such an array, or longer than `limit`.
absl::StatusOr<std::vector<std::string>> StringsMember(const nlohmann::json& object, const char* key, std::size_t limit,
                                                       std::string_view where);

}  // namespace virp::service
