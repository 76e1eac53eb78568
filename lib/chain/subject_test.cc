#include "lib/chain/subject.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "lib/chain/chain_vectors.h"
#include "lib/chain/entry.h"
#include "lib/frame/frame.h"

namespace virp::chain {
namespace {

using frame::Type;
using What = Statement::What;

Registration Edge() {
  Registration r;
  r.source = "edge-a.bgpd";
  r.routers = {{"edge-a", {"192.0.2.1", "192.0.2.9"}, {}, {"default", "red"}}, {"edge-b", {"192.0.2.2"}, {}, {}}};
  r.subject_prefixes = {"dns/example.net/"};
  return r;
}

Statement Read(Type type, std::string_view text, const Registration& registration = Edge()) {
  static frame::PayloadReader reader;
  const auto payload = reader.Read(text);
  return ReadStatement(registration, type, payload.ok() ? std::optional(*payload) : std::nullopt);
}

TEST(SubjectTest, VectorsHaveTheirSubjects) {
  std::map<std::string, Registration> registrations;
  frame::PayloadReader reader;
  for (const auto& row : VectorChain("valid")["entries"]) {
    const std::string bytes = Unhex(row["entry_hex"]);
    const Entry entry = DecodeEntry(bytes).value();
    const frame::Frame frame = frame::Decode(entry.frame, entry.header.spelling).value();
    const frame::Value payload = reader.Read(frame.payload).value();
    if (frame.header.type == Type::kSourceEvent) {
      const auto event = ParseSourceEvent(payload);
      ASSERT_TRUE(event.ok()) << event.status();
      registrations[event->source] = *event->registration;
    }
    const Statement statement = ReadStatement(registrations[Text(row["source"])], frame.header.type, payload);
    EXPECT_EQ(statement.subject, Text(row["subject"]));
    EXPECT_EQ(statement.flags, 0);
    EXPECT_EQ(statement.subject_id, SubjectIdOf(Text(row["subject"])));
  }
}

TEST(SubjectTest, PeersInEverySpelling) {
  const char* kBase = R"({"router_id":"192.0.2.9","peer_addr":")";
  const auto up = [&](const std::string& address) {
    return Read(Type::kPeerStatusChanged, kBase + address + R"(","new_state":"Established"})");
  };
  EXPECT_EQ(up("192.0.2.2").subject, "bgp/edge-a/default/peer/192.0.2.2");
  EXPECT_EQ(up("2001:DB8:0:0::2").subject, "bgp/edge-a/default/peer/2001:db8::2");
  EXPECT_EQ(up("2001:DB8:0:0::2").what, What::kPeerState);
  EXPECT_EQ(up("2001:DB8:0:0::2").state, "Established");
  for (const char* wrong : {"", "edge-b", "192.0.2", "192.0.2.02", "fe80::1%eth0", "192.0.2.2/32"}) {
    const Statement statement = up(wrong);
    EXPECT_EQ(statement.subject, "") << wrong;
    EXPECT_EQ(statement.subject_id, 0U);
    EXPECT_EQ(statement.what, What::kOther);
    EXPECT_EQ(statement.flags, 0) << "does not parse: no subject, but in scope";
  }
}

TEST(SubjectTest, OnlyRegisteredRoutersAndVrfsAreInScope) {
  const auto peer = [](const std::string& rest) {
    return Read(Type::kPeerStatusChanged, R"({"peer_addr":"192.0.2.7","new_state":"Idle")" + rest + "}");
  };
  EXPECT_EQ(peer(R"(,"router_id":"192.0.2.1","vrf":"red")").subject, "bgp/edge-a/red/peer/192.0.2.7");
  EXPECT_EQ(peer(R"(,"router_id":"192.0.2.2")").subject, "bgp/edge-b/default/peer/192.0.2.7");
  EXPECT_EQ(peer(R"(,"router_id":"192.0.2.2","vrf":"default")").flags, 0) << "no VRFs registered is default only";
  for (const char* outside : {R"(,"router_id":"192.0.2.3")", R"(,"router_id":"192.0.2.2","vrf":"red")",
                              R"(,"router_id":"192.0.2.1","vrf":"blue")", R"(,"router_id":"192.0.2.01")"}) {
    const Statement statement = peer(outside);
    EXPECT_EQ(statement.flags, kScopeViolation) << outside;
    EXPECT_EQ(statement.subject, "") << outside;
    EXPECT_EQ(statement.what, What::kOther) << outside;
  }
  for (const char* keyless : {"", R"(,"router_id":3221225985)", R"(,"router_id":"192.0.2.1","vrf":null)"}) {
    EXPECT_EQ(peer(keyless).flags, 0) << keyless;
    EXPECT_EQ(peer(keyless).subject, "") << keyless;
  }
}

