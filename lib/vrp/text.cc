#include "lib/vrp/text.h"

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <cstring>

#include "lib/base/bytes.h"
#include "lib/base/ip.h"

namespace virp::vrp {
namespace {

// A decimal number of at most three digits without leading zero; moves `at` behind it.
bool Decimal(const char*& at, const char* end, unsigned max, unsigned& out) {
  const char* from = at;
  unsigned value = 0;
  while (at != end && at - from < 4 && *at >= '0' && *at <= '9')
    value = value * 10 + static_cast<unsigned>(*at++ - '0');
  const auto digits = at - from;
  if (digits == 0 || digits > 3 || (digits > 1 && *from == '0') || value > max) return false;
  out = value;
  return true;
}

bool Quad(const char*& at, const char* end, std::uint32_t& out) {
  out = 0;
  for (int i = 0; i < 4; ++i) {
    unsigned octet = 0;
    if (i > 0 && (at == end || *at++ != '.')) return false;
    if (!Decimal(at, end, 255, octet)) return false;
    out = out << 8 | octet;
  }
  return true;
}

constexpr std::array<signed char, 256> kHexDigits = [] {
  std::array<signed char, 256> digits;
  digits.fill(-1);
  for (std::size_t i = 0; i < 10; ++i) digits['0' + i] = static_cast<signed char>(i);
  for (std::size_t i = 0; i < 6; ++i) digits['a' + i] = digits['A' + i] = static_cast<signed char>(10 + i);
  return digits;
}();

int HexDigit(char c) {
  return kHexDigits[static_cast<unsigned char>(c)];
}

// RFC 4291 section 2.2, up to '/' or the end.
bool Groups(const char*& at, const char* end, PrefixText& out) {
  std::uint16_t groups[8];
  int count = 0;
  int gap = -1;  // how many groups stand before "::"
  const auto over = [&] { return at == end || *at == '/'; };
  if (end - at >= 2 && at[0] == ':' && at[1] == ':') {
    gap = 0;
    at += 2;
  }
  while (count < 8 && !(gap == count && over())) {
    const char* from = at;
    unsigned value = 0;
    int digit = 0;
    while (at != end && at - from < 5 && (digit = HexDigit(*at)) >= 0) {
      value = value << 4 | static_cast<unsigned>(digit);
      ++at;
    }
    if (at == from || at - from > 4) return false;
    if (at != end && *at == '.') {
      std::uint32_t quad = 0;
      at = from;
      if (count > 6 || !Quad(at, end, quad) || !over()) return false;
      groups[count++] = static_cast<std::uint16_t>(quad >> 16);
      groups[count++] = static_cast<std::uint16_t>(quad);
      break;
    }
    groups[count++] = static_cast<std::uint16_t>(value);
    if (over()) break;
    if (count == 8 || *at++ != ':') return false;
    if (at != end && *at == ':') {
      if (gap >= 0) return false;
      gap = count;
      ++at;
    }
  }
  if (gap < 0 ? count != 8 : count == 8) return false;
  const int zeros = 8 - count;
  std::uint64_t halves[2] = {0, 0};
  for (int i = 0; i < count; ++i) {
    const int to = gap >= 0 && i >= gap ? i + zeros : i;
    halves[to / 4] |= std::uint64_t{groups[i]} << (48 - 16 * (to % 4));
  }
  out.high = halves[0];
  out.low = halves[1];
  return true;
}

}  // namespace

const char* ReadPrefix(const char* at, const char* end, PrefixText& out) {
  // What stands behind the first digits says which family it is.
  const char* digits = at;
  while (digits != end && HexDigit(*digits) >= 0) ++digits;
  out.v6 = digits != end && *digits == ':';
  if (out.v6) {
    if (!Groups(at, end, out)) return nullptr;
  } else {
    std::uint32_t address = 0;
    if (!Quad(at, end, address)) return nullptr;
    out.high = address;
    out.low = 0;
  }
  unsigned length = 0;
  if (at == end || *at++ != '/' || !Decimal(at, end, out.v6 ? 128 : 32, length)) return nullptr;
  out.length = static_cast<std::uint8_t>(length);
  return at;
}

bool ParsePrefix(std::string_view text, PrefixText& out) {
  const char* const end = text.data() + text.size();
  return ReadPrefix(text.data(), end, out) == end;
}

bool ParseAs(std::string_view text, std::uint32_t& out) {
  if (text.size() > 2 && (text[0] | 0x20) == 'a' && (text[1] | 0x20) == 's') text.remove_prefix(2);
  if (text.empty() || text.size() > 10 || (text.size() > 1 && text[0] == '0')) return false;
  std::uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + static_cast<std::uint64_t>(c - '0');
  }
  out = static_cast<std::uint32_t>(value);
  return value <= UINT32_MAX;
}

