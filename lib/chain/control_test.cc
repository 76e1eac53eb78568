#include "lib/chain/control.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/base/hash_map.h"
#include "lib/base/status.h"
#include "lib/chain/chain_vectors.h"
#include "lib/chain/entry.h"
#include "lib/frame/frame.h"

namespace virp::chain {
namespace {

using ::testing::HasSubstr;

struct Payload {
  frame::Type type;
  std::string text;
};

// The payloads of the `valid` vector chain that steer it: layouts fixed by code that is not ours.
std::vector<Payload> SteeringVectors() {
  std::vector<Payload> out;
  for (const std::string& bytes : VectorEntries("valid")) {
    const Entry entry = DecodeEntry(bytes).value();
    const frame::Frame frame = frame::Decode(entry.frame, entry.header.spelling).value();
    if (frame.header.type >= frame::Type::kKeyEvent) out.push_back({frame.header.type, std::string(frame.payload)});
  }
  return out;
}

// Parses and builds again.
absl::StatusOr<std::string> RoundTrip(frame::Type type, std::string_view text) {
  frame::PayloadReader reader;
  ASSIGN_OR_RETURN(const frame::Value payload, reader.Read(text));
  switch (type) {
    case frame::Type::kSourceEvent: {
      ASSIGN_OR_RETURN(const SourceEvent event, ParseSourceEvent(payload));
      if (event.registration) RETURN_IF_ERROR(CheckRegistration(*event.registration));
      return BuildSourceEvent(event);
    }
    case frame::Type::kKeyEvent: {
      ASSIGN_OR_RETURN(const KeyEvent event, ParseKeyEvent(payload));
      return BuildKeyEvent(event);
    }
    case frame::Type::kGap: {
      ASSIGN_OR_RETURN(const Gap gap, ParseGap(payload));
      return BuildGap(gap);
    }
    case frame::Type::kChannelAlarm: {
      ASSIGN_OR_RETURN(const Alarm alarm, ParseAlarm(payload));
      return BuildAlarm(alarm);
    }
    case frame::Type::kAlarmCleared: {
      ASSIGN_OR_RETURN(const AlarmCleared cleared, ParseAlarmCleared(payload));
      return BuildAlarmCleared(cleared);
    }
    default: {
      ASSIGN_OR_RETURN(const Heartbeat heartbeat, ParseHeartbeat(payload));
      return BuildHeartbeat(heartbeat);
    }
  }
}

TEST(ControlTest, VectorsAreReadAndWrittenByteForByte) {
  const auto vectors = SteeringVectors();
  ASSERT_EQ(vectors.size(), 8U);
  for (const auto& [type, text] : vectors) {
    const auto again = RoundTrip(type, text);
    ASSERT_TRUE(again.ok()) << again.status() << " " << text;
    EXPECT_EQ(*again, text);
  }
}

TEST(ControlTest, WhatTheVectorsDoNotShowSurvivesARoundTrip) {
  const std::pair<frame::Type, const char*> texts[] = {
      {frame::Type::kSourceEvent,
       R"({"domain":"virp","event":"source_suspended","source":"edge-a.bgpd","by":"spiffe://example.net/operator/noc-1","reason":"maintenance","request_id":"r-1"})"},
      {frame::Type::kSourceEvent, R"({"domain":"virp","event":"source_resumed","source":"edge-a.bgpd"})"},
      {frame::Type::kSourceEvent,
       R"({"domain":"virp","event":"source_epoch_reset","source":"edge-a.bgpd","epoch":18446744073709551615})"},
      {frame::Type::kSourceEvent,
       R"({"domain":"virp","event":"late_admitted","source":"edge-a.bgpd","epoch":5,"from":7,"to":9,"by":"x"})"},
      {frame::Type::kSourceEvent,
       R"({"event":"source_changed","source":"rtr.bridge","suite":1,"key_version":1,"key_commitment":"5951dbe32ea0216fa0c8a1e281b1a84f192f76e982263734f6cd6f1ec23abce8","accept_from_ns":1,"accept_until_ns":2,"min_frame_version":1,"vantage":"service","types":[17,18],"routers":[],"subject_prefixes":["rtr/cache-1"],"carried_by":["spiffe://example.net/rtr-bridge/one"],"request_id":"r-2"})"},
      {frame::Type::kKeyEvent,
       R"({"domain":"virp","event":"key_compromised","source":"collector-1","key_version":2,"compromised_since_ns":1750000000000000000,"by":"spiffe://example.net/operator/noc-1"})"},
      {frame::Type::kGap,
       R"({"domain":"virp","event":"gap","source":"edge-a.bgpd","epoch":1,"from":1,"to":18446744073709551614,"reason":"OVERFLOW"})"},
      {frame::Type::kChannelAlarm,
       R"({"domain":"virp","event":"channel_alarm","source":"edge-a.bgpd","cause":"OPERATOR","state":"BLACK","count":1,"by":"op","reason":"suspected","request_id":"r-3"})"},
      {frame::Type::kHeartbeat, R"({"domain":"virp","event":"heartbeat"})"},
      {frame::Type::kHeartbeat,
       R"({"domain":"virp","event":"heartbeat","sources":[{"source_id":"c215e8df8b6db6e62a02013b0036c86d","epoch":1,"last_sequence":2,"connected":false,"since_ns":0,"last_bytes_ns":3,"cannot_restate":true}]})"},
  };
  for (const auto& [type, text] : texts) {
    const auto again = RoundTrip(type, text);
    ASSERT_TRUE(again.ok()) << again.status() << " " << text;
    EXPECT_EQ(*again, text);
  }
}

// Every key taken out, and every key turned into something of another type: each failure names its key.
TEST(ControlTest, AMissingOrWrongKeyIsNamed) {
  const StringSet optional = {"domain",
                              "accept_until_ns",
                              "count",
                              "first_sha256",
                              "last_sha256",
                              "by",
                              "reason",
                              "previous_sign_until_ns",
                              "previous_accept_until_ns",
                              "sources",
                              "since_ns",
                              "last_bytes_ns"};
  int tried = 0;
  for (const auto& [type, text] : SteeringVectors()) {
    const auto whole = nlohmann::json::parse(text);
    for (const auto& [key, value] : whole.items()) {
      auto without = whole;
      without.erase(key);
      auto wrong = whole;
      wrong[key] = nlohmann::json::array({nlohmann::json::object()});
      const bool gap_reason = type == frame::Type::kGap && key == "reason";
      const auto missing = RoundTrip(type, without.dump());
      if (optional.contains(key) && !gap_reason) {
        EXPECT_TRUE(missing.ok()) << key << missing.status();
      } else if (key == "event") {
        EXPECT_EQ(missing.ok(), type != frame::Type::kSourceEvent && type != frame::Type::kKeyEvent);
      } else {
        ASSERT_FALSE(missing.ok()) << key << " in " << text;
        EXPECT_THAT(std::string(Message(missing.status())), HasSubstr(key));
      }
      if (key == "domain" || (key == "event" && missing.ok())) continue;
      const auto broken = RoundTrip(type, wrong.dump());
      ASSERT_FALSE(broken.ok()) << key << " in " << text;
      EXPECT_THAT(std::string(Message(broken.status())), HasSubstr(key));
      ++tried;
    }
  }
  EXPECT_GT(tried, 60);
}

TEST(ControlTest, ImpossibleValuesAreRefused) {
  const std::pair<frame::Type, const char*> texts[] = {
      {frame::Type::kGap, R"({"source":"a","epoch":1,"from":3,"to":2,"reason":"MISSING"})"},
      {frame::Type::kGap, R"({"source":"a","epoch":1,"from":0,"to":2,"reason":"MISSING"})"},
      {frame::Type::kGap, R"({"source":"a","epoch":1,"from":1,"to":18446744073709551615,"reason":"MISSING"})"},
      {frame::Type::kGap, R"({"source":"a","epoch":1,"from":1,"to":1,"reason":"missing"})"},
      {frame::Type::kGap, R"({"source":"A","epoch":1,"from":1,"to":1,"reason":"MISSING"})"},
      {frame::Type::kChannelAlarm, R"({"source":"a","cause":"X","state":"OK"})"},
      {frame::Type::kChannelAlarm, R"({"source":"a","cause":"","state":"BLACK"})"},
      {frame::Type::kChannelAlarm, R"({"source":"a","cause":"two words","state":"BLACK"})"},
      {frame::Type::kSourceEvent, R"({"event":"late_admitted","source":"a","epoch":1,"from":2,"to":1})"},
      {frame::Type::kSourceEvent, R"({"event":"source_unheard_of","source":"a"})"},
      {frame::Type::kKeyEvent, R"({"event":"key_compromised","source":"a","key_version":0,"compromised_since_ns":1})"},
      {frame::Type::kHeartbeat, R"({"sources":{}})"},
      {frame::Type::kHeartbeat, R"({"sources":[{"source_id":"c2","epoch":1,"last_sequence":2,"connected":true}]})"},
  };
  for (const auto& [type, text] : texts) EXPECT_FALSE(RoundTrip(type, text).ok()) << text;
}

Registration Good() {
  Registration r;
  r.source = "edge-a.bgpd";
  r.key.version = 1;
  r.key.suite = frame::Suite::kHmacSha256;
  r.key.commitment = std::string(32, 'c');
  r.types = {1, 2, 3, 4, 22, 24};
  r.routers = {{"edge-a", {"192.0.2.1"}, {"192.0.2.1", "2001:db8::1"}, {"default", "red"}}};
  r.subject_prefixes = {"dns/zone"};
  r.carried_by = {"spiffe://example.net/collector/collector-1", "spiffe://example.net/ns/virp/sa/collector/pod-1"};
  return r;
}

TEST(RegistrationTest, EachFieldIsChecked) {
  ASSERT_TRUE(CheckRegistration(Good()).ok()) << CheckRegistration(Good());
  using Change = void (*)(Registration&);
  const std::pair<const char*, Change> changes[] = {
      {"source", [](Registration& r) { r.source = "Edge"; }},
      {"key version", [](Registration& r) { r.key.version = 0; }},
      {"commitment", [](Registration& r) { r.key.commitment.pop_back(); }},
      {"public key", [](Registration& r) { r.key.suite = frame::Suite::kEd25519; }},
      {"suite", [](Registration& r) { r.key.suite = static_cast<frame::Suite>(3); }},
      {"accept until", [](Registration& r) { r.key.accept_until = 0; }},
      {"minimum frame version", [](Registration& r) { r.min_frame_version = 3; }},
      {"minimum frame version",
       [](Registration& r) {
         r.min_frame_version = 1;
         r.key = {1, frame::Suite::kEd25519, std::string(32, 'p'), "", 0, std::nullopt};
       }},
      {"vantage", [](Registration& r) { r.vantage = static_cast<Vantage>(9); }},
      {"types", [](Registration& r) { r.types.clear(); }},
      {"types", [](Registration& r) { r.types.push_back(0); }},
      {"types", [](Registration& r) { r.types.push_back(1); }},
      {"routers", [](Registration& r) { r.routers.assign(65, r.routers[0]); }},
      {"routers", [](Registration& r) { r.routers.push_back(r.routers[0]); }},
      {"routers", [](Registration& r) { r.routers.push_back({"edge-b", {"192.0.2.1"}, {}, {}}); }},
      {"routers", [](Registration& r) { r.routers[0].name = "edge/a"; }},
      {"BGP identifier", [](Registration& r) { r.routers[0].bgp_ids.clear(); }},
      {"BGP identifier", [](Registration& r) { r.routers[0].bgp_ids = {"2001:db8::1"}; }},
      {"BGP identifier", [](Registration& r) { r.routers[0].bgp_ids.assign(17, "192.0.2.1"); }},
      {"addresses", [](Registration& r) { r.routers[0].addresses = {"2001:DB8::1"}; }},
      {"addresses", [](Registration& r) { r.routers[0].addresses.push_back("192.0.2.1"); }},
      {"VRF", [](Registration& r) { r.routers[0].vrfs = {"a/b"}; }},
      {"subject prefixes", [](Registration& r) { r.subject_prefixes = {"dns"}; }},
      {"subject prefixes", [](Registration& r) { r.subject_prefixes = {"bgp/edge-a"}; }},
      {"subject prefixes", [](Registration& r) { r.subject_prefixes = {"source/"}; }},
      {"carried by", [](Registration& r) { r.carried_by = {"https://example.net/x"}; }},
      {"carried by", [](Registration& r) { r.carried_by = {"spiffe://example.net"}; }},
      {"carried by", [](Registration& r) { r.carried_by = {"spiffe://example.net/a//b"}; }},
      {"carried by", [](Registration& r) { r.carried_by = {"spiffe://example.net/a/"}; }},
      {"carried by", [](Registration& r) { r.carried_by = {"spiffe://Example.net/a"}; }},
      {"carried by", [](Registration& r) { r.carried_by = {"spiffe://example.net/a/.."}; }},
      {"carried by", [](Registration& r) { r.carried_by.assign(2, "spiffe://example.net/a"); }},
  };
  for (const auto& [field, change] : changes) {
    Registration r = Good();
    change(r);
    const absl::Status status = CheckRegistration(r);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << field;
    EXPECT_THAT(std::string(Message(status)), HasSubstr(field));
  }
}

}  // namespace
}  // namespace virp::chain
