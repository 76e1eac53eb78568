// The texts in documents about payloads, read strictly and fast: a table has 600,000 of them. Private to this folder.
// Thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace virp::vrp {

// An address block as it was written: host bits may be set.
struct PrefixText {
  std::uint64_t high = 0;  // of an IPv4 address all 32 bits
  std::uint64_t low = 0;
  std::uint8_t length = 0;
  bool v6 = false;
};

// "ADDRESS/LENGTH" in the spellings that virp::Prefix::Parse takes, and with host bits. False for all else.
bool ParsePrefix(std::string_view text, PrefixText& out);
// The same at the start of a text: what is behind it, null for all else. No digit follows.
const char* ReadPrefix(const char* at, const char* end, PrefixText& out);

// "AS64500" with AS in either case, or "64500". False for all else, and beyond 32 bits.
bool ParseAs(std::string_view text, std::uint32_t& out);

// Standard or URL alphabet, with or without padding.
std::optional<std::string> DecodeAnyBase64(std::string_view text);

// A key identifier of 20 bytes: 40 hexadecimal digits, or any base64.
std::optional<std::array<std::uint8_t, 20>> ParseSki(std::string_view text);

// "2026-07-01T12:00:00Z" as seconds since 1970.
std::optional<std::int64_t> ParseTime(std::string_view text);
std::string TimeText(std::int64_t seconds);

// What somebody else wrote, cut to what fits a log line: at most `most` bytes of it and whole characters, where `text`
// is UTF-8.
std::string Shown(std::string_view text, std::size_t most = 60);

// The other way: as virp::Prefix prints it. Appends.
void AppendNumber(std::string& out, std::uint64_t value);
void AppendV4(std::string& out, std::uint32_t address);
void AppendV6(std::string& out, std::uint64_t high, std::uint64_t low);

}  // namespace virp::vrp
