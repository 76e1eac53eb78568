#include "lib/bmp/message.h"

#include <gtest/gtest.h>

#include "lib/bmp/bmp_testing.h"

namespace virp::bmp {
namespace {

using testing::BgpBytes;
using testing::Bmp;
using testing::Cat;
using testing::OpenBody;
using testing::PeerBytes;
using testing::TlvBytes;
using testing::U16;
using testing::U32;
using testing::U64;
using testing::U8;
using testing::UpdateBody;

template <typename T>
T As(std::string_view bytes) {
  auto message = Decode(bytes);
  EXPECT_TRUE(message.ok()) << message.status();
  return std::get<T>(message.value());
}

std::string ErrorOf(std::string_view bytes) {
  const auto message = Decode(bytes);
  return message.ok() ? "ok" : std::string(Message(message.status()));
}

void ExpectError(std::string_view bytes, std::string_view part) {
  EXPECT_NE(ErrorOf(bytes).find(part), std::string::npos) << ErrorOf(bytes);
}

TEST(CommonHeader, IsChecked) {
  ExpectError("", "cut short");
  ExpectError(Bmp(4, "").substr(0, 5), "cut short");
  ExpectError(Cat(U8(4), Bmp(4, "").substr(1)), "version 4");
  ExpectError(Bmp(4, "") + "x", "states 6 bytes and has 7");
}

TEST(UnknownTypes, AreNoErrors) {
  const auto unknown = As<UnknownType>(Bmp(7, "anything"));
  EXPECT_EQ(unknown.type, 7);
  EXPECT_EQ(unknown.peer_type, std::nullopt);
  const auto unknown_peer = As<UnknownType>(Bmp(2, Cat(std::string(PeerBytes{.type = 4}), U8(1))));
  EXPECT_EQ(unknown_peer.type, 2);
  EXPECT_EQ(unknown_peer.peer_type, 4);
}

TEST(Initiation, ReadsTlvs) {
  const auto m = As<Initiation>(Bmp(4, Cat(TlvBytes(2, "edge1"), TlvBytes(1, "Some OS 1.2"), TlvBytes(0, "one"),
                                           TlvBytes(0, "tw\xff"), TlvBytes(99, "skipped"))));
  EXPECT_EQ(m.sys_name, "edge1");
  EXPECT_EQ(m.sys_descr, "Some OS 1.2");
  EXPECT_EQ(m.strings, (std::vector<std::string>{"one", "tw\xef\xbf\xbd"}));
  EXPECT_EQ(As<Initiation>(Bmp(4, "")).sys_name, "");
  ExpectError(Bmp(4, Cat(U16(1), U16(5), "abcd")), "Initiation: an information TLV runs over the end");
  ExpectError(Bmp(4, "abc"), "TLV runs over");
}

TEST(Termination, ReadsTheReason) {
  const auto m = As<Termination>(Bmp(5, Cat(TlvBytes(1, U16(3)), TlvBytes(0, "bye"), TlvBytes(7, "?"))));
  EXPECT_EQ(m.reason, Termination::Reason::kRedundantConnection);
  EXPECT_EQ(m.strings, std::vector<std::string>{"bye"});
  EXPECT_EQ(As<Termination>(Bmp(5, "")).reason, std::nullopt);
  ExpectError(Bmp(5, TlvBytes(1, "a")), "termination reason cannot have 1 bytes");
  ExpectError(Bmp(5, "a"), "TLV runs over");
}

TEST(PeerHeader, ReadsEveryField) {
  const PeerBytes bytes{.type = 1,
                        .flags = 0x50,
                        .distinguisher = 0x0000fbf400000007,
                        .address = "2001:db8::7",
                        .as = 4200000000,
                        .bgp_id = "198.51.100.1",
                        .seconds = 1800000000,
                        .microseconds = 999999};
  const auto m = As<PeerDown>(Bmp(2, Cat(std::string(bytes), U8(4))));
  EXPECT_EQ(m.peer.type, PeerType::kRd);
  EXPECT_EQ(m.peer.flags, 0xd0);
  EXPECT_TRUE(m.peer.is_ipv6());
  EXPECT_TRUE(m.peer.is_post_policy());
  EXPECT_TRUE(m.peer.is_adj_rib_out());
  EXPECT_FALSE(m.peer.is_two_octet_as());
  EXPECT_FALSE(m.peer.is_filtered());
  EXPECT_EQ(m.peer.distinguisher, 0x0000fbf400000007u);
  EXPECT_EQ(m.peer.address.ToString(), "2001:db8::7");
  EXPECT_EQ(m.peer.as, 4200000000u);
  EXPECT_EQ(m.peer.bgp_id.ToString(), "198.51.100.1");
  EXPECT_EQ(m.peer.router_time_us(), 1800000000'999999u);
}

TEST(PeerHeader, GivesTheRib) {
  const auto rib = [](unsigned type, unsigned flags) {
    PeerHeader peer;
    peer.type = PeerType{static_cast<std::uint8_t>(type)};
    peer.flags = static_cast<std::uint8_t>(flags);
    return RibName(peer.rib());
  };
  for (const unsigned type : {0u, 1u, 2u}) {
    EXPECT_EQ(rib(type, 0x00), "adj-in-pre");
    EXPECT_EQ(rib(type, 0x80), "adj-in-pre");
    EXPECT_EQ(rib(type, 0x40), "adj-in-post");
    EXPECT_EQ(rib(type, 0x10), "adj-out-pre");
    EXPECT_EQ(rib(type, 0x50), "adj-out-post");
  }
  EXPECT_EQ(rib(3, 0x00), "loc");
  EXPECT_EQ(rib(3, 0x50), "loc");  // only F means something there
}

TEST(PeerHeader, LocRibHasOneFlag) {
  const auto m =
      As<PeerDown>(Bmp(2, Cat(std::string(PeerBytes{.type = 3, .flags = 0xf0, .address = "0.0.0.0"}), U8(6))));
  EXPECT_TRUE(m.peer.is_filtered());
  EXPECT_FALSE(m.peer.is_ipv6());
  EXPECT_FALSE(m.peer.is_post_policy());
  EXPECT_FALSE(m.peer.is_two_octet_as());
  EXPECT_FALSE(m.peer.is_adj_rib_out());
}

TEST(PeerHeader, KeyHasTheBgpIdOfALocRibOnly) {
  PeerHeader peer;
  peer.address = IpAddress::V4(0xc0000202u);
  peer.bgp_id = IpAddress::V4(1u);
  EXPECT_EQ(peer.key(), (PeerKey{PeerType::kGlobal, 0, IpAddress::V4(0xc0000202u), IpAddress()}));
  peer.type = PeerType::kLocRib;
  EXPECT_EQ(peer.key().bgp_id, IpAddress::V4(1u));
}

TEST(PeerHeader, RefusesAnIpv4AddressWithMoreInFront) {
  std::string bytes = PeerBytes{};
  bytes[10] = 1;
  ExpectError(Bmp(2, Cat(bytes, U8(4))), "is IPv4 by its flag");
}

TEST(PeerHeader, CutShort) {
  const std::string bytes = PeerBytes{};
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    for (const unsigned type : {0u, 1u, 2u, 3u, 6u})
      ExpectError(Bmp(type, bytes.substr(0, size)), "per-peer header is cut short");
  }
}

TEST(PeerUp, ReadsAll) {
  const auto m = As<PeerUp>(testing::PeerUpBytes({}, OpenBody(64500, "192.0.2.1"), OpenBody(64501, "192.0.2.2"),
                                                 Cat(TlvBytes(0, "transit"), TlvBytes(3, "blue"), TlvBytes(4, "?"))));
  EXPECT_EQ(m.local_address.ToString(), "192.0.2.1");
  EXPECT_EQ(m.local_port, 179);
  EXPECT_EQ(m.remote_port, 40000);
  EXPECT_EQ(m.sent.as, 64500u);
  EXPECT_EQ(m.received.as, 64501u);
  EXPECT_EQ(m.strings, std::vector<std::string>{"transit"});
  EXPECT_EQ(m.table_name, "blue");
  EXPECT_EQ(m.router_id().ToString(), "192.0.2.1");
}

TEST(PeerUp, Ipv6) {
  const auto m =
      As<PeerUp>(Bmp(3, Cat(std::string(PeerBytes{.address = "2001:db8::2"}), IpAddress::Parse("2001:db8::1")->bytes(),
                            U32(0), BgpBytes(1, OpenBody(1, "192.0.2.1")), BgpBytes(1, OpenBody(2, "192.0.2.2")))));
  EXPECT_EQ(m.local_address.ToString(), "2001:db8::1");
}

TEST(PeerUp, LocalAddressMayBeOfTheOtherFamily) {
  const auto m = As<PeerUp>(Bmp(3, Cat(std::string(PeerBytes{}), IpAddress::Parse("fe80::1")->bytes(), U32(0),
                                       BgpBytes(1, OpenBody(1, "192.0.2.1")), BgpBytes(1, OpenBody(2, "192.0.2.2")))));
  EXPECT_EQ(m.local_address.ToString(), "fe80::1");
}

TEST(PeerUp, RefusesDamage) {
  const std::string head = Cat(std::string(PeerBytes{}), std::string(20, '\0'));
  ExpectError(Bmp(3, head.substr(0, 61)), "Peer Up: the local address and ports are cut short");
  ExpectError(Bmp(3, head), "Peer Up: sent OPEN: a BGP message header has 19 bytes and 0 are left");
}

TEST(PeerUp, RefusesDamagedOpens) {
  const std::string head = Cat(std::string(PeerBytes{}), std::string(20, '\0'));
  const std::string open = BgpBytes(1, OpenBody(1, "192.0.2.1"));
  ExpectError(Bmp(3, Cat(head, BgpBytes(4, ""), open)),
              "sent OPEN: a BGP message of type 4 stands where an OPEN belongs");
  ExpectError(Bmp(3, Cat(head, open)), "received OPEN: a BGP message header has 19 bytes and 0 are left");
  ExpectError(Bmp(3, Cat(head, open, BgpBytes(1, "abc"))), "received OPEN: OPEN: 3 bytes are too few");
  ExpectError(Bmp(3, Cat(head, open, open, "abc")), "TLV runs over");
}

std::string Down(unsigned reason, std::string_view rest) {
  return Bmp(2, Cat(std::string(PeerBytes{}), U8(reason), rest));
}

TEST(PeerDown, EachReason) {
  const std::string cease = BgpBytes(3, Cat(U8(6), U8(2), U8(4), "bye!"));
  for (const unsigned reason : {1u, 3u}) {
    const auto m = As<PeerDown>(Down(reason, cease));
    EXPECT_EQ(static_cast<unsigned>(m.reason), reason);
    ASSERT_TRUE(m.notification.has_value());
    EXPECT_EQ(m.notification->code, 6);
    EXPECT_EQ(m.notification->subcode, 2);
    EXPECT_EQ(m.notification->shutdown_message, "bye!");
    EXPECT_FALSE(m.detail_malformed);
  }
  EXPECT_EQ(As<PeerDown>(Down(2, U16(24))).fsm_event, 24);
  for (const unsigned reason : {4u, 5u}) {
    const auto m = As<PeerDown>(Down(reason, ""));
    EXPECT_FALSE(m.detail_malformed);
    EXPECT_FALSE(m.notification.has_value());
    EXPECT_FALSE(m.fsm_event.has_value());
  }
  EXPECT_EQ(As<PeerDown>(Down(6, Cat(TlvBytes(3, "blue"), TlvBytes(9, "?")))).table_name, "blue");
  const auto unknown = As<PeerDown>(Down(77, "whatever"));
  EXPECT_EQ(static_cast<int>(unknown.reason), 77);
  EXPECT_FALSE(unknown.detail_malformed);
}

TEST(PeerDown, StandsWhateverItsDetail) {
  const std::string cease = BgpBytes(3, Cat(U8(6), U8(2)));
  const std::pair<unsigned, std::string> cases[] = {
      {1, ""},
      {3, cease.substr(1)},
      {3, BgpBytes(4, "")},
      {1, cease + "x"},
      {1, BgpBytes(3, "a")},
      {2, ""},
      {2, "a"},
      {2, "abc"},
      {4, "x"},
      {5, "x"},
      {6, "x"},
  };
  for (const auto& [reason, rest] : cases) {
    const auto m = As<PeerDown>(Down(reason, rest));
    EXPECT_TRUE(m.detail_malformed) << reason << " " << HexEncode(rest);
    EXPECT_FALSE(m.notification.has_value());
    EXPECT_FALSE(m.fsm_event.has_value());
  }
  ExpectError(Bmp(2, std::string(PeerBytes{})), "Peer Down: the reason is missing");
}

TEST(RouteMonitoring, HandsOutTheUpdate) {
  const std::string body = UpdateBody("", "", "");
  const std::string bytes = testing::RouteMonitoringBytes({.flags = 0x10}, body);
  const auto m = As<RouteMonitoring>(bytes);
  EXPECT_EQ(m.rib, Rib::kAdjOutPre);
  EXPECT_EQ(m.update, body);
  EXPECT_EQ(DecodeRouteMonitoring(bytes)->update, body);
}

TEST(RouteMonitoring, RefusesDamage) {
  const std::string peer = PeerBytes{};
  ExpectError(Bmp(0, peer), "Route Monitoring: a BGP message header");
  ExpectError(Bmp(0, Cat(peer, BgpBytes(4, ""))), "type 4 stands where an UPDATE belongs");
  ExpectError(Bmp(0, Cat(peer, BgpBytes(2, "abcd"), "x")), "1 bytes follow the UPDATE");
  EXPECT_TRUE(absl::IsNotFound(DecodeRouteMonitoring(Bmp(0, std::string(PeerBytes{.type = 9}))).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(DecodeRouteMonitoring(Bmp(0, "")).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(DecodeRouteMonitoring("").status()));
}

TEST(Statistics, ReadsEachForm) {
  const std::string family = Cat(U16(2), U8(1), U64(24));
  const std::string bytes =
      Bmp(1, Cat(std::string(PeerBytes{}), U32(9), TlvBytes(0, U32(7)), TlvBytes(7, U64(1ull << 40)),
                 TlvBytes(9, family), TlvBytes(17, family), TlvBytes(14, U64(5)), TlvBytes(13, U32(6)),
                 TlvBytes(65531, U32(8)), TlvBytes(999, U64(9)), TlvBytes(998, "odd")));
  const auto m = As<StatisticsReport>(bytes);
  ASSERT_EQ(m.statistics.size(), 9u);
  EXPECT_EQ(m.statistics[0].value, 7u);
  EXPECT_EQ(m.statistics[1].value, 1ull << 40);
  EXPECT_EQ(m.statistics[2].value, 24u);
  EXPECT_EQ(m.statistics[2].family, kIpv6Unicast);
  EXPECT_EQ(m.statistics[3].family, kIpv6Unicast);
  EXPECT_EQ(m.statistics[4].value, 5u);
  EXPECT_EQ(m.statistics[5].value, 6u);
  EXPECT_EQ(m.statistics[6].value, 8u);
  EXPECT_EQ(m.statistics[7].value, 9u);
  EXPECT_EQ(m.statistics[8].value, std::nullopt);
  EXPECT_EQ(m.statistics[8].raw, "odd");
}

TEST(Statistics, KeepsTheRawBytesOfAWrongLength) {
  const std::pair<unsigned, std::string> cases[] = {{0, U64(1)}, {7, U32(1)}, {9, U64(1)}, {1, ""}, {16, "abc"}};
  for (const auto& [type, value] : cases) {
    const std::string bytes = Bmp(1, Cat(std::string(PeerBytes{}), U32(1), TlvBytes(type, value)));
    const auto m = As<StatisticsReport>(bytes);
    EXPECT_EQ(m.statistics[0].value, std::nullopt) << type;
    EXPECT_EQ(m.statistics[0].raw, value);
  }
}

TEST(Statistics, RefusesACountThatIsNotThere) {
  const std::string peer = PeerBytes{};
  const std::string one = TlvBytes(0, U32(7));
  ExpectError(Bmp(1, Cat(peer, "abc")), "count of statistics is missing");
  ExpectError(Bmp(1, Cat(peer, U32(0xffffffff), one)), "4294967295 statistics are stated");
  ExpectError(Bmp(1, Cat(peer, U32(2), one)), "runs over the end");
  ExpectError(Bmp(1, Cat(peer, U32(0), one)), "8 bytes follow the last of 0");
  ExpectError(Bmp(1, Cat(peer, U32(1), U16(0), U16(9), U32(1))), "runs over the end");
  EXPECT_TRUE(As<StatisticsReport>(Bmp(1, Cat(peer, U32(0)))).statistics.empty());
}

TEST(Mirroring, Counts) {
  const auto m = As<RouteMirroring>(
      Bmp(6, Cat(std::string(PeerBytes{}), TlvBytes(1, U16(0)), TlvBytes(1, U16(1)), TlvBytes(1, U16(9)),
                 TlvBytes(1, "odd"), TlvBytes(5, ""), TlvBytes(0, BgpBytes(4, "")))));
  EXPECT_EQ(m.bgp_messages, 1u);
  EXPECT_EQ(m.errored_pdus, 1u);
  EXPECT_EQ(m.messages_lost, 1u);
  EXPECT_EQ(m.unknown, 3u);
  ExpectError(Bmp(6, Cat(std::string(PeerBytes{}), "abc")), "Route Mirroring: an information TLV runs over");
}

}  // namespace
}  // namespace virp::bmp
