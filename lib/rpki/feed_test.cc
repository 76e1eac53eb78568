#include "lib/rpki/feed.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "lib/base/bytes.h"
#include "tests/testutil/rpki_lab.h"
#include "tests/testutil/status_matchers.h"

namespace virp::rpki {
namespace {

using nlohmann::json;

// A router key of the live RPKI, with the identifier that the world knows it by.
const std::string kSpki = *HexDecode(
    "3059301306072A8648CE3D020106082A8648CE3D0301070342000480572343F83FFCB0107AB007D8CA69F86B9CA0300605B848A83DF7C0D3EC"
    "5F"
    "19C019BFA6B59ED742B54EF4343A52501286D8A0E7E41F10AA53B45822A9F88015");
constexpr const char* kSki = "5D4250E2D81D4448D8A29EFCE91D29FF075EC9E2";
const Time kNow{std::chrono::seconds(1'770'000'000)};

TEST(Feed, RpkiClientJson) {
  const RouterKey sooner{15562, kSpki, kNow}, later{15562, kSpki, kNow + std::chrono::hours(1)},
      other{64496, kSpki, kNow};
  ASSERT_OK_AND_ASSIGN(const std::string text, RpkiClientJson({other, sooner, later}, "private", kNow));
  const json parsed = json::parse(text);
  ASSERT_EQ(parsed["bgpsec_keys"].size(), 2u);
  EXPECT_EQ(parsed["bgpsec_keys"][0]["asn"], 15562);
  EXPECT_EQ(parsed["bgpsec_keys"][0]["ski"], kSki);
  EXPECT_EQ(parsed["bgpsec_keys"][0]["pubkey"], Base64Encode(kSpki));
  EXPECT_EQ(parsed["bgpsec_keys"][0]["expires"], 1'770'003'600);
  EXPECT_EQ(parsed["metadata"]["buildtime"], "2026-02-02T02:40:00Z");
  EXPECT_EQ(json::parse(*RpkiClientJson({}, "x", kNow))["bgpsec_keys"].size(), 0u);
  EXPECT_FALSE(RpkiClientJson({}, "a\"b", kNow).ok());
  EXPECT_FALSE(RpkiClientJson({{1, "no key", kNow}}, "x", kNow).ok());
}

TEST(Feed, SlurmIsUrlSafeAndUnpadded) {
  ASSERT_OK_AND_ASSIGN(const std::string text, Slurm({{15562, kSpki, kNow}}));
  const json parsed = json::parse(text);
  EXPECT_EQ(parsed["slurmVersion"], 1);
  const json assertion = parsed["locallyAddedAssertions"]["bgpsecAssertions"][0];
  EXPECT_EQ(assertion["asn"], 15562);
  std::string key = assertion["routerPublicKey"], ski = assertion["SKI"];
  EXPECT_EQ(key.find_first_of("+/="), std::string::npos);
  std::replace(key.begin(), key.end(), '-', '+');
  std::replace(key.begin(), key.end(), '_', '/');
  key.append((4 - key.size() % 4) % 4, '=');
  EXPECT_EQ(*Base64Decode(key), kSpki);
  EXPECT_EQ(ski.size(), 27u);
}

TEST(Feed, BgpSrxTree) {
  const testutil::RpkiLab lab;
  const auto key = crypto::P256PrivateKey::Generate();
  const std::string certificate = lab.Router(64496, key.public_key());
  ASSERT_OK_AND_ASSIGN(const auto tree, BgpSrxTree({certificate}));
  ASSERT_EQ(tree.size(), 2u);
  EXPECT_EQ(tree.begin()->second, certificate);
  std::string path = tree.begin()->first;
  EXPECT_EQ(path.size(), 40 + 2 + 5u);
  std::erase(path, '/');
  EXPECT_EQ(tree.at("ski-list.txt"), "64496-SKI: " + path.substr(0, 40) + "\n");
  EXPECT_FALSE(BgpSrxTree({lab.ca}).ok());
}

TEST(Feed, BgpSrxTreeOfARenewedKeyAndOfOneInTwoAses) {
  const testutil::RpkiLab lab;
  const auto key = crypto::P256PrivateKey::Generate();
  const std::string first = lab.Router(64496, key.public_key());
  testutil::RpkiLab later(lab.now + std::chrono::hours(24 * 30));
  const std::string renewed = later.Router(64496, key.public_key());
  const std::string elsewhere = lab.Router(64497, key.public_key());
  for (const auto& order : {std::vector{first, renewed, elsewhere}, std::vector{elsewhere, renewed, first}}) {
    ASSERT_OK_AND_ASSIGN(const auto tree, BgpSrxTree(order));
    ASSERT_EQ(tree.size(), 2u);
    EXPECT_EQ(tree.begin()->second, renewed);
    std::string ski = tree.begin()->first;
    std::erase(ski, '/');
    ski.resize(40);
    EXPECT_EQ(tree.at("ski-list.txt"), "64496-SKI: " + ski + "\n64497-SKI: " + ski + "\n");
  }
}

}  // namespace
}  // namespace virp::rpki
