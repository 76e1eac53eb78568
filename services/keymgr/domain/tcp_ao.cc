#include "services/keymgr/domain/tcp_ao.h"

#include <algorithm>
#include <vector>

#include "lib/base/names.h"
#include "lib/base/status.h"

namespace virp::keymgr {
namespace {

constexpr std::size_t kIds = 256;

template <typename T>
absl::Status CheckRange(std::string_view what, T value, T low, T high, T unit, std::string_view unit_name) {
  if (value >= low && value <= high) return absl::OkStatus();
  return InvalidArgument("{}: {} {}, not between {} and {}", what, value / unit, unit_name, low / unit, high / unit);
}

}  // namespace

std::string_view TcpAoAlgorithmName(TcpAoAlgorithm algorithm) {
  return algorithm == TcpAoAlgorithm::kHmacSha1_96 ? "HMAC-SHA1-96" : "AES-128-CMAC-96";
}

std::optional<TcpAoAlgorithm> TcpAoAlgorithmFromName(std::string_view name) {
  for (const auto algorithm : {TcpAoAlgorithm::kHmacSha1_96, TcpAoAlgorithm::kAes128Cmac96}) {
    if (TcpAoAlgorithmName(algorithm) == name) return algorithm;
  }
  return std::nullopt;
}

absl::Status CheckPair(const TcpAoPair& pair) {
  for (const TcpAoSide& side : pair.sides) RETURN_IF_ERROR(Annotate(CheckSourceName(side.device), "device"));
  const IpAddress &a = pair.side(TcpAoEnd::kA).address, &b = pair.side(TcpAoEnd::kB).address;
  if (a.family() != b.family())
    return InvalidArgument("addresses: {} and {} are of two families", a.ToString(), b.ToString());
  if (a == b) return InvalidArgument("addresses: both ends have {}", a.ToString());
  if (a.is_unspecified() || b.is_unspecified())
    return InvalidArgument("addresses: a tuple for every address is not made: its identifiers would overlap others'");
  RETURN_IF_ERROR(CheckRange("octets", pair.octets, kMinTcpAoOctets, kMaxTcpAoOctets, 1U, "octets"));
  RETURN_IF_ERROR(CheckRange("hold", pair.hold, kMinTcpAoHold, kMaxTcpAoHold, kSecond, "s"));
  RETURN_IF_ERROR(CheckRange("deadline", pair.deadline, kMinTcpAoDeadline, kMaxTcpAoDeadline, kSecond, "s"));
  return CheckRange("quarantine", pair.quarantine, UnixNanos{0}, kMaxTcpAoQuarantine, kSecond, "s");
}

absl::StatusOr<TcpAoIds> AllocateTcpAoIds(std::span<const TcpAoUsedId> used, std::uint8_t last, UnixNanos now) {
  std::array<bool, kIds> taken{};
  std::vector<UnixNanos> ends;  // of quarantines
  for (const TcpAoUsedId& entry : used) {
    if (entry.until != 0 && entry.until <= now) continue;
    taken[entry.id] = true;
    if (entry.until != 0) ends.push_back(entry.until);
  }
  std::array<std::uint8_t, 2> found{};
  std::size_t count = 0;
  for (std::size_t step = 1; step <= kIds && count < found.size(); ++step) {
    const auto id = static_cast<std::uint8_t>(last + step);
    if (!taken[id]) found[count++] = id;
  }
  if (count == found.size()) return TcpAoIds{found[0], found[1]};
  std::ranges::sort(ends);
  const std::size_t missing = found.size() - count;
  if (ends.size() < missing) return ResourceExhausted("all {} identifiers are in use", kIds);
  return ResourceExhausted("all {} identifiers are in use or in quarantine, for {} s more", kIds,
                           (ends[missing - 1] - now + kSecond - 1) / kSecond);
}

}  // namespace virp::keymgr
