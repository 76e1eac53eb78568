#include "lib/bmp/attributes.h"

#include <charconv>

#include "lib/bmp/reader.h"

namespace virp::bmp {
namespace {

void AppendNumber(std::string& out, std::uint32_t value) {
  char buffer[10];
  out.append(buffer, std::to_chars(buffer, buffer + sizeof(buffer), value).ptr);
}

bool IsConfed(AsPath::SegmentType type) {
  return type == AsPath::SegmentType::kConfedSequence || type == AsPath::SegmentType::kConfedSet;
}

// What a segment counts in RFC 4271 section 9.1.2.2 and RFC 5065 section 5.3.
std::size_t Hops(const AsPath::Segment& segment) {
  if (IsConfed(segment.type)) return 0;
  return segment.type == AsPath::SegmentType::kSet ? 1 : segment.size;
}

std::string_view Brackets(AsPath::SegmentType type) {
  switch (type) {
    case AsPath::SegmentType::kSet:
      return "{}";
    case AsPath::SegmentType::kConfedSequence:
      return "()";
    case AsPath::SegmentType::kConfedSet:
      return "[]";
    case AsPath::SegmentType::kSequence:
      break;
  }
  return "";
}

}  // namespace

void AsPath::Clear() {
  segments_.clear();
  numbers_.clear();
}

bool AsPath::Decode(std::string_view value, std::size_t as_size) {
  Clear();
  Reader reader(value);
  while (!reader.empty()) {
    std::uint8_t type = 0;
    std::uint8_t count = 0;
    std::string_view content;
    if (!reader.Read(type, count) || type < 1 || type > 4 || count == 0 || !reader.Take(count * as_size, content)) {
      Clear();
      return false;
    }
    segments_.push_back({SegmentType{type}, count});
    for (std::size_t at = 0; at < content.size(); at += as_size) {
      numbers_.push_back(as_size == 2 ? LoadBe<std::uint16_t>(content.data() + at)
                                      : LoadBe<std::uint32_t>(content.data() + at));
    }
  }
  return true;
}

void AsPath::Append(SegmentType type, const std::uint32_t* numbers, std::size_t count) {
  if (count == 0) return;
  segments_.push_back({type, static_cast<std::uint8_t>(count)});
  numbers_.insert(numbers_.end(), numbers, numbers + count);
}

void AsPath::MergeAs4(const AsPath& as4) {
  const std::size_t own = HopCount();
  const std::size_t theirs = as4.HopCount();  // confederation segments, to be discarded from AS4_PATH, count nothing
  if (theirs > own) return;
  AsPath merged;
  // The leading part of this path, up to the hops that AS4_PATH does not cover. A confederation segment goes along when
  // it leads or follows on a segment that went whole.
  std::size_t missing = own - theirs;
  const std::uint32_t* numbers = numbers_.data();
  for (const Segment& segment : segments_) {
    const std::size_t hops = Hops(segment);
    if (!IsConfed(segment.type) && missing == 0) break;
    const bool whole = hops <= missing;
    merged.Append(segment.type, numbers, whole ? segment.size : missing);
    if (!whole) break;
    missing -= hops;
    numbers += segment.size;
  }
  numbers = as4.numbers_.data();
  for (const Segment& segment : as4.segments_) {
    if (!IsConfed(segment.type)) merged.Append(segment.type, numbers, segment.size);
    numbers += segment.size;
  }
  *this = std::move(merged);
}

std::size_t AsPath::HopCount() const {
  std::size_t out = 0;
  for (const Segment& segment : segments_) out += Hops(segment);
  return out;
}

std::optional<std::uint32_t> AsPath::OriginAs() const {
  if (segments_.empty() || segments_.back().type != SegmentType::kSequence) return std::nullopt;
  return numbers_.back();
}

std::string AsPath::ToString() const {
  std::string out;
  AppendTo(out);
  return out;
}

void AsPath::AppendTo(std::string& out) const {
  std::size_t at = 0;
  for (const Segment& segment : segments_) {
    const auto brackets = Brackets(segment.type);
    if (at > 0) out.push_back(' ');
    out.append(brackets.substr(0, 1));
    for (std::size_t i = 0; i < segment.size; ++i) {
      if (i > 0) out.push_back(' ');
      AppendNumber(out, numbers_[at++]);
    }
    if (!brackets.empty()) out.push_back(brackets[1]);
  }
}

std::string_view OriginName(Origin origin) {
  switch (origin) {
    case Origin::kIgp:
      return "igp";
    case Origin::kEgp:
      return "egp";
    case Origin::kIncomplete:
      return "incomplete";
  }
  return "";
}

void AppendCommunity(std::string& out, std::uint32_t community) {
  AppendNumber(out, community >> 16);
  out.push_back(':');
  AppendNumber(out, community & 0xffff);
}

void AppendCommunity(std::string& out, const LargeCommunity& community) {
  AppendNumber(out, community[0]);
  out.push_back(':');
  AppendNumber(out, community[1]);
  out.push_back(':');
  AppendNumber(out, community[2]);
}

void AppendExtendedCommunity(std::string& out, std::uint64_t community) {
  out.append("0x");
  for (int shift = 60; shift >= 0; shift -= 4) out.push_back("0123456789abcdef"[community >> shift & 0xf]);
}

std::vector<std::string> PathAttributes::CommunityTexts() const {
  std::vector<std::string> out;
  out.reserve(communities.size() + large_communities.size() + extended_communities.size());
  VisitCommunities([&](std::string_view text) { out.emplace_back(text); });
  return out;
}

void PathAttributes::Clear() {
  origin.reset();
  next_hop.reset();
  as_path.Clear();
  med.reset();
  local_pref.reset();
  atomic_aggregate = false;
  aggregator.reset();
  originator_id.reset();
  cluster_list.clear();
  communities.clear();
  large_communities.clear();
  extended_communities.clear();
  unknown = 0;
}

}  // namespace virp::bmp