TEST(SubjectTest, BackwardTransitionsSetDownOnlyFromEstablished) {
  const char* kDown = R"({"router_id":"192.0.2.1","peer_addr":"192.0.2.2","last_state":"Established"})";
  const char* kOther = R"({"router_id":"192.0.2.1","peer_addr":"192.0.2.2","last_state":"OpenSent"})";
  EXPECT_EQ(Read(Type::kPeerBackwardTransition, kDown).what, What::kPeerDown);
  EXPECT_EQ(Read(Type::kPeerBackwardTransition, kOther).what, What::kOther);
  EXPECT_EQ(Read(Type::kPeerBackwardTransition, kOther).subject, "bgp/edge-a/default/peer/192.0.2.2");
}

TEST(SubjectTest, PathsOfThePublishedModuleAndOfOurs) {
  const auto path = [](const std::string& rest) {
    return Read(Type::kBgpProcess, R"({"router_id":"192.0.2.1","peer_addr":"2001:db8::2")" + rest + "}");
  };
  const Statement published = path(R"(,"event":"route_withdraw","prefix":"2001:db8:42::/48","afi":2,"safi":1)");
  EXPECT_EQ(published.subject, "bgp/edge-a/default/adj-in-pre/2001:db8::2/2001:db8:42::/48/0");
  EXPECT_EQ(published.what, What::kPathAbsent);
  const Statement ours = path(
      R"(,"event":"route_announce","prefix":"203.0.113.77/24","rib":"loc","vrf":"red","path_id":7,"restated":true)");
  EXPECT_EQ(ours.subject, "bgp/edge-a/red/loc/2001:db8::2/203.0.113.0/24/7");
  EXPECT_EQ(ours.what, What::kPathPresent);
  EXPECT_EQ(ours.prefix, "203.0.113.0/24");
  EXPECT_EQ(ours.path_id, 7U);
  EXPECT_TRUE(ours.restated);
  for (const char* wrong : {R"(,"event":"route_announce")", R"(,"event":"route_announce","prefix":"203.0.113.0")",
                            R"(,"event":"route_announce","prefix":"203.0.113.0/33")",
                            R"(,"event":"route_announce","prefix":"203.0.113.0/024")",
                            R"(,"event":"route_announce","prefix":"203.0.113.0/24","rib":"adj-in")",
                            R"(,"event":"route_announce","prefix":"203.0.113.0/24","path_id":-1)",
                            R"(,"event":"route_announce","prefix":"203.0.113.0/24","path_id":"0")",
                            R"(,"event":"route_announce","prefix":"203.0.113.0/24","path_id":4294967296)"}) {
    EXPECT_EQ(path(wrong).subject, "") << wrong;
    EXPECT_EQ(path(wrong).what, What::kOther) << wrong;
  }
  const Statement multicast = path(R"(,"event":"route_announce","prefix":"203.0.113.0/24","safi":2)");
  EXPECT_EQ(multicast.what, What::kOther) << "claims are about unicast";
  EXPECT_NE(multicast.subject, "");
  EXPECT_EQ(path(R"(,"event":"route_guess","prefix":"203.0.113.0/24")").what, What::kOther);
}

TEST(SubjectTest, TableComplete) {
  const char* kTable =
      R"({"router_id":"192.0.2.1","peer_addr":"192.0.2.2","event":"table_complete","rib":"adj-in-post"})";
  EXPECT_EQ(Read(Type::kBgpProcess, kTable).subject, "bgp/edge-a/default/adj-in-post/192.0.2.2");
  EXPECT_EQ(Read(Type::kBgpProcess, kTable).what, What::kTableComplete);
  const char* kNoRib = R"({"router_id":"192.0.2.1","peer_addr":"192.0.2.2","event":"table_complete"})";
  EXPECT_EQ(Read(Type::kBgpProcess, kNoRib).what, What::kOther) << "which table, it does not say";
  const char* kPrefix =
      R"({"router_id":"192.0.2.1","peer_addr":"192.0.2.2","event":"table_complete","rib":"loc","prefix":"10.0.0.0/8"})";
  EXPECT_EQ(Read(Type::kBgpProcess, kPrefix).what, What::kOther);
}

