#include "lib/crypto/der.h"

#include <fmt/format.h>

#include <algorithm>

#include "lib/base/status.h"

namespace virp::der {
namespace {

constexpr std::size_t kMaxLengthBytes = 4;

std::uint8_t ByteAt(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint8_t>(bytes[at]);
}

// Decimal digits at `at`; -1 when one is none.
int Digits(std::string_view text, std::size_t at, std::size_t count) {
  int value = 0;
  for (std::size_t i = at; i < at + count; ++i) {
    if (text[i] < '0' || text[i] > '9') return -1;
    value = value * 10 + (text[i] - '0');
  }
  return value;
}

// What follows the year in both time types: MMDDhhmmssZ.
bool RestOfTime(std::string_view text, int year, Time& out) {
  if (text.size() != 11 || text.back() != 'Z') return false;
  const int month = Digits(text, 0, 2), day = Digits(text, 2, 2), hour = Digits(text, 4, 2),
            minute = Digits(text, 6, 2), second = Digits(text, 8, 2);
  if (year < 0 || month < 0 || day < 0 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 ||
      second > 59)
    return false;
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return false;
  out = std::chrono::sys_days(date) + std::chrono::hours(hour) + std::chrono::minutes(minute) +
        std::chrono::seconds(second);
  return true;
}

struct CivilTime {
  int year;
  unsigned month, day;
  std::int64_t hour, minute, second;
};

CivilTime Civil(Time time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  return {static_cast<int>(date.year()),     static_cast<unsigned>(date.month()),
          static_cast<unsigned>(date.day()), std::int64_t{clock.hours().count()},
          clock.minutes().count(),           clock.seconds().count()};
}

}  // namespace

absl::Status Reader::Wrong(std::string_view why) const {
  return InvalidArgument("{}: {}", what_, why);
}

absl::StatusOr<Element> Reader::Any() {
  if (rest_.size() < 2) return Wrong("ends where an element should be");
  const std::uint8_t tag = ByteAt(rest_, 0);
  if ((tag & 0x1f) == 0x1f) return Wrong("a tag of more than one byte, which nothing here has");
  std::size_t header = 2;
  std::size_t size = ByteAt(rest_, 1);
  if (size == 0x80) return Wrong("an indefinite length: BER, not DER");
  if (size > 0x80) {
    const std::size_t count = size & 0x7f;
    if (count > kMaxLengthBytes || rest_.size() < header + count) return Wrong("a length beyond the end");
    size = 0;
    for (std::size_t i = 0; i < count; ++i) size = (size << 8) | ByteAt(rest_, header + i);
    if (size < 0x80 || (size >> (8 * (count - 1))) == 0) return Wrong("a length that is not in its shortest form");
    header += count;
  }
  if (size > rest_.size() - header) return Wrong("a length beyond the end");
  const Element element{tag, rest_.substr(header, size), rest_.substr(0, header + size)};
  rest_.remove_prefix(header + size);
  return element;
}

absl::StatusOr<Element> Reader::Take(std::uint8_t tag) {
  if (!At(tag)) {
    return InvalidArgument("{}: {} where tag {:02x} should be", what_,
                           rest_.empty() ? "the end" : fmt::format("tag {:02x}", ByteAt(rest_, 0)), tag);
  }
  return Any();
}

absl::StatusOr<Reader> Reader::Enter(std::uint8_t tag) {
  ASSIGN_OR_RETURN(const Element element, Take(tag));
  return Reader(element.content, what_);
}

absl::Status Reader::End() const {
  return rest_.empty() ? absl::OkStatus() : InvalidArgument("{}: {} bytes behind the end", what_, rest_.size());
}

absl::StatusOr<bool> Reader::Boolean() {
  ASSIGN_OR_RETURN(const Element element, Take(kBoolean));
  if (element.content == std::string_view("\xff", 1)) return true;
  if (element.content == std::string_view("\0", 1)) return false;
  return Wrong("a boolean is the byte 00 or ff");
}

absl::StatusOr<std::string_view> Reader::Unsigned() {
  ASSIGN_OR_RETURN(const Element element, Take(kInteger));
  std::string_view value = element.content;
  if (value.empty()) return Wrong("an integer without a byte");
  if ((ByteAt(value, 0) & 0x80) != 0) return Wrong("a negative number");
  if (ByteAt(value, 0) != 0) return value;
  value.remove_prefix(1);
  if (!value.empty() && (ByteAt(value, 0) & 0x80) == 0) return Wrong("an integer that is not in its shortest form");
  return value;
}

absl::StatusOr<std::uint64_t> Reader::Number() {
  ASSIGN_OR_RETURN(const std::string_view bytes, Unsigned());
  if (bytes.size() > sizeof(std::uint64_t)) return Wrong("a number beyond 64 bits");
  std::uint64_t value = 0;
  for (const char byte : bytes) value = (value << 8) | static_cast<std::uint8_t>(byte);
  return value;
}

absl::StatusOr<std::string_view> Reader::Oid() {
  ASSIGN_OR_RETURN(const Element element, Take(kOid));
  if (element.content.empty() || element.content.size() > 64) return Wrong("an object identifier of a strange length");
  return element.content;
}

absl::StatusOr<std::string_view> Reader::BitStringBytes() {
  ASSIGN_OR_RETURN(const Element element, Take(kBitString));
  if (element.content.empty() || element.content.front() != '\0') return Wrong("a bit string that is not whole bytes");
  return element.content.substr(1);
}

absl::StatusOr<Time> Reader::TimeValue() {
  Time time;
  if (At(kUtcTime)) {
    ASSIGN_OR_RETURN(const Element element, Take(kUtcTime));
    const std::string_view text = element.content;
    const int year = text.size() == 13 ? Digits(text, 0, 2) : -1;
    if (year < 0 || !RestOfTime(text.substr(2), year < 50 ? 2000 + year : 1900 + year, time)) {
      return Wrong("a UTCTime is YYMMDDhhmmssZ");
    }
    return time;
  }
  ASSIGN_OR_RETURN(const Element element, Take(kGeneralizedTime));
  const std::string_view text = element.content;
  if (text.size() != 15 || !RestOfTime(text.substr(4), Digits(text, 0, 4), time)) {
    return Wrong("a GeneralizedTime is YYYYMMDDhhmmssZ");
  }
  return time;
}

absl::StatusOr<Reader> Open(std::string_view bytes, std::uint8_t tag, std::string_view what) {
  Reader outer(bytes, what);
  ASSIGN_OR_RETURN(const Reader inner, outer.Enter(tag));
  RETURN_IF_ERROR(outer.End());
  return inner;
}

std::string Header(std::uint8_t tag, std::size_t content_size) {
  std::string out(1, static_cast<char>(tag));
  if (content_size < 0x80) {
    out.push_back(static_cast<char>(content_size));
    return out;
  }
  std::string length;
  for (std::size_t left = content_size; left != 0; left >>= 8) length.push_back(static_cast<char>(left & 0xff));
  out.push_back(static_cast<char>(0x80 | length.size()));
  out.append(length.rbegin(), length.rend());
  return out;
}

std::string Tlv(std::uint8_t tag, std::initializer_list<std::string_view> content) {
  std::size_t size = 0;
  for (const std::string_view part : content) size += part.size();
  std::string out = Header(tag, size);
  out.reserve(out.size() + size);
  for (const std::string_view part : content) out += part;
  return out;
}

std::string UnsignedInteger(std::string_view big_endian) {
  big_endian.remove_prefix(std::min(big_endian.find_first_not_of('\0'), big_endian.size()));
  const bool pad = big_endian.empty() || (ByteAt(big_endian, 0) & 0x80) != 0;
  return Tlv(kInteger, {pad ? std::string_view("\0", 1) : std::string_view(), big_endian});
}

std::string Integer(std::uint64_t value) {
  char bytes[8];
  for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>((value >> (8 * (7 - i))) & 0xff);
  return UnsignedInteger({bytes, 8});
}

std::string Bits(std::string_view bytes, unsigned unused_bits) {
  const char unused = static_cast<char>(unused_bits);
  return Tlv(kBitString, {std::string_view(&unused, 1), bytes});
}

std::string NamedBits(std::initializer_list<unsigned> bits) {
  std::string bytes;
  unsigned last = 0;
  for (const unsigned bit : bits) {
    if (bytes.size() <= bit / 8) bytes.resize(bit / 8 + 1, '\0');
    bytes[bit / 8] = static_cast<char>(static_cast<std::uint8_t>(bytes[bit / 8]) | (0x80U >> (bit % 8)));
    last = std::max(last, bit);
  }
  return Bits(bytes, bytes.empty() ? 0 : 7 - last % 8);
}

std::string GeneralizedTime(Time time) {
  const CivilTime at = Civil(time);
  return Tlv(kGeneralizedTime,
             fmt::format("{:04}{:02}{:02}{:02}{:02}{:02}Z", at.year, at.month, at.day, at.hour, at.minute, at.second));
}

std::string CertificateTime(Time time) {
  const CivilTime at = Civil(time);
  if (at.year < 1950 || at.year > 2049) return GeneralizedTime(time);
  return Tlv(kUtcTime, fmt::format("{:02}{:02}{:02}{:02}{:02}{:02}Z", at.year % 100, at.month, at.day, at.hour,
                                   at.minute, at.second));
}

std::string OidText(std::string_view content) {
  std::string out;
  std::uint64_t arc = 0;
  for (const char byte : content) {
    if (arc > (UINT64_MAX >> 7)) return "?";
    arc = (arc << 7) | (static_cast<std::uint8_t>(byte) & 0x7f);
    if ((static_cast<std::uint8_t>(byte) & 0x80) != 0) continue;
    if (out.empty()) {
      const std::uint64_t first = std::min<std::uint64_t>(arc / 40, 2);
      out = fmt::format("{}.{}", first, arc - 40 * first);
    } else {
      out += fmt::format(".{}", arc);
    }
    arc = 0;
  }
  return out.empty() || (static_cast<std::uint8_t>(content.back()) & 0x80) != 0 ? "?" : out;
}

std::string TimeText(Time time) {
  const CivilTime at = Civil(time);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", at.year, at.month, at.day, at.hour, at.minute, at.second);
}

}  // namespace virp::der
