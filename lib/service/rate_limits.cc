#include "lib/service/rate_limits.h"

#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/service/strict_json.h"

namespace virp::service {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxNamed = 10'000;
constexpr std::uint64_t kMost = 1'000'000'000'000'000;  // beyond it a double would round

absl::Status ReadNumber(const json& from, const char* key, const std::string& where, std::uint64_t& to) {
  if (!from.contains(key)) return absl::OkStatus();
  if (!from[key].is_number_unsigned() || from[key].get<std::uint64_t>() > kMost) {
    return InvalidArgument("{}: {} is not a whole number of 0 to {}", where, key, kMost);
  }
  to = from[key].get<std::uint64_t>();
  return absl::OkStatus();
}

// What `from` leaves out stays as it is in `base`.
absl::StatusOr<RateLimit> ParseLimit(const json& from, const std::string& where, RateLimit base) {
  RETURN_IF_ERROR(CheckObject(from, {"entries_per_second", "burst", "bytes_per_day"}, where));
  RETURN_IF_ERROR(ReadNumber(from, "entries_per_second", where, base.entries_per_second));
  RETURN_IF_ERROR(ReadNumber(from, "burst", where, base.burst));
  RETURN_IF_ERROR(ReadNumber(from, "bytes_per_day", where, base.bytes_per_day));
  return base;
}

absl::Status ParseTable(const json& file, const char* key, RateLimitTable& table) {
  if (!file.contains(key)) return absl::OkStatus();
  const std::string where = fmt::format("limits: {}", key);
  const json& from = file[key];
  RETURN_IF_ERROR(CheckObject(from, {"others", "named"}, where));
  if (from.contains("others")) {
    ASSIGN_OR_RETURN(table.others, ParseLimit(from["others"], where + ".others", table.others));
  }
  if (!from.contains("named")) return absl::OkStatus();
  const json& named = from["named"];
  if (!named.is_object() || named.size() > kMaxNamed)
    return InvalidArgument("{}.named is not an object of at most {} names", where, kMaxNamed);
  for (const auto& [name, limit] : named.items()) {
    ASSIGN_OR_RETURN(table.named[name],
                     ParseLimit(limit, fmt::format("{}.named['{}']", where, name.substr(0, 128)), table.others));
  }
  return absl::OkStatus();
}

}  // namespace

RateLimits DefaultRateLimits() {
  RateLimits limits;
  limits.sources.others = {.entries_per_second = 20'000, .burst = 1'000'000};
  limits.deliverers.others = {.entries_per_second = 100'000, .burst = 4'000'000};
  return limits;
}

absl::StatusOr<RateLimits> ParseRateLimits(std::string_view text) {
  ASSIGN_OR_RETURN(const json file, ParseStrictJson(text, JsonComments::kAllowed));
  RETURN_IF_ERROR(CheckObject(file, {"sources", "deliverers"}, "limits"));
  RateLimits limits = DefaultRateLimits();
  RETURN_IF_ERROR(ParseTable(file, "sources", limits.sources));
  RETURN_IF_ERROR(ParseTable(file, "deliverers", limits.deliverers));
  return limits;
}

absl::StatusOr<RateLimits> ReadRateLimits(const std::string& path) {
  if (path.empty()) return DefaultRateLimits();
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxConfigJson));
  return ParseRateLimits(text);
}

}  // namespace virp::service
