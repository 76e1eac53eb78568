#include "lib/base/units.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "lib/base/ip.h"
#include "lib/base/status.h"

namespace virp {
namespace {

struct Unit {
  std::string_view name;
  std::int64_t factor;
};

constexpr std::array<Unit, 7> kTimes = {{{"d", 86'400'000'000'000},
                                         {"h", 3'600'000'000'000},
                                         {"m", 60'000'000'000},
                                         {"s", 1'000'000'000},
                                         {"ms", 1'000'000},
                                         {"us", 1'000},
                                         {"ns", 1}}};

constexpr std::array<Unit, 11> kSizes = {{{"", 1},
                                          {"B", 1},
                                          {"k", 1'000},
                                          {"kB", 1'000},
                                          {"KiB", 1LL << 10},
                                          {"MB", 1'000'000},
                                          {"MiB", 1LL << 20},
                                          {"GB", 1'000'000'000},
                                          {"GiB", 1LL << 30},
                                          {"TB", 1'000'000'000'000},
                                          {"TiB", 1LL << 40}}};

// The number that `text` begins with, which is cut off; false when there is none or it is too large.
bool TakeNumber(std::string_view& text, std::uint64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

bool IsHostName(std::string_view host) {
  if (host.empty() || host.size() > 253) return false;
  for (const char c : host) {
    const bool fits =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
    if (!fits) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<std::chrono::nanoseconds> ParseDuration(std::string_view text) {
  const auto bad = [whole = std::string(text)] {
    return InvalidArgument("'{}' is not a duration; write 500ms, 10s, 1h30m or 2d", whole.substr(0, 64));
  };
  if (text == "0") return std::chrono::nanoseconds(0);
  std::uint64_t total = 0;
  std::size_t next = 0;  // the units that may still come
  if (text.empty()) return bad();
  while (!text.empty()) {
    std::uint64_t number = 0;
    if (!TakeNumber(text, number)) return bad();
    const std::size_t letters = std::min(text.find_first_of("0123456789"), text.size());
    const std::string_view unit = text.substr(0, letters);
    text.remove_prefix(letters);
    while (next < kTimes.size() && kTimes[next].name != unit) ++next;
    if (next == kTimes.size()) return bad();
    std::uint64_t part = 0;
    if (__builtin_mul_overflow(number, static_cast<std::uint64_t>(kTimes[next].factor), &part) ||
        __builtin_add_overflow(total, part, &total) ||
        total > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      return InvalidArgument("the duration is longer than 292 years");
    }
    ++next;
  }
  return std::chrono::nanoseconds(static_cast<std::int64_t>(total));
}

std::string FormatDuration(std::chrono::nanoseconds duration) {
  std::int64_t left = duration.count();
  if (left == 0) return "0s";
  std::string out;
  if (left < 0) out = "-";
  for (const Unit& unit : kTimes) {
    const std::int64_t number = left / unit.factor;
    if (number != 0)
      out += fmt::format(
          "{}{}", number < 0 ? 0 - static_cast<std::uint64_t>(number) : static_cast<std::uint64_t>(number), unit.name);
    left %= unit.factor;
  }
  return out;
}

absl::StatusOr<std::uint64_t> ParseSize(std::string_view text) {
  std::string_view unit = text;
  std::uint64_t number = 0;
  if (TakeNumber(unit, number)) {
    for (const Unit& known : kSizes) {
      if (known.name != unit) continue;
      std::uint64_t out = 0;
      if (__builtin_mul_overflow(number, static_cast<std::uint64_t>(known.factor), &out)) break;
      return out;
    }
  }
  return InvalidArgument("'{}' is not a size; write 512, 64KiB, 10MB or 1GiB", text.substr(0, 64));
}

absl::StatusOr<HostPort> ParseHostPort(std::string_view text) {
  HostPort out;
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos)
    return InvalidArgument("'{}' has no port; write HOST:PORT or [IPV6]:PORT", text.substr(0, 300));
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), out.port);
  if (port.empty() || error != std::errc() || end != port.data() + port.size()) {
    return InvalidArgument("'{}' is not a port", port.substr(0, 64));
  }
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
    const auto address = IpAddress::Parse(host);
    if (!address.ok() || !address->is_v6()) return InvalidArgument("'{}' is not an IPv6 address", host.substr(0, 64));
  } else if (!IsHostName(host)) {
    return InvalidArgument("'{}' is not a host; write HOST:PORT or [IPV6]:PORT, and 0.0.0.0 or [::] for all addresses",
                           host.substr(0, 300));
  }
  out.host = host;
  return out;
}

std::string FormatHostPort(const HostPort& address) {
  const bool v6 = address.host.find(':') != std::string::npos;
  return fmt::format("{}{}{}:{}", v6 ? "[" : "", address.host, v6 ? "]" : "", address.port);
}

}  // namespace virp
