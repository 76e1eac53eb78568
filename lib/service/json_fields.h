// Optional members of objects in configuration files, read into values that keep their default when the member is
// absent. Every error is InvalidArgument and begins with the place.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/ip.h"
#include "lib/base/status.h"
#include "lib/base/units.h"

namespace virp::service {

inline constexpr std::size_t kMaxConfigList = 10'000;

std::string MemberAt(const std::string& where, const char* key);  // "where.key"

absl::Status ReadMember(const nlohmann::json& object, const char* key, const std::string& where, std::string& value);
absl::Status ReadMember(const nlohmann::json& object, const char* key, const std::string& where,
                        std::vector<std::string>& value);
absl::Status ReadMember(const nlohmann::json& object, const char* key, const std::string& where, bool& value);
absl::Status ReadMember(const nlohmann::json& object, const char* key, const std::string& where,
                        std::vector<Prefix>& value);
// As ParseSize has it, or a bare number.
absl::Status ReadSizeMember(const nlohmann::json& object, const char* key, const std::string& where,
                            std::uint64_t& value);

template <typename T>
  requires(std::unsigned_integral<T> && !std::same_as<T, bool>)
absl::Status ReadMember(const nlohmann::json& object, const char* key, const std::string& where, T& value) {
  if (!object.contains(key)) return absl::OkStatus();
  const nlohmann::json& number = object[key];
  if (!number.is_number_unsigned() || number.get<std::uint64_t>() > std::numeric_limits<T>::max()) {
    return InvalidArgument("{}: must be a whole number of at most {}", MemberAt(where, key),
                           std::numeric_limits<T>::max());
  }
  value = number.get<T>();
  return absl::OkStatus();
}

// More than nothing, and no finer than the value can hold.
template <typename Rep, typename Period>
absl::Status ReadMember(const nlohmann::json& object, const char* key, const std::string& where,
                        std::chrono::duration<Rep, Period>& value) {
  using Duration = std::chrono::duration<Rep, Period>;
  std::string text;
  RETURN_IF_ERROR(ReadMember(object, key, where, text));
  if (!object.contains(key)) return absl::OkStatus();
  const auto given = ParseDuration(text);
  if (!given.ok()) return Annotate(given.status(), MemberAt(where, key));
  value = std::chrono::duration_cast<Duration>(*given);
  if (value != *given || value <= Duration::zero()) {
    return InvalidArgument("{}: must be at least {}, and a multiple of it", MemberAt(where, key),
                           FormatDuration(Duration(1)));
  }
  return absl::OkStatus();
}

}  // namespace virp::service
