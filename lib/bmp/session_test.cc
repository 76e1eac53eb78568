#include "lib/bmp/session.h"

#include <gtest/gtest.h>

#include "lib/bmp/bmp_testing.h"

namespace virp::bmp {
namespace {

using testing::AddPathCapability;
using testing::BasicAttributes;
using testing::BgpBytes;
using testing::Bmp;
using testing::Cat;
using testing::EventLog;
using testing::Hex;
using testing::MpReachBytes;
using testing::MpUnreachBytes;
using testing::Nlri;
using testing::OpenBody;
using testing::PeerBytes;
using testing::PeerUpBytes;
using testing::RouteMonitoringBytes;
using ::testing::Test;
using testing::TlvBytes;
using testing::U16;
using testing::U32;
using testing::U8;
using testing::UpdateBody;

using Strings = std::vector<std::string>;

class SessionDecoderTest : public Test {
 protected:
  EventLog log;

  Strings Feed(SessionDecoder& decoder, std::string_view bytes) {
    log.lines.clear();
    EXPECT_TRUE(decoder.Feed(bytes).ok());
    return log.lines;
  }

  static SessionOptions With(PathIdPolicy policy) {
    SessionOptions options;
    options.path_ids = policy;
    return options;
  }
};

std::string Announce(const PeerBytes& peer, std::string_view nlri) {
  return RouteMonitoringBytes(peer, UpdateBody("", BasicAttributes(), nlri));
}

std::string Up(const PeerBytes& peer, std::string_view sent_capabilities = {},
               std::string_view received_capabilities = {}) {
  return PeerUpBytes(peer, OpenBody(64500, "192.0.2.1", sent_capabilities),
                     OpenBody(64501, "192.0.2.2", received_capabilities));
}

constexpr std::string_view kB = "pt0 fl00 192.0.2.2 as 64501 id 192.0.2.2";

TEST_F(SessionDecoderTest, DeliversEachKindOfMessage) {
  SessionDecoder decoder(log);
  const PeerBytes b;
  const std::string stream = Cat(Bmp(4, Cat(TlvBytes(2, "edge1"), TlvBytes(1, "Some OS"))), Up(b),
                                 Announce(b, Nlri("203.0.113.0/24")), RouteMonitoringBytes(b, UpdateBody("", "", "")),
                                 RouteMonitoringBytes(b, UpdateBody("", MpUnreachBytes(2, 1, ""), "")),
                                 Bmp(1, Cat(std::string(b), U32(1), TlvBytes(0, U32(7)))),
                                 Bmp(6, Cat(std::string(b), TlvBytes(0, BgpBytes(4, "")))),
                                 Bmp(2, Cat(std::string(b), U8(4))), Bmp(5, TlvBytes(1, U16(0))));
  EXPECT_EQ(
      Feed(decoder, stream),
      (Strings{"initiation edge1 | Some OS",
               ("up pt0 fl00 192.0.2.2 as 64501 id 192.0.2.2 local 192.0.2.1:179 remote port 40000 sent as 64500 id "
                "192.0.2.1 received as 64501 id 192.0.2.2 table ''"),
               fmt::format("routes {} adj-in-pre", kB), "  + 203.0.113.0/24 via 192.0.2.2 path [64501] igp",
               fmt::format("end-of-rib {} adj-in-pre ipv4-unicast", kB),
               fmt::format("end-of-rib {} adj-in-pre ipv6-unicast", kB), fmt::format("statistics {}", kB), "  0 7",
               fmt::format("mirroring {} messages 1 errored 0 lost 0 unknown 0", kB),
               fmt::format("down {} reason 4", kB), "termination 0"}));
  EXPECT_EQ(decoder.messages(), 9u);
  EXPECT_EQ(decoder.peers(), 0u);
}

TEST_F(SessionDecoderTest, SkipsWithAReason) {
  SessionDecoder decoder(log);
  const PeerBytes b;
  EXPECT_EQ(Feed(decoder, Bmp(9, "?")), Strings{"skipped unknown_message_type type 9 -"});
  EXPECT_EQ(Feed(decoder, Bmp(2, Cat(std::string(PeerBytes{.type = 8}), U8(1)))),
            Strings{"skipped unknown_peer_type type 2 -"});
  EXPECT_EQ(Feed(decoder, Announce({.type = 8}, Nlri("10.0.0.0/8"))),
            Strings{"skipped unknown_peer_type type 0 - (peer type 8 is not known)"});
  EXPECT_EQ(
      Feed(decoder, Bmp(4, "x")),
      Strings{"skipped malformed_message type 4 - (Initiation: an information TLV runs over the end of the message)"});
  EXPECT_EQ(Feed(decoder, Bmp(0, "x")),
            Strings{"skipped malformed_message type 0 - (the per-peer header is cut short)"});
  EXPECT_EQ(Feed(decoder, RouteMonitoringBytes(b, Hex("0001"))),
            Strings{fmt::format(
                "skipped malformed_update type 0 {} (the withdrawn routes run over the end of the message)", kB)});
  EXPECT_EQ(Feed(decoder, RouteMonitoringBytes(b, UpdateBody("", MpReachBytes(25, 70, "next", "evpn"), ""))),
            Strings{fmt::format("skipped other_family type 0 {} 25/70", kB)});
  EXPECT_EQ(Feed(decoder, RouteMonitoringBytes(b, UpdateBody("", MpUnreachBytes(1, 128, ""), ""))),
            Strings{fmt::format("skipped other_family type 0 {} 1/128", kB)});
  EXPECT_EQ(Feed(decoder, RouteMonitoringBytes(b, UpdateBody("", BasicAttributes(), ""))),
            Strings{fmt::format("skipped no_routes type 0 {}", kB)});
  // And it goes on.
  EXPECT_EQ(Feed(decoder, Announce(b, Nlri("10.0.0.0/8"))).size(), 2u);
}

TEST_F(SessionDecoderTest, DeliversRoutesBesideAnotherFamily) {
  SessionDecoder decoder(log);
  const auto lines = Feed(
      decoder, RouteMonitoringBytes({}, UpdateBody("", Cat(MpReachBytes(25, 70, "next", "evpn"), BasicAttributes()),
                                                   Nlri("10.0.0.0/8"))));
  EXPECT_EQ(lines, (Strings{fmt::format("skipped other_family type 0 {} 25/70", kB),
                            fmt::format("routes {} adj-in-pre", kB), "  + 10.0.0.0/8 via 192.0.2.2 path [64501] igp"}));
}

TEST_F(SessionDecoderTest, SaysWhatRfc7606MadeOfAnUpdate) {
  SessionDecoder decoder(log);
  const auto lines = Feed(decoder, RouteMonitoringBytes({}, UpdateBody("", "", Nlri("10.0.0.0/8"))));
  EXPECT_EQ(lines, (Strings{fmt::format("routes {} adj-in-pre", kB), "  - 10.0.0.0/8",
                            "  error 2 attribute 1: it is missing"}));
}

TEST_F(SessionDecoderTest, EndsOnBadFraming) {
  SessionDecoder decoder(log);
  const auto status = decoder.Feed(Bmp(9, "") + "GET / HTTP/1.1\r\n");
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_EQ(log.lines.size(), 1u);  // what came before it counts
  EXPECT_EQ(decoder.Feed(Bmp(9, "")), status);
  EXPECT_EQ(log.lines.size(), 1u);
}

TEST_F(SessionDecoderTest, HonoursItsMessageLimit) {
  SessionOptions options;
  options.max_message = 100;
  SessionDecoder decoder(log, options);
  EXPECT_TRUE(decoder.Feed(Bmp(9, std::string(94, 'x'))).ok());
  EXPECT_FALSE(decoder.Feed(Bmp(9, std::string(95, 'x'))).ok());
}

TEST_F(SessionDecoderTest, ReadsTwoOctetPathsByTheFlag) {
  SessionDecoder decoder(log);
  const std::string attributes =
      Cat(testing::AttributeBytes(0x40, 1, U8(0)), testing::AttributeBytes(0x40, 2, Hex("0202fbf5fbf6")),
          testing::AttributeBytes(0x40, 3, Hex("c0000202")));
  const auto lines =
      Feed(decoder, RouteMonitoringBytes({.flags = 0x20}, UpdateBody("", attributes, Nlri("10.0.0.0/8"))));
  EXPECT_EQ(lines.at(1), "  + 10.0.0.0/8 via 192.0.2.2 path [64501 64502] igp");
}

// ---- add-path: which direction of which OPEN counts ----

// The routes that NLRI of one table gives, or what was skipped.
class AddPathTest : public SessionDecoderTest {
 protected:
  std::string Read(SessionDecoder& decoder, const PeerBytes& peer, std::string_view nlri) {
    const auto lines = Feed(decoder, RouteMonitoringBytes(peer, UpdateBody(nlri, "", "")));
    std::string out;
    for (std::size_t i = 1; i < lines.size(); ++i) out += lines[i].substr(4) + (i + 1 < lines.size() ? " " : "");
    return lines[0].starts_with("routes") ? out : "skipped";
  }
  const std::string with_id_ = Cat(U32(7), Nlri("203.0.113.0/24"));
  const std::string without_ = Nlri("203.0.113.0/24");
  static constexpr unsigned kReceive = 1;
  static constexpr unsigned kSend = 2;
  static constexpr unsigned kBoth = 3;
};

TEST_F(AddPathTest, FollowsTheNegotiation) {
  struct Case {
    unsigned sent;  // what the monitored router offers; 0 nothing
    unsigned received;
    bool in;
    bool out;
  };
  const Case cases[] = {
      {0, 0, false, false},           {kReceive, 0, false, false},    {kReceive, kReceive, false, false},
      {kReceive, kSend, true, false}, {kSend, kReceive, false, true}, {kSend, kSend, false, false},
      {kBoth, kSend, true, false},    {kBoth, kReceive, false, true}, {kBoth, kBoth, true, true},
      {0, kBoth, false, false}};
  for (const auto policy : {PathIdPolicy::kNegotiated, PathIdPolicy::kAuto}) {
    for (const auto& c : cases) {
      SessionDecoder decoder(log, With(policy));
      Feed(decoder, Up({}, c.sent ? AddPathCapability(1, 1, c.sent) : "",
                       c.received ? AddPathCapability(1, 1, c.received) : ""));
      for (const unsigned post : {0x00u, 0x40u}) {
        EXPECT_EQ(Read(decoder, {.flags = post}, c.in ? with_id_ : without_),
                  c.in ? "203.0.113.0/24#7" : "203.0.113.0/24");
        EXPECT_EQ(Read(decoder, {.flags = post | 0x10}, c.out ? with_id_ : without_),
                  c.out ? "203.0.113.0/24#7" : "203.0.113.0/24");
      }
    }
  }
}

TEST_F(AddPathTest, IsPerFamily) {
  SessionDecoder decoder(log, With(PathIdPolicy::kNegotiated));
  Feed(decoder, Up({}, AddPathCapability(2, 1, kReceive), AddPathCapability(2, 1, kSend)));
  EXPECT_EQ(Read(decoder, {}, without_), "203.0.113.0/24");
  const auto lines =
      Feed(decoder, RouteMonitoringBytes({}, UpdateBody("", MpUnreachBytes(2, 1, Cat(U32(3), Nlri("::/0"))), "")));
  EXPECT_EQ(lines.at(1), "  - ::/0#3");
}

TEST_F(AddPathTest, LocRibUsesWhatItsOpensSay) {
  const PeerBytes loc{.type = 3, .address = "0.0.0.0", .as = 64500, .bgp_id = "192.0.2.1"};
  for (const unsigned direction : {kReceive, kSend, kBoth}) {
    SessionDecoder decoder(log, With(PathIdPolicy::kNegotiated));
    Feed(decoder, Up(loc, AddPathCapability(1, 1, direction), AddPathCapability(1, 1, direction)));
    EXPECT_EQ(Read(decoder, loc, with_id_), "203.0.113.0/24#7");
  }
}

TEST_F(AddPathTest, LocRibsAreToldApart) {
  SessionDecoder decoder(log, With(PathIdPolicy::kNegotiated));
  const PeerBytes one{.type = 3, .address = "0.0.0.0", .bgp_id = "192.0.2.1"};
  const PeerBytes other_id{.type = 3, .address = "0.0.0.0", .bgp_id = "192.0.2.9"};
  const PeerBytes other_table{.type = 3, .distinguisher = 5, .address = "0.0.0.0", .bgp_id = "192.0.2.1"};
  Feed(decoder, Up(one, AddPathCapability(1, 1, kBoth), AddPathCapability(1, 1, kBoth)));
  EXPECT_EQ(Read(decoder, one, with_id_), "203.0.113.0/24#7");
  EXPECT_EQ(Read(decoder, other_id, without_), "203.0.113.0/24");
  EXPECT_EQ(Read(decoder, other_table, without_), "203.0.113.0/24");
}

TEST_F(AddPathTest, PeersAreToldApart) {
  SessionDecoder decoder(log, With(PathIdPolicy::kNegotiated));
  Feed(decoder, Up({}, AddPathCapability(1, 1, kReceive), AddPathCapability(1, 1, kSend)));
  EXPECT_EQ(Read(decoder, {.bgp_id = "0.0.0.0"}, with_id_), "203.0.113.0/24#7");  // not part of the key
  EXPECT_EQ(Read(decoder, {.address = "192.0.2.3"}, without_), "203.0.113.0/24");
  EXPECT_EQ(Read(decoder, {.distinguisher = 1}, without_), "203.0.113.0/24");
  EXPECT_EQ(Read(decoder, {.type = 1}, without_), "203.0.113.0/24");
}

TEST_F(AddPathTest, PeerDownForgetsAndPeerUpReplaces) {
  SessionDecoder decoder(log, With(PathIdPolicy::kNegotiated));
  const std::string up = Up({}, AddPathCapability(1, 1, kReceive), AddPathCapability(1, 1, kSend));
  Feed(decoder, up);
  EXPECT_EQ(decoder.peers(), 1u);
  Feed(decoder, Bmp(2, Cat(std::string(PeerBytes{.bgp_id = "0.0.0.0"}), U8(4))));
  EXPECT_EQ(decoder.peers(), 0u);
  EXPECT_EQ(Read(decoder, {}, without_), "203.0.113.0/24");
  Feed(decoder, up);
  EXPECT_EQ(Read(decoder, {}, with_id_), "203.0.113.0/24#7");
  Feed(decoder, Up({}));
  EXPECT_EQ(Read(decoder, {}, without_), "203.0.113.0/24");
  EXPECT_EQ(decoder.peers(), 1u);
}

TEST_F(AddPathTest, NegotiatedDoesNotAdapt) {
  SessionDecoder decoder(log, With(PathIdPolicy::kNegotiated));
  Feed(decoder, Up({}, AddPathCapability(1, 1, kReceive), AddPathCapability(1, 1, kSend)));
  EXPECT_EQ(Read(decoder, {}, without_), "skipped");
  EXPECT_EQ(Read(decoder, {}, with_id_), "203.0.113.0/24#7");
}

TEST_F(AddPathTest, NeverIsNever) {
  SessionDecoder decoder(log, With(PathIdPolicy::kNever));
  Feed(decoder, Up({}, AddPathCapability(1, 1, kReceive), AddPathCapability(1, 1, kSend)));
  EXPECT_EQ(Read(decoder, {}, without_), "203.0.113.0/24");
}

TEST_F(AddPathTest, AutoLearnsPerTable) {
  SessionDecoder decoder(log);
  Feed(decoder, Up({}, AddPathCapability(1, 1, kReceive), AddPathCapability(1, 1, kSend)));
  EXPECT_EQ(Read(decoder, {.flags = 0x40}, without_), "203.0.113.0/24 path ids changed");
  EXPECT_EQ(Read(decoder, {.flags = 0x40}, Nlri("203.0.113.0/25")), "203.0.113.0/25");  // would read well either way
  EXPECT_EQ(Read(decoder, {}, with_id_), "203.0.113.0/24#7");
}

TEST_F(AddPathTest, AutoLearnsWithoutAPeerUp) {
  SessionDecoder decoder(log);
  const PeerBytes loc{.type = 3, .address = "0.0.0.0", .bgp_id = "192.0.2.1"};
  EXPECT_EQ(Read(decoder, loc, with_id_), "203.0.113.0/24#7 path ids changed");
  EXPECT_EQ(Read(decoder, loc, Cat(U32(0x19cb0071), Nlri("0.0.0.0/0"))), "0.0.0.0/0#432734321");
}

TEST_F(AddPathTest, AutoKnowsItsSenders) {
  const std::string negotiated = Up({}, AddPathCapability(1, 1, kBoth), AddPathCapability(1, 1, kBoth));
  const std::string ambiguous = Nlri("203.0.113.0/25");
  {
    SessionDecoder decoder(log);
    Feed(decoder, Bmp(4, TlvBytes(1, "FRRouting 8.4.4")) + negotiated);
    for (const unsigned flags : {0x00u, 0x10u, 0x40u, 0x50u})
      EXPECT_EQ(Read(decoder, {.flags = flags}, ambiguous), "203.0.113.0/25");
  }
  {
    SessionDecoder decoder(log);
    Feed(decoder, Bmp(4, TlvBytes(2, "GoBGP")) + negotiated);
    EXPECT_EQ(Read(decoder, {.flags = 0x40}, ambiguous), "203.0.113.0/25");
    EXPECT_EQ(Read(decoder, {}, with_id_), "203.0.113.0/24#7");
  }
  {
    SessionDecoder decoder(log, With(PathIdPolicy::kNegotiated));
    Feed(decoder, Bmp(4, TlvBytes(1, "FRRouting 8.4.4")) + negotiated);
    EXPECT_EQ(Read(decoder, {}, with_id_), "203.0.113.0/24#7");
  }
}

TEST_F(SessionDecoderTest, BoundsWhatItRemembers) {
  SessionOptions options;
  options.max_peers = 2;
  SessionDecoder decoder(log, options);
  Feed(decoder, Up({.address = "192.0.2.2"}) + Up({.address = "192.0.2.3"}));
  const auto lines = Feed(decoder, Up({.address = "192.0.2.4"}));
  EXPECT_TRUE(lines.at(0).starts_with("skipped too_many_peers type 3 pt0 fl00 192.0.2.4")) << lines.at(0);
  EXPECT_TRUE(lines.at(1).starts_with("up ")) << lines.at(1);
  EXPECT_EQ(decoder.peers(), 2u);
  // One that would have to be learnt has no room either, and is read afresh each time.
  const auto learnt = Feed(
      decoder, RouteMonitoringBytes({.address = "192.0.2.5"}, UpdateBody(Cat(U32(7), Nlri("10.1.0.0/16")), "", "")));
  EXPECT_EQ(learnt.at(1), "  - 10.1.0.0/16#7");
  EXPECT_EQ(decoder.peers(), 2u);
  Feed(decoder, Up({.address = "192.0.2.3"}));  // one that is known may come again
  Feed(decoder, Bmp(2, Cat(std::string(PeerBytes{.address = "192.0.2.2"}), U8(4))));
  EXPECT_TRUE(Feed(decoder, Up({.address = "192.0.2.4"})).at(0).starts_with("up "));
}

TEST(Skipped, EachReasonHasAName) {
  std::set<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(Skipped::Reason::kTooManyPeers); ++i) {
    names.insert(SkippedName(static_cast<Skipped::Reason>(i)));
  }
  EXPECT_EQ(names.size(), 7u);
  EXPECT_FALSE(names.contains(""));
}

}  // namespace
}  // namespace virp::bmp
