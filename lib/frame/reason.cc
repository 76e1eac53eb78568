#include "lib/frame/reason.h"

#include <array>

#include "lib/base/error_info.h"

namespace virp::frame {
namespace {

// By number.
constexpr std::array<std::string_view, kReasons> kNames{
    "NONE",      "MALFORMED",           "TOO_LARGE",   "SOURCE_UNKNOWN", "NOT_BOUND",       "SOURCE_SUSPENDED",
    "DOWNGRADE", "KEY_VERSION_UNKNOWN", "WRONG_SUITE", "LATE_KEY",       "KEY_COMPROMISED", "BAD_TAG",
    "EPOCH_OLD", "EPOCH_AHEAD",         "REPLAYED",    "EQUIVOCATION",   "OVER_LIMIT"};

}  // namespace

std::string_view ReasonName(Reason reason) {
  const auto number = static_cast<std::size_t>(reason);
  return number < kNames.size() ? kNames[number] : "UNKNOWN_REASON";
}

std::optional<Reason> ReasonFromName(std::string_view name) {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<Reason>(i);
  }
  return std::nullopt;
}

Reason ReasonOf(const absl::Status& status) {
  if (status.ok()) return Reason::kNone;
  return ReasonFromName(GetReason(status)).value_or(Reason::kMalformed);
}

}  // namespace virp::frame
