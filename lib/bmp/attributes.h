// The path attributes of an UPDATE in numbers, and their standard text forms.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/ip.h"

namespace virp::bmp {

// An AS path: segments in order (RFC 4271 section 5.1.2, RFC 5065). Keeps its memory when cleared.
class AsPath {
 public:
  enum class SegmentType : std::uint8_t { kSet = 1, kSequence = 2, kConfedSequence = 3, kConfedSet = 4 };
  struct Segment {
    SegmentType type{};
    std::uint8_t size = 0;  // AS numbers in it, at least 1
    friend bool operator==(const Segment&, const Segment&) = default;
  };

  void Clear();

  // Replaces the path by the value of an AS_PATH or AS4_PATH attribute with AS numbers of `as_size` (2 or 4) bytes.
  // False, and the path empty, when it is malformed in the sense of RFC 7606 section 7.2: an unknown segment type, an
  // empty segment, or a segment that overruns.
  bool Decode(std::string_view value, std::size_t as_size);

  // Puts what AS4_PATH says in place of the end of this 2-octet path (RFC 6793 section 4.2.3). Confederation segments
  // of `as4` are ignored; when it is longer than this path, all of it is.
  void MergeAs4(const AsPath& as4);

  // Length for route selection: a set counts as one, confederation segments not at all.
  std::size_t HopCount() const;
  // The AS that originated the route: the last of the path if that stands in a sequence (RFC 6811 section 2). None for
  // an empty path, where it is the speaker's own AS, and after a set or a confederation segment.
  std::optional<std::uint32_t> OriginAs() const;

  // Sequences bare, sets in braces, confederation sequences in parentheses, confederation sets in brackets:
  // "64501 64510 {64511 64512}", "(65001 65002) 64501". Empty for an empty path.
  std::string ToString() const;
  void AppendTo(std::string& out) const;

  bool empty() const { return segments_.empty(); }
  const std::vector<Segment>& segments() const { return segments_; }
  const std::vector<std::uint32_t>& numbers() const { return numbers_; }  // of all segments, one behind the other

  friend bool operator==(const AsPath&, const AsPath&) = default;

 private:
  void Append(SegmentType type, const std::uint32_t* numbers, std::size_t count);

  std::vector<Segment> segments_;
  std::vector<std::uint32_t> numbers_;
};

enum class Origin : std::uint8_t { kIgp = 0, kEgp = 1, kIncomplete = 2 };
std::string_view OriginName(Origin origin);  // "igp", "egp", "incomplete"

struct Aggregator {
  std::uint32_t as = 0;
  IpAddress address;
  friend bool operator==(const Aggregator&, const Aggregator&) = default;
};

using LargeCommunity = std::array<std::uint32_t, 3>;  // RFC 8092: global administrator, local data 1 and 2

// RFC 1997 "64500:100", never the name of a well-known one; RFC 8092 "64500:1:2"; RFC 4360 "0x0002fbf400000064".
void AppendCommunity(std::string& out, std::uint32_t community);
void AppendCommunity(std::string& out, const LargeCommunity& community);
void AppendExtendedCommunity(std::string& out, std::uint64_t community);

// What an UPDATE says about the routes that it announces. Communities of each kind are a set: sorted, each once.
struct PathAttributes {
  std::optional<Origin> origin;
  std::optional<IpAddress> next_hop;  // the NEXT_HOP attribute; what a route uses is in its Announcement
  AsPath as_path;
  std::optional<std::uint32_t> med;
  std::optional<std::uint32_t> local_pref;
  bool atomic_aggregate = false;
  std::optional<Aggregator> aggregator;
  std::optional<IpAddress> originator_id;
  std::vector<std::uint32_t> cluster_list;
  std::vector<std::uint32_t> communities;
  std::vector<LargeCommunity> large_communities;
  std::vector<std::uint64_t> extended_communities;
  std::uint32_t unknown = 0;  // attributes that are not read here

  // Calls visit(std::string_view) with each community, then each large, then each extended one, in the forms above.
  template <typename Visit>
  void VisitCommunities(Visit&& visit) const;
  std::vector<std::string> CommunityTexts() const;
  void Clear();  // keeps memory

  friend bool operator==(const PathAttributes&, const PathAttributes&) = default;
};

template <typename Visit>
void PathAttributes::VisitCommunities(Visit&& visit) const {
  std::string text;
  const auto show = [&](auto append, const auto& community) {
    text.clear();
    append(text, community);
    visit(std::string_view(text));
  };
  const auto append = [](std::string& out, const auto& community) { AppendCommunity(out, community); };
  for (const auto community : communities) show(append, community);
  for (const auto& community : large_communities) show(append, community);
  for (const auto community : extended_communities) show(AppendExtendedCommunity, community);
}

}  // namespace virp::bmp
