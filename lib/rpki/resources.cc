#include "lib/rpki/resources.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "lib/base/status.h"
#include "lib/crypto/der.h"

namespace virp::rpki {
namespace {

using der::Reader;

constexpr std::size_t kMaxRanges = 100'000;
constexpr std::string_view kNullElement("\x05\x00", 2);

absl::StatusOr<std::uint32_t> ParseAsn(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
    return InvalidArgument("'{}' is not an AS number", text);
  }
  return value;
}

absl::StatusOr<std::uint32_t> TakeAsn(Reader& reader) {
  ASSIGN_OR_RETURN(const std::uint64_t value, reader.Number());
  if (value > std::numeric_limits<std::uint32_t>::max()) return InvalidArgument("AS number {} beyond 32 bits", value);
  return static_cast<std::uint32_t>(value);
}

absl::StatusOr<AsRange> TakeRange(Reader& list) {
  if (list.At(der::kInteger)) {
    ASSIGN_OR_RETURN(const std::uint32_t asn, TakeAsn(list));
    return AsRange{asn, asn};
  }
  ASSIGN_OR_RETURN(Reader range, list.Enter(der::kSequence));
  AsRange out;
  ASSIGN_OR_RETURN(out.first, TakeAsn(range));
  ASSIGN_OR_RETURN(out.last, TakeAsn(range));
  RETURN_IF_ERROR(range.End());
  if (out.first >= out.last) return InvalidArgument("AS resources: a range from {} to {}", out.first, out.last);
  return out;
}

// Addresses as big-endian bytes.
struct Interval {
  std::string first, last;
};

Interval IntervalOf(const Prefix& prefix) {
  Interval out{std::string(prefix.address().bytes()), std::string(prefix.address().bytes())};
  for (int bit = prefix.length(); bit < prefix.address().bits(); ++bit) {
    char& byte = out.last[static_cast<std::size_t>(bit / 8)];
    byte = static_cast<char>(static_cast<std::uint8_t>(byte) | (0x80U >> (bit % 8)));
  }
  return out;
}

// The address behind; false behind the last one.
bool Next(std::string& address) {
  for (std::size_t i = address.size(); i-- > 0;) {
    address[i] = static_cast<char>(static_cast<std::uint8_t>(address[i]) + 1);
    if (address[i] != '\0') return true;
  }
  return false;
}

bool BitOf(std::string_view bytes, std::size_t bit) {
  return (static_cast<std::uint8_t>(bytes[bit / 8]) & (0x80U >> (bit % 8))) != 0;
}

// The bits before the trailing ones that all equal `filler`, the rest zero.
std::string WithoutTail(std::string_view address, bool filler) {
  std::size_t bits = address.size() * 8;
  while (bits > 0 && BitOf(address, bits - 1) == filler) --bits;
  std::string bytes(address.substr(0, (bits + 7) / 8));
  const unsigned unused = static_cast<unsigned>(bytes.size() * 8 - bits);
  if (unused > 0) bytes.back() = static_cast<char>(static_cast<std::uint8_t>(bytes.back()) & (0xffU << unused));
  return der::Bits(bytes, unused);
}

// A prefix when the interval is one: then all behind the common bits is zeros in the first and ones in the last.
std::string EncodeInterval(const Interval& interval) {
  std::size_t common = 0;
  const std::size_t bits = interval.first.size() * 8;
  while (common < bits && BitOf(interval.first, common) == BitOf(interval.last, common)) ++common;
  bool is_prefix = true;
  for (std::size_t bit = common; bit < bits; ++bit) {
    is_prefix = is_prefix && !BitOf(interval.first, bit) && BitOf(interval.last, bit);
  }
  if (!is_prefix) return der::Sequence({WithoutTail(interval.first, false), WithoutTail(interval.last, true)});
  std::string bytes = interval.first.substr(0, (common + 7) / 8);
  return der::Bits(bytes, static_cast<unsigned>(bytes.size() * 8 - common));
}

std::string EncodeFamily(IpFamily family, const std::vector<Prefix>& prefixes, bool inherit) {
  const std::string afi = der::Tlv(der::kOctetString, std::string_view(family == IpFamily::kV4 ? "\0\1" : "\0\2", 2));
  if (inherit) return der::Sequence({afi, kNullElement});
  std::vector<Interval> merged;
  for (const Prefix& prefix : prefixes) {
    if (prefix.family() != family) continue;
    Interval next = IntervalOf(prefix);
    std::string behind = merged.empty() ? std::string() : merged.back().last;
    if (!merged.empty() && (next.first <= merged.back().last || (Next(behind) && next.first == behind))) {
      merged.back().last = std::max(merged.back().last, next.last);
    } else {
      merged.push_back(std::move(next));
    }
  }
  if (merged.empty()) return {};
  std::string list;
  for (const Interval& interval : merged) list += EncodeInterval(interval);
  return der::Sequence({afi, der::Sequence({list})});
}

}  // namespace

