#include "lib/rtr/version.h"

#include <array>

namespace virp::rtr {
namespace {

constexpr std::uint16_t Bit(PduType type) {
  return static_cast<std::uint16_t>(1U << static_cast<unsigned>(type));
}

constexpr std::uint16_t kTypes0 = Bit(PduType::kSerialNotify) | Bit(PduType::kSerialQuery) | Bit(PduType::kResetQuery) |
                                  Bit(PduType::kCacheResponse) | Bit(PduType::kIpv4Prefix) | Bit(PduType::kIpv6Prefix) |
                                  Bit(PduType::kEndOfData) | Bit(PduType::kCacheReset) | Bit(PduType::kErrorReport);
constexpr std::uint16_t kTypes1 = kTypes0 | Bit(PduType::kRouterKey);
constexpr std::uint16_t kTypes2 = kTypes1 | Bit(PduType::kAspa);

// RFC 6810 and 8210 have no cap on a PDU; ours is that of the draft, since nothing that they carry comes near it.
constexpr std::size_t kCap = 65'535;

constexpr std::array<VersionRules, kVersions> kRules = {{
    {.version = 0,
     .pdu_types = kTypes0,
     .last_error = 7,
     .end_of_data_timers = false,
     .order_required = false,
     .withdrawals = {.behind_announcements = true, .prefixes_reversed = true},
     .version_change = ErrorCode::kInvalidRequest,
     .unknown_session_resets = true,
     .shutdown_reports = false,
     .stall_report = false,
     .max_pdu = kCap},
    {.version = 1,
     .pdu_types = kTypes1,
     .last_error = 8,
     .end_of_data_timers = true,
     .order_required = false,
     .withdrawals = {.behind_announcements = true, .prefixes_reversed = true},
     .version_change = ErrorCode::kUnexpectedVersion,
     .unknown_session_resets = true,
     .shutdown_reports = false,
     .stall_report = false,
     .max_pdu = kCap},
    {.version = 2,
     .pdu_types = kTypes2,
     .last_error = 13,
     .end_of_data_timers = true,
     .order_required = true,
     .withdrawals = {.behind_announcements = true, .prefixes_reversed = true},
     .version_change = ErrorCode::kUnexpectedVersion,
     .unknown_session_resets = true,
     .shutdown_reports = true,
     .stall_report = true,
     .max_pdu = kCap},
}};

constexpr std::array<std::string_view, kPduTypes> kTypeNames = {
    "Serial Notify", "Serial Query", "Reset Query", "Cache Response", "IPv4 Prefix",  "reserved",
    "IPv6 Prefix",   "End of Data",  "Cache Reset", "Router Key",     "Error Report", "ASPA"};

constexpr std::array<std::string_view, 14> kErrorNames = {"Corrupt Data",
                                                          "Internal Error",
                                                          "No Data Available",
                                                          "Invalid Request",
                                                          "Unsupported Protocol Version",
                                                          "Unsupported PDU Type",
                                                          "Withdrawal of Unknown Record",
                                                          "Duplicate Announcement Received",
                                                          "Unexpected Protocol Version",
                                                          "ASPA Provider List Error",
                                                          "Transport Failure",
                                                          "Ordering Error",
                                                          "Cache Restart",
                                                          "Cache Shutdown"};

}  // namespace

const VersionRules& RulesOf(std::uint8_t version) {
  return kRules.at(version);
}

std::string_view PduTypeName(std::uint8_t type) {
  return type < kTypeNames.size() ? kTypeNames[type] : "unknown";
}

std::string_view ErrorCodeName(std::uint16_t code) {
  return code < kErrorNames.size() ? kErrorNames[code] : "unknown";
}

bool IsFatal(std::uint16_t code) {
  switch (static_cast<ErrorCode>(code)) {
    case ErrorCode::kNoDataAvailable:
    case ErrorCode::kUnsupportedVersion:
    case ErrorCode::kCacheRestart:
      return false;
    default:
      return true;
  }
}

std::string_view WhyWrong(const Timers& timers) {
  if (timers.refresh < 1 || timers.refresh > 86'400) return "refresh is not between 1 and 86400 seconds";
  if (timers.retry < 1 || timers.retry > 7'200) return "retry is not between 1 and 7200 seconds";
  if (timers.expire < 600 || timers.expire > 172'800) return "expire is not between 600 and 172800 seconds";
  if (timers.expire <= timers.refresh) return "expire is not larger than refresh";
  if (timers.expire <= timers.retry) return "expire is not larger than retry";
  return {};
}

}  // namespace virp::rtr
