#include "lib/bmp/update.h"

#include <gtest/gtest.h>

#include "lib/bmp/bmp_testing.h"

namespace virp::bmp {
namespace {

using testing::AttributeBytes;
using testing::BasicAttributes;
using testing::Cat;
using testing::Hex;
using testing::MpReachBytes;
using testing::MpUnreachBytes;
using testing::Nlri;
using testing::U16;
using testing::U32;
using testing::U8;
using testing::UpdateBody;

struct Decoded {
  absl::Status status;
  Update update;
  UpdateContext context;

  std::vector<std::string> Announced() const {
    std::vector<std::string> out;
    for (const auto& a : update.announced) out.push_back(testing::Text(a.route) + " via " + a.next_hop.ToString());
    return out;
  }
  std::vector<std::string> Withdrawn() const {
    std::vector<std::string> out;
    for (const auto& route : update.withdrawn) out.push_back(testing::Text(route));
    return out;
  }
};

Decoded Read(std::string_view body, const UpdateContext& context = {}) {
  Decoded out;
  out.context = context;
  out.status = DecodeUpdate(body, out.context, out.update);
  return out;
}

// An UPDATE that announces 203.0.113.0/24 with `attribute` behind the mandatory ones.
Decoded WithAttribute(std::string_view attribute, const UpdateContext& context = {}) {
  return Read(UpdateBody("", Cat(BasicAttributes(), attribute), Nlri("203.0.113.0/24")), context);
}

using Strings = std::vector<std::string>;

std::string V6(std::string_view text) {
  return std::string(IpAddress::Parse(text)->bytes());
}

void ExpectUnparsable(std::string_view body, std::string_view part, const UpdateContext& context = {}) {
  const auto d = Read(body, context);
  EXPECT_TRUE(absl::IsInvalidArgument(d.status)) << d.status;
  EXPECT_NE(Message(d.status).find(part), std::string_view::npos) << d.status;
  EXPECT_TRUE(d.update.announced.empty());
  EXPECT_TRUE(d.update.withdrawn.empty());
  EXPECT_EQ(d.update.attributes, PathAttributes());
}

void ExpectWithdrawn(const Decoded& d, std::string_view part) {
  ASSERT_TRUE(d.status.ok()) << d.status;
  EXPECT_EQ(d.update.error, UpdateError::kTreatAsWithdraw);
  EXPECT_NE(d.update.error_text.find(part), std::string::npos) << d.update.error_text;
  EXPECT_TRUE(d.update.announced.empty());
  EXPECT_EQ(d.Withdrawn(), Strings{"203.0.113.0/24"});
  EXPECT_EQ(d.update.attributes, PathAttributes());
}

void ExpectDiscarded(const Decoded& d, std::string_view part) {
  ASSERT_TRUE(d.status.ok()) << d.status;
  EXPECT_EQ(d.update.error, UpdateError::kAttributeDiscard);
  EXPECT_NE(d.update.error_text.find(part), std::string::npos) << d.update.error_text;
  EXPECT_EQ(d.Announced(), Strings{"203.0.113.0/24 via 192.0.2.2"});
}

// ---- routes ----

TEST(Update, AnnouncesIpv4) {
  const auto d =
      Read(UpdateBody("", BasicAttributes("192.0.2.9", {64501, 64510}),
                      Cat(Nlri("203.0.113.0/24"), Nlri("198.51.100.64/26"), Nlri("0.0.0.0/0"), Nlri("192.0.2.1/32"))));
  ASSERT_TRUE(d.status.ok()) << d.status;
  EXPECT_EQ(d.Announced(), (Strings{"203.0.113.0/24 via 192.0.2.9", "198.51.100.64/26 via 192.0.2.9",
                                    "0.0.0.0/0 via 192.0.2.9", "192.0.2.1/32 via 192.0.2.9"}));
  EXPECT_EQ(d.update.attributes.as_path.ToString(), "64501 64510");
  EXPECT_EQ(d.update.attributes.origin, Origin::kIgp);
  EXPECT_EQ(d.update.error, UpdateError::kNone);
  EXPECT_EQ(d.update.error_text, "");
  EXPECT_EQ(d.update.end_of_rib, std::nullopt);
}

TEST(Update, WithdrawsIpv4) {
  const auto d = Read(UpdateBody(Cat(Nlri("203.0.113.0/24"), Nlri("198.51.100.64/26")), "", ""));
  ASSERT_TRUE(d.status.ok());
  EXPECT_EQ(d.Withdrawn(), (Strings{"203.0.113.0/24", "198.51.100.64/26"}));
  EXPECT_TRUE(d.update.announced.empty());
  EXPECT_EQ(d.update.end_of_rib, std::nullopt);
}

TEST(Update, AnnouncesAndWithdrawsBothFamiliesAtOnce) {
  const auto d =
      Read(UpdateBody(Nlri("198.51.100.0/24"),
                      Cat(MpReachBytes(2, 1, V6("2001:db8::2"), Nlri("2001:db8:1::/48")),
                          MpUnreachBytes(2, 1, Cat(Nlri("2001:db8:2::/48"), Nlri("::/0"))), BasicAttributes()),
                      Nlri("203.0.113.0/24")));
  ASSERT_TRUE(d.status.ok()) << d.status;
  EXPECT_EQ(d.Withdrawn(), (Strings{"198.51.100.0/24", "2001:db8:2::/48", "::/0"}));
  EXPECT_EQ(d.Announced(), (Strings{"2001:db8:1::/48 via 2001:db8::2", "203.0.113.0/24 via 192.0.2.2"}));
}

TEST(Update, MasksBitsBehindThePrefix) {
  const auto d = Read(UpdateBody(Hex("14cb007f"), "", ""));  // 203.0.127/20: trailing bits mean nothing (RFC 4271)
  EXPECT_EQ(d.Withdrawn(), Strings{"203.0.112.0/20"});
}

TEST(Update, EveryPrefixLength) {
  for (int length = 0; length <= 32; ++length) {
    const auto prefix = Prefix::Make(IpAddress::V4(0xffffffffu), length).value();
    EXPECT_EQ(Read(UpdateBody(Nlri(prefix.ToString()), "", "")).Withdrawn(), Strings{prefix.ToString()});
  }
  const auto ones = IpAddress::Parse("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff").value();
  for (int length = 0; length <= 128; ++length) {
    const auto prefix = Prefix::Make(ones, length).value();
    EXPECT_EQ(Read(UpdateBody("", MpUnreachBytes(2, 1, Nlri(prefix.ToString())), "")).Withdrawn(),
              (length == 0 ? Strings{"::/0"} : Strings{prefix.ToString()}));
  }
}

TEST(Update, NextHopsOfIpv6) {
  const auto next_hop = [](std::string_view bytes) {
    const auto d = Read(UpdateBody("", Cat(BasicAttributes(), MpReachBytes(2, 1, bytes, Nlri("2001:db8:1::/48"))), ""));
    return d.status.ok() ? d.update.announced.at(0).next_hop.ToString() : std::string(Message(d.status));
  };
  EXPECT_EQ(next_hop(V6("2001:db8::2")), "2001:db8::2");
  EXPECT_EQ(next_hop(V6("2001:db8::2") + V6("fe80::2")), "2001:db8::2");
  EXPECT_EQ(next_hop(V6("::") + V6("fe80::2")), "fe80::2");
  EXPECT_EQ(next_hop(V6("fe80::1") + V6("fe80::2")), "fe80::1");
  for (const std::size_t size : {0u, 4u, 15u, 17u, 24u, 31u, 33u, 48u}) {
    EXPECT_NE(next_hop(std::string(size, 'x')).find("cannot have"), std::string::npos) << size;
  }
}

TEST(Update, Ipv4InMpReach) {
  const auto v4 =
      Read(UpdateBody("", Cat(BasicAttributes(), MpReachBytes(1, 1, Hex("c0000207"), Nlri("203.0.113.0/24"))), ""));
  EXPECT_EQ(v4.Announced(), Strings{"203.0.113.0/24 via 192.0.2.7"});
  const auto v6 =
      Read(UpdateBody("", Cat(BasicAttributes(), MpReachBytes(1, 1, V6("2001:db8::7"), Nlri("203.0.113.0/24"))), ""));
  EXPECT_EQ(v6.Announced(), Strings{"203.0.113.0/24 via 2001:db8::7"});  // RFC 8950
  const auto gone = Read(UpdateBody("", MpUnreachBytes(1, 1, Nlri("203.0.113.0/24")), ""));
  EXPECT_EQ(gone.Withdrawn(), Strings{"203.0.113.0/24"});
}

TEST(Update, EndOfRib) {
  EXPECT_EQ(Read(UpdateBody("", "", "")).update.end_of_rib, kIpv4Unicast);
  EXPECT_EQ(Read(UpdateBody("", MpUnreachBytes(2, 1, ""), "")).update.end_of_rib, kIpv6Unicast);
  EXPECT_EQ(Read(UpdateBody("", MpUnreachBytes(1, 1, "", 0x80), "")).update.end_of_rib, kIpv4Unicast);
  const auto other = Read(UpdateBody("", MpUnreachBytes(25, 70, ""), ""));
  EXPECT_EQ(other.update.end_of_rib, (AfiSafi{25, 70}));
  EXPECT_TRUE(other.update.skipped.empty());
  // Not one: more is in the message.
  EXPECT_EQ(Read(UpdateBody(Nlri("10.0.0.0/8"), MpUnreachBytes(2, 1, ""), "")).update.end_of_rib, std::nullopt);
  EXPECT_EQ(Read(UpdateBody("", Cat(BasicAttributes(), MpUnreachBytes(2, 1, "")), "")).update.end_of_rib, std::nullopt);
  EXPECT_EQ(Read(UpdateBody("", BasicAttributes(), "")).update.end_of_rib, std::nullopt);
  EXPECT_EQ(Read(UpdateBody("", MpUnreachBytes(2, 1, Nlri("::/0")), "")).update.end_of_rib, std::nullopt);
}

TEST(Update, OtherFamiliesAreSkipped) {
  const auto d = Read(UpdateBody(
      "", Cat(MpReachBytes(1, 128, std::string(12, '\0'), "labels"), MpUnreachBytes(25, 70, "evpn"), BasicAttributes()),
      Nlri("203.0.113.0/24")));
  ASSERT_TRUE(d.status.ok()) << d.status;
  EXPECT_EQ(d.update.skipped, (std::vector<AfiSafi>{{25, 70}, {1, 128}}));
  EXPECT_EQ(d.Announced(), Strings{"203.0.113.0/24 via 192.0.2.2"});
  // Alone, its attributes are nobody's business.
  const auto alone = Read(UpdateBody("", MpReachBytes(25, 70, "next", "evpn"), ""));
  EXPECT_TRUE(alone.status.ok());
  EXPECT_EQ(alone.update.error, UpdateError::kNone);
}

// ---- attributes ----

TEST(Update, ReadsEveryAttribute) {
  const auto d = WithAttribute(
      Cat(AttributeBytes(0x80, 4, U32(50)), AttributeBytes(0x40, 5, U32(150)), AttributeBytes(0x40, 6, ""),
          AttributeBytes(0xc0, 7, Cat(U32(65550), Hex("c0000207"))),
          AttributeBytes(0xe0, 8, Hex("fbf500c8fbf50064fbf500c8")), AttributeBytes(0x80, 9, Hex("c0000208")),
          AttributeBytes(0x80, 10, Hex("0000000200000001")), AttributeBytes(0xd0, 16, Hex("0002fbf50000004d")),
          AttributeBytes(0xc0, 32, Hex("0000fbf500000001000000020000fbf50000000100000002")),
          AttributeBytes(0xc0, 35, U32(64501))));
  ASSERT_TRUE(d.status.ok()) << d.status;
  EXPECT_EQ(d.update.error, UpdateError::kNone) << d.update.error_text;
  const auto& a = d.update.attributes;
  EXPECT_EQ(a.med, 50u);
  EXPECT_EQ(a.local_pref, 150u);
  EXPECT_TRUE(a.atomic_aggregate);
  EXPECT_EQ(a.aggregator, (Aggregator{65550, IpAddress::V4(0xc0000207u)}));
  EXPECT_EQ(a.originator_id->ToString(), "192.0.2.8");
  EXPECT_EQ(a.cluster_list, (std::vector<std::uint32_t>{2, 1}));                   // an order
  EXPECT_EQ(a.communities, (std::vector<std::uint32_t>{0xfbf50064, 0xfbf500c8}));  // a set
  EXPECT_EQ(a.extended_communities, std::vector<std::uint64_t>{0x0002fbf50000004dull});
  EXPECT_EQ(a.large_communities, (std::vector<LargeCommunity>{{64501, 1, 2}}));
  EXPECT_EQ(a.unknown, 1u);
}

TEST(Update, ReadsExtendedLengths) {
  std::string many;
  for (unsigned i = 0; i < 300; ++i) many += U32(i);
  const auto d = WithAttribute(AttributeBytes(0xd0, 8, many));
  ASSERT_TRUE(d.status.ok());
  EXPECT_EQ(d.update.attributes.communities.size(), 300u);
}

TEST(Update, IgnoresTheLowFlagBits) {
  EXPECT_EQ(WithAttribute(AttributeBytes(0x8f, 4, U32(1))).update.error, UpdateError::kNone);
  EXPECT_EQ(WithAttribute(AttributeBytes(0xef, 8, U32(1))).update.error, UpdateError::kNone);  // Partial
}

TEST(Update, MalformedAttributesTakeTheRoutesWithThem) {  // RFC 7606 section 7
  const std::pair<unsigned, std::string> cases[] = {
      {4, ""},       {4, "abc"},   {4, "abcde"},  // MULTI_EXIT_DISC
      {5, ""},       {5, "abc"},                  // LOCAL_PREF
      {8, ""},       {8, "abc"},   {8, "abcde"},  // COMMUNITIES
      {9, ""},       {9, "abc"},   {10, ""},
      {10, "abcde"},                                            // ORIGINATOR_ID, CLUSTER_LIST
      {16, ""},      {16, "abcd"}, {16, "abcdefghi"},           // EXTENDED COMMUNITIES
      {32, ""},      {32, "abcd"}, {32, std::string(13, 'x')},  // LARGE_COMMUNITY
  };
  for (const auto& [code, value] : cases) {
    const unsigned flags = code == 5 ? 0x40 : code == 4 || code == 9 || code == 10 ? 0x80 : 0xc0;
    ExpectWithdrawn(WithAttribute(AttributeBytes(flags, code, value)),
                    fmt::format("attribute {}: its value is malformed", code));
  }
}

TEST(Update, MalformedMandatoryAttributesTakeTheRoutesWithThem) {
  const std::string origin = AttributeBytes(0x40, 1, U8(0));
  const std::string as_path = AttributeBytes(0x40, 2, Hex("02010000fbf5"));
  const std::string next_hop = AttributeBytes(0x40, 3, Hex("c0000202"));
  const auto run = [](std::string_view attributes) { return Read(UpdateBody("", attributes, Nlri("203.0.113.0/24"))); };
  for (const std::string& bad : {U8(3), U8(255), U16(0), std::string()}) {
    ExpectWithdrawn(run(Cat(AttributeBytes(0x40, 1, bad), as_path, next_hop)), "attribute 1: its value");
  }
  for (const std::string& bad : {Hex("02"), Hex("0200"), Hex("0701000000fb"), Hex("02020000fbf5"), Hex("0201fbf5")}) {
    ExpectWithdrawn(run(Cat(origin, AttributeBytes(0x40, 2, bad), next_hop)), "attribute 2: its value");
  }
  for (const std::string& bad : {std::string(), Hex("c00002"), V6("::1")}) {
    ExpectWithdrawn(run(Cat(origin, as_path, AttributeBytes(0x40, 3, bad))), "attribute 3: its value");
  }
  ExpectWithdrawn(run(Cat(as_path, next_hop)), "attribute 1: it is missing");
  ExpectWithdrawn(run(Cat(origin, next_hop)), "attribute 2: it is missing");
  ExpectWithdrawn(run(Cat(origin, as_path)), "attribute 3: it is missing");
  EXPECT_EQ(run(Cat(origin, AttributeBytes(0x40, 2, ""), next_hop)).update.error,
            UpdateError::kNone);  // an empty path may be
}

TEST(Update, NextHopIsMandatoryForPlainNlriOnly) {
  const std::string attributes = Cat(AttributeBytes(0x40, 1, U8(0)), AttributeBytes(0x40, 2, ""),
                                     MpReachBytes(2, 1, V6("2001:db8::2"), Nlri("2001:db8:1::/48")));
  EXPECT_EQ(Read(UpdateBody("", attributes, "")).update.error, UpdateError::kNone);
}

TEST(Update, WrongFlagsTakeTheRoutesWithThem) {  // RFC 7606 section 3(c)
  const std::pair<unsigned, std::string> attributes[] = {{4, U32(1)},
                                                         {5, U32(1)},
                                                         {6, ""},
                                                         {7, Hex("0000fbf5c0000202")},
                                                         {8, U32(1)},
                                                         {9, U32(1)},
                                                         {10, U32(1)},
                                                         {16, std::string(8, 'x')},
                                                         {32, std::string(12, 'x')}};
  for (const auto& [code, value] : attributes) {
    const unsigned right = code == 5 || code == 6 ? 0x40 : code == 4 || code == 9 || code == 10 ? 0x80 : 0xc0;
    for (const unsigned flags : {0x00u, 0x40u, 0x80u, 0xc0u}) {
      if (flags == right) {
        EXPECT_EQ(WithAttribute(AttributeBytes(flags, code, value)).update.error, UpdateError::kNone) << code;
      } else {
        ExpectWithdrawn(WithAttribute(AttributeBytes(flags, code, value)),
                        fmt::format("attribute {}: its flags", code));
      }
    }
  }
  const auto reach = Read(
      UpdateBody("", Cat(BasicAttributes(), MpReachBytes(1, 1, Hex("c0000202"), Nlri("203.0.113.0/24"), 0x40)), ""));
  ExpectWithdrawn(reach, "attribute 14: its flags");
}

TEST(Update, SomeAttributesAreOnlyLeftOut) {  // RFC 7606 sections 7.6 and 7.7
  const auto atomic = WithAttribute(AttributeBytes(0x40, 6, "x"));
  ExpectDiscarded(atomic, "attribute 6: its value");
  EXPECT_FALSE(atomic.update.attributes.atomic_aggregate);
  for (const std::size_t size : {0u, 6u, 7u, 9u}) {
    const auto aggregator = WithAttribute(AttributeBytes(0xc0, 7, std::string(size, 'x')));
    ExpectDiscarded(aggregator, "attribute 7: its value");
    EXPECT_EQ(aggregator.update.attributes.aggregator, std::nullopt);
  }
}

TEST(Update, TheFirstOfTwoCounts) {  // RFC 7606 section 3(g)
  const auto d = WithAttribute(Cat(AttributeBytes(0x80, 4, U32(1)), AttributeBytes(0x80, 4, U32(2))));
  ExpectDiscarded(d, "attribute 4: it occurs more than once");
  EXPECT_EQ(d.update.attributes.med, 1u);
}

TEST(Update, TheStrongerErrorRules) {
  const auto d = WithAttribute(Cat(AttributeBytes(0x40, 6, "x"), AttributeBytes(0x80, 4, "x")));
  ExpectWithdrawn(d, "attribute 6");  // the first is named
}

TEST(Update, AttributesThatRunOverTakeTheRoutesWithThem) {  // RFC 7606 section 4
  for (const std::string& bad : {Hex("80"), Hex("8004"), Hex("900400"), Hex("800404000000"), Hex("90040004000000")}) {
    ExpectWithdrawn(WithAttribute(bad), "runs over the end of the attributes");
  }
}

TEST(Update, BadAttributesWithoutRoutesCannotBeParsed) {  // RFC 7606 section 5.2
  ExpectUnparsable(UpdateBody("", AttributeBytes(0x80, 4, "x"), ""),
                   "attribute 4: its value is malformed, and no routes are announced");
  ExpectUnparsable(UpdateBody("", Hex("80"), ""), "no routes are announced");
  ExpectUnparsable(UpdateBody("", MpUnreachBytes(2, 1, Nlri("::/0"), 0x40), ""), "attribute 15: its flags");
}

TEST(Update, TreatAsWithdrawKeepsWhatIsWithdrawnAnyway) {
  const auto d =
      Read(UpdateBody(Nlri("10.0.0.0/8"), Cat(BasicAttributes(), AttributeBytes(0x80, 4, "")), Nlri("203.0.113.0/24")));
  EXPECT_EQ(d.Withdrawn(), (Strings{"10.0.0.0/8", "203.0.113.0/24"}));
}

// ---- what cannot be parsed ----

TEST(Update, LengthsThatOverrun) {
  ExpectUnparsable("", "withdrawn routes run over");
  ExpectUnparsable("\1", "withdrawn routes run over");
  ExpectUnparsable(Hex("0005aabb"), "withdrawn routes run over");
  ExpectUnparsable(Hex("0000"), "path attributes run over");
  ExpectUnparsable(Hex("00000003aabb"), "path attributes run over");
}

TEST(Update, BadNlri) {
  ExpectUnparsable(UpdateBody(Hex("21c000020100"), "", ""), "prefix length 33 is above 32");
  ExpectUnparsable(UpdateBody(Hex("18c000"), "", ""), "a prefix runs over the end");
  ExpectUnparsable(UpdateBody("", BasicAttributes(), Hex("ff")), "prefix length 255 is above 32");
  ExpectUnparsable(UpdateBody("", BasicAttributes(), Hex("18cb007118cb00")), "a prefix runs over the end");
  ExpectUnparsable(UpdateBody("", MpUnreachBytes(2, 1, Hex("81")), ""), "prefix length 129 is above 128");
  ExpectUnparsable(UpdateBody("", MpUnreachBytes(2, 1, Hex("3020")), ""), "a prefix runs over the end");
  ExpectUnparsable(UpdateBody("", Cat(BasicAttributes(), MpReachBytes(2, 1, V6("::1"), Hex("3020"))), ""),
                   "a prefix runs over");
}

TEST(Update, BadMpAttributes) {
  ExpectUnparsable(UpdateBody("", AttributeBytes(0x80, 15, Hex("0002")), ""), "MP_UNREACH_NLRI of 2 bytes");
  for (std::size_t size = 0; size < 5 + 16; ++size) {
    const std::string value = Cat(Hex("00020110"), V6("2001:db8::2"), U8(0)).substr(0, size);
    ExpectUnparsable(UpdateBody("", AttributeBytes(0x80, 14, value), ""), "cut short in front of its NLRI");
  }
  const std::string reach = MpReachBytes(2, 1, V6("2001:db8::2"), Nlri("2001:db8:1::/48"));
  ExpectUnparsable(UpdateBody("", Cat(BasicAttributes(), reach, reach), ""), "attribute 14 occurs more than once");
  const std::string unreach = MpUnreachBytes(2, 1, Nlri("2001:db8:1::/48"));
  ExpectUnparsable(UpdateBody("", Cat(unreach, unreach), ""), "attribute 15 occurs more than once");
}

// ---- 2-octet AS numbers ----

constexpr UpdateContext kTwoOctet{true, {}, {}};

std::string LegacyAttributes(std::string_view as_path) {
  return Cat(AttributeBytes(0x40, 1, U8(0)), AttributeBytes(0x40, 2, as_path),
             AttributeBytes(0x40, 3, Hex("c0000202")));
}

Decoded Legacy(std::string_view as_path, std::string_view more) {
  return Read(UpdateBody("", Cat(LegacyAttributes(as_path), more), Nlri("203.0.113.0/24")), kTwoOctet);
}

TEST(Update, MergesAs4Path) {
  const std::string as_path = Hex("0203fbf55ba05ba0");
  const auto d = Legacy(as_path, AttributeBytes(0xc0, 17, Hex("02020001000e0001000f")));
  ASSERT_TRUE(d.status.ok());
  EXPECT_EQ(d.update.error, UpdateError::kNone) << d.update.error_text;
  EXPECT_EQ(d.update.attributes.as_path.ToString(), "64501 65550 65551");
  EXPECT_EQ(Legacy(as_path, "").update.attributes.as_path.ToString(), "64501 23456 23456");
}

TEST(Update, Aggregators) {
  const std::string trans = AttributeBytes(0xc0, 7, Hex("5ba0c0000207"));
  const std::string plain = AttributeBytes(0xc0, 7, Hex("fbf5c0000207"));
  const std::string as4 = AttributeBytes(0xc0, 18, Hex("0001000ec0000208"));
  const std::string path4 = AttributeBytes(0xc0, 17, Hex("02010001000e"));
  const std::string as_path = Hex("02015ba0");
  const auto merged = Legacy(as_path, Cat(trans, as4, path4));
  EXPECT_EQ(merged.update.attributes.aggregator, (Aggregator{65550, IpAddress::V4(0xc0000208u)}));
  EXPECT_EQ(merged.update.attributes.as_path.ToString(), "65550");
  // An AGGREGATOR other than AS_TRANS says that a speaker of 2-octet numbers came after: both AS4 attributes are stale.
  const auto stale = Legacy(as_path, Cat(plain, as4, path4));
  EXPECT_EQ(stale.update.attributes.aggregator, (Aggregator{64501, IpAddress::V4(0xc0000207u)}));
  EXPECT_EQ(stale.update.attributes.as_path.ToString(), "23456");
  const auto alone = Legacy(as_path, Cat(as4, path4));
  EXPECT_EQ(alone.update.attributes.aggregator, std::nullopt);
  EXPECT_EQ(alone.update.attributes.as_path.ToString(), "65550");
}

TEST(Update, MalformedAs4AttributesAreLeftOut) {
  const std::string as_path = Hex("02015ba0");
  for (const std::string& bad : {Hex(""), Hex("02"), Hex("02020001000e"), Hex("0901000000fb")}) {
    const auto d = Legacy(as_path, AttributeBytes(0xc0, 17, bad));
    ExpectDiscarded(d, "attribute 17");
    EXPECT_EQ(d.update.attributes.as_path.ToString(), "23456");
  }
  ExpectDiscarded(Legacy(as_path, AttributeBytes(0xc0, 18, "short")), "attribute 18");
  ExpectDiscarded(Legacy(as_path, AttributeBytes(0xc0, 7, Hex("0000fbf5c0000202"))), "attribute 7");  // a 4-octet one
}

TEST(Update, As4AttributesMeanNothingAmongFourOctetSpeakers) {
  const auto d = WithAttribute(Cat(AttributeBytes(0xc0, 17, "nonsense"), AttributeBytes(0x40, 18, "x")));
  EXPECT_EQ(d.update.error, UpdateError::kNone);
  EXPECT_EQ(d.update.attributes.as_path.ToString(), "64501");
}

TEST(Update, TwoOctetPathsReadAsFourAreMalformed) {
  ExpectWithdrawn(Read(UpdateBody("", LegacyAttributes(Hex("0203fbf5fbf6fbf7")), Nlri("203.0.113.0/24"))),
                  "attribute 2");
}

// ---- add-path ----

constexpr UpdateContext kPathIds{false, {true, false}, {true, false}};

TEST(Update, ReadsPathIds) {
  const auto d =
      Read(UpdateBody(Cat(U32(7), Nlri("198.51.100.0/24")),
                      Cat(BasicAttributes(),
                          MpReachBytes(2, 1, V6("2001:db8::2"),
                                       Cat(U32(1), Nlri("2001:db8:1::/48"), U32(2), Nlri("2001:db8:1::/48"))),
                          MpUnreachBytes(2, 1, Cat(U32(0xffffffff), Nlri("::/0")))),
                      Cat(U32(3), Nlri("203.0.113.0/24"))),
           kPathIds);
  ASSERT_TRUE(d.status.ok()) << d.status;
  EXPECT_EQ(d.Withdrawn(), (Strings{"198.51.100.0/24#7", "::/0#4294967295"}));
  EXPECT_EQ(d.Announced(), (Strings{"2001:db8:1::/48#1 via 2001:db8::2", "2001:db8:1::/48#2 via 2001:db8::2",
                                    "203.0.113.0/24#3 via 192.0.2.2"}));
}

TEST(Update, PathIdsArePerFamily) {
  const UpdateContext only_v6{false, {}, {true, false}};
  const auto d =
      Read(UpdateBody(Nlri("198.51.100.0/24"), MpUnreachBytes(2, 1, Cat(U32(9), Nlri("::/0"))), ""), only_v6);
  EXPECT_EQ(d.Withdrawn(), (Strings{"198.51.100.0/24", "::/0#9"}));
}

TEST(Update, PathIdsThatAreNotThere) {
  ExpectUnparsable(UpdateBody(Nlri("203.0.113.0/24"), "", ""), "NLRI read with path identifiers: a prefix runs over",
                   kPathIds);
  ExpectUnparsable(UpdateBody(Nlri("203.0.113.128/25"), "", ""), "NLRI read with path identifiers: prefix length 128",
                   kPathIds);
  // And one that reads well and wrong, which is why `adaptive` and a list of senders exist.
  EXPECT_EQ(Read(UpdateBody(Nlri("203.0.113.0/25"), "", ""), kPathIds).Withdrawn(), Strings{"0.0.0.0/0#432734321"});
}

TEST(Update, AdaptsToASenderThatWritesNone) {
  const UpdateContext adaptive{false, {true, true}, {true, true}};
  const auto d = Read(UpdateBody(Nlri("203.0.113.0/24"), "", ""), adaptive);
  ASSERT_TRUE(d.status.ok());
  EXPECT_EQ(d.Withdrawn(), Strings{"203.0.113.0/24"});
  EXPECT_TRUE(d.update.path_ids_changed);
  EXPECT_FALSE(d.context.ipv4.path_ids);
  EXPECT_TRUE(d.context.ipv6.path_ids);
}

TEST(Update, AdaptsToASenderThatWritesThemUnasked) {  // gobgp 4.7's Loc-RIB
  const UpdateContext adaptive{false, {false, true}, {false, true}};
  for (const std::uint32_t path_id : {0u, 1u, 255u, 256u, 65535u}) {
    const auto d = Read(UpdateBody("", BasicAttributes(), Cat(U32(path_id), Nlri("10.101.0.0/24"))), adaptive);
    ASSERT_TRUE(d.status.ok());
    EXPECT_TRUE(d.update.path_ids_changed) << path_id;
    ASSERT_EQ(d.update.announced.size(), 1u) << path_id;
    EXPECT_EQ(d.update.announced[0].route, (Route{Prefix::Parse("10.101.0.0/24").value(), path_id}));
    EXPECT_TRUE(d.context.ipv4.path_ids);
  }
  const auto v6 = Read(UpdateBody("", MpUnreachBytes(2, 1, Cat(U32(1), Nlri("2001:db8:1::/48"))), ""), adaptive);
  EXPECT_EQ(v6.Withdrawn(), Strings{"2001:db8:1::/48#1"});
}

TEST(Update, DoesNotAdaptWithoutReason) {
  for (const bool path_ids : {false, true}) {
    const UpdateContext adaptive{false, {path_ids, true}, {path_ids, true}};
    const std::string id = path_ids ? U32(5) : "";
    const auto d = Read(UpdateBody(Cat(id, Nlri("203.0.113.0/24"), id, Nlri("0.0.0.0/0"), id, Nlri("10.0.0.0/8")),
                                   MpUnreachBytes(2, 1, Cat(id, Nlri("::/0"), id, Nlri("2001:db8::/32"))), ""),
                        adaptive);
    ASSERT_TRUE(d.status.ok()) << d.status;
    EXPECT_FALSE(d.update.path_ids_changed);
    EXPECT_EQ(d.context.ipv4.path_ids, path_ids);
    EXPECT_EQ(d.update.withdrawn.size(), 5u);
  }
}

TEST(Update, KeepsTheFormWhenNeitherReadsWell) {
  const UpdateContext adaptive{false, {false, true}, {}};
  const auto odd = Read(UpdateBody(Hex("14cb007f"), "", ""), adaptive);  // bits behind the prefix, and no path id fits
  EXPECT_EQ(odd.Withdrawn(), Strings{"203.0.112.0/20"});
  EXPECT_FALSE(odd.update.path_ids_changed);
  ExpectUnparsable(UpdateBody(Hex("18cb"), "", ""), "without path identifiers", adaptive);
}

TEST(Update, AFailedUpdateTeachesNothing) {
  const UpdateContext adaptive{false, {true, true}, {true, true}};
  const auto d = Read(UpdateBody(Nlri("203.0.113.0/24"), MpUnreachBytes(2, 1, Hex("ff")), ""), adaptive);
  EXPECT_FALSE(d.status.ok());
  EXPECT_TRUE(d.context.ipv4.path_ids);
}

// ---- reuse ----

TEST(Update, ReuseLeavesNothingBehind) {
  Update update;
  UpdateContext context;
  ASSERT_TRUE(DecodeUpdate(UpdateBody(Nlri("10.0.0.0/8"),
                                      Cat(BasicAttributes(), AttributeBytes(0xc0, 8, U32(1)),
                                          AttributeBytes(0x40, 6, "x"), MpReachBytes(25, 70, "next", "evpn")),
                                      Nlri("203.0.113.0/24")),
                           context, update)
                  .ok());
  ASSERT_TRUE(DecodeUpdate(UpdateBody("", "", ""), context, update).ok());
  EXPECT_TRUE(update.withdrawn.empty() && update.announced.empty() && update.skipped.empty());
  EXPECT_EQ(update.attributes, PathAttributes());
  EXPECT_EQ(update.error, UpdateError::kNone);
  EXPECT_EQ(update.error_text, "");
}

TEST(Update, MemoryOfAHugeOneIsNotKept) {
  Update update;
  UpdateContext context;
  ASSERT_TRUE(DecodeUpdate(UpdateBody(std::string(65000, '\0'), "", ""), context, update).ok());
  EXPECT_EQ(update.withdrawn.size(), 65000u);
  update.Clear();
  EXPECT_LE(update.withdrawn.capacity(), Update::kKeptRoutes);
}

}  // namespace
}  // namespace virp::bmp
