#include "lib/vrp/slurm.h"

#include <nlohmann/json.hpp>

#include "lib/crypto/sha256.h"
#include "lib/vrp/builder.h"
#include "lib/vrp/set.h"
#include "lib/vrp/test_payloads.h"
#include "tests/testutil/status_matchers.h"

namespace virp::vrp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::virp::testutil::IsOk;
using ::virp::testutil::StatusIs;
using Json = nlohmann::json;

constexpr auto kWrong = absl::StatusCode::kInvalidArgument;

absl::StatusOr<Slurm> Parse(const std::vector<std::string>& texts) {
  std::vector<SlurmText> files;
  for (std::size_t i = 0; i < texts.size(); ++i)
    files.push_back({std::string(1, static_cast<char>('a' + i)) + ".json", texts[i]});
  return ParseSlurm(files);
}

std::string File(const Json& prefix_filters, const Json& bgpsec_filters, const Json& prefixes, const Json& keys) {
  return Json({{"slurmVersion", 1},
               {"validationOutputFilters", {{"prefixFilters", prefix_filters}, {"bgpsecFilters", bgpsec_filters}}},
               {"locallyAddedAssertions", {{"prefixAssertions", prefixes}, {"bgpsecAssertions", keys}}}})
      .dump();
}
std::string AspaFile(const Json& filters, const Json& assertions) {
  Json out = Json::parse(File(Json::array(), Json::array(), Json::array(), Json::array()));
  out["slurmVersion"] = 2;
  out["validationOutputFilters"]["aspaFilters"] = filters;
  out["locallyAddedAssertions"]["aspaAssertions"] = assertions;
  return out.dump();
}
const Json kNo = Json::array();

std::string Url(std::string bytes) {
  std::string text = Base64Encode(bytes);
  for (char& c : text) c = c == '+' ? '-' : c == '/' ? '_' : c;
  while (text.ends_with('=')) text.pop_back();
  return text;
}
std::string SkiBytes(const RouterKey& key) {
  return {reinterpret_cast<const char*>(key.ski.data()), key.ski.size()};
}

Payloads Set(const std::vector<std::tuple<std::string, int, std::uint32_t>>& vrps) {
  Builder builder;
  for (const auto& [prefix, max, as] : vrps)
    EXPECT_OK(builder.Add(*Prefix::Parse(prefix), static_cast<std::uint64_t>(max), as));
  return std::move(builder).Build().payloads;
}
std::vector<std::string> Texts(const Payloads& set) {
  std::vector<std::string> out;
  for (const auto& v : set.vrps4) out.push_back(fmt::format("{}-{} {}", PrefixOf(v).ToString(), v.max_length, v.as));
  for (const auto& v : set.vrps6) out.push_back(fmt::format("{}-{} {}", PrefixOf(v).ToString(), v.max_length, v.as));
  return out;
}

TEST(Slurm, TheExampleOfTheRfc) {
  const RouterKey key = TestKey(64496, 0);
  const RouterKey other = TestKey(64497, 1);
  const Json filters = {{{"prefix", "192.0.2.0/24"}, {"comment", "All VRPs encompassed by prefix"}},
                        {{"asn", 64496}, {"comment", "All VRPs matching ASN"}},
                        {{"prefix", "198.51.100.0/24"}, {"asn", 64497}, {"comment", "Both"}}};
  const Json keys = {{{"asn", 64496}, {"comment", "All keys for ASN"}},
                     {{"SKI", Url(SkiBytes(TestKey(1, 1)))}},
                     {{"asn", 64497}, {"SKI", Base64Encode(SkiBytes(TestKey(1, 2)))}}};
  const Json prefixes = {{{"asn", 64496}, {"prefix", "198.51.100.0/24"}, {"comment", "My other important route"}},
                         {{"asn", 64496}, {"prefix", "2001:db8::/32"}, {"maxPrefixLength", 48}}};
  const Json asserted = {
      {{"asn", 64496}, {"SKI", Url(SkiBytes(key))}, {"routerPublicKey", Url(key.spki)}, {"comment", "My known key"}}};
  const std::string text = File(filters, keys, prefixes, asserted);
  const auto slurm = Parse({text});
  ASSERT_OK(slurm);
  ASSERT_EQ(slurm->files.size(), 1U);
  EXPECT_EQ(slurm->files[0].sha256, crypto::Sha256(text));
  Payloads set = Set({{"192.0.2.0/24", 24, 1},
                      {"192.0.2.128/25", 25, 1},
                      {"192.0.0.0/16", 24, 1},
                      {"10.0.0.0/8", 8, 64496},
                      {"198.51.100.0/25", 25, 64497},
                      {"198.51.100.0/25", 25, 64498},
                      {"198.51.0.0/16", 16, 64497}});
  set.router_keys = {TestKey(64496, 3), TestKey(64499, 1), TestKey(64497, 2), TestKey(64499, 2)};
  std::sort(set.router_keys.begin(), set.router_keys.end(),
            [](const auto& a, const auto& b) { return Order(a, b) < 0; });
  const Applied applied = Apply(*slurm, set);
  EXPECT_THAT(Texts(applied.payloads),
              ElementsAre("198.51.100.0/25-25 64498", "198.51.100.0/24-24 64496", "198.51.0.0/16-16 64497",
                          "192.0.0.0/16-24 1", "2001:db8::/32-48 64496"));
  EXPECT_THAT(applied.payloads.router_keys, ::testing::UnorderedElementsAre(key, TestKey(64499, 2)));
  EXPECT_EQ(applied.filtered, 7U);
}

