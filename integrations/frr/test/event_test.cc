// Payloads that the module writes, read by the code that reads them in the O-Node.
#include "event.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "frame.h"
#include "lib/chain/subject.h"
#include "lib/frame/payload.h"

namespace virp::frr {
namespace {

using chain::Statement;
using ::testing::HasSubstr;
using ::testing::Not;

virp_address V4(std::uint8_t last, std::uint8_t length = 0) {
  return {4, length, {192, 0, 2, last}};
}

virp_event About(virp_kind kind) {
  virp_event event{};
  event.kind = kind;
  event.peer_addr = V4(2);
  event.peer_as = 64501;
  event.local_as = 64500;
  const std::uint8_t id[4] = {192, 0, 2, 1};
  std::memcpy(event.router_id, id, sizeof(id));
  return event;
}

virp_event Path(virp_kind kind) {
  virp_event event = About(kind);
  event.rib = VIRP_ADJ_IN_POST;
  event.prefix = {4, 24, {203, 0, 113}};
  event.afi = event.safi = 1;
  return event;
}

virp_route Route() {
  virp_route route{};
  route.nexthop = V4(2);
  route.peer_addr = V4(2);
  route.peer_as = 64501;
  route.med = 10;
  route.has_med = true;
  return route;
}

// An event with its parts behind it, as the hooks copy them into the ring.
class Event {
 public:
  explicit Event(const virp_event& head) : head_(head) {}
  Event& Vrf(const std::string& text) { return Add(text, head_.vrf_size); }
  Event& Peer(const std::string& text) { return Add(text, head_.peer_size); }
  Event& Reason(const std::string& text) { return Add(text, head_.reason_size); }
  Event& Add(virp_route route, const std::string& peer, const std::string& as_path, const std::string& communities) {
    route.peer_size = static_cast<std::uint16_t>(peer.size());
    route.as_path_size = static_cast<std::uint16_t>(as_path.size());
    route.communities_size = static_cast<std::uint16_t>(communities.size());
    routes_.push_back(route);
    text_ += peer + as_path + communities;
    head_.routes = static_cast<std::uint8_t>(routes_.size());
    return *this;
  }
  std::string Payload(std::uint8_t version = 2, std::size_t room = VIRP_PAYLOAD_MAX) const {
    std::string bytes(reinterpret_cast<const char*>(&head_), sizeof(head_));
    bytes.append(reinterpret_cast<const char*>(routes_.data()), routes_.size() * sizeof(virp_route));
    bytes += text_;
    std::vector<std::uint64_t> aligned(bytes.size() / 8 + 1);
    std::memcpy(aligned.data(), bytes.data(), bytes.size());
    virp_voice voice{};
    voice.version = version;
    voice.source = "edge-a.bgpd";
    voice.epoch = 1'750'000'000'000'000'000;
    voice.build_id = "ab12";
    ::virp_source_id(voice.source, voice.source_id);
    std::string out(room, '\0');
    virp_text text{};
    ::virp_text_init(&text, out.data(), out.size());
    if (!::virp_event_payload(reinterpret_cast<const virp_event*>(aligned.data()), &voice, &text)) return "none";
    out.resize(::virp_text_size(&text));
    return out;
  }

