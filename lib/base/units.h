// Durations, sizes and addresses as people write them in options. InvalidArgument says what is accepted.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace virp {

// "500ms", "10s", "1h30m", "2d": whole numbers, each with a unit (ns, us, ms, s, m, h, d), largest unit first; "0".
absl::StatusOr<std::chrono::nanoseconds> ParseDuration(std::string_view text);
std::string FormatDuration(std::chrono::nanoseconds duration);  // exact, and what ParseDuration accepts

// "512" bytes, "64KiB", "10MB", "1GiB": a whole number with or without a unit; k is 1,000, Ki is 1,024, and so on to T.
absl::StatusOr<std::uint64_t> ParseSize(std::string_view text);

struct HostPort {
  std::string host;  // a name or an address; IPv6 without brackets
  std::uint16_t port = 0;

  friend bool operator==(const HostPort&, const HostPort&) = default;
};

// "host:port", "192.0.2.1:8443", "[2001:db8::1]:8443". The host must be there: listening everywhere is said as 0.0.0.0
// or [::]. Port 0 is accepted; whoever dials must refuse it.
absl::StatusOr<HostPort> ParseHostPort(std::string_view text);
std::string FormatHostPort(const HostPort& address);  // with brackets where they are needed

}  // namespace virp