TEST(Slurm, CountsWhatEachFileSays) {
  const auto slurm = Parse(
      {File({{{"prefix", "192.0.2.0/24"}}, {{"asn", 7}}}, kNo, {{{"asn", 64496}, {"prefix", "198.51.100.0/24"}}}, kNo),
       AspaFile({{{"customer_asid", 3}}},
                {{{"customer_asid", 2}, {"providers", {9}}}, {{"customer_asid", 5}, {"providers", {9}}}}),
       File(kNo, kNo, kNo, kNo)});
  ASSERT_OK(slurm);
  ASSERT_EQ(slurm->files.size(), 3U);
  EXPECT_EQ(slurm->files[0].filters, 2U);
  EXPECT_EQ(slurm->files[0].assertions, 1U);
  EXPECT_EQ(slurm->files[1].filters, 1U);
  EXPECT_EQ(slurm->files[1].assertions, 2U);
  EXPECT_EQ(slurm->files[2].filters + slurm->files[2].assertions, 0U);
}

TEST(Slurm, KeysInEitherBase64) {
  const RouterKey key = TestKey(64496, 0);
  for (const auto& [ski, spki] :
       {std::pair{Url(SkiBytes(key)), Url(key.spki)}, {Base64Encode(SkiBytes(key)), Base64Encode(key.spki)}}) {
    const auto slurm = Parse({File(kNo, kNo, kNo, {{{"asn", 64496}, {"SKI", ski}, {"routerPublicKey", spki}}})});
    ASSERT_OK(slurm);
    EXPECT_THAT(slurm->assertions.router_keys, ElementsAre(key));
  }
}

TEST(Slurm, AspasInEverySpelling) {
  for (const auto& [customer, providers] : {std::pair{"customer_asid", "provider_set"},
                                            {"customerAsid", "providerSet"},
                                            {"customerAsn", "providerAsns"},
                                            {"customer_asid", "providers"}}) {
    const auto slurm = Parse({AspaFile({{{customer, 3}, {"comment", "x"}}, {{customer, 1}}},
                                       {{{customer, 1}, {providers, {7, 5}}}, {{customer, 2}, {providers, {9}}}})});
    ASSERT_OK(slurm) << customer;
    Payloads set;
    set.aspas = {{1, 50, {4}}, {2, 50, {8}}, {3, 50, {8}}, {4, 50, {8}}};
    EXPECT_THAT(Apply(*slurm, set).payloads.aspas,
                ElementsAre(Aspa{1, 0, {5, 7}}, Aspa{2, 0, {8, 9}}, Aspa{4, 50, {8}}));
  }
}