std::optional<std::string> DecodeAnyBase64(std::string_view text) {
  const bool url = text.find_first_of("-_") != std::string_view::npos;
  if (url && text.find_first_of("+/") != std::string_view::npos) return std::nullopt;
  std::string standard(text);
  for (char& c : standard) c = c == '-' ? '+' : c == '_' ? '/' : c;
  if (standard.ends_with('=') && standard.size() % 4 != 0) return std::nullopt;
  while (standard.size() % 4 != 0) standard.push_back('=');
  auto bytes = Base64Decode(standard);
  if (!bytes.ok()) return std::nullopt;
  return *std::move(bytes);
}

std::optional<std::array<std::uint8_t, 20>> ParseSki(std::string_view text) {
  std::optional<std::string> bytes;
  if (text.size() == 40) {
    if (auto decoded = HexDecode(text); decoded.ok()) bytes = *std::move(decoded);
  } else {
    bytes = DecodeAnyBase64(text);
  }
  if (!bytes || bytes->size() != 20) return std::nullopt;
  std::array<std::uint8_t, 20> out;
  std::memcpy(out.data(), bytes->data(), out.size());
  return out;
}

std::optional<std::int64_t> ParseTime(std::string_view text) {
  static constexpr std::string_view kShape = "dddd-dd-ddTdd:dd:ddZ";
  if (text.size() != kShape.size()) return std::nullopt;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (kShape[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != kShape[i]) return std::nullopt;
  }
  const auto number = [text](std::size_t at, std::size_t size) {
    int value = 0;
    std::from_chars(text.data() + at, text.data() + at + size, value);
    return value;
  };
  const std::chrono::year_month_day day(std::chrono::year(number(0, 4)),
                                        std::chrono::month(static_cast<unsigned>(number(5, 2))),
                                        std::chrono::day(static_cast<unsigned>(number(8, 2))));
  // A leap second is written as 60.
  if (!day.ok() || number(11, 2) > 23 || number(14, 2) > 59 || number(17, 2) > 60) return std::nullopt;
  const std::int64_t days = std::chrono::sys_days(day).time_since_epoch().count();
  return days * 86'400 + number(11, 2) * 3'600 + number(14, 2) * 60 + number(17, 2);
}

std::string TimeText(std::int64_t seconds) {
  const std::chrono::sys_seconds time{std::chrono::seconds(seconds)};
  const auto midnight = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day day(midnight);
  const std::chrono::hh_mm_ss clock(time - midnight);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(day.year()),
                     static_cast<unsigned>(day.month()), static_cast<unsigned>(day.day()), clock.hours().count(),
                     clock.minutes().count(), clock.seconds().count());
}

void AppendNumber(std::string& out, std::uint64_t value) {
  char buffer[20];
  out.append(buffer, std::to_chars(buffer, buffer + sizeof(buffer), value).ptr);
}

void AppendV4(std::string& out, std::uint32_t address) {
  for (int shift = 24; shift >= 0; shift -= 8) {
    AppendNumber(out, (address >> shift) & 0xff);
    if (shift > 0) out.push_back('.');
  }
}

void AppendV6(std::string& out, std::uint64_t high, std::uint64_t low) {
  char bytes[16];
  StoreBe(bytes, high);
  StoreBe(bytes + 8, low);
  IpAddress::V6(bytes).AppendTo(out);
}

std::string Shown(std::string_view text, std::size_t most) {
  if (text.size() <= most) return std::string(text);
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xc0) == 0x80) --most;  // not inside of a character
  return std::string(text.substr(0, most)) + "...";
}

}  // namespace virp::vrp
