#include "lib/bmp/bgp.h"

#include <gtest/gtest.h>

#include "lib/bmp/bmp_testing.h"

namespace virp::bmp {
namespace {

using testing::AddPathCapability;
using testing::BgpBytes;
using testing::CapabilityBytes;
using testing::Cat;
using testing::Hex;
using testing::OpenBody;
using testing::U16;
using testing::U32;
using testing::U8;

TEST(BgpMessage, TakesOneAndLeavesTheRest) {
  const std::string bytes = BgpBytes(4, "") + BgpBytes(77, "abc") + "rest";
  Reader reader(bytes);
  auto message = TakeBgpMessage(reader);
  ASSERT_TRUE(message.ok());
  EXPECT_EQ(message->type, BgpType::kKeepalive);
  EXPECT_EQ(message->body, "");
  message = TakeBgpMessage(reader);
  ASSERT_TRUE(message.ok());
  EXPECT_EQ(static_cast<int>(message->type), 77);
  EXPECT_EQ(message->body, "abc");
  EXPECT_EQ(reader.rest(), "rest");
}

TEST(BgpMessage, TakesAnExtendedOne) {  // RFC 8654
  const std::string bytes = BgpBytes(2, std::string(65535 - 19, 'x'));
  Reader reader(bytes);
  EXPECT_EQ(TakeBgpMessage(reader)->body.size(), 65516u);
}

TEST(BgpMessage, RefusesBadHeaders) {
  const std::string good = BgpBytes(2, "abcd");
  for (std::size_t size = 0; size < good.size(); ++size) {
    Reader reader(std::string_view(good).substr(0, size));
    EXPECT_FALSE(TakeBgpMessage(reader).ok()) << size;
  }
  for (int i = 0; i < 16; ++i) {
    std::string marked = good;
    marked[static_cast<std::size_t>(i)] = '\x7f';
    Reader reader(marked);
    EXPECT_NE(Message(TakeBgpMessage(reader).status()).find("marker"), std::string_view::npos);
  }
  for (const unsigned length : {0u, 18u}) {
    const std::string bytes = Cat(std::string(16, '\xff'), U16(length), U8(2), std::string(40, 'x'));
    Reader reader(bytes);
    EXPECT_FALSE(TakeBgpMessage(reader).ok()) << length;
  }
}

TEST(Open, ReadsCapabilities) {
  const std::string capabilities =
      Cat(CapabilityBytes(1, Hex("00010001")), CapabilityBytes(1, Hex("00020001")), CapabilityBytes(2, ""),
          CapabilityBytes(65, U32(4200000001u)), AddPathCapability(1, 1, 1),
          CapabilityBytes(69, Hex("0002010200010103")), CapabilityBytes(6, ""), CapabilityBytes(200, "whatever"));
  const auto open = DecodeOpen(OpenBody(23456, "192.0.2.9", capabilities, 180));
  ASSERT_TRUE(open.ok()) << open.status();
  EXPECT_EQ(open->as, 4200000001u);
  EXPECT_EQ(open->hold_time, 180);
  EXPECT_EQ(open->bgp_id.ToString(), "192.0.2.9");
  EXPECT_TRUE(open->four_octet_as);
  EXPECT_TRUE(open->extended_message);
  EXPECT_TRUE(open->route_refresh);
  EXPECT_EQ(open->multiprotocol, (std::vector<AfiSafi>{kIpv4Unicast, kIpv6Unicast}));
  EXPECT_EQ(open->add_path, (std::vector<AddPath>{
                                {kIpv4Unicast, true, false}, {kIpv6Unicast, false, true}, {kIpv4Unicast, true, true}}));
  EXPECT_EQ(open->capabilities, (std::vector<std::uint8_t>{1, 1, 2, 65, 69, 69, 6, 200}));
  EXPECT_EQ(*open->FindAddPath(kIpv4Unicast), (AddPath{kIpv4Unicast, true, true}));
  EXPECT_EQ(open->FindAddPath({1, 128}), nullptr);
}

TEST(Open, WithoutCapabilities) {
  const auto open = DecodeOpen(OpenBody(64501, "192.0.2.2"));
  ASSERT_TRUE(open.ok());
  EXPECT_EQ(open->as, 64501u);
  EXPECT_FALSE(open->four_octet_as);
  EXPECT_TRUE(open->capabilities.empty());
}

TEST(Open, LeavesOutDirectionsThatMeanNothing) {
  const auto open = DecodeOpen(OpenBody(1, "192.0.2.2", Cat(AddPathCapability(1, 1, 0), AddPathCapability(2, 1, 4))));
  ASSERT_TRUE(open.ok());
  EXPECT_TRUE(open->add_path.empty());
}

TEST(Open, ReadsExtendedParameters) {  // RFC 9072
  const std::string capability = CapabilityBytes(65, U32(65550));
  const std::string parameter = Cat(U8(2), U16(static_cast<unsigned>(capability.size())), capability);
  for (const unsigned short_length : {255u, 1u}) {
    const std::string body = Cat(U8(4), U16(23456), U16(90), Hex("c0000202"), U8(short_length), U8(255),
                                 U16(static_cast<unsigned>(parameter.size())), parameter);
    const auto open = DecodeOpen(body);
    ASSERT_TRUE(open.ok()) << open.status();
    EXPECT_EQ(open->as, 65550u);
  }
}

TEST(Open, SkipsUnknownParameters) {
  const std::string parameters = Cat(U8(1), U8(3), "abc", U8(2), U8(6), CapabilityBytes(65, U32(7)));
  const auto open = DecodeOpen(
      Cat(U8(4), U16(7), U16(90), Hex("c0000202"), U8(static_cast<unsigned>(parameters.size())), parameters));
  ASSERT_TRUE(open.ok()) << open.status();
  EXPECT_TRUE(open->four_octet_as);
}

TEST(Open, RefusesWhatDoesNotFit) {
  const std::string good =
      OpenBody(23456, "192.0.2.9", Cat(CapabilityBytes(65, U32(65550)), AddPathCapability(1, 1, 3)));
  for (std::size_t size = 0; size < good.size(); ++size) EXPECT_FALSE(DecodeOpen(good.substr(0, size)).ok()) << size;
  EXPECT_FALSE(DecodeOpen(good + "x").ok());
  EXPECT_FALSE(DecodeOpen(Cat(U8(3), good.substr(1))).ok());  // BGP version
  for (const std::string& capability :
       {CapabilityBytes(1, "abc"), CapabilityBytes(1, "abcde"), CapabilityBytes(65, "ab"), CapabilityBytes(65, "abcde"),
        CapabilityBytes(69, "abcde"), std::string("\x41", 1), std::string("\x41\x04\x00", 3)}) {
    EXPECT_FALSE(DecodeOpen(OpenBody(1, "192.0.2.2", capability)).ok()) << HexEncode(capability);
  }
  const std::string fixed = Cat(U8(4), U16(7), U16(90), Hex("c0000202"));
  EXPECT_FALSE(DecodeOpen(Cat(fixed, U8(4), Hex("02050000"))).ok());          // parameter overruns
  EXPECT_FALSE(DecodeOpen(Cat(fixed, U8(2), Hex("ff00"))).ok());              // extended length cut short
  EXPECT_FALSE(DecodeOpen(Cat(fixed, U8(255), Hex("ff000902000100"))).ok());  // extended length overruns
  EXPECT_FALSE(DecodeOpen(Cat(fixed, U8(255), Hex("ff00050200041111"))).ok());
}

TEST(Notification, ReadsTheOperatorsWords) {
  const auto with = [](std::string_view body) { return DecodeNotification(body).value(); };
  EXPECT_EQ(with(Cat(U8(6), U8(2), U8(5), "hello")).shutdown_message, "hello");
  EXPECT_EQ(with(Cat(U8(6), U8(4), U8(2), "hi")).shutdown_message, "hi");
  EXPECT_EQ(with(Cat(U8(6), U8(2), U8(255), std::string(255, 'x'))).shutdown_message, std::string(255, 'x'));
  EXPECT_EQ(with(Cat(U8(6), U8(2), U8(3),
                     "a\xff"
                     "b"))
                .shutdown_message,
            "a\xef\xbf\xbd"
            "b");
  EXPECT_EQ(with(Cat(U8(6), U8(2), U8(6), "hello")).shutdown_message, "");  // overruns
  EXPECT_EQ(with(Cat(U8(6), U8(2))).shutdown_message, "");
  EXPECT_EQ(with(Cat(U8(6), U8(3), U8(5), "hello")).shutdown_message, "");  // not one that speaks
  EXPECT_EQ(with(Cat(U8(3), U8(1), "data")).data, "data");
  EXPECT_FALSE(DecodeNotification("").ok());
  EXPECT_FALSE(DecodeNotification("\6").ok());
}

TEST(Notification, Names) {
  EXPECT_EQ(NotificationName(6, 2), "Cease/Administrative Shutdown");
  EXPECT_EQ(NotificationName(4, 0), "Hold Timer Expired");
  EXPECT_EQ(NotificationName(6, 99), "Cease/99");
  EXPECT_EQ(NotificationName(99, 1), "99/1");
}

TEST(AfiSafi, Names) {
  EXPECT_EQ(FamilyName(kIpv4Unicast), "ipv4-unicast");
  EXPECT_EQ(FamilyName(kIpv6Unicast), "ipv6-unicast");
  EXPECT_EQ(FamilyName({25, 70}), "25/70");
}

}  // namespace
}  // namespace virp::bmp