TEST(Slurm, RefusesEveryDeviation) {
  Json good = Json::parse(AspaFile(kNo, kNo));
  ASSERT_OK(Parse({good.dump()}));
  const auto refused = [&](auto change, std::string_view reason) {
    Json bad = good;
    change(bad);
    EXPECT_THAT(Parse({bad.dump()}), StatusIs(kWrong, HasSubstr(std::string(reason)))) << bad.dump();
  };
  const auto filter = [](Json entry) {
    return [entry](Json& j) { j["validationOutputFilters"]["prefixFilters"] = Json::array({entry}); };
  };
  const auto assertion = [](Json entry) {
    return [entry](Json& j) { j["locallyAddedAssertions"]["prefixAssertions"] = Json::array({entry}); };
  };
  const auto aspa = [](Json entry) {
    return [entry](Json& j) { j["locallyAddedAssertions"]["aspaAssertions"] = Json::array({entry}); };
  };
  for (const char* name : {"slurmVersion", "validationOutputFilters", "locallyAddedAssertions"}) {
    refused([name](Json& j) { j.erase(name); }, std::string(name) + " is missing");
  }
  refused([](Json& j) { j["validationOutputFilters"].erase("bgpsecFilters"); }, "bgpsecFilters is missing");
  refused([](Json& j) { j["locallyAddedAssertions"].erase("prefixAssertions"); }, "prefixAssertions is missing");
  refused([](Json& j) { j["slurmVersion"] = 3; }, "neither 1 nor 2");
  refused([](Json& j) { j["slurmVersion"] = "1"; }, "");
  refused([](Json& j) { j["slurmVersion"] = 1; }, "ASPA members need slurmVersion 2");
  refused([](Json& j) { j["more"] = 1; }, "\"more\" is no member");
  refused([](Json& j) { j["validationOutputFilters"]["roaFilters"] = kNo; }, "\"roaFilters\" is no member");
  refused([](Json& j) { j["locallyAddedAssertions"]["bgpsecAssertions"] = nullptr; }, "an array was expected");
  refused(filter(Json::object()), "a.json: prefixFilters[0]: at byte");
  refused(filter(Json::object()), "neither prefix nor asn is there");
  refused(filter({{"asn", "AS64496"}}), "an AS number is not a number");
  refused(filter({{"asn", 4'294'967'296}}), "beyond 4294967295");
  refused(filter({{"prefix", "10.0.0.0/33"}}), "is no prefix");
  refused(filter({{"asn", 1}, {"maxPrefixLength", 1}}), "\"maxPrefixLength\" is no member");
  refused(filter({{"asn", 1}, {"comment", 1}}), "a string was expected");
  refused(filter(7), "an object was expected");
  refused(assertion({{"asn", 1}}), "prefix is missing");
  refused(assertion({{"prefix", "10.0.0.0/8"}}), "asn is missing");
  refused(assertion({{"asn", 1}, {"prefix", "10.0.0.0/8"}, {"maxPrefixLength", 7}}), "maxLength 7 is below");
  refused(assertion({{"asn", 1}, {"prefix", "10.0.0.0/8"}, {"maxPrefixLength", 33}}), "maxLength 33 is beyond 32");
  refused(aspa({{"customer_asid", 1}}), "the list of providers is missing");
  refused(aspa({{"customer_asid", 1}, {"provider_set", kNo}}), "has no provider");
  refused(aspa({{"customer_asid", 1}, {"customerAsn", 1}, {"provider_set", {2}}}), "a name is there twice");
  refused([](Json& j) { j["validationOutputFilters"]["bgpsecFilters"] = Json::array({{{"SKI", "00"}}}); }, "is no SKI");
  refused(
      [](Json& j) {
        j["validationOutputFilters"]["aspaFilters"] = Json::array({{{"customer_asid", 1}, {"provider_set", {2}}}});
      },
      "\"provider_set\" is no member");
  std::string twice = good.dump();
  twice.insert(1, "\"slurmVersion\":1,");
  EXPECT_THAT(Parse({twice}), StatusIs(kWrong, HasSubstr("slurmVersion is there twice")));
  EXPECT_THAT(Parse({good.dump() + "x"}), StatusIs(kWrong, HasSubstr("text behind the document")));
  EXPECT_THAT(Parse({good.dump(), "{"}), StatusIs(kWrong, HasSubstr("b.json")));
}

TEST(Slurm, SeveralFilesMayNotSpeakOfTheSame) {
  const auto filter = [](const char* prefix) { return File({{{"prefix", prefix}}}, kNo, kNo, kNo); };
  const auto assertion = [](const char* prefix) { return File(kNo, kNo, {{{"asn", 1}, {"prefix", prefix}}}, kNo); };
  EXPECT_OK(Parse({filter("10.0.0.0/8"), assertion("11.0.0.0/8"), filter("::/0")}));
  EXPECT_OK(Parse({File({{{"prefix", "10.0.0.0/8"}}}, kNo, {{{"asn", 1}, {"prefix", "10.0.0.0/9"}}}, kNo)}));
  EXPECT_THAT(Parse({filter("10.0.0.0/8"), assertion("10.1.0.0/16")}),
              StatusIs(kWrong, HasSubstr("a.json and b.json both speak of 10.1.0.0/16")));
  EXPECT_THAT(Parse({filter("10.1.0.0/16"), filter("9.0.0.0/8"), filter("10.0.0.0/8")}),
              StatusIs(kWrong, HasSubstr("c.json and a.json")));
  EXPECT_THAT(Parse({filter("10.0.0.0/8"), filter("10.0.0.0/8")}), StatusIs(kWrong));
  EXPECT_THAT(Parse({filter("::/0"), assertion("2001:db8::/32")}), StatusIs(kWrong));
  const auto keys = [](std::uint32_t as) { return File(kNo, {{{"asn", as}}}, kNo, kNo); };
  EXPECT_OK(Parse({keys(1), keys(2)}));
  EXPECT_THAT(Parse({keys(1), keys(1)}), StatusIs(kWrong, HasSubstr("router keys of AS 1")));
  const auto aspas = [](std::uint32_t as) { return AspaFile({{{"customer_asid", as}}}, kNo); };
  EXPECT_OK(Parse({aspas(1), aspas(2)}));
  EXPECT_THAT(Parse({aspas(1), aspas(1)}), StatusIs(kWrong, HasSubstr("ASPAs of AS 1")));
}

TEST(Slurm, WithoutFilesNothingChanges) {
  Random random(20);
  const Payloads set = RandomPayloads(random, 50);
  const auto slurm = Parse({});
  ASSERT_OK(slurm);
  const Applied applied = Apply(*slurm, set);
  EXPECT_EQ(applied.payloads, set);
  EXPECT_EQ(applied.filtered, 0U);
  EXPECT_THAT(applied.refused, IsEmpty());
}

// A filter as RFC 8416 section 3.3.1 says it, on one VRP.
bool Takes(const PrefixFilter& filter, const Prefix& prefix, std::uint32_t as) {
  return (!filter.prefix || filter.prefix->Contains(prefix)) && (!filter.as || *filter.as == as);
}
bool Takes(const BgpsecFilter& filter, const RouterKey& key) {
  return (!filter.as || *filter.as == key.as) && (!filter.ski || *filter.ski == key.ski);
}

template <typename Vrp>
std::vector<Vrp> NaiveFilter(const Slurm& slurm, const std::vector<Vrp>& vrps) {
  std::vector<Vrp> out;
  for (const Vrp& v : vrps) {
    const bool taken = std::any_of(slurm.prefix_filters.begin(), slurm.prefix_filters.end(),
                                   [&](const PrefixFilter& f) { return Takes(f, PrefixOf(v), v.as); });
    if (!taken) out.push_back(v);
  }
  return out;
}

TEST(Slurm, AppliesAsOneByOneWould) {
  Random random(21);
  std::size_t filtered = 0;
  for (int round = 0; round < 600; ++round) {
    const Payloads set = RandomPayloads(random, static_cast<int>(Below(random, 60)));
    Slurm slurm;
    for (auto n = Below(random, 12); n > 0; --n) {
      PrefixFilter filter;
      const auto kind = Below(random, 8);
      if (kind != 0) filter.prefix = kind < 5 ? PrefixOf(RandomVrp4(random)) : PrefixOf(RandomVrp6(random));
      if (kind == 0 || Below(random, 2) == 0) filter.as = Below(random, kind == 0 ? 40 : 4);
      slurm.prefix_filters.push_back(filter);
    }
    for (auto n = Below(random, 3); n > 0; --n) {
      BgpsecFilter filter;
      const auto kind = Below(random, 3);
      if (kind != 0) filter.as = Below(random, 3);
      if (kind != 1) filter.ski = TestKey(0, static_cast<int>(Below(random, 3))).ski;
      slurm.bgpsec_filters.push_back(filter);
    }
    if (round % 3 == 0) slurm.aspa_filters = {Below(random, 6), Below(random, 6)};
    if (round % 2 == 0) slurm.assertions = RandomPayloads(random, static_cast<int>(Below(random, 8)));
    Payloads left;
    left.vrps4 = NaiveFilter(slurm, set.vrps4);
    left.vrps6 = NaiveFilter(slurm, set.vrps6);
    for (const RouterKey& k : set.router_keys) {
      if (std::none_of(slurm.bgpsec_filters.begin(), slurm.bgpsec_filters.end(),
                       [&](const auto& f) { return Takes(f, k); }))
        left.router_keys.push_back(k);
    }
    for (const Aspa& a : set.aspas) {
      if (std::count(slurm.aspa_filters.begin(), slurm.aspa_filters.end(), a.customer) == 0) left.aspas.push_back(a);
    }
    const Applied applied = Apply(slurm, set);
    const std::vector<const Payloads*> both = {&left, &slurm.assertions};
    ASSERT_EQ(applied.payloads, Union(both).payloads) << round;
    ASSERT_EQ(applied.filtered, set.size() - left.size());
    filtered += applied.filtered;
  }
  EXPECT_GT(filtered, 5'000U);
}

}  // namespace
}  // namespace virp::vrp
