#include "lib/base/ip.h"

#include <charconv>
#include <cstring>
#include <optional>

#include "lib/base/bytes.h"
#include "lib/base/status.h"

namespace virp {
namespace {

constexpr std::array<std::uint8_t, 12> kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

void AppendNumber(std::string& out, unsigned value, int base) {
  char buffer[8];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value, base).ptr;
  out.append(buffer, end);
}

void AppendQuad(std::string& out, const std::uint8_t* bytes) {
  for (int i = 0; i < 4; ++i) {
    if (i > 0) out.push_back('.');
    AppendNumber(out, bytes[i], 10);
  }
}

// A decimal number without sign or leading zero, at most `max`.
std::optional<int> ParseDecimal(std::string_view text, int max) {
  if (text.empty() || text.size() > 3 || (text.size() > 1 && text[0] == '0')) return std::nullopt;
  int value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  if (value > max) return std::nullopt;
  return value;
}

bool ParseQuad(std::string_view text, std::uint8_t* out) {
  for (int i = 0; i < 4; ++i) {
    const auto dot = text.find('.');
    if ((dot == std::string_view::npos) != (i == 3)) return false;
    const auto number = ParseDecimal(text.substr(0, dot), 255);
    if (!number) return false;
    out[i] = static_cast<std::uint8_t>(*number);
    if (i < 3) text.remove_prefix(dot + 1);
  }
  return true;
}

std::optional<std::uint16_t> ParseGroup(std::string_view text) {
  if (text.empty() || text.size() > 4) return std::nullopt;
  std::uint16_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (result.ec != std::errc() || result.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

// Groups of one side of "::" into `out`; how many bytes they take, or nothing. A dotted quad may stand last when
// `quad_allowed`.
std::optional<std::size_t> ParseGroups(std::string_view text, bool quad_allowed, std::uint8_t* out) {
  std::size_t used = 0;
  if (text.empty()) return used;
  for (;;) {
    const auto colon = text.find(':');
    const auto part = text.substr(0, colon);
    if (colon == std::string_view::npos && quad_allowed && part.find('.') != std::string_view::npos) {
      if (used + 4 > 16 || !ParseQuad(part, out + used)) return std::nullopt;
      return used + 4;
    }
    const auto group = ParseGroup(part);
    if (!group || used + 2 > 16) return std::nullopt;
    out[used++] = static_cast<std::uint8_t>(*group >> 8);
    out[used++] = static_cast<std::uint8_t>(*group & 0xff);
    if (colon == std::string_view::npos) return used;
    text.remove_prefix(colon + 1);
  }
}

bool ParseV6(std::string_view text, std::uint8_t* out) {
  const auto gap = text.find("::");
  if (gap == std::string_view::npos) return ParseGroups(text, true, out) == std::size_t{16};
  std::uint8_t tail[16];
  const auto head_size = ParseGroups(text.substr(0, gap), false, out);
  const auto tail_size = ParseGroups(text.substr(gap + 2), true, tail);
  // "::" stands for at least one group.
  if (!head_size || !tail_size || *head_size + *tail_size > 14) return false;
  std::memset(out + *head_size, 0, 16 - *head_size - *tail_size);
  std::memcpy(out + 16 - *tail_size, tail, *tail_size);
  return true;
}

// The text for an error message: bounded, so that a hostile value does not fill a log.
std::string_view Shown(std::string_view text) {
  return text.substr(0, 64);
}

}  // namespace

IpAddress IpAddress::V4(const void* four_bytes) {
  IpAddress out;
  std::memcpy(out.bytes_.data(), four_bytes, 4);
  return out;
}

IpAddress IpAddress::V6(const void* sixteen_bytes) {
  IpAddress out;
  out.family_ = IpFamily::kV6;
  std::memcpy(out.bytes_.data(), sixteen_bytes, 16);
  return out;
}

IpAddress IpAddress::V4(std::uint32_t host_order) {
  char bytes[4];
  StoreBe(bytes, host_order);
  return V4(bytes);
}

absl::StatusOr<IpAddress> IpAddress::FromBytes(std::string_view bytes) {
  if (bytes.size() == 4) return V4(bytes.data());
  if (bytes.size() == 16) return V6(bytes.data());
  return InvalidArgument("an IP address has 4 or 16 bytes, these are {}", bytes.size());
}

absl::StatusOr<IpAddress> IpAddress::Parse(std::string_view text) {
  IpAddress out;
  if (text.find(':') != std::string_view::npos) {
    out.family_ = IpFamily::kV6;
    if (ParseV6(text, out.bytes_.data())) return out;
  } else if (ParseQuad(text, out.bytes_.data())) {
    return out;
  }
  return InvalidArgument("'{}' is not an IPv4 or IPv6 address", Shown(text));
}

absl::StatusOr<IpAddress> IpAddress::ParseCanonical(std::string_view text) {
  ASSIGN_OR_RETURN(const IpAddress out, Parse(text));
  if (out.ToString() == text) return out;
  return InvalidArgument("address '{}' is not in the form of RFC 5952, which is '{}'", Shown(text), out.ToString());
}

std::string IpAddress::ToString() const {
  std::string out;
  AppendTo(out);
  return out;
}

void IpAddress::AppendTo(std::string& out) const {
  if (is_v4()) return AppendQuad(out, bytes_.data());
  if (std::memcmp(bytes_.data(), kMappedPrefix.data(), kMappedPrefix.size()) == 0) {
    out.append("::ffff:");
    return AppendQuad(out, bytes_.data() + 12);
  }
  unsigned groups[8];
  for (std::size_t i = 0; i < 8; ++i) groups[i] = (unsigned{bytes_[2 * i]} << 8) | bytes_[2 * i + 1];
  // RFC 5952 section 4.2: the longest run, the first of equals, and never a single group.
  int best = -1;
  int best_length = 1;
  for (int i = 0; i < 8; ++i) {  // the group behind a run is not zero, so stepping over it is right
    int run = 0;
    while (i + run < 8 && groups[i + run] == 0) ++run;
    if (run > best_length) {
      best = i;
      best_length = run;
    }
    i += run;
  }
  for (int i = 0; i < 8; ++i) {
    if (i == best) {
      out.append("::");
      i += best_length - 1;
      continue;
    }
    const bool after_gap = best >= 0 && i == best + best_length;
    if (i > 0 && !after_gap) out.push_back(':');
    AppendNumber(out, groups[i], 16);
  }
}

bool IpAddress::is_unspecified() const {
  for (const auto byte : bytes_) {
    if (byte != 0) return false;
  }
  return true;
}

IpAddress IpAddress::Unmapped() const {
  if (is_v6() && std::memcmp(bytes_.data(), kMappedPrefix.data(), kMappedPrefix.size()) == 0)
    return V4(bytes_.data() + 12);
  return *this;
}

IpAddress IpAddress::Masked(int length) const {
  IpAddress out = *this;
  const std::size_t size = bytes().size();
  for (std::size_t i = static_cast<std::size_t>(length) / 8; i < size; ++i) {
    const int kept = length - static_cast<int>(i) * 8;
    out.bytes_[i] = kept <= 0 ? std::uint8_t{0} : static_cast<std::uint8_t>(out.bytes_[i] & (0xff << (8 - kept)));
  }
  return out;
}

absl::StatusOr<Prefix> Prefix::Make(const IpAddress& address, int length) {
  if (length < 0 || length > address.bits()) {
    return InvalidArgument("prefix length {} is not within 0 to {}", length, address.bits());
  }
  return MakeMasked(address, length);
}

Prefix Prefix::MakeMasked(const IpAddress& address, int length) {
  Prefix out;
  out.address_ = address.Masked(length);
  out.length_ = static_cast<std::uint8_t>(length);
  return out;
}

absl::StatusOr<Prefix> Prefix::Parse(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) {
    return InvalidArgument("'{}' is not a prefix: '/' and a length are missing", Shown(text));
  }
  ASSIGN_OR_RETURN(const IpAddress address, IpAddress::Parse(text.substr(0, slash)));
  const auto length = ParseDecimal(text.substr(slash + 1), address.bits());
  if (!length) {
    return InvalidArgument("'{}' is not a prefix: the length must be a number from 0 to {}", Shown(text),
                           address.bits());
  }
  const Prefix out = MakeMasked(address, *length);
  if (out.address() != address) {
    return InvalidArgument("prefix '{}' has host bits that are not zero; the block is '{}'", Shown(text),
                           out.ToString());
  }
  return out;
}

absl::StatusOr<Prefix> Prefix::ParseCanonical(std::string_view text) {
  ASSIGN_OR_RETURN(const Prefix out, Parse(text));
  if (out.ToString() == text) return out;
  return InvalidArgument("prefix '{}' is not in the form of RFC 5952, which is '{}'", Shown(text), out.ToString());
}

std::string Prefix::ToString() const {
  std::string out;
  AppendTo(out);
  return out;
}

void Prefix::AppendTo(std::string& out) const {
  address_.AppendTo(out);
  out.push_back('/');
  AppendNumber(out, length_, 10);
}

bool Prefix::Contains(const IpAddress& address) const {
  return address.family() == family() && address.Masked(length_) == address_;
}

bool Prefix::Contains(const Prefix& prefix) const {
  return prefix.length() >= length() && Contains(prefix.address());
}

}  // namespace virp
