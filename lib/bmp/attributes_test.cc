#include "lib/bmp/attributes.h"

#include <gtest/gtest.h>

#include "lib/bmp/bmp_testing.h"

namespace virp::bmp {
namespace {

using testing::Hex;
using testing::U16;
using testing::U32;
using testing::U8;

// A segment: its type and AS numbers.
struct Seg {
  unsigned type;
  std::vector<std::uint32_t> numbers;
};

std::string Bytes(const std::vector<Seg>& segments, std::size_t as_size = 4) {
  std::string out;
  for (const auto& segment : segments) {
    out += U8(segment.type) + U8(static_cast<unsigned>(segment.numbers.size()));
    for (const auto as : segment.numbers) out += as_size == 4 ? U32(as) : U16(as);
  }
  return out;
}

AsPath Path(const std::vector<Seg>& segments, std::size_t as_size = 4) {
  AsPath out;
  EXPECT_TRUE(out.Decode(Bytes(segments, as_size), as_size));
  return out;
}

constexpr unsigned kSet = 1;
constexpr unsigned kSeq = 2;
constexpr unsigned kConfedSeq = 3;
constexpr unsigned kConfedSet = 4;

TEST(AsPath, Text) {
  EXPECT_EQ(Path({}).ToString(), "");
  EXPECT_EQ(Path({{kSeq, {64501}}}).ToString(), "64501");
  EXPECT_EQ(Path({{kSeq, {64501, 4200000000u}}, {kSet, {64511, 64512}}}).ToString(), "64501 4200000000 {64511 64512}");
  EXPECT_EQ(Path({{kConfedSeq, {65001, 65002}}, {kConfedSet, {65003}}, {kSeq, {64501}}}).ToString(),
            "(65001 65002) [65003] 64501");
  EXPECT_EQ(Path({{kSeq, {1}}, {kSeq, {2}}}).ToString(), "1 2");
  EXPECT_EQ(Path({{kSeq, {64501, 64502}}}, 2).ToString(), "64501 64502");
}

TEST(AsPath, HopsAndOrigin) {
  const auto path = Path({{kConfedSeq, {65001, 65002}}, {kSeq, {1, 2, 3}}, {kSet, {4, 5}}});
  EXPECT_EQ(path.HopCount(), 4u);
  EXPECT_EQ(path.OriginAs(), std::nullopt);
  EXPECT_EQ(Path({{kSeq, {1, 2}}}).OriginAs(), 2u);
  EXPECT_EQ(Path({{kSet, {9}}, {kSeq, {2}}}).OriginAs(), 2u);
  EXPECT_EQ(Path({}).OriginAs(), std::nullopt);
  EXPECT_EQ(Path({{kConfedSeq, {2}}}).OriginAs(), std::nullopt);
}

TEST(AsPath, RefusesMalformedOnes) {
  AsPath path = Path({{kSeq, {7}}});
  for (const std::string& bad : {Hex("02"), Hex("0200"), Hex("0001000000fb"), Hex("0501000000fb"), Hex("02020000fbf5"),
                                 Hex("02010000fb"), Hex("02010000fbf502"), Hex("0201000000fb0300")}) {
    EXPECT_FALSE(path.Decode(bad, 4)) << HexEncode(bad);
    EXPECT_TRUE(path.empty());
    EXPECT_TRUE(path.numbers().empty());
  }
}

TEST(AsPath, TakesTheLongestSegment) {
  const auto path =
      Path({{kSeq, std::vector<std::uint32_t>(255, 64501)}, {kSeq, std::vector<std::uint32_t>(255, 64502)}});
  EXPECT_EQ(path.HopCount(), 510u);
  EXPECT_EQ(path.OriginAs(), 64502u);
}

std::string Merged(const std::vector<Seg>& as_path, const std::vector<Seg>& as4_path) {
  AsPath path = Path(as_path, 2);
  path.MergeAs4(Path(as4_path));
  return path.ToString();
}

TEST(AsPath, MergesAs4Path) {  // RFC 6793 section 4.2.3
  EXPECT_EQ(Merged({{kSeq, {64501, 23456, 23456}}}, {{kSeq, {65550, 65551}}}), "64501 65550 65551");
  EXPECT_EQ(Merged({{kSeq, {23456, 23456}}}, {{kSeq, {65550, 65551}}}), "65550 65551");
  // AS4_PATH is longer: ignored.
  EXPECT_EQ(Merged({{kSeq, {23456}}}, {{kSeq, {65550, 65551}}}), "23456");
  // Sets count as one, whole segments in front go along.
  EXPECT_EQ(Merged({{kSeq, {1, 2}}, {kSet, {3, 4}}, {kSeq, {23456}}}, {{kSeq, {65550}}}), "1 2 {3 4} 65550");
  EXPECT_EQ(Merged({{kSeq, {1, 23456}}, {kSet, {23456, 4}}}, {{kSeq, {65550}}, {kSet, {65551, 4}}}),
            "1 65550 {65551 4}");
  // Confederation segments that lead or follow on what is taken go along; those of AS4_PATH do not.
  EXPECT_EQ(Merged({{kConfedSeq, {65001}}, {kSeq, {23456}}}, {{kSeq, {65550}}}), "(65001) 65550");
  EXPECT_EQ(Merged({{kSeq, {1}}, {kConfedSet, {65002}}, {kSeq, {23456}}}, {{kSeq, {65550}}}), "1 [65002] 65550");
  EXPECT_EQ(Merged({{kSeq, {1, 23456}}}, {{kConfedSeq, {65009}}, {kSeq, {65550}}}), "1 65550");
  EXPECT_EQ(Merged({{kSeq, {1, 2}}}, {}), "1 2");
}

TEST(Communities, Text) {
  const auto text = [](const auto& community) {
    std::string out;
    AppendCommunity(out, community);
    return out;
  };
  EXPECT_EQ(text(std::uint32_t{0xfbf50064}), "64501:100");
  EXPECT_EQ(text(std::uint32_t{0xffffff01}), "65535:65281");  // NO_EXPORT has no other name here
  EXPECT_EQ(text(LargeCommunity{64501, 1, 4294967295u}), "64501:1:4294967295");
  std::string extended;
  AppendExtendedCommunity(extended, 0x0002fbf50000004dull);
  EXPECT_EQ(extended, "0x0002fbf50000004d");
  PathAttributes attributes;
  attributes.extended_communities = {1};
  attributes.communities = {2, 3};
  attributes.large_communities = {{1, 2, 3}};
  EXPECT_EQ(attributes.CommunityTexts(), (std::vector<std::string>{"0:2", "0:3", "1:2:3", "0x0000000000000001"}));
}

TEST(PathAttributes, ClearLeavesNothing) {
  PathAttributes attributes;
  attributes.origin = Origin::kEgp;
  attributes.next_hop = IpAddress();
  attributes.as_path = Path({{kSeq, {1}}});
  attributes.med = 1;
  attributes.local_pref = 1;
  attributes.atomic_aggregate = true;
  attributes.aggregator = Aggregator{};
  attributes.originator_id = IpAddress();
  attributes.cluster_list = {1};
  attributes.communities = {1};
  attributes.large_communities = {{1, 2, 3}};
  attributes.extended_communities = {1};
  attributes.unknown = 1;
  EXPECT_NE(attributes, PathAttributes());
  attributes.Clear();
  EXPECT_EQ(attributes, PathAttributes());
}

TEST(Origin, Names) {
  EXPECT_EQ(OriginName(Origin::kIgp), "igp");
  EXPECT_EQ(OriginName(Origin::kEgp), "egp");
  EXPECT_EQ(OriginName(Origin::kIncomplete), "incomplete");
}

}  // namespace
}  // namespace virp::bmp