TEST(SubjectTest, BestPaths) {
  const auto best = [](const std::string& rest) {
    return Read(Type::kBgpRouteUpdate, R"({"router_id":"192.0.2.1","prefix":"203.0.113.0/24","old":null)" + rest + "}");
  };
  EXPECT_EQ(best(R"(,"new":{})").subject, "bgp/edge-a/default/best/203.0.113.0/24");
  EXPECT_EQ(best(R"(,"new":{})").what, What::kBestPath);
  EXPECT_TRUE(best(R"(,"new":{})").best_exists);
  EXPECT_FALSE(best(R"(,"new":null)").best_exists);
  EXPECT_EQ(best(R"(,"new":null)").what, What::kBestPath);
  EXPECT_EQ(best("").what, What::kOther) << "says nothing about the new one";
  EXPECT_EQ(best(R"(,"new":7)").what, What::kOther);
}

TEST(SubjectTest, AboutSources) {
  EXPECT_EQ(Read(Type::kHeartbeat, "{}").subject, "source/edge-a.bgpd");
  EXPECT_EQ(Read(Type::kHeartbeat, "{}").what, What::kHeartbeat);
  for (const auto& [type, what] :
       {std::pair(Type::kKeyEvent, What::kKeyEvent), std::pair(Type::kGap, What::kGap),
        std::pair(Type::kChannelAlarm, What::kAlarm), std::pair(Type::kSourceEvent, What::kSourceEvent),
        std::pair(Type::kAlarmCleared, What::kAlarmCleared)}) {
    EXPECT_EQ(Read(type, R"({"source":"virp.example.net/site1"})").subject, "source/virp.example.net/site1");
    EXPECT_EQ(Read(type, R"({"source":"virp.example.net/site1"})").what, what);
    EXPECT_EQ(Read(type, R"({"source":"/"})").subject, "");
    EXPECT_EQ(Read(type, "{}").subject, "");
  }
}

TEST(SubjectTest, OtherDomainsStayInsideTheirPrefixes) {
  const Type dns = static_cast<Type>(64);
  EXPECT_EQ(Read(dns, R"({"domain":"dns","subject":"example.net/www"})").subject, "dns/example.net/www");
  EXPECT_EQ(Read(dns, R"({"domain":"dns","subject":"example.net.evil/www"})").flags, kScopeViolation);
  EXPECT_EQ(Read(dns, R"({"domain":"bgp","subject":"edge-a/default/peer/192.0.2.2"})").flags, kScopeViolation);
  EXPECT_EQ(Read(dns, R"({"domain":"source","subject":"edge-b.bgpd"})").flags, kScopeViolation);
  for (const char* wrong : {"{}", R"({"domain":"dns"})", R"({"subject":"x"})", R"({"domain":"d/ns","subject":"x"})",
                            R"({"domain":"dns","subject":""})", R"({"domain":"dns","subject":"example.net/\u0001"})"}) {
    EXPECT_EQ(Read(dns, wrong).subject, "") << wrong;
    EXPECT_EQ(Read(dns, wrong).flags, 0) << wrong;
  }
}

TEST(SubjectTest, OpaqueAndOutOfScopeEntriesHaveNone) {
  const Statement opaque = Read(Type::kPeerStatusChanged, R"({"a":1,"a":2})");
  EXPECT_EQ(opaque.flags, kOpaque);
  EXPECT_EQ(opaque.subject, "");
  const Statement good = Read(Type::kHeartbeat, "{}");
  EXPECT_EQ(SubjectUnder(good, 0), good.subject_id);
  EXPECT_EQ(SubjectUnder(good, kClockSuspect | kAdmittedLate), good.subject_id);
  EXPECT_EQ(SubjectUnder(good, kScopeViolation), 0U);
  EXPECT_EQ(SubjectUnder(good, kOpaque), 0U);
}

}  // namespace
}  // namespace virp::chain
