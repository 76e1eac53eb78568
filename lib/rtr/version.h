// What differs between the versions of the RPKI-to-Router protocol: 0 (RFC 6810), 1 (RFC 8210) and 2
// (draft-ietf-sidrops-8210bis-27). One table; everything else in this folder asks it. Thread-safe.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace virp::rtr {

inline constexpr std::uint8_t kMaxVersion = 2;
inline constexpr std::size_t kVersions = 3;

// Type of a PDU (RFC 8210 section 5, draft 27 section 5). 5 is reserved.
enum class PduType : std::uint8_t {
  kSerialNotify = 0,
  kSerialQuery = 1,
  kResetQuery = 2,
  kCacheResponse = 3,
  kIpv4Prefix = 4,
  kIpv6Prefix = 6,
  kEndOfData = 7,
  kCacheReset = 8,
  kRouterKey = 9,
  kErrorReport = 10,
  kAspa = 11,
};
inline constexpr std::size_t kPduTypes = 12;

// Code of an Error Report (RFC 8210 section 12, draft 27 section 12).
enum class ErrorCode : std::uint16_t {
  kCorruptData = 0,
  kInternalError = 1,
  kNoDataAvailable = 2,
  kInvalidRequest = 3,
  kUnsupportedVersion = 4,
  kUnsupportedPduType = 5,
  kUnknownWithdrawal = 6,
  kDuplicateAnnouncement = 7,
  kUnexpectedVersion = 8,
  kAspaProviderList = 9,
  kTransportFailure = 10,
  kOrdering = 11,
  kCacheRestart = 12,
  kCacheShutdown = 13,
};

// Names as the documents have them; "reserved" and "unknown" for what they do not define.
std::string_view PduTypeName(std::uint8_t type);
std::string_view ErrorCodeName(std::uint16_t code);
// Whether a router flushes what it has and ends the session on this code. Unknown codes are fatal.
bool IsFatal(std::uint16_t code);

// Where withdrawals of one type stand in an answer, and how they are sorted.
struct WithdrawalOrder {
  bool behind_announcements = true;  // false: in front of them
  bool prefixes_reversed = true;     // prefixes: keys from low to high; false: as announcements
};

struct VersionRules {
  std::uint8_t version = 0;
  std::uint16_t pdu_types = 0;      // bit n: type n is carried
  std::uint16_t last_error = 0;     // error codes 0 to this one exist
  bool end_of_data_timers = false;  // End of Data of 24 octets with refresh, retry and expire; else of 12
  bool order_required = false;      // a router may refuse what is out of order (error 11); else order is advice
  WithdrawalOrder withdrawals;
  ErrorCode version_change{};          // answers another version in a session
  bool unknown_session_resets = true;  // a Serial Query of a session unknown here, on a fresh connection: Cache Reset
  bool shutdown_reports = false;       // errors 12 and 13 when the cache goes away
  bool stall_report = false;           // error 10 to a router that does not read
  std::size_t max_pdu = 0;             // octets; a longer PDU is corrupt

  bool Carries(PduType type) const { return (pdu_types >> static_cast<unsigned>(type) & 1U) != 0; }
  bool Has(ErrorCode code) const { return static_cast<std::uint16_t>(code) <= last_error; }
};

// `version` is at most kMaxVersion.
const VersionRules& RulesOf(std::uint8_t version);

// Timers of End of Data, in seconds, and their ranges (RFC 8210 section 6).
struct Timers {
  std::uint32_t refresh = 3600;  // 1 to 86,400
  std::uint32_t retry = 600;     // 1 to 7,200
  std::uint32_t expire = 7200;   // 600 to 172,800, larger than both others

  friend bool operator==(const Timers&, const Timers&) = default;
};
// What is wrong with them; empty when nothing is.
std::string_view WhyWrong(const Timers& timers);

// How far serial `to` is ahead of `from`: small for what RFC 1982 calls greater, 2^31 and more for what is behind.
constexpr std::uint32_t SerialDistance(std::uint32_t from, std::uint32_t to) {
  return to - from;
}
// RFC 1982 section 3.2; false for the pair at distance 2^31, for which it is not defined.
constexpr bool SerialLess(std::uint32_t a, std::uint32_t b) {
  return a != b && SerialDistance(a, b) < 0x8000'0000U;
}

}  // namespace virp::rtr
