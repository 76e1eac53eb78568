// TCP-AO keys (RFC 5925) between two ends: what a master key tuple is called at each of them, and which identifiers a
// new one may have. Plain values.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/base/ip.h"

namespace virp::keymgr {

inline constexpr UnixNanos kSecond = 1'000'000'000;

// Limits of a pair. Linux takes keys of 80 octets, and ours are twice as long as their random octets.
inline constexpr unsigned kMinTcpAoOctets = 16, kMaxTcpAoOctets = 32;
inline constexpr UnixNanos kMinTcpAoHold = 10 * kSecond, kMaxTcpAoHold = 3'600 * kSecond;
inline constexpr UnixNanos kMinTcpAoDeadline = 60 * kSecond, kMaxTcpAoDeadline = 30 * 86'400 * kSecond;
inline constexpr UnixNanos kMaxTcpAoQuarantine = 365 * 86'400 * kSecond;

enum class TcpAoAlgorithm : std::uint8_t { kHmacSha1_96 = 1, kAes128Cmac96 = 2 };  // RFC 5926 section 3
std::string_view TcpAoAlgorithmName(TcpAoAlgorithm algorithm);                     // "HMAC-SHA1-96", "AES-128-CMAC-96"
std::optional<TcpAoAlgorithm> TcpAoAlgorithmFromName(std::string_view name);

enum class TcpAoEnd : std::uint8_t { kA = 0, kB = 1 };
constexpr TcpAoEnd Other(TcpAoEnd end) {
  return end == TcpAoEnd::kA ? TcpAoEnd::kB : TcpAoEnd::kA;
}
constexpr std::size_t At(TcpAoEnd end) {
  return static_cast<std::size_t>(end);
}

// The identifiers of one master key tuple. What one end sends by, the other receives by.
struct TcpAoIds {
  std::uint8_t from_a = 0;  // KeyID of segments that A sends
  std::uint8_t from_b = 0;

  std::uint8_t SendId(TcpAoEnd end) const { return end == TcpAoEnd::kA ? from_a : from_b; }
  std::uint8_t RecvId(TcpAoEnd end) const { return SendId(Other(end)); }
  bool operator==(const TcpAoIds&) const = default;
};

struct TcpAoSide {
  std::string device;  // a source name
  IpAddress address;
  std::string agent;  // identity that fetches this end's keys and reports; empty: operators do

  bool operator==(const TcpAoSide&) const = default;
};

// Two ends that speak TCP-AO with each other, over addresses that no other pair has: connection identifiers of tuples
// do not overlap (RFC 5925 section 3.1) because pairs do not.
struct TcpAoPair {
  std::string id;  // as CheckKeyId
  std::array<TcpAoSide, 2> sides;
  TcpAoAlgorithm algorithm = TcpAoAlgorithm::kHmacSha1_96;
  bool covers_options = true;  // must be alike at both ends
  unsigned octets = 32;        // random ones in a master key
  // How long segments may be under way: twice the maximum segment lifetime. A key is removed no sooner after anybody
  // asked for another.
  UnixNanos hold = 240 * kSecond;
  UnixNanos deadline = 86'400 * kSecond;         // of a rollover
  UnixNanos quarantine = 30 * 86'400 * kSecond;  // before an identifier is used again

  const TcpAoSide& side(TcpAoEnd end) const { return sides[At(end)]; }
  bool operator==(const TcpAoPair&) const = default;
};

// InvalidArgument for what is out of the limits above, two addresses that are one or of two families, a device that is
// no name. The id is not looked at.
absl::Status CheckPair(const TcpAoPair& pair);

// An identifier that may not be given to a new key: in use, or until a time.
struct TcpAoUsedId {
  std::uint8_t id = 0;
  UnixNanos until = 0;  // 0: in use

  bool operator==(const TcpAoUsedId&) const = default;
};

// Two identifiers that are neither in use nor in quarantine. Both ends draw from one set, since Junos wants the two of
// a key to differ from those of every other key in the chain; they are taken in turn behind `last`, so that each rests
// as long as it can. ResourceExhausted says when the next ones are free.
absl::StatusOr<TcpAoIds> AllocateTcpAoIds(std::span<const TcpAoUsedId> used, std::uint8_t last, UnixNanos now);

}  // namespace virp::keymgr
