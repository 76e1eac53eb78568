#include "services/rtr-bridge/domain/evidence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "lib/chain/subject.h"
#include "lib/frame/payload.h"

namespace virp::rtr_bridge {
namespace {

using nlohmann::json;

const Witness kWitness{"bridge-1"};

SessionName Router(std::string identity = "") {
  return {42, "2001:db8::1", 4711, Transport::kTls, std::move(identity)};
}
Hash HashWith(std::uint8_t byte) {
  Hash hash;
  hash.fill(byte);
  return hash;
}

// What an O-Node makes of it: the payload must be I-JSON that fits a frame, and its subject the bridge's own.
json Read(const deliver::Observation& observation, const std::string& subject) {
  EXPECT_LE(observation.payload.size(), frame::kMaxPayload);
  frame::PayloadReader reader;
  const auto payload = reader.Read(observation.payload);
  EXPECT_TRUE(payload.ok()) << payload.status() << observation.payload.substr(0, 200);
  if (!payload.ok()) return {};
  chain::Registration bridge;
  bridge.source = "bridge-1";
  bridge.subject_prefixes = {"rtr/bridge-1/"};
  const chain::Statement statement = chain::ReadStatement(bridge, observation.type, *payload);
  EXPECT_EQ(statement.subject, subject);
  EXPECT_EQ(statement.flags, 0);
  return json::parse(observation.payload);
}

TEST(WitnessTest, AGenerationHasAllThatItWasMadeOf) {
  Generation generation;
  generation.number = 7;
  generation.sha256 = HashWith(0xab);
  generation.counts = {1, 2, 3, 4};
  generation.serials[1] = {500, 9};
  generation.announced = 5;
  generation.withdrawn = 6;
  generation.sources = {{"validator-a", HashWith(1)}};
  generation.slurm = {{"/etc/virp/slurm.json", HashWith(2)}};
  const auto observation = kWitness.Served(generation, Request{"spiffe://x/operator/a", "why", "id"}, ServedWhen::kNow);
  EXPECT_EQ(observation.type, frame::Type::kCacheSerialChange);
  EXPECT_EQ(observation.tier, frame::Tier::kGreen);
  const json said = Read(observation, "rtr/bridge-1/cache");
  EXPECT_EQ(said.at("event"), "generation_served");
  EXPECT_EQ(said.at("generation"), 7);
  EXPECT_EQ(said.at("set_sha256"), HexEncode(View(generation.sha256)));
  EXPECT_EQ(said.at("serials").size(), 3U);
  EXPECT_EQ(said.at("serials").at(1), (json{{"version", 1}, {"session_id", 500}, {"serial", 9}}));
  EXPECT_EQ(said.at("counts"), (json{{"vrps_ipv4", 1}, {"vrps_ipv6", 2}, {"router_keys", 3}, {"aspas", 4}}));
  EXPECT_EQ(said.at("sources").at(0).at("name"), "validator-a");
  EXPECT_EQ(said.at("slurm").at(0).at("name"), "/etc/virp/slurm.json");
  EXPECT_EQ(said.at("by"), "spiffe://x/operator/a");
  EXPECT_FALSE(said.contains("resumed"));
  EXPECT_TRUE(
      Read(kWitness.Served(generation, std::nullopt, ServedWhen::kResumed), "rtr/bridge-1/cache").at("resumed"));
  EXPECT_TRUE(Read(kWitness.Served(generation, std::nullopt, ServedWhen::kLate), "rtr/bridge-1/cache").at("late"));
}

TEST(WitnessTest, ASessionHasHowItsRouterProvedWhoItIs) {
  const SessionName router = Router("tls:edge-a.example.net/serial:07");
  const std::string subject = "rtr/bridge-1/router/2001:db8::1";
  for (const auto& observation :
       {kWitness.SessionOpened(router, 1), kWitness.SessionSent(router, 1, {500, 9}, HashWith(3)),
        kWitness.SessionConfirmed(router, 1, {500, 9}), kWitness.SessionClosed(router, "the router closed")}) {
    EXPECT_EQ(observation.type, frame::Type::kRouterSessionChange);
    const json said = Read(observation, subject);
    EXPECT_EQ(said.at("connection"), 42);
    EXPECT_EQ(said.at("port"), 4711);
    EXPECT_EQ(said.at("transport"), "tls");
    EXPECT_EQ(said.at("identity"), "tls:edge-a.example.net/serial:07");
  }
}

TEST(WitnessTest, LossesSayHowManyOrThatNobodyKnows) {
  using Why = LostRecords::Why;
  const json some = Read(kWitness.RecordsLost({Why::kNoRoom, 12, 100, 200}), "rtr/bridge-1/cache");
  EXPECT_EQ(some.at("count"), 12);
  EXPECT_EQ(some.at("why"), "no_room");
  EXPECT_EQ(some.at("since_ns"), 100);
  EXPECT_EQ(some.at("until_ns"), 200);
  const auto crash = kWitness.RecordsLost({Why::kCrash, std::nullopt, 100, 200});
  EXPECT_EQ(crash.tier, frame::Tier::kYellow);
  EXPECT_TRUE(Read(crash, "rtr/bridge-1/cache").at("count").is_null());
  EXPECT_EQ(Read(kWitness.RecordsLost({Why::kOverLimit, 1, 1, 2}), "rtr/bridge-1/cache").at("why"), "over_limit");
}

// Names and texts come from routers, certificates and other people's servers.
TEST(WitnessTest, HostileTextsStayTexts) {
  std::string everything;
  for (int c = 0; c < 256; ++c) everything.push_back(static_cast<char>(c));
  for (const std::string& text : {std::string("\",\"serial\":7,\"x\":\""), everything,
                                  std::string("\xff\xfe\xed\xa0\x80"), std::string("\0\0", 2)}) {
    const json opened = Read(kWitness.SessionOpened(Router(text), 1), "rtr/bridge-1/router/2001:db8::1");
    EXPECT_FALSE(opened.contains("serial"));
    EXPECT_TRUE(opened.at("identity").is_string());
    Read(kWitness.SessionClosed(Router(), text), "rtr/bridge-1/router/2001:db8::1");
    const json failed = Read(kWitness.SourceFailed("validator-a", text, true), "rtr/bridge-1/source/validator-a");
    EXPECT_TRUE(failed.at("expired"));
  }
}

// A record that does not fit a frame would be lost, and with it those that are spooled at once with it.
TEST(WitnessTest, WhateverTheTextsAreTheRecordFitsAFrame) {
  for (const char c : {'"', '\n', '\xff'}) {
    const std::string endless(300'000, c);
    Generation generation;
    generation.sources.resize(64, {endless, HashWith(1)});
    generation.slurm.resize(100, {endless, HashWith(2)});
    const json served =
        Read(kWitness.Served(generation, Request{endless, endless, endless}, ServedWhen::kNow), "rtr/bridge-1/cache");
    EXPECT_EQ(served.at("slurm").size() + served.at("slurm_more").get<std::size_t>(), 100U);
    HeldGeneration held;
    held.reasons.resize(100, endless);
    Read(kWitness.Held(held), "rtr/bridge-1/cache");
    Read(kWitness.SourceFailed("validator-a", endless, false), "rtr/bridge-1/source/validator-a");
    Read(kWitness.SessionClosed(Router(endless), endless), "rtr/bridge-1/router/2001:db8::1");
    // A user's name may be long; the fingerprint behind it is what counts.
    const json opened =
        Read(kWitness.SessionOpened(Router("ssh:" + endless + "/SHA256:abc"), 1), "rtr/bridge-1/router/2001:db8::1");
    EXPECT_TRUE(opened.at("identity").get<std::string>().starts_with("ssh:"));
    EXPECT_TRUE(opened.at("identity").get<std::string>().ends_with("/SHA256:abc"));
  }
}

}  // namespace
}  // namespace virp::rtr_bridge