 private:
  Event& Add(const std::string& text, std::uint16_t& size) {
    size = static_cast<std::uint16_t>(text.size());
    text_ += text;
    return *this;
  }
  virp_event head_;
  std::vector<virp_route> routes_;
  std::string text_;
};

// What the O-Node takes from it.
Statement Read(const std::string& payload, frame::Type type) {
  chain::Registration registration;
  registration.source = "edge-a.bgpd";
  registration.types = {1, 2, 3, 4, 22, 24};
  chain::RouterScope router;
  router.name = "edge-a";
  router.bgp_ids = {"192.0.2.1"};
  registration.routers.push_back(router);
  frame::PayloadReader reader;
  const auto value = reader.Read(payload);
  EXPECT_TRUE(value.ok()) << value.status() << ": " << payload;
  if (!value.ok()) return {};
  return chain::ReadStatement(registration, type, *value);
}

TEST(FrrEvent, StateOfAPeer) {
  virp_event head = About(VIRP_SAW_STATE);
  head.old_state = 5;
  head.new_state = 6;
  const std::string payload = Event(head).Vrf("default").Peer("edge-b").Payload();
  EXPECT_EQ(
      payload,
      R"({"domain":"bgp","event":"peer_state_change","peer":"edge-b","peer_addr":"192.0.2.2","peer_as":64501,)"
      R"("local_as":64500,"old_state":"OpenConfirm","new_state":"Established","router_id":"192.0.2.1","vrf":"default"})");
  const Statement statement = Read(payload, frame::Type::kPeerStatusChanged);
  EXPECT_EQ(statement.subject, "bgp/edge-a/default/peer/192.0.2.2");
  EXPECT_EQ(statement.state, "Established");
}

// Both published forms: `peer_ip` of the article, `peer`, `peer_addr` and `producer_id` of the later module.
TEST(FrrEvent, Version1HasTheKeysOfBothPublishedForms) {
  virp_event head = About(VIRP_SAW_STATE);
  const std::string payload = Event(head).Vrf("default").Peer("edge-b").Payload(1);
  EXPECT_THAT(payload, HasSubstr(R"("peer_ip":"192.0.2.2")"));
  EXPECT_THAT(payload, HasSubstr(R"("peer_addr":"192.0.2.2")"));
  EXPECT_THAT(payload, HasSubstr(R"("producer_id":3221225985)"));
}

TEST(FrrEvent, LossOfASession) {
  virp_event head = About(VIRP_SAW_DOWN);
  head.old_state = 6;
  head.last_event = 20;
  head.uptime = 3600;
  head.red_rule = VIRP_SESSIONS_LOST;
  const std::string payload = Event(head).Vrf("default").Peer("edge-b").Reason("hold timer").Payload();
  EXPECT_THAT(payload, HasSubstr(R"("last_state":"Established","last_event":20,"uptime":3600)"));
  EXPECT_THAT(payload, HasSubstr(R"("reason":"hold timer","red_rule":"sessions_lost"})"));
  EXPECT_EQ(Read(payload, frame::Type::kPeerBackwardTransition).what, Statement::What::kPeerDown);
}

TEST(FrrEvent, RoutesComeAndGo) {
  const std::string came = Event(Path(VIRP_SAW_ANNOUNCE))
                               .Vrf("default")
                               .Peer("edge-b")
                               .Add(Route(), "edge-b", "64501 64510", "64501:7 no-export")
                               .Payload();
  EXPECT_THAT(came,
              HasSubstr(R"("nexthop":"192.0.2.2","as_path":"64501 64510","origin":"IGP","med":10,"local_pref":null,)"
                        R"("communities":["64501:7","no-export"]})"));
  const Statement present = Read(came, frame::Type::kBgpProcess);
  EXPECT_EQ(present.what, Statement::What::kPathPresent);
  EXPECT_EQ(present.subject, "bgp/edge-a/default/adj-in-post/192.0.2.2/203.0.113.0/24/0");
  const std::string went = Event(Path(VIRP_SAW_WITHDRAW)).Vrf("red").Peer("edge-b").Payload();
  EXPECT_THAT(went, Not(HasSubstr("as_path")));
  EXPECT_THAT(went, HasSubstr(R"("vrf":"red")"));
  EXPECT_EQ(Read(Event(Path(VIRP_SAW_WITHDRAW)).Vrf("default").Peer("b").Payload(), frame::Type::kBgpProcess).what,
            Statement::What::kPathAbsent);
}

TEST(FrrEvent, Ipv6AndPathIds) {
  virp_event head = Path(VIRP_SAW_ANNOUNCE);
  head.prefix = {6, 48, {0x20, 0x01, 0x0d, 0xb8, 0, 0x42}};
  head.peer_addr = {6, 0, {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}};
  head.afi = 2;
  head.path_id = 7;
  virp_route route = Route();
  route.nexthop = head.peer_addr;
  const std::string payload = Event(head).Vrf("default").Peer("b").Add(route, "b", "64501", "").Payload();
  EXPECT_THAT(payload, HasSubstr(R"("nexthop":"2001:db8::2")"));
  EXPECT_EQ(Read(payload, frame::Type::kBgpProcess).subject,
            "bgp/edge-a/default/adj-in-post/2001:db8::2/2001:db8:42::/48/7");
}

TEST(FrrEvent, BestPaths) {
  virp_event head = Path(VIRP_SAW_BEST);
  head.rib = VIRP_RIB_NONE;
  head.has_old = head.has_new = true;
  const std::string changed = Event(head)
                                  .Vrf("default")
                                  .Peer("edge-b")
                                  .Add(Route(), "edge-b", "64501", "")
                                  .Add(Route(), "edge-c", "64502", "")
                                  .Payload();
  EXPECT_THAT(changed,
              HasSubstr(R"("old":{"peer":"edge-b","peer_addr":"192.0.2.2","peer_as":64501,"nexthop":"192.0.2.2",)"
                        R"("as_path":"64501","med":10,"local_pref":null,"origin":0},"new":{"peer":"edge-c",)"));
  EXPECT_TRUE(Read(changed, frame::Type::kBgpRouteUpdate).best_exists);
  head.has_new = false;
  const std::string gone = Event(head).Vrf("default").Peer("b").Add(Route(), "b", "1", "").Payload();
  EXPECT_THAT(gone, HasSubstr(R"("new":null)"));
  const Statement statement = Read(gone, frame::Type::kBgpRouteUpdate);
  EXPECT_EQ(statement.subject, "bgp/edge-a/default/best/203.0.113.0/24");
  EXPECT_FALSE(statement.best_exists);
}

TEST(FrrEvent, CompleteTables) {
  virp_event head = About(VIRP_SAW_TABLE_COMPLETE);
  head.rib = VIRP_ADJ_IN_POST;
  head.afi = 2;
  head.from = 17;
  head.restated = true;
  const std::string payload = Event(head).Vrf("default").Peer("b").Payload();
  EXPECT_THAT(payload, HasSubstr(R"("rib":"adj-in-post","prefixes":["::/0"],"first_sequence":17,"restated":true})"));
  EXPECT_EQ(Read(payload, frame::Type::kBgpProcess).what, Statement::What::kTableComplete);
  head.afi = 3;
  EXPECT_THAT(Event(head).Vrf("default").Peer("b").Payload(), HasSubstr(R"("prefixes":["0.0.0.0/0","::/0"],)"));
}

TEST(FrrEvent, LossRecordsAndBeats) {
  virp_event loss = About(VIRP_SAW_LOSS);
  loss.from = 3;
  loss.to = 9;
  frame::PayloadReader reader;
  const auto gap = chain::ParseGap(*reader.Read(Event(loss).Payload(1)));
  ASSERT_TRUE(gap.ok()) << gap.status();
  EXPECT_EQ(gap->source, "edge-a.bgpd");
  EXPECT_EQ(gap->epoch, 1'750'000'000'000'000'000u);
  EXPECT_EQ(gap->from, 3u);
  EXPECT_EQ(gap->to, 9u);
  EXPECT_EQ(gap->why, chain::Gap::Why::kOverflow);

  virp_event beat = About(VIRP_SAW_BEAT);
  beat.sequence = 12;
  beat.lost = 7;
  beat.established = 2;
  beat.config = 0x0123456789abcdef;
  EXPECT_EQ(Event(beat).Payload(1), "none");  // version 1 has no beats
  EXPECT_EQ(Event(beat).Payload(),
            R"({"domain":"virp","event":"heartbeat","highest_sequence":12,"lost":7,"queued":0,"established":2,)"
            R"("build_id":"ab12","config_hash":"0123456789abcdef"})");
  beat.kind = VIRP_SAW_DISABLED;
  const auto last = chain::ParseHeartbeat(*reader.Read(Event(beat).Payload()));
  ASSERT_TRUE(last.ok()) << last.status();
  ASSERT_EQ(last->sources.size(), 1u);
  EXPECT_FALSE(last->sources[0].connected);
  EXPECT_EQ(last->sources[0].last_sequence, 12u);
  const auto off = chain::ParseGap(*reader.Read(Event(beat).Payload(1)));
  ASSERT_TRUE(off.ok()) << off.status();
  EXPECT_EQ(off->why, chain::Gap::Why::kShutdown);
  EXPECT_EQ(off->from, 13u);
}

// What a neighbour calls itself is the neighbour's choice.
TEST(FrrEvent, WhateverANameHoldsThePayloadIsIJson) {
  for (const std::string& name : std::vector<std::string>{
           "a\"b\\c", "\x01\x1f\n\r\t", "\xff\xfe", "\xc0\xaf", "\xed\xa0\x80", "\xef\xbf\xbf", "\xf4\x90\x80\x80",
           "\xe2\x82", "caf\xc3\xa9", "\xf0\x9f\x98\x80", std::string("a\0b", 3)}) {
    const std::string payload = Event(About(VIRP_SAW_STATE)).Vrf("default").Peer(name).Payload();
    frame::PayloadReader reader;
    EXPECT_TRUE(reader.Read(payload).ok()) << payload;
  }
  EXPECT_THAT(Event(About(VIRP_SAW_STATE)).Vrf("default").Peer("caf\xc3\xa9").Payload(), HasSubstr("\"caf\xc3\xa9\""));
}

TEST(FrrEvent, WhatDoesNotFitIsNoPayload) {
  const Event event = Event(About(VIRP_SAW_STATE)).Vrf("default").Peer("edge-b");
  const std::size_t whole = event.Payload().size();
  EXPECT_EQ(event.Payload(2, whole).size(), whole);
  for (std::size_t room = 0; room < whole; ++room) ASSERT_EQ(event.Payload(2, room), "none") << room;
}

}  // namespace
}  // namespace virp::frr
