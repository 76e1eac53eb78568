#include "lib/vrp/export.h"

#include <nlohmann/json.hpp>

#include "lib/vrp/json.h"
#include "lib/vrp/set.h"
#include "lib/vrp/test_payloads.h"
#include "tests/testutil/status_matchers.h"

namespace virp::vrp {
namespace {

using ::testing::Optional;
using ::virp::testutil::IsOk;
using Json = nlohmann::json;

std::string Ski(const RouterKey& key) {
  return {reinterpret_cast<const char*>(key.ski.data()), key.ski.size()};
}

// A set as other programs write it.
Json Routinator(const Payloads& set) {
  const auto as = [](std::uint32_t number) { return "AS" + std::to_string(number); };
  Json out = {{"metadata", {{"generated", 5}}},
              {"roas", Json::array()},
              {"routerKeys", Json::array()},
              {"aspas", Json::array()}};
  const auto roas = [&](const auto& vrps) {
    for (const auto& v : vrps)
      out["roas"].push_back(
          {{"asn", as(v.as)}, {"prefix", PrefixOf(v).ToString()}, {"maxLength", v.max_length}, {"ta", "x"}});
  };
  roas(set.vrps4);
  roas(set.vrps6);
  for (const auto& k : set.router_keys)
    out["routerKeys"].push_back(
        {{"asn", as(k.as)}, {"SKI", HexEncode(Ski(k))}, {"routerPublicKey", Base64Encode(k.spki)}});
  for (const auto& a : set.aspas) {
    Json providers = Json::array();
    for (const auto p : a.providers) providers.push_back(as(p));
    out["aspas"].push_back({{"customer", as(a.customer)}, {"providers", providers}});
  }
  return out;
}

Json OldRpkiClient(const Payloads& set) {
  Json out = {{"roas", Json::array()},
              {"bgpsec_keys", Json::array()},
              {"provider_authorizations", {{"ipv4", Json::array()}, {"ipv6", Json::array()}}}};
  const auto roas = [&](const auto& vrps) {
    for (const auto& v : vrps)
      out["roas"].push_back({{"asn", v.as}, {"prefix", PrefixOf(v).ToString()}, {"maxLength", v.max_length}});
  };
  roas(set.vrps4);
  roas(set.vrps6);
  for (const auto& k : set.router_keys)
    out["bgpsec_keys"].push_back({{"asn", k.as}, {"ski", HexEncode(Ski(k))}, {"pubkey", Base64Encode(k.spki)}});
  for (const auto& a : set.aspas) {
    // A provider in one or both of the families.
    for (std::size_t i = 0; i < a.providers.size(); ++i) {
      const Json entry = {{"customer_asid", a.customer}, {"providers", {a.providers[i]}}};
      if (i % 3 != 0) out["provider_authorizations"]["ipv4"].push_back(entry);
      if (i % 3 != 1) out["provider_authorizations"]["ipv6"].push_back(entry);
    }
  }
  return out;
}

TEST(Export, EveryDialectIsReadToTheSameSet) {
  Random random(11);
  for (int round = 0; round < 150; ++round) {
    const Payloads set = RandomPayloads(random, static_cast<int>(Below(random, 40)));
    const auto own = DecodeJson(WriteJson(set, {.generated = 1'700'000'000, .serial = std::nullopt}));
    ASSERT_OK(own);
    ASSERT_EQ(own->payloads, set);  // with the expiries
    ASSERT_EQ(own->duplicates, 0U);
    ASSERT_THAT(own->generated, Optional(1'700'000'000));
    for (const Json& other : {Routinator(set), OldRpkiClient(set)}) {
      const auto read = DecodeJson(other.dump(round % 3 - 1));
      ASSERT_OK(read);
      ASSERT_EQ(HashOf(read->payloads), HashOf(set));
    }
  }
}

TEST(Export, IsJsonInTheOrderOfAddresses) {
  Builder builder;
  for (const char* prefix : {"192.0.2.0/24", "10.0.0.0/8", "2001:db8::/32", "::/0", "0.0.0.0/0"}) {
    ASSERT_OK(builder.Add(*Prefix::Parse(prefix), 32, 64500, 1'900'000'000));
  }
  ASSERT_OK(builder.Add(TestKey(64501)));
  const Payloads set = std::move(builder).Build().payloads;
  const Json out = Json::parse(WriteJson(set, {.generated = 1'795'345'612, .serial = 7}));
  EXPECT_EQ(out["metadata"]["buildtime"], "2026-11-22T11:06:52Z");
  EXPECT_EQ(out["metadata"]["generated"], 1'795'345'612);
  EXPECT_EQ(out["metadata"]["serial"], 7);
  EXPECT_EQ(out["metadata"]["vrps"], 5);
  EXPECT_EQ(out["metadata"]["set_sha256"], HexEncode(View(HashOf(set))));
  std::vector<std::string> prefixes;
  for (const Json& roa : out["roas"]) prefixes.push_back(roa["prefix"]);
  EXPECT_THAT(prefixes, ::testing::ElementsAre("0.0.0.0/0", "10.0.0.0/8", "192.0.2.0/24", "::/0", "2001:db8::/32"));
  EXPECT_EQ(out["roas"][1],
            Json({{"asn", 64500}, {"prefix", "10.0.0.0/8"}, {"maxLength", 32}, {"expires", 1'900'000'000}}));
  EXPECT_FALSE(out["bgpsec_keys"][0].contains("expires"));
  EXPECT_TRUE(Json::parse(WriteJson(Payloads(), {}))["roas"].empty());
}

TEST(Export, Deltas) {
  Builder builder;
  ASSERT_OK(builder.Add(*Prefix::Parse("10.0.0.0/8"), 24, 64500));
  ASSERT_OK(builder.Add(Aspa{64500, 0, {1, 2}}));
  ASSERT_OK(builder.Add(TestKey(64501)));
  const Payloads set = std::move(builder).Build().payloads;
  const Json delta = Json::parse(WriteJsonDelta("123", 4, 5, set, Payloads()));
  EXPECT_EQ(delta["reset"], false);
  EXPECT_EQ(delta["session"], "123");
  EXPECT_EQ(delta["serial"], 5);
  EXPECT_EQ(delta["fromSerial"], 4);
  EXPECT_TRUE(delta["withdrawn"].empty() && delta["withdrawn"].is_array());
  ASSERT_EQ(delta["announced"].size(), 3U);
  EXPECT_EQ(delta["announced"][0],
            Json({{"type", "routeOrigin"}, {"asn", "AS64500"}, {"prefix", "10.0.0.0/8"}, {"maxLength", 24}}));
  EXPECT_EQ(delta["announced"][1]["type"], "routerKey");
  EXPECT_EQ(delta["announced"][1]["keyInfo"], Base64Encode(TestKey(64501).spki));
  EXPECT_EQ(delta["announced"][2],
            Json({{"type", "aspa"}, {"customerAsn", "AS64500"}, {"providerAsns", {"AS1", "AS2"}}}));
  EXPECT_EQ(Json::parse(WriteJsonDelta("1", 4, 5, Payloads(), set))["withdrawn"], delta["announced"]);
  const Json reset = Json::parse(WriteJsonReset("123", 5, set));
  EXPECT_EQ(reset["reset"], true);
  EXPECT_EQ(reset["announced"], delta["announced"]);
  EXPECT_FALSE(reset.contains("withdrawn") || reset.contains("fromSerial"));
}

}  // namespace
}  // namespace virp::vrp