AsResources AsResources::Inherit() {
  AsResources out;
  out.inherit_ = true;
  return out;
}

AsResources AsResources::Of(std::vector<AsRange> ranges) {
  std::erase_if(ranges, [](const AsRange& range) { return range.last < range.first; });
  std::sort(ranges.begin(), ranges.end(), [](const AsRange& a, const AsRange& b) { return a.first < b.first; });
  AsResources out;
  for (const AsRange& range : ranges) {
    if (!out.ranges_.empty() && range.first <= std::uint64_t{out.ranges_.back().last} + 1) {
      out.ranges_.back().last = std::max(out.ranges_.back().last, range.last);
    } else {
      out.ranges_.push_back(range);
    }
  }
  return out;
}

absl::StatusOr<AsResources> AsResources::Parse(const std::vector<std::string>& ranges) {
  std::vector<AsRange> out;
  for (const std::string_view text : ranges) {
    const std::size_t dash = text.find('-');
    AsRange range;
    ASSIGN_OR_RETURN(range.first, ParseAsn(text.substr(0, dash)));
    range.last = range.first;
    if (dash != std::string_view::npos) {
      ASSIGN_OR_RETURN(range.last, ParseAsn(text.substr(dash + 1)));
    }
    if (range.last < range.first) return InvalidArgument("'{}': the range ends before it begins", text);
    out.push_back(range);
  }
  return Of(std::move(out));
}

bool AsResources::Contains(std::uint32_t asn) const {
  const auto behind = std::upper_bound(ranges_.begin(), ranges_.end(), asn,
                                       [](std::uint32_t value, const AsRange& range) { return value < range.first; });
  return behind != ranges_.begin() && asn <= std::prev(behind)->last;
}

bool AsResources::Contains(const AsResources& other) const {
  if (inherit_ || other.inherit_) return false;
  return std::all_of(other.ranges_.begin(), other.ranges_.end(), [&](const AsRange& range) {
    const auto behind = std::upper_bound(ranges_.begin(), ranges_.end(), range.first,
                                         [](std::uint32_t value, const AsRange& r) { return value < r.first; });
    return behind != ranges_.begin() && range.last <= std::prev(behind)->last;
  });
}

std::string AsResources::Encode() const {
  std::string choice(kNullElement);
  if (!inherit_) {
    std::string list;
    for (const AsRange& range : ranges_) {
      list += range.first == range.last ? der::Integer(range.first)
                                        : der::Sequence({der::Integer(range.first), der::Integer(range.last)});
    }
    choice = der::Sequence({list});
  }
  return der::Sequence({der::Tlv(der::ContextConstructed(0), choice)});
}

absl::StatusOr<AsResources::Decoded> AsResources::Decode(std::string_view value) {
  constexpr std::string_view kWhat = "AS resources";
  ASSIGN_OR_RETURN(Reader outer, der::Open(value, der::kSequence, kWhat));
  Decoded out;
  if (outer.At(der::ContextConstructed(0))) {
    ASSIGN_OR_RETURN(Reader choice, outer.Enter(der::ContextConstructed(0)));
    if (choice.At(der::kNull)) {
      ASSIGN_OR_RETURN(const der::Element null, choice.Any());
      if (!null.content.empty()) return InvalidArgument("{}: a NULL with content", kWhat);
      out.numbers.inherit_ = true;
    } else {
      ASSIGN_OR_RETURN(Reader list, choice.Enter(der::kSequence));
      std::vector<AsRange>& ranges = out.numbers.ranges_;
      while (!list.AtEnd()) {
        if (ranges.size() == kMaxRanges) return InvalidArgument("{}: more than {} ranges", kWhat, kMaxRanges);
        ASSIGN_OR_RETURN(const AsRange range, TakeRange(list));
        if (!ranges.empty() && range.first <= std::uint64_t{ranges.back().last} + 1) {
          return InvalidArgument("{}: not in ascending order, or adjacent ones not joined", kWhat);
        }
        ranges.push_back(range);
      }
    }
    RETURN_IF_ERROR(choice.End());
  }
  if (outer.At(der::ContextConstructed(1))) {
    RETURN_IF_ERROR(outer.Any().status());
    out.has_rdi = true;
  }
  RETURN_IF_ERROR(outer.End());
  return out;
}

IpResources IpResources::Inherit() {
  IpResources out;
  out.inherit_ = true;
  return out;
}

IpResources IpResources::Of(std::vector<Prefix> prefixes) {
  IpResources out;
  std::sort(prefixes.begin(), prefixes.end());
  out.prefixes_ = std::move(prefixes);
  return out;
}

std::string IpResources::Encode() const {
  return der::Sequence(
      {EncodeFamily(IpFamily::kV4, prefixes_, inherit_), EncodeFamily(IpFamily::kV6, prefixes_, inherit_)});
}

}  // namespace virp::rpki
